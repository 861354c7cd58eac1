"""Bounds of options, stated beside the option: --help shows them, and one function checks them.

`batch: bounds.Count = 500` is a whole number from 1 up. Numbers are finite whatever their bounds.
"""

from dataclasses import fields
from pathlib import Path
from typing import Annotated, Any, get_type_hints

import tyro
from annotated_types import Ge, Gt, Le, Lt
from pydantic import ConfigDict, TypeAdapter, ValidationError

from envs.errors import InputError, require_file

MOST = 2**31 - 1
"""No option means more than this, and everything that counts or draws can hold it."""


def _shown(bound: str) -> Any:
    """Makes --help show a bound before the default."""
    return tyro.conf.arg(help_behavior_hint=lambda default: f"({bound}; default: {default})")


Count = Annotated[int, Ge(1), _shown("at least 1")]
Whole = Annotated[int, Ge(0), _shown("at least 0")]
Words = Annotated[int, Ge(8), _shown("at least 8")]
Port = Annotated[int, Ge(0), Le(65_535), _shown("0 to 65535")]
Positive = Annotated[float, Gt(0), _shown("above 0")]
NonNegative = Annotated[float, Ge(0), _shown("at least 0")]
Share = Annotated[float, Ge(0), Le(1), _shown("0 to 1")]
PositiveShare = Annotated[float, Gt(0), Le(1), _shown("above 0, at most 1")]
Decimals = Annotated[int, Ge(-1), Le(9), _shown("-1 to 9")]
Counts = Annotated[tuple[Annotated[int, Ge(1)], ...], _shown("each at least 1")]
Wholes = Annotated[tuple[Annotated[int, Ge(0)], ...], _shown("each at least 0")]
NonNegatives = Annotated[tuple[Annotated[float, Ge(0)], ...], _shown("each at least 0")]
Shares = Annotated[tuple[Annotated[float, Gt(0), Lt(1)], ...], _shown("each above 0, below 1")]
Place = tuple[Annotated[float, Ge(-MOST)], ...]
"""A point of a BD space, of which this module knows nothing."""
SAID = {"ge": "at least", "gt": "above", "le": "at most", "lt": "below"}


def check_options(config: Any) -> None:
    """Hold the fields of a dataclass against their types and bounds.

    Raises:
        InputError: one line: the option, what was found, what was expected.
    """
    hints = get_type_hints(type(config), include_extras=True)
    for option in fields(config):
        value = getattr(config, option.name)
        adapter = TypeAdapter(hints[option.name], config=ConfigDict(allow_inf_nan=False))
        try:
            adapter.validate_python(value)
        except ValidationError as error:
            first = error.errors()[0]
            limits = first.get("ctx", {})
            bound = next((key for key in SAID if key in limits), None)
            expected = (
                f"a number {SAID[bound]} {limits[bound]:g}"
                if bound
                else first["msg"].removeprefix("Input should be ")
            )
            raise InputError(f"{_flag(option.name, value)}: expected {expected}") from None
        numbers = value if isinstance(value, (list, tuple)) else [value]
        if any(isinstance(n, (int, float)) and n > MOST for n in numbers):
            raise InputError(f"{_flag(option.name, value)}: expected at most {MOST}")
        for path in numbers:
            if isinstance(path, (str, Path)):
                require_file(path, _flag(option.name, path))


def _flag(name: str, value: Any) -> str:
    """An option as it stands on a command line."""
    shown = " ".join(map(str, value)) if isinstance(value, (list, tuple)) else str(value)
    return f"--{name.replace('_', '-')} {shown}"
