"""Gato: all tasks as one flat sequence of tokens from one vocabulary, one set of weights for all.

A timestep is its observation's tokens, a separator, its action's: text as words, then discrete
values, then continuous ones through a mu-law into bins (1024 in the paper, 128 in the small
preset); an action that is continuous is binned evenly over its bounds. A token's embedding is its
row of one table plus that of its place within the observation (all of an action's tokens share
one) and of its place in the window. Only text and actions are learned.
So a step of this recipe's stream is a token, and steps of different tasks differ in length.

Some actions of the demonstrations are random, so that copying the last one fails, and Pendulum's
end after 60 steps, when the pole is up.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

import numpy as np
import torch
from annotated_types import Ge

from nanodt.driving.policy import Policy
from nanodt.driving.rollout import drive
from nanodt.errors import InputError
from nanodt.family.recipes import babyai
from nanodt.family.recipes.gato_tasks import (
    DISCRETE,
    PLACES,
    SEEN,
    TASKS,
    WIDEST,
    Task,
    Vocabulary,
    anything,
    demonstrator,
    gather,
)
from nanodt.family.recipes.recipe import Figure, Options, Recipe, ratio
from nanodt.family.sources import make_envs
from nanodt.family.trajectories import Trajectories, join
from nanodt.model.heads import HeadConfig, Sampling
from nanodt.model.network import Network
from nanodt.model.stream import Layout, Slot
from nanodt.packing import ragged
from nanodt.training.bounds import Count, Positive, Share


@dataclass(kw_only=True)
class GatoOptions(Options):
    n_embd: Count = 96
    context: Count = 36
    """Tokens in a window."""
    steps: Count = 2400
    batch_size: Count = 24
    lr: Positive = 3e-3
    words: Count = 32
    """Ids for text."""
    discrete: Count = 64
    """Ids for discrete values."""
    bins: Annotated[int, Ge(2)] = 128
    """Ids for continuous values. A bin is learned from the values that fall into it alone."""
    prompted: Share = 0.25
    """Share of training sequences whose first half is a demonstration of the same task."""
    trajectories: tuple[Count, ...] = (100, 800, 2500)
    """Of each task's expert, collected."""
    drives: Count = 50
    """Driven in each task to measure."""
    temperature: Positive = 0.5


class Player:
    """A model that acts in N environments of one task, token by token."""

    def __init__(
        self, model: Network, task: Task, vocabulary: Vocabulary, sampling: Sampling
    ) -> None:
        if model.slots["token"].size != vocabulary.size:
            raise InputError(
                f"the model knows {model.slots['token'].size} ids, the options name "
                f"{vocabulary.size}: give the --words, --discrete and --bins it was trained with"
            )
        self.task, self.vocabulary, self.bias = task, vocabulary, task.allowed(vocabulary)
        # An even number of whole timesteps: when half is dropped, no timestep is cut in two.
        context = (model.config.window or 0) // (2 * task.tokens) * 2 * task.tokens
        self.policy = Policy(model, sampling=sampling, context=context)

    def reset(self, seed: int | None = None) -> None:
        self.policy.reset(seed)

    @torch.no_grad()
    def act(
        self, obs: Any, text: Any = None, bd: Any = None, reward: np.ndarray | None = None
    ) -> np.ndarray:
        task = self.task
        if task.words:
            pairs = babyai.look(obs["image"], SEEN).reshape(len(obs["image"]), -1)
            ids = task.observation(self.vocabulary, pairs, [str(m) for m in obs["mission"]])
        else:
            ids = task.observation(self.vocabulary, np.asarray(obs), None)
        ids = np.concatenate([ids, np.full((len(ids), 1), self.vocabulary.separator)], 1)
        nothing = np.zeros(len(ids), np.float32)
        for place, column in enumerate(ids.T):
            self.policy.open_step({"token": column[:, None], "place": np.array(place)}, nothing)
        self.policy.open_step({"place": np.array(PLACES - 1)}, nothing)
        drawn = self.policy.draw("token", bias=self.bias).astype(np.int64)
        return task.act(self.vocabulary, drawn).astype(np.float32)


class Gato(Recipe[GatoOptions]):
    name = "gato"
    title = "One set of weights for unlike tasks, all as tokens of one vocabulary"
    source = "Reed et al. 2022 (arXiv 2205.06175)"
    options = GatoOptions
    # The paper's smallest model, 79M: 8 layers, 24 heads, width 768; 1024 tokens; batches of 512
    # (here of each of three tasks 171), a million steps; the rate rises to 1e-4 in 15,000 steps and
    # falls tenfold along a cosine; decay 0.1; text ids below 32,000, continuous values from there.
    published: ClassVar = {
        "n_layer": 8,
        "n_head": 24,
        "n_embd": 768,
        "context": 1024,
        "batch_size": 171,
        "steps": 1_000_000,
        "lr": 1e-4,
        "min_lr": 0.1,
        "warmup": 15_000,
        "words": 32_000,
        "discrete": 1024,
        "bins": 1024,
    }

    def vocabulary(self, options: GatoOptions) -> Vocabulary:
        return Vocabulary(options.words, options.discrete, options.bins)

    def check(self, options: GatoOptions) -> None:
        super().check(options)
        count, longest = len(options.trajectories), max(TASKS, key=lambda task: task.tokens)
        if count != len(TASKS):
            raise InputError(f"--trajectories: {count} numbers; expected {len(TASKS)}: one a task")
        least = {
            "context": (2 * longest.tokens, f"two timesteps of {longest.name} take so many"),
            "words": (len(babyai.WORDS), "there are so many"),
            "discrete": (DISCRETE, "there are so many"),
        }
        for name, (number, why) in least.items():
            if (given := getattr(options, name)) < number:
                raise InputError(f"--{name} {given}: expected at least {number}: {why}")

    def collect(self, options: GatoOptions) -> Trajectories:
        parts = []
        for i, (task, n) in enumerate(zip(TASKS, options.trajectories, strict=True)):
            part = gather(task, n, options.seed, demonstrator(task), task.shown)
            part.each["task"] = np.full((n, 1), i, np.float32)
            parts.append(part)
        return join(parts)

    def prepare(self, options: GatoOptions, data: Trajectories) -> Trajectories:
        """Trajectories as sequences of at most `context` tokens, each of whole timesteps."""
        data.check(obs=WIDEST, action=1, task=1)
        if data.texts is None:
            raise InputError(f"{data.where}: no array texts ('' where a task has none)")
        rng, parts = np.random.default_rng(options.seed), []
        for number, task in enumerate(TASKS):
            own = np.flatnonzero(data.each["task"][:, 0] == number)
            if not len(own):
                raise InputError(f"{data.where}: no trajectory of task {number}, {task.name}")
            part = data.take(own)
            rows = ragged(part.length)[0]
            texts = [data.texts[i][0] for i in own[rows]]
            vocabulary = self.vocabulary(options)
            ids = np.concatenate(
                [
                    task.observation(vocabulary, part.steps["obs"], texts),
                    np.full((len(rows), 1), vocabulary.separator),
                    task.action(vocabulary, part.steps["action"]),
                ],
                1,
            )
            pieces = self._cut(part, options.context // task.tokens, options.prompted, rng)
            place = np.arange(task.tokens)
            place[-1] = PLACES - 1
            learned = (place < task.words) | (place == PLACES - 1)
            steps = np.concatenate(pieces)
            parts.append(
                Trajectories(
                    np.array([len(p) for p in pieces]) * task.tokens,
                    {
                        "token": ids[steps].reshape(-1, 1).astype(np.float32),
                        "place": np.tile(place, len(steps))[:, None].astype(np.float32),
                        "learned": np.tile(learned, len(steps))[:, None].astype(np.float32),
                    },
                    {"task": np.full((len(pieces), 1), number, np.float32)},
                    where=data.where,
                )
            )
        return join(parts)

    @staticmethod
    def _cut(
        part: Trajectories, capacity: int, prompted: float, rng: np.random.Generator
    ) -> list[np.ndarray]:
        """Rows of timesteps for each sequence: stretches of a trajectory, some of them behind a
        stretch of another, which is its end or (as often) begins anywhere."""
        pieces = []
        for first, length in zip(part.first, part.length, strict=True):
            at = 0
            while at < length:
                demonstration = np.zeros(0, np.int64)
                if rng.random() < prompted:
                    other = rng.integers(len(part.length))
                    n = min(capacity // 2, int(part.length[other]))
                    spare = int(part.length[other]) - n
                    begin = spare if rng.random() < 0.5 else rng.integers(spare + 1)
                    demonstration = part.first[other] + begin + np.arange(n)
                own = np.arange(at, min(at + capacity - len(demonstration), length))
                pieces.append(np.concatenate([demonstration, first + own]))
                at += len(own)
        return pieces

    def domains(self, options: GatoOptions, data: Trajectories) -> list[np.ndarray]:
        return [np.flatnonzero(data.each["task"][:, 0] == i) for i in range(len(TASKS))]

    def layout(self, options: GatoOptions, data: Trajectories) -> Layout:
        size = self.vocabulary(options).size
        return Layout(
            (
                Slot("token", size, "table", head=HeadConfig("discrete"), mask="learned"),
                Slot("place", PLACES, "table", join=True),
            ),
            positions=options.context,
        )

    def drive(self, options: GatoOptions, model: Network, task: Task) -> float:
        """Mean return of the model in a task."""
        sampling = Sampling("temperature", options.temperature)
        player = Player(model, task, self.vocabulary(options), sampling)
        envs = make_envs(task.env, options.drives)
        with babyai.QUIET:
            seed = options.seed + 1_000_000
            rollouts = drive(player, envs, steps=task.longest, seed=seed, see=lambda obs: obs)
        return float(rollouts.returns.mean())

    def evaluate(self, options: GatoOptions, model: Network, data: Trajectories) -> list[Figure]:
        found = []
        for task in TASKS:
            reached, seed = self.drive(options, model, task), options.seed + 2_000_000
            expert = gather(task, options.drives, seed, task.expert).returns.mean()
            random = gather(task, options.drives, seed, anything).returns.mean()
            share = ratio(reached - random, expert - random)
            found += [
                Figure(f"{task.name}: mean return", reached),
                Figure(f"{task.name}: its expert's", expert),
                Figure(f"{task.name}: of random actions", random),
                Figure(f"{task.name}: share of the expert, random actions being 0", share, 0.5),
            ]
        return found


RECIPE = Gato()
