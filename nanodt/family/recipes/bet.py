"""Behavior Transformer: observations only, and actions as a cluster's centre plus an offset.

Trained and driven on a plane with a disc between start and goal, which demonstrations pass on
either side. Squared error learns the mean of two valid ways; choosing a cluster learns both. No
command says which way: the choice is drawn, and drawn anew at each step. From starts that hardly
differ, squared error drives one way only; from others it takes the way that is a little nearer.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal

import numpy as np

from nanodt.driving.policy import Policy
from nanodt.driving.rollout import drive
from nanodt.errors import InputError
from nanodt.family.recipes.recipe import Figure, Options, Recipe
from nanodt.family.trajectories import Trajectories
from nanodt.files import WEIGHTS
from nanodt.model.heads import HeadConfig, Sampling
from nanodt.model.network import Network, load_network
from nanodt.model.stream import Layout, Slot
from nanodt.training.bounds import Count, NonNegative

GOAL, RADIUS, LARGEST, STEPS = np.array([0.0, 1.0]), 0.45, 0.2, 40
NEAR = 0.001  # spread of starts that hardly differ: less than where squared error changes sides


class Obstacle:
    """N points on a plane that go from about (0, -1) to the goal round a disc at the origin.

    An action is the displacement, at most 0.2 long. A drive ends in the disc (failure), within
    0.2 of the goal (success), or after 40 steps. A vector environment in Gymnasium's manner.
    """

    class single_action_space:
        low, high = np.full(2, -LARGEST, np.float32), np.full(2, LARGEST, np.float32)

    def __init__(self, num_envs: int, spread: float = 0.05) -> None:
        self.num_envs, self.spread = num_envs, spread

    def reset(self, seed: int | None = None) -> tuple[np.ndarray, dict[str, Any]]:
        rng = np.random.default_rng(seed)
        self.at = np.array([0.0, -1.0]) + rng.normal(0, self.spread, (self.num_envs, 2))
        self.over, self.step_number = np.zeros(self.num_envs, bool), 0
        return self.at.astype(np.float32), {}

    def step(self, action: np.ndarray) -> tuple[np.ndarray, ...]:
        size = np.linalg.norm(action, axis=1, keepdims=True)
        move = action * np.minimum(1, LARGEST / np.maximum(size, 1e-9))
        self.at = np.where(self.over[:, None], self.at, self.at + move)
        self.step_number += 1
        hit = np.linalg.norm(self.at, axis=1) < RADIUS
        there = (np.linalg.norm(self.at - GOAL, axis=1) < 0.2) & ~hit & ~self.over
        self.over |= hit | there
        cut = np.full(self.num_envs, self.step_number >= STEPS)
        info: Any = {"success": there}
        return self.at.astype(np.float32), there.astype(np.float32), self.over.copy(), cut, info


class Guide:
    """Drives round the disc, half of the robots on each side, with noise."""

    def __init__(self, n: int, seed: int) -> None:
        self.rng = np.random.default_rng(seed)
        self.side = np.where(np.arange(n) % 2, 1.0, -1.0)

    def reset(self, seed: int | None = None) -> None:
        self.passed = np.zeros(len(self.side), bool)

    def act(self, obs: np.ndarray, text: Any, bd: Any, reward: Any) -> np.ndarray:
        self.passed |= obs[:, 1] > -0.05
        beside = np.stack([0.75 * self.side, np.zeros_like(self.side)], 1)
        way = np.where(self.passed[:, None], GOAL, beside) - obs
        way = 0.16 * way / np.linalg.norm(way, axis=1, keepdims=True)
        return (way + self.rng.normal(0, 0.01, way.shape)).astype(np.float32)


@dataclass(kw_only=True)
class BeTOptions(Options):
    context: Count = 5
    steps: Count = 600
    clusters: Count = 16
    offset_weight: NonNegative = 1.0
    trajectories: Count = 400
    drives: Count = 200
    head: Literal["clusters", "mse"] = "clusters"
    """clusters, or mse: the control."""


class BehaviorTransformer(Recipe[BeTOptions]):
    name = "bet"
    title = "Imitate demonstrations that do the same task in several ways"
    source = "Shafiullah et al. 2022, Behavior Transformers (arXiv 2206.11251)"
    options = BeTOptions
    # github.com/notmahi/bet, configs of the kitchen: 6 layers, 6 heads, width 120, window 10, 64
    # clusters, AdamW at 1e-4 with decay 0.1 and betas 0.9, 0.95, clipping 1, 50 epochs: a guess in
    # steps, as are the small preset's batch and dropout.
    published: ClassVar = {
        "n_layer": 6,
        "n_head": 6,
        "n_embd": 120,
        "context": 10,
        "clusters": 64,
        "lr": 1e-4,
        "min_lr": 1.0,
        "steps": 50_000,
    }

    def collect(self, options: BeTOptions) -> Trajectories:
        n = options.trajectories
        rollouts = drive(Guide(n, options.seed), Obstacle(n), steps=STEPS, seed=options.seed)
        good = np.flatnonzero(rollouts.success)
        steps = {
            "obs": np.concatenate([rollouts.obs[i, : rollouts.length[i]] for i in good]),
            "action": np.concatenate([rollouts.action[i, : rollouts.length[i]] for i in good]),
        }
        return Trajectories(rollouts.length[good], steps)

    def prepare(self, options: BeTOptions, data: Trajectories) -> Trajectories:
        return data.check("obs", "action")

    def layout(self, options: BeTOptions, data: Trajectories) -> Layout:
        head = HeadConfig(options.head, options.clusters, offset_weight=options.offset_weight)
        return Layout(
            (
                Slot("obs", data.size("obs"), "linear"),
                Slot("action", data.size("action"), "none", head=head),
            ),
            positions=options.context,
        )

    def drive(
        self, options: BeTOptions, model: Network, mode: str, spread: float = 0.05
    ) -> tuple[float, float]:
        """(share that succeeded, share that passed on the right)."""
        sampling = Sampling("argmax" if mode == "argmax" else "temperature")
        envs = Obstacle(options.drives, spread)
        rollouts = drive(
            Policy(model, sampling=sampling), envs, steps=STEPS, seed=options.seed + 10_000
        )
        obs = rollouts.obs
        crossing = np.argmax(obs[:, :, 1] > -RADIUS, axis=1)
        right = obs[np.arange(len(obs)), crossing, 0] > 0
        chosen = rollouts.success if rollouts.success.any() else np.ones(len(right), bool)
        return rollouts.success.mean(), float(right[chosen].mean())

    def evaluate(self, options: BeTOptions, model: Network, data: Trajectories) -> list[Figure]:
        if data.size("obs") != 2 or data.size("action") != 2:
            raise InputError(
                f"{data.where}: obs and action have {data.size('obs')} and {data.size('action')} "
                "numbers, the plane with the obstacle 2 and 2: the model is trained and kept, and "
                "only its own environment can try it"
            )
        control = self.control(options, data)
        sampled, right = self.drive(options, model, "sample")
        likeliest, _ = self.drive(options, model, "argmax")
        reached, alike = self.drive(options, model, "sample", spread=NEAR)
        if not reached:  # drives that all fail show no two ways
            alike = math.nan
        squared, apart = self.drive(options, control, "argmax")
        _, near = self.drive(options, control, "argmax", spread=NEAR)
        rarer, one_way = min(apart, 1 - apart), min(near, 1 - near)
        return [
            Figure("sampled: success", sampled, least=0.75),
            Figure("sampled: share on the right", right, least=0.3, most=0.7),
            Figure("sampled, starts alike: share on the right", alike, least=0.3, most=0.7),
            Figure("likeliest: success", likeliest),
            Figure("squared error: success", squared),
            Figure("squared error: share of the rarer way", rarer),
            Figure("squared error, starts alike: share of the rarer way", one_way, most=0.05),
        ]

    def control(self, options: BeTOptions, data: Trajectories) -> Network:
        """The same with squared error; trained anew, except to evaluate again."""
        own = replace(options, head="mse", out=options.out / self.name / "control")
        folder = own.out / self.name
        if options.evaluate and (folder / WEIGHTS).exists():
            return load_network(folder)
        return self.train(own, data)


RECIPE = BehaviorTransformer()
