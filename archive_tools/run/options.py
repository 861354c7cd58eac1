"""From a dataclass to a command line: one dataclass is the options, the help and the defaults."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import tyro

from archive_tools.run.stage import StageConfig
from envs.errors import InputError

C = TypeVar("C", bound=StageConfig)


def parse(config_type: type[C], doc: str, argv: list[str] | None = None) -> C:
    """Parse `argv` (default: the process's) into `config_type`.

    `--preset` is read first and sets the defaults that --help shows and other options override.
    """
    argv = list(sys.argv[1:] if argv is None else argv)
    preset = "demo"
    for position, word in enumerate(argv):
        if word == "--preset" and position + 1 < len(argv):
            preset = argv[position + 1]
        elif word.startswith("--preset="):
            preset = word.partition("=")[2]
    default = with_preset(config_type, preset if preset in ("demo", "paper") else "demo")
    return tyro.cli(config_type, default=default, description=doc, args=argv)


def with_preset(config_type: type[C], preset: str, **options: Any) -> C:
    """The configuration of a preset, with `options` set on top of it."""
    return config_type(**{"preset": preset, **config_type.presets.get(preset, {}), **options})


def main(
    run: Callable[[C], Path], config_type: type[C], doc: str | None, *errors: type[ValueError]
) -> None:
    """Run one stage from the command line; a user's mistake ends in one line and exit status 2.

    Args:
        run: the stage.
        config_type: its options.
        doc: the script's docstring, shown by --help.
        errors: further error types whose message is for the user.
    """
    config = parse(config_type, doc or "")
    try:
        run(config)
    except (InputError, *errors) as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        print("\ninterrupted; the same command goes on from here", file=sys.stderr)
        sys.exit(130)
