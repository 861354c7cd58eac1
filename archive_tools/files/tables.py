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
import pyarrow.parquet as pq
from numpy.typing import NDArray

from envs.errors import InputError


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """A temporary file to write, renamed to `path` when all is well: no reader sees half a file."""
    path = Path(path)
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


def read_json(path: Path) -> Any:
    """Read a JSON file. Numbers are finite, and each key of an object stands once.

    Raises:
        InputError: the file is missing or is not JSON.
    """
    path = Path(path)
    with reading(path):
        return json.loads(
            path.read_text(encoding="utf-8-sig"),
            object_pairs_hook=_object,
            parse_constant=_number,
            parse_float=_number,
        )


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


def write_table(
    path: Path, table: pa.Table | pd.DataFrame, metadata: Mapping[str, str] | None = None
) -> None:
    """Write a Parquet table (zstd), atomically. `metadata` is added to the schema's own.

    The same table gives the same bytes on the same pyarrow version.
    """
    if isinstance(table, pd.DataFrame):
        table = pa.Table.from_pandas(table, preserve_index=False).replace_schema_metadata(None)
    if metadata:
        table = table.replace_schema_metadata({**(table.schema.metadata or {}), **metadata})
    with atomic_path(path) as temporary:
        pq.write_table(table, temporary, compression="zstd")


def list_column(rows: Sequence[NDArray[np.floating]]) -> pa.ListArray:
    """N arrays, each flattened to a list, as a column list<float32>."""
    flat = [np.asarray(row, np.float32).reshape(-1) for row in rows]
    ends = np.cumsum([0, *(len(row) for row in flat)]).astype(np.int32)
    return pa.ListArray.from_arrays(ends, np.concatenate([np.zeros(0, np.float32), *flat]))


def vector_column(rows: NDArray[np.floating]) -> pa.FixedSizeListArray:
    """Rows [N, D] as a column of lists of D float32."""
    flat = pa.array(np.ascontiguousarray(rows, np.float32).reshape(-1))
    return pa.FixedSizeListArray.from_arrays(flat, rows.shape[1])


def read_arrow(path: Path, columns: Sequence[str] = ()) -> pa.Table:
    """Read `columns` of a Parquet table, or all of it when none are named.

    Raises:
        InputError: the file is missing, truncated, not Parquet, or lacks a named column.
    """
    path = Path(path)
    try:
        names = pq.read_schema(path).names
        missing = [name for name in columns if name not in names]
        if missing:
            raise InputError(
                f"{path}: column {missing[0]!r} is missing; "
                f"found {', '.join(names) or 'no columns'}"
            )
        return pq.read_table(path, columns=list(columns) or None)
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


def read_table(path: Path, columns: Sequence[str] = ()) -> pd.DataFrame:
    """`read_arrow` as a pandas DataFrame; the same arguments and errors."""
    table = read_arrow(path, columns)
    try:
        return table.to_pandas(ignore_metadata=True)  # which another program may have written
    except (pa.ArrowException, ValueError) as error:
        reason = str(error).splitlines()[0][:200]
        raise InputError(f"{path}: damaged ({reason}); write it again") from None
