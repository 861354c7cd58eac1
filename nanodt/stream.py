"""What one timestep looks like as tokens, and how windows are packed into rows.

A `TokenStream` is a list of slots. Each slot turns a value of the timestep (a vector, or a class
number) into one token and adds the learned embedding of the absolute timestep. One rule says
where a prediction is read: a slot is predicted from the token just before it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn


@dataclass(frozen=True)
class Slot:
    """One token of a timestep."""

    name: str
    size: int
    """Numbers in its vector, or classes when the code is a table."""
    code: str = "mlp"
    """mlp | linear (vectors, standardised) | table (class numbers)."""
    constant: bool = False
    """The same value at every step of a trajectory; it can be switched off (a learned null)."""
    predicted: bool = False
    """Its value is what the head predicts, read at the token before it."""
    hidden: bool = False
    """Its value never enters; a learned token stands in its place."""


@dataclass
class Batch:
    """Windows of a batch, flat: N rows, M timesteps and L text tokens in all.

    Nothing is padded here: the steps of all rows stand one after another, and so do the tokens
    of their texts. `place` says where each goes.
    """

    text: Tensor
    """Token ids [L] int64; or sentence vectors [rows with text, E]."""
    text_position: Tensor
    """Place of each text token in its text [L] int64."""
    values: dict[str, Tensor]
    """Slot name -> [M, size] float32, [M, 1] class numbers, or [N, size] for constant slots."""
    off: dict[str, Tensor]
    """Constant slot -> [N] bool, True where the row's value is switched off."""
    row: Tensor
    """Row of each timestep [M] int64."""
    time: Tensor
    """Absolute timestep [M] int64."""
    place: Tensor
    """[N, T] int64: which token (texts, then steps, then the pad) stands at each position."""
    read: Tensor
    """[M] int64: flat position, in [N * T], whose hidden state predicts the step's action."""
    tokens: int = 0
    """Tokens that are not pads."""


def ragged(lengths: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Rows of the given lengths laid end to end: (row, place in its row) of every entry.

    >>> ragged(np.array([2, 0, 1]))
    (array([0, 0, 2]), array([0, 1, 0]))
    """
    row = np.repeat(np.arange(len(lengths)), lengths)
    first = np.cumsum(lengths) - lengths
    return row, np.arange(len(row)) - first[row]


def pack(
    text_lengths: np.ndarray, steps: np.ndarray, tokens_per_step: int, read_at: int
) -> tuple[np.ndarray, np.ndarray]:
    """Lay texts and steps out in rows: (place [N, T], read [M]) as in `Batch`.

    T is the longest row. Row i is its text_lengths[i] text tokens, then its steps[i] steps of
    `tokens_per_step` tokens, then pads. `read_at` is the reading token's place within a step.
    """
    ends = text_lengths + tokens_per_step * steps
    width = int(ends.max())
    column = np.arange(width)[None, :]
    text_first = (np.cumsum(text_lengths) - text_lengths)[:, None]
    n_text, n_steps = int(text_lengths.sum()), int(steps.sum())
    step_first = (n_text + tokens_per_step * (np.cumsum(steps) - steps) - text_lengths)[:, None]
    pad = n_text + tokens_per_step * n_steps
    place = np.where(column < text_lengths[:, None], text_first, step_first) + column
    place = np.where(column < ends[:, None], place, pad)
    row, inner = ragged(steps)
    read = row * width + text_lengths[row] + tokens_per_step * inner + read_at
    return place, read


class VectorCode(nn.Module):
    """A vector as a token: standardised, then a linear map or an MLP with one hidden layer."""

    mean: Tensor
    std: Tensor

    def __init__(self, size: int, width: int, code: str) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(size))
        self.register_buffer("std", torch.ones(size))
        if code == "linear":
            self.net = nn.Linear(size, width)
        else:
            self.net = nn.Sequential(
                nn.Linear(size, width), nn.GELU(approximate="tanh"), nn.Linear(width, width)
            )

    def fit(self, values: Tensor) -> None:
        """Take mean and spread from training values [M, size].

        A sensor that hardly ever fires has a tiny spread and would enter as a huge number when
        it does, so the spread is at least a twentieth of the range.
        """
        spread = values.std(0, correction=0)
        span = values.amax(0) - values.amin(0)
        self.mean.copy_(values.mean(0))
        self.std.copy_(torch.where(span > 0, torch.maximum(spread, 0.05 * span), 1.0))

    def forward(self, values: Tensor) -> Tensor:
        return self.net((values - self.mean) / self.std)


class TableCode(nn.Module):
    """A class number as a token: a row of a learned table."""

    def __init__(self, classes: int, width: int) -> None:
        super().__init__()
        self.table = nn.Embedding(classes, width)
        nn.init.normal_(self.table.weight, std=0.02)

    def fit(self, values: Tensor) -> None:
        """Nothing to fit."""

    def forward(self, values: Tensor) -> Tensor:
        return self.table(values[:, 0].long())


class TokenStream(nn.Module):
    """The slots of a timestep, embedded: values in, tokens [M, slots, C] out."""

    def __init__(self, slots: tuple[Slot, ...], width: int, max_steps: int) -> None:
        super().__init__()
        self.slots = slots
        self.predicted = next(i for i, slot in enumerate(slots) if slot.predicted)
        self.codes = nn.ModuleDict(
            {
                s.name: TableCode(s.size, width)
                if s.code == "table"
                else VectorCode(s.size, width, s.code)
                for s in slots
            }
        )
        self.null = nn.ParameterDict(
            {
                s.name: nn.Parameter(0.02 * torch.randn(width))
                for s in slots
                if s.constant or s.hidden
            }
        )
        self.hidden = {s.name for s in slots if s.hidden}
        self.time = nn.Embedding(max_steps, width)
        nn.init.normal_(self.time.weight, std=0.02)

    @property
    def read_at(self) -> int:
        """Place within a step of the token the prediction is read at."""
        return self.predicted - 1

    def token(self, name: str, values: Tensor, off: Tensor | None = None) -> Tensor:
        """Tokens [R, C] of one slot, still without their timestep. `off` [R] bool: null there."""
        if name in self.hidden:
            return self.null[name].expand(len(values), -1)
        token = self.codes[name](values)
        if off is not None:
            token = torch.where(off[:, None], self.null[name], token)
        return token

    def forward(
        self, values: Mapping[str, Tensor], off: Mapping[str, Tensor], row: Tensor, time: Tensor
    ) -> Tensor:
        tokens = []
        for slot in self.slots:
            token = self.token(slot.name, values[slot.name], off.get(slot.name))
            tokens.append(F.embedding(row, token) if slot.constant else token)
        return torch.stack(tokens, dim=1) + self.time(time)[:, None]
