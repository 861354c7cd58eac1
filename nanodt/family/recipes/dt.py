"""Decision Transformer: (R, s, a) a step, the action read at s, conditioned on the return.

`nanodt.family.hf` reads and writes the form of Hugging Face.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np
from scipy.stats import spearmanr

from nanodt.driving.policy import Policy
from nanodt.driving.rollout import drive
from nanodt.errors import InputError
from nanodt.family.conditions import Decrement
from nanodt.family.recipes.recipe import Figure, Options, Recipe
from nanodt.family.sources import Behaviour, collect, make_env, make_envs
from nanodt.family.trajectories import Trajectories
from nanodt.model.heads import HeadConfig
from nanodt.model.network import Network
from nanodt.model.stream import Layout, Slot
from nanodt.training.bounds import Count, Positive, Signed

GAINS = np.array([0.5, 6.0, 0.8, 1.0])  # of a controller that balances: x, angle, and their speeds

# decision-transformer/gym/experiment.py: dropout 0.1, AdamW at 1e-4 with decay 1e-4, warm-up
# 10,000, clipping 0.25, batches of 64, 100,000 steps.
TRAINING: dict[str, Any] = {
    "dropout": 0.1,
    "batch_size": 64,
    "steps": 100_000,
    "lr": 1e-4,
    "min_lr": 1.0,
    "warmup": 10_000,
    "weight_decay": 1e-4,
    "betas": (0.9, 0.999),
    "clip": 0.25,
}


@dataclass(kw_only=True)
class DTOptions(Options):
    env: str = "InvertedPendulum-v5"
    """Gymnasium environment to collect from and to drive in."""
    n_head: Count = 1
    n_embd: Count = 64
    activation: Literal["gelu_tanh", "gelu", "relu"] = "relu"
    steps: Count = 800
    scale: Positive = 200.0
    """Returns are divided by it."""
    longest: Count = 1000
    """Steps of the longest trajectory."""
    targets: tuple[Signed, ...] = (30, 60, 120, 250, 500, 1000)
    """Returns asked for to measure."""
    trajectories: Count = 400
    drives: Count = 20
    """For each target."""


def layout(
    n_obs: int, low: tuple[float, ...], high: tuple[float, ...], scale: float, longest: int
) -> Layout:
    """The published layout; state and return heads exist and are not trained."""
    n_act = len(low)
    return Layout(
        (
            Slot("rtg", 1, "linear", scale=scale, head=HeadConfig("mse"), read="action", weight=0),
            Slot("obs", n_obs, "linear", head=HeadConfig("mse"), read="action", weight=0),
            Slot("action", n_act, "linear", scale=1, head=HeadConfig("tanh"), low=low, high=high),
        ),
        max_steps=longest,
        norm=True,
    )


def behaviour(lasts: int) -> Behaviour:
    """A linear balancing controller that lets go after so many steps.

    A controller with much noise would not do: the mean of noisy actions balances as well as a
    quiet one's, whatever return is asked for.
    """
    taken = 0

    def act(obs: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        nonlocal taken
        taken += 1
        balanced = float(obs @ GAINS) if taken <= lasts else 0.0
        return np.array([np.clip(balanced + 0.05 * rng.normal(), -3, 3)], np.float32)

    return act


class DecisionTransformer(Recipe[DTOptions]):
    name = "dt"
    title = "Act so as to reach a return that is asked for"
    source = "Chen et al. 2021 (arXiv 2106.01345); transformers' DecisionTransformerModel"
    options = DTOptions
    # The same: K 20, 3 layers, 1 head, width 128, ReLU; states standardised, returns over 1000.
    # Targets: Hopper 3600 and 1800, HalfCheetah 12000 and 6000, Walker2d 5000 and 2500.
    published: ClassVar = {
        "env": "Hopper-v5",
        "scale": 1000.0,
        "n_embd": 128,
        **TRAINING,
        "targets": (3600.0, 1800.0),
    }

    def environment(self, options: DTOptions) -> str:
        return options.env

    def collect(self, options: DTOptions) -> Trajectories:
        if options.env != DTOptions.env:
            raise InputError(
                f"no controller of ours acts in {options.env}: give its trajectories, --data "
                "FILE.npz or --data minari:ID (such as minari:mujoco/hopper/medium-v0)"
            )
        # Their logarithms are even, so that short trajectories are as many as long ones.
        ends = np.random.default_rng(options.seed).uniform(0, np.log(1000), options.trajectories)
        return collect(
            make_env(options.env),
            lambda i: behaviour(int(np.exp(ends[i % len(ends)]))),
            options.trajectories,
            options.seed,
        )

    def prepare(self, options: DTOptions, data: Trajectories) -> Trajectories:
        data.check("obs", "action", reward=1)
        if "action_low" not in data.info or "action_high" not in data.info:
            raise InputError(
                f"{data.where}: recipe dt needs continuous actions; its info must state their "
                "bounds, action_low and action_high"
            )
        ends = np.array([data.info["action_low"], data.info["action_high"]], np.float64)
        if ends.shape != (2, data.size("action")) or not np.isfinite(ends).all():
            raise InputError(
                f"{data.where}: actions have bounds {ends[0].tolist()} to {ends[1].tolist()}; a "
                f"tanh head needs finite ones for each of {data.size('action')} numbers"
            )
        if data.length.max() > options.longest:
            raise InputError(
                f"{data.where}: a trajectory has {data.length.max()} steps: give --longest "
                f"{data.length.max()} or more"
            )
        return data.with_steps(rtg=data.returns_to_go())

    def layout(self, options: DTOptions, data: Trajectories) -> Layout:
        low, high = tuple(data.info["action_low"]), tuple(data.info["action_high"])
        return layout(data.size("obs"), low, high, options.scale, options.longest)

    def evaluate(self, options: DTOptions, model: Network, data: Trajectories) -> list[Figure]:
        asked = np.repeat(options.targets, options.drives)
        envs = make_envs(options.env, len(asked))
        actor = Policy(model, {"rtg": Decrement(asked)})
        reached = drive(actor, envs, steps=options.longest, seed=options.seed + 10_000).returns
        means = reached.reshape(len(options.targets), -1).mean(1)
        found = [Figure("mean return of the data", data.returns.mean())]
        found += [
            Figure(f"asked for {t:g}: mean return", m)
            for t, m in zip(options.targets, means, strict=True)
        ]
        # Ties all round (nothing obeyed) have no rank correlation: 0.
        rank = np.nan_to_num(spearmanr(asked, reached)[0])  # type: ignore[call-overload]

        return [*found, Figure("rank correlation of asked and reached", float(rank), least=0.8)]


RECIPE = DecisionTransformer()
