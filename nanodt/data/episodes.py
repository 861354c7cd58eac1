"""Recorded episodes of any environment as arrays, and their npz file.

The npz holds `length` [N]; `steps/NAME` [sum of lengths, size], what each step knows (`obs`,
`action`, `reward`, …; a discrete action is one number); `each/NAME` [N, size], one row per
episode (`bd`, `task`, `terminated`, …); optionally `texts` [N]; and `info`, JSON text
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
        out, following = np.empty_like(reward), 0.0
        ends = set((self.first + self.length - 1).tolist())
        for i in range(len(reward) - 1, -1, -1):
            following = reward[i] + (0.0 if i in ends else discount * following)
            out[i] = following
        return out[:, None].astype(np.float32)

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

    def save(self, path: Path) -> None:
        """Write the npz, at once; of several texts the first."""
        partial = path.with_name("." + path.name)
        arrays: dict[str, Any] = {"length": self.length, "info": np.array(json.dumps(self.info))}
        arrays |= {f"steps/{k}": v for k, v in self.steps.items()}
        arrays |= {f"each/{k}": v for k, v in self.each.items()}
        if self.texts is not None:
            arrays["texts"] = np.array([own[0] if own else "" for own in self.texts])
        with partial.open("wb") as file:
            np.savez_compressed(file, **arrays)
        partial.replace(path)


def join(parts: Sequence[Episodes]) -> Episodes:
    """Episodes with the same fields as one."""
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


def load_npz(path: Path) -> Episodes:
    """Read what `Episodes.save` wrote, or another program in the same form."""
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
        raise InputError(f"{path}: length must be one positive number for each episode")
    fields: dict[str, dict[str, np.ndarray]] = {"steps": {}, "each": {}}
    for name, values in arrays.items():
        kind, _, short = name.partition("/")
        if short and kind in fields:
            fields[kind][short] = values.astype(np.float32).reshape(len(values), -1)
    texts = [[str(t)] for t in arrays["texts"]] if "texts" in arrays else None
    if texts is not None and len(texts) != len(length):
        raise InputError(f"{path}: {len(texts)} texts for {len(length)} episodes: one for each")
    try:
        info = json.loads(str(arrays["info"])) if "info" in arrays else {}
    except ValueError as error:
        raise InputError(f"{path}: info is not JSON ({error})") from error
    if not isinstance(info, dict):
        raise InputError(f"{path}: info holds {info!r}, expected a JSON object")
    found = Episodes(length, fields["steps"], fields["each"], texts, info, str(path))
    return found.check(*fields["steps"], *fields["each"])
