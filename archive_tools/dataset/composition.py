"""Paths composed of the pieces of trajectories: to any place, by some places, round others.

An archive holds one way to each place, whichever an elite found. People ask for others: "to the
desk, but not through the hall". All trajectories together show where a robot can be and what leads
there: the cells that they passed, as large as the robot's radius, are the nodes of a graph, and
neighbours are linked. A path is the shortest on it (Dijkstra) that comes by what a wish names and
keeps off what it forbids; costs are varied at random, so that paths to one place differ.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numba
import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter, gaussian_filter1d

from archive_tools.annotations import NearRule, annotate
from archive_tools.dataset.paths import Doubles, Paths, Walls
from envs.scene import Scene
from envs.world import MAX_WHEEL, World

Mask = NDArray[np.bool_]
LONGEST = 0.78
"""Longest path, as a share of what a robot can drive in an episode: it has to turn, too."""
ROUGHNESS = 2.0
"""Spread of the logarithm of the costs, before they are smoothed over the neighbourhood."""
NEIGHBOURHOOD = 2.5
"""Cells over which costs are smoothed."""
HABIT = 0.5
"""Cells that trajectories pass often cost less, by this power of how often: where a wish leaves the
way open, most drives take the ways that most elites take."""
VIAS = (0, 1, 1, 2, 2, 3)
"""How many places a path is to come by: one of these, drawn."""
BANNED = 0.6
"""Share of the wishes that forbid something, where a path is left."""
TRIES = 8
"""Wishes drawn for each path that is wanted, at most."""


@dataclass(frozen=True)
class Wish:
    """What a path was composed for; names of objects and tiles."""

    via: tuple[str, ...] = ()
    """To be met, in this order."""
    avoid: tuple[str, ...] = ()
    """Not to be met."""
    untouched: tuple[str, ...] = ()
    """Objects not to be driven over."""


class Ground:
    """Where trajectories passed, as a graph.

    Args:
        world: with its scene.
        poses: of trajectories, in blocks [n, T + 1, 3].
        rule: of the annotation.
    """

    def __init__(
        self, world: World, poses: Iterable[NDArray[np.floating]], rule: NearRule = NearRule()
    ) -> None:
        radius, scene = world.robot.radius, world.scene or Scene()
        self.world, self.walls = world, Walls(world)
        self.side = int(np.ceil(world.size / radius))
        count, first = np.zeros(self.side**2, np.int64), None
        middle = np.zeros((2, self.side**2))
        for pose in poses:
            at = np.clip((pose[..., :2] / radius).astype(int), 0, self.side - 1)
            cell = (at[..., 1] * self.side + at[..., 0]).ravel()
            count += np.bincount(cell, minlength=self.side**2)
            for axis in (0, 1):
                middle[axis] += np.bincount(cell, pose[..., axis].ravel(), self.side**2)
            first = (cell[0], pose[0, 0, :2].astype(np.float64)) if first is None else first
        assert first is not None
        self.origin = first[1]
        """Where all trajectories begin, [2]."""
        self.cells = np.flatnonzero(count)
        self.points = (middle / np.maximum(count, 1)).T[self.cells]
        """[nodes, 2]: in the middle of what passed the cell, so no wall is there."""
        passed = count[self.cells] / np.median(count[self.cells])
        self.habit = np.clip(passed**-HABIT, 0.2, 5.0)
        self.start = int(np.flatnonzero(self.cells == first[0])[0])
        self._link(count > 0)
        self.tiles, self.objects = list(scene.tile_names), list(scene.object_names)
        self.near: dict[str, Mask] = {n: self._none() for n in (*self.objects, *self.tiles)}
        """Nodes at which each object or tile is met."""
        self.on: dict[str, Mask] = {name: self._none() for name in self.objects}
        """Nodes right on each object."""
        still = [np.array([[x, y, 0.0]] * 2, np.float32) for x, y in self.points]
        for k, found in enumerate(annotate(scene, still, size=world.size, rule=rule)):
            event = found.events[0]
            if event.tile:
                self.near[event.tile][k] = True
            for near in event.near:
                self.near[near.object][k] = True
                self.on[near.object][k] |= near.relation == "on"

    def _none(self) -> Mask:
        return np.zeros(len(self.points), bool)

    def _link(self, passed: Mask) -> None:
        """Links between neighbours, both ways; no corner is cut."""
        node = np.full(self.side**2, -1)
        node[self.cells] = np.arange(len(self.cells))
        row, column = np.divmod(self.cells, self.side)
        ends = []
        for down, right in ((0, 1), (1, 0), (1, 1), (1, -1)):
            r, c = row + down, column + right
            inside = (r < self.side) & (c < self.side) & (c >= 0)
            r, c = np.where(inside, r, row), np.where(inside, c, column)
            inside &= passed[r * self.side + c]
            inside &= passed[row * self.side + c] & passed[r * self.side + column]
            ends.append(np.stack([np.arange(len(row)), node[r * self.side + c]])[:, inside])
        half = np.concatenate(ends, axis=1)
        links = np.concatenate([half, half[::-1]], axis=1)
        first, self.second = links[:, np.argsort(links[0], kind="stable")]
        """Where links end, sorted by where they begin."""
        self.begins = np.searchsorted(first, np.arange(len(self.points) + 1))
        """[nodes + 1]: a node's links are those from its own number on to the next one's."""
        self.length = np.linalg.norm(self.points[first] - self.points[self.second], axis=1)

    def costs(self, rng: np.random.Generator) -> Doubles:
        """Random costs of the nodes, alike among neighbours."""
        field = gaussian_filter(rng.normal(size=(self.side, self.side)), NEIGHBOURHOOD)
        return np.exp(ROUGHNESS * field).ravel()[self.cells] * self.habit

    def shortest(self, stops: Sequence[int], cost: Doubles, allowed: Mask) -> list[int] | None:
        """Nodes of the cheapest path from stop to stop over allowed ones; None: there is none."""
        path = [stops[0]]
        for goal in stops[1:]:
            towards = _search(path[-1], goal, self.begins, self.second, self.length, cost, allowed)
            if towards[path[-1]] < 0:
                return None
            while path[-1] != goal:
                path.append(int(towards[path[-1]]))
        return path


@numba.njit(cache=True)
def _search(
    start: int,
    goal: int,
    begins: NDArray[np.int64],
    second: NDArray[np.int64],
    length: Doubles,
    cost: Doubles,
    allowed: Mask,
) -> NDArray[np.int64]:  # pragma: no cover
    """[nodes] the node that follows each on its cheapest path to `goal`, -1 for none (Dijkstra).

    It works backwards, as links go both ways at the same cost, until it has come to `start`.
    """
    towards = np.full(len(cost), -1)
    far = np.full(len(cost), np.inf)
    done = np.zeros(len(cost), np.bool_)
    if not allowed[goal]:
        if start == goal:
            towards[goal] = goal
        return towards
    far[goal], towards[goal] = 0.0, goal
    heap = [(0.0, goal)]
    while heap:
        here, node = heapq.heappop(heap)
        if done[node]:
            continue
        done[node] = True
        if node == start:
            break
        for link in range(begins[node], begins[node + 1]):
            other = second[link]
            if allowed[other] and not done[other]:
                there = here + length[link] * (cost[node] + cost[other])
                if there < far[other]:
                    far[other], towards[other] = there, node
                    heapq.heappush(heap, (there, other))
    return towards


def _wish(ground: Ground, rng: np.random.Generator) -> tuple[Wish, list[int]] | None:
    """A wish and the nodes of a path for it; None where there is no path for what was drawn."""
    cost, everywhere = ground.costs(rng), np.ones(len(ground.points), bool)
    stops, via = [ground.start], []
    for _ in range(int(rng.choice(VIAS))):
        name = _draw(ground.objects if rng.random() < 0.65 else ground.tiles, rng)
        at_start = name is not None and ground.near[name][ground.start]
        if name is None or name in via[-1:] or (at_start and rng.random() < 0.7):
            continue
        over = name in ground.on and ground.on[name].any() and rng.random() < 0.4
        nodes = np.flatnonzero(ground.on[name] if over else ground.near[name])
        if len(nodes):
            via.append(name)
            stops.append(int(rng.choice(nodes)))
    stops.append(int(rng.integers(len(ground.points))))
    path = ground.shortest(stops, cost, everywhere)
    if path is None:
        return None
    avoid: list[str] = []
    untouched: list[str] = []
    allowed = everywhere
    for _ in range(int(rng.integers(1, 3)) if rng.random() < BANNED else 0):
        free = [n for n, near in ground.near.items() if not near[stops].any() and n not in via]
        met = [n for n in free if ground.near[n][path].any()]
        name = _draw(met if met and rng.random() < 0.8 else free, rng)
        if name is None:
            continue
        only_touch = name in ground.on and rng.random() < 0.3
        fewer = allowed & ~(ground.on[name] if only_touch else ground.near[name])
        other = ground.shortest(stops, cost, fewer)
        if other is not None:
            path, allowed = other, fewer
            (untouched if only_touch else avoid).append(name)
    return Wish(tuple(via), tuple(dict.fromkeys(avoid)), tuple(dict.fromkeys(untouched))), path


def _draw(names: Sequence[str], rng: np.random.Generator) -> str | None:
    return names[int(rng.integers(len(names)))] if names else None


def compose(ground: Ground, number: int, rng: np.random.Generator) -> tuple[Paths, list[Wish]]:
    """At most `number` paths for wishes drawn at random, and the wishes.

    Args:
        ground: of the trajectories whose ways may be used.
        number: of the paths; fewer where most wishes cannot be had.
        rng: source of the wishes and costs.
    """
    world = ground.world
    longest = LONGEST * world.steps * MAX_WHEEL
    paths: list[Doubles] = []
    wishes: list[Wish] = []
    for _ in range(TRIES * number):
        if len(paths) == number:
            break
        found = _wish(ground, rng)
        if found is None:
            continue
        wish, nodes = found
        line = _line(ground.points[nodes], ground.origin)
        if 2 < len(line) <= longest / MAX_WHEEL:
            paths.append(line)
            wishes.append(wish)
    return Paths.of(ground.walls.push(paths, world.robot.radius)), wishes


def _line(points: Doubles, start: Doubles) -> Doubles:
    """Points [M, 2] a full step apart along a polygon [K, 2], its corners rounded."""
    points = np.concatenate([start[None], points[1:]])
    step = np.linalg.norm(np.diff(points, axis=0), axis=1)
    run = np.concatenate([[0.0], np.cumsum(step)])
    marks = np.append(np.arange(0, run[-1], MAX_WHEEL), run[-1])
    line = np.stack([np.interp(marks, run, points[:, axis]) for axis in (0, 1)], axis=1)
    ends = line[[0, -1]]
    line = gaussian_filter1d(line, 2.0, axis=0, mode="nearest")
    line[[0, -1]] = ends
    return line
