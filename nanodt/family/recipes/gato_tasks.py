"""Gato's tasks: environments, their experts, and what they look like in one vocabulary of ids."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch

from nanodt.family.recipes import babyai, cartpole
from nanodt.family.sources import Behaviour, collect, make_env
from nanodt.family.trajectories import Trajectories
from nanodt.model.codec import Codec, CodecConfig

SEEN = 4  # objects in the language task's level


@dataclass(frozen=True)
class Vocabulary:
    """Ranges of token ids: text, continuous values, discrete values, the separator."""

    words: int
    discrete: int
    bins: int = 1024

    @property
    def choices(self) -> int:
        return self.words + self.bins

    @property
    def separator(self) -> int:
        return self.choices + self.discrete

    @property
    def size(self) -> int:
        return self.separator + 1

    @cached_property
    def observed(self) -> Codec:
        """Of observations: the mu-law's bins."""
        return Codec(CodecConfig("mulaw", self.bins), 1)

    @cached_property
    def done(self) -> Codec:
        """Of actions in [-1, 1]: even bins."""
        return Codec(CodecConfig("uniform", self.bins, (-1.0,), (1.0,)), 1)

    def number(self, values: np.ndarray, codec: Codec) -> np.ndarray:
        """Ids of continuous values."""
        flat = torch.from_numpy(np.asarray(values, np.float64).reshape(-1, 1))
        return self.words + codec.encode(flat).numpy().reshape(np.shape(values))

    def value(self, ids: np.ndarray, codec: Codec) -> np.ndarray:
        """The centres that ids of continuous values stand for."""
        flat = torch.from_numpy(np.asarray(ids, np.int64).reshape(-1, 1) - self.words)
        return codec.decode(flat).numpy().reshape(np.shape(ids))


@dataclass(frozen=True)
class Task:
    """An environment, and what its observations and actions are."""

    name: str
    env: str
    obs: int
    longest: int
    expert: Callable[[Any], Behaviour]
    noise: float = 0.0
    """Share of a demonstration's actions that are random, so that copying the last one fails."""
    shown: int | None = None
    """Steps of a demonstration, where not all are worth showing."""
    words: int = 0
    """Tokens of the text in each observation."""
    discrete: bool = False
    """Whether observations are class numbers."""
    actions: int = 0
    """How many there are; 0: one continuous number within `bound`."""
    bound: float = 1.0

    @property
    def tokens(self) -> int:
        """Of a timestep: text, observation, separator, action."""
        return self.words + self.obs + 2

    def observation(
        self, vocabulary: Vocabulary, obs: np.ndarray, texts: list[str] | None
    ) -> np.ndarray:
        """Ids [N, words + obs] of observations [N, obs]."""
        values = obs[:, : self.obs]
        if self.discrete:
            ids = vocabulary.choices + values
        else:
            ids = vocabulary.number(values, vocabulary.observed)
        if self.words:
            text = np.array([babyai.word_ids(t) for t in texts or []])
            ids = np.concatenate([text, ids], 1)
        return ids.astype(np.int64)

    def action(self, vocabulary: Vocabulary, action: np.ndarray) -> np.ndarray:
        """Ids [N, 1] of actions [N, 1]."""
        if self.actions:
            return (vocabulary.choices + action).astype(np.int64)
        return vocabulary.number(action / self.bound, vocabulary.done)

    def act(self, vocabulary: Vocabulary, ids: np.ndarray) -> np.ndarray:
        """The inverse of `action`."""
        if self.actions:
            return ids - vocabulary.choices
        return vocabulary.value(ids, vocabulary.done) * self.bound

    def allowed(self, vocabulary: Vocabulary) -> torch.Tensor:
        """[ids] 0 where an action may be, -inf elsewhere."""
        first = vocabulary.choices if self.actions else vocabulary.words
        bias = torch.full((vocabulary.size,), -torch.inf)
        bias[first : first + (self.actions or vocabulary.bins)] = 0
        return bias


def swing_up(env: Any) -> Behaviour:
    """Pendulum: pump energy until the pole is nearly upright, then hold it there."""

    def act(obs: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        cos, sin, speed = (float(x) for x in obs)
        energy = speed**2 / 6 + 5 * (cos - 1)  # that of the pole at rest upright is 0
        push = -12 * sin - 3 * speed if cos > 0.9 else -4 * energy * np.sign(speed or 1)
        return np.clip(np.array([push], np.float32), -2, 2)

    return act


def balance(env: Any) -> Behaviour:
    return cartpole.behaviour(0.0)


def anything(env: Any) -> Behaviour:
    """Actions drawn from the environment's own, by the given random numbers."""
    space = env.action_space
    if hasattr(space, "n"):
        return lambda obs, rng: int(rng.integers(space.n))
    return lambda obs, rng: rng.uniform(space.low, space.high).astype(np.float32)


def demonstrator(task: Task) -> Callable[[Any], Behaviour]:
    """The task's expert, now and then a random action in its place."""

    def behaviour(env: Any) -> Behaviour:
        expert, other = task.expert(env), anything(env)
        if not task.noise:
            return expert
        return lambda obs, rng: (other if rng.random() < task.noise else expert)(obs, rng)

    return behaviour


TASKS = (
    Task("CartPole", cartpole.ENV, 4, cartpole.LONGEST, balance, noise=0.1, actions=2),
    # Later it only holds the pole upright.
    Task("Pendulum", "Pendulum-v1", 3, 200, swing_up, noise=0.2, shown=60, bound=2.0),
    Task(
        "GoToLocalS6N4",
        "minigrid:BabyAI-GoToLocalS6N4-v0",
        2 * (SEEN + 1),
        36,
        babyai.bot,
        words=5,
        discrete=True,
        actions=babyai.ACTIONS,
    ),
)
WIDEST = max(task.obs for task in TASKS)
DISCRETE = 1 + max(babyai.AHEAD, babyai.NOWHERE)
"""Numbers of kinds and cells, and so more than any task has actions."""
PLACES = max(task.tokens for task in TASKS)


def gather(
    task: Task, n: int, seed: int, behaviour: Callable[[Any], Behaviour], shown: int | None = None
) -> Trajectories:
    """Trajectories of a task, its observations padded to the widest task's."""
    if task.words:
        part = babyai.collect_missions(task.env, n, seed, SEEN, behaviour=behaviour)
    else:
        env = make_env(task.env, **({"max_episode_steps": shown} if shown else {}))
        part = collect(env, lambda i: behaviour(env), n, seed, name=task.name)
        part.texts = [[""]] * n
    obs = part.steps["obs"]
    return part.with_steps(obs=np.pad(obs, ((0, 0), (0, WIDEST - obs.shape[1]))))
