"""Bounds of options: stated beside each option, checked and shown in one place.

An option `steps: Annotated[int, Ge(1)]` is refused below 1 (`check_bounds`), and `--help` says so
(`show_bounds`).
"""

from __future__ import annotations

import operator
import typing
from collections.abc import Callable
from dataclasses import fields
from typing import Annotated, Any

from annotated_types import Ge, Gt, Le, Lt

from nanodt.errors import InputError

Bound = tuple[str, Callable[[Any], bool]]
"""Words (at least 1), and whether a value keeps to them."""
KINDS: tuple[tuple[type, str, str, Callable[[Any, Any], bool]], ...] = (
    (Ge, "ge", "at least", operator.ge),
    (Gt, "gt", "above", operator.gt),
    (Le, "le", "at most", operator.le),
    (Lt, "lt", "below", operator.lt),
)


def bounds(hint: Any) -> list[Bound]:
    """The bounds of an annotation, or of the entries of a tuple."""
    if typing.get_origin(hint) is tuple:
        return bounds(typing.get_args(hint)[0])
    found: list[Bound] = []
    marks = typing.get_args(hint)[1:] if typing.get_origin(hint) is Annotated else ()
    for mark in marks:
        for kind, name, words, test in KINDS:
            if isinstance(mark, kind):
                limit = getattr(mark, name)
                keeps = lambda value, test=test, limit=limit: test(value, limit)  # noqa: E731
                found.append((f"{words} {limit:g}", keeps))
    return found


def check_bounds(options: Any) -> None:
    """Raise InputError for the first field of a dataclass that is out of its bounds.

    None is always allowed where an option may be None.
    """
    hints = typing.get_type_hints(type(options), include_extras=True)
    for field in fields(options):
        value, limits = getattr(options, field.name), bounds(hints[field.name])
        for one in value if isinstance(value, tuple) else (value,):
            if one is not None and not all(keeps(one) for _, keeps in limits):
                expected = " and ".join(words for words, _ in limits)
                flag = field.name.replace("_", "-")
                raise InputError(f"--{flag} {one}: expected {expected}")


def show_bounds(kind: type) -> type:
    """The dataclass itself, its bounds now part of what tyro shows as each option's value."""
    import tyro  # only a command line needs it

    hints = typing.get_type_hints(kind, include_extras=True)
    for field in fields(kind):
        words, hint = ", ".join(words for words, _ in bounds(hints[field.name])), hints[field.name]
        if words and typing.get_origin(hint) is Annotated:
            inner = typing.get_args(typing.get_args(hint)[0]) or typing.get_args(hint)[:1]
            plain = "|".join("None" if h is type(None) else h.__name__.upper() for h in inner)
            hint = Annotated[hint, tyro.conf.arg(metavar=f"{plain} ({words})")]
        field.type = kind.__annotations__[field.name] = hint
    return kind
