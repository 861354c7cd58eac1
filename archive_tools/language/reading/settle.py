"""What the places of a text are to each other: second visits, the start, the room of the end."""

from collections.abc import Mapping
from dataclasses import replace

from archive_tools.language.instruction import Place


def settle(places: tuple[Place, ...], stands: Mapping[str, tuple[str, ...]]) -> tuple[Place, ...]:
    """Settle the roles that depend on the other places of the text.

    Args:
        places: in the order of the words, each with the role that the words about it give.
        stands: the tile on which each object stands.
    """
    found = list(places)
    _returns(found)
    _same_visit(found)
    _room_of_the_end(found, stands)
    return tuple(found)


def _returns(places: list[Place]) -> None:
    """A place met before, with another in between, is returned to."""
    order = sorted(
        (k for k, p in enumerate(places) if p.rank is not None and p.must),
        key=lambda k: (places[k].rank or 0, places[k].start),
    )
    seen: dict[tuple[str, ...], int] = {}
    for position, k in enumerate(order):
        place = places[k]
        before = seen.get(place.names, position)
        goes_on = places[order[before]].chain == place.chain
        if place.role in ("pass", "start") and position - before > 1 and goes_on:
            places[k] = replace(place, role="return")
        seen[place.names] = position


def _same_visit(places: list[Place]) -> None:
    """ "On to the piano. Stop on the piano.": one visit, said twice."""
    drop = set()
    for k, place in enumerate(places):
        if not place.at_end or place.role != "end" or place.pronoun:
            continue
        ranked = [
            (p.rank, j)
            for j, p in enumerate(places)
            if p.rank is not None and p.must and j != k and not p.at_end
        ]
        last = max(ranked, default=(None, -1))[1]
        for j, other in enumerate(places):
            if j == k or other.names != place.names or other.role not in ("pass", "return", "side"):
                continue
            goal = other.rank is None and other.must and not other.touch
            if other.at_end or not (goal or (j == last and not other.touch and other.side is None)):
                continue
            drop.add(j)
    places[:] = [place for k, place in enumerate(places) if k not in drop]


def _room_of_the_end(places: list[Place], stands: Mapping[str, tuple[str, ...]]) -> None:
    """ "Into the hall, and stop left of the statue": the end is the hall, at the statue's side."""
    ends = [k for k, p in enumerate(places) if p.role == "end" and not p.pronoun]
    things = [k for k, p in enumerate(places) if p.at_end and p.kind == "object" and not p.pronoun]
    rooms = [k for k in ends if places[k].kind != "object"]
    if things and not rooms:
        floors = {t for k in things for name in places[k].names for t in stands.get(name, ())}
        before = [
            k
            for k, p in enumerate(places)
            if p.must and p.role in ("pass", "return") and p.start < places[things[0]].start
        ]
        if (
            before
            and places[before[-1]].kind != "object"
            and floors & set(places[before[-1]].names)
        ):
            rooms = before[-1:]
            places[rooms[0]] = replace(
                places[rooms[0]], role="end", at_end=True, side=None, loose=True
            )
    if rooms:
        for k in things:
            if (places[k].side is not None and not places[k].firm) or places[k].loose:
                places[k] = replace(places[k], role="side", must=False)
