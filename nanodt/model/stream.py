"""What one timestep looks like as tokens, and how windows are packed into rows.

A `TokenStream` is a list of slots. A slot turns a value of the timestep into tokens: a vector or
a class number into one, or each number of a vector into one of its own. It may also join the
token before it, or have no token and only be predicted. The learned embedding of the absolute
timestep is added to every token. One rule says where a prediction is read: a slot is predicted
from the token just before it that others may see, unless it names another.

The slots are compiled once to flat index arrays (`first`, `count`, `reads`, `unseen`, `local`);
everything downstream sees those.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nanodt.errors import InputError
from nanodt.model.codec import Codec, CodecConfig
from nanodt.model.heads import HeadConfig


@dataclass(frozen=True)
class Slot:
    """A value of a timestep, and the tokens it becomes."""

    name: str
    size: int
    """Numbers in its vector, or classes when the code is a table."""
    code: str = "mlp"
    """mlp | linear (the vector, standardised, as one token) | table (a class number) | scalars
    (each number a token of its own, through the codec) | none (no token: only predicted)."""
    constant: bool = False
    """The same value at every step of a trajectory; it can be switched off (a learned null)."""
    predicted: bool = False
    """Its value is what the head predicts, read at the token before it."""
    hidden: bool = False
    """Its value never enters; a learned token stands in its place."""
    join: bool = False
    """Added to the token before it, rather than a token of its own; scalars: each to one of the
    as many tokens before them."""
    shift: bool = False
    """The value of the step before (a learned null at a window's first step)."""
    unseen: bool = False
    """No other token may attend to its tokens."""
    scale: float | None = None
    """linear, mlp: divide by this, rather than standardise; 1 leaves values as they are."""
    codec: CodecConfig | None = None
    """scalars: how numbers become classes."""
    shared: bool = False
    """scalars: all numbers share one table of classes (and one matrix of the head)."""
    padding: bool = False
    """scalars: one more row of the table, zero, that stands for padded timesteps."""
    head: HeadConfig | None = None
    """How its value is predicted."""
    target: str | None = None
    """Name of the value to learn, where it is not its own."""
    low: tuple[float, ...] = ()
    """Bounds of its numbers, for the heads that need them."""
    high: tuple[float, ...] = ()
    read: str | None = None
    """The slot at whose token, of the same step, the prediction is read, rather than at the token
    before."""
    mask: str | None = None
    """Name of a value [M, tokens] or [M, 1] that weighs each target."""
    weight: float = 1.0
    """Of its loss beside other slots'."""


@dataclass
class Batch:
    """Windows of a batch, flat: N rows, M timesteps and L text tokens in all, W = N windows or,
    where each row holds G of them, W = N * G.

    Nothing is padded here: the steps of all rows stand one after another, and so do the tokens
    of their texts. `place` says where each goes.
    """

    text: Tensor
    """Token ids [L] int64; or sentence vectors [rows with text, E]."""
    text_position: Tensor
    """Place of each text token in its text [L] int64."""
    values: dict[str, Tensor]
    """Slot name -> [M, size] float32, [M, 1] class numbers, or [W, size] for constant slots."""
    off: dict[str, Tensor]
    """Constant slot -> [W] bool, True where the window's value is switched off."""
    row: Tensor
    """Window of each timestep [M] int64."""
    time: Tensor
    """Absolute timestep [M] int64."""
    place: Tensor
    """[N, T] int64: which token (texts, then steps, then the pad) stands at each position."""
    read: Tensor
    """[M] int64: flat position, in [N * T], whose hidden state predicts the step's action; for a
    `SequenceModel`, which predicts more, that of the step's first token."""
    tokens: int = 0
    """Tokens that are not pads."""
    window: Tensor | None = None
    """[N, T] int64, where a row holds several windows behind one text: the window of each token,
    from 1; 0 for text and pads."""


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

    def __init__(self, size: int, width: int, code: str, scale: float | None = None) -> None:
        super().__init__()
        self.scale = scale
        self.register_buffer("mean", torch.zeros(size))
        self.register_buffer("std", torch.full((size,), scale or 1.0))
        if code == "linear":
            self.net = nn.Linear(size, width)
        else:
            self.net = nn.Sequential(
                nn.Linear(size, width), nn.GELU(approximate="tanh"), nn.Linear(width, width)
            )

    def fit(self, values: Tensor) -> None:
        """Take mean and spread from training values [M, size].

        A sensor that hardly ever fires has a tiny spread and would enter as a huge number when
        it does, so the spread is at least a twentieth of the range. One whose range is no more than
        rounding errors is constant. A given scale stays.
        """
        if self.scale is not None:
            return
        spread = values.std(0, correction=0)
        span = values.amax(0) - values.amin(0)
        varies = span > 1e-9 + 1e-6 * values.abs().amax(0)
        self.mean.copy_(values.mean(0))
        self.std.copy_(torch.where(varies, torch.maximum(spread, 0.05 * span), 1.0))

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


class ScalarCode(nn.Module):
    """Each number of a vector as a token: its class's row of a learned table."""

    offset: Tensor

    def __init__(self, slot: Slot, width: int) -> None:
        super().__init__()
        if slot.codec is None:
            raise InputError(f"slot {slot.name}: code scalars needs a codec")
        self.codec = Codec(slot.codec, slot.size)
        rows = slot.codec.bins * (1 if slot.shared else slot.size)
        pad = rows if slot.padding else None
        self.table = nn.Embedding(rows + slot.padding, width, padding_idx=pad)
        nn.init.normal_(self.table.weight[:rows], std=0.02)
        offset = torch.arange(slot.size) * (0 if slot.shared else slot.codec.bins)
        self.register_buffer("offset", offset, persistent=False)

    def fit(self, values: Tensor) -> None:
        self.codec.fit(values)

    def forward(self, values: Tensor) -> Tensor:
        """[R, D] -> [R, D, C]."""
        return self.table(self.codec.encode(values) + self.offset)


def build_code(slot: Slot, width: int) -> nn.Module:
    """The module that turns a slot's values into tokens."""
    if slot.code == "table":
        return TableCode(slot.size, width)
    if slot.code == "scalars":
        return ScalarCode(slot, width)
    if slot.code in ("mlp", "linear"):
        return VectorCode(slot.size, width, slot.code, slot.scale)
    raise InputError(
        f"slot {slot.name}: unknown code {slot.code!r}: expected mlp, linear, table, scalars, none"
    )


class TokenStream(nn.Module):
    """The slots of a timestep, embedded: values in, tokens [M, width of a step, C] out."""

    def __init__(
        self, slots: tuple[Slot, ...], width: int, max_steps: int, local: bool = False
    ) -> None:
        super().__init__()
        self.slots = slots
        self._compile()
        self.codes = nn.ModuleDict(
            {s.name: build_code(s, width) for s in slots if s.code != "none"}
        )
        self.null = nn.ParameterDict(
            {
                s.name: nn.Parameter(0.02 * torch.randn(width))
                for s in slots
                if s.constant or s.hidden or s.shift
            }
        )
        self.time = nn.Embedding(max_steps, width)  # no rows: tokens say nothing of the timestep
        nn.init.normal_(self.time.weight, std=0.02)
        self.local = nn.Embedding(self.tokens, width) if local else None
        if self.local is not None:
            nn.init.normal_(self.local.weight, std=0.02)

    def _compile(self) -> None:
        """Where each slot's tokens stand in a step, and where its predictions are read."""
        self.first: dict[str, int] = {}
        self.count: dict[str, int] = {}
        self.tokens = 0
        for slot in self.slots:
            own = {"scalars": slot.size, "none": 0}.get(slot.code, 1)
            if slot.join and not 0 < own <= self.tokens:
                raise InputError(f"slot {slot.name}: no token before it that it could join")
            self.first[slot.name] = self.tokens - slot.join * own
            self.count[slot.name] = own
            self.tokens += 0 if slot.join else own
        self.hidden = {s.name for s in self.slots if s.hidden}
        self.unseen = np.zeros(self.tokens, bool)
        for slot in self.slots:
            if slot.unseen:
                first = self.first[slot.name]
                self.unseen[first : first + self.count[slot.name]] = True
        if self.unseen.all():
            raise InputError("all tokens of a step are unseen: nothing could be predicted")
        self.predicted = [s.name for s in self.slots if s.predicted or s.head]
        self.reads: dict[str, np.ndarray] = {}
        for slot in self.slots:
            if slot.name in self.predicted:
                others = self.first[slot.name] + np.arange(self.count[slot.name] - 1)
                self.reads[slot.name] = np.array([self._read(slot), *others])

    def _read(self, slot: Slot) -> int:
        """Token at which the first of a slot's tokens is predicted; -1: the last one a step ago."""
        if slot.read is not None:
            if slot.read not in self.first:
                raise InputError(f"slot {slot.name} is read at {slot.read}: no such slot")
            return self.first[slot.read] + self.count[slot.read] - 1
        at = self.first[slot.name] - 1
        while self.unseen[at % self.tokens]:  # read there, it would see what it may not
            at -= 1
        return at

    @property
    def read_at(self) -> int:
        """Place within a step of the token the first prediction is read at."""
        return int(self.reads[self.predicted[0]][0])

    def token(self, name: str, values: Tensor, off: Tensor | None = None) -> Tensor:
        """Tokens [R, C] (scalars: [R, D, C]) of one slot, still without their timestep.

        `off` [R] bool: null there.
        """
        if name in self.hidden:
            return self.null[name].expand(len(values), -1)
        token = self.codes[name](values)
        if off is not None:
            token = torch.where(off[:, None], self.null[name], token)
        return token

    def forward(
        self, values: Mapping[str, Tensor], off: Mapping[str, Tensor], row: Tensor, time: Tensor
    ) -> Tensor:
        tokens: list[Tensor] = []
        for slot in self.slots:
            if slot.code == "none":
                continue
            token = self.token(slot.name, values[slot.name], off.get(slot.name))
            if slot.constant:
                token = F.embedding(row, token)
            if slot.shift:
                token = self._earlier(slot.name, token, row)
            own = list(token.unbind(1)) if token.dim() == 3 else [token]
            if slot.join:
                own = [a + b for a, b in zip(tokens[-len(own) :], own, strict=True)]
                del tokens[-len(own) :]
            tokens += own
        x = torch.stack(tokens, dim=1)
        if self.time.num_embeddings:
            x = x + self.time(time)[:, None]
        return x if self.local is None else x + self.local.weight

    def _earlier(self, name: str, token: Tensor, row: Tensor) -> Tensor:
        """Each step's token replaced by that of the step before, in its row."""
        first = torch.ones_like(row, dtype=torch.bool)
        first[1:] = row[1:] != row[:-1]
        return torch.where(first[:, None], self.null[name], token.roll(1, 0))
