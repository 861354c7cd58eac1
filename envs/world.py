"""A world: the walls, the robot and its lasers, the goal and the scene.

`envs.worldfile` reads and writes the files; here is what a world is and what follows from it.
"""

import hashlib
import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal

import numpy as np
from scipy import ndimage

from envs.errors import InputError, require_memory
from envs.geometry import world_to_pixel
from envs.scene import Scene

MAX_WHEEL = 4.0
"""A wheel turns at most this many world units in a step, either way."""


@dataclass(frozen=True)
class Robot:
    """Where the robot starts, and its size. World units (y down), radians."""

    x: float
    y: float
    theta: float
    """Heading; positive turns to the robot's right. Kept to float32, as the simulator does."""
    radius: float


@dataclass(frozen=True)
class Goal:
    """A disc that rewards; world units (y down)."""

    x: float
    y: float
    radius: float


@dataclass(frozen=True)
class Sensor:
    """What one number of an observation reads."""

    name: str
    kind: Literal["laser", "bumper"]
    low: float
    """Smallest reading."""
    high: float
    """Largest reading; controllers see readings divided by it."""


@dataclass(frozen=True, eq=False)
class World:
    """A square floor with walls, a robot on it, and what can be said about it.

    Raises:
        InputError: a value makes no sense; the message names the field.
    """

    name: str
    size: float
    """World units per side."""
    occupied: np.ndarray
    """bool [H, W], row 0 at the top. The last 8 pixels of the last row are always free: the
    simulator's map format leaves them unread."""
    robot: Robot
    laser_angles: np.ndarray
    """float32 [L], radians from the heading, clockwise seen from above."""
    laser_ranges: np.ndarray
    """float32 [L], world units."""
    goal: Goal | None = None
    scene: Scene | None = None
    steps: int = 400
    """Steps until a drive is truncated."""

    def __post_init__(self) -> None:
        occupied = np.array(self.occupied, dtype=bool)
        if occupied.ndim != 2 or occupied.shape[0] != occupied.shape[1]:
            shape = " x ".join(str(length) for length in occupied.shape[::-1])
            raise InputError(f"the map has {shape} pixels; expected a square one")
        if occupied.shape[1] % 8 or occupied.size == 0:
            raise InputError(
                f"the map is {occupied.shape[1]} pixels wide; expected a multiple of 8 "
                "(widen it with walls)"
            )
        occupied[-1, -8:] = False
        if not (np.isfinite(self.size) and self.size > 0):
            raise InputError(f"size is {self.size}; expected world units above 0")
        angles = np.array(self.laser_angles, dtype=np.float32).reshape(-1)
        ranges = np.array(self.laser_ranges, dtype=np.float32).reshape(-1)
        for field, value in (("occupied", occupied), ("laser_angles", angles),
                             ("laser_ranges", ranges)):  # fmt: skip
            value.flags.writeable = False
            object.__setattr__(self, field, value)
        self._check_lasers()
        self._check_robot()
        if self.goal is not None:
            goal = self.goal
            if not np.isfinite([goal.x, goal.y]).all() or not 0 < goal.radius < np.inf:
                raise InputError(f"goal: radius is {goal.radius:g}; expected units above 0")
        if isinstance(self.steps, bool) or not isinstance(self.steps, int) or self.steps < 1:
            raise InputError(f"steps is {self.steps!r}; expected a whole number above 0")

    def _check_lasers(self) -> None:
        if len(self.laser_angles) != len(self.laser_ranges):
            raise InputError(
                f"{len(self.laser_angles)} laser angles but {len(self.laser_ranges)} ranges"
            )
        limit = 100 * self.size
        for index, (angle, reach) in enumerate(
            zip(self.laser_angles, self.laser_ranges, strict=True), start=1
        ):
            if not abs(angle) <= 2 * np.pi + 1e-6:
                raise InputError(
                    f"laser {index}: angle is {np.degrees(angle):g}; "
                    "expected degrees from -360 to 360"
                )
            if not 0 < reach <= limit:
                raise InputError(
                    f"laser {index}: range is {reach:g}; expected world units above 0 "
                    f"and at most {limit:g}"
                )

    def _check_robot(self) -> None:
        robot = self.robot
        if not np.isfinite([robot.x, robot.y, robot.theta]).all():
            raise InputError(f"robot: x, y, theta are {robot.x}, {robot.y}, {robot.theta}")
        object.__setattr__(
            self, "robot", Robot(robot.x, robot.y, float(np.float32(robot.theta)), robot.radius)
        )
        # Below a thousandth of a unit a heading would wind up faster than float32 can unwind it.
        if not 1e-3 <= robot.radius < self.size / 2:
            raise InputError(
                f"robot: radius is {robot.radius:g}; expected world units from 0.001 "
                f"to below half the world's size ({self.size / 2:g})"
            )
        problem = self.start_problem(robot.x, robot.y)
        if problem is not None:
            raise InputError(f"robot: the start ({robot.x:g}, {robot.y:g}) {problem}")

    @cached_property
    def sensors(self) -> tuple[Sensor, ...]:
        """What the numbers of an observation read, in their order.

        The one place that says so; every array of observations, space and controller follows it.
        A sensor is added by a line here and its reading in `envs.kernel.advance`.
        """
        lasers = (
            Sensor(f"laser_{index}", "laser", 0.0, float(reach))  # world units
            for index, reach in enumerate(self.laser_ranges, start=1)
        )
        return (
            *lasers,
            Sensor("left_bumper", "bumper", 0.0, 1.0),  # 1 only in the step of a collision
            Sensor("right_bumper", "bumper", 0.0, 1.0),
        )

    @property
    def obs_names(self) -> tuple[str, ...]:
        """Names of the numbers of an observation, in their order."""
        return tuple(sensor.name for sensor in self.sensors)

    @property
    def n_obs(self) -> int:
        """Numbers in an observation."""
        return len(self.sensors)

    def obs_columns(self, kind: str) -> list[int]:
        """Places of all sensors of a kind ("laser", "bumper") in an observation."""
        return [column for column, sensor in enumerate(self.sensors) if sensor.kind == kind]

    @property
    def width(self) -> int:
        """Pixels per side of the map."""
        return self.occupied.shape[1]

    @property
    def scale(self) -> float:
        """Pixels per world unit, the float32 value that the simulator uses."""
        return float(np.float32(self.width) / np.float32(self.size))

    @property
    def radius_pixels(self) -> int:
        """Radius of the robot's disc in pixels."""
        return int(world_to_pixel([self.robot.radius, 0], self.scale)[0])

    @property
    def diagonal(self) -> float:
        """Length of the floor's diagonal, world units."""
        return float(self.size * np.sqrt(2))

    @cached_property
    def blocked(self) -> np.ndarray:
        """bool [H, W]: a robot whose centre is on this pixel touches a wall."""
        blocked = self._blocked(0)
        blocked.flags.writeable = False
        return blocked

    def _blocked(self, margin: int) -> np.ndarray:
        """`blocked` with so many pixels more on each side: bool [H + 2 margin, W + 2 margin].

        Around the map bodies feel what libfastsim reads there: above and below it nothing, beside
        it the pixels of the neighbouring rows, as its map is one flat array.
        """
        around = range(-margin, self.width + margin)
        return self._touching(around, around)

    def _touching(self, rows: range, columns: range) -> np.ndarray:
        """`_blocked` of some rows and columns of pixels: bool [rows, columns]."""
        cut = self.radius_pixels
        shape = len(rows) + 2 * cut, len(columns) + 2 * cut
        require_memory(80.0 * shape[0] * shape[1], f"a map of {self.width} x {self.width} pixels")
        row = np.arange(rows.start - cut, rows.stop + cut)
        column = np.arange(columns.start - cut, columns.stop + cut)
        flat = row[:, None] * self.width + column
        inside = (flat >= 0) & (flat < self.occupied.size)
        felt = np.where(inside, self.occupied.reshape(-1)[np.where(inside, flat, 0)], False)
        if not felt.any():
            return np.zeros((len(rows), len(columns)), dtype=bool)
        # Exact squared distance to the nearest occupied pixel.
        nearest = ndimage.distance_transform_edt(~felt, return_distances=False, return_indices=True)
        assert isinstance(nearest, np.ndarray)
        offset = nearest.astype(np.int64) - np.indices(felt.shape)
        touching = (offset**2).sum(axis=0) <= self.radius_pixels**2
        return touching[cut : shape[0] - cut, cut : shape[1] - cut].copy()

    @cached_property
    def clearance(self) -> np.ndarray:
        """int32 [H, W]: chessboard distance in pixels to the nearest occupied pixel or edge."""
        padded = np.pad(self.occupied, 1, constant_values=True)
        distance = ndimage.distance_transform_cdt(~padded, metric="chessboard")
        assert isinstance(distance, np.ndarray)
        clearance = np.ascontiguousarray(distance[1:-1, 1:-1], dtype=np.int32)
        clearance.flags.writeable = False
        return clearance

    def start_problem(self, x: float, y: float) -> str | None:
        """Why a robot cannot start at (x, y) in world units; None when it can.

        A start that merely brushes a wall is allowed, as in libfastsim: the robot can leave it.
        """
        column, row = world_to_pixel([x, y], self.scale)
        if not (0 <= column < self.width and 0 <= row < self.width):
            return f"lies outside the world of {self.size:g} x {self.size:g} units"
        if self.occupied[row, column]:
            return "lies inside a wall; move it to free floor"
        reach = int(np.ceil(MAX_WHEEL * self.scale)) + 1
        window = self._touching(
            *(range(max(at - reach, 0), min(at + reach + 1, self.width)) for at in (row, column))
        )
        if window.all():
            return (
                f"leaves no room for a robot of radius {self.robot.radius:g}; move it to free floor"
            )
        return None

    def reachable(self) -> np.ndarray:
        """Pixels that the robot's centre can reach from its start.

        Returns:
            bool [H, W]: pixels where the robot's disc touches no wall, joined to the start by such
            pixels (8-connected, as one step can cross a corner), be it along the outside of a map
            without outer walls.
        """
        rim = self.radius_pixels + 1
        free = ~self._blocked(rim)
        column, row = world_to_pixel([self.robot.x, self.robot.y], self.scale) + rim
        start = np.zeros_like(free)
        if free[row, column]:
            start[row, column] = True
        else:
            # A start that brushes a wall: whatever one step can bring it to.
            reach = int(np.ceil(MAX_WHEEL * self.scale)) + 1
            start[max(row - reach, 0) : row + reach + 1,
                  max(column - reach, 0) : column + reach + 1] = True  # fmt: skip
            start &= free
        joined = ndimage.binary_propagation(start, structure=np.ones((3, 3)), mask=free)
        return np.asarray(joined)[rim:-rim, rim:-rim].copy()

    def digest(self) -> str:
        """SHA-256 (hexadecimal) of all that the world is, pictures included, paths excluded.

        What people call rooms and things besides (rooms, aliases) is left out: it changes neither
        simulation nor annotation. Compare `scene` to compare it.
        """
        facts = {
            "name": self.name,
            "size": float(self.size),
            "robot": [self.robot.x, self.robot.y, self.robot.theta, self.robot.radius],
            "lasers": [self.laser_angles.tolist(), self.laser_ranges.tolist()],
            "goal": None if self.goal is None else [self.goal.x, self.goal.y, self.goal.radius],
            "steps": self.steps,
            "shape": self.occupied.shape,
            "scene": None,
        }
        if self.scene is not None:
            tiles = self.scene.tiles
            facts["scene"] = {
                "objects": [
                    [item.name, np.round(item.box, 6).tolist(), _file_digest(item.picture)]
                    for item in self.scene.objects
                ],
                "tiles": tiles and [tiles.names, np.round(tiles.bounds, 6).tolist()],
            }
        digest = hashlib.sha256(json.dumps(facts, sort_keys=True).encode())
        digest.update(np.packbits(self.occupied).tobytes())
        return digest.hexdigest()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, World) and self.digest() == other.digest()

    def __hash__(self) -> int:
        return hash(self.digest())


def _file_digest(path: Path | None) -> str | None:
    return None if path is None else hashlib.sha256(path.read_bytes()).hexdigest()
