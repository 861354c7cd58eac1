"""Multi-Game Decision Transformer: one set of weights for several games, asked to play well.

A step is `s, R, a, r`, and the model predicts the return it is going to get before the action.
Acting, it draws that return itself, its logits raised towards high returns (`conditions.Drawn`),
and then the action that goes with it: no target return has to be known. The games here are CartPole
and its twin, where left is right; only the task token tells them apart. So the small preset sees
one step: over four, a model also learns which game it is in from what its past actions did, and
goes by that where its task token says otherwise. The state of CartPole leaves nothing else to see.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Annotated, ClassVar

import numpy as np
from annotated_types import Ge

from nanodt.driving.policy import Policy
from nanodt.driving.rollout import drive
from nanodt.errors import InputError
from nanodt.family.conditions import Drawn
from nanodt.family.recipes.cartpole import ENV, LONGEST, play
from nanodt.family.recipes.recipe import Figure, Options, Recipe, ratio
from nanodt.family.sources import make_envs
from nanodt.family.trajectories import Trajectories, join
from nanodt.model.codec import CodecConfig
from nanodt.model.heads import HeadConfig, Sampling
from nanodt.model.network import Network
from nanodt.model.stream import Layout, Slot
from nanodt.text.encoders import TextConfig
from nanodt.training.bounds import Count, NonNegative, Positive

GAMES = ("as it is", "left is right")
# Rewards enter and are predicted by their sign, as classes in the order of the released code: 0, +,
# the last of a trajectory, -.
ZERO, PLUS, LAST, MINUS = range(4)


@dataclass(kw_only=True)
class MGDTOptions(Options):
    context: Count = 1
    steps: Count = 2000
    batch_size: Count = 256
    lr: Positive = 2e-3
    return_bins: Annotated[int, Ge(2)] = 50
    kappa: NonNegative = 10.0
    """How strongly high returns are asked for."""
    trajectories: Count = 300
    """Collected of each game: a balancing controller that acts at random with a probability of its
    own."""
    drives: Count = 50
    """Driven in each game to measure."""


class MultiGame(Recipe[MGDTOptions]):
    name = "mgdt"
    title = "Several games with one set of weights, played better than the data's mean"
    source = "Lee et al. 2022 (arXiv 2205.15241)"
    options = MGDTOptions
    # The paper's 200M model: 10 layers, 20 heads, width 1280; windows of 4 steps of 36 patches and
    # three tokens; 120 return bins. Its steps, batch and learning rate were not at hand: those stay
    # the small preset's.
    published: ClassVar = {
        "n_layer": 10,
        "n_head": 20,
        "n_embd": 1280,
        "context": 4,
        "return_bins": 120,
    }

    def collect(self, options: MGDTOptions) -> Trajectories:
        parts = []
        for game in range(len(GAMES)):
            part = play(options.trajectories, options.seed + 100_000 * game, task=[game])
            action = part.steps["action"]
            parts.append(part.with_steps(action=1 - action if game else action))
        return join(parts)

    def prepare(self, options: MGDTOptions, data: Trajectories) -> Trajectories:
        data.check(obs=4, action=1, reward=1, task=1)
        for field, values in (("task", data.each["task"]), ("action", data.steps["action"])):
            if not np.isin(values, (0, 1)).all():
                raise InputError(
                    f"{data.where}: {field} must be 0 or 1 (games: {', '.join(GAMES)})"
                )
        sign = np.sign(data.steps["reward"])
        classes = np.select([sign > 0, sign < 0], [PLUS, MINUS], ZERO)
        ended = data.each["terminated"][:, 0] > 0 if "terminated" in data.each else True
        classes[(data.first + data.length - 1)[ended]] = LAST
        # By their steps alone, the best trajectories, which last, would be most of what is learned.
        data = replace(data, weight=data.length**-0.5)
        return data.with_steps(rtg=data.returns_to_go(), reward=classes)

    def text_ids(self, options: MGDTOptions, data: Trajectories) -> list[np.ndarray]:
        return list(data.each["task"].astype(np.int64))

    def layout(self, options: MGDTOptions, data: Trajectories) -> Layout:
        returns = CodecConfig("uniform", options.return_bins, (0.0,), (float(LONGEST),))
        return Layout(
            (
                Slot("obs", 4),
                Slot("rtg", 1, "scalars", codec=returns, head=HeadConfig("discrete")),
                Slot("action", 2, "table", head=HeadConfig("discrete")),
                Slot("reward", 4, "table", head=HeadConfig("discrete")),
            ),
            positions=1 + 4 * options.context,
            text=TextConfig(vocabulary=len(GAMES)),
            text_positions=1,
        )

    def drive(
        self, options: MGDTOptions, model: Network, kappa: float, wrong: bool = False
    ) -> np.ndarray:
        """Returns [games, drives]; `wrong`: each game with the other's task token."""
        game = np.repeat(np.arange(len(GAMES)), options.drives)
        task = 1 - game if wrong else game
        actor = Policy(
            model,
            {"rtg": Drawn(kappa)},
            sampling=Sampling("temperature"),
            text_ids=list(task[:, None]),
        )
        # A step's reward is 1 until the pole falls, which is also its class.
        rollouts = drive(
            actor,
            make_envs(ENV, len(game)),
            steps=LONGEST,
            seed=options.seed + 10_000,
            send=lambda action: np.where(game > 0, 1 - action[:, 0], action[:, 0]).astype(np.int64),
        )
        return rollouts.returns.reshape(len(GAMES), -1)

    def evaluate(self, options: MGDTOptions, model: Network, data: Trajectories) -> list[Figure]:
        plain = self.drive(options, model, 0.0).mean(1)
        expert = self.drive(options, model, options.kappa).mean(1)
        few = replace(options, drives=max(options.drives // 2, 1))
        wrong = self.drive(few, model, options.kappa, wrong=True).mean()
        found = [Figure("mean return of the data", data.steps["rtg"][data.first].mean())]
        for i, game in enumerate(GAMES):
            found += [
                Figure(f"{game}: mean return, κ = 0", plain[i]),
                Figure(f"{game}: mean return, κ = {options.kappa:g}", expert[i]),
                Figure(f"{game}: the second over the first", ratio(expert[i], plain[i]), least=1.5),
            ]
        return [*found, Figure("wrong task token: mean return", wrong, most=50)]


RECIPE = MultiGame()
