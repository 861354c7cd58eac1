"""Recorded episodes of any environment as arrays."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np


@dataclass
class Episodes:
    """N episodes, their steps end to end."""

    length: np.ndarray
    """[N] int64."""
    steps: dict[str, np.ndarray]
    """name -> [sum of lengths, size] float32: what is known before and of each action."""
    each: dict[str, np.ndarray] = field(default_factory=dict)
    """name -> [N, size] float32."""
    texts: list[list[str]] | None = None
    """Descriptions of each episode."""
    info: dict[str, Any] = field(default_factory=dict)
    where: str = "the data"
    """What messages call it."""
    ids: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int64))
    """[N] int64; 0 … N-1 where none are given."""
    weight: np.ndarray = field(default_factory=lambda: np.zeros(0))
    """[N] float64: how often their windows are drawn, beside their steps; 1 where not given."""

    def __post_init__(self) -> None:
        if not len(self.ids):
            self.ids = np.arange(len(self.length))
        if not len(self.weight):
            self.weight = np.ones(len(self.length))

    @property
    def first(self) -> np.ndarray:
        """Where each episode's steps begin [N]."""
        return np.cumsum(self.length) - self.length
