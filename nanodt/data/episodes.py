"""Recorded episodes of any environment as arrays."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from scipy.signal import lfilter

from nanodt.errors import InputError
from nanodt.packing import ragged


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

    @property
    def returns(self) -> np.ndarray:
        """Sum of rewards of each episode [N]."""
        return np.add.reduceat(self.steps["reward"][:, 0], self.first)

    def check(self, *names: str, **sizes: int) -> Episodes:
        """Refuse what lacks a field, has another size than given, or holds a NaN; itself."""
        for name in (*names, *sizes):
            values = self.steps.get(name, self.each.get(name))
            if values is None:
                found = ", ".join([*self.steps, *self.each])
                raise InputError(f"{self.where}: no field {name!r} (found {found}): record it too")
            rows = int(self.length.sum()) if name in self.steps else len(self.length)
            if values.ndim != 2 or len(values) != rows:
                raise InputError(
                    f"{self.where}: {name} has shape {list(values.shape)}, expected [{rows}, size]"
                )
            if not np.isfinite(values).all():
                raise InputError(f"{self.where}: {name} holds a NaN or infinite number")
            if name in sizes and values.shape[1] != sizes[name]:
                raise InputError(
                    f"{self.where}: {name} has {values.shape[1]} numbers a row, this recipe needs "
                    f"{sizes[name]}: record it from the recipe's own environment"
                )
        return self

    def size(self, name: str) -> int:
        """Numbers in a row of a field."""
        return (self.steps[name] if name in self.steps else self.each[name]).shape[1]

    def with_steps(self, **fields: np.ndarray) -> Episodes:
        """The same with further fields of its steps."""
        new = {k: np.asarray(v, np.float32).reshape(len(v), -1) for k, v in fields.items()}
        return replace(self, steps={**self.steps, **new})

    def returns_to_go(self, discount: float = 1.0) -> np.ndarray:
        """Sum of the rewards from each step on [sum of lengths, 1]."""
        reward = self.steps["reward"][:, 0].astype(np.float64)
        parts = np.split(reward, self.first[1:])
        sums = [lfilter([1.0], [1.0, -discount], part[::-1])[::-1] for part in parts]
        return np.concatenate(sums)[:, None].astype(np.float32)

    def take(self, index: np.ndarray) -> Episodes:
        """Some of the episodes, in the order of `index`."""
        row, place = ragged(self.length[index])
        step = self.first[index][row] + place
        return replace(
            self,
            length=self.length[index],
            steps={k: v[step] for k, v in self.steps.items()},
            each={k: v[index] for k, v in self.each.items()},
            texts=None if self.texts is None else [self.texts[i] for i in index],
            ids=self.ids[index],
            weight=self.weight[index],
        )
