"""An archive: the elites of a quality-diversity search, each a controller with what it achieves.

Here is what an archive is and how it is kept on disk; `archive_tools.archive.readers` reads other
people's formats, `archive_tools.archive.cells` partitions the BD space.
"""

import hashlib
import json
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import ArrayLike, NDArray

from archive_tools.files import read_arrow, read_json, vector_column, write_json, write_table
from envs.errors import InputError

if TYPE_CHECKING:  # ribs takes a second to import, and most readers of archives do without it
    from ribs.archives import ArchiveBase, GridArchive

Floats = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Archive:
    """N elites, in ascending order of their ids.

    Raises:
        InputError: shapes disagree, an id appears twice or is negative, or objective or measures
            are not finite.
    """

    policy_ids: NDArray[np.int64]
    """int64 [N]; in a searched archive the number of the evaluation that found the elite."""
    objective: Floats
    """float32 [N], higher is better."""
    measures: Floats
    """float32 [N, n_bd], in the units of `info["measures"]`."""
    solutions: Floats
    """float32 [N, n_params], laid out as `archive_tools.tasks.controllers` says."""
    info: dict[str, Any]
    """The content of archive.json."""

    def __post_init__(self) -> None:
        ids = np.asarray(self.policy_ids, dtype=np.int64)
        objective = np.asarray(self.objective, dtype=np.float32)
        measures = np.asarray(self.measures, dtype=np.float32)
        solutions = np.asarray(self.solutions, dtype=np.float32)
        if ids.ndim != 1 or len(ids) == 0:
            raise InputError("the archive has no elites")
        for name, array, dims in (
            ("objective", objective, 1),
            ("measures", measures, 2),
            ("solutions", solutions, 2),
        ):
            if array.ndim != dims or len(array) != len(ids):
                expected = "[N]" if dims == 1 else "[N, dimensions]"
                raise InputError(
                    f"{name} has shape {list(array.shape)}; expected {expected} for "
                    f"N = {len(ids)} elites"
                )
        if ids.min() < 0:
            raise InputError(f"policy_id {ids.min()} is negative; ids are whole numbers from 0 up")
        order = np.argsort(ids, kind="stable")
        if (np.diff(ids[order]) == 0).any():
            twice = int(ids[order][:-1][np.diff(ids[order]) == 0][0])
            raise InputError(f"policy_id {twice} appears more than once; ids must be unique")
        for name, array in (("objective", objective), ("measures", measures)):
            bad = ~np.isfinite(array).reshape(len(ids), -1).all(axis=1)
            if bad.any():
                raise InputError(
                    f"policy {int(ids[bad][0])} has NaN or infinite {name} ({int(bad.sum())} such "
                    "elites); remove them"
                )
        for name, array in (
            ("policy_ids", ids),
            ("objective", objective),
            ("measures", measures),
            ("solutions", solutions),
        ):
            object.__setattr__(self, name, np.ascontiguousarray(array[order]))

    def __len__(self) -> int:
        return len(self.policy_ids)

    @property
    def broken(self) -> NDArray[np.int64]:
        """Ids of the policies with NaN or infinite weights."""
        return self.policy_ids[~np.isfinite(self.solutions).all(axis=1)]

    def take(self, keep: ArrayLike) -> "Archive":
        """The elites where the mask `keep`, bool [N], is true."""
        keep = np.asarray(keep, dtype=bool)
        return Archive(
            self.policy_ids[keep],
            self.objective[keep],
            self.measures[keep],
            self.solutions[keep],
            self.info,
        )

    def digest(self) -> str:
        """SHA-256 (hexadecimal) of all elites and of archive.json."""
        digest = hashlib.sha256(json.dumps(self.info, sort_keys=True).encode())
        for array in (self.policy_ids, self.objective, self.measures, self.solutions):
            digest.update(array.tobytes())
        return digest.hexdigest()

    def save(self, folder: Path | str) -> Path:
        """Write `elites.parquet` and `archive.json` to a folder, and return it."""
        folder = Path(folder)
        table = pa.table(
            {
                "policy_id": pa.array(self.policy_ids, pa.int64()),
                "objective": pa.array(self.objective, pa.float32()),
                "measures": vector_column(self.measures),
                "solution": vector_column(self.solutions),
                "checksum": pa.array(checksums(self.solutions), pa.uint32()),
            }
        )
        write_table(folder / "elites.parquet", table)
        write_json(folder / "archive.json", self.info)
        return folder

    def to_ribs(self, cells: Sequence[int] | None = None) -> "GridArchive":
        """The elites in a pyribs GridArchive; of several in one cell the best stays.

        Args:
            cells: cells per dimension; those of the archive where None.

        Raises:
            InputError: the archive names no grid and none is given.
        """
        from ribs.archives import GridArchive

        dims = list(cells or self.info.get("cells") or ())
        measures = self.info.get("measures", {})
        if len(dims) != self.measures.shape[1] or "low" not in measures:
            raise InputError(
                f"cells are {dims}; expected {self.measures.shape[1]} numbers, one for each measure"
            )
        grid = GridArchive(
            solution_dim=self.solutions.shape[1],
            dims=dims,
            ranges=list(zip(measures["low"], measures["high"], strict=True)),
            dtype=np.float32,
            extra_fields={"policy_id": ((), np.int64)},
        )
        grid.add(self.solutions, self.objective, self.measures, policy_id=self.policy_ids)
        return grid

    @classmethod
    def from_ribs(cls, archive: "ArchiveBase", info: dict[str, Any] | None = None) -> "Archive":
        """The elites of any pyribs archive; its field "policy_id", or else "index", is their id."""
        data = archive.data()
        assert isinstance(data, dict)
        ids = data.get("policy_id", data["index"])
        return cls(ids, data["objective"], data["measures"], data["solution"], info or {})

    def to_frame(self) -> pd.DataFrame:
        """The columns of a pyribs ArchiveDataFrame, which takes this as its argument.

        They are solution_0 …, objective, measures_0 …, index (the ids).
        """
        columns: dict[str, Any] = {
            f"solution_{i}": column for i, column in enumerate(self.solutions.T)
        }
        columns["objective"] = self.objective
        columns |= {f"measures_{i}": column for i, column in enumerate(self.measures.T)}
        columns["index"] = self.policy_ids
        return pd.DataFrame(columns)


def checksums(solutions: Floats) -> NDArray[np.uint32]:
    """CRC-32 of each solution [N, n_params]: a changed weight shows, even one without effect."""
    rows = np.ascontiguousarray(solutions, dtype="<f4")
    return np.array([zlib.crc32(row.tobytes()) for row in rows], dtype=np.uint32)


def altered_policies(folder: Path | str) -> NDArray[np.int64]:
    """Ids of the policies whose weights are not those that were saved.

    Empty where elites.parquet has no checksums.
    """
    table = read_arrow(Path(folder) / "elites.parquet")
    if "checksum" not in table.column_names:
        return np.empty(0, dtype=np.int64)
    solutions = stack_lists(table["solution"], "solution", Path(folder) / "elites.parquet")
    changed = table["checksum"].to_numpy() != checksums(solutions)
    return np.sort(table["policy_id"].to_numpy()[changed])


def stack_lists(column: pa.ChunkedArray, name: str, path: Path) -> Floats:
    """A column of equally long lists of numbers as float32 [N, D].

    Raises:
        InputError: it holds no lists, lists of several lengths, or nulls.
    """
    column = column.combine_chunks()
    kind = column.type
    if not (pa.types.is_list(kind) or pa.types.is_large_list(kind)
            or pa.types.is_fixed_size_list(kind)):  # fmt: skip
        raise InputError(f"{path}: column {name!r} is {kind}; expected lists of numbers")
    lengths = column.value_lengths().to_numpy(zero_copy_only=False)
    if column.null_count or len(set(lengths.tolist())) > 1:
        found = ", ".join(f"{n:g}" for n in sorted(set(lengths.tolist()))[:4])
        raise InputError(
            f"{path}: column {name!r} has vectors of several lengths or nulls (lengths {found}); "
            "expected one length"
        )
    flat = column.flatten()
    if flat.null_count or not (pa.types.is_floating(flat.type) or pa.types.is_integer(flat.type)):
        raise InputError(f"{path}: column {name!r} holds {flat.type} or nulls; expected numbers")
    width = int(lengths[0]) if len(lengths) else 0
    return flat.to_numpy(zero_copy_only=False).astype(np.float32).reshape(len(column), width)


def imported_drives(folder: Path) -> bool:
    """Whether an archive's folder is that of imported drives, behind which no elites stand."""
    path = folder / "archive.json"
    return path.is_file() and read_json(path, dict).get("algorithm") == "recorded"


def load_archive(path: Path | str, *, allow_broken: bool = False) -> Archive:
    """Load the archive of a run.

    Args:
        path: the archive's folder, or the run's.
        allow_broken: keep policies with NaN weights (verification lists them) instead of refusing.

    Raises:
        InputError: missing, truncated or foreign files, mixed dimensions, NaN.
    """
    folder = Path(path)
    if not (folder / "elites.parquet").exists() and (folder / "archive").is_dir():
        folder = folder / "archive"
    table_path = folder / "elites.parquet"
    if not table_path.exists():
        if imported_drives(folder):
            raise InputError(
                f"{folder}: imported drives, no elites, so there are no policies to drive; a run "
                "of another name is needed for a search"
            )
        raise InputError(
            f"{folder}: no archive here (elites.parquet is missing); search one with "
            "scripts/00_search_archive.py, or read a foreign one with its --import"
        )
    table = read_arrow(table_path, ("policy_id", "objective", "measures", "solution"))
    info = read_json(folder / "archive.json", dict)
    try:
        archive = Archive(
            table["policy_id"].to_numpy(),
            table["objective"].to_numpy(),
            stack_lists(table["measures"], "measures", table_path),
            stack_lists(table["solution"], "solution", table_path),
            info,
        )
    except InputError as error:
        text = str(error)
        named = text.startswith(str(table_path))
        raise InputError(text if named else f"{table_path}: {text}") from None
    names = info.get("measures", {}).get("names", ())
    if len(names) != archive.measures.shape[1]:
        raise InputError(
            f"{table_path}: measures have {archive.measures.shape[1]} dimensions, archive.json "
            f"names {len(names)}"
        )
    if len(archive.broken) and not allow_broken:
        raise InputError(
            f"{table_path}: policy {archive.broken[0]} has NaN or infinite weights "
            f"({len(archive.broken)} such policies); "
            "scripts/01_verify_archive.py --prune leaves them out"
        )
    return archive
