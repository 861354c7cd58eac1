"""Bounds of options: stated beside each option, checked and shown in one place.

An option `steps: Annotated[int, Ge(1)]` is refused below 1 (`check_bounds`), and `--help` says so
(`show_bounds`).
"""

from __future__ import annotations

import operator
import typing
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import Annotated, Any

from annotated_types import Ge, Gt, Le, Lt

from nanodt.errors import InputError, require_file

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
    """Raise InputError for `--out ""`, where a shell's variable was not set: nothing is meant."""
    flag = ""
    for word in words:
        flag, given, value = word.partition("=") if word.startswith("--") else (flag, "=", word)
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
