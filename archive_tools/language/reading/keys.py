"""Places of a text with keys that tell when they are met."""

import re
from itertools import pairwise

from archive_tools.language.reading.findings import Roles
from archive_tools.language.reading.simplify import P, Simple

_SENTENCE = re.compile(r"[.;!?](?: |$)")
BY = r"past|over|via|by|through|round|along|with|above|below|after|from|across"
SEQUEL = re.compile(
    r"^(?:and |so |from )?(?:then|next|after (?:that|this|which)|there|it then|you then|having"
    r"|once|in |on |back|second|that do)\b"
)


class Keys:
    """Places of a line with their keys."""

    def __init__(self, simple: Simple, roles: Roles) -> None:
        count = len(simple.places)
        self.where = [0] * count
        self.key: list[float | None] = [None] * count
        self.goals: list[int] = []
        """Places that a clause leads to, where it then tells the way there."""
        for match in re.finditer(P, simple.line):
            k = simple.place_at(match.start())
            self.where[k] = match.start()
            if roles.role[k] not in ("avoid", "mark"):
                self.key[k] = float(match.start())

    def inside(self, begin: int, end: int) -> list[int]:
        """Places to be met whose signs stand in [begin, end), in the order of the words."""
        return [
            k for k, at in enumerate(self.where) if begin <= at < end and self.key[k] is not None
        ]

    def at(self, position: int) -> int | None:
        """The place whose sign stands at `position`."""
        return next((k for k, where in enumerate(self.where) if where == position), None)

    def move(self, group: list[int], target: float) -> None:
        """Give a group keys just above `target`, in the order that it has."""
        ordered = sorted(group, key=lambda k: self.key[k] or 0.0)
        for rank, k in enumerate(ordered):
            self.key[k] = target + (rank + 1) / (len(group) + 2)

    def before(self, group: list[int], others: list[int]) -> None:
        """Move a group to just before the first of others."""
        if group and others:
            self.move(group, min(self.key[k] or 0.0 for k in others) - 1)

    def forget(self, group: list[int]) -> None:
        """Say nothing of when these are met."""
        for k in group:
            self.key[k] = None


def sentences_of(line: str) -> list[tuple[int, int]]:
    edges = [0, *(m.end() for m in _SENTENCE.finditer(line)), len(line)]
    return [(a, b) for a, b in pairwise(edges) if a < b]
