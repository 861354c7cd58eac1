"""Where a text contradicts a drive: a place never met, an order, an end, a side or a ban.

A text may leave things out. What it says is held against the events of the annotation: a place is
present from the event that brings it until the one that ends it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby

import numpy as np

from archive_tools.annotations import Annotation, Event
from archive_tools.language.instruction import Instruction, Place, comes_before
from archive_tools.language.reading.lexicon import lexicon
from envs.geometry import COMPASS
from envs.scene import Box, Scene

NEAR = 20.0
"""Nearer than this, in units, an annotation with the default distance lists an object."""
END_GUESSED = 220.0
"""The same where the end is a pronoun's place, which is a guess."""
END_NEAR = 60.0
"""A drive ends at an object when it ends within this distance of its box, in units: people say
"left of the table" of the whole space there."""
END_AT = 40.0
"""The same for "stop by the table", without a side."""
END_LOOSE = 100.0
"""The same where the end is only said to be near something, or not said to be the end at all."""


@dataclass
class Presence:
    """When a drive is at which object or tile."""

    spans: dict[str, list[tuple[int, int]]] = field(default_factory=dict)
    """By name the steps [begin, end) of each visit."""
    on: set[str] = field(default_factory=set)
    """Objects that are driven over."""
    floors: dict[str, set[str]] = field(default_factory=dict)
    """Per object the tiles on which the drive is while near it."""
    relations: dict[str, set[str]] = field(default_factory=dict)
    """Per object the sides on which it is passed, "on" among them."""


def presence(annotation: Annotation) -> Presence:
    """When and how a drive is where, from its events."""
    found = Presence()
    open_since: dict[str, int] = {}
    for event in annotation.events:
        now = {near.object for near in event.near} | ({event.tile} - {""})
        for name in [name for name in open_since if name not in now]:
            found.spans.setdefault(name, []).append((open_since.pop(name), event.timestep))
        for name in now:
            open_since.setdefault(name, event.timestep)
        for near in event.near:
            found.relations.setdefault(near.object, set()).add(near.relation)
            found.floors.setdefault(near.object, set()).add(event.tile)
            if near.relation == "on":
                found.on.add(near.object)
    last = annotation.events[-1].timestep + 1
    for name, since in open_since.items():
        found.spans.setdefault(name, []).append((since, last))
    return found


def met(place: Place, there: Presence) -> bool:
    """Whether a drive comes to a place at all; a room that no tile shows counts as met."""
    return not place.names or any(name in there.spans for name in place.names)


def unordered(route: Sequence[Place], there: Presence, scene: Scene) -> list[int]:
    """Places that a drive does not meet when the order of the text wants it.

    Places of one rank come in any order. Visits that overlap come in either, but a tile and a thing
    that stands elsewhere count by their arrivals. Places never met are not counted.

    Returns:
        indices into `route`, which is sorted by rank.
    """
    stands = lexicon(scene).containing
    late: list[int] = []
    chosen: list[tuple[Place, tuple[int, int]]] = []  # of the rank before
    cursor = -1
    taken: dict[str, int] = {}
    for _, group in groupby((p for p in route if p.rank is not None), key=lambda p: p.rank):
        group = list(group)
        if chosen and not any(comes_before(c, place) for c, _ in chosen for place in group):
            cursor, chosen = -1, []  # another chain of sentences
        reached, now = cursor, []
        for place in group:
            spans = sorted(s for name in place.names for s in there.spans.get(name, ()))
            if not spans:
                continue
            fitting = [
                n
                for n, span in enumerate(spans)
                if span[1] > cursor and all(_follows(place, span, *c, stands) for c in chosen)
            ]
            again = taken.get(place.names[0], -1) + 1 if place.role == "return" else 0
            fitting = [n for n in fitting if n >= again]
            if not fitting:
                late.append(route.index(place))
                continue
            taken[place.names[0]] = fitting[0]
            now.append((place, spans[fitting[0]]))
            reached = max(reached, spans[fitting[0]][0])
        cursor, chosen = reached, now or chosen
    return late


def _follows(
    place: Place,
    span: tuple[int, int],
    before: Place,
    earlier: tuple[int, int],
    stands: Mapping[str, tuple[str, ...]],
) -> bool:
    """Whether a visit of `place` in `span` may be said to come after that of `before`."""
    if (place.kind == "object") != (before.kind == "object"):
        thing, floor = (place, before) if place.kind == "object" else (before, place)
        if not any(set(stands.get(name, ())) & set(floor.names) for name in thing.names):
            return span[0] >= earlier[0]
    return span[1] > earlier[0]


def distance_to(place: Place, point: tuple[float, float], scene: Scene) -> float:
    """Distance in units from a point to the nearest box of a place; 0 inside or without a box."""
    boxes = boxes_of(place, scene)
    return min((_distance(box, point) for box in boxes), default=0.0)


def boxes_of(place: Place, scene: Scene) -> list[Box]:
    boxes = [item.box for item in scene.objects if item.name in place.names]
    if scene.tiles is not None:
        boxes += [
            scene.tiles.box(row, column)
            for row, names in enumerate(scene.tiles.names)
            for column, name in enumerate(names)
            if name in place.names
        ]
    return boxes


def _distance(box: Box, point: tuple[float, float]) -> float:
    x0, y0, x1, y1 = box
    dx = max(x0 - point[0], 0.0, point[0] - x1)
    dy = max(y0 - point[1], 0.0, point[1] - y1)
    return float(np.hypot(dx, dy))


def wrong_end(place: Place, last: Event, scene: Scene) -> bool:
    """Whether a drive whose last event is `last` does not end at `place`."""
    if not place.names or last.tile in place.names:
        return False
    if any(near.object in place.names for near in last.near):
        return False
    distance = distance_to(place, last.position, scene)
    if place.pronoun:
        return distance > END_GUESSED
    if place.kind == "object":
        # Within `NEAR` the annotation would say that it is near; beyond, "left of it" may hold.
        beside_it = END_LOOSE if place.loose else END_NEAR if place.side else END_AT
        return not NEAR <= distance <= beside_it
    return not 0 < distance <= (6.0 if not place.loose else 30.0 if place.must else 60.0)


def end_side(place: Place, last: Event, scene: Scene) -> float:
    """How far a drive's end lies on the stated side of a place: 1 right there, -1 opposite.

    The direction is that from the middle of the box, measured in halves of the box for positions
    inside; the value is the cosine between it and the side.
    """
    if place.side is None:
        return 1.0
    best = -1.0
    for box in boxes_of(place, scene):
        x0, y0, x1, y1 = box
        dx = (last.position[0] - (x0 + x1) / 2) / max(x1 - x0, 1e-9)
        dy = (last.position[1] - (y0 + y1) / 2) / max(y1 - y0, 1e-9)
        length = float(np.hypot(dx, dy))
        angle = COMPASS.index(place.side) * np.pi / 4
        if length < 0.1:
            return 0.5
        best = max(best, float((dx * np.sin(angle) + dy * np.cos(angle)) / length))
    return best


def beside(side: str, seen: set[str]) -> bool:
    """Whether one of the sides seen is that side, or within 45 degrees of it, or right on it."""
    index = COMPASS.index(side)
    near = {COMPASS[(index + turn) % len(COMPASS)] for turn in (-1, 0, 1)}
    return bool(near & seen) or "on" in seen


def broken(place: Place, there: Presence) -> bool:
    """Whether a ban is broken. An object that is not to be touched may be passed nearby."""
    if place.kind == "object" and place.touch:
        return any(name in there.on for name in place.names)
    # Where the drive starts it has to be; to come back there is what can be forbidden.
    return any(span[0] > 0 for name in place.names for span in there.spans.get(name, ()))


def enforced(instruction: Instruction) -> list[Place]:
    """The bans, without those of places that the text wants met as well: for a time, then."""
    return [
        ban
        for ban in instruction.bans
        if not any(
            set(ban.names) & set(p.names) and (p.touch or not ban.touch) for p in instruction.route
        )
    ]


def say(place: Place) -> str:
    """A place as reasons name it."""
    words = " ".join(place.words.split())
    bare = place.kind == "tile" and " " not in words
    return f"the {words} tile" if bare else f"the {words}"


def contradictions(instruction: Instruction, annotation: Annotation, scene: Scene) -> list[str]:
    """What of an instruction does not hold for a drive, one line each."""
    there = presence(annotation)
    last = annotation.events[-1]
    reasons = [f"there is no {thing} here" for thing in instruction.unknown]
    route = instruction.route
    for place in route:
        stated_end = place.at_end and not (place.pronoun or place.loose)
        if met(place, there) or stated_end:
            continue
        # "to the wall below the cabinet": a side that is the last place may be some way off.
        if (
            not place.side
            or place is not route[-1]
            or place.kind != "object"
            or not NEAR <= distance_to(place, last.position, scene) <= END_NEAR
        ):
            reasons.append(f"{say(place)} is never met")
    for place in enforced(instruction):
        if broken(place, there):
            how = "driven over" if place.touch and place.kind == "object" else "met"
            reasons.append(f"says that {say(place)} is not {how}, but it is")
    inside = [p for p in route if (p.role == "end" or not p.at_end) and met(p, there)]
    if late := unordered(inside, there, scene):
        place = inside[late[0]]
        reasons.append(
            f"wrong order: {say(place)} is not met then; "
            f"the order is {', '.join(annotation.visited)}"
        )
    for place in instruction.ends:
        if place.loose and place.must and not met(place, there):
            continue  # said already
        if wrong_end(place, last, scene):
            reasons.append(f"stops at {say(place)}, but the drive ends elsewhere")
        elif (
            place.side
            and not (place.pronoun or place.loose)
            and end_side(place, last, scene) < -0.5
        ):
            reasons.append(
                f"stops {place.side} of {say(place)}, but the drive ends on another side"
            )
    for place in route:
        under = set().union(*(there.floors.get(name, set()) for name in place.names))
        if place.floor and under and not under & set(place.floor):
            reasons.append(f"{say(place)} is not met on the {' or '.join(place.floor)} tile")
        if place.side and not place.at_end and place.kind == "object":
            seen = set().union(*(there.relations.get(name, set()) for name in place.names))
            if seen and not beside(place.side, seen):
                reasons.append(f"{say(place)} is not passed on its {place.side} side")
    return reasons
