"""What a reader has understood of a text: an `Instruction`."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal

Role = Literal["start", "pass", "side", "avoid", "return", "end"]
"""start: where the drive begins. pass: to be met, on whatever side. side: tells where something
else is or happens ("the chair in the dining room", "with the statue on your left", "by the door to
the blue room"). avoid: not to be met, or not to be touched. return: to be met once more. end: where
the drive ends."""


@dataclass(frozen=True, slots=True)
class Place:
    """One place that a text names, or refers to by a pronoun."""

    names: tuple[str, ...]
    """Objects or tiles of the scene that the words may mean; meeting any of them will do."""
    kind: Literal["object", "tile", "room"]
    start: int
    end: int
    """The words are `text[start:end]`."""
    words: str
    role: Role = "pass"
    side: str | None = None
    """Compass word: on that side of it, or in that part of it, where the text says so."""
    touch: bool = False
    """The text speaks of driving over it; for "avoid": only that is forbidden, not to be near."""
    rank: int | None = None
    """Its time in the stated order: a lower rank comes before a higher one, equal ranks come in any
    order, None says nothing of when."""
    chain: int = 0
    """Sentences that follow each other by "then", "after that" and the like are one chain. Between
    chains nothing is said of when, but for ends and for what is said to come before."""
    floor: tuple[str, ...] = ()
    """For an object, the tiles that the text says it is met on."""
    must: bool = True
    """It has to be met; false for a side that one need not come to ("short of the bed")."""
    at_end: bool = False
    """It tells where the drive ends: every end, and sides of it ("stop in the hall, left of the
    statue")."""
    pronoun: bool = False
    """As an end it is a guess: a pronoun refers to it ("stop on its left"), or it is the last place
    that is gone to."""
    firm: bool = False
    """As an end with a side: not only "left of it", but "on the left side of it", "just left"."""
    loose: bool = False
    """An end that the text only places near it: at its door, short of it, or not stated at all."""


@dataclass(frozen=True)
class Instruction:
    """A text, understood: the places with their roles, their order, and what was not understood."""

    places: tuple[Place, ...] = ()
    """In the order of the words."""
    unknown: tuple[str, ...] = ()
    """Names of things and rooms that the text wants met and the scene does not have."""
    has_target: bool = False
    """`<DESCRIPTOR>` stands in it."""
    masked: str = field(default="", repr=False)
    """The text in lower case with the names of places blotted out by `#`."""

    @cached_property
    def route(self) -> tuple[Place, ...]:
        """Places to be met, the end included: by rank, those without one after those with."""
        met = [p for p in self.places if p.role != "avoid" and p.must]
        return tuple(sorted(met, key=lambda p: (p.rank is None, p.rank or 0, p.start)))

    @cached_property
    def ends(self) -> tuple[Place, ...]:
        """What tells where the drive is to end; all of them hold."""
        return tuple(p for p in self.places if p.at_end)

    @cached_property
    def bans(self) -> tuple[Place, ...]:
        """What is not to be met or touched."""
        return tuple(p for p in self.places if p.role == "avoid")

    @cached_property
    def order(self) -> frozenset[tuple[int, int]]:
        """Pairs (a, b) of indices into `places`: a is met before b, as far as the text says so."""
        return frozenset(
            (a, b)
            for a, first in enumerate(self.places)
            for b, second in enumerate(self.places)
            if comes_before(first, second)
        )

    def without_avoid(self) -> tuple[Place, ...]:
        """Places that the text does not forbid."""
        return tuple(p for p in self.places if p.role != "avoid")

    @property
    def summary(self) -> dict[str, tuple[str, ...]]:
        """What was understood, for people: end, must, avoid, order, not understood → names."""
        groups: dict[int, list[str]] = {}
        for place in self.route:
            if place.rank is not None:
                groups.setdefault(place.rank, []).append(_named(place))
        steps = [" and ".join(dict.fromkeys(groups[rank])) for rank in sorted(groups)]
        return {
            "end": _listed(self.ends),
            "must": _listed([p for p in self.route if not p.at_end]),
            "avoid": _listed(self.bans),
            "order": tuple(steps) if len(steps) > 1 else (),
            "not understood": self.unknown,
        }

    def __str__(self) -> str:
        """The summary, one line each."""
        return "\n".join(
            f"{head}: {(', then ' if head == 'order' else ', ').join(names)}"
            for head, names in self.summary.items()
            if names
        )


def comes_before(first: Place, second: Place) -> bool:
    """Whether the text says that `first` is met before `second`."""
    if first.rank is None or second.rank is None or first.rank >= second.rank:
        return False
    return first.chain == second.chain or second.at_end or first.start > second.start


def _named(place: Place) -> str:
    return " or ".join(place.names)


def describe_place(place: Place) -> str:
    """A place with its side, as people read it: "statue (west side)"."""
    notes = []
    if place.side:
        notes.append(f"{place.side} side")
    if place.role == "avoid" and place.touch:
        notes.append("not to be driven over")
    if place.role == "return":
        notes.append("again")
    if place.loose and place.at_end:
        notes.append("or near it")
    return _named(place) + (f" ({', '.join(notes)})" if notes else "")


def _listed(places: Sequence[Place]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(describe_place(place) for place in places))
