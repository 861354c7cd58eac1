"""The Gymnasium environments "wayword/Navigation-v0": one robot, or many in one kernel call.

    import envs, gymnasium
    env = gymnasium.make("wayword/Navigation-v0", world="apartment", render_mode="rgb_array")
    vec = gymnasium.make_vec(
        "wayword/Navigation-v0", num_envs=256, vectorization_mode="vector_entry_point", world=PATH
    )

Observation, float32 [n_obs]: the readings of `World.sensors`, named by `World.obs_names`.
Action, float32 [2] in ±4: displacement of the left and the right wheel in world units, rounded to
`action_decimals` first. Reward: 1 within the goal's radius, else 0. Never terminated; truncated
after `world.steps` steps. `info` holds "pose" [3] (x, y in world units, y down, heading), "bd" [2]
(x, y) and "collision". Options of reset: "start", [3] or for many robots [N, 3]: x, y, heading.

Nothing is random: a seed is taken and changes nothing.
"""

import io
from pathlib import Path
from typing import Any, ClassVar

import gymnasium
import matplotlib.image
import numpy as np
from gymnasium import spaces
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space

from envs.drawing import Route, draw_scene, svg_to_png
from envs.errors import InputError
from envs.simulator import Robots, round_actions
from envs.world import MAX_WHEEL, World
from envs.worldfile import load_world

RENDER_FPS = 20


def _prepare(
    world: World | str | Path, action_decimals: int | None, render_mode: str | None
) -> World:
    if action_decimals is not None and action_decimals not in range(7):
        raise InputError(f"action_decimals is {action_decimals!r}; expected 0 to 6 or None")
    if render_mode not in (None, "rgb_array"):
        raise InputError(f"render_mode is {render_mode!r}; expected 'rgb_array' or None")
    return world if isinstance(world, World) else load_world(world)


def _spaces(world: World) -> tuple[spaces.Box, spaces.Box]:
    low, high = (
        np.array(bounds, dtype=np.float32)
        for bounds in zip(*((sensor.low, sensor.high) for sensor in world.sensors), strict=True)
    )
    return (
        spaces.Box(low, high, dtype=np.float32),
        spaces.Box(-MAX_WHEEL, MAX_WHEEL, (2,), dtype=np.float32),
    )


def _reward(world: World, pose: np.ndarray) -> np.ndarray:
    """1 for each of the poses [N, 3] within the goal, else 0; float64 [N]."""
    if world.goal is None:
        return np.zeros(len(pose))
    place = pose[:, :2].astype(np.float64)
    distance = np.hypot(place[:, 0] - world.goal.x, place[:, 1] - world.goal.y)
    return (distance <= world.goal.radius).astype(np.float64)


def _frame(world: World, path: np.ndarray) -> np.ndarray:
    """The scene with the drive so far [T, 3]: uint8 [H, W, 3]."""
    png = svg_to_png(draw_scene(world, [Route(path)], labels=False), None, scale=1.0)
    pixels = matplotlib.image.imread(io.BytesIO(png), format="png")
    return np.round(pixels[..., :3] * 255).astype(np.uint8)


class NavigationEnv(gymnasium.Env[np.ndarray, np.ndarray]):
    """One robot in a world; see the module."""

    metadata: dict[str, Any] = {"render_modes": ["rgb_array"], "render_fps": RENDER_FPS}  # noqa: RUF012

    def __init__(
        self,
        world: World | str | Path = "apartment",
        action_decimals: int | None = 1,
        render_mode: str | None = None,
    ) -> None:
        """Make the environment.

        Args:
            world: a `World`, or what `envs.load_world` takes.
            action_decimals: actions are rounded to so many decimals; None for no rounding.
            render_mode: "rgb_array" or None.

        Raises:
            InputError: no such world, or a wrong option.
        """
        self.world = _prepare(world, action_decimals, render_mode)
        self.action_decimals = action_decimals
        self.render_mode = render_mode
        self.observation_space, self.action_space = _spaces(self.world)
        self.robots = Robots(self.world, 1)
        self.elapsed = 0
        self._path: list[np.ndarray] = []

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """Put the robot at its start; index 0 of a recording is what this returns."""
        super().reset(seed=seed)
        self.robots.reset((options or {}).get("start"))
        self.elapsed = 0
        self._path = [self.robots.pose[0].copy()]
        return self.robots.obs[0].copy(), self._info()

    def step(self, action: np.ndarray) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        """Move the wheels by `action` [2]; values beyond ±4 are clipped."""
        self.robots.step(round_actions(action, self.action_decimals).reshape(1, 2))
        self.elapsed += 1
        if self.render_mode is not None:
            self._path.append(self.robots.pose[0].copy())
        reward = float(_reward(self.world, self.robots.pose)[0])
        truncated = self.elapsed >= self.world.steps
        return self.robots.obs[0].copy(), reward, False, truncated, self._info()

    def render(self) -> np.ndarray | None:  # type: ignore[override]
        """The scene with the drive so far, uint8 [H, W, 3]; None without a render mode."""
        if self.render_mode is None:
            return None
        return _frame(self.world, np.array(self._path))

    def _info(self) -> dict[str, Any]:
        pose = self.robots.pose[0]
        return {
            "pose": pose.copy(),
            "bd": pose[:2].copy(),
            "collision": bool(self.robots.collision[0]),
        }


class NavigationVectorEnv(VectorEnv[np.ndarray, np.ndarray, np.ndarray]):
    """N robots in the same world, each step one call of the compiled kernel; see the module.

    Autoreset is Gymnasium's default, NEXT_STEP: what the step that truncates returns is the final
    state of the drive, and only the step after it (its action ignored, its reward 0) resets. A
    driver of exactly `world.steps` steps therefore never sees a reset.
    """

    metadata: ClassVar[dict[str, Any]] = {
        "render_modes": ["rgb_array"],
        "render_fps": RENDER_FPS,
        "autoreset_mode": AutoresetMode.NEXT_STEP,
    }

    def __init__(
        self,
        num_envs: int = 1,
        world: World | str | Path = "apartment",
        action_decimals: int | None = 1,
        render_mode: str | None = None,
    ) -> None:
        """Make the environments; arguments as for `NavigationEnv`, `num_envs` robots."""
        if isinstance(num_envs, bool) or not isinstance(num_envs, int) or num_envs < 1:
            raise InputError(f"num_envs is {num_envs!r}; expected a whole number above 0")
        self.world = _prepare(world, action_decimals, render_mode)
        self.num_envs = num_envs
        self.action_decimals = action_decimals
        self.render_mode = render_mode
        self.single_observation_space, self.single_action_space = _spaces(self.world)
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)
        self.robots = Robots(self.world, num_envs)
        self.elapsed = 0
        self._start: Any = None
        self._path: list[np.ndarray] = []

    def reset(  # type: ignore[override]
        self, *, seed: int | list[int] | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """Put all robots at their starts; an autoreset goes back to the same ones."""
        super().reset(seed=seed[0] if isinstance(seed, list) else seed)
        self._start = (options or {}).get("start")
        return self._begin()

    def step(
        self, actions: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, dict[str, Any]]:
        """Move all robots by `actions` [N, 2]; values beyond ±4 are clipped."""
        actions = round_actions(actions, self.action_decimals)
        if actions.shape != (self.num_envs, 2):
            raise InputError(
                f"actions have shape {list(actions.shape)}; expected [{self.num_envs}, 2]"
            )
        never = np.zeros(self.num_envs, dtype=np.bool_)
        if self.elapsed >= self.world.steps:
            obs, info = self._begin()
            return obs, np.zeros(self.num_envs), never, never.copy(), info
        self.robots.step(actions)
        self.elapsed += 1
        if self.render_mode is not None:
            self._path.append(self.robots.pose.copy())
        truncated = np.full(self.num_envs, self.elapsed >= self.world.steps)
        reward = _reward(self.world, self.robots.pose)
        return self.robots.obs.copy(), reward, never, truncated, self._info()

    def render(self) -> tuple[np.ndarray, ...] | None:
        """One picture per robot, uint8 [H, W, 3]; None without a render mode."""
        if self.render_mode is None:
            return None
        paths = np.array(self._path)
        return tuple(_frame(self.world, paths[:, n]) for n in range(self.num_envs))

    def _begin(self) -> tuple[np.ndarray, dict[str, Any]]:
        self.robots.reset(self._start)
        self.elapsed = 0
        self._path = [self.robots.pose.copy()]
        return self.robots.obs.copy(), self._info()

    def _info(self) -> dict[str, Any]:
        info: dict[str, Any] = {
            "pose": self.robots.pose.copy(),
            "bd": self.robots.pose[:, :2].copy(),
            "collision": self.robots.collision.copy(),
        }
        # Gymnasium's convention: a mask beside each entry says which environments have it.
        return info | {f"_{key}": np.ones(self.num_envs, dtype=np.bool_) for key in info}
