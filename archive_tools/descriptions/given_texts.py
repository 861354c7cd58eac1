"""Descriptions that people bring along: rows of a CSV, JSONL or Parquet file.

Columns: `text`, and either `trajectory_id` (of this run) or `action` (the wheels of a drive of its
own, which is replayed); optional `style` and `source`. Whatever is wrong with a file ends the stage
with one line that names file, row and remedy; whether a text is true is checked later.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from archive_tools.files import user_tables
from envs.errors import InputError

STYLE = "given"
"""Style of a row that names none."""


@dataclass(frozen=True)
class Given:
    """One row of such a file."""

    text: str
    style: str
    source: str
    trajectory_id: int | None
    """None where the row brings its own drive."""
    action: NDArray[np.float32] | None = None
    """[T, 2], displacement of the left and right wheel per step, world units."""


def read_given(
    path: Path,
    known: Mapping[int, Any] | Sequence[int],
    *,
    steps: int = 0,
    unit: user_tables.ActionUnit = "auto",
    where: Mapping[str, str] | None = None,
) -> list[Given]:
    """Read a file of descriptions.

    Args:
        path: ends in .csv, .jsonl or .parquet.
        known: trajectory ids of the run.
        steps: T, which every row of actions must have; 0 where none can be replayed.
        unit: of the actions (see `user_tables.read_actions`).
        where: only rows whose columns have these values, as text.

    Raises:
        InputError: names the file, the row and what to do.
    """
    path = Path(path)
    frame = user_tables.read_user_table(path, "texts", where)
    if ("trajectory_id" in frame) == ("action" in frame):
        both = "both columns" if "action" in frame else "neither column"
        raise InputError(
            f"{path}: {both} 'trajectory_id' and 'action'; say by one of them which drive a text "
            f"describes (found {user_tables.listed(frame)})"
        )
    actions = None
    if "action" in frame:
        actions = user_tables.read_actions(path, frame, steps, unit, "texts")
    given = []
    for k, row in enumerate(frame.to_dict(orient="records")):
        at = f"{path}: row {row[user_tables.ROW]}"
        if actions is not None and actions[k] is None:
            raise InputError(f"{at}: action is empty; leave the row out or give its drive")
        given.append(
            Given(
                row["text"],
                _word(row.get("style"), STYLE),
                _word(row.get("source"), path.stem),
                None if actions is not None else _identity(row["trajectory_id"], known, at),
                None if actions is None else actions[k],
            )
        )
    return given


def _word(value: Any, default: str) -> str:
    return value.strip() if isinstance(value, str) and value.strip() else default


def _identity(value: Any, known: Any, at: str) -> int:
    try:
        number = float(value)
        identity = int(number)
    except (TypeError, ValueError, OverflowError):
        identity, number = -1, float("nan")
    if identity != number:
        raise InputError(f"{at}: trajectory_id is {value!r}; expected a whole number")
    if identity not in known:
        raise InputError(
            f"{at}: this run has no trajectory {identity}; its ids stand in "
            "annotations/routes.parquet"
        )
    return identity
