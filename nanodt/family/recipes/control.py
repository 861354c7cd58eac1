"""Meta-World and dm_control tasks as plain environments with one space of states and actions.

States have 204 numbers: dm_control's named observations stand one behind another, each in a place
of its own (the table of ml-jku/L2M); Meta-World's 39 numbers stand at the front, where they
overlap. Actions have as many numbers as the task takes. A trajectory ends at success, and each
task brings a controller that solves it.
"""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np

from nanodt.family.sources import need

WIDTHS = {
    "orientations": 14,
    "velocity": 27,
    "position": 8,
    "touch": 5,
    "target_position": 2,
    "dist_to_target": 1,
    "joint_angles": 21,
    "upright": 1,
    "target": 3,
    "head_height": 1,
    "extremities": 12,
    "torso_vertical": 3,
    "com_velocity": 3,
    "arm_pos": 16,
    "arm_vel": 8,
    "hand_pos": 4,
    "object_pos": 4,
    "object_vel": 3,
    "target_pos": 4,
    "orientation": 2,
    "to_target": 2,
    "joints": 14,
    "body_velocities": 45,
    "height": 1,
}
STATE, ACTION = sum(WIDTHS.values()), 6
PLACE = dict(zip(WIDTHS, np.cumsum([0, *WIDTHS.values()]).tolist(), strict=False))


class Control(ABC):
    """A task: a small part of what Gymnasium's environments offer, and who solves it."""

    width: int
    """Numbers in an action, each within [-1, 1]."""
    longest: int
    """Steps of a trajectory, at most."""
    scale: float
    """Rewards are divided by it."""

    @property
    def action_space(self) -> SimpleNamespace:
        """As Gymnasium describes it."""
        one = np.ones(self.width, np.float32)
        return SimpleNamespace(low=-one, high=one)

    def reset(self, seed: int) -> tuple[np.ndarray, dict[str, Any]]:
        self.steps = 0
        return self.begin(seed), {}

    def step(self, action: np.ndarray) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        self.steps += 1
        state, reward, won = self.advance(np.clip(action, -1, 1))
        return state, reward / self.scale, won, self.steps >= self.longest, {"success": float(won)}

    @abstractmethod
    def begin(self, seed: int) -> np.ndarray:
        """The first state [204] of a trajectory."""

    @abstractmethod
    def advance(self, action: np.ndarray) -> tuple[np.ndarray, float, bool]:
        """State, reward and whether the task is done, after an action [width]."""

    @abstractmethod
    def expert(self, obs: np.ndarray) -> np.ndarray:
        """A good action [width] in a state [204]."""


class MetaWorld(Control):
    """A task of Meta-World; `reset(seed)` takes goal seed % 50 of those drawn for `goals`."""

    scale, longest, width = 200.0, 200, 4

    def __init__(self, name: str, goals: list[Any]) -> None:
        metaworld, policies = need("metaworld"), need("metaworld.policies")
        self.env, self.goals = metaworld.ALL_V3_ENVIRONMENTS[name](), goals
        title = "".join(part.capitalize() for part in name.split("-"))
        self.policy = getattr(policies, f"Sawyer{title}Policy")()

    @staticmethod
    def draw(name: str, seed: int) -> list[Any]:
        """The 50 goals of a seed."""
        return need("metaworld").MT1(name, seed=seed).train_tasks

    def begin(self, seed: int) -> np.ndarray:
        self.env.set_task(self.goals[seed % len(self.goals)])
        return self._state(self.env.reset(seed=seed)[0])

    def advance(self, action: np.ndarray) -> tuple[np.ndarray, float, bool]:
        obs, reward, _, _, info = self.env.step(action.astype(np.float64))
        return self._state(obs), float(reward), info["success"] > 0

    @staticmethod
    def _state(obs: np.ndarray) -> np.ndarray:
        return np.pad(obs, (0, STATE - len(obs))).astype(np.float32)

    def expert(self, obs: np.ndarray) -> np.ndarray:
        return np.clip(self.policy.get_action(obs[:39].astype(np.float64)), -1, 1)


class PointMass(Control):
    """dm_control's point_mass: bring it into the target at the middle."""

    scale, longest, width = 100.0, 300, 2

    def __init__(self) -> None:
        self.suite = need("dm_control.suite")

    def begin(self, seed: int) -> np.ndarray:
        self.env = self.suite.load("point_mass", "easy", task_kwargs={"random": seed})
        self.size = self.env.physics.named.model.geom_size["target", 0]
        return named(self.env.reset().observation)

    def advance(self, action: np.ndarray) -> tuple[np.ndarray, float, bool]:
        found = self.env.step(action)
        won = self.env.physics.mass_to_target_dist() < self.size
        return named(found.observation), float(found.reward), bool(won)

    def expert(self, obs: np.ndarray) -> np.ndarray:
        position, velocity = obs[PLACE["position"] :][:2], obs[PLACE["velocity"] :][:2]
        return np.clip(-20 * position - 10 * velocity, -1, 1)


def named(observation: dict[str, Any]) -> np.ndarray:
    """dm_control's named observations in their places among 204 numbers."""
    state = np.zeros(STATE, np.float32)
    for name, value in observation.items():
        value = np.ravel(value)
        state[PLACE[name] : PLACE[name] + len(value)] = value
    return state


class Several:
    """Copies of a task side by side; one that ended stays as it is."""

    def __init__(self, envs: list[Control]) -> None:
        self.envs, self.num_envs = envs, len(envs)
        self.single_action_space = envs[0].action_space

    def reset(self, seed: int) -> tuple[np.ndarray, dict[str, Any]]:
        self.last = [
            (env.reset(seed + i)[0], 0.0, False, False, {"success": 0.0})
            for i, env in enumerate(self.envs)
        ]
        return np.stack([x[0] for x in self.last]), {}

    def step(
        self, action: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, dict[str, Any]]:
        for i, (env, own) in enumerate(zip(self.envs, action, strict=True)):
            if not (self.last[i][2] or self.last[i][3]):
                self.last[i] = env.step(own)
        obs, reward, won, cut, info = zip(*self.last, strict=True)
        success = np.array([x["success"] for x in info])
        return np.stack(obs), np.array(reward), np.array(won), np.array(cut), {"success": success}


def maker(name: str, seed: int) -> Callable[[], Control]:
    """Makes environments of a task, its goals drawn for `seed`."""
    os.environ.setdefault("MUJOCO_GL", "disable")  # nothing is drawn here
    if name == "point_mass":
        return PointMass
    goals = MetaWorld.draw(name, seed)
    return lambda: MetaWorld(name, goals)
