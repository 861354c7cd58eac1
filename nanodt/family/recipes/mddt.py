"""Multi-domain Decision Transformer: one set of weights for tasks of two simulators.

A step is `s, R, a1 ... a6, r`: each number of an action is a token of its own among 64 bins, and
a1 is predicted at R, a2 at a1, and so on. Numbers an environment's action does not have are
padded with 0 and their loss is masked. Each optimiser step takes one batch of Meta-World and one
of dm_control and follows the mean of their gradients.

Windows are not padded, so that row 64 of the action table, which stands for padded timesteps, is
there and never read.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np

from nanodt.driving.policy import Policy
from nanodt.driving.rollout import drive
from nanodt.errors import InputError
from nanodt.family.conditions import Decrement
from nanodt.family.recipes.control import ACTION, STATE, MetaWorld, PointMass, Several, maker
from nanodt.family.recipes.recipe import Figure, Options, Recipe
from nanodt.family.sources import collect
from nanodt.family.trajectories import Trajectories, join
from nanodt.model.codec import CodecConfig
from nanodt.model.heads import HeadConfig
from nanodt.model.network import Network
from nanodt.model.stream import Layout, Slot
from nanodt.training.bounds import Count, NonNegative

TASKS = ("reach-v3", "drawer-close-v3", "button-press-v3", "door-open-v3", "point_mass")
DOMAIN = (0, 0, 0, 0, 1)  # Meta-World, dm_control
BINS = 64
UNIFORM = CodecConfig("uniform", BINS, (-1.0,) * ACTION, (1.0,) * ACTION)


@dataclass(kw_only=True)
class MDDTOptions(Options):
    n_embd: Count = 128
    activation: Literal["gelu_tanh", "gelu", "relu"] = "gelu"
    context: Count = 5
    steps: Count = 1500
    places: bool = True
    """Tell tokens of a step apart by learned places. L2M leaves that to their order, which takes
    long to learn: until then every dimension of an action is that of the first."""
    longest: Count = 1000
    trajectories: Count = 60
    """Demonstrations of each task."""
    noise: NonNegative = 0.3
    """Spread of what is added to the demonstrations' actions as they are executed."""
    drives: Count = 20
    """Driven in each task to measure, with goals that are not in the data."""


class MultiDomain(Recipe[MDDTOptions]):
    name = "mddt"
    title = "Tasks of several simulators with one set of weights and one space of actions"
    source = "the notes; Schmied et al. 2023 (arXiv 2306.14884), github.com/ml-jku/L2M"
    options = MDDTOptions
    # L2M's configs: 6 layers, 12 heads, width 768 (its n_embd of 512 is not used), GELU, windows
    # of 5, batches of 256 of a domain, AdamW at 1e-4 with decay 0.01, clipping 0.25, warm-up
    # 4,000, cosine to 1e-6, a million updates; rewards over 200 (Meta-World), 100 (dm_control).
    published: ClassVar = {
        "n_layer": 6,
        "n_head": 12,
        "n_embd": 768,
        "batch_size": 256,
        "lr": 1e-4,
        "min_lr": 0.01,
        "warmup": 4000,
        "weight_decay": 0.01,
        "clip": 0.25,
        "places": False,
        "steps": 1_000_000,
    }

    shaping: ClassVar = (*Recipe.shaping, "noise")

    def check(self, options: MDDTOptions) -> None:
        super().check(options)
        longest = max(MetaWorld.longest, PointMass.longest)
        if options.data is None and options.longest < longest:
            raise InputError(
                f"--longest {options.longest}: expected at least {longest}, as many steps as a "
                "demonstration may take"
            )

    def collect(self, options: MDDTOptions) -> Trajectories:
        parts = []
        for number, (name, domain) in enumerate(zip(TASKS, DOMAIN, strict=True)):
            env = maker(name, options.seed)()

            def behave(i, env=env):
                return lambda obs, rng: np.clip(
                    env.expert(obs) + options.noise * rng.normal(size=env.width), -1, 1
                )

            part = collect(
                env,
                behave,
                options.trajectories,
                options.seed,
                each=lambda i, info, n=number, d=domain: {"task": [n], "domain": [d]},
                keep=lambda info: info["success"] > 0,
                name=name,
            )
            taught = np.array([env.expert(state) for state in part.steps["obs"]])
            missing = ((0, 0), (0, ACTION - env.width))
            parts.append(
                part.with_steps(
                    action=np.pad(part.steps["action"], missing),
                    taught=np.pad(taught, missing),
                    valid=np.pad(np.ones_like(taught), missing),
                )
            )
        return join(parts)

    def prepare(self, options: MDDTOptions, data: Trajectories) -> Trajectories:
        data.check(
            obs=STATE, action=ACTION, taught=ACTION, valid=ACTION, reward=1, task=1, domain=1
        )
        missing = set(range(len(TASKS))) - set(data.each["task"][:, 0].astype(int).tolist())
        if missing:
            names = ", ".join(f"{i} ({TASKS[i]})" for i in sorted(missing))
            raise InputError(f"{data.where}: no trajectory of task {names}")
        return data.with_steps(rtg=data.returns_to_go())

    def domains(self, options: MDDTOptions, data: Trajectories) -> list[np.ndarray]:
        domain = data.each["domain"][:, 0]
        return [np.flatnonzero(domain == d) for d in np.unique(domain)]

    def layout(self, options: MDDTOptions, data: Trajectories) -> Layout:
        bins: dict[str, Any] = {"codec": UNIFORM, "shared": True, "padding": True}
        bins |= {"head": HeadConfig("discrete"), "target": "taught", "mask": "valid"}
        return Layout(
            (
                Slot("obs", STATE, "linear"),
                Slot("rtg", 1, "linear", scale=1),
                Slot("action", ACTION, "scalars", **bins),
                Slot("reward", 1, "linear", scale=1),
            ),
            max_steps=options.longest,
            local=options.places,
            norm=True,
        )

    def drive(self, options: MDDTOptions, model: Network, data: Trajectories, number: int) -> float:
        """Share of drives in a task that succeed, with goals drawn for another seed."""
        make = maker(TASKS[number], options.seed + 1)
        envs = [make() for _ in range(options.drives)]
        begin = data.first[data.each["task"][:, 0] == number]
        target = float(data.steps["rtg"][begin].mean())
        actor = Policy(model, {"rtg": Decrement(target)}, width=envs[0].width)
        seed = options.seed + 1_000_000  # of starts; a multiple of the number of goals
        return float(drive(actor, Several(envs), steps=envs[0].longest, seed=seed).success.mean())

    def evaluate(self, options: MDDTOptions, model: Network, data: Trajectories) -> list[Figure]:
        found = [self.drive(options, model, data, i) for i in range(len(TASKS))]
        return [
            *(Figure(f"{name}: success", x) for name, x in zip(TASKS, found, strict=True)),
            Figure("mean success over the tasks, new goals", float(np.mean(found)), least=0.6),
        ]


RECIPE = MultiDomain()
