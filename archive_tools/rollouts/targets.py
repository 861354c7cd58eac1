"""From words to a place: where the drives ended that did what an instruction says.

"Stop left of the bed" names no coordinates, but an archive shows where drives ended that stopped
there. Every drive gets a weight by how well it fits: its end, the places on its way, and what the
instruction forbids; the target is where one of the fittest ended, the one that lies in the middle
of them (a weighted medoid), so it is a place that a robot can reach.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from archive_tools.annotations import Annotation, similarity
from archive_tools.language import Instruction, Place, contradictions
from envs.geometry import COMPASS
from envs.scene import Box, Scene

Doubles = NDArray[np.float64]
FITTEST = 200
"""Drives that are compared in the end."""
MISSED, BROKEN = 0.3, 0.2
"""What a place that is not met, and a broken ban, leave of a drive's weight."""
ORDER = 4.0
"""How much the likeness of the whole way counts, in nats."""
NEAR = 24.0
"""Within so many units of its box a drive is at an object."""
REACH = {"over": 15.0, "at": 15.0, "side": 30.0, "loose": 40.0}
"""Units beyond which a drive's end no longer is at an object, by how that is told."""
FAR = 120.0
"""Distances between ends count up to so many units."""


@dataclass(frozen=True)
class Ends:
    """Drives, as far as they tell where instructions end: N rows."""

    bd: NDArray[np.float32]
    """[N, n_bd]."""
    last: Doubles
    """[N, 2] final position, scene units."""
    tile: NDArray[np.str_]
    """[N] the tile there."""
    visited: Sequence[Sequence[str]]
    """[N] routes."""
    over: Sequence[Sequence[str]]
    """[N] objects that were driven over."""

    @staticmethod
    def of(annotations: Iterable[Annotation], bd: NDArray[np.float32]) -> "Ends":
        """Of drives' annotations and BDs [N, n_bd]."""
        last, visited, over = [], [], []
        for annotation in annotations:
            last.append(annotation.events[-1])
            visited.append(annotation.visited)
            over.append(sorted(contradictions.presence(annotation).on))
        return Ends(
            bd,
            np.array([event.position for event in last], np.float64).reshape(-1, 2),
            np.array([event.tile for event in last], np.str_),
            visited,
            over,
        )


class Targets:
    """Finds BDs for instructions among N drives."""

    def __init__(self, scene: Scene, ends: Ends) -> None:
        self.scene, self.ends = scene, ends
        names = [*scene.object_names, *scene.tile_names]
        self.met = {name: np.array([name in way for way in ends.visited], bool) for name in names}
        self.over = {name: np.array([name in on for on in ends.over], bool) for name in names}

    def find(self, instruction: Instruction) -> NDArray[np.float32] | None:
        """The BD [n_bd] that an instruction asks for; None where it names no end."""
        goal = instruction.destination
        if goal is None or not len(self.ends.bd):
            return None
        weight = self._fits(goal)
        for place in instruction.ends:
            if place is not goal:
                weight = weight * self._fits(place)
        for place in instruction.way:
            weight = weight * np.where(self._any(self.met, place), 1.0, MISSED)
        for ban in contradictions.enforced(instruction):
            table = self.over if ban.touch and ban.kind == "object" else self.met
            weight = weight * np.where(self._any(table, ban), BROKEN, 1.0)
        if weight.max() <= 0:
            return None
        best = np.argsort(-weight, kind="stable")[:FITTEST]
        weight = weight[best]
        way = [place.names[0] for place in instruction.way if place.names]
        if way:
            routes: list[similarity.Route] = [self.ends.visited[int(k)] for k in best]
            told: list[similarity.Route] = [way] * len(best)
            alike = similarity.lcs_ratio(told, routes)
            weight = weight * np.exp(ORDER * (alike - alike.max()))
        points = self.ends.bd[best]
        apart = np.linalg.norm(points[:, None] - points[None], axis=2)
        return points[int((np.minimum(apart, FAR) @ weight).argmin())]

    def _any(self, table: dict[str, NDArray[np.bool_]], place: Place) -> NDArray[np.bool_]:
        """[N] whether any of the things that the words may mean is in the table."""
        known = [table[name] for name in place.names if name in table]
        return np.any(known, axis=0) if known else np.zeros(len(self.ends.bd), bool)

    def _fits(self, place: Place) -> Doubles:
        """How well drives end at a place [N], 0 to 1."""
        boxes = contradictions.boxes_of(place, self.scene)
        if not boxes:
            return np.ones(len(self.ends.bd))
        return np.max([self._fits_box(place, box) for box in boxes], axis=0)

    def _fits_box(self, place: Place, box: Box) -> Doubles:
        x0, y0, x1, y1 = box
        x, y = self.ends.last.T
        if place.kind == "object":
            dx = np.maximum(np.maximum(x0 - x, x - x1), 0)
            dy = np.maximum(np.maximum(y0 - y, y - y1), 0)
            told = "side" if place.side else "at"
            told = "over" if place.touch else "loose" if place.loose else told
            beyond = np.hypot(dx, dy) - (0.0 if place.touch else NEAR)
            fit = np.exp(-np.maximum(beyond, 0) / REACH[told])
        else:
            fit = np.where(np.isin(self.ends.tile, place.names), 1.0, 0.02)
        # In halves of the box from its middle.
        across, up = (x - (x0 + x1) / 2) / (x1 - x0), (y - (y0 + y1) / 2) / (y1 - y0)
        out = np.hypot(across, up)
        if place.side:
            angle = COMPASS.index(place.side) * np.pi / 4
            towards = (across * np.sin(angle) + up * np.cos(angle)) / np.maximum(out, 1e-9)
            on_side = np.clip((towards + 0.2) / 1.1, 0.02, 1) ** 2
            fit = fit * np.where(out < 0.1, 0.3, on_side)
        elif place.kind != "object" and place.firm:  # "in the middle of the room", "right in it"
            fit = fit * np.exp(-2 * out**2)
        return fit
