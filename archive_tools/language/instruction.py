"""What a reader has understood of a text: an `Instruction`."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal

Role = Literal["start", "pass", "side", "avoid", "return", "end"]
"""start: where the drive begins. pass: to be met, on whatever side. side: tells where something
else is or happens ("the chair in the dining room", "with the statue on your left", "by the door to
the blue room"). avoid: not to be met, or not to be touched. return: to be met once more. end: where
the drive ends."""

Lead = Literal["to", "by", "from", ""]
"""to: a verb or preposition of arriving leads to it ("reach", "into", "meet me at"). by: it is on
the way ("past", "via", "on your way"). from: it is left ("coming from", "out of"). Empty: none."""


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
    lead: Lead = ""
    """What the words before it make of it, whatever its role: `destination` and `way` need it."""


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
    def destination(self) -> Place | None:
        """Where a command ends: the stated end, else the place that it most plausibly ends at.

        That is the last place that the words lead to, not past ("to the piano by the hall"); else
        the last that they do not lead past; else the last to be met. None where none is wanted.
        """
        stated = [p for p in self.ends if p.role == "end" and not (p.loose and p.lead == "by")]
        if stated:
            things = [p for p in stated if p.kind == "object"]
            return (things if set(stated[-1].names) <= _floors(things) else stated)[-1]
        met = [p for p in self.route if p.role != "start"]
        located = _floors(met)
        for lead in ("to", ""):
            found = [p for p in met if p.lead == lead and not set(p.names) <= located]
            if found:
                return max(found, key=lambda p: (not _precedes(p, found), p.start))
            named = [p for p in self.places if not p.must and p.role == "side" and p.lead == "to"]
            if named and lead == "to" and all(p.lead in ("by", "from") for p in met):
                return named[-1]  # "The cat is at the plant. Sneak up on it through the hall."
        return (met or self.route or (None,))[-1]

    @cached_property
    def way(self) -> tuple[Place, ...]:
        """The places to be met before `destination`, in the stated order where there is one.

        Of the others those that directly follow the destination come last ("to the sofa through the
        hall"), those told elsewhere before them, in the order of the words.
        """
        goal = self.destination
        if goal is None:
            return ()
        unstated = [p for p in self.ends if p.loose and p.lead == "by"]
        met = [p for p in self.route if not p.at_end or p in unstated]
        banned = {p.names for p in self.bans if not p.touch}
        floors = _floors([*met, goal])
        met = [
            p
            for p in met
            if p.names not in (*banned, goal.names)
            and not (p.role == "side" and set(p.names) <= floors)
        ]
        attached = _attached(goal, self.places)
        met.sort(key=lambda p: (p.rank is None, p.rank or 0, p in attached, p.start))
        return tuple(p for k, p in enumerate(met) if not k or p.names != met[k - 1].names)

    @cached_property
    def detour(self) -> Literal["long", "short", ""]:
        """Which way is asked for: "the long way round", "the scenic route"; "straight to"."""
        wishes: set[Literal["long", "short"]] = set()
        for match in _DETOUR.finditer(self.masked):
            long = match["long"] is not None
            if match["no"] is None:
                wishes.add("long" if long else "short")
            elif not match["straight"]:  # "not straight to the bed" asks for no long way
                wishes.add("short" if long else "long")
        return wishes.pop() if len(wishes) == 1 else ""

    @cached_property
    def plan(self) -> str:
        """The same in few words that are always the same: what a policy is told.

        "via table, over bed, statue south; pass fan; end piano east; avoid green; long way": to be
        met in this order; to be met at any time; the end; what is forbidden; the wish for a detour.
        Empty where nothing was understood.
        """
        goal, parts = self.destination, []
        for word, places in (
            ("via", [p for p in self.way if p.rank is not None]),
            ("pass", [p for p in self.way if p.rank is None]),
            ("end", _ends(self.ends, goal)),
            ("avoid", self.bans),
        ):
            steps = dict.fromkeys(filter(None, map(_planned, places)))
            if word == "end" and self.has_target:
                steps = {"<DESCRIPTOR>": None, **steps}
            if steps:
                parts.append(f"{word} {', '.join(steps)}" if word != "via" else _in_order(places))
        return "; ".join(parts + ([f"{self.detour} way"] if self.detour else []))

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


_DETOUR = re.compile(
    r"(?P<no>(?:\b(?:no|not|dont|without|never|avoid)|n't)(?: [a-z]+){0,3} )?\b(?:(?P<long>"
    r"long(?:er|est)? (?:way|route)|scenic|round-?about (?:way|route)|detours?|indirect|circuitous)"
    r"|short(?:er|est)? (?:way|route|path)|short-?cut|direct(?:ly)? (?:way|route|path|to|into)"
    r"|(?:quick|fast)(?:er|est)? (?:way|route|path)|bee-?line"
    r"|(?P<straight>straight (?:on )?(?:to|for|into|there)))\b"
)


def _precedes(place: Place, others: Sequence[Place]) -> bool:
    return any(comes_before(place, other) for other in others)


def _floors(places: Sequence[Place]) -> set[str]:
    """The tiles on which the text says that things are met."""
    return {name for place in places for name in place.floor}


def _attached(goal: Place, places: Sequence[Place]) -> list[Place]:
    """The places on the way that are named directly behind the destination."""
    found = []
    for place in places:
        if place.start > goal.start and place.role != "avoid":
            if place.lead not in ("by", "from"):
                break
            found.append(place)
    return found


def comes_before(first: Place, second: Place) -> bool:
    """Whether the text says that `first` is met before `second`."""
    if first.rank is None or second.rank is None or first.rank >= second.rank:
        return False
    return first.chain == second.chain or second.at_end or first.start > second.start


def _ends(stated: Sequence[Place], goal: Place | None) -> list[Place]:
    """What tells where a command ends: at most two places, the destination among them."""
    if goal is None:
        return []
    others = [p for p in stated if p.names != goal.names and not (p.loose and p.lead == "by")]
    return [*others[:1], goal] if goal.at_end else [goal]


def _planned(place: Place) -> str:
    """A place in a plan."""
    words = ["near"] if place.at_end and place.loose and not place.pronoun else []
    words += ["over"] if place.touch and place.kind == "object" else []
    words.append(_named(place))
    words += ["again"] if place.role == "return" else []
    return " ".join(words + ([place.side] if place.side else []))


def _in_order(places: Sequence[Place]) -> str:
    return "via " + ", ".join(map(_planned, places))


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
