"""The path of a trajectory, made fit to be followed.

An elite wanders: it stands, turns on the spot, slides along walls and runs in small circles, and
none of that is told in a sentence. Its path is the line it drew, in points a full step apart (more
or less, where it was cut or pushed), without the standing, without circles too small to go round
anything, and off the walls where there is space.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

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
    walls = Walls(world)
    radius = world.robot.radius
    every = [walls.push(line(xy.astype(np.float64), radius), radius) for xy in pose[..., :2]]
    return Paths.of(every)


def line(xy: Doubles, radius: float) -> Doubles:
    """The points [M, 2] of a path along places [T + 1, 2], small circles left out."""
    step = np.linalg.norm(np.diff(xy, axis=0), axis=1)
    moved = np.concatenate([[True], step > 1e-6])
    run = np.concatenate([[0.0], np.cumsum(step[moved[1:]])])
    if run[-1] < MAX_WHEEL:
        return np.stack([xy[0], xy[-1]])
    marks = np.append(np.arange(0, run[-1], MAX_WHEEL), run[-1])
    points = np.stack([np.interp(marks, run, xy[moved, axis]) for axis in (0, 1)], axis=1)
    chosen, at = [], 0
    # A straight path, too, keeps near its own last points.
    shortest = int(np.ceil(MEET * radius / MAX_WHEEL)) + 1
    longest = max(int(CIRCLE * radius / MAX_WHEEL), shortest + 1)
    while at < len(points):
        chosen.append(at)
        later = points[at + shortest : at + longest]
        closed = np.flatnonzero(np.linalg.norm(later - points[at], axis=1) < MEET * radius)
        at += shortest + int(closed[-1]) if len(closed) else 1
    return points[chosen]


class Walls:
    """How far walls are, and which direction leads off them."""

    def __init__(self, world: World) -> None:
        self.scale = world.scale
        self.free = not world.occupied.any()
        if not self.free:
            self.distance = np.asarray(distance_transform_edt(~world.occupied)) / self.scale
            rise = np.gradient(self.distance, 1 / self.scale)
            self.off = (rise[1], rise[0])

    def push(self, path: Doubles, radius: float) -> Doubles:
        """The path [M, 2] pushed off the walls and smoothed, its two ends where they were."""
        if self.free or len(path) < 4:
            return path
        ends = path[[0, -1]]
        for _ in range(PUSHES):
            at = (path * self.scale - 0.5).T[::-1]
            far, *off = (
                map_coordinates(f, at, order=1, mode="nearest") for f in (self.distance, *self.off)
            )
            towards = np.stack(off, axis=1)
            towards /= np.maximum(np.linalg.norm(towards, axis=1, keepdims=True), 1e-3)
            path = path + towards * np.clip(CLEARANCE * radius - far, 0, 2)[:, None]
            path = gaussian_filter1d(path, 1.0, axis=0, mode="nearest")
            path[[0, -1]] = ends
        return path
