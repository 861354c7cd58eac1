"""What a recipe is: settings, a layout, trajectories, and what it must show.

A recipe's defaults are its small preset, for two CPU cores; `published` overrides them with the
settings of its paper or code.
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
from torch import Tensor
from tqdm import tqdm

from nanodt.data.episodes import Collection, Sampler
from nanodt.driving.acting import numbered
from nanodt.errors import InputError
from nanodt.family.sources import load_collection, make_env
from nanodt.model.network import TrunkConfig
from nanodt.model.sequence import Layout, SequenceConfig, SequenceModel
from nanodt.model.stream import Batch
from nanodt.training.checkpoint import write_text
from nanodt.training.trainer import learning_rate, make_optimizer


@dataclass(kw_only=True)
class Settings:
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
    seed: int = 0

    n_layer: int = 3
    n_head: int = 4
    n_embd: int = 64
    dropout: float = 0.0
    activation: Literal["gelu_tanh", "gelu", "relu"] = "gelu_tanh"
    context: int = 20
    """Timesteps in a window."""
    steps: int = 1000
    """Optimiser steps."""
    batch_size: int = 64
    """Windows per optimiser step (of each domain, where there are several)."""
    lr: float = 1e-3
    min_lr: float = 0.05
    """Last learning rate, as a share of lr; 1 = constant after the warm-up."""
    warmup: int = 50
    weight_decay: float = 0.1
    betas: tuple[float, float] = (0.9, 0.95)
    clip: float = 1.0

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
        told = f"{self.name}: {self.value:.4g}"
        if not self.wanted:
            return told
        return f"{told} (wanted {self.wanted}: {'met' if self.passes else 'MISSED'})"


S = TypeVar("S", bound=Settings)


class Recipe(ABC, Generic[S]):
    """One system. Subclasses say what is their own; this class trains it."""

    name: ClassVar[str]
    title: ClassVar[str]
    """What it is for, in one line."""
    source: ClassVar[str]
    """Its paper, or where it is described."""
    settings: type[S]
    published: ClassVar[dict[str, Any]]
    shaping: ClassVar[tuple[str, ...]] = ("seed", "env", "trajectories")
    """Settings on which the trajectories it collects depend."""

    @abstractmethod
    def collect(self, settings: S) -> Collection:
        """Make the trajectories to learn from, from scratch."""

    @abstractmethod
    def prepare(self, settings: S, data: Collection) -> Collection:
        """Check the trajectories, and add what the layout needs of them (returns-to-go, …)."""

    @abstractmethod
    def layout(self, settings: S, data: Collection) -> Layout:
        """The stream of tokens, for prepared trajectories."""

    @abstractmethod
    def evaluate(self, settings: S, model: SequenceModel, data: Collection) -> list[Figure]:
        """Try a trained model; `data` are the prepared trajectories it learned from."""

    def environment(self, settings: S) -> str | None:
        """The Gymnasium environment that models are tried in, where --env chooses it."""
        return None

    def prefixes(self, settings: S, data: Collection) -> list[np.ndarray] | None:
        """Each trajectory's prefix ids, where the layout has a prefix."""
        return None

    def domains(self, settings: S, data: Collection) -> list[np.ndarray]:
        """Groups of trajectories. A batch comes from one of them; an optimiser step takes a batch
        of each and follows the mean of their gradients."""
        return [np.arange(len(data.length))]

    def build(self, settings: S, data: Collection) -> SequenceModel:
        """A fresh model for prepared trajectories, fitted to those that it is to learn from."""
        torch.manual_seed(settings.seed)
        layout = self.layout(settings, data)
        check_fits(layout, data)
        info = {"recipe": self.name, **data.info}
        model = SequenceModel(SequenceConfig(layout, settings.trunk(), settings.context, info))
        learned = np.sort(np.concatenate(self.domains(settings, data)))
        own = data if len(learned) == len(data.length) else data.take(learned)
        model.fit(tensors(own.steps), tensors(own.each), settings.seed)
        return model

    def samplers(self, settings: S, model: SequenceModel, data: Collection) -> list[Sampler]:
        prefixes, found = self.prefixes(settings, data), []
        for index in self.domains(settings, data):
            own = [prefixes[i] for i in index] if prefixes else None
            part = data if len(index) == len(data.length) else data.take(index)
            found.append(Sampler(part, settings.context, model.stream.tokens, own))
        return found

    def trajectories(self, settings: S) -> Collection:
        """The trajectories of --data, or those of OUT/NAME/data.npz, collected where they are not
        there or were made with other settings. To try a saved model, those it learned from."""
        if settings.data is not None:
            data = self.prepare(settings, load_collection(settings.data))
            name = self.environment(settings)
            if name is not None:
                check_environment(data, name)
            return data
        path = settings.out / self.name / "data.npz"
        made = {k: v for k, v in asdict(settings).items() if k in self.shaping}
        made = json.loads(json.dumps(made))  # as it is read back: tuples are lists
        data = load_collection(str(path)) if path.exists() else None
        if data is None or (data.info.get("made") != made and not settings.evaluate):
            data = self.collect(settings)
            data = replace(data, info={**data.info, "made": made})
            path.parent.mkdir(parents=True, exist_ok=True)
            data.save(path)
        return self.prepare(settings, data)

    @torch.enable_grad()  # an evaluation may train a control
    def train(self, settings: S, data: Collection) -> SequenceModel:
        """Train on prepared trajectories and write OUT/NAME; the model."""
        model = self.build(settings, data)
        folder = settings.out / self.name
        folder.mkdir(parents=True, exist_ok=True)
        log = fit(model, self.samplers(settings, model, data), settings, self.name)
        model.save(folder)
        write_text(folder / "log.jsonl", "".join(json.dumps(r) + "\n" for r in log))
        write_text(folder / "settings.json", json.dumps(asdict(settings), indent=2, default=str))
        return model.eval()


def check_fits(layout: Layout, data: Collection) -> None:
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


def check_environment(data: Collection, name: str) -> None:
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


def tensors(arrays: dict[str, np.ndarray]) -> dict[str, Tensor]:
    return {k: torch.from_numpy(v) for k, v in arrays.items()}


def gradients(model: SequenceModel, batches: list[Batch]) -> float:
    """Leave the mean of the batches' gradients in the model; the mean loss."""
    total = 0.0
    for batch in batches:
        loss = model.loss(batch) / len(batches)
        loss.backward()
        total += float(loss.detach())
    return total


def fit(
    model: SequenceModel, samplers: list[Sampler], settings: Settings, name: str
) -> list[dict[str, float]]:
    """Optimise a model on windows of the samplers; the log, a record every 50 steps."""
    optimizer = make_optimizer(model, settings)
    model.train()
    log, since, began = [], 0.0, time.perf_counter()
    bar = tqdm(range(settings.steps), desc=f"training {name}", unit="step", mininterval=0.5)
    for step in bar:
        rng = np.random.default_rng([settings.seed, 0, step])
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(step, settings)
        optimizer.zero_grad()
        loss = gradients(model, [s.draw(rng, settings.batch_size) for s in samplers])
        if not math.isfinite(loss):
            raise InputError(f"the loss is {loss} at step {step + 1}: try a smaller --lr")
        torch.nn.utils.clip_grad_norm_(model.parameters(), settings.clip)
        optimizer.step()
        since += loss
        if (step + 1) % 50 == 0:
            seconds = time.perf_counter() - began
            log.append({"step": step + 1, "loss": since / 50, "seconds": seconds})
            bar.set_postfix(loss=f"{since / 50:.4f}", refresh=False)
            since = 0.0
    return log
