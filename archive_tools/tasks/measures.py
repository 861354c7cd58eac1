"""The dimensions of the behaviour descriptor: names and bounds."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]


def cell_places(unit: Floats, shape: Sequence[int]) -> NDArray[np.int64]:
    """Cell [N, n_bd] along each dimension of a grid of `shape`, for points in units of the bounds.

    A point beyond the bounds is in the nearest cell.
    """
    sizes = np.asarray(shape)
    return np.clip((unit * sizes).astype(np.int64), 0, sizes - 1)


def cell_index(unit: Floats, shape: Sequence[int]) -> NDArray[np.int64]:
    """Cell [N] as one number, in C order; as `cell_places`."""
    places = cell_places(unit, shape)
    return np.asarray(np.ravel_multi_index(tuple(places.T), tuple(shape)), dtype=np.int64)


@dataclass(frozen=True)
class Measures:
    """The dimensions of the behaviour descriptor."""

    names: tuple[str, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]

    def unit(self, measures: ArrayLike) -> Floats:
        """Measures [N, n_bd] with the bounds mapped to 0 and 1, so that no dimension rules."""
        low, high = np.asarray(self.low), np.asarray(self.high)
        return (np.asarray(measures, dtype=np.float64) - low) / (high - low)

    def to_json(self) -> dict[str, Any]:
        """The fields as JSON values."""
        return {"names": list(self.names), "low": list(self.low), "high": list(self.high)}

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> "Measures":
        """The inverse of `to_json`."""
        return cls(tuple(value["names"]), tuple(value["low"]), tuple(value["high"]))

    @classmethod
    def of_dataset(cls, info: Mapping[str, Any]) -> "Measures":
        """Those that trajectories.json and dataset.json describe."""
        return cls(*(tuple(info[key]) for key in ("bd_names", "bd_low", "bd_high")))

    def are_positions(self, size: float) -> bool:
        """Whether they are a position (x, y) in a world with a side of `size` units."""
        return (self.names, self.low, self.high) == (("x", "y"), (0, 0), (size, size))
