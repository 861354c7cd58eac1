"""What a recipe is: options, a layout, trajectories, and what it must show.

A recipe's defaults are its small preset, for two CPU cores; `published` overrides them with the
options of its paper or code. Where one departs from these, docs/recipes.md says.
"""

from __future__ import annotations

import json
import math
import time
from abc import ABC, abstractmethod
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, Generic, Literal, TypeVar

import numpy as np
import torch
from tqdm import tqdm

from nanodt.data.windows import Windows
from nanodt.errors import InputError
from nanodt.family.sources import load_episodes, make_env, save_npz
from nanodt.family.trajectories import Trajectories
from nanodt.files import write_text
from nanodt.model.network import Network, NetworkConfig, numbered
from nanodt.model.stream import Layout
from nanodt.model.trunk import TrunkConfig
from nanodt.place.odometry import OdometryConfig
from nanodt.text.encoders import text_table
from nanodt.training.bounds import BelowOne, Count, NonNegative, Positive, Share, Whole
from nanodt.training.journal import Log
from nanodt.training.trainer import Trainer


@dataclass(kw_only=True)
class Options:
    """Options that all recipes share; a recipe's own dataclass adds to them."""

    data: str | None = None
    """Trajectories to learn from: an npz file, or minari:ID of a local Minari dataset. By default
    they are collected here and kept in OUT/NAME/data.npz."""
    out: Path = Path("runs/recipes")
    """The model goes to OUT/NAME."""
    preset: Literal["small", "published"] = "small"
    """Picks the defaults of the options below: for two CPU cores, or as published."""
    evaluate: bool = False
    """Do not train: try the model that OUT/NAME holds."""
    seed: Whole = 0

    n_layer: Count = 3
    n_head: Count = 4
    n_embd: Count = 64
    dropout: BelowOne = 0.0
    activation: Literal["gelu_tanh", "gelu", "relu"] = "gelu_tanh"
    context: Count = 20
    """Timesteps in a window."""
    steps: Count = 1000
    """Optimiser steps."""
    batch_size: Count = 64
    """Windows per optimiser step (of each domain, where there are several)."""
    lr: Positive = 1e-3
    min_lr: Share = 0.05
    """Last learning rate, as a share of lr; 1 = constant after the warm-up."""
    warmup: Whole = 50
    weight_decay: NonNegative = 0.1
    betas: tuple[BelowOne, BelowOne] = (0.9, 0.95)
    clip: Positive = 1.0

    # What the mission's training has besides; no recipe needs it.
    text_dropout: ClassVar[float] = 0.0
    bd_dropout: ClassVar[float] = 0.0
    windows_per_text: ClassVar[int] = 1
    token_corruption: ClassVar[float] = 0.0
    amp: ClassVar[str] = "none"
    compile: ClassVar[bool] = False

    @property
    def micro_batch(self) -> int:
        """Windows computed at once: all."""
        return self.batch_size

    def trunk(self) -> TrunkConfig:
        return TrunkConfig(self.n_layer, self.n_head, self.n_embd, self.dropout, self.activation)


@dataclass
class Figure:
    """A measured number and what it must be."""

    name: str
    value: float
    least: float | None = None
    most: float | None = None

    @property
    def passes(self) -> bool:
        return (self.least is None or self.value >= self.least) and (
            self.most is None or self.value <= self.most
        )

    @property
    def wanted(self) -> str:
        parts = [f"≥ {self.least:g}"] if self.least is not None else []
        parts += [f"≤ {self.most:g}"] if self.most is not None else []
        return " and ".join(parts)

    def __str__(self) -> str:
        line = f"{self.name}: {self.value:.4g}"
        if not self.wanted:
            return line
        return f"{line} (wanted {self.wanted}: {'met' if self.passes else 'MISSED'})"


def ratio(value: float, of: float) -> float:
    """A share of what is above 0; of anything else there is none: nan, which misses every mark."""
    return float(value / of) if of > 0 else math.nan


S = TypeVar("S", bound=Options)


class Recipe(ABC, Generic[S]):
    """One system. Subclasses say what is their own; this class trains it."""

    name: ClassVar[str]
    title: ClassVar[str]
    """What it is for, in one line."""
    source: ClassVar[str]
    """Its paper, or where it is described."""
    options: type[S]
    published: ClassVar[dict[str, Any]]
    shaping: ClassVar[tuple[str, ...]] = ("seed", "env", "trajectories")
    """Options on which the trajectories it collects depend."""

    @abstractmethod
    def collect(self, options: S) -> Trajectories:
        """Make the trajectories to learn from, from scratch."""

    @abstractmethod
    def prepare(self, options: S, data: Trajectories) -> Trajectories:
        """Check the trajectories, and add what the layout needs of them (returns-to-go, …)."""

    @abstractmethod
    def layout(self, options: S, data: Trajectories) -> Layout:
        """The stream of tokens, for prepared trajectories."""

    @abstractmethod
    def evaluate(self, options: S, model: Network, data: Trajectories) -> list[Figure]:
        """Try a trained model; `data` are the prepared trajectories it learned from."""

    def memory(self, options: S) -> dict[str, float]:
        """Bytes that a training takes at least, by the options that they follow from."""
        given, width = vars(options), float(options.n_embd)
        own = given.get("trajectories", 0)
        needed = {
            "--n-layer --n-embd": 16 * 12 * options.n_layer * width**2,
            "--batch-size --context --n-embd": 4 * options.batch_size * options.context * width,
            "--drives": 1e4 * given.get("drives", 0),  # an environment, and what happens in it
            "--trajectories": 200.0 * (sum(own) if isinstance(own, tuple) else own),
        }
        # Of each class or place a row: weights, gradients, both moments.
        for name in ("bins", "return_bins", "words", "discrete", "clusters", "longest"):
            if name in given:
                needed[f"--{name.replace('_', '-')} --n-embd"] = 16 * given[name] * width
        return needed

    def check(self, options: S) -> None:
        """Refuse options that do not go together, before trajectories are collected."""
        options.trunk()
        name = self.environment(options)
        if name is not None:
            check_spaces(make_env(name), name)

    def environment(self, options: S) -> str | None:
        """The Gymnasium environment that models are tried in, where --env chooses it."""
        return None

    def text_ids(self, options: S, data: Trajectories) -> list[np.ndarray] | None:
        """Token ids of each trajectory's text, where the layout has a text."""
        return None

    def wheels(self, options: S, data: Trajectories) -> OdometryConfig | None:
        """How the robot reckons its pose, where the layout shows it."""
        return None

    def domains(self, options: S, data: Trajectories) -> list[np.ndarray]:
        """Groups of trajectories. A batch comes from one of them; an optimiser step takes a batch
        of each and follows the mean of their gradients."""
        return [np.arange(len(data.length))]

    def build(self, options: S, data: Trajectories) -> Network:
        """A fresh network for prepared trajectories, fitted to those that it is to learn from."""
        torch.manual_seed(options.seed)
        layout = self.layout(options, data)
        check_fits(layout, data)
        network = Network(
            NetworkConfig(
                layout,
                options.trunk(),
                window=options.context,
                odometry=self.wheels(options, data),
                bd_low=tuple(data.info["bd_low"]) if "bd_low" in data.info else None,
                bd_high=tuple(data.info["bd_high"]) if "bd_high" in data.info else None,
                info={"recipe": self.name, **data.info},
            )
        )
        own = data.take(np.sort(np.concatenate(self.domains(options, data))))
        network.fit(own.steps, own.each, options.seed)
        return network

    def windows(self, options: S, network: Network, data: Trajectories) -> list[Windows]:
        """What draws training windows, of each domain."""
        ids, found = self.text_ids(options, data), []
        for index in self.domains(options, data):
            table = None if ids is None else text_table([ids[i] for i in index])
            found.append(Windows(data.take(index), network, table=table))
        return found

    def trajectories(self, options: S) -> Trajectories:
        """The trajectories of --data, or those of OUT/NAME/data.npz, collected where they are not
        there or were made with other options. To try a saved model, those it learned from."""
        if options.data is not None:
            data = self.prepare(options, load_episodes(options.data))
            name = self.environment(options)
            if name is not None:
                check_environment(data, name)
            return data
        path = options.out / self.name / "data.npz"
        made = {k: v for k, v in asdict(options).items() if k in self.shaping}
        made = json.loads(json.dumps(made))  # as it is read back: tuples are lists
        data = load_episodes(str(path)) if path.exists() else None
        if data is None or (data.info.get("made") != made and not options.evaluate):
            data = self.collect(options)
            data = replace(data, info={**data.info, "made": made})
            path.parent.mkdir(parents=True, exist_ok=True)
            save_npz(data, path)
        return self.prepare(options, data)

    @torch.enable_grad()  # an evaluation may train a control
    def train(self, options: S, data: Trajectories) -> Network:
        """Train on prepared trajectories and write OUT/NAME; the network."""
        network = self.build(options, data)
        folder = options.out / self.name
        folder.mkdir(parents=True, exist_ok=True)
        trainer = Trainer(network, self.windows(options, network, data), options)
        optimise(trainer, folder, self.name)
        network.save(folder)
        write_text(folder / "options.json", json.dumps(asdict(options), indent=2, default=str))
        return network.eval()


def optimise(trainer: Trainer, folder: Path, name: str) -> None:
    """All optimiser steps; a line in FOLDER/log.jsonl every 50 of them."""
    trainer.network.train()
    log, since, began = Log(folder / "log.jsonl", 0), 0.0, time.perf_counter()
    steps = range(trainer.options.steps)
    bar = tqdm(steps, desc=f"training {name}", unit="step", mininterval=0.5)
    for step in bar:
        since += trainer.step(step)[0]
        if (step + 1) % 50 == 0:
            seconds = time.perf_counter() - began
            log.write({"step": step + 1, "loss": since / 50, "seconds": seconds})
            bar.set_postfix(loss=f"{since / 50:.4f}", refresh=False)
            since = 0.0


def check_fits(layout: Layout, data: Trajectories) -> None:
    """Refuse trajectories that are longer than a layout knows, or hold classes it does not."""
    longest = int(data.length.max())
    if layout.max_steps and longest > layout.max_steps:
        raise InputError(
            f"{data.where}: a trajectory has {longest} steps, this recipe knows {layout.max_steps} "
            "at most: cut it"
        )
    for slot in layout.slots:
        values = data.steps.get(slot.name, data.each.get(slot.name))
        if values is None or not numbered(slot):
            continue
        wrong = (values < 0) | (values >= slot.size) | (values != np.round(values))
        if wrong.any():
            raise InputError(
                f"{data.where}: {slot.name} holds {values[wrong][0]:g}, expected whole numbers "
                f"from 0 to {slot.size - 1}: record it from the recipe's own environment"
            )


def check_spaces(env: Any, name: str) -> None:
    """Refuse environments that no recipe can act in."""
    seen, act = env.observation_space, env.action_space
    if not seen.shape or not (hasattr(act, "n") or getattr(act, "low", None) is not None):
        raise InputError(
            f"--env {name}: observations are {type(seen).__name__}, actions {type(act).__name__}; "
            "expected Box, and Box or Discrete actions: wrap the environment"
        )


def check_environment(data: Trajectories, name: str) -> None:
    """Refuse trajectories whose observations or actions are not an environment's."""
    env = make_env(name)
    numbered_action = hasattr(env.action_space, "n")
    sizes = {
        "obs": env.observation_space.shape,
        "action": () if numbered_action else env.action_space.shape,
    }
    for field, shape in sizes.items():
        if field in data.steps and data.size(field) != math.prod(shape):
            raise InputError(
                f"{data.where}: {field} has {data.size(field)} numbers a row, {name} "
                f"{math.prod(shape)}: name the environment the trajectories are of, --env ID"
            )
