"""Read and write the tables and JSON files of a run: atomic, deterministic, clear errors."""

import hashlib
import json
import math
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from envs.errors import InputError, require_file


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """A temporary file to write, renamed to `path` when all is well: no reader sees half a file."""
    path = Path(path).absolute()  # Arrow takes a relative "a:b/c" for an address
    require_file(path)
    if path.is_dir():
        raise InputError(f"{path}: is a folder; expected the name of a file to write")
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.tmp")
    try:
        yield temporary
        os.replace(temporary, path)
    except BaseException:  # a full disk, Ctrl-C: half a file is of no use, and takes room
        with suppress(OSError):
            temporary.unlink()
        raise


def atomic_write(path: Path, data: bytes | str) -> None:
    """Write `data` to a file, atomically."""
    with atomic_path(path) as temporary, open(temporary, "wb") as file:
        # A file's name that is no UTF-8 stands in a JSON text as an escape.
        file.write(data.encode(errors="backslashreplace") if isinstance(data, str) else data)
        file.flush()
        os.fsync(file.fileno())


def file_digest(path: Path) -> str:
    """sha256 of a file, in hex."""
    with reading(path), open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_json(path: Path, value: Any) -> None:
    """Write `value` as indented JSON with a final newline, atomically."""
    atomic_write(path, json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Reading a file of text: whatever is wrong with it becomes one line that names it.

    Raises:
        InputError: it is not there, no file, not to be read, no UTF-8, or (JSON and TOML) not of
            its format, or nested too deeply.
    """
    require_file(path)
    try:
        yield
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None
    except IsADirectoryError:
        raise InputError(f"{path}: is a folder; expected a file") from None
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror or error})") from None
    except RecursionError:
        raise InputError(f"{path}: nested too deeply to be read") from None
    except InputError:
        raise
    except ValueError as error:
        name = {".json": "JSON", ".toml": "TOML"}.get(Path(path).suffix, "text in UTF-8")
        raise InputError(f"{path}: not valid {name} ({error}); write it again") from None


def read_json(path: Path, kind: type = object) -> Any:
    """Read a JSON file. Numbers are finite, and each key of an object stands once.

    Raises:
        InputError: the file is missing, is not JSON, or holds no `kind` (dict or list).
    """
    path = Path(path)
    with reading(path):
        value = json.loads(
            path.read_text(encoding="utf-8-sig"),
            object_pairs_hook=_object,
            parse_constant=_number,
            parse_float=_number,
        )
    if not isinstance(value, kind):
        what = "an object" if kind is dict else "a list"
        raise InputError(f"{path}: holds {str(value)[:40]!r}; expected {what}; write it again")
    return value


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"the key {twice!r} stands twice in an object")
    return found


def _number(written: str) -> float:
    number = float(written)
    if not math.isfinite(number):
        raise ValueError(f"{written} is not finite")
    return number


ROW_GROUP = 2**15
"""Rows that are written together where a table comes in parts: bounds the memory."""


def write_table(
    path: Path,
    table: pa.Table | pd.DataFrame | Iterator[pa.Table],
    metadata: Mapping[str, str] | None = None,
) -> int:
    """Write a Parquet table (zstd), atomically; `metadata` is added to the schema's own.

    A table that comes in parts is never held whole; of no part no file is made. The same table
    gives the same bytes on the same pyarrow version.

    Returns:
        the number of rows.
    """
    whole = (
        pa.Table.from_pandas(table, preserve_index=False).replace_schema_metadata(None)
        if isinstance(table, pd.DataFrame)
        else table
    )
    parts: Iterator[Any] = iter((whole,)) if isinstance(whole, pa.Table) else whole
    first = next(parts, None)
    if first is None:
        return 0
    schema = first.schema
    if metadata:
        schema = schema.with_metadata({**(schema.metadata or {}), **metadata})
    written, held = 0, list[Any]([first])
    with (
        atomic_path(path) as temporary,
        pq.ParquetWriter(temporary, schema, compression="zstd", write_page_checksum=True) as writer,
    ):
        for part in parts:
            if sum(map(len, held)) >= ROW_GROUP:
                written += _write_group(writer, held)
            held.append(part)
        written += _write_group(writer, held)
    return written


def _write_group(writer: pq.ParquetWriter, held: list[pa.Table]) -> int:
    """Write the tables held as one group of rows, and forget them; how many rows they had."""
    table = pa.concat_tables(held).replace_schema_metadata(writer.schema.metadata)
    held.clear()
    writer.write_table(table)
    return len(table)


def list_column(rows: Sequence[NDArray[np.floating]]) -> pa.ListArray:
    """N arrays, each flattened to a list, as a column list<float32>."""
    flat = [np.asarray(row, np.float32).reshape(-1) for row in rows]
    ends = np.cumsum([0, *(len(row) for row in flat)]).astype(np.int32)
    return pa.ListArray.from_arrays(ends, np.concatenate([np.zeros(0, np.float32), *flat]))


def vector_column(rows: NDArray[np.floating]) -> pa.FixedSizeListArray:
    """Rows [N, D] as a column of lists of D float32."""
    flat = pa.array(np.ascontiguousarray(rows, np.float32).reshape(-1))
    return pa.FixedSizeListArray.from_arrays(flat, rows.shape[1])


def read_arrow(
    path: Path,
    columns: Sequence[str] = (),
    rows: tuple[int, int] | None = None,
    where: pc.Expression | None = None,
) -> pa.Table:
    """Read `columns` of a Parquet table, or all of it when none are named.

    Args:
        path: of the file.
        columns: their names.
        rows: the first and the one after the last to read: no more row groups are read than hold
            them; all where None.
        where: a condition on columns: only rows that meet it, in place of `rows`.

    Raises:
        InputError: the file is missing, truncated, not Parquet, or lacks a named column.
    """
    path = Path(path)
    require_file(path)
    try:
        names = pq.read_schema(path.absolute()).names
        missing = [name for name in columns if name not in names]
        if missing:
            raise InputError(
                f"{path}: column {missing[0]!r} is missing; "
                f"found {', '.join(names) or 'no columns'}"
            )
        if rows is not None:
            return _read_rows(path, list(columns) or None, *rows)
        return pq.read_table(
            path.absolute(),
            columns=list(columns) or None,
            filters=where,
            page_checksum_verification=True,
        )
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None
    except InputError:
        raise
    except (IsADirectoryError, PermissionError) as error:
        raise InputError(f"{path}: cannot be read ({error.strerror or error})") from None
    except (pa.ArrowException, OSError, ValueError, KeyError, MemoryError) as error:
        reason = (str(error) or type(error).__name__).splitlines()[0][:200]
        raise InputError(
            f"{path}: not a readable Parquet file, truncated perhaps ({reason}); write it again"
        ) from None


def _read_rows(path: Path, columns: list[str] | None, begin: int, end: int) -> pa.Table:
    with pq.ParquetFile(path.absolute(), page_checksum_verification=True) as file:
        sizes = [file.metadata.row_group(k).num_rows for k in range(file.num_row_groups)]
        firsts = np.cumsum([0, *sizes])
        groups = np.flatnonzero((firsts[:-1] < end) & (firsts[1:] > begin)).tolist()
        table = file.read_row_groups(groups, columns=columns)
        return table.slice(begin - int(firsts[groups[0]]) if groups else 0, end - begin)


def read_table(
    path: Path, columns: Sequence[str] = (), where: pc.Expression | None = None
) -> pd.DataFrame:
    """`read_arrow` as a pandas DataFrame; the same arguments and errors."""
    table = read_arrow(path, columns, where=where)
    try:
        return table.to_pandas(ignore_metadata=True)  # which another program may have written
    except (pa.ArrowException, ValueError) as error:
        reason = str(error).splitlines()[0][:200]
        raise InputError(f"{path}: damaged ({reason}); write it again") from None
