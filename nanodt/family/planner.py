"""Planning with a model of whole trajectories: the beam search of Trajectory Transformer.

A plan is drawn token by token: actions by `sampling`, observations as the likeliest, rewards and
values as their expectations. Each of the W best plans is continued E times, and of the W x E the
best W are kept, by the sum of discounted rewards plus the discounted value after the last one. The
first action of the best plan is taken, and the next step plans anew.

Planning starts from the cached keys and values of what really happened, copied for each plan; the
published code computes the whole context anew for each token.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from nanodt.driving.policy import Policy
from nanodt.errors import InputError
from nanodt.model.heads import Sampling, pick
from nanodt.model.network import Network
from nanodt.model.trunk import Cache

ORDER = ("obs", "action", "reward", "value")


@dataclass
class Beam:
    """How wide and how far to search."""

    horizon: int = 1
    width: int = 8
    expand: int = 2
    """Continuations of each plan."""
    discount: float = 0.99
    context: int = 5
    """Past steps at most, the present one included."""


class Planner:
    """Acts by planning; used like a `Policy`.

    The layout must be obs, action, reward and value, each number a token, the value unseen.
    """

    def __init__(
        self, model: Network, beam: Beam, *, sampling: Sampling | None = None, seed: int = 0
    ) -> None:
        slots = model.config.layout.slots
        fits = all(s.code == "scalars" and s.head for s in slots) and slots[-1].unseen
        if tuple(s.name for s in slots) != ORDER or not fits or model.config.layout.max_steps:
            raise InputError(
                f"beam search needs the slots {', '.join(ORDER)}, each scalars with a head, the "
                "value unseen, and no timesteps: the layout of recipe tt"
            )
        if beam.context + beam.horizon > (model.config.window or 0):
            raise InputError(
                f"{beam.context} past steps and {beam.horizon} planned ones exceed the model's "
                f"context of {model.config.window}: shorten one, or train with a longer --context"
            )
        self.model, self.beam = model, beam
        self.sampling = sampling or Sampling("temperature")
        self.policy = Policy(model, context=beam.context, seed=seed)

    def reset(self, seed: int | None = None) -> None:
        self.policy.reset(seed)

    @torch.no_grad()
    def act(
        self, obs: np.ndarray, text: Any = None, bd: Any = None, reward: np.ndarray | None = None
    ) -> np.ndarray:
        """Actions [N, size] for observations [N, n_obs] and the rewards [N] of the last step."""
        policy, stream = self.policy, self.model.stream
        policy.open_step({"obs": obs}, np.zeros(len(obs)) if reward is None else reward)
        place = stream.first["action"]
        hidden = policy.read(place - 1)
        assert policy.cache is not None
        begun = (policy.step - int(policy.start[0])) * stream.tokens
        policy.put("action", self._search(policy.cache, hidden, begun + place).numpy())
        return policy.value("action", policy.step).numpy().copy()

    def _search(self, cache: Cache, hidden: Tensor, first: int) -> Tensor:
        """First actions [N, A] of the best plans, from hidden states [N, C] before them."""
        beam, n = self.beam, len(hidden)
        plans = Plans(self.model, cache, hidden, first, beam)
        for step in range(beam.horizon):
            plans.grow(beam.expand if step else beam.width * beam.expand)
            if step:
                plans.dream()
            action = plans.choose(self.sampling, self.policy.generator)
            if step == 0:
                plans.action = action
            plans.judge(step, beam.discount)
            order = plans.score.view(n, -1).topk(beam.width, dim=1).indices
            each = plans.score.shape[0] // n
            plans.keep((torch.arange(n)[:, None] * each + order).flatten())
        best = plans.score.view(n, -1).argmax(1)
        return plans.action.view(n, beam.width, -1)[torch.arange(n), best]


class Plans:
    """Rows of plans under way, those of one environment side by side."""

    def __init__(
        self, model: Network, past: Cache, hidden: Tensor, column: int, beam: Beam
    ) -> None:
        self.model, self.hidden, self.column = model, hidden, column
        rows, self.columns = len(hidden), (beam.context + beam.horizon) * model.stream.tokens
        self.cache = self._copy(past, torch.arange(rows))
        unseen = torch.from_numpy(model.stream.unseen)
        self.unseen = unseen.repeat(beam.context + beam.horizon)
        self.score, self.sum = hidden.new_zeros(rows), hidden.new_zeros(rows)
        self.action = hidden.new_zeros(rows, model.slots["action"].size)

    def _copy(self, cache: Cache, rows: Tensor) -> Cache:
        """Room for whole plans of these rows, with what a cache holds of them."""
        copy = Cache(self.model.trunk.config, len(rows), self.columns, self.hidden)
        copy.keys[:, :, :, : self.column] = cache.keys[:, rows, :, : self.column]
        copy.values[:, :, :, : self.column] = cache.values[:, rows, :, : self.column]
        return copy

    def keep(self, rows: Tensor) -> None:
        """Go on with these rows (some perhaps several times)."""
        self.cache, self.hidden = self._copy(self.cache, rows), self.hidden[rows]
        self.score, self.sum, self.action = self.score[rows], self.sum[rows], self.action[rows]

    def grow(self, times: int) -> None:
        self.keep(torch.arange(len(self.hidden)).repeat_interleave(times))

    def logits(self, name: str, number: int) -> Tensor:
        return self.model.heads[name].logits(self.hidden[:, None], number)[:, 0]

    def push(self, name: str, number: int, classes: Tensor) -> None:
        """Enter one token of every plan."""
        code = self.model.codes[name]
        column = torch.full((len(classes), 1), self.column)
        x = self.model.finish(code.table(classes + code.offset[number])[:, None], column)
        self.hidden = self.model.trunk.extend(x, self.cache, column, self.unseen)
        self.column += 1

    def choose(self, sampling: Sampling, generator: torch.Generator) -> Tensor:
        """Draw and enter a step's actions [rows, A]."""
        found = []
        for number, centres in enumerate(self.model.codes["action"].codec.centres.float()):
            drawn = pick(self.logits("action", number), sampling, generator)
            found.append(centres[drawn])
            self.push("action", number, drawn)
        return torch.stack(found, 1)

    def judge(self, step: int, discount: float) -> None:
        """Add the expected reward, and score the plans with the expected value after it."""
        p = self.logits("reward", 0).softmax(1)
        centres = self.model.codes["reward"].codec.centres[0].float()
        self.sum = self.sum + discount**step * (p @ centres)
        self.push("reward", 0, p.argmax(1))
        p = self.logits("value", 0).softmax(1)
        worth = p @ self.model.codes["value"].codec.centres[0].float()
        self.score = self.sum + discount ** (step + 1) * worth
        self.column += 1  # the value's token: nothing may see it, so it is not computed

    def dream(self) -> None:
        """Enter the likeliest next observation."""
        for number in range(self.model.slots["obs"].size):
            self.push("obs", number, self.logits("obs", number).argmax(1))
