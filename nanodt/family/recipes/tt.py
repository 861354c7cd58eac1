"""Trajectory Transformer: every number a token, the model of everything, and planning with it.

A step is `s₁…sS a₁…aA r V`; each number is predicted from those before it by a head of its own, and
V, the discounted sum of later rewards, may be attended to by none: it tells the future. Trained on
random drives of CartPole, drawing actions does as the data did, and beam search far better.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Annotated, ClassVar

import numpy as np
from annotated_types import Ge

from nanodt.driving.policy import Policy
from nanodt.driving.rollout import drive
from nanodt.errors import InputError
from nanodt.family.planner import Beam, Planner
from nanodt.family.recipes.recipe import Figure, Options, Recipe, ratio
from nanodt.family.sources import collect, make_env, make_envs
from nanodt.family.trajectories import Trajectories
from nanodt.model.codec import CodecConfig
from nanodt.model.heads import HeadConfig, Sampling
from nanodt.model.network import Network
from nanodt.model.stream import Layout, Slot
from nanodt.training.bounds import Count, NonNegative, Positive, PositiveShare, Signed


@dataclass(kw_only=True)
class TTOptions(Options):
    env: str = "CartPole-v1"
    context: Count = 6
    steps: Count = 2000
    lr: Positive = 2e-3
    bins: Annotated[int, Ge(2)] = 100
    discount: PositiveShare = 0.99
    action_weight: NonNegative = 5.0
    """Of the actions' loss beside the others'."""
    penalty: Signed = 0.0
    """Reward of a step that ends a trajectory by failure, in place of its own; 0 = its own."""
    horizon: Count = 1
    """Beam search: steps planned. With one, what follows is in V alone."""
    width: Count = 8
    """Beam search: plans kept."""
    expand: Count = 2
    """Beam search: continuations of each plan."""
    past: Count = 4
    """Beam search: past steps seen."""
    top_p: PositiveShare = 1.0
    """Planned actions are drawn from the likeliest that together reach this probability."""
    trajectories: Count = 2000
    drives: Count = 50
    planned: Count = 20
    """Drives with beam search."""
    longest: Count = 300
    """Steps of a drive, at most."""


class TrajectoryTransformer(Recipe[TTOptions]):
    name = "tt"
    title = "Model whole trajectories, and plan better ones than those it saw"
    source = "Janner et al. 2021 (arXiv 2106.02039)"
    options = TTOptions
    # github.com/jannerm/trajectory-transformer, config/offline.py: 4 layers, 4 heads, width 128,
    # dropout 0.1, AdamW at 6e-4 with decay 0.1, clipping 1, batches of 256, 100 quantile bins,
    # discount 0.99, terminal penalty -100; beam: horizon 15, width 128, 2 continuations, 5 past
    # steps, and "cdf 0.6", which keeps the top 0.4. Their context of 10 slides under the plan; ours
    # must hold it. Steps and the fall of the learning rate are guesses.
    published: ClassVar = {
        "env": "Hopper-v5",
        "n_layer": 4,
        "n_embd": 128,
        "dropout": 0.1,
        "context": 20,
        "steps": 50_000,
        "batch_size": 256,
        "lr": 6e-4,
        "penalty": -100.0,
        "past": 5,
        "horizon": 15,
        "width": 128,
        "top_p": 0.4,
        "longest": 1000,
    }

    def environment(self, options: TTOptions) -> str:
        return options.env

    def memory(self, options: TTOptions) -> dict[str, float]:
        plans = float(options.planned) * options.width * options.expand
        cache = 2 * 4 * options.n_layer * options.n_embd * (options.past + options.horizon)
        return {**super().memory(options), "--planned --width --expand": plans * cache}

    def check(self, options: TTOptions) -> None:
        super().check(options)
        if options.context < options.past + options.horizon:
            raise InputError(
                f"--past {options.past} and --horizon {options.horizon} must fit in --context "
                f"{options.context}: give --context {options.past + options.horizon} or more"
            )

    def collect(self, options: TTOptions) -> Trajectories:
        env = make_env(options.env)
        env.action_space.seed(options.seed)
        return collect(
            env,
            lambda i: lambda obs, rng: env.action_space.sample(),
            options.trajectories,
            options.seed,
        )

    def prepare(self, options: TTOptions, data: Trajectories) -> Trajectories:
        data.check("obs", "action", "terminated", reward=1)
        raw = {"mean_return": float(data.returns.mean())}
        data = replace(data, info={**data.info, **raw})
        if options.penalty:
            reward = data.steps["reward"].copy()
            ends = data.first + data.length - 1
            failed = data.each["terminated"][:, 0] > 0
            reward[ends[failed]] = options.penalty
            data = data.with_steps(reward=reward)
        later = (data.returns_to_go(options.discount) - data.steps["reward"]) / options.discount
        return data.with_steps(value=later)

    def layout(self, options: TTOptions, data: Trajectories) -> Layout:
        bins, n_obs, n_act = options.bins, data.size("obs"), data.size("action")
        codec, head = CodecConfig("quantile", bins), HeadConfig("discrete")
        chosen = codec
        if "actions" in data.info:  # numbered: each its own class
            n = data.info["actions"]
            chosen = CodecConfig("uniform", n, (-0.5,), (n - 0.5,))
        weight = options.action_weight
        return Layout(
            (
                Slot("obs", n_obs, "scalars", codec=codec, head=head),
                Slot("action", n_act, "scalars", codec=chosen, head=head, weight=weight),
                Slot("reward", 1, "scalars", codec=codec, head=head),
                Slot("value", 1, "scalars", codec=codec, head=head, unseen=True),
            ),
            positions=options.context * (n_obs + n_act + 2),
        )

    def evaluate(self, options: TTOptions, model: Network, data: Trajectories) -> list[Figure]:
        data_mean = data.info["mean_return"]
        drawn = Policy(model, sampling=Sampling("temperature"))
        beam = Beam(options.horizon, options.width, options.expand, options.discount, options.past)
        sampling = Sampling("nucleus" if options.top_p < 1 else "temperature", 1.0, options.top_p)
        planner = Planner(model, beam, sampling=sampling)
        returns = []
        for actor, n in ((drawn, options.drives), (planner, options.planned)):
            envs = make_envs(options.env, n)
            rollouts = drive(actor, envs, steps=options.longest, seed=options.seed + 10_000)
            returns.append(float(np.mean(rollouts.returns)))
        as_data, better = ratio(returns[0], data_mean), ratio(returns[1], returns[0])
        return [
            Figure("mean return of the data", data_mean),
            Figure("actions drawn: mean return over the data's", as_data, least=0.75, most=1.25),
            Figure("beam search: mean return", returns[1]),
            Figure("beam search over drawn actions", better, least=5),
        ]


RECIPE = TrajectoryTransformer()
