"""The cells of the BD space: what coverage and QD score are counted in."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy.spatial import KDTree

from archive_tools.files.tables import read_table, write_table
from archive_tools.tasks.measures import Measures, cell_index
from envs.errors import InputError

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Cells:
    """A partition of the BD space: a grid, or the Voronoi regions of centroids (CVT)."""

    measures: Measures
    shape: tuple[int, ...]
    """Cells per dimension of a grid; (K,) for K centroids."""
    centroids: Floats | None = None
    """float64 [K, n_bd], in units of `Measures.unit`; None for a grid."""
    reachable_points: NDArray[np.float32] | None = field(default=None, repr=False)
    """[M, n_bd]: a dense sample of the BDs that can be reached at all; None when unknown."""

    @cached_property
    def _tree(self) -> KDTree:
        assert self.centroids is not None
        return KDTree(self.centroids)

    @property
    def count(self) -> int:
        """Number of cells."""
        return int(np.prod(self.shape))

    def index(self, measures: ArrayLike) -> NDArray[np.int64]:
        """Cell of each of the measures [N, n_bd], in C order; beyond the bounds the nearest."""
        unit = self.measures.unit(measures)
        if self.centroids is not None:
            return np.asarray(self._tree.query(unit)[1], dtype=np.int64)
        return cell_index(unit, self.shape)

    @cached_property
    def reachable(self) -> NDArray[np.bool_]:
        """bool [count]: cells that hold a reachable BD; all of them when that is unknown."""
        mask = np.ones(self.count, dtype=bool)
        if self.reachable_points is not None and len(self.reachable_points):
            mask[:] = False
            mask[self.index(self.reachable_points)] = True
        return mask

    def score(self, objective: ArrayLike, measures: ArrayLike) -> tuple[float, float]:
        """Coverage (share of the reachable cells) and QD score (sum of the best per cell)."""
        if len(np.asarray(objective)) == 0:
            return 0.0, 0.0
        index = self.index(measures)
        best = np.full(self.count, -np.inf)
        np.maximum.at(best, index, np.asarray(objective, dtype=np.float64))
        filled = np.isfinite(best)
        coverage = (filled & self.reachable).sum() / self.reachable.sum()
        return float(coverage), float(best[filled].sum())


def write_centroids(path: Path, centroids: Floats) -> None:
    """Write the centroids of a CVT, one column for each dimension, in units of `Measures.unit`."""
    columns = {f"centroid_{i}": column for i, column in enumerate(centroids.T)}
    write_table(path, pd.DataFrame(columns))


def load_cells(folder: Path, info: Mapping[str, Any], points: NDArray[np.float32] | None) -> Cells:
    """The cells that an archive's coverage is counted in.

    Args:
        folder: the archive's folder.
        info: its archive.json.
        points: sample of the reachable BDs, [M, n_bd].

    Raises:
        InputError: archive.json names no cells, or the centroids of a CVT are missing.
    """
    if not info.get("cells"):
        raise InputError(f"{folder / 'archive.json'}: field 'cells' is missing; expected a list")
    measures = Measures.from_json(info["measures"])
    centroids = None
    if info.get("partition") == "cvt":
        table = read_table(folder / "centroids.parquet")
        centroids = table.to_numpy(dtype=np.float64)
    return Cells(measures, tuple(info["cells"]), centroids, points)
