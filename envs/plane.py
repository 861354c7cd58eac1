"""A scene for environments without a floor: two of their numbers span a plane with names on it.

A car on a hill has a position and a speed. Taken as east and north, they make a map, on which a
drive is a path; regions with names (the flag, the valley) and bands of colour (rolling right,
rolling left) turn that path into events, texts and routes, as the objects and tiles of a flat do.
A plane is a TOML file:

    name = "mountain car"                 # optional
    x = {obs = 0, range = [-1.2, 0.6]}    # place in the observation; its values, west to east
    y = {obs = 1, range = [-0.07, 0.07]}  # the same, south to north

    [tiles]                               # optional, bands of equal size over the whole plane
    rows = [["green"], ["white"], ["red"]]      # from the top (north) down

    [[object]]                            # optional
    name = "flag"
    box = [0.45, -0.07, 0.6, 0.07]        # x0, y0, x1, y1 in the two numbers, y up

"wayword/Plane-v0" is any Gymnasium environment with a plane: its info then has "pose" (x, y in
world units of a square plane of 600, y down, as everywhere; the heading is 0) and "bd".
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
from numpy.typing import ArrayLike

from envs.errors import InputError
from envs.scene import Scene, check_keys, numbers, parse_scene
from envs.world import Robot, World
from envs.worldfile import read_toml

SIZE = 600.0
PIXELS = 200


@dataclass(frozen=True)
class Plane:
    """Two numbers of an observation as a floor."""

    table: dict[str, Any]
    """What it was made of, JSON values."""
    columns: tuple[int, int]
    """Places in the flattened observation, east and north."""
    low: tuple[float, float]
    high: tuple[float, float]
    world: World
    """The floor, without walls, and its scene."""

    def pose(self, obs: ArrayLike) -> np.ndarray:
        """Poses of observations [..., n_obs]: float32 [..., 3], world units; beyond the range the
        nearest edge."""
        values = np.asarray(obs, dtype=np.float64)[..., list(self.columns)]
        low, high = np.asarray(self.low), np.asarray(self.high)
        unit = np.clip((values - low) / (high - low), 0, 1)
        pose = np.zeros((*unit.shape[:-1], 3), dtype=np.float32)
        pose[..., 0] = SIZE * unit[..., 0]
        pose[..., 1] = SIZE * (1 - unit[..., 1])
        return pose


def load_plane(source: Path | str | Mapping[str, Any]) -> Plane:
    """Read a plane.

    Args:
        source: a TOML file (see the module), or its content.

    Raises:
        InputError: missing or broken file, unknown or missing field, a box beyond the plane.
    """
    if isinstance(source, Mapping):
        return _plane(dict(source), "plane")
    path = Path(source)
    if not path.is_file():
        raise InputError(f"{path}: no such file; expected a plane (see envs/plane.py)")
    try:
        return _plane(read_toml(path), path.stem)
    except InputError as error:
        text = str(error)
        raise InputError(text if text.startswith(str(path)) else f"{path}: {text}") from None


def _plane(table: dict[str, Any], name: str) -> Plane:
    check_keys(table, "the plane", {"x", "y"}, {"name", "tiles", "object"})
    axes = [_axis(table[key], key) for key in ("x", "y")]
    low, high = ((axes[0][i], axes[1][i]) for i in (1, 2))
    scale = [PIXELS / (axis[2] - axis[1]) for axis in axes]
    entries = table.get("object", [])
    if not isinstance(entries, list) or not all(isinstance(e, dict) for e in entries):
        raise InputError("object: write [[object]] with double brackets, one section per object")
    pixels = []
    for index, entry in enumerate(entries, start=1):
        if "box" not in entry:
            raise InputError(f"object {index}: 'box' is missing")
        x0, y0, x1, y1 = numbers(entry["box"], 4, f"object {index}: box")
        box = [(x0 - low[0]) * scale[0], (high[1] - y1) * scale[1],
               (x1 - low[0]) * scale[0], (high[1] - y0) * scale[1]]  # fmt: skip
        if min(box) < -1e-6 or max(box) > PIXELS + 1e-6 or box[0] >= box[2] or box[1] >= box[3]:
            raise InputError(
                f"object {index}: box is {entry['box']}; expected [x0, y0, x1, y1] with x0 < x1 "
                f"and y0 < y1, within x {low[0]:g} to {high[0]:g} and y {low[1]:g} to {high[1]:g}"
            )
        pixels.append(entry | {"box": [min(max(edge, 0.0), float(PIXELS)) for edge in box]})
    sections = {"object": pixels} | ({"tiles": table["tiles"]} if "tiles" in table else {})
    scene = parse_scene(sections, width=PIXELS, height=PIXELS, size=SIZE, folder=Path())
    world = World(
        name=str(table.get("name", name)),
        size=SIZE,
        occupied=np.zeros((PIXELS, PIXELS), dtype=bool),
        robot=Robot(SIZE / 2, SIZE / 2, 0.0, 6.0),
        laser_angles=np.zeros(0),
        laser_ranges=np.zeros(0),
        scene=scene or Scene(),
    )
    return Plane(table, (axes[0][0], axes[1][0]), low, high, world)


def _axis(value: Any, key: str) -> tuple[int, float, float]:
    if not isinstance(value, dict):
        raise InputError(f"{key} is {value!r}; expected {{obs = 0, range = [low, high]}}")
    check_keys(value, key, {"obs", "range"}, set())
    place = value["obs"]
    if isinstance(place, bool) or not isinstance(place, int) or place < 0:
        raise InputError(f"{key}: obs is {place!r}; expected a place in the observation, from 0 up")
    low, high = numbers(value["range"], 2, f"{key}: range")
    if low >= high:
        raise InputError(f"{key}: range is {value['range']}; expected [low, high] with low < high")
    return place, low, high


class PlaneEnv(gymnasium.Env[Any, Any]):
    """A Gymnasium environment whose info has the "pose" on a plane, and the "bd"."""

    def __init__(
        self,
        env: str,
        plane: Mapping[str, Any] | str | Path,
        bd_obs: Sequence[int] | None = None,
        steps: int | None = None,
        kwargs: Mapping[str, Any] | None = None,
        render_mode: str | None = None,
    ) -> None:
        """Make the environment and the plane.

        Args:
            env: Gymnasium id of the environment.
            plane: what `load_plane` takes.
            bd_obs: which numbers of the observation are the BD; those of the plane where None.
            steps: instead of the environment's own time limit.
            kwargs: arguments of `gymnasium.make` for it.
            render_mode: of the environment.

        Raises:
            InputError: a wrong plane, or one that asks for more numbers than are observed.
        """
        self.plane = load_plane(plane)
        options: dict[str, Any] = dict(kwargs or {}) | {"render_mode": render_mode}
        if steps is not None:
            options["max_episode_steps"] = steps
        self._inner = gymnasium.make(env, **options)
        self.observation_space = self._inner.observation_space
        self.action_space = self._inner.action_space
        self.metadata, self.render_mode = self._inner.metadata, render_mode
        width = int(np.prod(self.observation_space.shape or (1,)))
        self._bd = list(self.plane.columns if bd_obs is None else bd_obs)
        for place in (*self.plane.columns, *self._bd):
            if place >= width:
                raise InputError(f"{env} observes {width} numbers; there is none at place {place}")

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        """As the environment's, with "pose" and "bd" in info."""
        super().reset(seed=seed)
        obs, info = self._inner.reset(seed=seed, options=options)
        return obs, info | self._seen(obs)

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        """As the environment's, with "pose" and "bd" in info."""
        obs, reward, terminated, truncated, info = self._inner.step(action)
        return obs, reward, terminated, truncated, info | self._seen(obs)

    def render(self) -> Any:
        """As the environment's."""
        return self._inner.render()

    def close(self) -> None:
        """Close the environment."""
        self._inner.close()

    def _seen(self, obs: Any) -> dict[str, np.ndarray]:
        flat = np.asarray(obs, dtype=np.float32).reshape(-1)
        return {"pose": self.plane.pose(flat), "bd": flat[self._bd]}
