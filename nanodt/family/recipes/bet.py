"""Behavior Transformer: observations only, and actions as a cluster's centre plus an offset.

Trained and driven on a plane with a disc between start and goal, which demonstrations pass on
either side. Squared error learns the mean of two valid ways; choosing a cluster learns both. No
command says which way: the choice is drawn, and drawn anew at each step. From starts that hardly
differ, squared error drives one way only; from others it takes the way that is a little nearer.

Departs from the paper in small things: k-means starts from k-means++; actions are standardised,
so that lambda (`offset_weight`) is 1 where theirs is 10 to 100,000, in units of raw actions;
windows hop instead of sliding by one.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np

from nanodt.data.episodes import Collection
from nanodt.driving.acting import Actor
from nanodt.driving.play import play
from nanodt.errors import InputError
from nanodt.family.recipes.recipe import Figure, Recipe, Settings
from nanodt.model.heads import HeadConfig, Sampling
from nanodt.model.sequence import WEIGHTS, Layout, SequenceModel, load_sequence
from nanodt.model.stream import Slot

GOAL, RADIUS, LARGEST, STEPS = np.array([0.0, 1.0]), 0.45, 0.2, 40
NEAR = 0.01  # spread of starts that hardly differ


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

    def act(self, obs: np.ndarray, reward: np.ndarray | None = None) -> np.ndarray:
        self.passed |= obs[:, 1] > -0.05
        beside = np.stack([0.75 * self.side, np.zeros_like(self.side)], 1)
        way = np.where(self.passed[:, None], GOAL, beside) - obs
        way = 0.16 * way / np.linalg.norm(way, axis=1, keepdims=True)
        return (way + self.rng.normal(0, 0.01, way.shape)).astype(np.float32)


@dataclass(kw_only=True)
class BeTSettings(Settings):
    n_layer: int = 3
    n_head: int = 4
    n_embd: int = 64
    context: int = 5
    steps: int = 600
    clusters: int = 16
    offset_weight: float = 1.0
    trajectories: int = 400
    drives: int = 200
    head: str = "clusters"
    """clusters, or mse: the control."""


class BehaviorTransformer(Recipe[BeTSettings]):
    name = "bet"
    title = "Imitate demonstrations that do the same task in several ways"
    source = "Shafiullah et al. 2022, Behavior Transformers (arXiv 2206.11251)"
    settings = BeTSettings
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

    def collect(self, settings: BeTSettings) -> Collection:
        n = settings.trajectories
        plays = play(Guide(n, settings.seed), Obstacle(n), STEPS, settings.seed)
        good = np.flatnonzero(plays.success)
        obs = np.stack(plays.obs, 1)
        steps = {
            "obs": np.concatenate([obs[i, : plays.length[i]] for i in good]),
            "action": np.concatenate([plays.action[i, : plays.length[i]] for i in good]),
        }
        return Collection(plays.length[good], steps)

    def prepare(self, settings: BeTSettings, data: Collection) -> Collection:
        return data.check("obs", "action")

    def layout(self, settings: BeTSettings, data: Collection) -> Layout:
        if settings.head not in ("clusters", "mse"):
            raise InputError(f"--head {settings.head}: expected clusters or mse")
        kind = "clusters" if settings.head == "clusters" else "mse"
        head = HeadConfig(kind, settings.clusters, offset_weight=settings.offset_weight)
        return Layout(
            (
                Slot("obs", data.size("obs"), "linear"),
                Slot("action", data.size("action"), "none", head=head),
            ),
            positions=settings.context,
        )

    def drive(
        self, settings: BeTSettings, model: SequenceModel, mode: str, spread: float = 0.05
    ) -> tuple[float, float]:
        """(share that succeeded, share that passed on the right)."""
        sampling = Sampling("argmax" if mode == "argmax" else "temperature")
        envs = Obstacle(settings.drives, spread)
        plays = play(Actor(model, sampling=sampling), envs, STEPS, settings.seed + 10_000)
        obs = np.stack(plays.obs, 1)
        crossing = np.argmax(obs[:, :, 1] > -RADIUS, axis=1)
        right = obs[np.arange(len(obs)), crossing, 0] > 0
        chosen = plays.success if plays.success.any() else np.ones(len(right), bool)
        return plays.success.mean(), float(right[chosen].mean())

    def evaluate(
        self, settings: BeTSettings, model: SequenceModel, data: Collection
    ) -> list[Figure]:
        if data.size("obs") != 2 or data.size("action") != 2:
            raise InputError(
                f"{data.where}: obs and action have {data.size('obs')} and {data.size('action')} "
                "numbers, the plane with the obstacle 2 and 2: the model is trained and kept, and "
                "only its own environment can try it"
            )
        control = self.control(settings, data)
        sampled, right = self.drive(settings, model, "sample")
        likeliest, _ = self.drive(settings, model, "argmax")
        _, alike = self.drive(settings, model, "sample", spread=NEAR)
        squared, apart = self.drive(settings, control, "argmax")
        _, near = self.drive(settings, control, "argmax", spread=NEAR)
        return [
            Figure("sampled: success", sampled, least=0.75),
            Figure("sampled: share on the right", right, least=0.3, most=0.7),
            Figure("sampled, starts alike: share on the right", alike, least=0.3, most=0.7),
            Figure("likeliest: success", likeliest),
            Figure("squared error: success", squared),
            Figure("squared error: share of the rarer way", min(apart, 1 - apart)),
            Figure(
                "squared error, starts alike: share of the rarer way",
                min(near, 1 - near),
                most=0.05,
            ),
        ]

    def control(self, settings: BeTSettings, data: Collection) -> SequenceModel:
        """The same with squared error; trained anew, except to evaluate again."""
        own = replace(settings, head="mse", out=settings.out / self.name / "control")
        folder = own.out / self.name
        if settings.evaluate and (folder / WEIGHTS).exists():
            return load_sequence(folder)
        return self.train(own, data)


RECIPE = BehaviorTransformer()
