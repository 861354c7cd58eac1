"""Episodes as recipes take them apart and put them together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from scipy.signal import lfilter

from nanodt.data.episodes import Episodes
from nanodt.errors import InputError
from nanodt.packing import ragged


class Trajectories(Episodes):
    """N trajectories, their steps end to end: see the fields of `Episodes`."""

    @property
    def returns(self) -> np.ndarray:
        """Sum of rewards of each episode [N]."""
        return np.add.reduceat(self.steps["reward"][:, 0], self.first)

    def check(self, *names: str, **sizes: int) -> Trajectories:
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

    def with_steps(self, **fields: np.ndarray) -> Trajectories:
        """The same with further fields of its steps."""
        new = {k: np.asarray(v, np.float32).reshape(len(v), -1) for k, v in fields.items()}
        return replace(self, steps={**self.steps, **new})

    def returns_to_go(self, discount: float = 1.0) -> np.ndarray:
        """Sum of the rewards from each step on [sum of lengths, 1]."""
        reward = self.steps["reward"][:, 0].astype(np.float64)
        parts = np.split(reward, self.first[1:])
        sums = [lfilter([1.0], [1.0, -discount], part[::-1])[::-1] for part in parts]
        return np.concatenate(sums)[:, None].astype(np.float32)

    def take(self, index: np.ndarray) -> Trajectories:
        """Some of the episodes, in the order of `index`; all of them as they stand: itself."""
        if np.array_equal(index, np.arange(len(self.length))):
            return self  # nothing is copied
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


def join(parts: Sequence[Trajectories]) -> Trajectories:
    """Trajectories with the same fields as one."""
    first = parts[0]
    texts = None if first.texts is None else [t for p in parts for t in p.texts or []]
    return replace(
        first,
        length=np.concatenate([p.length for p in parts]),
        steps={k: np.concatenate([p.steps[k] for p in parts]) for k in first.steps},
        each={k: np.concatenate([p.each[k] for p in parts]) for k in first.each},
        texts=texts,
        ids=np.arange(sum(len(p.length) for p in parts)),
        weight=np.concatenate([p.weight for p in parts]),
    )
