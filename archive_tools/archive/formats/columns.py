"""The columns of an archive's table: which are needed, what must hold of them; from Parquet.

Only needed columns are read. Others may hold anything: cells of several lines, lists of several
lengths, pictures, dates.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from envs.errors import InputError

Doubles = NDArray[np.float64]
NAMES = {
    "solution": ("solution", "solutions", "genotype", "genotypes"),
    "objective": ("objective", "objectives", "fitness", "fitnesses"),
    "measures": (
        "measures", "measure", "behavior", "behaviors", "behaviour", "behaviours", "descriptor",
        "descriptors", "bd", "bds",
    ),
}  # fmt: skip
"""Field -> its names, in pyribs of any age, QDax and elsewhere."""
IDS = ("policy_id", "index")


@dataclass(frozen=True)
class Table:
    """What is needed of a table of N rows."""

    solution: Doubles
    """float64 [N, n_params]."""
    measures: Doubles
    """float64 [N, n_bd]."""
    objective: Doubles | None
    """float64 [N]; None where there is no such column, or an empty one."""
    ids: NDArray[np.int64] | None
    """int64 [N], unique and not negative; None where no column gives any."""
    rows: NDArray[np.int64]
    """int64 [N]: the rows of the file, from 0."""
    empty: int
    """Rows left out: empty ones, and QDax's empty cells (objective −inf)."""


@dataclass(frozen=True)
class Needed:
    """Places of the needed columns in a table's header."""

    solution: list[int]
    measures: list[int]
    objective: list[int]
    ids: list[int]

    @property
    def places(self) -> list[int]:
        """All of them."""
        return [*self.solution, *self.measures, *self.objective, *self.ids]


def plain(name: str) -> str:
    name = name.strip().lstrip("\ufeff#").strip().strip("\"'").strip().lower()
    return re.sub(r"_0+(?=\d)", "_", name)  # solution_007


def needed(header: Sequence[str], path: Path) -> Needed:
    """Find the columns of an archive in a header.

    Raises:
        InputError: a column is missing or stands twice.
    """
    names = [plain(name) for name in header]

    def place(name: str) -> int:
        if names.count(name) > 1:
            raise InputError(f"{path}: column {name!r} stands twice in the header; drop one")
        return names.index(name)

    def vector(field: str) -> list[int]:
        for name in NAMES[field]:
            numbers = [
                int(m[1]) for n in names if (m := re.fullmatch(rf"{name}_([0-9]{{1,9}})", n))
            ]
            if numbers:
                missing = sorted(set(range(len(set(numbers)))) - set(numbers))
                if missing:
                    raise InputError(
                        f"{path}: column {name}_{missing[0]} is missing, though there is "
                        f"{name}_{max(numbers)}"
                    )
                return [place(f"{name}_{i}") for i in sorted(set(numbers))]
            if name in names:
                return [place(name)]
        shown = ", ".join(n.strip()[:40] for n in header[:8]) + (" …" if len(header) > 8 else "")
        raise InputError(f"{path}: no columns {NAMES[field][0]}_0, …; found {shown}")

    objective = [place(n) for n in NAMES["objective"] if n in names][:1]
    ids = [place(n) for n in IDS if n in names]
    return Needed(vector("solution"), vector("measures"), objective, ids)


def assemble(
    path: Path, header: Sequence[str], found: Needed, columns: dict[int, Doubles]
) -> Table:
    """Put the numbers together: columns [N] or [N, D] by their place, NaN where a cell is empty."""
    n = len(columns[found.solution[0]])
    if n == 0:
        raise InputError(f"{path}: the table has no rows")
    stacked = {
        field: np.concatenate([columns[i].reshape(n, -1) for i in getattr(found, field)], axis=1)
        for field in ("solution", "measures")
    }
    objective = columns[found.objective[0]].reshape(n, -1) if found.objective else None
    # A row in which nothing is written, as spreadsheets leave below a table, is no elite.
    filled = np.asarray(~np.isnan(np.concatenate([*stacked.values()], axis=1)).all(axis=1))
    if objective is not None and objective.shape[1] == 1:
        filled &= ~np.isneginf(objective[:, 0])
    if not filled.any():
        raise InputError(f"{path}: the table has no rows with numbers")
    for place in (*found.solution, *found.measures):
        values = columns[place].reshape(n, -1)
        bad = filled & ~np.isfinite(values).all(axis=1)
        if bad.any():
            raise _missing(path, header[place], int(np.flatnonzero(bad)[0]), values[bad][0])
    if objective is not None and np.isnan(objective[filled]).all():
        objective = None
    if objective is not None and objective.shape[1] != 1:
        raise InputError(
            f"{path}: column {header[found.objective[0]]!r} holds {objective.shape[1]} numbers in "
            "each row; expected one (choose an objective)"
        )
    if objective is not None:
        bad = filled & ~np.isfinite(objective[:, 0])
        if bad.any():
            name = header[found.objective[0]]
            raise _missing(path, name, int(np.flatnonzero(bad)[0]), objective[bad][0])
    return Table(
        stacked["solution"][filled],
        stacked["measures"][filled],
        None if objective is None else objective[filled, 0],
        _ids(path, header, found, columns, filled),
        np.flatnonzero(filled).astype(np.int64),
        int((~filled).sum()),
    )


def _missing(path: Path, name: str, row: int, values: Doubles) -> InputError:
    value = values[~np.isfinite(values)][0]
    return InputError(
        f"{path}: column {name.strip()!r}, row {row}: found "
        f"{'nothing' if np.isnan(value) else f'{value:g}'}; expected a finite number (remove the "
        "row, or complete it)"
    )


def _ids(
    path: Path, header: Sequence[str], found: Needed, columns: dict[int, Doubles], filled: NDArray
) -> NDArray[np.int64] | None:
    for place in found.ids:
        values = columns.get(place)
        if values is None or values.ndim != 1:
            continue
        values = values[filled]
        # Beyond 2**53 a double skips whole numbers.
        if not (np.isfinite(values) & (values == np.floor(values)) & (abs(values) < 2**53)).all():
            continue
        if (values < 0).any():
            row = int(np.flatnonzero(filled)[values < 0][0])
            raise InputError(
                f"{path}: column {header[place].strip()!r}, row {row}: found {values.min():.0f}; "
                "expected ids from 0 up (renumber them, or drop the column)"
            )
        if len(np.unique(values)) == len(values):
            return values.astype(np.int64)
    return None


# Parquet


def read_parquet(path: Path, data: bytes) -> Table:
    """An archive's table in Parquet.

    Raises:
        InputError: truncated, columns are missing, or a needed one holds no numbers.
    """
    try:
        file = pq.ParquetFile(pa.BufferReader(data))
        header = list(file.schema_arrow.names)
        found = needed(header, path)
        table = file.read(columns=[header[i] for i in found.places])
        columns = {i: _numbers(table[header[i]], header[i], path) for i in found.places
                   if i not in found.ids or pa.types.is_integer(table[header[i]].type)}  # fmt: skip
    except InputError:
        raise
    except (pa.ArrowException, OSError, ValueError, KeyError, MemoryError, OverflowError) as error:
        reason = (str(error) or type(error).__name__).splitlines()[0][:200]
        raise InputError(
            f"{path}: not a readable Parquet file, truncated perhaps ({reason}); write it again"
        ) from None
    return assemble(path, header, found, columns)


def _numbers(column: pa.ChunkedArray | pa.Array, name: str, path: Path) -> Doubles:
    """Any column that holds numbers, or lists of equally many: float64 [N] or [N, D]."""
    array: Any = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    while isinstance(array, pa.ExtensionArray):
        array = array.storage
    if pa.types.is_dictionary(array.type):
        array = array.dictionary_decode()
    if pa.types.is_string_view(array.type):
        array = array.cast(pa.string())
    kind = array.type
    if pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind):
        lengths = np.asarray(array.value_lengths().to_numpy(zero_copy_only=False))
        if array.null_count or len(set(lengths.tolist())) > 1:
            found = ", ".join(f"{n:g}" for n in sorted(set(lengths.tolist()))[:4])
            raise InputError(
                f"{path}: column {name!r} has vectors of several lengths or nulls (lengths "
                f"{found}); expected one length"
            )
        return _numbers(array.flatten(), name, path).reshape(len(array), -1)
    if pa.types.is_null(kind):
        return np.full(len(array), np.nan)
    if pa.types.is_boolean(kind):
        array = pc.cast(array, pa.int8())
    elif pa.types.is_string(kind) or pa.types.is_large_string(kind):
        try:
            array = pc.cast(array, pa.float64())
        except pa.ArrowInvalid as error:
            raise InputError(f"{path}: column {name!r} holds text ({error})") from None
    elif not (pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind)):
        raise InputError(f"{path}: column {name!r} holds {kind}; expected numbers")
    return np.asarray(
        array.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False), dtype=np.float64
    )
