"""Quality-Diversity Transformer: reach the behaviour descriptor that is asked for, without words.

`bd, s, a` a step, the action read at s: a Decision Transformer asked for a place rather than a
return. It learns from a dataset folder of an archive (`make demo` makes runs/demo/dataset), from
the BD each trajectory did reach, and is tried on the BDs of the test split, also under actuation
noise.

The small preset departs from that layout where the robot of the archive asks for it: a step is one
token, s+bd; where the dataset describes the robot's wheels, s carries the pose it reckons
(`nanodt.odometry`); and past actions are left out, as a policy that sees them repeats them
(docs/log.md); and it learns from practice drives where the dataset has them. `--plain` is the
paper's layout, and takes elites with them. The paper's archives come from ME-LS, which keeps
policies that end where they ended before; ours is searched without noise. The paper's sizes were
not at hand: `published` holds those of Decision Transformer, on which it builds.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch

from nanodt.data.episodes import Collection
from nanodt.driving.acting import Actor, Constant
from nanodt.driving.play import Acts, play
from nanodt.errors import InputError
from nanodt.family.recipes.dt import TRAINING
from nanodt.family.recipes.recipe import Figure, Recipe, Settings
from nanodt.family.sources import make_envs
from nanodt.model.heads import HeadConfig
from nanodt.model.sequence import Layout, SequenceModel
from nanodt.model.stream import Slot
from nanodt.place.odometry import FEATURES, OdometryConfig, features

TRAIN, TEST = 0.0, 2.0  # of the field `split`


@dataclass(kw_only=True)
class QDTSettings(Settings):
    data: str | None = "runs/demo/dataset"
    """Dataset folder; or an npz file with the fields obs, action, bd and split."""
    n_layer: int = 2
    n_head: int = 4
    n_embd: int = 128
    context: int = 8
    steps: int = 3000
    batch_size: int = 256
    lr: float = 2e-3
    plain: bool = False
    """The paper's layout: bd, s, a, and no reckoning."""
    items: int = 256
    """Test BDs asked for."""
    noise: float = 0.4
    """Spread of the actuation noise, a tenth of the largest action of the apartment's robot."""
    cells: int = 64
    """Cells along each side of the BD space, the unit of errors, whatever the archive's own: the
    apartment's is 600 long, so a cell 9.4."""


def odometry(data: Collection) -> OdometryConfig | None:
    fields = data.info.get("odometry")
    return OdometryConfig.from_json(fields) if fields else None


class Reckoner:
    """An actor that is told where it stands: it adds up its own wheels' displacements."""

    def __init__(self, actor: Actor, config: OdometryConfig, bd: np.ndarray, info: dict) -> None:
        self.actor, self.config, self.bd = actor, config, torch.from_numpy(bd)
        self.low, self.high = torch.tensor(info["bd_low"]), torch.tensor(info["bd_high"])

    def reset(self, seed: int | None = None) -> None:
        self.actor.reset(seed)
        self.pose, self.action = self.config.begin(len(self.bd)), None

    def act(self, obs: np.ndarray, reward: np.ndarray | None = None) -> np.ndarray:
        if self.action is not None:
            self.pose = self.config.advance(self.pose, self.action, obs)
        pose, off = torch.from_numpy(self.pose).float(), torch.zeros(len(obs), dtype=torch.bool)
        place = features(pose, self.bd, off, self.low, self.high)
        self.action = self.actor.act({"obs": obs, "place": place.numpy()}, reward)
        return self.action


class Replay:
    """Plays recorded actions [N, T, A], whatever happens."""

    def __init__(self, actions: np.ndarray) -> None:
        self.actions = actions

    def reset(self, seed: int | None = None) -> None:
        self.step = -1

    def act(self, obs: np.ndarray, reward: np.ndarray | None = None) -> np.ndarray:
        self.step += 1
        return self.actions[:, self.step]


class QDT(Recipe[QDTSettings]):
    name = "qdt"
    title = "Reach a behaviour descriptor that is asked for, reliably"
    source = "Macé et al. 2023, The Quality-Diversity Transformer (arXiv 2303.16207)"
    settings = QDTSettings
    published: ClassVar = {
        "n_layer": 3,
        "n_head": 1,
        "activation": "relu",
        "context": 20,
        **TRAINING,
        "plain": True,
    }

    def collect(self, settings: QDTSettings) -> Collection:
        raise InputError("recipe qdt learns from an archive: give --data RUN/dataset")

    def prepare(self, settings: QDTSettings, data: Collection) -> Collection:
        data.each.setdefault("elite", np.ones((len(data.length), 1), np.float32))
        data.check("obs", "action", "bd", split=1, elite=1)
        for name in ("action_low", "action_high", "bd_low", "bd_high", "environment"):
            if name not in data.info:
                raise InputError(f"{data.where}: its info has no {name}, which recipe qdt needs")
        if not (data.each["split"] == TRAIN).any() or not (data.each["split"] == TEST).any():
            raise InputError(f"{data.where}: recipe qdt needs trajectories to train on and to test")
        wheels = None if settings.plain else odometry(data)
        if wheels is not None:
            wheels.check(data.size("obs"), data.size("action"), data.size("bd"))
            pose = wheels.reckon(data.length, data.first, data.steps["action"], data.steps["obs"])
            row = np.repeat(np.arange(len(data.length)), data.length)
            place = features(
                torch.from_numpy(pose),
                torch.from_numpy(data.each["bd"][row]),
                torch.zeros(len(row), dtype=torch.bool),
                torch.tensor(data.info["bd_low"]),
                torch.tensor(data.info["bd_high"]),
            )
            data = data.with_steps(place=place.numpy())
        return data.with_steps(target=data.steps.get("target", data.steps["action"]))

    def domains(self, settings: QDTSettings, data: Collection) -> list[np.ndarray]:
        train = data.each["split"][:, 0] == TRAIN
        practice = train & (data.each["elite"][:, 0] == 0)
        # Practice drives have one pace and hold at their ends; an elite's pace is anybody's guess.
        return [np.flatnonzero(practice if practice.any() and not settings.plain else train)]

    def layout(self, settings: QDTSettings, data: Collection) -> Layout:
        low, high = tuple(data.info["action_low"]), tuple(data.info["action_high"])
        place = ()
        if "place" in data.steps:
            place = (Slot("place", FEATURES, "mlp", join=True, scale=1.0),)
        return Layout(
            (
                Slot("bd", data.size("bd"), "mlp", constant=True),
                Slot("obs", data.size("obs"), "mlp", join=not settings.plain),
                *place,
                Slot(
                    "action",
                    len(low),
                    "mlp" if settings.plain else "none",
                    head=HeadConfig("mse"),
                    target="target",
                    low=low,
                    high=high,
                ),
            ),
            max_steps=int(data.length.max()),
        )

    def errors(
        self, settings: QDTSettings, data: Collection, actor: Acts, bd: np.ndarray, noise: float
    ) -> np.ndarray:
        """Distance [N] between asked and reached BD, in cells, under actuation noise."""
        env = data.info["environment"]
        envs = make_envs(env["id"], len(bd), **(env.get("kwargs") or {}))
        rng = np.random.default_rng(settings.seed + 1)
        low, high = np.float32(data.info["action_low"]), np.float32(data.info["action_high"])

        def send(action: np.ndarray) -> np.ndarray:
            disturbed = action + noise * rng.normal(size=action.shape)
            return np.clip(disturbed, low, high).astype(np.float32)

        plays = play(actor, envs, int(data.length.max()), settings.seed, send=send)
        reached = np.asarray(plays.info["bd"])
        cell = np.subtract(data.info["bd_high"], data.info["bd_low"]) / settings.cells
        return np.linalg.norm((reached - bd) / cell, axis=1)

    def evaluate(
        self, settings: QDTSettings, model: SequenceModel, data: Collection
    ) -> list[Figure]:
        split, bd = data.each["split"][:, 0], data.each["bd"]
        test = np.flatnonzero(split == TEST)
        test = test[np.unique(np.linspace(0, len(test) - 1, settings.items).round().astype(int))]
        asked = bd[test]
        shuffled = asked[np.random.default_rng(settings.seed).permutation(len(asked))]

        def ask(goals: np.ndarray, noise: float) -> float:
            actor: Acts = Actor(model, {"bd": Constant(goals)})
            if "place" in model.slots:
                wheels = odometry(data)
                assert wheels is not None
                actor = Reckoner(actor, wheels, goals, data.info)
            return float(np.median(self.errors(settings, data, actor, asked, noise)))

        recorded = np.flatnonzero((split == TRAIN) & (data.each["elite"][:, 0] > 0))
        near = recorded[np.linalg.norm(bd[recorded][None] - asked[:, None], axis=2).argmin(1)]
        actions = np.zeros((len(asked), int(data.length.max()), data.size("action")), np.float32)
        for i, j in enumerate(near):
            own = slice(data.first[j], data.first[j] + data.length[j])
            actions[i, : data.length[j]] = data.steps["action"][own]
        replayed = Replay(actions)
        quiet, noisy = ask(asked, 0.0), ask(asked, settings.noise)
        rival = float(np.median(self.errors(settings, data, replayed, asked, settings.noise)))
        still = float(np.median(self.errors(settings, data, replayed, asked, 0.0)))
        other = ask(shuffled, 0.0)
        return [
            Figure("median error in cells", quiet, most=1.5),
            Figure("under noise: median error in cells", noisy),
            Figure("nearest elite replayed under noise: cells", rival),
            Figure("under noise: error over the elite's", noisy / rival, most=1),
            Figure("nearest elite replayed without noise: cells", still),
            Figure("asked for others' BDs: error over its own", other / quiet, least=3),
        ]


RECIPE = QDT()
