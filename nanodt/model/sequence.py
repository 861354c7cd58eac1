"""Any system of the family as one model: a layout of tokens, the trunk, a head per predicted slot.

A `Layout` says what one timestep looks like (`stream.Slot`) and what is known of the positions;
`SequenceModel` is the rest. The layouts themselves are in `nanodt/recipes/`, one file each, and
docs/recipes.md lists them. The mission's own model (`nanodt/model.py`) is the layout
`text, (bd, o, a*)`, with its own fast paths for training and driving.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from torch import Tensor, nn

from nanodt.errors import InputError
from nanodt.model.codec import CodecConfig
from nanodt.model.heads import Head, HeadConfig, Sampling, Scalars, build_head, pick
from nanodt.model.network import Trunk, TrunkConfig
from nanodt.model.stream import Batch, Slot, TokenStream
from nanodt.training.checkpoint import save_weights, write_json

CONFIG, WEIGHTS = "config.json", "model.safetensors"


@dataclass(frozen=True)
class Layout:
    """The tokens of a window: `[prefix] [step] [step] ...`."""

    slots: tuple[Slot, ...]
    max_steps: int = 0
    """Rows of the learned table of absolute timesteps; 0 = none."""
    positions: int = 0
    """Rows of the learned table of positions in the row, prefix included; 0 = none."""
    local: bool = False
    """A learned vector for each place within a step."""
    norm: bool = False
    """LayerNorm on all embeddings."""
    vocabulary: int = 0
    """Prefix: number of words, or tasks; 0 = no prefix."""
    prefix: int = 0
    """Prefix: its largest length; it has a learned table of positions of its own."""


@dataclass(frozen=True)
class SequenceConfig:
    """Everything needed to build the model again: `config.json` of its folder."""

    layout: Layout
    trunk: TrunkConfig
    context: int
    """Timesteps in a window, at most."""
    info: dict[str, Any] = field(default_factory=dict)
    """What a recipe wants to find again: environments, words, settings; nothing here reads it."""

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @staticmethod
    def from_json(fields: dict[str, Any]) -> SequenceConfig:
        layout = dict(fields["layout"])
        layout["slots"] = tuple(_slot(s) for s in layout["slots"])
        trunk = TrunkConfig(**fields["trunk"])
        return SequenceConfig(Layout(**layout), trunk, fields["context"], fields["info"])


def _slot(fields: dict[str, Any]) -> Slot:
    fields = _tuples(fields)
    if fields["head"]:
        fields["head"] = HeadConfig(**fields["head"])
    if fields["codec"]:
        fields["codec"] = CodecConfig(**_tuples(fields["codec"]))
    return Slot(**fields)


def _tuples(fields: dict[str, Any]) -> dict[str, Any]:
    """What JSON turned into lists, back."""
    return {k: tuple(v) if isinstance(v, list) else v for k, v in fields.items()}


def slot_head(slot: Slot, width: int) -> Head | Scalars:
    """The head of a predicted slot."""
    assert slot.head is not None
    if slot.code == "scalars" and slot.codec is not None:
        return Scalars(width, slot.size, slot.codec.bins, slot.shared)
    if slot.code == "table" or slot.head.kind == "discrete":
        return build_head(HeadConfig("discrete"), width, (0.0,), (slot.size - 1.0,))
    low, high = slot.low or (-1.0,) * slot.size, slot.high or (1.0,) * slot.size
    return build_head(slot.head, width, low, high)


class SequenceModel(nn.Module):
    """A layout made into a network."""

    def __init__(self, config: SequenceConfig) -> None:
        super().__init__()
        self.config, layout, width = config, config.layout, config.trunk.n_embd
        self.stream = TokenStream(layout.slots, width, layout.max_steps, layout.local)
        tables = {
            "prefix": layout.vocabulary,
            "prefix_position": layout.prefix,
            "position": layout.positions,
        }
        self.tables: Any = nn.ModuleDict(
            {k: nn.Embedding(n, width) for k, n in tables.items() if n}
        )
        for table in self.tables.values():
            nn.init.normal_(table.weight, std=0.02)
        self.norm = nn.LayerNorm(width) if layout.norm else nn.Identity()
        self.trunk = Trunk(config.trunk)
        self.slots = {s.name: s for s in layout.slots}
        self.heads: Any = nn.ModuleDict(
            {s.name: slot_head(s, width) for s in layout.slots if s.head}
        )
        self.has_unseen = bool(self.stream.unseen.any())

    @property
    def codes(self) -> Any:
        """Slot name -> the module that turns its values into tokens."""
        return self.stream.codes

    def fit(self, steps: dict[str, Tensor], each: dict[str, Tensor], seed: int = 0) -> None:
        """Take means, spreads, bins and centres from the training values, before training."""
        for name, slot in self.slots.items():
            values = each[name] if slot.constant else steps[name]
            if name in self.codes:
                self.codes[name].fit(values)
            if name in self.heads and isinstance(self.heads[name], Head):
                self.heads[name].fit(steps[slot.target] if slot.target else values, seed)

    def prefix(self, ids: Tensor, position: Tensor) -> Tensor:
        """Prefix tokens [L, C]."""
        if "prefix" not in self.tables:
            return self.trunk.norm.weight.new_zeros(0, self.config.trunk.n_embd)
        return self.tables["prefix"](ids) + self.tables["prefix_position"](position)

    def embed(self, batch: Batch) -> Tensor:
        """The packed rows [N, T, C] of a batch, positions and norm included."""
        steps = self.stream(batch.values, batch.off, batch.row, batch.time).flatten(0, 1)
        tokens = torch.cat([self.prefix(batch.text, batch.text_position), steps])
        pad = tokens.new_zeros(1, tokens.shape[1])
        x = F.embedding(batch.place, torch.cat([tokens, pad]))
        return self.finish(x, torch.arange(x.shape[1], device=x.device))

    def finish(self, x: Tensor, columns: Tensor) -> Tensor:
        """Add the positions of rows' columns, where the layout has such, and the norm."""
        if "position" in self.tables:
            x = x + self.tables["position"](columns)
        return self.norm(x)

    def mask(self, batch: Batch) -> Tensor | None:
        """[N, 1, T, T] bool where some tokens may not be attended to; None = plain causality.

        A token may always attend to itself: a row without any is NaN.
        """
        if not self.has_unseen:
            return None
        unseen = torch.from_numpy(self.stream.unseen).to(batch.place.device)
        steps = unseen.repeat(len(batch.row))
        flat = torch.cat([steps.new_zeros(len(batch.text)), steps, steps.new_zeros(1)])
        column = flat[batch.place]
        t = column.shape[1]
        causal = torch.ones(t, t, dtype=torch.bool, device=column.device).tril()
        own = torch.eye(t, dtype=torch.bool, device=column.device)
        return (causal & (~column[:, None, :] | own))[:, None]

    def reads(self, batch: Batch, name: str) -> tuple[Tensor, Tensor]:
        """Where a slot's tokens are read: flat positions [M, n], and whether there is such.

        A row's very first token has none before it.
        """
        at = torch.from_numpy(self.stream.reads[name]).to(batch.read.device)
        position = batch.read[:, None] + at
        width = batch.place.shape[1]
        inside = position >= (batch.row * width)[:, None]
        return torch.where(inside, position, batch.read[:, None]), inside

    def hidden(self, batch: Batch, names: list[str]) -> dict[str, Tensor]:
        """Hidden states [M, n, C] at which the named slots are read."""
        reads = [self.reads(batch, name)[0] for name in names]
        flat = torch.cat([r.flatten() for r in reads])
        h = self.trunk(self.embed(batch), read=flat, mask=self.mask(batch))
        parts = h.split([r.numel() for r in reads])
        return {n: p.view(*r.shape, -1) for n, p, r in zip(names, parts, reads, strict=True)}

    def losses(self, batch: Batch) -> dict[str, tuple[Tensor, Tensor]]:
        """Of each predicted slot its losses [M, n] and their weights [M, n].

        A slot with one prediction a step: [targets, 1], those of weight 0 left out.
        """
        names = [n for n in self.heads if self.slots[n].weight]
        hidden, found = self.hidden(batch, names), {}
        for name in names:
            slot, h = self.slots[name], hidden[name]
            values = batch.values[slot.target or name]
            head = self.heads[name]
            weight = slot.weight * self.reads(batch, name)[1].float()
            if slot.mask is not None:
                weight = weight * batch.values[slot.mask]
            if isinstance(head, Scalars):
                loss = head.loss(h, self.codes[name].codec.encode(values))
            else:
                some = weight[:, 0] > 0  # a large head over few targets: only theirs
                h, values, weight = h[some, 0], values[some], weight[some]
                loss = head.loss(h, values)[:, None]
            found[name] = (loss, weight)
        return found

    def loss(self, batch: Batch) -> Tensor:
        """The weighted sum of all targets' losses over the number of targets."""
        parts = self.losses(batch).values()
        total = sum((loss * weight).sum() for loss, weight in parts)
        count = sum((weight > 0).sum() for _, weight in parts)
        return torch.as_tensor(total / count)

    def draw(
        self,
        name: str,
        hidden: Tensor,
        number: int,
        sampling: Sampling,
        generator: torch.Generator | None,
        bias: Tensor | None = None,
    ) -> Tensor:
        """Values [N, 1] of number `number` of a scalars slot, or [N, size] of another slot.

        From hidden states [N, C]. `bias` [classes] is added to the logits.
        """
        head = self.heads[name]
        if isinstance(head, Scalars):
            logits = head.logits(hidden[:, None], number)[:, 0]
            index = pick(logits if bias is None else logits + bias, sampling, generator)
            centres = self.codes[name].codec.centres[number]
            return centres[index][:, None].float()
        if bias is not None:
            logits = head.out(hidden) + bias
            return pick(logits, sampling, generator)[:, None].float()
        return head.sample(hidden, sampling, generator)

    def save(self, folder: Path) -> None:
        """Write config.json and model.safetensors, each at once."""
        folder.mkdir(parents=True, exist_ok=True)
        write_json(folder / CONFIG, self.config.to_json())
        save_weights(folder / WEIGHTS, self.state_dict(), {"format": "pt"})


def load_sequence(folder: Path | str) -> SequenceModel:
    """The model of a folder that `SequenceModel.save` wrote."""
    folder = Path(folder)
    for name in (CONFIG, WEIGHTS):
        if not (folder / name).exists():
            raise InputError(f"{folder / name} does not exist: train the recipe first")
    try:
        fields = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
        model = SequenceModel(SequenceConfig.from_json(fields))
    except (ValueError, TypeError, KeyError) as error:
        raise InputError(f"{folder / CONFIG} is not a recipe's model: {error}") from error
    try:
        model.load_state_dict(load_file(folder / WEIGHTS))
    except Exception as error:  # the reader's own error type is not public
        reason = " ".join(str(error).split())[:200]
        raise InputError(f"{folder / WEIGHTS} cannot be used ({reason}): train it again") from None
    return model.eval()
