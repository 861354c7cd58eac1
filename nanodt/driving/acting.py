"""The one acting loop of the family: conditions, decoding, a growing and hopping context.

At each step the actor walks over the step's slots: what is known (observation, condition) enters,
what has a head and is asked for is drawn, token by token. Keys and values of all that entered are
cached. When the context is full, all but its newest half is dropped (see nanodt/policy.py for
why windows hop rather than slide).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from nanodt.driving.policy import window_start
from nanodt.errors import InputError
from nanodt.model.heads import Sampling
from nanodt.model.network import Cache
from nanodt.model.sequence import SequenceModel
from nanodt.model.stream import Slot


@dataclass
class Constant:
    """The same value [size] or [N, size] at every step."""

    value: np.ndarray | float

    def next(self, previous: np.ndarray | None, reward: np.ndarray) -> Any:
        return self.value


@dataclass
class Decrement:
    """A return-to-go: the asked-for return less what was got so far."""

    target: np.ndarray | float

    def next(self, previous: np.ndarray | None, reward: np.ndarray) -> Any:
        if previous is None:
            return np.broadcast_to(np.reshape(self.target, (-1, 1)), (len(reward), 1))
        return previous - reward[:, None]


@dataclass
class Drawn:
    """Drawn from the slot's own head, its logits raised by kappa from the lowest class (0) to the
    highest (kappa): expert action inference of Multi-Game DT (Lee et al. 2022)."""

    kappa: float = 0.0


Condition = Constant | Decrement | Drawn


def numbered(slot: Slot) -> bool:
    """Whether a slot's value is a class number, whatever its size."""
    discrete = slot.head is not None and slot.head.kind == "discrete"
    return slot.code == "table" or (slot.code == "none" and discrete)


class Actor:
    """A model that acts for N environments at once; `reset()` begins a new drive."""

    def __init__(
        self,
        model: SequenceModel,
        conditions: Mapping[str, Condition] | None = None,
        *,
        sampling: Sampling | None = None,
        prefix: list[np.ndarray] | None = None,
        context: int | None = None,
        width: int | None = None,
        seed: int = 0,
    ) -> None:
        """`prefix`: ids of each row's prefix. `width`: how many numbers of the action are decoded
        (the environment's own, where the model knows more); the others are 0."""
        self.model, self.conditions = model.eval(), dict(conditions or {})
        self.sampling = sampling or Sampling()
        own = model.config.context
        self.context = own if context is None else min(context, own)
        if self.context < 1:
            raise InputError(f"context {self.context}: an actor must see at least one step")
        self.ids, self.width = prefix, width
        self.sizes = {n: 1 if numbered(s) else s.size for n, s in model.slots.items()}
        self.reset(seed)

    def reset(self, seed: int | None = None) -> None:
        """Forget the drive; with a seed, also begin the random draws anew."""
        if seed is not None:
            self.generator = torch.Generator().manual_seed(seed)
        self.step = -1

    def _begin(self, rows: int) -> None:
        stream = self.model.stream
        lengths = [len(p) for p in self.ids] if self.ids else [0] * rows
        if len(lengths) != rows:
            raise InputError(f"{len(lengths)} prefixes for {rows} environments: give one each")
        self.rows, self.offset = rows, torch.tensor(lengths)
        columns = max(lengths) + self.context * stream.tokens
        like = self.model.trunk.norm.weight
        self.cache = Cache(self.model.trunk.config, rows, columns, like)
        unseen = torch.from_numpy(stream.unseen).repeat(self.context)
        # Only layouts without a prefix have unseen tokens: a column's place in its step is plain.
        self.unseen = unseen if self.model.has_unseen else None
        self.values = {n: torch.zeros(rows, 0, size) for n, size in self.sizes.items()}
        self.start, self.fed = 0, 0
        self._feed_prefix()

    def _feed_prefix(self) -> None:
        """The rows' prefixes, pads behind them that the first step overwrites."""
        if not self.ids:
            return
        longest = max(len(p) for p in self.ids)
        x = torch.zeros(self.rows, longest, self.model.config.trunk.n_embd)
        for i, ids in enumerate(self.ids):
            at = torch.arange(len(ids))
            x[i, : len(ids)] = self.model.prefix(torch.from_numpy(np.asarray(ids)), at)
        columns = torch.arange(longest).expand(self.rows, -1)
        self.model.trunk.extend(self.model.finish(x, columns), self.cache, columns)

    def feed(self, upto: int) -> Tensor:
        """Enter all tokens of the window before its token `upto`; hidden state [N, C] of the last.

        Tokens are counted from the window's first step.
        """
        if upto == self.fed:
            return self.last
        stream, tokens = self.model.stream, self.model.stream.tokens
        first = max(self.fed // tokens - 1, 0)  # one step earlier: shifted slots look back
        steps = (upto - 1) // tokens + 1 - first
        span = torch.arange(self.start + first, self.start + first + steps)
        values = {
            name: own[:, -1] if self.model.slots[name].constant else own[:, span].flatten(0, 1)
            for name, own in self.values.items()
        }
        row = torch.arange(self.rows).repeat_interleave(steps)
        x = stream(values, {}, row, span.repeat(self.rows))
        x = x.unflatten(0, (self.rows, steps)).flatten(1, 2)
        x = x[:, self.fed - first * tokens : upto - first * tokens]
        columns = self.offset[:, None] + torch.arange(self.fed, upto)
        self.fed = upto
        x = self.model.finish(x, columns)
        self.last = self.model.trunk.extend(x, self.cache, columns, self.unseen)
        return self.last

    def open_step(self, obs: Mapping[str, np.ndarray], reward: np.ndarray) -> None:
        """Begin the next step: room for its values, the context's hop, what is known of it."""
        rows = len(reward)
        if self.step < 0:
            self._begin(rows)
        if rows != self.rows:
            raise InputError(f"{rows} observations in a drive of {self.rows}: call reset()")
        self.step += 1
        limit = self.model.config.layout.max_steps
        if limit and self.step >= limit:
            raise InputError(f"step {self.step}: the model knows {limit} steps; call reset()")
        for name, size in self.sizes.items():
            empty = torch.zeros(rows, 1, size)
            self.values[name] = torch.cat([self.values[name], empty], 1)
        if "reward" in self.values and self.step:
            self.values["reward"][:, self.step - 1, 0] = torch.from_numpy(reward)
        start = int(window_start(self.step, np.array([self.context]))[0])
        if start != self.start:
            self.start, self.fed = start, 0
        for name, value in obs.items():
            self._put(name, value)
        for name, rule in self.conditions.items():
            if not isinstance(rule, Drawn):
                before = self.values[name][:, self.step - 1].numpy() if self.step else None
                self._put(name, rule.next(before, reward))

    def _put(self, name: str, value: Any) -> None:
        if name not in self.values:
            raise InputError(f"the model has no slot {name!r} (it has {', '.join(self.values)})")
        value = torch.as_tensor(np.array(value, np.float32))
        shape = (self.rows, self.sizes[name])
        if value.dim() == 2 and value.shape != shape:
            raise InputError(f"{name} has shape {list(value.shape)}, expected {list(shape)}")
        self.values[name][:, self.step] = value

    def draw(
        self,
        name: str,
        kappa: float = 0.0,
        width: int | None = None,
        bias: Tensor | None = None,
    ) -> np.ndarray:
        """Draw a slot of the current step from its head [N, size], token by token.

        `bias` [classes] is added to the logits (-inf: never drawn).
        """
        model, slot = self.model, self.model.slots[name]
        base = (self.step - self.start) * model.stream.tokens
        for number, at in enumerate(model.stream.reads[name][:width]):
            hidden = self.feed(base + int(at) + 1)
            if kappa:
                classes = slot.codec.bins if slot.codec else slot.size
                bias = kappa * torch.linspace(0, 1, classes)
            value = model.draw(name, hidden, number, self.sampling, self.generator, bias)
            if slot.code == "scalars":
                self.values[name][:, self.step, number] = value[:, 0]
            else:
                self.values[name][:, self.step] = value
        return self.values[name][:, self.step].numpy()

    @torch.no_grad()
    def act(
        self, obs: np.ndarray | Mapping[str, np.ndarray], reward: np.ndarray | None = None
    ) -> np.ndarray:
        """Actions [N, size] for observations [N, n_obs] and the rewards [N] of the last step."""
        known = obs if isinstance(obs, Mapping) else {"obs": obs}
        rows = len(next(iter(known.values())))
        self.open_step(known, np.zeros(rows, np.float32) if reward is None else reward)
        for name, rule in self.conditions.items():
            if isinstance(rule, Drawn):
                self.draw(name, rule.kappa)
        action = self.draw("action", width=self.width)
        slot = self.model.slots["action"]
        if slot.low:
            action = np.clip(action, slot.low, slot.high)
            self._put("action", action)
        return action[:, : self.width]
