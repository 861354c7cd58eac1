"""Read archives that other libraries wrote, as files of numbers. Pickles are refused.

| what | files |
|---|---|
| pyribs | CSV or Parquet of an `ArchiveDataFrame`: solution_0 …, objective, and measures_0 … or, as older versions named them, measure_0 …, behavior_0 …; other columns do not matter |
| QDax ≤ 0.4 | a folder with genotypes.npy, fitnesses.npy, descriptors.npy (centroids.npy is not needed), as `MapElitesRepertoire.save` writes them; empty cells have fitness −inf |
| plain | .npz with solutions, objective, measures |
| Wayword | elites.parquet |

A QDax genotype is a flax parameter tree flattened in the order of its sorted keys: for each Dense
layer first the bias, then the kernel [n_in, n_out]. It is brought to this project's order.

What a file is, its first bytes say, not its name; gzip, bzip2, xz, zstd, lz4 and a zip of one file
are unpacked. `archive_tools.archive.writers` goes the other way.
"""  # noqa: E501

import io
import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from archive_tools.archive.formats.columns import NAMES, Table, read_parquet
from archive_tools.archive.formats.contents import kind_of, unpack
from archive_tools.archive.formats.csv_text import read_csv
from archive_tools.tasks import ControllerSpec
from envs.errors import InputError

Floats = NDArray[np.float32]
ARRAYS = {"solutions": "solution", "objective": "objective", "measures": "measures"}
"""Array of a bundle -> field whose names it may have."""
NO_OBJECTIVE = "no objective, as after a novelty search: 0 for each elite"


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
    """Empty cells and rows left out."""
    notes: tuple[str, ...] = ()
    """What a user should know of how it was read."""

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
    data = unpack(path)
    kind = kind_of(data)
    if kind == "Parquet":
        return _from_table(path, read_parquet(path, data))
    if kind == "npz":
        return _read_npz(path, data)
    if kind == "text":
        return _from_table(path, read_csv(path, data))
    if kind == "npy":
        raise InputError(
            f"{path}: one array is not an archive; for QDax name the folder that holds "
            "genotypes.npy, fitnesses.npy and descriptors.npy"
        )
    raise InputError(
        f"{path}: {kind}, not an archive; expected CSV or Parquet (pyribs), .npz, or a folder of "
        ".npy files (QDax)"
    )


def _from_table(path: Path, table: Table) -> Foreign:
    n = len(table.rows)
    return Foreign(
        path,
        "pyribs",
        table.rows if table.ids is None else table.ids,
        np.zeros(n, np.float32) if table.objective is None else _single(
            table.objective, "objective", path),
        _single(table.measures, "measures", path),
        _single(table.solution, "solution", path),
        empty=table.empty,
        notes=(NO_OBJECTIVE,) if table.objective is None else (),
    )  # fmt: skip


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


def _load(path: Path, data: bytes, name: str | None = None) -> Any:
    """An array of a .npy file, or a bundle, or the array `name` of a bundle."""
    try:
        found = np.load(io.BytesIO(data), allow_pickle=False)
        return found if name is None else found[name]
    except Exception as error:  # NumPy's parser of headers raises what Python has
        what = f"array {name!r}" if name else "the array"
        reason = (str(error) or type(error).__name__).splitlines()[0]
        if "pickle" in reason.lower():
            reason = "it holds objects, which are pickles; save plain numbers"
        raise InputError(f"{path}: {what} cannot be read: {reason[:200]}") from None


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


def _read_npz(path: Path, data: bytes) -> Foreign:
    bundle = _load(path, data)
    arrays: dict[str, NDArray[np.float64]] = {}
    for field, names in ARRAYS.items():
        name = next((n for n in bundle.files if n.lower() in NAMES[names]), None)
        if name is not None:
            array = _load(path, data, name)
            arrays[field] = _plain(array, name, 1 if field == "objective" else 2, path)
        elif field != "objective":
            raise InputError(
                f"{path}: no array {field!r}; found {', '.join(bundle.files) or 'nothing'}"
            )
    notes = () if "objective" in arrays else (NO_OBJECTIVE,)
    arrays.setdefault("objective", np.zeros(len(arrays["solutions"])))
    return replace(_from_arrays("npz", arrays, path), notes=notes)


def _read_qdax(folder: Path) -> Foreign:
    if (folder / "elites.parquet").exists():
        path = folder / "elites.parquet"
        return _from_table(path, read_parquet(path, unpack(path)))
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
        arrays[field] = _plain(
            _load(path, unpack(path)), name, 1 if field == "objective" else 2, path
        )
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
