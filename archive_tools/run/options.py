"""From a dataclass to a command line: one dataclass is the options, the help and the defaults."""

import contextlib
import io
import os
import re
import sys
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar, get_args, get_type_hints

import tyro

from archive_tools.run.bounds import check_options
from archive_tools.run.faults import guarded
from archive_tools.run.manifest import check_place
from archive_tools.run.stage import Preset
from envs.errors import InputError

C = TypeVar("C")
RENAMED = {
    "experiments": {"settings": "variants"},
    "04_describe": {"instruction": "styles", "narrative": "styles", "attempts": "patience"},
    "05_verify_dataset": {"practice": "augmentation"},
    "09_evaluate": {"attempts": "patience"},
}
"""Script → old name of an option → its name now."""
_READ = "the reader puts any phrasing into a plan; leave it out"
GONE = {name: {"reword": _READ, "rephrase": _READ} for name in ("08_rollout", "09_evaluate")}
"""Script → an option that there was → what does its work now."""


def refuse_renamed(argv: Sequence[str], script: str) -> None:
    """Refuse old names of options.

    Args:
        argv: the words of a command line.
        script: the name of the script, without its ending.

    Raises:
        InputError: one line that names the new option.
    """
    names, gone = RENAMED.get(script, {}), GONE.get(script, {})
    for word in argv:
        old = word.removeprefix("--").partition("=")[0].replace("_", "-")
        if word.startswith("--") and old in names:
            raise InputError(f"--{old} is now called --{names[old]}; give --{names[old]} instead")
        if word.startswith("--") and old in gone:
            raise InputError(f"there is no --{old} any more: {gone[old]}")


def refuse_unclear_words(argv: Sequence[str], config_type: type) -> None:
    """Raise InputError for `--run ""`, where a shell's variable was not set: no path is meant; and
    for names of another encoding, which no manifest could hold when all work is done."""
    kinds, flag = get_type_hints(config_type), ""
    for word in argv:
        empty = not word
        if any("\udc80" <= letter <= "\udcff" for letter in word):
            raise InputError(f"{word!a}: no text in {sys.getfilesystemencoding()}; rename it")
        if word.startswith("--"):
            flag, given, value = word.partition("=")
            empty = bool(given) and not value
        if empty and "Path" in str(kinds.get(flag[2:].replace("-", "_"))):
            raise InputError(f"{flag} '': expected a path; . is the folder you are in")


def parse(config_type: type[C], doc: str | None, argv: Sequence[str] | None = None) -> C:
    """Parse `argv` (default: the process's) into `config_type`, and check its bounds.

    `--preset` is read first and sets the defaults that --help shows and other options override.

    Raises:
        InputError: an option that has another name now, or that `tyro` refuses.
    """
    argv = list(sys.argv[1:] if argv is None else argv)
    refuse_renamed(argv, Path(sys.argv[0]).stem)
    preset = "demo"
    for position, word in enumerate(argv):
        if word == "--preset" and position + 1 < len(argv):
            preset = argv[position + 1]
        elif word.startswith("--preset="):
            preset = word.partition("=")[2]
    how: dict[str, Any] = {"description": doc, "args": argv}
    if hasattr(config_type, "presets"):
        name = preset if preset in get_args(Preset) else "demo"
        how["default"] = with_preset(config_type, name)
    return in_words(lambda: tyro.cli(config_type, **how))


def in_words(parsed: Callable[[], C]) -> C:
    """What a call of `tyro.cli` gives.

    Raises:
        InputError: one line of what it refuses.
    """
    said, width = io.StringIO(), os.environ.get("COLUMNS")
    try:
        with contextlib.redirect_stderr(said):
            return parsed()
    except SystemExit as end:
        if end.code != 2:  # --help
            raise
    said, os.environ["COLUMNS"] = io.StringIO(), "100000"  # once more, with no line broken
    try:
        with contextlib.redirect_stderr(said), contextlib.suppress(SystemExit):
            return parsed()
    finally:
        del os.environ["COLUMNS"]
        os.environ.update({"COLUMNS": width} if width else {})
    raise InputError(unboxed(said.getvalue()))


def unboxed(box: str) -> str:
    """A refusal that tyro draws as a box, in a line: what is wrong, then which options are near.

    The help beside each of these is left out, and where to find more of it said shortly.
    """
    rows = [row[2:-2].rstrip() for row in re.sub(r"\x1b\[[\d;]*m", "", box).splitlines()[1:-1]]
    parts = re.split(r"(?m)^[─-]{9,}$\n?", "\n".join(rows))
    parts = [part for part in parts if part.strip()]
    line = " ".join(parts[0].split()).removeprefix("Error parsing ").removesuffix(".")
    line = re.sub(r"(?:invalid literal for int|could not convert string)[^:]*:", "found", line)
    line = re.sub(r" into tuple type .*", "", line)
    for part in parts[1:]:
        title, *shown = part.splitlines() or [""]
        options = [row.strip() for row in shown if re.match(" {4}-", row)]
        if "helptext" in title:
            title, options = "expected", options[:1]
        line += f"; {title[:1].lower()}{title[1:]} {', '.join(options)}" if options else ""
    return f"{line}; --help lists all options"


def with_preset(config_type: type[C], preset: str, **options: Any) -> C:
    """The configuration of a preset, with `options` set on top of it."""
    presets = getattr(config_type, "presets", None)
    if presets is None:
        return config_type(**options)
    return config_type(**{"preset": preset, **presets.get(preset, {}), **options})


def one_line(
    message: Warning | str, category: type[Warning], file: str, number: int, line: str | None = None
) -> str:
    """A warning as users read it: without the place in the code that gave it."""
    return f"warning: {message}\n"


def main(
    run: Callable[[C], object],
    config_type: type[C],
    doc: str | None,
    *errors: type[Exception],
    parse: Callable[..., C] = parse,
) -> None:
    """Run a script from the command line; a mistake or mishap ends in one line (see `guarded`).

    Args:
        run: the stage, or what else the script does.
        config_type: its options, a dataclass, mostly with a field `run`.
        doc: the script's docstring, shown by --help.
        errors: further error types whose message is for the user.
        parse: (config_type, doc) → options, for scripts with presets of their own.
    """
    warnings.formatwarning = one_line
    with guarded(*errors) as guard:
        refuse_unclear_words(sys.argv[1:], config_type)
        config: Any = parse(config_type, doc)
        check_options(config)
        if hasattr(config, "run"):
            guard.where = config.run
            check_place(Path(config.run), f"--run {config.run}")
        run(config)
