"""Text-conditioned Decision Transformer: do what a sentence says.

The text stands before the trajectory, then `s, a` a step: `[words] [s, a] [s, a] ...`; there is
no return. The state is a token for each thing seen (the sum of what it is, its colour and where it
stands), so that attention finds the one the text names. Whether the text matters is measured too:
the same drives with their texts shuffled. Drives are short, as one that just wanders meets its
target in three of four when it may take the environment's 64 steps.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from nanodt.driving.policy import Policy
from nanodt.driving.rollout import Rollouts, drive
from nanodt.errors import InputError
from nanodt.family.recipes.babyai import (
    ACTIONS,
    PARTS,
    QUIET,
    WORDS,
    collect_missions,
    look,
    missions,
    parts,
    word_ids,
)
from nanodt.family.recipes.recipe import Figure, Options, Recipe
from nanodt.family.sources import make_envs
from nanodt.family.trajectories import Trajectories
from nanodt.model.codec import CodecConfig
from nanodt.model.heads import HeadConfig, Sampling
from nanodt.model.network import Network
from nanodt.model.stream import Layout, Slot
from nanodt.text.encoders import TextConfig
from nanodt.training.bounds import Count, Positive

LEVEL, LONGEST = "minigrid:BabyAI-GoToLocal-v0", 64
TRIES = 20  # steps a drive may take: the bot needs 5 on average, 14 or fewer in 99 %
SEEN = 8  # objects in the level
# Pairs of colour and thing that no training mission names.
HELD_OUT = ("red key", "blue ball", "yellow box")


@dataclass(kw_only=True)
class TDTOptions(Options):
    n_layer: Count = 6
    n_head: Count = 8
    n_embd: Count = 128
    context: Count = 4
    steps: Count = 1600
    trajectories: Count = 10_000
    """Of the bot, collected."""
    drives: Count = 200
    """Driven to measure, with seeds that no training trajectory has."""
    temperature: Positive = 0.5


def numbers(n: int) -> CodecConfig:
    """Class numbers 0 … n-1 as scalars."""
    return CodecConfig("uniform", n, (-0.5,) * (SEEN + 1), (n - 0.5,) * (SEEN + 1))


def see(obs: dict[str, Any]) -> dict[str, np.ndarray]:
    """What the agents of vector environments see, as values of the slots."""
    return parts(look(obs["image"], SEEN))


def mean(reached: np.ndarray) -> float:
    """A share of drives; of none there is no share."""
    return float(reached.mean()) if len(reached) else math.nan


def new(text: str) -> bool:
    """Whether a mission names a pair that training missions do not."""
    return text.endswith(HELD_OUT)


class TextConditioned(Recipe[TDTOptions]):
    name = "tdt"
    title = "Do what a sentence says: text before the trajectory"
    source = "the notes this project grew from, on the Text-conditioned Decision Transformer"
    options = TDTOptions
    # 6 layers, 8 heads, width 128: the small preset's too. The rest is not public; dropout, steps
    # and context are guesses.
    published: ClassVar = {"dropout": 0.1, "steps": 100_000, "context": 20}

    def collect(self, options: TDTOptions) -> Trajectories:
        return collect_missions(
            LEVEL, options.trajectories, options.seed, SEEN, keep=lambda text: not new(text)
        )

    def prepare(self, options: TDTOptions, data: Trajectories) -> Trajectories:
        data.check(obs=2 * (SEEN + 1), action=1)
        if data.texts is None:
            raise InputError(f"{data.where}: no array texts: recipe tdt needs a sentence for each")
        return data.with_steps(**parts(data.steps["obs"].reshape(-1, SEEN + 1, 2)))

    def text_ids(self, options: TDTOptions, data: Trajectories) -> list[np.ndarray]:
        return [word_ids(own[0]) for own in data.texts or []]

    def layout(self, options: TDTOptions, data: Trajectories) -> Layout:
        seen = (
            Slot(name, SEEN + 1, "scalars", codec=numbers(n), shared=True, join=name != "thing")
            for name, n in PARTS.items()
        )
        return Layout(
            (*seen, Slot("action", ACTIONS, "table", head=HeadConfig("discrete"))),
            max_steps=LONGEST,
            local=True,
            text=TextConfig(vocabulary=len(WORDS)),
            text_positions=max(len(ids) for ids in self.text_ids(options, data)),
        )

    def drive(
        self, options: TDTOptions, model: Network, shuffled: bool = False
    ) -> tuple[Rollouts, list[str]]:
        """Drives on unseen seeds, and their missions; `shuffled`: by those of other drives."""
        envs, seed = make_envs(LEVEL, options.drives), options.seed + 1_000_000
        asked = missions(envs, seed)
        given = asked[1:] + asked[:1] if shuffled else asked
        actor = Policy(
            model,
            sampling=Sampling("temperature", options.temperature),
            text_ids=[word_ids(text) for text in given],
        )
        with QUIET:
            rollouts = drive(actor, envs, steps=TRIES, seed=seed, see=see)
        return rollouts, asked

    def evaluate(self, options: TDTOptions, model: Network, data: Trajectories) -> list[Figure]:
        rollouts, asked = self.drive(options, model)
        reached = rollouts.returns > 0
        unknown = np.array([new(text) for text in asked])
        shuffled = (self.drive(options, model, shuffled=True)[0].returns > 0).mean()
        return [
            Figure("success on unseen seeds", reached.mean(), least=0.8),
            Figure("success with shuffled texts", shuffled),
            Figure("the first less the second", reached.mean() - shuffled, least=0.3),
            Figure("success, pairs of colour and thing seen in training", mean(reached[~unknown])),
            Figure("success, pairs held out", mean(reached[unknown])),
        ]


RECIPE = TextConditioned()
