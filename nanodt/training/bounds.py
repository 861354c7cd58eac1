"""Bounds of options: stated beside each option, checked and shown in one place.

An option `steps: Annotated[int, Ge(1)]` is refused below 1 (`check_bounds`), and `--help` says so
(`show_bounds`).
"""

from __future__ import annotations

import contextlib
import io
import operator
import os
import re
import sys
import typing
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import Annotated, Any, TypeVar

from annotated_types import Ge, Gt, Le, Lt

from nanodt.errors import InputError, require_file

C = TypeVar("C")
MOST = 2**31 - 1
"""No option means more than this, and everything that counts or draws can hold it."""
Count = Annotated[int, Ge(1)]
Whole = Annotated[int, Ge(0)]
Positive = Annotated[float, Gt(0)]
NonNegative = Annotated[float, Ge(0)]
Signed = Annotated[float, Ge(-MOST)]
Share = Annotated[float, Ge(0), Le(1)]
PositiveShare = Annotated[float, Gt(0), Le(1)]
BelowOne = Annotated[float, Ge(0), Lt(1)]
KINDS = {
    Ge: ("at least", operator.ge),
    Gt: ("above", operator.gt),
    Le: ("at most", operator.le),
    Lt: ("below", operator.lt),
}


def bounds(hint: Any) -> dict[str, Any]:
    """The bounds of an annotation, or of the entries of a tuple: words -> whether a value fits."""
    if typing.get_origin(hint) is tuple:
        return bounds(typing.get_args(hint)[0])
    found = {}
    for mark in typing.get_args(hint)[1:] if typing.get_origin(hint) is Annotated else ():
        if type(mark) in KINDS:
            words, fits = KINDS[type(mark)]
            limit = getattr(mark, type(mark).__name__.lower())
            found[f"{words} {limit:g}"] = lambda value, f=fits, limit=limit: f(value, limit)
    return found


def refuse_empty(words: Sequence[str]) -> None:
    """Raise InputError for `--out ""`, where a shell's variable was not set: nothing is meant; and
    for names of another encoding, which no JSON could hold when all work is done."""
    flag = ""
    for word in words:
        flag, given, value = word.partition("=") if word.startswith("--") else (flag, "=", word)
        if any("\udc80" <= letter <= "\udcff" for letter in word):
            raise InputError(f"{word!a}: no text in {sys.getfilesystemencoding()}: rename it")
        if given and not value:
            raise InputError(f"{flag} '': expected a value; the folder you are in is .")


def check_bounds(options: Any) -> None:
    """Raise InputError for the first field of a dataclass that is out of its bounds.

    None is always allowed where an option may be None; NaN and what is beyond MOST never is, nor
    a device or pipe, which would be read without end.
    """
    hints = typing.get_type_hints(type(options), include_extras=True)
    for name, value in vars(options).items():
        limits, flag = bounds(hints[name]), "--" + name.replace("_", "-")
        for one in value if isinstance(value, tuple) else (value,):
            if isinstance(one, (str, Path)):
                require_file(one, f"{flag} {one}")
            if one is None or isinstance(one, bool) or not isinstance(one, (int, float)):
                continue
            if not all(fits(one) for fits in limits.values()):
                raise InputError(f"{flag} {one}: expected {' and '.join(limits)}")
            if not -MOST <= one <= MOST:
                raise InputError(f"{flag} {one}: expected at most {MOST}")


def show_bounds(kind: type) -> type:
    """The dataclass itself, its bounds now part of what tyro shows as each option's value."""
    import tyro  # only a command line needs it

    hints = typing.get_type_hints(kind, include_extras=True)
    for field in fields(kind):
        hint = hints[field.name]
        if typing.get_origin(hint) is Annotated and (limits := bounds(hint)):
            inner = typing.get_args(typing.get_args(hint)[0]) or typing.get_args(hint)[:1]
            plain = "|".join("None" if h is type(None) else h.__name__.upper() for h in inner)
            hint = Annotated[hint, tyro.conf.arg(metavar=f"{plain} ({', '.join(limits)})")]
        field.type = kind.__annotations__[field.name] = hint
    return kind


def parse_words(kind: type[C], arguments: Sequence[str], **how: Any) -> C:
    """A dataclass from command-line words; `how` as `tyro.cli` has it.

    Raises InputError, one line, for what tyro refuses.
    """
    import tyro  # only a command line needs it

    shown, width, said = show_bounds(kind), os.environ.get("COLUMNS"), io.StringIO()
    try:
        with contextlib.redirect_stderr(said):
            return tyro.cli(shown, args=arguments, **how)
    except SystemExit as end:
        if end.code != 2:  # --help
            raise
    said, os.environ["COLUMNS"] = io.StringIO(), "100000"  # once more, with no line broken
    try:
        with contextlib.redirect_stderr(said), contextlib.suppress(SystemExit):
            return tyro.cli(shown, args=arguments, **how)
    finally:
        del os.environ["COLUMNS"]
        os.environ.update({"COLUMNS": width} if width else {})
    raise InputError(unboxed(said.getvalue()))


def unboxed(box: str) -> str:
    """A refusal that tyro draws as a box, in a line: what is wrong, and which options are near."""
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
