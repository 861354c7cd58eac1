"""What one timestep looks like as tokens: the declared layout, and its embedding.

A `Layout` is a list of slots behind an optional text. A slot turns a value of the timestep into
tokens: a vector or a class number into one, or each number of a vector into one of its own. It may
also join the token before it, or have no token and only be predicted. One rule says where a
prediction is read: a slot is predicted from the token just before it that others may see, unless it
names another.

The slots are compiled once to places within a step (`first`, `count`, `reads`, `unseen`);
everything downstream (training windows, driving, planning) sees those, so that the order of tokens,
their number and the place of the prediction are facts of the layout alone.
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
from nanodt.text.encoders import TextConfig


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
    """The same value at every step of an episode; it can be dropped (a learned null instead)."""
    hidden: bool = False
    """Its value never enters; a learned token stands in its place."""
    join: bool = False
    """Added to the token before it, rather than a token of its own; scalars: each to one of the
    as many tokens before them."""
    shift: bool = False
    """The value of the step before (a learned null at a window's first step)."""
    unseen: bool = False
    """No other token may attend to its tokens."""
    reckoned: bool = False
    """Its value is no record: the network computes it from the robot's pose, reckoned by odometry,
    and from bd."""
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
    decimals: int | None = None
    """Drawn numbers are rounded to so many decimals, as the recorded ones were."""
    spread: float | None = None
    """linear: spread of its initial weights, where most of its numbers are 0 most of the time."""
    read: str | None = None
    """The slot at whose token, of the same step, the prediction is read, rather than at the token
    before."""
    mask: str | None = None
    """Name of a value [M, numbers] or [M, 1] that weighs each target."""
    weight: float = 1.0
    """Of its loss beside other slots'."""


@dataclass(frozen=True)
class Layout:
    """The tokens of a row: `[text] [step] [step] ...`."""

    slots: tuple[Slot, ...]
    max_steps: int = 0
    """Rows of the learned table of absolute timesteps; 0 = none."""
    text: TextConfig | None = None
    """How the text that stands first becomes tokens; None = no text."""
    text_positions: int = 0
    """Rows of the text's own learned table of positions: its largest length."""
    positions: int = 0
    """Rows of the learned table of positions in the row, text included; 0 = none."""
    local: bool = False
    """A learned vector for each place within a step."""
    norm: bool = False
    """LayerNorm on all embeddings."""

    def slot(self, name: str) -> Slot | None:
        """The slot of that name, if there is one."""
        return next((slot for slot in self.slots if slot.name == name), None)


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
    """The slots of a timestep, embedded: values in, tokens [M, tokens of a step, C] out."""

    def __init__(self, layout: Layout, width: int) -> None:
        super().__init__()
        self.slots = layout.slots
        self._compile()
        self.codes = nn.ModuleDict(
            {s.name: build_code(s, width) for s in self.slots if s.code != "none"}
        )
        self.null = nn.ParameterDict(
            {
                s.name: nn.Parameter(0.02 * torch.randn(width))
                for s in self.slots
                if s.constant or s.hidden or s.shift
            }
        )
        # Without rows, tokens say nothing of the timestep.
        self.time = nn.Embedding(layout.max_steps, width)
        nn.init.normal_(self.time.weight, std=0.02)
        self.local = nn.Embedding(self.tokens, width) if layout.local else None
        if self.local is not None:
            nn.init.normal_(self.local.weight, std=0.02)

    def _compile(self) -> None:
        """Where each slot's tokens stand in a step, and where its predictions are read."""
        self.first: dict[str, int] = {}
        self.count: dict[str, int] = {}
        self.tokens = 0
        for slot in self.slots:
            count = {"scalars": slot.size, "none": 0}.get(slot.code, 1)
            if slot.join and not 0 < count <= self.tokens:
                raise InputError(f"slot {slot.name}: no token before it that it could join")
            self.first[slot.name] = self.tokens - slot.join * count
            self.count[slot.name] = count
            self.tokens += 0 if slot.join else count
        self.unseen = np.zeros(self.tokens, bool)
        for slot in self.slots:
            if slot.unseen:
                first = self.first[slot.name]
                self.unseen[first : first + self.count[slot.name]] = True
        if self.unseen.all():
            raise InputError("all tokens of a step are unseen: nothing could be predicted")
        self.reads: dict[str, np.ndarray] = {}
        for slot in self.slots:
            if slot.head is not None:
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

    def within(self, first: int, last: int) -> list[Slot]:
        """The slots that have tokens among those from `first` to before `last` of a step."""
        return [
            slot
            for slot in self.slots
            if self.first[slot.name] < last
            and self.first[slot.name] + self.count[slot.name] > first
        ]

    def token(self, slot: Slot, values: Tensor, dropped: Tensor | None = None) -> Tensor:
        """Tokens [R, C] (scalars: [R, D, C]) of one slot, still without their timestep.

        `dropped` [R] bool: null there.
        """
        if slot.hidden:
            return self.null[slot.name].expand(len(values), -1)
        token = self.codes[slot.name](values)
        if dropped is not None:
            token = torch.where(dropped[:, None], self.null[slot.name], token)
        return token

    def forward(
        self,
        values: Mapping[str, Tensor],
        dropped: Mapping[str, Tensor],
        row: Tensor,
        time: Tensor,
        *,
        places: tuple[int, int] | None = None,
        constants: Mapping[str, Tensor] | None = None,
        shifted: bool = False,
    ) -> Tensor:
        """Tokens [M, places, C] of M timesteps; values, row and time as in `Batch`.

        `places` (first, last) restricts them to some of a step's tokens. `constants` holds the
        tokens [W, C] of constant slots, where these were computed before. `shifted`: the values of
        slots that show the step before are already that step's, and `dropped` [M] where none was.
        """
        first, last = places or (0, self.tokens)
        tokens: dict[int, Tensor] = {}
        for slot in self.within(first, last):
            name = slot.name
            if constants is not None and name in constants:
                token = constants[name]
            else:
                token = self.token(slot, values[name], dropped.get(name))
            if slot.constant:
                token = F.embedding(row, token)
            if slot.shift and not shifted:
                token = self._earlier(name, token, row)
            parts = token.unbind(1) if token.dim() == 3 else (token,)
            for place, part in enumerate(parts, self.first[name]):
                tokens[place] = tokens[place] + part if place in tokens else part
        x = torch.stack([tokens[place] for place in range(first, last)], dim=1)
        if self.time.num_embeddings:
            x = x + self.time(time)[:, None]
        return x if self.local is None else x + self.local.weight[first:last]

    def _earlier(self, name: str, token: Tensor, row: Tensor) -> Tensor:
        """Each step's token replaced by that of the step before, in its window."""
        first = torch.ones_like(row, dtype=torch.bool)
        first[1:] = row[1:] != row[:-1]
        return torch.where(first[:, None], self.null[name], token.roll(1, 0))
