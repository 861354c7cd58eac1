"""A toy world for the tests of nanodt: point robots that go to a place by one of two sides."""

from __future__ import annotations

import json
from pathlib import Path
from typing import ClassVar

import gymnasium
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space

from nanodt.data.windows import Plan, Windows

STEPS = 24
SIDES = {"left": -1.0, "right": 1.0}


class PointRobots(VectorEnv):
    """N points on a plane; the action is the displacement, at most 1 each way."""

    metadata: ClassVar[dict] = {"autoreset_mode": AutoresetMode.DISABLED}

    def __init__(self, num_envs: int = 1, steps: int = STEPS) -> None:
        self.num_envs, self.steps = num_envs, steps
        self.single_observation_space = gymnasium.spaces.Box(-100, 100, (3,), np.float32)
        self.single_action_space = gymnasium.spaces.Box(-1, 1, (2,), np.float32)
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)

    def _seen(self):
        obs = np.concatenate([self.at, self.at[:, :1] > 0], 1).astype(np.float32)
        return obs, {"bd": self.at.astype(np.float32).copy()}

    def reset(self, *, seed=None, options=None):
        self.at, self.step_number = np.zeros((self.num_envs, 2)), 0
        return self._seen()

    def step(self, actions):
        self.at = self.at + np.clip(actions, -1, 1)
        self.step_number += 1
        obs, info = self._seen()
        n = self.num_envs
        over = np.full(n, self.step_number >= self.steps)
        return obs, np.zeros(n, np.float32), np.zeros(n, bool), over, info


gymnasium.register("PointRobots-v0", vector_entry_point=PointRobots)


def record(n: int, seed: int = 0, steps: int = STEPS) -> list[dict]:
    """n trajectories: half the time out to a side, then straight to the end point."""
    rng = np.random.default_rng(seed)
    rows = []
    for i in range(n):
        side = list(SIDES)[i % 2]
        end = np.array([rng.uniform(-5, 5), rng.uniform(4, 10)])
        half = steps // 2
        middle = np.array([SIDES[side] * 5, 3.0])
        action = np.empty((steps, 2))
        action[:half] = middle / half
        action[half:] = (end - middle) / (steps - half)
        action = np.round(action, 2).astype(np.float32)
        at = np.concatenate([np.zeros((1, 2)), np.cumsum(action, 0)])
        obs = np.concatenate([at, at[:, :1] > 0], 1).astype(np.float32)
        rows.append(
            {
                "trajectory_id": 100 + i,
                "split": "validation" if i % 5 == 4 else "train",
                "weight": 1.0,
                "length": steps,
                "bd": at[-1].astype(np.float32),
                "obs": obs.ravel(),
                "action": action.ravel(),
                "texts": [
                    f"Go out on the {side} side, then to <DESCRIPTOR>.",
                    f"Take the {side} way to <DESCRIPTOR>",
                ],
            }
        )
    return rows


def stretch(windows: Windows, episode: int, start: int, steps: int) -> Plan:
    """The plan of one given window, behind the first text of its episode."""
    text = windows.text_first[episode] if windows.text_count[episode] else -1
    fields = ([episode], [text], [False], [[start]], [steps])
    return Plan(*(np.array(field) for field in fields))


INFO = {
    "n_obs": 3,
    "n_act": 2,
    "n_bd": 2,
    "steps": STEPS,
    "action_low": [-1.0, -1.0],
    "action_high": [1.0, 1.0],
    "action_decimals": 2,
    "bd_low": [-6.0, 0.0],
    "bd_high": [6.0, 12.0],
    "environment": {"id": "nanodt_toy:PointRobots-v0", "kwargs": {"steps": STEPS}},
}


def write_dataset(folder: Path, rows: list[dict], **changes) -> Path:
    """A dataset folder of the given trajectories."""
    folder.mkdir(parents=True, exist_ok=True)
    floats = pa.list_(pa.float32())
    kinds = {
        "trajectory_id": pa.int64(),
        "split": pa.string(),
        "weight": pa.float32(),
        "length": pa.int32(),
        "bd": floats,
        "obs": floats,
        "action": floats,
        "texts": pa.list_(pa.string()),
    }
    table = pa.table({k: pa.array([r[k] for r in rows], t) for k, t in kinds.items()})
    pq.write_table(table, folder / "trajectories.parquet", compression="zstd")
    (folder / "dataset.json").write_text(json.dumps({**INFO, **changes}))
    return folder
