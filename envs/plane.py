"""A scene for environments without a floor: two of their numbers span a plane with names on it.

A car on a hill has a position and a speed, a point in a maze an x and a y. Taken as east and north,
they make a map, on which a drive is a path; regions with names (the flag, the valley) and tiles of
colour (rolling right, rolling left) turn that path into events, texts and routes, as the objects
and tiles of a flat do. A plane is a TOML file:

    name = "mountain car"                 # optional
    x = {obs = 0, range = [-1.2, 0.6]}    # a number of the observation; its values, west to east
    y = {obs = 1, range = [-0.07, 0.07]}  # the same, south to north

    [tiles]                               # optional, bands of equal size over the whole plane
    rows = [["green"], ["white"], ["red"]]      # from the top (north) down

    [[object]]                            # optional
    name = "flag"
    box = [0.45, -0.07, 0.6, 0.07]        # x0, y0, x1, y1 in the two numbers, y up

A number may also lie elsewhere: {key = "achieved_goal", obs = 0, …} in an entry of a Dict
observation, {info = "x_position", …} in info, {info = "position", obs = 1, …} in an array there.
`map` draws walls, for people only: rows of text from the north down, # is a wall.

"wayword/Plane-v0" is any Gymnasium environment as the stages drive it: observations are flat
vectors (of a Dict, one of its entries), numbered actions begin at 0, and info has "pose" (x, y in
world units of a square plane of 600, y down, as everywhere; the heading is 0) and "bd".
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces
from numpy.typing import ArrayLike, DTypeLike, NDArray

from envs.errors import InputError
from envs.scene import Scene, check_keys, numbers, parse_scene
from envs.world import Robot, World
from envs.worldfile import read_toml

SIZE = 600.0
PIXELS = 200

COMPLEX = (
    "complex numbers; expected real ones: wrap the environment, so that real and imaginary parts "
    "are numbers of their own"
)


@dataclass(frozen=True)
class Axis:
    """Where one of the two numbers stands, and its range."""

    name: str
    place: int
    key: str | None
    """Entry of a Dict observation; None: of the observation that is driven by, or of `info`."""
    info: str | None
    low: float
    high: float

    def read(self, flat: np.ndarray, whole: Any, info: Mapping[str, Any], env: str) -> float:
        """The number.

        Args:
            flat: the observation that is driven by, [n_obs].
            whole: the environment's own observation.
            info: that came with it.
            env: what messages call the environment.

        Raises:
            InputError: it is not there, or no finite number.
        """
        source: Any = flat
        where = f"{env}: the plane's {self.name}"
        if self.info is not None:
            if self.info not in info:
                raise InputError(
                    f"{where} is {self.info!r} of info, which is not there; info has "
                    f"{', '.join(map(str, info)) or 'nothing'} (reset must report it, too)"
                )
            source = info[self.info]
        elif self.key is not None:
            source = dict_entry(whole, self.key, where)
        try:
            values = reals(source, np.float64).reshape(-1)
        except (TypeError, ValueError):
            values = np.empty(0)
        if self.place >= len(values):
            what = self.info or self.key or "the observation"
            raise InputError(
                f"{where}: {what} has {len(values)} numbers; there is none at place {self.place}"
            )
        if not np.isfinite(values[self.place]):
            raise InputError(f"{where} is {values[self.place]}; a position must be finite")
        return float(values[self.place])


def dict_entry(found: Any, key: str, where: str) -> Any:
    """An entry of a Dict observation or its space; InputError names those there are."""
    names = found.spaces if isinstance(found, spaces.Dict) else found
    if not isinstance(names, Mapping):
        raise InputError(f"{where}: there is no entry {key!r}, observations are no Dict")
    if key not in names:
        raise InputError(f"{where}: observations have no {key!r}; they have {', '.join(names)}")
    return names[key]


@dataclass(frozen=True)
class Plane:
    """Two numbers of an environment as a floor."""

    table: dict[str, Any]
    """What it was made of, JSON values."""
    axes: tuple[Axis, Axis]
    """East and north."""
    world: World
    """The floor and its scene."""

    def pose(self, values: ArrayLike) -> np.ndarray:
        """Poses of the two numbers [..., 2]: float32 [..., 3], world units; beyond the range the
        nearest edge."""
        low, high = (np.array([getattr(axis, k) for axis in self.axes]) for k in ("low", "high"))
        unit = np.clip((np.asarray(values, dtype=np.float64) - low) / (high - low), 0, 1)
        pose = np.zeros((*unit.shape[:-1], 3), dtype=np.float32)
        pose[..., 0] = SIZE * unit[..., 0]
        pose[..., 1] = SIZE * (1 - unit[..., 1])
        return pose

    def starting(self, pose: np.ndarray) -> World:
        """The floor with the robot at a pose [3]."""
        x, y = (min(float(v), SIZE * (1 - 1e-3)) for v in pose[:2])
        return replace(self.world, robot=replace(self.world.robot, x=x, y=y))


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
    check_keys(table, "the plane", {"x", "y"}, {"name", "tiles", "object", "map"})
    east, north = axes = _axis(table["x"], "x"), _axis(table["y"], "y")
    low, high = (east.low, north.low), (east.high, north.high)
    scale = [PIXELS / (axis.high - axis.low) for axis in axes]
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
        occupied=_walls(table.get("map", [" "])),
        robot=Robot(SIZE / 2, SIZE / 2, 0.0, 6.0),
        laser_angles=np.zeros(0),
        laser_ranges=np.zeros(0),
        scene=scene or Scene(),
    )
    return Plane(table, axes, world)


def _walls(rows: Any) -> np.ndarray:
    """The map of a plane as pixels, bool [PIXELS, PIXELS]."""
    fits = isinstance(rows, list) and all(isinstance(row, str) and row for row in rows)
    if not fits or not rows or len({len(row) for row in rows}) > 1 or len(rows) > PIXELS:
        raise InputError("map: expected rows of text of one length, like ['###', '#.#', '###']")
    walls = np.array([[mark == "#" for mark in row] for row in rows])
    at = [np.arange(PIXELS) * side // PIXELS for side in walls.shape]
    return walls[np.ix_(*at)]


def _axis(value: Any, key: str) -> Axis:
    if not isinstance(value, dict):
        raise InputError(f"{key} is {value!r}; expected {{obs = 0, range = [low, high]}}")
    needed = {"range"} if "info" in value else {"obs", "range"}
    check_keys(value, key, needed, {"obs", "key", "info"})
    place = value.get("obs", 0)
    for field in ("key", "info"):
        if not isinstance(value.get(field, ""), str) or {"key", "info"} <= set(value):
            raise InputError(f"{key}: {field} is {value[field]!r}; expected one name, key or info")
    if isinstance(place, bool) or not isinstance(place, int) or place < 0:
        raise InputError(f"{key}: obs is {place!r}; expected a place in the observation, from 0 up")
    low, high = numbers(value["range"], 2, f"{key}: range")
    if low >= high:
        raise InputError(f"{key}: range is {value['range']}; expected [low, high] with low < high")
    return Axis(key, place, value.get("key"), value.get("info"), low, high)


class PlaneEnv(gymnasium.Env[Any, Any]):
    """A Gymnasium environment as the stages drive it: flat, with "bd" and, on a plane, "pose"."""

    def __init__(
        self,
        env: str,
        plane: Mapping[str, Any] | str | Path | None = None,
        bd_obs: Sequence[int] | None = None,
        steps: int | None = None,
        kwargs: Mapping[str, Any] | None = None,
        obs_key: str | None = None,
        reset_options: Mapping[str, Any] | None = None,
        render_mode: str | None = None,
    ) -> None:
        """Make the environment and the plane.

        Args:
            env: Gymnasium id of the environment; "module:Name-v0" imports its module.
            plane: what `load_plane` takes; None: there is none, and no pose.
            bd_obs: which numbers of the observation are the BD; where None, the position on the
                plane in world units, without a plane the whole observation.
            steps: instead of the environment's own time limit.
            kwargs: arguments of `gymnasium.make` for it.
            obs_key: the entry of a Dict observation that is driven by.
            reset_options: what every reset is given as its options.
            render_mode: of the environment.

        Raises:
            InputError: a wrong plane, one that asks for what is not observed, or spaces that
                nothing here can drive.
        """
        self.plane = None if plane is None else load_plane(plane)
        options: dict[str, Any] = dict(kwargs or {})
        if render_mode is not None:
            options["render_mode"] = render_mode
        if steps is not None:
            options["max_episode_steps"] = steps
        self._inner = gymnasium.make(env, **options)
        self._name, self._key = env, obs_key
        self._options = None if reset_options is None else dict(reset_options)
        self.metadata, self.render_mode = self._inner.metadata, render_mode
        seen, act = driven_spaces(self._inner, env, obs_key)
        self.observation_space = _flat_box(seen)
        self._act: spaces.Box | spaces.Discrete = act
        numbered = isinstance(act, spaces.Discrete)
        self.action_space = spaces.Discrete(int(act.n)) if numbered else _flat_box(act)
        width = int(np.prod(self.observation_space.shape))
        whole = [] if self.plane else range(width)
        self._bd = list(whole if bd_obs is None else bd_obs)
        for place in self._bd:
            if place >= width:
                raise InputError(f"{env} observes {width} numbers; there is none at place {place}")

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """As the environment's, with "bd" and "pose" in info."""
        super().reset(seed=seed)
        return self._seen(*self._inner.reset(seed=seed, options=options or self._options))

    def step(self, action: Any) -> tuple[np.ndarray, Any, bool, bool, dict[str, Any]]:
        """As the environment's, with "bd" and "pose" in info."""
        act = self._act
        if isinstance(act, spaces.Discrete):
            taken: Any = int(act.start) + int(action)
        else:
            taken = np.asarray(action).reshape(act.shape).astype(act.dtype)
        obs, reward, terminated, truncated, info = self._inner.step(taken)
        flat, info = self._seen(obs, info)
        return flat, reward, terminated, truncated, info

    def render(self) -> Any:
        """As the environment's."""
        return self._inner.render()

    def close(self) -> None:
        """Close the environment."""
        self._inner.close()

    def _seen(self, obs: Any, info: Mapping[str, Any]) -> tuple[np.ndarray, dict[str, Any]]:
        """The flat observation, and info with what the stages want to know."""
        mine = obs if self._key is None else dict_entry(obs, self._key, self._name)
        flat = reals(mine).reshape(-1)
        found: dict[str, Any] = dict(info)
        if self.plane is not None:
            place = [axis.read(flat, obs, info, self._name) for axis in self.plane.axes]
            found["pose"] = self.plane.pose(place)
        found["bd"] = flat[self._bd] if self._bd else found["pose"][:2].copy()
        return flat, found


def reals(values: Any, dtype: DTypeLike | None = np.float32) -> NDArray[Any]:
    """As an array of real numbers.

    Raises:
        ValueError: they are no numbers, or complex; NumPy would drop their imaginary parts.
    """
    if np.iscomplexobj(values):
        raise ValueError(COMPLEX)
    return np.asarray(values, dtype)


def driven_spaces(
    env: gymnasium.Env[Any, Any], id: str, obs_key: str | None = None
) -> tuple[spaces.Box, spaces.Box | spaces.Discrete]:
    """What is observed and done.

    Raises:
        InputError: observations are no Box and no Dict with an entry `obs_key` that is one, or
            actions are neither a Box nor Discrete.
    """
    obs, act = env.observation_space, env.action_space
    if obs_key is not None:
        obs = dict_entry(obs, obs_key, f"{id}: obs_key")
    elif isinstance(obs, spaces.Dict):
        raise InputError(
            f"{id}: observations are a Dict; choose an entry with the option obs_key: "
            f"{', '.join(obs.spaces)}"
        )
    if not isinstance(obs, spaces.Box) or not isinstance(act, spaces.Box | spaces.Discrete):
        raise InputError(
            f"{id}: observations are {type(obs).__name__}, actions {type(act).__name__}; expected "
            "Box, and Box or Discrete actions (wrap the environment)"
        )
    return obs, act


def _flat_box(space: spaces.Box) -> spaces.Box:
    low, high = (bound.reshape(-1).astype(np.float32) for bound in (space.low, space.high))
    return spaces.Box(low, high, dtype=np.float32)
