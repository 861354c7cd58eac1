"""Quality-Diversity Transformer: reach the behaviour descriptor that is asked for, without words.

`bd, s, a` a step, the action read at s: a Decision Transformer asked for a place rather than a
return. It learns from a dataset folder of an archive (`make demo` makes runs/demo/dataset), from
the BD each trajectory did reach, and is tried on the BDs of the test split, also under actuation
noise.

The small preset departs from that layout where the robot of the archive asks for it: a step is one
token, s+bd; where the dataset describes the robot's wheels, s carries the pose it reckons
(`nanodt.place.odometry`); and past actions are left out, as a policy that sees them repeats them
(docs/log.md); and it learns from augmentation where the dataset has it. `--plain` is the
paper's layout, and takes elites with them. The paper's archives come from ME-LS, which keeps
policies that end where they ended before; ours is searched without noise. The paper's sizes were
not at hand: `published` holds those of Decision Transformer, on which it builds.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from nanodt.driving.policy import Policy
from nanodt.driving.rollout import Acts, drive
from nanodt.errors import InputError
from nanodt.family.recipes.dt import TRAINING
from nanodt.family.recipes.recipe import Figure, Options, Recipe, ratio
from nanodt.family.sources import make_envs
from nanodt.family.trajectories import Trajectories
from nanodt.model.heads import HeadConfig
from nanodt.model.network import Network
from nanodt.model.stream import Layout, Slot
from nanodt.place.odometry import FEATURES, OdometryConfig
from nanodt.training.bounds import Count, NonNegative, Positive

TRAIN, TEST = 0.0, 2.0  # of the field `split`


@dataclass(kw_only=True)
class QDTOptions(Options):
    data: str | None = "runs/demo/dataset"
    """Dataset folder; or an npz file with the fields obs, action, bd and split."""
    n_layer: Count = 2
    n_head: Count = 4
    n_embd: Count = 128
    context: Count = 8
    steps: Count = 3000
    batch_size: Count = 256
    lr: Positive = 2e-3
    plain: bool = False
    """The paper's layout: bd, s, a, and no reckoning."""
    items: Count = 256
    """Test BDs asked for."""
    noise: NonNegative = 0.4
    """Spread of the actuation noise, a tenth of the largest action of the apartment's robot."""
    cells: Count = 64
    """Cells along each side of the BD space, the unit of errors, whatever the archive's own: the
    apartment's is 600 long, so a cell 9.4."""


class Replay:
    """Rollouts recorded actions [N, T, A], whatever happens."""

    def __init__(self, actions: np.ndarray) -> None:
        self.actions = actions

    def reset(self, seed: int | None = None) -> None:
        self.step = -1

    def act(self, obs: Any, text: Any, bd: Any, reward: Any) -> np.ndarray:
        self.step += 1
        return self.actions[:, self.step]


class QDT(Recipe[QDTOptions]):
    name = "qdt"
    title = "Reach a behaviour descriptor that is asked for, reliably"
    source = "Macé et al. 2023, The Quality-Diversity Transformer (arXiv 2303.16207)"
    options = QDTOptions
    published: ClassVar = {
        "n_layer": 3,
        "n_head": 1,
        "activation": "relu",
        "context": 20,
        **TRAINING,
        "plain": True,
    }

    def collect(self, options: QDTOptions) -> Trajectories:
        raise InputError("recipe qdt learns from an archive: give --data RUN/dataset")

    def prepare(self, options: QDTOptions, data: Trajectories) -> Trajectories:
        data.each.setdefault("recorded", np.ones((len(data.length), 1), np.float32))
        data.check("obs", "action", "bd", split=1, recorded=1)
        for name in ("action_low", "action_high", "bd_low", "bd_high", "environment"):
            if name not in data.info:
                raise InputError(f"{data.where}: its info has no {name}, which recipe qdt needs")
        if not (data.each["split"] == TRAIN).any() or not (data.each["split"] == TEST).any():
            raise InputError(f"{data.where}: recipe qdt needs trajectories to train on and to test")
        return data.with_steps(target=data.steps.get("target", data.steps["action"]))

    def wheels(self, options: QDTOptions, data: Trajectories) -> OdometryConfig | None:
        if options.plain or not data.info.get("odometry"):
            return None
        wheels = OdometryConfig.from_json(data.info["odometry"])
        wheels.check(data.size("obs"), data.size("action"), data.size("bd"))
        return wheels

    def domains(self, options: QDTOptions, data: Trajectories) -> list[np.ndarray]:
        train = data.each["split"][:, 0] == TRAIN
        added = train & (data.each["recorded"][:, 0] == 0)
        # Augmentation has one pace and holds at its ends; an elite's pace is anybody's guess.
        return [np.flatnonzero(added if added.any() and not options.plain else train)]

    def layout(self, options: QDTOptions, data: Trajectories) -> Layout:
        bounds: Any = {end: tuple(data.info[f"action_{end}"]) for end in ("low", "high")}
        code, size = "mlp" if options.plain else "none", data.size("action")
        slots = [
            Slot("bd", data.size("bd"), "mlp", constant=True),
            Slot("obs", data.size("obs"), "mlp", join=not options.plain),
            Slot("place", FEATURES, "mlp", join=True, scale=1.0, reckoned=True),
            Slot("action", size, code, head=HeadConfig("mse"), target="target", **bounds),
        ]
        if self.wheels(options, data) is None:
            del slots[2]
        return Layout(tuple(slots), max_steps=int(data.length.max()))

    def errors(
        self,
        options: QDTOptions,
        data: Trajectories,
        actor: Acts,
        bd: np.ndarray,
        noise: float,
        told: np.ndarray | None = None,
    ) -> np.ndarray:
        """Distance [N] between asked and reached BD, in cells, under actuation noise; `told` is
        the BD [N, n_bd] that the actor gets."""
        env = data.info["environment"]
        envs = make_envs(env["id"], len(bd), **(env.get("kwargs") or {}))
        rng = np.random.default_rng(options.seed + 1)
        low, high = np.float32(data.info["action_low"]), np.float32(data.info["action_high"])

        def send(action: np.ndarray) -> np.ndarray:
            disturbed = action + noise * rng.normal(size=action.shape)
            return np.clip(disturbed, low, high).astype(np.float32)

        steps, seed = int(data.length.max()), options.seed
        rollouts = drive(actor, envs, None, told, steps=steps, seed=seed, send=send)
        reached = rollouts.info["bd"][:, -1]
        cell = np.subtract(data.info["bd_high"], data.info["bd_low"]) / options.cells
        return np.linalg.norm((reached - bd) / cell, axis=1)

    def evaluate(self, options: QDTOptions, model: Network, data: Trajectories) -> list[Figure]:
        split, bd = data.each["split"][:, 0], data.each["bd"]
        test = np.flatnonzero(split == TEST)
        test = test[np.unique(np.linspace(0, len(test) - 1, options.items).round().astype(int))]
        asked = bd[test]
        shuffled = asked[np.random.default_rng(options.seed).permutation(len(asked))]

        def ask(goals: np.ndarray, noise: float) -> float:
            return float(np.median(self.errors(options, data, Policy(model), asked, noise, goals)))

        recorded = np.flatnonzero((split == TRAIN) & (data.each["recorded"][:, 0] > 0))
        near = recorded[np.linalg.norm(bd[recorded][None] - asked[:, None], axis=2).argmin(1)]
        actions = np.zeros((len(asked), int(data.length.max()), data.size("action")), np.float32)
        for i, j in enumerate(near):
            own = slice(data.first[j], data.first[j] + data.length[j])
            actions[i, : data.length[j]] = data.steps["action"][own]
        replayed = Replay(actions)
        quiet, noisy = ask(asked, 0.0), ask(asked, options.noise)
        rival = float(np.median(self.errors(options, data, replayed, asked, options.noise)))
        still = float(np.median(self.errors(options, data, replayed, asked, 0.0)))
        other = ask(shuffled, 0.0)
        return [
            Figure("median error in cells", quiet, most=1.5),
            Figure("under noise: median error in cells", noisy),
            Figure("nearest elite replayed under noise: cells", rival),
            Figure("under noise: error over the elite's", ratio(noisy, rival), most=1),
            Figure("nearest elite replayed without noise: cells", still),
            Figure("asked for others' BDs: error over its own", ratio(other, quiet), least=3),
        ]


RECIPE = QDT()
