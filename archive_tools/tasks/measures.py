"""The dimensions of the behaviour descriptor: names and bounds."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]


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
