"""Descriptions that people bring along: rows of a CSV, JSONL or Parquet file.

Columns: `text`, and either `trajectory_id` (of this run) or `action` (the wheels of a drive of its
own, which is replayed); optional `style` and `source`. Whatever is wrong with a file ends the stage
with one line that names file, row and remedy; whether a text is true is checked later.
"""

import csv
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from archive_tools.files import read_arrow
from envs.errors import InputError
from envs.world import MAX_WHEEL

ActionUnit = Literal["auto", "units", "tenths"]
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
    unit: ActionUnit = "auto",
    where: Mapping[str, str] | None = None,
) -> list[Given]:
    """Read a file of descriptions.

    Args:
        path: ends in .csv, .jsonl or .parquet.
        known: trajectory ids of the run.
        steps: T, which every row of actions must have; 0 where none can be replayed.
        unit: of the actions. auto: whole numbers of which some are beyond the wheels' reach, and
            all columns of integers in Parquet, are tenths of a unit, anything else is units.
        where: only rows whose columns have these values, as text.

    Raises:
        InputError: names the file, the row and what to do.
    """
    frame = _frame(Path(path))
    if "text" not in frame:
        raise InputError(f"{path}: column 'text' is missing; found {_listed(frame)}")
    if ("trajectory_id" in frame) == ("action" in frame):
        both = "both columns" if "action" in frame else "neither column"
        raise InputError(
            f"{path}: {both} 'trajectory_id' and 'action'; say by one of them which drive a text "
            f"describes (found {_listed(frame)})"
        )
    frame["__row"] = np.arange(1, len(frame) + 1)
    for column, value in (where or {}).items():
        if column not in frame:
            raise InputError(
                f"{path}: --texts-where {column}={value}: no such column; found {_listed(frame)}"
            )
        frame = frame.loc[frame[column].astype(str) == value, :]
    if not len(frame):
        raise InputError(f"{path}: no rows" + (" are left by --texts-where" if where else ""))
    actions = _actions(path, frame, steps, unit) if "action" in frame else None
    name = Path(path).stem
    given = []
    for k, row in enumerate(frame.to_dict(orient="records")):
        at = f"{path}: row {row['__row']}"
        text = row["text"]
        if not isinstance(text, str) or not text.strip():
            raise InputError(f"{at}: the text is empty; leave the row out or write one")
        given.append(
            Given(
                " ".join(text.split()),
                _word(row.get("style"), STYLE),
                _word(row.get("source"), name),
                None if actions is not None else _identity(row["trajectory_id"], known, at),
                None if actions is None else actions[k],
            )
        )
    return given


def _listed(frame: pd.DataFrame) -> str:
    return ", ".join(str(c)[:40] for c in frame.columns if c != "__row") or "no columns"


def _word(value: Any, default: str) -> str:
    return value.strip() if isinstance(value, str) and value.strip() else default


def _frame(path: Path) -> pd.DataFrame:
    kind = path.suffix.lower()
    if kind not in (".csv", ".jsonl", ".parquet"):
        raise InputError(f"{path}: unknown kind of file; write .csv, .jsonl or .parquet")
    if not path.is_file():
        raise InputError(f"{path}: no such file")
    if kind == ".parquet":
        table = read_arrow(path)
        frame = table.to_pandas(ignore_metadata=True)  # an index is a column here
        if "action" in table.column_names:
            frame.attrs["integers"] = pa.types.is_integer(
                getattr(table.schema.field("action").type, "value_type", pa.null())
            )
        return frame
    try:
        content = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(
            f"{path}: not UTF-8 (byte {error.object[error.start]:#04x} at {error.start}); save it "
            "as UTF-8, or convert it: iconv -f latin1 -t utf-8"
        ) from None
    if kind == ".jsonl":
        return _json_lines(path, content)
    return _comma_separated(path, content)


def _comma_separated(path: Path, content: str) -> pd.DataFrame:
    try:
        reader = csv.DictReader(StringIO(content, newline=""), strict=True)
        rows = list(reader)
    except csv.Error as error:
        raise InputError(f"{path}: line {reader.line_num} is no CSV ({error})") from None
    for number, row in enumerate(rows, 1):
        if None in row or None in row.values():
            raise InputError(
                f"{path}: row {number} has {'more' if None in row else 'fewer'} fields than the "
                "header; quote texts that hold commas"
            )
    if not reader.fieldnames:
        raise InputError(f"{path}: no header; the first line names the columns")
    return pd.DataFrame(rows, columns=list(reader.fieldnames))


def _json_lines(path: Path, content: str) -> pd.DataFrame:
    rows = []
    for number, line in enumerate(content.splitlines(), 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except (json.JSONDecodeError, RecursionError) as error:
            raise InputError(f"{path}: line {number} is not JSON ({error})") from None
        if not isinstance(row, dict):
            raise InputError(f"{path}: line {number} is no JSON object; write one object per line")
        rows.append(row)
    return pd.DataFrame(rows)


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


def _actions(
    path: Path, frame: pd.DataFrame, steps: int, unit: ActionUnit
) -> list[NDArray[np.float32]]:
    rows = []
    for value, number in zip(frame["action"], frame["__row"], strict=True):
        at = f"{path}: row {number}: action"
        if isinstance(value, str):
            try:
                value = json.loads(value)
            except json.JSONDecodeError:
                raise InputError(f"{at} is no list; write it like [4.0, 3.5, …]") from None
        try:
            array = np.asarray(list(value), np.float64).reshape(-1)
        except (TypeError, ValueError):
            raise InputError(f"{at} is no list of numbers (left, right, left, right, …)") from None
        if len(array) != 2 * steps:
            raise InputError(
                f"{at} has {len(array)} numbers; expected {2 * steps}: left and right wheel for "
                f"each of the {steps} steps of this run's trajectories"
            )
        if not np.isfinite(array).all():
            raise InputError(f"{at} has NaN or infinite numbers")
        rows.append(array)
    every = np.stack(rows)
    tenths = unit == "tenths"
    if unit == "auto":
        whole = bool((every == np.round(every)).all())
        tenths = frame.attrs.get("integers", False) or (
            whole and bool(np.abs(every).max() > MAX_WHEEL)
        )
    every = every / 10 if tenths else every
    beyond = np.flatnonzero(np.abs(every).max(axis=1) > MAX_WHEEL + 1e-6)
    if len(beyond):
        n = int(beyond[0])
        raise InputError(
            f"{path}: row {frame['__row'].iloc[n]}: action goes up to "
            f"{np.abs(every[n]).max():g} units a step, the wheels reach {MAX_WHEEL:g}; read as "
            f"{'tenths' if tenths else 'units'}, --texts-unit says otherwise"
        )
    return [row.reshape(steps, 2).astype(np.float32) for row in every]
