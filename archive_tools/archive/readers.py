"""Read archives that other libraries wrote, as files of numbers. Pickles are refused.

| what | files |
|---|---|
| pyribs | CSV or Parquet of an `ArchiveDataFrame`: solution_0 …, objective, and measures_0 … or, as older versions named them, measure_0 …, behavior_0 … |
| QDax ≤ 0.4 | a folder with genotypes.npy, fitnesses.npy, descriptors.npy (centroids.npy is not needed), as `MapElitesRepertoire.save` writes them; empty cells have fitness −inf |
| plain | .npz with solutions, objective, measures |
| Wayword | elites.parquet |

A QDax genotype is a flax parameter tree flattened in the order of its sorted keys: for each Dense
layer first the bias, then the kernel [n_in, n_out]. It is brought to this project's order.

`archive_tools.archive.writers` goes the other way.
"""  # noqa: E501

import itertools
import re
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.csv as pa_csv
from numpy.typing import NDArray

from archive_tools.archive.elites import stack_lists
from archive_tools.files.tables import read_arrow
from archive_tools.tasks.controllers import ControllerSpec
from envs.errors import InputError

Floats = NDArray[np.float32]
PICKLES = {".pkl", ".pickle", ".p", ".joblib", ".dill", ".cloudpickle", ".pt", ".pth", ".ckpt"}
VECTORS = {
    "solution": ("solution", "solutions"),
    "measures": ("measures", "measure", "behavior", "behaviors", "descriptor", "bd"),
}
ARRAYS = {
    "solutions": ("solutions", "solution", "genotypes"),
    "objective": ("objective", "objectives", "fitnesses", "fitness"),
    "measures": ("measures", "measure", "behavior", "descriptors", "bd", "bds"),
}


@dataclass(frozen=True)
class Foreign:
    """An archive as it came, checked for shape and finite numbers."""

    source: Path
    """The file or folder that it was read from."""
    kind: str
    """pyribs, qdax or npz."""
    policy_ids: NDArray[np.int64]
    objective: Floats
    """float32 [N]."""
    measures: Floats
    """float32 [N, n_bd]."""
    solutions: Floats
    """float32 [N, n_params], in the order of the source."""
    empty: int = 0
    """Empty cells left out."""

    def arranged(self, layers: Sequence[int]) -> Floats:
        """The solutions in this project's order of weights.

        Raises:
            InputError: their length is not that of controllers with these layers.
        """
        needed = ControllerSpec(layers=tuple(layers)).n_params
        if self.solutions.shape[1] != needed:
            raise InputError(
                f"solutions have {self.solutions.shape[1]} numbers, but controllers with --layers "
                f"{' '.join(map(str, layers))} have {needed} weights; give the right --layers"
            )
        return from_flax(self.solutions, layers) if self.kind == "qdax" else self.solutions


def from_flax(solutions: Floats, layers: Sequence[int]) -> Floats:
    """Flattened flax parameter trees of Dense layers, [N, n_params], in this project's order."""
    pairs = list(itertools.pairwise(layers))
    layer: dict[int, Floats] = {}
    begin = 0
    # The keys Dense_0, Dense_1, Dense_10, … are sorted as text.
    for number in sorted(range(len(pairs)), key=lambda i: f"Dense_{i}"):
        n_in, n_out = pairs[number]
        bias = solutions[:, begin : begin + n_out]
        kernel = solutions[:, begin + n_out : begin + n_out + n_in * n_out]
        layer[number] = np.concatenate([kernel, bias], axis=1)
        begin += (n_in + 1) * n_out
    return np.concatenate([layer[number] for number in range(len(pairs))], axis=1)


def infer_layers(n_params: int, n_in: int, n_out: int) -> tuple[int, ...]:
    """Layer sizes that give so many weights: the paper's 10-10-10, or else equal hidden layers.

    Raises:
        InputError: none or several fit; the message lists them.
    """
    paper = (n_in, 10, 10, 10, n_out)
    if ControllerSpec(layers=paper).n_params == n_params:
        return paper
    fits = list(_equal_layers(n_params, n_in, n_out))
    if len(fits) == 1:
        return fits[0]
    shown = "; ".join("--layers " + " ".join(map(str, fit)) for fit in fits)
    raise InputError(
        f"solutions have {n_params} numbers and the environment {n_in} inputs and {n_out} outputs; "
        + (f"several layer sizes fit, give one of: {shown}" if fits else
           "no controller with up to three equal hidden layers fits; give --layers")
    )  # fmt: skip


def _equal_layers(n_params: int, n_in: int, n_out: int) -> Iterator[tuple[int, ...]]:
    for depth in range(4):
        for width in range(1, 1025) if depth else (0,):
            layers = (n_in, *[width] * depth, n_out)
            if ControllerSpec(layers=layers).n_params == n_params:
                yield layers


def read_foreign(path: Path | str) -> Foreign:
    """Read an archive; see the module for the formats.

    Raises:
        InputError: not a known format, a pickle, missing columns, mixed lengths, NaN.
    """
    path = Path(path)
    if not path.exists():
        raise InputError(f"{path}: no such file or folder")
    return replace(_read(path), source=path)


def _read(path: Path) -> Foreign:
    if path.is_dir():
        return _read_qdax(path)
    _refuse_pickles(path)
    suffix = path.suffix.lower()
    if suffix == ".csv":
        return _from_frame(_read_csv(path), path)
    if suffix in (".parquet", ".pq"):
        return _read_parquet(path)
    if suffix == ".npz":
        return _read_npz(path)
    if suffix == ".npy":
        raise InputError(
            f"{path}: one array is not an archive; for QDax name the folder that holds "
            "genotypes.npy, fitnesses.npy and descriptors.npy"
        )
    raise InputError(
        f"{path}: unknown kind of file {suffix or '(no suffix)'!r}; expected .csv or .parquet "
        "(pyribs), .npz, or a folder of .npy files (QDax)"
    )


def _refuse_pickles(path: Path) -> None:
    with open(path, "rb") as file:
        head = file.read(512)
    pickled = path.suffix.lower() in PICKLES or (head[:1] == b"\x80" and head[1:2] in b"\2\3\4\5")
    if not pickled and zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as bundle:
            pickled = any(name.endswith(".pkl") for name in bundle.namelist())
    if pickled:
        raise InputError(
            f"{path}: a pickle, which can run any code when it is read; save the archive as CSV or "
            "Parquet (pyribs: archive.data(return_type='pandas').to_csv(...)) or as .npz of plain "
            "arrays"
        )
    if not head:
        raise InputError(f"{path}: an empty file")
    if head.lstrip(b"\xef\xbb\xbf \t\r\n")[:1] == b"<":
        raise InputError(
            f"{path}: a web page (HTML or XML), not an archive; download the file itself"
        )


def _read_csv(path: Path) -> pd.DataFrame:
    try:
        # Arrow's reader is exact to the last bit of a float; pandas' default need not be.
        return pa_csv.read_csv(path).to_pandas()
    except (pa.ArrowInvalid, pa.ArrowKeyError, UnicodeDecodeError) as error:
        reason = str(error).strip().splitlines()[0]
        raise InputError(f"{path}: not a readable CSV table ({reason[:200]})") from None


def _read_parquet(path: Path) -> Foreign:
    table = read_arrow(path)
    if table.num_rows == 0:
        raise InputError(f"{path}: the table has no rows")
    columns: dict[str, Any] = {}
    for name in table.column_names:
        column = table[name]
        if isinstance(column.type, pa.ListType | pa.LargeListType | pa.FixedSizeListType):
            for i, values in enumerate(stack_lists(column, name, path).T):
                columns[f"{name}_{i}"] = values
        else:
            columns[name] = column.to_pandas().to_numpy()
    return _from_frame(pd.DataFrame(columns), path)


def _vector(frame: pd.DataFrame, field: str, path: Path) -> Floats:
    """The columns NAME_0, NAME_1, … of a field, under any of the names it has had."""
    for name in VECTORS[field]:
        columns = {
            int(match[1]): column
            for column in frame.columns
            if (match := re.fullmatch(rf"{name}_(\d+)", str(column)))
        }
        if columns:
            missing = set(range(len(columns))) - set(columns)
            if missing:
                raise InputError(
                    f"{path}: column {name}_{min(missing)} is missing, though there is "
                    f"{name}_{max(columns)}"
                )
            return _numbers(frame, [columns[i] for i in range(len(columns))], path)
    shown = ", ".join(map(str, frame.columns[:8])) + (" …" if len(frame.columns) > 8 else "")
    raise InputError(f"{path}: no columns {VECTORS[field][0]}_0, …; found {shown}")


def _numbers(frame: pd.DataFrame, columns: Sequence[str], path: Path) -> Floats:
    arrays = []
    for name in columns:
        values = np.asarray(pd.to_numeric(frame[name], errors="coerce"), dtype=np.float64)
        if not np.isfinite(values).all():
            row = int(np.flatnonzero(~np.isfinite(values))[0])
            raise InputError(
                f"{path}: column {name!r}, row {row}: found {frame[name].iloc[row]}; "
                "expected a finite number (remove the row, or complete it)"
            )
        arrays.append(values)
    return _single(np.stack(arrays, axis=1), ", ".join(columns[:2]), path)


def _single(values: NDArray[np.floating], name: str, path: Path) -> Floats:
    """As float32, unless that overflows."""
    with np.errstate(over="ignore"):
        single = np.asarray(values, dtype=np.float32)
    if not np.isfinite(single).all():
        row = int(np.argwhere(~np.isfinite(single))[0][0])
        raise InputError(
            f"{path}: {name}, row {row}: NaN, infinite, or too large for float32; "
            "expected finite numbers"
        )
    return single


def _from_frame(frame: pd.DataFrame, path: Path) -> Foreign:
    if len(frame) == 0:
        raise InputError(f"{path}: the table has no rows")
    if "objective" not in frame.columns:
        shown = ", ".join(map(str, frame.columns[:8])) + (" …" if len(frame.columns) > 8 else "")
        raise InputError(f"{path}: no column 'objective'; found {shown}")
    ids = np.arange(len(frame), dtype=np.int64)
    for name in ("policy_id", "index"):
        given = frame.get(name)
        if given is not None and pd.api.types.is_integer_dtype(given) and given.is_unique:
            ids = given.to_numpy(dtype=np.int64)
            break
    return Foreign(
        path,
        "pyribs",
        ids,
        _numbers(frame, ["objective"], path)[:, 0],
        _vector(frame, "measures", path),
        _vector(frame, "solution", path),
    )


def _load(path: Path) -> Any:
    try:
        return np.load(path, allow_pickle=False)
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None
    except (ValueError, OSError, EOFError, zipfile.BadZipFile) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        hint = "object arrays are pickles; save plain numbers" if "pickle" in reason.lower() else ""
        raise InputError(f"{path}: {hint or f'not a readable numpy file ({reason})'}") from None


def _plain(array: NDArray[Any], name: str, dims: int, path: Path) -> NDArray[np.float64]:
    if not np.issubdtype(array.dtype, np.number) or np.iscomplexobj(array):
        raise InputError(f"{path}: {name} holds {array.dtype}; expected real numbers")
    array = np.asarray(array, dtype=np.float64)
    if dims == 1 and array.ndim == 2 and array.shape[1] == 1:
        array = array[:, 0]
    if dims == 2 and array.ndim > 2:
        array = array.reshape(len(array), -1)
    if array.ndim != dims:
        raise InputError(
            f"{path}: {name} has shape {list(array.shape)}; expected {dims} dimension(s)"
        )
    return array


def _read_npz(path: Path) -> Foreign:
    bundle = _load(path)
    if not isinstance(bundle, np.lib.npyio.NpzFile):
        raise InputError(f"{path}: not a .npz bundle of arrays")
    arrays: dict[str, NDArray[np.float64]] = {}
    with bundle:
        for field, names in ARRAYS.items():
            name = next((name for name in names if name in bundle.files), None)
            if name is None:
                raise InputError(
                    f"{path}: no array {field!r}; found {', '.join(bundle.files) or 'nothing'}"
                )
            try:
                array = bundle[name]
            except (ValueError, zipfile.BadZipFile, EOFError, OSError) as error:
                if "pickle" in str(error).lower():
                    raise InputError(
                        f"{path}: array {name!r} holds objects, which are pickles; save numbers"
                    ) from None
                raise InputError(f"{path}: array {name!r} cannot be read: {error}") from None
            arrays[field] = _plain(array, name, 1 if field == "objective" else 2, path)
    return _from_arrays("npz", arrays, path)


def _read_qdax(folder: Path) -> Foreign:
    if (folder / "elites.parquet").exists():
        return _read_parquet(folder / "elites.parquet")
    names = {"solutions": "genotypes", "objective": "fitnesses", "measures": "descriptors"}
    for name in names.values():
        if not (folder / f"{name}.npy").exists():
            raise InputError(
                f"{folder}: {name}.npy is missing; expected a folder of QDax ≤ 0.4 with "
                "genotypes.npy, fitnesses.npy and descriptors.npy"
            )
    arrays = {}
    for field, name in names.items():
        path = folder / f"{name}.npy"
        arrays[field] = _plain(_load(path), name, 1 if field == "objective" else 2, path)
    return _from_arrays("qdax", arrays, folder)


def _from_arrays(kind: str, arrays: dict[str, NDArray[np.float64]], path: Path) -> Foreign:
    lengths = {name: len(array) for name, array in arrays.items()}
    if len(set(lengths.values())) > 1:
        shown = ", ".join(f"{name} {length}" for name, length in lengths.items())
        raise InputError(f"{path}: arrays of several lengths ({shown}); expected one row per elite")
    filled = arrays["objective"] != -np.inf
    if not filled.any():
        raise InputError(f"{path}: the archive is empty")
    return Foreign(
        path,
        kind,
        np.flatnonzero(filled).astype(np.int64),
        _single(arrays["objective"][filled], "objective", path),
        _single(arrays["measures"][filled], "measures", path),
        _single(arrays["solutions"][filled], "solutions", path),
        empty=int((~filled).sum()),
    )
