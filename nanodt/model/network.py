"""The model: a GPT-2 trunk, and around it the words, the stream of steps and the head.

`Trunk` takes embeddings and gives hidden states. It holds no tables and knows no text, no robot
and no loss, so that the weights of any GPT-2 fit it. `Model` is the whole policy: it packs a
batch of windows into rows of at most `block_size` tokens,

    [text tokens] [bd, o, a] [bd, o, a] ... [bd, o, a]  pads

and reads its prediction of each action at the `o` token before it. Pads stand at the end of a
row, so that causal attention alone keeps them from every other token: no mask, the fast path.
Several windows of a trajectory may share one row and its one copy of the text (`beside`).

Sources: Radford et al. 2019 (GPT-2); Chen et al. 2021 (Decision Transformer); the layout with a
text prefix and a behaviour descriptor: Salehi & Doncieux 2023 (arXiv 2308.13278).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from functools import partial
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nanodt.errors import InputError
from nanodt.model.auxiliary import Auxiliary, AuxiliaryConfig
from nanodt.model.heads import Head, HeadConfig, build_head
from nanodt.model.stream import Batch, Slot, TokenStream, VectorCode
from nanodt.place.odometry import FEATURES, OdometryConfig, features
from nanodt.place.visitation import cells_of
from nanodt.text.encoders import TextConfig, build_text_encoder


@dataclass(frozen=True)
class TrunkConfig:
    """Sizes of the transformer."""

    n_layer: int = 4
    n_head: int = 4
    n_embd: int = 128
    dropout: float = 0.0
    """On a CPU, dropout inside attention leaves the fused path: about three times slower."""
    activation: str = "gelu_tanh"
    """Of the MLPs: gelu_tanh (GPT-2's), gelu (exact), relu (Decision Transformer's)."""

    def __post_init__(self) -> None:
        if self.n_embd % self.n_head:
            below = self.n_embd // self.n_head * self.n_head
            widths = [w for w in (below, below + self.n_head) if w]
            fits = [h for h in range(1, self.n_embd + 1) if self.n_embd % h == 0]
            fewer = [h for h in fits if h < self.n_head][-1:]
            more = [h for h in fits if h > self.n_head][:1]
            raise InputError(
                f"n_embd={self.n_embd} cannot be shared by n_head={self.n_head} heads: take "
                f"n_embd={' or '.join(map(str, widths))}, "
                f"or n_head={' or '.join(map(str, fewer + more))}"
            )


ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "gelu_tanh": partial(F.gelu, approximate="tanh"),
    "gelu": F.gelu,
    "relu": F.relu,
}


class Cache:
    """Keys and values of the tokens a trunk has seen: one row per robot, filled from the left.

    Row i holds its tokens at columns 0..n_i-1 without gaps, so "attend to the columns up to my
    own" is the whole mask; what lies further right is stale and never read. Memory is taken
    once, for `columns` tokens, head by head: [layer, rows, heads, columns, C / heads].
    """

    def __init__(self, config: TrunkConfig, rows: int, columns: int, like: Tensor) -> None:
        heads, width = config.n_head, config.n_embd // config.n_head
        shape = (config.n_layer, rows, heads, columns, width)
        self.keys, self.values = like.new_zeros(shape), like.new_zeros(shape)
        self.columns = columns
        first = torch.arange(rows * heads, device=like.device) * columns
        self.first = first.view(rows, heads, 1)
        self.index = torch.arange(columns, device=like.device)


@dataclass
class Write:
    """Where the tokens of a forward go in the cache, and what they may see there."""

    cache: Cache
    rows: Tensor | None = None
    """Which rows of the cache (None = all)."""
    flat: Tensor | None = None
    """New tokens of these rows: their cells [rows * heads * S] of the cache; None: the rows are
    written whole, from column 0."""
    width: int = 0
    """Columns in use, over all rows."""
    mask: Tensor | None = None
    """[rows, 1, S, width] bool, True = may attend."""

    def __call__(self, layer: int, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        """Store k, v [N, heads, S, d]; give what the tokens attend to."""
        out: list[Tensor] = []
        for store, new in ((self.cache.keys[layer], k), (self.cache.values[layer], v)):
            if self.flat is not None:
                store.view(-1, new.shape[3]).index_copy_(0, self.flat, new.flatten(0, 2))
                held = store[:, :, : self.width]
                out.append(held if self.rows is None else held[self.rows])
            elif self.rows is None:
                store[:, :, : new.shape[2]] = new
            else:
                store[self.rows, :, : new.shape[2]] = new
        return (out[0], out[1]) if out else (k, v)


def beside(window: Tensor) -> Tensor:
    """Mask [N, 1, T, T] for rows of a text and several windows, True = may attend.

    `window` [N, T] int64 says which window a token is of, 0 = text. A token sees the text and the
    tokens of its own window up to itself, as if these stood in a row of their own.
    """
    at = torch.arange(window.shape[1], device=window.device)
    queries, keys = window[:, :, None], window[:, None, :]
    return ((at <= at[:, None]) & ((keys == 0) | (keys == queries)))[:, None]


def attention(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None, dropout: float) -> Tensor:
    """[N, heads, T, d] each -> [N, heads, T, d]; causal where there is no mask."""
    return F.scaled_dot_product_attention(
        q, k, v, attn_mask=mask, is_causal=mask is None, dropout_p=dropout
    )


class Block(nn.Module):
    """Pre-norm attention and MLP, both added to the stream (GPT-2)."""

    def __init__(self, config: TrunkConfig, layer: int) -> None:
        super().__init__()
        c = config.n_embd
        self.layer, self.n_head, self.dropout = layer, config.n_head, config.dropout
        self.activation = ACTIVATIONS[config.activation]
        self.norm1 = nn.LayerNorm(c)
        self.qkv = nn.Linear(c, 3 * c)
        self.proj = nn.Linear(c, c)
        self.norm2 = nn.LayerNorm(c)
        self.up = nn.Linear(c, 4 * c)
        self.down = nn.Linear(4 * c, c)

    def drop(self, x: Tensor) -> Tensor:
        return F.dropout(x, self.dropout, self.training) if self.dropout else x

    def attend(self, x: Tensor, context: Write | None, mask: Tensor | None = None) -> Tensor:
        """[N, T, C] -> [N, T, C], not yet projected."""
        qkv = self.qkv(x).unflatten(2, (3, self.n_head, -1))
        q, k, v = (t.transpose(1, 2) for t in qkv.unbind(2))
        if context is not None:
            k, v = context(self.layer, k, v)
            mask = context.mask
        dropout = self.dropout if self.training else 0.0
        if q.device.type == "cpu" and torch.is_autocast_enabled("cpu"):
            # There, attention in half precision takes longer than in float32.
            with torch.autocast("cpu", enabled=False):
                y = attention(q.float(), k.float(), v.float(), mask, dropout)
        else:
            y = attention(q, k, v, mask, dropout)
        return y.transpose(1, 2).flatten(2)

    def forward(
        self,
        x: Tensor,
        context: Write | None = None,
        read: Tensor | None = None,
        mask: Tensor | None = None,
    ) -> Tensor:
        y = self.attend(self.norm1(x), context, mask)
        if read is not None:
            x, y = (F.embedding(read, t.flatten(0, 1)) for t in (x, y))
        x = x + self.drop(self.proj(y))
        return x + self.drop(self.down(self.activation(self.up(self.norm2(x)))))


class Trunk(nn.Module):
    """GPT-2's blocks: embeddings [N, T, C] in, hidden states [N, T, C] out, causal."""

    def __init__(self, config: TrunkConfig) -> None:
        super().__init__()
        self.config = config
        self.blocks = nn.ModuleList(Block(config, i) for i in range(config.n_layer))
        self.norm = nn.LayerNorm(config.n_embd)
        for name, p in self.named_parameters():
            if name.endswith("bias"):
                nn.init.zeros_(p)
            elif p.dim() == 2:
                # Each block adds twice to the stream: its variance would grow with depth.
                residual = name.endswith(("proj.weight", "down.weight"))
                nn.init.normal_(p, std=0.02 / math.sqrt(2 * config.n_layer) if residual else 0.02)

    def forward(
        self,
        x: Tensor,
        context: Write | None = None,
        read: Tensor | None = None,
        mask: Tensor | None = None,
    ) -> Tensor:
        """Hidden states of tokens x [N, T, C].

        `context` says where keys and values are kept and what else is attended to. `read` [M] int64
        are flat positions in [N * T]: only their hidden states [M, C] come back, and the last
        block's projections are spared for all other tokens, which nothing would look at. `mask`
        [N, 1, T, T] bool, True = may attend, stands in for plain causality.
        """
        if self.config.dropout:
            x = F.dropout(x, self.config.dropout, self.training)
        last = len(self.blocks) - 1
        for i, block in enumerate(self.blocks):
            x = block(x, context, read if i == last else None, mask)
        return self.norm(x)

    def extend(
        self,
        x: Tensor,
        cache: Cache,
        columns: Tensor,
        unseen: Tensor | None = None,
        rows: Tensor | None = None,
    ) -> Tensor:
        """New tokens x [N, S, C] of N cached rows, placed at `columns` [N, S] of the cache.

        Gives the hidden state [N, C] of each row's last token. `unseen` [columns of the cache]
        bool marks columns to which no other may attend. `rows` [N] int64 says which rows of the
        cache they are (None = all of them).
        """
        n, s, _ = x.shape
        width = int(columns.max()) + 1
        mask = cache.index[:width] <= columns[:, None, :, None]
        if unseen is not None:
            mask &= ~unseen[:width] | (cache.index[:width] == columns[:, None, :, None])
        first = cache.first if rows is None else cache.first[rows]
        flat = (first + columns[:, None, :]).flatten()
        read = torch.arange(1, n + 1, device=x.device) * s - 1
        return self(x, Write(cache, rows, flat, width, mask), read)


@dataclass(frozen=True)
class ModelConfig:
    """Everything needed to build the model again: `config.json` of a model folder."""

    n_obs: int
    n_act: int
    n_bd: int
    max_steps: int
    """Longest trajectory: the number of learned timestep embeddings."""
    action_low: tuple[float, ...]
    action_high: tuple[float, ...]
    action_decimals: int | None = None
    """Actions are rounded to so many decimals, as the recorded ones were."""
    block_size: int = 350
    """Tokens in a row, text included."""
    window: int | None = None
    """Timesteps in a row at most, however many tokens would fit."""
    trunk: TrunkConfig = field(default_factory=TrunkConfig)
    one_token: bool = False
    """One token per timestep, in which bd, o and the last a are added up, rather than three."""
    hide_actions: bool = False
    """The tokens of past actions say nothing but that there was one."""
    odometry: OdometryConfig | None = None
    """The `o` tokens carry the pose that the robot reckons for itself."""
    trail: int = 0
    """Cells per side of the map of where the robot has been, in the `o` tokens; 0 = none."""
    embedding: str = "mlp"
    """How a vector becomes a token: mlp | linear."""
    head: HeadConfig = field(default_factory=HeadConfig)
    text: TextConfig = field(default_factory=TextConfig)
    auxiliary: AuxiliaryConfig = field(default_factory=AuxiliaryConfig)
    environment: dict[str, Any] | None = None
    """Gymnasium id and arguments the trajectories came from; nothing here depends on it."""
    bd_low: tuple[float, ...] | None = None
    bd_high: tuple[float, ...] | None = None

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @staticmethod
    def from_json(fields: dict[str, Any]) -> ModelConfig:
        fields = dict(fields)
        fields["trunk"] = TrunkConfig(**fields["trunk"])
        fields["head"] = HeadConfig(**fields["head"])
        fields["text"] = TextConfig(**fields["text"])
        fields["auxiliary"] = AuxiliaryConfig(**fields.get("auxiliary", {}))
        if fields.get("odometry") is not None:
            fields["odometry"] = OdometryConfig.from_json(fields["odometry"])
        for name in ("action_low", "action_high", "bd_low", "bd_high"):
            if fields.get(name) is not None:
                fields[name] = tuple(fields[name])
        return ModelConfig(**fields)

    @property
    def step_tokens(self) -> int:
        """Tokens of a timestep: bd, o and a, or one for all."""
        return 1 if self.one_token else 3

    @property
    def read_at(self) -> int:
        """Place within a timestep of the token at which its action is read: that of o."""
        return 0 if self.one_token else 1

    def cells(self, pose: np.ndarray) -> np.ndarray:
        """Cells [N] of the trail's map in which reckoned poses [N, 3] lie."""
        low, high = np.array(self.bd_low)[:2], np.array(self.bd_high)[:2]
        return cells_of(pose[:, :2].astype(np.float32), low, high, self.trail)

    def steps_beside(self, text_length: int) -> int:
        """Timesteps that fit in a row beside a text of so many tokens."""
        return int(self.room(np.array([text_length]))[0])

    def room(self, text_lengths: np.ndarray) -> np.ndarray:
        """Timesteps [N] that fit in rows beside texts of so many tokens [N]."""
        fit = (self.block_size - text_lengths) // self.step_tokens
        return fit if self.window is None else np.minimum(fit, self.window)


class Model(nn.Module):
    """The whole policy network; see the module's head for the layout."""

    low: Tensor
    high: Tensor

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        width = config.trunk.n_embd
        discrete = config.head.kind == "discrete"
        odometry: tuple[Slot, ...] = ()
        if config.odometry is not None:
            config.odometry.check(config.n_obs, config.n_act, config.n_bd)
            if config.bd_low is None or config.bd_high is None:
                raise InputError("odometry needs bd_low and bd_high in dataset.json")
            odometry = (Slot("place", FEATURES, "mlp", join=True, scale=1.0),)
            if config.trail:
                size = 2 * config.trail**2
                odometry += (Slot("trail", size, "linear", join=True, scale=1.0),)
            self.register_buffer("low", torch.tensor(config.bd_low[:2]), persistent=False)
            self.register_buffer("high", torch.tensor(config.bd_high[:2]), persistent=False)
        size = int(config.action_high[0]) + 1 if discrete else config.n_act
        code = "table" if discrete else config.embedding
        if not config.one_token:
            action = Slot("action", size, code, predicted=True, hidden=config.hide_actions)
        elif config.hide_actions:
            action = Slot("action", size, "none", predicted=True, read="obs")
        else:
            action = Slot("action", size, code, predicted=True, shift=True, join=True, read="obs")
        slots = (
            Slot("bd", config.n_bd, config.embedding, constant=True),
            Slot("obs", config.n_obs, config.embedding, join=config.one_token),
            *odometry,
            action,
        )
        self.text = build_text_encoder(config.text, width)
        self.text_position = nn.Embedding(config.block_size, width)
        self.stream = TokenStream(slots, width, config.max_steps)
        self.trunk = Trunk(config.trunk)
        self.head: Head = build_head(config.head, width, config.action_low, config.action_high)
        self.auxiliary = Auxiliary(config.auxiliary, width)
        nn.init.normal_(self.text_position.weight, std=0.02)
        if config.trail:  # few of its many numbers are not zero
            code = self.stream.codes["trail"]
            assert isinstance(code, VectorCode) and isinstance(code.net, nn.Linear)
            nn.init.normal_(code.net.weight, std=0.1)

    def place(self, pose: Tensor, bd: Tensor, off: Tensor) -> Tensor:
        """Odometry: what the `o` tokens carry of poses [M, 3], given BDs [M, n_bd], off [M]."""
        return features(pose, bd, off, self.low, self.high)

    def embed_steps(
        self, values: dict[str, Tensor], off: dict[str, Tensor], row: Tensor, time: Tensor
    ) -> Tensor:
        """Tokens [M, tokens of a step, C] of M timesteps; arguments as in `Batch`."""
        if self.config.odometry is not None:
            place = self.place(values["pose"], values["bd"][row], off["bd"][row])
            values = {**values, "place": place}
        return self.stream(values, off, row, time)

    def embed(self, batch: Batch) -> Tensor:
        """All tokens [L + M * tokens of a step + 1, C] of a batch: texts, steps, the pad."""
        text = self.text(batch.text) + self.text_position(batch.text_position)
        steps = self.embed_steps(batch.values, batch.off, batch.row, batch.time).flatten(0, 1)
        return torch.cat([text, steps, steps.new_zeros(1, steps.shape[1])])

    def forward(
        self,
        batch: Batch,
        context: Write | None = None,
        trunk: Callable[..., Tensor] | None = None,
    ) -> Tensor:
        """Hidden states [M, C] at the tokens that predict: one per timestep of the batch.

        `trunk` may stand in for the model's own (the same one, compiled).
        """
        # Not `or`: a compiled module has no truth value.
        trunk = self.trunk if trunk is None else trunk
        mask = None if batch.window is None else beside(batch.window)
        return trunk(F.embedding(batch.place, self.embed(batch)), context, batch.read, mask)

    def loss(self, batch: Batch, trunk: Callable[..., Tensor] | None = None) -> Tensor:
        """Loss [M] of every timestep's action, not yet averaged."""
        return self._action_loss(self(batch, trunk=trunk), batch)

    def objective(self, batch: Batch, trunk: Callable[..., Tensor] | None = None) -> Tensor:
        """What training minimises [M]: the loss of the action, and of the auxiliary tasks."""
        hidden = self(batch, trunk=trunk)
        return self._action_loss(hidden, batch) + self.auxiliary.loss(hidden, batch.values)

    def _action_loss(self, hidden: Tensor, batch: Batch) -> Tensor:
        return self.head.loss(hidden, batch.values.get("target", batch.values["action"]))

    def flops_per_token(self, row_tokens: float, read: float | None = None) -> float:
        """Training FLOPs (forward and backward) per token in rows of so many tokens.

        6 per weight a token is multiplied with in the trunk (in the last block, past its
        attention, only the share `read` of the tokens is: one per timestep), and for causal
        attention, which looks back over half the row on average, 6 * n_layer * n_embd * row_tokens.
        Embeddings, norms, heads and elementwise work are left out. (Chowdhery et al. 2022,
        appendix B, with the causal half.)
        """
        c = self.config.trunk
        read = 1 / self.config.step_tokens if read is None else read
        weights = 12 * c.n_layer * c.n_embd**2 - 9 * c.n_embd**2 * (1 - read)
        return 6.0 * weights + 6.0 * c.n_layer * c.n_embd * row_tokens
