"""The visits of a drive: what it met in which order, and on which sides."""

from dataclasses import dataclass, field
from typing import Literal

from archive_tools.annotations.events import Annotation


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
