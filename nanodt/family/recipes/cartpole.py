"""The one-token Decision Transformer for CartPole of the notes, mended.

Each step is one token, the sum of state, return-to-go, previous action and timestep, and its
action is read right there: `s+R+a₋₁ → a`. The listing in the notes differs in four points
(docs/log.md has what the first and the third cost):

1. `nn.TransformerEncoder` gets no causal mask, though the target a(t+1) is an input one token
   later: the label leaks, and acting, where it is not there, fails.
2. a(t+1) is to be predicted from s(t), without s(t+1).
3. Returns up to 500 enter unscaled, beside states of about 1.
4. Trajectories of at most `seq_len` steps are silently dropped: the bad ones.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from nanodt.driving.policy import Policy
from nanodt.driving.rollout import drive
from nanodt.family.conditions import Decrement
from nanodt.family.recipes.recipe import Figure, Options, Recipe, ratio
from nanodt.family.sources import Behaviour, collect, make_env, make_envs
from nanodt.family.trajectories import Trajectories
from nanodt.model.heads import HeadConfig, Sampling
from nanodt.model.network import Network
from nanodt.model.stream import Layout, Slot
from nanodt.training.bounds import Count

ENV, LONGEST = "CartPole-v1", 500
# A balancing controller's, for position, its speed, angle and its speed.
GAINS = np.array([0.1, 0.3, 1.0, 0.5])


@dataclass(kw_only=True)
class CartPoleOptions(Options):
    context: Count = 50
    steps: Count = 1200
    trajectories: Count = 600
    """Collected: a balancing controller that acts at random with a probability of its own."""
    drives: Count = 100
    """Driven to measure."""


def behaviour(noise: float) -> Behaviour:
    """The balancing controller, a random action with probability `noise`."""

    def act(obs: np.ndarray, rng: np.random.Generator) -> int:
        return int(rng.integers(2)) if rng.random() < noise else int(obs @ GAINS > 0)

    return act


def play(n: int, seed: int, **fields: Any) -> Trajectories:
    """Trajectories of the controller, each with a probability of its own; `fields` of all."""
    noise = np.random.default_rng(seed).random(n)
    return collect(
        make_env(ENV), lambda i: behaviour(noise[i % n]), n, seed, each=lambda i, info: {**fields}
    )


class CartPole(Recipe[CartPoleOptions]):
    name = "cartpole"
    title = "Balance a pole for as long as asked: the smallest Decision Transformer"
    source = "a listing in the notes this project grew from; Chen et al. 2021 (arXiv 2106.01345)"
    options = CartPoleOptions
    # The listing: 3 layers, 4 heads, width 128, windows of 50, AdamW at 3e-4, batches of 256,
    # clipping at 1, 100 epochs (in steps a guess), dropout and activation of
    # nn.TransformerEncoderLayer.
    published: ClassVar = {
        "n_embd": 128,
        "dropout": 0.1,
        "activation": "relu",
        "batch_size": 256,
        "lr": 3e-4,
        "min_lr": 1.0,
        "warmup": 1,
        "weight_decay": 0.01,
        "betas": (0.9, 0.999),
        "steps": 50_000,
    }

    def collect(self, options: CartPoleOptions) -> Trajectories:
        return play(options.trajectories, options.seed)

    def prepare(self, options: CartPoleOptions, data: Trajectories) -> Trajectories:
        data.check(obs=4, action=1, reward=1)
        return data.with_steps(rtg=data.returns_to_go())

    def layout(self, options: CartPoleOptions, data: Trajectories) -> Layout:
        head = HeadConfig("discrete")
        return Layout(
            (
                Slot("obs", 4, "linear"),
                Slot("rtg", 1, "linear", join=True),
                Slot("action", 2, "table", join=True, shift=True, head=head, read="action"),
            ),
            max_steps=LONGEST,
        )

    def drive(
        self, options: CartPoleOptions, model: Network, target: float, mode: str
    ) -> np.ndarray:
        """Returns [drives] when asked for `target`."""
        sampling = Sampling("argmax" if mode == "argmax" else "temperature")
        actor = Policy(model, {"rtg": Decrement(target)}, sampling=sampling)
        envs = make_envs(ENV, options.drives)
        return drive(actor, envs, steps=LONGEST, seed=options.seed + 10_000).returns

    def evaluate(
        self, options: CartPoleOptions, model: Network, data: Trajectories
    ) -> list[Figure]:
        best = self.drive(options, model, 500, "argmax").mean()
        high = self.drive(options, model, 500, "sample").mean()
        low = self.drive(options, model, 200, "sample").mean()
        return [
            Figure("mean return of the data", data.returns.mean()),
            Figure("asked for 500, argmax: mean return", best, least=475),
            Figure("asked for 500, sampled: mean return", high),
            Figure("asked for 200, sampled: mean return", low),
            Figure("sampled: 500 over 200", ratio(high, low), least=2),
        ]


RECIPE = CartPole()
