"""Tables that people bring along, in CSV, JSONL or Parquet: rows, texts and actions out of them.

Whatever is wrong with a file is one line that names file, row and remedy.
"""

import csv
import json
from collections.abc import Mapping, Sequence
from io import StringIO
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from archive_tools.files.tables import file_digest, read_arrow
from envs.errors import InputError, require_file
from envs.world import MAX_WHEEL

ActionUnit = Literal["auto", "units", "tenths"]
ROW = "__row"
"""Column with the number of each row in its file, from 1."""


def read_user_table(
    path: Path, option: str, where: Mapping[str, str] | None = None
) -> pd.DataFrame:
    """Read a table with a column `text`; the column ROW numbers its rows.

    Args:
        path: ends in .csv, .jsonl or .parquet.
        option: of the command line that names the file, without dashes.
        where: only rows whose columns have these values, as text.

    Raises:
        InputError: names the file, the row and what to do.
    """
    frame = _frame(path)
    if "text" not in frame:
        raise InputError(f"{path}: column 'text' is missing; found {listed(frame)}")
    frame[ROW] = np.arange(1, len(frame) + 1)
    for column, value in (where or {}).items():
        if column not in frame:
            raise InputError(
                f"{path}: --{option}-where {column}={value}: no such column; found {listed(frame)}"
            )
        frame = frame.loc[frame[column].astype(str) == value, :]
    if not len(frame):
        raise InputError(f"{path}: no rows" + (f" are left by --{option}-where" if where else ""))
    for text, row in zip(frame["text"], frame[ROW], strict=True):
        if not isinstance(text, str) or not text.strip():
            raise InputError(
                f"{path}: row {row}: the text is empty; leave the row out or write one"
            )
    frame["text"] = [" ".join(text.split()) for text in frame["text"]]
    return frame


def check_where(files: Sequence[Path], where: Sequence[str], option: str) -> dict[str, str]:
    """Conditions COLUMN=VALUE as a mapping.

    Raises:
        InputError: a condition has no value or belongs to no file.
    """
    for condition in where:
        if "=" not in condition:
            raise InputError(f"--{option}-where {condition}: write COLUMN=VALUE")
    if where and not files:
        raise InputError(f"--{option}-where needs --{option}")
    return {column: value for column, _, value in (c.partition("=") for c in where)}


def digests(files: Sequence[Path], option: str) -> dict[str, str]:
    """Name and content of each file, for the fingerprint of a stage.

    Raises:
        InputError: a file is missing, or of another kind.
    """
    for file in files:
        _require(Path(file))
    return {f"{option} {k}": f"{Path(f).name} {file_digest(Path(f))}" for k, f in enumerate(files)}


def _require(path: Path) -> None:
    """Raise InputError for what is no file of a kind that is read."""
    require_file(path)
    if not path.is_file():
        why = "is a folder; expected a file" if path.is_dir() else "no such file"
        raise InputError(f"{path}: {why}")
    if path.suffix.lower() not in (".csv", ".jsonl", ".parquet"):
        raise InputError(f"{path}: unknown kind of file; write .csv, .jsonl or .parquet")


def listed(frame: pd.DataFrame) -> str:
    """The columns of a table, for a message."""
    return ", ".join(str(c) for c in frame.columns if c != ROW) or "no columns"


def missing(value: Any) -> bool:
    """Whether a cell is empty: none, NaN, or text without a letter."""
    if isinstance(value, str):
        return not value.strip()
    return value is None or (isinstance(value, float) and bool(np.isnan(value)))


def cell_list(value: Any, at: str, example: str) -> list[Any]:
    """A cell that holds a list, of text a JSON list.

    Raises:
        InputError: it holds none; `at` says where, `example` how one is written.
    """
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except json.JSONDecodeError:
            value = None
    if not isinstance(value, (list, tuple, np.ndarray)):
        raise InputError(f"{at} is no list; write it like {example}")
    return list(value)


def _frame(path: Path) -> pd.DataFrame:
    _require(path)
    kind = path.suffix.lower()
    if kind == ".parquet":
        table = read_arrow(path)
        frame = table.to_pandas(ignore_metadata=True)  # an index is a column here
        if "action" in table.column_names:
            frame.attrs["integers"] = pa.types.is_integer(
                getattr(table.schema.field("action").type, "value_type", pa.null())
            )
        return frame
    try:
        wide = path.read_bytes()[:2] in (b"\xff\xfe", b"\xfe\xff")  # "Unicode text" of Excel
        content = path.read_text(encoding="utf-16" if wide else "utf-8-sig")
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
        header = content.split("\n", 1)[0]
        separator = max(",;\t", key=header.count)
        reader = csv.DictReader(StringIO(content, newline=""), strict=True, delimiter=separator)
        rows = list(reader)
    except csv.Error as error:
        raise InputError(f"{path}: line {reader.line_num} is no CSV ({error})") from None
    for number, row in enumerate(rows, 1):
        if None in row or None in row.values():
            raise InputError(
                f"{path}: row {number} has {'more' if None in row else 'fewer'} fields than the "
                f"header; quote texts that hold {separator!r}"
            )
    names = list(reader.fieldnames or ())
    if not names:
        raise InputError(f"{path}: no header; the first line names the columns")
    if twice := [name for name in names if names.count(name) > 1]:
        raise InputError(f"{path}: column {twice[0]!r} stands twice in the header; drop one")
    return pd.DataFrame(rows, columns=names)


def _json_lines(path: Path, content: str) -> pd.DataFrame:
    rows = []
    # Lines end in line feeds only: JSON may hold all other separators.
    for number, line in enumerate(content.split("\n"), 1):
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


def read_actions(
    path: Path, frame: pd.DataFrame, steps: int, unit: ActionUnit, option: str
) -> list[NDArray[np.float32] | None]:
    """The wheels of each row, [T, 2] in world units; None where the cell is empty.

    Args:
        path: of the table, for messages.
        frame: of `read_user_table`, with a column `action`.
        steps: T, which every row must have.
        unit: of the file. auto: whole numbers of which some are beyond the wheels' reach, and all
            columns of integers in Parquet, are tenths of a unit, anything else is units.
        option: of the command line that names the file, without dashes.

    Raises:
        InputError: names the file, the row and what to do.
    """
    rows: dict[int, NDArray[np.float64]] = {}
    for value, number in zip(frame["action"], frame[ROW], strict=True):
        if missing(value):
            continue
        at = f"{path}: row {number}: action"
        try:
            array = np.asarray(cell_list(value, at, "[4.0, 3.5, …]"), np.float64).reshape(-1)
        except (TypeError, ValueError) as error:
            if isinstance(error, InputError):
                raise
            raise InputError(f"{at} is no list of numbers (left, right, left, right, …)") from None
        if len(array) != 2 * steps:
            raise InputError(
                f"{at} has {len(array)} numbers; expected {2 * steps}: left and right wheel for "
                f"each of the {steps} steps of this run's trajectories"
            )
        if not np.isfinite(array).all():
            raise InputError(f"{at} has NaN or infinite numbers")
        rows[number] = array
    if not rows:
        return [None] * len(frame)
    every = np.stack(list(rows.values()))
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
            f"{path}: row {list(rows)[n]}: action goes up to "
            f"{np.abs(every[n]).max():g} units a step, the wheels reach {MAX_WHEEL:g}; read as "
            f"{'tenths' if tenths else 'units'}, --{option}-unit says otherwise"
        )
    wheels = {
        number: row.reshape(steps, 2).astype(np.float32)
        for number, row in zip(rows, every, strict=True)
    }
    return [wheels.get(number) for number in frame[ROW]]
