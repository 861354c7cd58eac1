"""The transformer: GPT-2's blocks, from embeddings to hidden states.

It holds no tables and knows no text, no robot and no loss, so that the weights of any GPT-2 fit it.
Training calls it on packed rows, whose pads stand at the end, so that causal attention alone keeps
them from every other token: no mask, the fast path. Driving keeps keys and values in a `Cache`.

Source: Radford et al. 2019 (GPT-2).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nanodt.errors import InputError


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


@dataclass
class SharedPrefix:
    """What may attend to what in rows of one text and several windows behind it.

    The text fills the first P columns (pads at its end), each of the G windows the next S. A token
    of a window sees the text and its own window up to itself, as if these stood in a row of their
    own. Windows do not see each other, so the scores between them are not computed: they would be
    nine in ten.
    """

    windows: int
    text: Tensor
    """[N, 1, 1, P] bool: True = text, False = pad."""
    own: Tensor
    """[S, S] bool: what a window's tokens see of it."""

    def __call__(self, q: Tensor, k: Tensor, v: Tensor, dropout: float) -> Tensor:
        """[N, heads, P + G * S, d] each -> the same."""
        p = self.text.shape[3]
        q_text, k_text, v_text = (t[:, :, :p] for t in (q, k, v))
        q, k, v = (t[:, :, p:].unflatten(2, (self.windows, -1)) for t in (q, k, v))
        q = q * q.shape[-1] ** -0.5
        to_text = (q.flatten(2, 3) @ k_text.mT).masked_fill(~self.text, -torch.inf)
        to_own = (q @ k.mT).masked_fill(~self.own, -torch.inf).flatten(2, 3)
        weight = torch.cat([to_text, to_own], dim=3).softmax(3)  # [N, heads, G * S, P + S]
        weight = F.dropout(weight, dropout)
        own = weight[..., p:].unflatten(2, (self.windows, -1)) @ v
        y = weight[..., :p] @ v_text + own.flatten(2, 3)
        if p == 0:
            return y
        return torch.cat([attention(q_text, k_text, v_text, None, dropout), y], dim=2)


def attention(
    q: Tensor, k: Tensor, v: Tensor, mask: Tensor | SharedPrefix | None, dropout: float
) -> Tensor:
    """[N, heads, T, d] each -> [N, heads, T, d]; causal where there is no mask."""
    if isinstance(mask, SharedPrefix):
        return mask(q, k, v, dropout)
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

    def attend(
        self, x: Tensor, context: Write | None, mask: Tensor | SharedPrefix | None = None
    ) -> Tensor:
        """[N, T, C] -> [N, T, C], not yet projected."""
        qkv = self.qkv(x).unflatten(2, (3, self.n_head, -1))  # [N, T, 3, heads, C / heads]
        q, k, v = (t.transpose(1, 2) for t in qkv.unbind(2))  # [N, heads, T, C / heads] each
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
        return y.transpose(1, 2).flatten(2)  # [N, T, C]

    def forward(
        self,
        x: Tensor,
        context: Write | None = None,
        read: Tensor | None = None,
        mask: Tensor | SharedPrefix | None = None,
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
        mask: Tensor | SharedPrefix | None = None,
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
