"""Other ways to the same end: what tells one drive of an archive from those that end where it does.

Drives are grouped by where they end (the last tile, and the object that is near there). In each
group every place has the set of drives that meet it, and the set of those that drive over it, so
that what a text names, and what it forbids, can be chosen by how many other drives it rules out.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np

from archive_tools.annotations import Annotation

End = tuple[str, str]
FEW = 4
"""With fewer drives to an end, those to the same tile are compared."""

COMMON = 0.15
"""A place is common in a group when this share of its drives meets it."""


def end_of(annotation: Annotation) -> End:
    """The tile and the nearest object where a drive ends, "" for none."""
    last = annotation.events[-1]
    return last.tile, last.near[0].object if last.near else ""


def driven_over(annotation: Annotation) -> set[str]:
    """Objects that the drive is right on at some event."""
    return {n.object for event in annotation.events for n in event.near if n.relation == "on"}


@dataclass
class Group:
    """The drives to one end; a set of them is an int with one bit for each."""

    everyone: int = 0
    meets: dict[str, int] = field(default_factory=dict)
    """By object or tile."""
    crosses: dict[str, int] = field(default_factory=dict)
    """By object driven over."""
    lengths: list[int] = field(default_factory=list)
    """Tiles entered, per drive."""
    _counted: int = 0
    _quantiles: tuple[float, ...] = (0.0, 0.0, 0.0)

    def add(self, names: Iterable[str], over: Iterable[str], length: int) -> None:
        """One more drive."""
        bit = self.everyone + 1
        self.everyone |= bit
        for name in names:
            self.meets[name] = self.meets.get(name, 0) | bit
        for name in over:
            self.crosses[name] = self.crosses.get(name, 0) | bit
        self.lengths.append(length)

    def share(self, drives: int) -> float:
        """Share of the group that a set of its drives is."""
        return drives.bit_count() / max(len(self.lengths), 1)

    def elsewhere(self, met: set[str]) -> list[str]:
        """Places that a drive does not meet and a fair share of the group does, most met first."""
        shares = {n: self.share(d) for n, d in self.meets.items() if n not in met}
        common = [n for n, share in shares.items() if share > COMMON]
        return sorted(common, key=lambda name: (-shares[name], name))

    def long_way(self, length: int) -> int:
        """1 for a way that enters more tiles than most others do, -1 for fewer, else 0."""
        if len(self.lengths) != self._counted:
            self._quantiles = tuple(np.percentile(self.lengths, (10, 50, 90)).tolist())
            self._counted = len(self.lengths)
        low, middle, high = self._quantiles
        if length >= middle + 2 and length >= high:
            return 1
        return -1 if length <= low and length < middle else 0


class Alternatives:
    """The drives of an archive by their ends."""

    def __init__(self, annotations: Iterable[Annotation]) -> None:
        self._groups: dict[End, Group] = {}
        for annotation in annotations:
            tile, near = end_of(annotation)
            names, over = set(annotation.visited), driven_over(annotation)
            for end in {(tile, near), (tile, "*")}:
                group = self._groups.setdefault(end, Group())
                group.add(names, over, len(annotation.tiles))

    def to(self, annotation: Annotation) -> Group:
        """The drives that end where this one does; itself among them where it is of the archive."""
        tile, near = end_of(annotation)
        group = self._groups.get((tile, near))
        if group is None or len(group.lengths) < FEW:
            group = self._groups.get((tile, "*"), Group())
        return group


def distinguishing(group: Group, names: Sequence[str], forbidden: int) -> list[str]:
    """Names of places that set a drive apart from the others of its group, the best first.

    Args:
        group: the drives to the same end.
        names: places that the drive meets.
        forbidden: drives that are ruled out already.

    Returns:
        each chosen because it rules out most of the drives that those before it left; drives that
        meet all the same places are not told apart by more of them.
    """
    left = group.everyone & ~forbidden
    chosen: list[str] = []
    candidates = list(dict.fromkeys(names))
    while candidates and left:
        ruled_out = [(left & ~group.meets.get(name, 0)).bit_count() for name in candidates]
        best = ruled_out.index(max(ruled_out))
        if not ruled_out[best]:
            break
        name = candidates.pop(best)
        chosen.append(name)
        left &= group.meets.get(name, 0)
    return chosen
