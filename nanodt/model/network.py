"""The network: a declared layout, the transformer over it, and a head for each predicted slot.

A batch of windows is packed into rows, for the mission's layout (`nanodt/model/layout.py`)

    [text tokens] [bd, o, a] [bd, o, a] ... [bd, o, a]  pads

and each prediction is read at the token that the layout names. Several windows of an episode may
share one row and its one copy of the text (`trunk.SharedPrefix`).

Sources: Chen et al. 2021 (Decision Transformer); the layout with a text prefix and a behaviour
descriptor: Salehi & Doncieux 2023 (arXiv 2308.13278).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nanodt.errors import InputError
from nanodt.files import (
    CONFIG,
    TOKENIZER,
    WEIGHTS,
    WORDS,
    check_beside,
    from_json,
    read_json,
    read_weights,
    save_weights,
    write_json,
)
from nanodt.model.auxiliary import Auxiliary, AuxiliaryConfig
from nanodt.model.heads import Head, HeadConfig, Sampling, Scalars, build_head, pick
from nanodt.model.stream import Layout, Slot, TokenStream
from nanodt.model.trunk import SharedPrefix, Trunk, TrunkConfig, Write
from nanodt.packing import Batch
from nanodt.place.odometry import OdometryConfig, features
from nanodt.text.encoders import attach_source, build_text_encoder
from nanodt.text.reader import FOLDER as READER

STRETCHES, SAMPLE = 1024, 2**28
"""Values of more bytes than SAMPLE are known by so many stretches of them."""
FORMAT = 2
"""Of config.json; 1 was that of networks whose layout was not declared."""


@dataclass(frozen=True)
class NetworkConfig:
    """Everything needed to build the network again: `config.json` of its folder."""

    layout: Layout
    trunk: TrunkConfig = field(default_factory=TrunkConfig)
    block_size: int | None = None
    """Tokens in a row with one window, text included, at most."""
    window: int | None = None
    """Timesteps in a window, at most."""
    odometry: OdometryConfig | None = None
    """Where the pose comes from that reckoned slots and the visitation map tell of."""
    bd_low: tuple[float, ...] | None = None
    bd_high: tuple[float, ...] | None = None
    auxiliary: AuxiliaryConfig = field(default_factory=AuxiliaryConfig)
    subgoals: tuple[str, ...] = ()
    """Names of the places that the auxiliary task names."""
    info: dict[str, Any] = field(default_factory=dict)
    """What others want to find again: environments, recipe, options; nothing here reads it."""
    format: int = FORMAT

    def __post_init__(self) -> None:
        if self.block_size is None and self.window is None:
            raise InputError("a network needs a block_size (tokens) or a window (timesteps)")
        reckoned = any(slot.reckoned for slot in self.layout.slots)
        if reckoned and (self.odometry is None or None in (self.bd_low, self.bd_high)):
            raise InputError("odometry needs bd_low and bd_high in dataset.json")


def numbered(slot: Slot) -> bool:
    """Whether a slot's value is a class number, whatever its size."""
    discrete = slot.head is not None and slot.head.kind == "discrete"
    return slot.code == "table" or (slot.code == "none" and discrete)


def slot_head(slot: Slot, width: int) -> Head | Scalars:
    """The head of a predicted slot."""
    assert slot.head is not None
    if slot.code == "scalars" and slot.codec is not None:
        return Scalars(width, slot.size, slot.codec.bins, slot.shared)
    if numbered(slot):
        return build_head(HeadConfig("discrete"), width, (0.0,), (slot.size - 1.0,))
    low, high = slot.low or (-1.0,) * slot.size, slot.high or (1.0,) * slot.size
    return build_head(slot.head, width, low, high)


class Network(nn.Module):
    """A layout made into a network."""

    low: Tensor
    high: Tensor

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        self.config, layout, width = config, config.layout, config.trunk.n_embd
        self.slots = {s.name: s for s in layout.slots}
        if layout.text is not None:
            self.text = build_text_encoder(layout.text, width)
            self.text_position = nn.Embedding(layout.text_positions, width)
        self.stream = TokenStream(layout, width)
        self.position = nn.Embedding(layout.positions, width) if layout.positions else None
        self.norm = nn.LayerNorm(width) if layout.norm else nn.Identity()
        self.trunk = Trunk(config.trunk)
        self.heads: Any = nn.ModuleDict(
            {s.name: slot_head(s, width) for s in layout.slots if s.head}
        )
        self.auxiliary = Auxiliary(config.auxiliary, width)
        if self.position is not None:
            nn.init.normal_(self.position.weight, std=0.02)
        if layout.text is not None:
            nn.init.normal_(self.text_position.weight, std=0.02)
        for slot in layout.slots:
            if slot.spread is not None:
                nn.init.normal_(self.codes[slot.name].net.weight, std=slot.spread)
        if config.odometry is not None and config.bd_low and config.bd_high:
            self.register_buffer("low", torch.tensor(config.bd_low[:2]), persistent=False)
            self.register_buffer("high", torch.tensor(config.bd_high[:2]), persistent=False)
        self.has_unseen = bool(self.stream.unseen.any())
        # A slot of weight 0 has a head that nothing teaches.
        self.taught = [name for name in self.heads if self.slots[name].weight]

    @property
    def codes(self) -> Any:
        """Slot name -> the module that turns its values into tokens."""
        return self.stream.codes

    @property
    def device(self) -> torch.device:
        return self.trunk.norm.weight.device

    @property
    def map_side(self) -> int:
        """Cells per side of the visitation map that the slot `visits` holds."""
        return round((self.slots["visits"].size / 2) ** 0.5)

    def capacity(self, text_lengths: np.ndarray) -> np.ndarray:
        """Timesteps [N] that fit in windows behind texts of so many tokens [N]."""
        window, block = self.config.window, self.config.block_size
        if block is None:
            return np.full(len(text_lengths), window)
        fit = (block - text_lengths) // self.stream.tokens
        return fit if window is None else np.minimum(fit, window)

    def fit(
        self, steps: Mapping[str, np.ndarray], each: Mapping[str, np.ndarray], seed: int = 0
    ) -> None:
        """Take means, spreads, bins and centres from the training values, before training; of many
        values, from a share of them."""
        for name, slot in self.slots.items():
            found = (each if slot.constant else steps).get(name)
            if found is None:
                continue  # computed within
            if name in self.codes:
                self.codes[name].fit(_sample(found))
            if name in self.heads and isinstance(self.heads[name], Head):
                target = steps.get(slot.target or name, found)
                self.heads[name].fit(_sample(target), seed)

    def complete(
        self, values: Mapping[str, Tensor], dropped: Mapping[str, Tensor], row: Tensor
    ) -> Mapping[str, Tensor]:
        """Add the values of the layout's reckoned slot: the pose, and the target from there."""
        name = next((s.name for s in self.slots.values() if s.reckoned), None)
        if name is None or "pose" not in values:
            return values
        bd = values["bd"]
        off = dropped.get("bd", torch.zeros(len(bd), dtype=torch.bool, device=bd.device))
        place = features(values["pose"], bd[row], off[row], self.low, self.high)
        return {**values, name: place}

    def embed_text(self, text: Tensor, position: Tensor) -> Tensor:
        """Text tokens [L, C]."""
        if self.config.layout.text is None:
            return self.trunk.norm.weight.new_zeros(0, self.config.trunk.n_embd)
        return self.text(text) + self.text_position(position)

    def embed(self, batch: Batch) -> Tensor:
        """The packed rows [N, T, C] of a batch, positions and norm included."""
        values = self.complete(batch.values, batch.dropped, batch.row)
        text = self.embed_text(batch.text, batch.text_position)
        steps = self.stream(values, batch.dropped, batch.row, batch.time).flatten(0, 1)
        tokens = torch.cat([text, steps, steps.new_zeros(1, steps.shape[1])])
        x = F.embedding(batch.place, tokens)
        return self.finish(x, torch.arange(x.shape[1], device=x.device))

    def finish(self, x: Tensor, columns: Tensor) -> Tensor:
        """Add the positions of rows' columns, where the layout has such, and the norm."""
        if self.position is not None:
            x = x + self.position(columns)
        return self.norm(x)

    def mask(self, batch: Batch) -> Tensor | SharedPrefix | None:
        """[N, 1, T, T] bool where some tokens may not be attended to; None = plain causality.

        A token may always attend to itself: a row without any is NaN.
        """
        device, t = batch.place.device, batch.place.shape[1]
        unseen = torch.from_numpy(self.stream.unseen).to(device)
        if batch.text_lengths is not None:
            p = int(batch.text_lengths.max())
            text = torch.arange(p, device=device) < batch.text_lengths[:, None, None, None]
            s = (t - p) // batch.windows
            itself = torch.eye(s, dtype=torch.bool, device=device)
            hidden = unseen.repeat(s // len(unseen) + 1)[:s]
            own = torch.ones_like(itself).tril() & (~hidden | itself)
            return SharedPrefix(batch.windows, text, own)
        if not self.has_unseen:
            return None
        texts = unseen.new_zeros(len(batch.text_position))
        steps = unseen.repeat(len(batch.row))
        column = torch.cat([texts, steps, steps.new_zeros(1)])[batch.place]
        itself = torch.eye(t, dtype=torch.bool, device=device)
        mask = torch.ones_like(itself).tril()
        return mask & (~column[:, None, :] | itself)[:, None]

    def states(
        self,
        batch: Batch,
        read: Tensor,
        write: Write | None = None,
        trunk: Callable[..., Tensor] | None = None,
    ) -> Tensor:
        """Hidden states [R, C] at flat positions `read` [R] of the packed rows.

        `trunk` may stand in for the network's own (the same one, compiled).
        """
        # Not `or`: a compiled module has no truth value.
        trunk = self.trunk if trunk is None else trunk
        mask = self.mask(batch)
        if write is not None:
            assert not isinstance(mask, SharedPrefix)
            write.mask = mask
        return trunk(self.embed(batch), write, read, mask)

    def hidden(
        self, batch: Batch, names: list[str], trunk: Callable[..., Tensor] | None = None
    ) -> dict[str, Tensor]:
        """Hidden states [M, numbers, C] at which the named slots are read.

        Where a batch's first row has no token before its first step, another one's is given, which
        says nothing: such targets weigh 0 (`Windows`).
        """
        reads = []
        for name in names:
            at = torch.from_numpy(self.stream.reads[name]).to(batch.first.device)
            reads.append((batch.first[:, None] + at).clamp(min=0))
        states = self.states(batch, torch.cat([r.flatten() for r in reads]), trunk=trunk)
        parts = states.split([r.numel() for r in reads])
        return {n: p.view(*r.shape, -1) for n, p, r in zip(names, parts, reads, strict=True)}

    def losses(
        self, batch: Batch, trunk: Callable[..., Tensor] | None = None, auxiliary: bool = False
    ) -> dict[str, tuple[Tensor, Tensor | None]]:
        """Of each taught slot its losses [M, numbers] and their weights (None = all of them 1).

        A slot with one prediction a step and weights: [targets, 1], those of weight 0 left out.
        `auxiliary` adds the losses of the auxiliary tasks to that of the action.
        """
        hidden, found = self.hidden(batch, self.taught, trunk), {}
        for name in self.taught:
            slot, h, head = self.slots[name], hidden[name], self.heads[name]
            values = batch.values.get(slot.target or name)
            values = batch.values[name] if values is None else values
            weight = batch.weight.get(name)
            if isinstance(head, Scalars):
                loss = head.loss(h, self.codes[name].codec.encode(values))
            else:
                h = h[:, 0]
                if weight is not None:  # a large head over few targets: only theirs
                    some = weight[:, 0] > 0
                    h, values, weight = h[some], values[some], weight[some]
                towards = h
                if name == "action" and self.auxiliary.subgoal_first:
                    named = batch.values["next_subgoal"][:, 0].long()
                    towards = self.auxiliary.towards(h, named)
                loss = head.loss(towards, values)
                if auxiliary and name == "action":
                    loss = loss + self.auxiliary.loss(h, towards, batch.values)
                loss = loss[:, None]
            if slot.weight != 1:
                weight = loss.new_ones(loss.shape) if weight is None else weight
                weight = slot.weight * weight
            found[name] = (loss, weight)
        return found

    def total(self, batch: Batch, trunk: Callable[..., Tensor] | None = None) -> Tensor:
        """The weighted sum of all targets' losses, those of the auxiliary tasks among them."""
        parts = self.losses(batch, trunk, auxiliary=True).values()
        return torch.stack(
            [(loss if w is None else loss * w).float().sum() for loss, w in parts]
        ).sum()

    def draw(
        self,
        name: str,
        hidden: Tensor,
        number: int,
        sampling: Sampling,
        generator: torch.Generator | None,
        bias: Tensor | None = None,
        barred: Tensor | None = None,
    ) -> Tensor:
        """Values [N, 1] of number `number` of a scalars slot, or [N, size] of another slot.

        From hidden states [N, C]. `bias` [classes] is added to the logits. `barred`
        [N, subgoals + 1] bool: next places that are not chosen.
        """
        head = self.heads[name]
        if name == "action" and self.auxiliary.subgoal_first:
            hidden = self.auxiliary.towards(hidden, self.auxiliary.choose(hidden, barred))
        if isinstance(head, Scalars):
            logits = head.logits(hidden[:, None], number)[:, 0]
            index = pick(logits if bias is None else logits + bias, sampling, generator)
            centres = self.codes[name].codec.centres[number]
            return centres[index][:, None].float()
        if bias is not None:
            logits = head.out(hidden) + bias
            return pick(logits, sampling, generator)[:, None].float()
        return head.sample(hidden, sampling, generator)

    def flops_per_token(self, row_tokens: float, read: float | None = None) -> float:
        """Training FLOPs (forward and backward) per token in rows of so many tokens.

        6 per weight a token is multiplied with in the trunk (in the last block, past its
        attention, only the share `read` of the tokens is: one per timestep), and for causal
        attention, which looks back over half the row on average, 6 * n_layer * n_embd * row_tokens.
        Embeddings, norms, heads and elementwise work are left out. (Chowdhery et al. 2022,
        appendix B, with the causal half.)
        """
        c = self.config.trunk
        read = 1 / self.stream.tokens if read is None else read
        weights = 12 * c.n_layer * c.n_embd**2 - 9 * c.n_embd**2 * (1 - read)
        return 6.0 * weights + 6.0 * c.n_layer * c.n_embd * row_tokens

    def save(self, folder: Path) -> None:
        """Write config.json and model.safetensors, each at once."""
        folder.mkdir(parents=True, exist_ok=True)
        write_json(folder / CONFIG, asdict(self.config))
        self.save_weights(folder)

    def save_weights(self, folder: Path) -> None:
        """Write model.safetensors, with the digests of what lies beside it and belongs to it."""
        beside = (CONFIG, TOKENIZER, WORDS, READER)
        save_weights(folder / WEIGHTS, self.state_dict(), {"format": "pt"}, beside)


def _sample(values: np.ndarray) -> Tensor:
    """Values [M, size] to take statistics from: all, or of many evenly spaced stretches."""
    if values.nbytes > SAMPLE:
        rows = SAMPLE // (values.nbytes // len(values)) // STRETCHES
        begins = np.linspace(0, len(values) - rows, STRETCHES).astype(np.int64)
        values = np.concatenate([values[begin : begin + rows] for begin in begins])
    return torch.from_numpy(values)


def load_network(folder: Path, device: str = "cpu") -> Network:
    """The network of a folder, with its text encoder attached, ready to act."""
    config_path, weights_path = folder / CONFIG, folder / WEIGHTS
    for file in (config_path, weights_path):
        if not file.exists():
            raise InputError(f"{file} does not exist: {folder} is not a trained model")
    fields = read_json(config_path, "train it again")
    if fields.get("format") != FORMAT:
        raise InputError(
            f"{config_path}: written by another version of nanodt, whose models cannot be "
            "read: train it again"
        )
    check_beside(folder, (CONFIG, TOKENIZER, READER))
    try:
        network = Network(from_json(NetworkConfig, fields))
    except InputError:
        raise
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise InputError(f"{config_path} is not a model configuration: {error}") from error
    weights = read_weights(weights_path, "train it again")
    bad = [name for name, w in weights.items() if not torch.isfinite(w).all()]
    if bad:
        raise InputError(f"{weights_path}: NaN or infinite numbers in {bad[0]}")
    try:
        network.load_state_dict(weights)
    except RuntimeError as error:
        reason = " ".join(str(error).split())[:200]
        raise InputError(f"{weights_path} does not fit {config_path}: {reason}") from None
    if network.config.layout.text is not None:
        attach_source(network.text, network.config.layout.text, folder)
    return network.to(device).eval()
