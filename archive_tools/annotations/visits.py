"""What the narrator knows of a drive: its visits with their sides, and places within the scene."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Literal

from archive_tools.annotations.events import Annotation
from envs.geometry import COMPASS
from envs.scene import Scene


@dataclass
class Visit:
    """One element of the visited sequence, with what the events say about it."""

    name: str
    kind: Literal["object", "tile"]
    again: bool
    """The same place was visited before."""
    came_from: str = ""
    """For a tile: the tile before it."""
    sides: list[tuple[str, float]] = field(default_factory=list)
    """For an object: (relation, distance) while it was near, in order."""


def visits_of(annotation: Annotation) -> list[Visit]:
    """The elements of `annotation.visited`, each with the sides on which an object was passed."""
    visits: list[Visit] = []
    active: dict[str, Visit] = {}
    seen: set[str] = set()
    tile = ""
    for event in annotation.events:
        if event.tile and event.tile != tile:
            if not (visits and visits[-1].name == event.tile):
                visits.append(Visit(event.tile, "tile", event.tile in seen, came_from=tile))
            tile = event.tile
            seen.add(tile)
        for near in event.near:
            if near.object not in active:
                if not (visits and visits[-1].name == near.object):
                    visits.append(Visit(near.object, "object", near.object in seen))
                    seen.add(near.object)
                latest = [v for v in visits if v.name == near.object]
                active[near.object] = latest[-1]
            active[near.object].sides.append((near.relation, near.distance))
        active = {near.object: active[near.object] for near in event.near}
    return visits


def turn(first: str, second: str) -> int:
    """Steps of 45 degrees between two compass words."""
    apart = abs(COMPASS.index(first) - COMPASS.index(second))
    return min(apart, len(COMPASS) - apart)


def bounds(scene: Scene) -> tuple[float, float, float, float]:
    """x0, y0, x1, y1 of the tiling, or of all objects where there are no tiles."""
    if scene.tiles is not None:
        return scene.tiles.bounds
    if not scene.objects:
        return (0.0, 0.0, 1.0, 1.0)
    boxes = scene.boxes
    low, high = boxes[:, :2].min(axis=0), boxes[:, 2:].max(axis=0)
    return (float(low[0]), float(low[1]), float(high[0]), float(high[1]))


@lru_cache(maxsize=32)
def tile_centres(scene: Scene) -> Mapping[str, list[tuple[float, float]]]:
    """Tile name → centres, scene units; several where a name is used more than once."""
    centres: dict[str, list[tuple[float, float]]] = {}
    if scene.tiles is not None:
        for row, names in enumerate(scene.tiles.names):
            for column, name in enumerate(names):
                x0, y0, x1, y1 = scene.tiles.box(row, column)
                centres.setdefault(name, []).append(((x0 + x1) / 2, (y0 + y1) / 2))
    return centres


def alike(visits: Sequence[Visit]) -> bool:
    """Whether visits can share one verb: of one kind, each new, none twice."""
    return (
        len({v.kind for v in visits}) == 1
        and len({v.name for v in visits}) == len(visits)
        and not any(v.again for v in visits)
    )


def alternation(visits: Sequence[Visit], start: int) -> int:
    """How many visits from `start` on alternate between two places of one kind."""
    end = start + 2
    if end > len(visits) or visits[start].kind != visits[start + 1].kind:
        return 0
    while end < len(visits) and visits[end].name == visits[end - 2].name:
        end += 1
    return end - start


def part(scene: Scene, name: str, position: tuple[float, float]) -> str | None:
    """The third of the tile under a position: "north", "south-west", "" in the middle."""
    if scene.tiles is None:
        return None
    x, y = position
    for row, names in enumerate(scene.tiles.names):
        for column, other in enumerate(names):
            x0, y0, x1, y1 = scene.tiles.box(row, column)
            if other == name and x0 <= x < x1 and y0 < y <= y1:
                u, v = (x - x0) / (x1 - x0), (y - y0) / (y1 - y0)
                east = "west" if u < 1 / 3 else "east" if u > 2 / 3 else ""
                north = "south" if v < 1 / 3 else "north" if v > 2 / 3 else ""
                return f"{north}-{east}" if north and east else north or east
    return None
