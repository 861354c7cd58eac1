"""The path of a trajectory, made fit to be followed.

An elite wanders: it stands, turns on the spot, slides along walls and runs in small circles, and
none of that is told in a sentence. Its path is the line it drew, in points a full step apart (more
or less, where it was cut or pushed), without the standing, without circles too small to go round
anything, and off the walls where there is space.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numba
import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt, gaussian_filter1d, map_coordinates

from envs.world import MAX_WHEEL, World

Doubles = NDArray[np.float64]
CIRCLE = 12.0
"""Longest circle that is cut out, in radii of the robot."""
MEET = 0.8
"""How near a path comes to itself where a circle closes, in radii."""
CLEARANCE = 1.6
"""Distance that a path keeps from walls where it can, in radii."""
PUSHES = 10
"""Rounds of pushing off the walls, by two units at most each."""
SMOOTHED = 4
"""Points to either side over which a path is smoothed after each: four sigma."""
BLOCK = 512
"""Paths that are pushed at once: what is done to all of their points takes few calls."""


@dataclass(frozen=True)
class Paths:
    """N paths of up to M points."""

    points: Doubles
    """[N, M, 2] in world units, about MAX_WHEEL apart; a path's last point is repeated."""
    last: NDArray[np.int64]
    """[N] number of a path's last point."""

    @staticmethod
    def of(lines: Sequence[Doubles]) -> Paths:
        """Paths of N lines [M, 2] of different lengths."""
        last = np.array([len(points) - 1 for points in lines], np.int64)
        points = np.zeros((len(lines), int(last.max(initial=0)) + 1, 2))
        for row, path in enumerate(lines):
            points[row, : len(path)] = path
            points[row, len(path) :] = path[-1]
        return Paths(points, last)


def paths_of(world: World, pose: NDArray[np.floating]) -> Paths:
    """The paths of poses [N, T + 1, 3]. They begin and end where the trajectories do."""
    radius = world.robot.radius
    lines = [line(xy.astype(np.float64), radius) for xy in pose[..., :2]]
    return Paths.of(Walls(world).push(lines, radius))


def line(xy: Doubles, radius: float) -> Doubles:
    """The points [M, 2] of a path along places [T + 1, 2], small circles left out."""
    step = np.linalg.norm(np.diff(xy, axis=0), axis=1)
    moved = np.concatenate([[True], step > 1e-6])
    run = np.concatenate([[0.0], np.cumsum(step[moved[1:]])])
    if run[-1] < MAX_WHEEL:
        return np.stack([xy[0], xy[-1]])
    marks = np.append(np.arange(0, run[-1], MAX_WHEEL), run[-1])
    points = np.stack([np.interp(marks, run, xy[moved, axis]) for axis in (0, 1)], axis=1)
    # A straight path, too, keeps near its own last points.
    shortest = int(np.ceil(MEET * radius / MAX_WHEEL)) + 1
    longest = max(int(CIRCLE * radius / MAX_WHEEL), shortest + 1)
    return points[_without_circles(points, shortest, longest, MEET * radius)]


@numba.njit(cache=True)
def _without_circles(
    points: Doubles, shortest: int, longest: int, meet: float
) -> NDArray[np.bool_]:  # pragma: no cover
    """Which points [M] are kept where those between a point and the last one near it go."""
    kept = np.zeros(len(points), np.bool_)
    at = 0
    while at < len(points):
        kept[at] = True
        following = at + 1
        for later in range(min(at + longest, len(points)) - 1, at + shortest - 1, -1):
            x, y = points[later, 0] - points[at, 0], points[later, 1] - points[at, 1]
            if np.sqrt(x * x + y * y) < meet:
                following = later
                break
        at = following
    return kept


class Walls:
    """How far walls are, and which direction leads off them."""

    def __init__(self, world: World) -> None:
        self.scale = world.scale
        self.free = not world.occupied.any()
        if not self.free:
            self.distance = np.asarray(distance_transform_edt(~world.occupied)) / self.scale
            rise = np.gradient(self.distance, 1 / self.scale)
            self.off = (rise[1], rise[0])

    def push(self, paths: Sequence[Doubles], radius: float) -> list[Doubles]:
        """Paths [M, 2] pushed off the walls and smoothed, their two ends where they were."""
        pushed = list(paths)
        long = [row for row, path in enumerate(paths) if len(path) >= 4 and not self.free]
        for begin in range(0, len(long), BLOCK):
            rows = long[begin : begin + BLOCK]
            for row, path in zip(rows, self._push([paths[r] for r in rows], radius), strict=True):
                pushed[row] = path
        return pushed

    def _push(self, paths: Sequence[Doubles], radius: float) -> list[Doubles]:
        """`push`, of paths of at least 4 points: they lie end to end, each with its two ends
        repeated, so that none is smoothed into its neighbours."""
        sizes = np.array([len(path) for path in paths])
        last = np.cumsum(sizes) - 1
        first = last - sizes + 1
        within = np.arange(sizes.sum()) + SMOOTHED * (
            2 * np.repeat(np.arange(len(paths)), sizes) + 1
        )
        source = np.repeat(np.concatenate([[first], [last]]).T.ravel(), SMOOTHED)
        edges = np.ones(int(within[-1]) + SMOOTHED + 1, bool)
        edges[within] = False
        points, padded = np.concatenate(paths), np.empty((len(edges), 2))
        ends = points[np.concatenate([first, last])]
        for _ in range(PUSHES):
            at = (points * self.scale - 0.5).T[::-1]
            far, *off = (
                map_coordinates(f, at, order=1, mode="nearest") for f in (self.distance, *self.off)
            )
            towards = np.stack(off, axis=1)
            towards /= np.maximum(np.linalg.norm(towards, axis=1, keepdims=True), 1e-3)
            points = points + towards * np.clip(CLEARANCE * radius - far, 0, 2)[:, None]
            padded[within], padded[edges] = points, points[source]
            points = gaussian_filter1d(padded, 1.0, axis=0, truncate=SMOOTHED)[within]
            points[np.concatenate([first, last])] = ends
        return np.split(points, last[:-1] + 1)
