"""Recorded trajectories of any environment as arrays, their npz file, and windows drawn from them.

The npz holds `length` [N]; `steps/NAME` [sum of lengths, size], what each step knows (`obs`,
`action`, `reward`, …; a discrete action is one number); `each/NAME` [N, size], one row per
trajectory (`bd`, `task`, `terminated`, …); optionally `texts` [N]; and `info`, JSON text
(`environment` {"id", "kwargs"}, `action_low`, `action_high`, or `actions`, how many there are).
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from nanodt.errors import InputError
from nanodt.model.stream import Batch, pack, ragged


@dataclass
class Collection:
    """N trajectories, their steps end to end."""

    length: np.ndarray
    """[N] int64."""
    steps: dict[str, np.ndarray]
    """name -> [sum of lengths, size] float32."""
    each: dict[str, np.ndarray] = field(default_factory=dict)
    """name -> [N, size] float32."""
    texts: list[str] | None = None
    info: dict[str, Any] = field(default_factory=dict)
    where: str = "the data"
    """What messages call it."""

    @property
    def first(self) -> np.ndarray:
        """Where each trajectory's steps begin [N]."""
        return np.cumsum(self.length) - self.length

    @property
    def returns(self) -> np.ndarray:
        """Sum of rewards of each trajectory [N]."""
        return np.add.reduceat(self.steps["reward"][:, 0], self.first)

    def check(self, *names: str, **sizes: int) -> Collection:
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

    def with_steps(self, **fields: np.ndarray) -> Collection:
        """The same with further fields of its steps."""
        new = {k: np.asarray(v, np.float32).reshape(len(v), -1) for k, v in fields.items()}
        return replace(self, steps={**self.steps, **new})

    def returns_to_go(self, discount: float = 1.0) -> np.ndarray:
        """Sum of the rewards from each step on [sum of lengths, 1]."""
        reward = self.steps["reward"][:, 0].astype(np.float64)
        out, following = np.empty_like(reward), 0.0
        ends = set((self.first + self.length - 1).tolist())
        for i in range(len(reward) - 1, -1, -1):
            following = reward[i] + (0.0 if i in ends else discount * following)
            out[i] = following
        return out[:, None].astype(np.float32)

    def take(self, index: np.ndarray) -> Collection:
        """Some of the trajectories, in the order of `index`."""
        row, place = ragged(self.length[index])
        step = self.first[index][row] + place
        return replace(
            self,
            length=self.length[index],
            steps={k: v[step] for k, v in self.steps.items()},
            each={k: v[index] for k, v in self.each.items()},
            texts=None if self.texts is None else [self.texts[i] for i in index],
        )

    def save(self, path: Path) -> None:
        """Write the npz, at once."""
        partial = path.with_name("." + path.name)
        arrays: dict[str, Any] = {"length": self.length, "info": np.array(json.dumps(self.info))}
        arrays |= {f"steps/{k}": v for k, v in self.steps.items()}
        arrays |= {f"each/{k}": v for k, v in self.each.items()}
        if self.texts is not None:
            arrays["texts"] = np.array(self.texts)
        with partial.open("wb") as file:
            np.savez_compressed(file, **arrays)
        partial.replace(path)


def join(parts: Sequence[Collection]) -> Collection:
    """Collections with the same fields as one."""
    first = parts[0]
    texts = None if first.texts is None else [t for p in parts for t in p.texts or []]
    return replace(
        first,
        length=np.concatenate([p.length for p in parts]),
        steps={k: np.concatenate([p.steps[k] for p in parts]) for k in first.steps},
        each={k: np.concatenate([p.each[k] for p in parts]) for k in first.each},
        texts=texts,
    )


def load_npz(path: Path) -> Collection:
    """Read what `Collection.save` wrote, or another program in the same form."""
    if not path.exists():
        raise InputError(
            f"{path} does not exist: --data takes an npz file, minari:ID, or a dataset folder of "
            "an archive (make demo makes runs/demo/dataset)"
        )
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {k: file[k] for k in file.files}
    except (ValueError, OSError, zipfile.BadZipFile) as error:
        raise InputError(f"{path} is not a whole npz file ({error}): make it again") from error
    if "length" not in arrays:
        raise InputError(f"{path}: no array 'length' (found {', '.join(arrays)})")
    length = arrays["length"].astype(np.int64)
    if length.ndim != 1 or len(length) == 0 or (length < 1).any():
        raise InputError(f"{path}: length must be one positive number for each trajectory")
    fields: dict[str, dict[str, np.ndarray]] = {"steps": {}, "each": {}}
    for name, values in arrays.items():
        kind, _, short = name.partition("/")
        if short and kind in fields:
            fields[kind][short] = values.astype(np.float32).reshape(len(values), -1)
    texts = [str(t) for t in arrays["texts"]] if "texts" in arrays else None
    if texts is not None and len(texts) != len(length):
        raise InputError(f"{path}: {len(texts)} texts for {len(length)} trajectories: one for each")
    try:
        info = json.loads(str(arrays["info"])) if "info" in arrays else {}
    except ValueError as error:
        raise InputError(f"{path}: info is not JSON ({error})") from error
    if not isinstance(info, dict):
        raise InputError(f"{path}: info holds {info!r}, expected a JSON object")
    found = Collection(length, fields["steps"], fields["each"], texts, info, str(path))
    return found.check(*fields["steps"], *fields["each"])


def make_batch(
    values: dict[str, Tensor],
    off: dict[str, Tensor],
    start: np.ndarray,
    steps: np.ndarray,
    tokens: int,
    prefix: list[np.ndarray] | None = None,
) -> Batch:
    """Windows as a `Batch` for `SequenceModel`: row i holds steps[i] steps from start[i] on.

    `values` hold their steps end to end. `prefix` has each row's prefix ids. `Batch.read` is the
    position of each step's first token.
    """
    row, inner = ragged(steps)
    lengths = np.array([len(p) for p in prefix]) if prefix else np.zeros(len(steps), np.int64)
    ids = np.concatenate(prefix) if prefix else np.zeros(0, np.int64)
    place, read = pack(lengths, steps, tokens, 0)
    return Batch(
        text=torch.from_numpy(ids),
        text_position=torch.from_numpy(ragged(lengths)[1]),
        values=values,
        off=off,
        row=torch.from_numpy(row),
        time=torch.from_numpy(start[row] + inner),
        place=torch.from_numpy(place),
        read=torch.from_numpy(read),
        tokens=int(lengths.sum() + tokens * steps.sum()),
    )


class Sampler:
    """Draws batches of windows of at most `context` steps from a collection.

    A trajectory is drawn with a chance proportional to its steps. As in training the mission's
    model, a window's start is drawn from -(K-1) .. T-1 and moved into 0 .. T-K: each row is full
    where its trajectory is long enough, and stretches from step 0, with which all acting begins,
    are not rare.
    """

    def __init__(
        self,
        data: Collection,
        context: int,
        tokens: int,
        prefix: list[np.ndarray] | None = None,
    ) -> None:
        self.data, self.context, self.tokens, self.prefix = data, context, tokens, prefix
        self.cumulative = np.cumsum(data.length) / data.length.sum()
        self.steps = {k: torch.from_numpy(v) for k, v in data.steps.items()}
        self.each = {k: torch.from_numpy(v) for k, v in data.each.items()}

    def draw(self, rng: np.random.Generator, rows: int) -> Batch:
        """A batch of `rows` windows."""
        which = np.searchsorted(self.cumulative, rng.random(rows), side="right")
        which = np.minimum(which, len(self.data.length) - 1)
        length = self.data.length[which]
        steps = np.minimum(self.context, length)
        start = np.floor(rng.random(rows) * (length + steps - 1)).astype(np.int64) - (steps - 1)
        return self.windows(which, np.clip(start, 0, length - steps), steps)

    def windows(self, which: np.ndarray, start: np.ndarray, steps: np.ndarray) -> Batch:
        """The given windows as a batch."""
        row, inner = ragged(steps)
        index = torch.from_numpy(self.data.first[which][row] + start[row] + inner)
        own = torch.from_numpy(which)
        values = {k: v.index_select(0, index) for k, v in self.steps.items()}
        values |= {k: v[own] for k, v in self.each.items()}
        prefix = [self.prefix[i] for i in which] if self.prefix else None
        return make_batch(values, {}, start, steps, self.tokens, prefix)
