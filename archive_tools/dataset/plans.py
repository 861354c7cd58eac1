"""Plans of a drive: what somebody could have asked for who wanted just this drive.

A plan says an instruction in few words (`Instruction.plan`). Those of a drive's texts are read off
the texts; more are drawn from what the drive did: some of the places on its way, where it ends, and
bans of places that others meet on their way to this end. A drive along a path that was composed
for a wish is told that wish, as far as it came true.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from archive_tools.annotations import Annotation
from archive_tools.dataset.composition import Wish
from archive_tools.language import Instruction, Place, contradictions, parse
from archive_tools.narrator import Alternatives
from envs.scene import Scene

DRAWN = 4
"""Plans that are drawn for a drive, beside those of its texts."""
OF_WISH = 3
"""Of these, how many tell the wish that the drive's path was composed for."""
NO_ORDER = 0.15
"""Share of the plans that name places in no order."""
BANS = 0.4
"""Share of the plans that forbid something, where no wish did."""
PLAIN_END = 0.35
"""Share of the plans that tell the end by a bare name: the tile, or the nearest object."""
DETOURS = 0.5
"""How often a drive that goes a long or a short way is told to."""


class Planner:
    """Draws plans of drives.

    Args:
        scene: the objects and tiles that exist.
        alternatives: the drives of the archive, for what could be forbidden.
        rng: source of all draws.
    """

    def __init__(self, scene: Scene, alternatives: Alternatives, rng: np.random.Generator) -> None:
        self.scene, self.alternatives, self.rng = scene, alternatives, rng
        self.tiles = set(scene.tile_names)
        self.names = [*scene.object_names, *scene.tile_names]

    def plans(
        self, texts: Sequence[str], annotation: Annotation, wish: Wish | None = None
    ) -> list[str]:
        """The plans of a drive's texts, and some that are drawn; all of them true of the drive."""
        read = [parse(text, self.scene) for text in texts]
        ends = [instruction.ends for instruction in read if instruction.ends]
        there = contradictions.presence(annotation)
        drawn = []
        for number in range(DRAWN):
            told = wish if number < OF_WISH else None
            end = self._end(annotation, ends)
            drawn.append(
                self._wished(annotation, there, end, told)
                if told is not None
                else self._drawn(annotation, there, end)
            )
        plans = [instruction.plan for instruction in (*read, *drawn)]
        return [plan for plan in plans if plan]

    def _end(self, annotation: Annotation, ends: Sequence[tuple[Place, ...]]) -> list[Place]:
        """Where the drive ends, in one of the ways that texts tell it or by a bare name."""
        last = annotation.events[-1]
        names = [last.tile] if last.tile else []
        names += [last.near[0].object] if last.near else []
        if names and (not ends or self.rng.random() < PLAIN_END):
            return [self._place(self._any(names), role="end", at_end=True)]
        return list(ends[int(self.rng.integers(len(ends)))])[-2:] if ends else []

    def _wished(
        self, annotation: Annotation, there: contradictions.Presence, end: list[Place], wish: Wish
    ) -> Instruction:
        """What of a wish came true."""
        met, visited = 0, annotation.visited
        for name in visited:
            met += met < len(wish.via) and name == wish.via[met]
        way = [self._place(name) for name in wish.via[:met]]
        bans = [self._place(n, role="avoid") for n in wish.avoid if n not in visited]
        bans += [
            self._place(n, role="avoid", touch=True) for n in wish.untouched if n not in there.on
        ]
        return self._instruction(way, end, bans)

    def _drawn(
        self, annotation: Annotation, there: contradictions.Presence, end: list[Place]
    ) -> Instruction:
        """Some of a drive's way, its end, and perhaps bans and the length of the way."""
        rng, visited = self.rng, annotation.visited
        share = rng.uniform(0.15, 1.1)
        chosen = [k for k in range(len(visited)) if rng.random() < share]
        ended = {name for place in end for name in place.names}
        if chosen and chosen[-1] == len(visited) - 1 and visited[-1] in ended:
            chosen.pop()
        way: list[Place] = []
        for k in chosen:
            name = visited[k]
            relations = there.relations.get(name, set())
            sides = sorted(relations - {"on"})
            touch = name not in self.tiles and "on" in relations and rng.random() < 0.4
            side = self._any(sides) if sides and not touch and rng.random() < 0.15 else None
            again = any(name in place.names for place in way) and rng.random() < 0.7
            role = "return" if again else "pass"
            way.append(self._place(name, role=role, touch=touch, side=side))
        group = self.alternatives.to(annotation)
        bans = self._bans(annotation, there, group.elsewhere(set(visited)))
        length = group.long_way(len(annotation.tiles)) if rng.random() < DETOURS else 0
        return self._instruction(way, end, bans, ("", "long way", "short way")[length])

    def _bans(
        self, annotation: Annotation, there: contradictions.Presence, others: Sequence[str]
    ) -> list[Place]:
        """Places that a drive does not meet, mostly those that others do."""
        rng, met = self.rng, set(annotation.visited)
        if rng.random() >= BANS:
            return []
        rest = [name for name in self.names if name not in met and name not in others]
        names: list[str] = []
        for _ in range(int(rng.integers(1, 4))):
            pool = others if others and rng.random() < 0.75 else rest
            names += [self._any(pool)] if pool else []
        bans = [self._place(name, role="avoid") for name in dict.fromkeys(names)]
        beside = sorted(met - self.tiles - there.on)
        if beside and rng.random() < 0.15:
            bans.append(self._place(self._any(beside), role="avoid", touch=True))
        return bans

    def _instruction(
        self, way: list[Place], end: list[Place], bans: list[Place], detour: str = ""
    ) -> Instruction:
        """The places in an order, or, now and then, in none; `detour` is the way asked for."""
        rng, way = self.rng, way if end else []  # or the last place would pass for the end
        if rng.random() < (NO_ORDER if len(way) > 1 else 2 * NO_ORDER):
            way = [way[k] for k in rng.permutation(len(way)).tolist()]
        else:
            way = [replace(place, rank=rank) for rank, place in enumerate(way)]
        places = [*way, *end, *bans]
        places = [replace(place, start=k, end=k) for k, place in enumerate(places)]
        return Instruction(tuple(places), masked=detour)

    def _place(self, name: str, **fields: object) -> Place:
        kind = "tile" if name in self.tiles else "object"
        return Place((name,), kind, 0, 0, name, **fields)  # type: ignore[arg-type]

    def _any(self, names: Sequence[str]) -> str:
        return names[int(self.rng.integers(len(names)))]
