"""What a text will say of a drive: which places, how they are met, where it ends, what it forbids.

Everything here is true of the drive by construction. A text may tell most of the way, or only what
sets the drive apart from others to the same end (`alternatives`), or little more than the end.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np

from archive_tools.annotations.events import Annotation, Event
from archive_tools.annotations.visits import Visit, visits_of
from archive_tools.language.reading.lexicon import lexicon
from archive_tools.narrator.alternatives import COMMON, Group, distinguishing, driven_over
from envs.geometry import COMPASS, compass, turn
from envs.places import part, tile_centres
from envs.scene import Scene

MOST = 7
"""Places on the way that a text names at most: its tokens share the context with the drive."""
TELLING = {"most": 0.5, "apart": 0.35, "little": 0.15}
"""Share of texts that tell most of the way, what sets it apart, and the end with a landmark."""
CLEAR = 12.0
"""Distance in scene units that makes a side of the robot, or of a box, certain."""


@dataclass
class Waypoint:
    """A place on the way, with how it is met."""

    name: str
    kind: str
    """object, tile, or move (a direction only)."""
    manner: str
    """Names a field of `phrases.Phrases`."""
    side: str = ""
    """Compass words: the side it is passed on, or the heading;"""
    other_side: str = ""
    """the side that it is left on, or which way round it is passed."""
    hand: str = ""
    over: bool = False
    """An object that is driven over."""


@dataclass
class Ending:
    """Where the drive ends."""

    name: str = ""
    kind: str = ""
    """object, tile; "" where it is neither on a tile nor near an object."""
    where: str = ""
    """A manner of `phrases.Phrases`: on, on_part, beside_side, corner, edge, middle …"""
    side: str = ""
    tile: str = ""
    """The tile under it."""
    pronoun: bool = False
    """The object was just named on the way."""


@dataclass
class Content:
    """What a text says."""

    way: list[Waypoint] = field(default_factory=list)
    end: Ending = field(default_factory=Ending)
    bans: list[tuple[str, str, bool]] = field(default_factory=list)
    """(name, kind, only not to be driven over)."""
    start: str = ""
    """The tile where the drive begins."""
    long_way: int = 0
    """1: the way is longer than most others to its end, -1: shorter."""
    nothing_else: bool = False
    """All that the drive meets is named."""


class Chooser:
    """Chooses what to say; every choice is drawn from one generator."""

    def __init__(self, scene: Scene, rng: np.random.Generator) -> None:
        self.scene, self.rng = scene, rng

    def chance(self, share: float) -> bool:
        return bool(self.rng.random() < share)

    def content(self, annotation: Annotation, group: Group, most: int = MOST) -> Content:
        """What to say of one drive.

        Args:
            annotation: of the drive.
            group: the drives to the same end; an empty one where they are not known.
            most: places named on the way.
        """
        visits = visits_of(annotation)
        over = driven_over(annotation)
        last = annotation.events[-1]
        content = Content(end=self.ending(visits, last))
        if visits and visits[0].kind == "tile":
            content.start = visits[0].name
        if not visits or (len(visits) == 1 and visits[0].kind == "tile"):
            content.way = self.moved(annotation)
            content.nothing_else = bool(visits)
            self.add_bans(content, annotation, group, over)
            return content
        body = visits[1:] if content.start and len(visits) > 1 else visits
        chosen = self.chosen(body, visits, content.end, group)
        if len(chosen) > most:
            keep = sorted(self.rng.choice(len(chosen), most, replace=False).tolist())
            chosen = [chosen[k] for k in keep]
        chosen = _merged(chosen)
        content.way = [self.waypoint(v, visits, annotation, over) for v in chosen]
        self.settle_end(content)
        named = {v.name for v in chosen} | {content.end.name, content.end.tile, content.start}
        content.nothing_else = {v.name for v in visits} <= named
        if group.lengths:
            content.long_way = group.long_way(len(annotation.tiles))
        self.add_bans(content, annotation, group, over)
        return content

    def chosen(
        self, body: Sequence[Visit], visits: Sequence[Visit], end: Ending, group: Group
    ) -> list[Visit]:
        """An in-order part of the visits before the end."""
        way = list(body)
        while (
            way
            and way[-1].name in (end.name, end.tile)
            and (len(way) < 2 or way[-2].name != way[-1].name)
        ):
            if way[-1].name == end.name and end.kind == "object":
                # "cross the bed and stop right of it": the end object is met as well
                crossed = any(side == "on" for side, _ in way[-1].sides)
                if crossed and end.where != "on" and self.chance(0.5):
                    break
            way.pop()
        if end.kind == "tile":
            # "…, the white room and the bed" and then "stop in the white room" says it twice
            last = max((k for k, v in enumerate(way) if v.name == end.name), default=None)
            if last is not None and all(v.kind == "object" for v in way[last + 1 :]):
                del way[last]
        mode = float(self.rng.random())
        if mode < TELLING["most"] or not way:
            share = (1.0, 1.0, 0.85)[int(self.rng.integers(3))]
            kept = [v for v in way if share == 1.0 or self.chance(share)]
            return self.without_implied(kept)
        if mode < TELLING["most"] + TELLING["apart"] and group.lengths:
            wanted = distinguishing(group, [v.name for v in way], 0)[: MOST - 2]
            if not wanted:  # every other drive meets the same: any landmark is as good
                wanted = [way[int(self.rng.integers(len(way)))].name]
            kept = [v for v in way if v.name in wanted]
            if self.chance(0.5):
                return kept
            return [v for v in way if v.name in wanted or self.chance(0.3)]
        if len(way) > 1 and self.chance(0.15):
            return []
        count = min(len(way), 1 + int(self.rng.integers(2)))
        keep = sorted(self.rng.choice(len(way), count, replace=False).tolist())
        return [way[k] for k in keep]

    def without_implied(self, way: list[Visit]) -> list[Visit]:
        """Drop tiles of which an object that stands there is named anyway."""
        if not self.chance(0.6):
            return way
        under = lexicon(self.scene).containing
        kept = []
        for k, visit in enumerate(way):
            around = [v.name for v in way[max(0, k - 1) : k + 2] if v.kind == "object"]
            implied = visit.kind == "tile" and any(visit.name in under[n] for n in around)
            if not implied or self.chance(0.35):
                kept.append(visit)
        return kept

    def waypoint(
        self, visit: Visit, visits: Sequence[Visit], annotation: Annotation, over: set[str]
    ) -> Waypoint:
        """How one place is met."""
        if visit.kind == "tile":
            if visit.again:
                return Waypoint(visit.name, "tile", "tile_back")
            k = next((k for k, v in enumerate(visits) if v.name == visit.name), 0)
            tiles = [v.name for v in visits[k + 1 :] if v.kind == "tile"]
            if visit.came_from and tiles[:1] == [visit.came_from] and self.chance(0.6):
                return Waypoint(visit.name, "tile", "peek")
            heading = self.heading(visit)
            manner = "tile_heading" if heading and self.chance(0.45) else "tile"
            return Waypoint(visit.name, "tile", manner, side=heading)
        crossed = any(side == "on" for side, _ in visit.sides)
        if visit.again:
            manner = "back_over" if crossed else "back"
            return Waypoint(visit.name, "object", manner, over=crossed)
        sides = [side for side, _ in visit.sides if side != "on"]
        if crossed and (not sides or self.chance(0.8)):
            return Waypoint(visit.name, "object", "over", over=True)
        if len(set(sides)) >= 7:
            return Waypoint(visit.name, "object", "circle")
        if (way_round := rotation(sides)) and self.chance(0.4):
            return Waypoint(visit.name, "object", "turn", other_side=way_round)
        if sides and turn(sides[0], sides[-1]) >= 2 and self.chance(0.6):
            return Waypoint(
                visit.name, "object", "around", side=sides[0], other_side=sides[-1], over=crossed
            )
        if sides and not crossed and self.chance(0.65):
            hand = self.hand(visit, annotation)
            if hand and self.chance(0.35):
                return Waypoint(visit.name, "object", "hand", hand=hand)
            closest = min((s for s in visit.sides if s[0] != "on"), key=lambda s: s[1])
            return Waypoint(visit.name, "object", "side", side=closest[0])
        return Waypoint(visit.name, "object", "past")

    def heading(self, visit: Visit) -> str:
        """Compass direction from the tile before to this one; "" where a name is used twice."""
        places = tile_centres(self.scene)
        before, after = places.get(visit.came_from, []), places.get(visit.name, [])
        if len(before) != 1 or len(after) != 1:
            return ""
        return compass(after[0][0] - before[0][0], after[0][1] - before[0][1])

    def hand(self, visit: Visit, annotation: Annotation) -> str:
        """On which hand an object is while it is passed; "" where that is not certain."""
        events = annotation.events
        near = [k for k, e in enumerate(events) if any(n.object == visit.name for n in e.near)]
        if not near or near[-1] - near[0] + 1 != len(near) or near[-1] + 1 >= len(events):
            return ""
        a, b = (np.asarray(events[k].position) for k in (near[0], near[-1] + 1))
        centre = next(o.centre for o in self.scene.objects if o.name == visit.name)
        way, to_it = b - a, np.asarray(centre) - a
        length = float(np.hypot(*way))
        if length < 2 * CLEAR:
            return ""
        across = float(way[0] * to_it[1] - way[1] * to_it[0]) / length
        return "" if abs(across) < 2 * CLEAR else "left" if across > 0 else "right"

    def ending(self, visits: Sequence[Visit], last: Event) -> Ending:
        """Where a drive ends, in one of the ways in which it may be said."""
        if last.near and (not last.tile or self.chance(0.85)):
            near = last.near[0]
            if near.relation == "on":
                side = self.part_of_box(near.object, last.position)
                where = "on_part" if side and self.chance(0.6) else "on"
                return Ending(near.object, "object", where, side, last.tile)
            where = "beside_side" if self.chance(0.7) else "beside"
            return Ending(near.object, "object", where, near.relation, last.tile)
        if last.tile:
            third = part(self.scene, last.tile, last.position)
            where = "inside"
            if third is not None and self.chance(0.85):
                where = "middle" if not third else "corner" if "-" in third else "edge"
            elif len(visits) > 1 and self.entered_just_now(visits, last):
                where = "just_inside"
            return Ending(last.tile, "tile", where, third or "", last.tile)
        return Ending()

    def part_of_box(self, name: str, position: tuple[float, float]) -> str:
        """The part of an object's box under a position, "" in its middle."""
        x0, y0, x1, y1 = next(o.box for o in self.scene.objects if o.name == name)
        u = (position[0] - x0) / max(x1 - x0, 1e-9) - 0.5
        v = (position[1] - y0) / max(y1 - y0, 1e-9) - 0.5
        return "" if np.hypot(u, v) < 0.25 else compass(u, v)

    def entered_just_now(self, visits: Sequence[Visit], last: Event) -> bool:
        """Whether the last tile's border with the one before is near."""
        tiles = [v for v in visits if v.kind == "tile"]
        if not tiles or tiles[-1].name != last.tile or self.scene.tiles is None:
            return False
        came_from = tiles[-1].came_from
        for row, names in enumerate(self.scene.tiles.names):
            for column, name in enumerate(names):
                if name == came_from:
                    x0, y0, x1, y1 = self.scene.tiles.box(row, column)
                    dx = max(x0 - last.position[0], 0.0, last.position[0] - x1)
                    dy = max(y0 - last.position[1], 0.0, last.position[1] - y1)
                    if np.hypot(dx, dy) < 2 * CLEAR:
                        return True
        return False

    def settle_end(self, content: Content) -> None:
        """Let the end be a pronoun where its object was named just before."""
        end = content.end
        last = content.way[-1] if content.way else None
        named = last is not None and end.kind == "object" and last.name == end.name
        if named and end.side and end.where not in ("on", "on_part"):
            end.where, end.pronoun = "side_of_it", True

    def moved(self, annotation: Annotation) -> list[Waypoint]:
        """For a drive that meets nothing: the direction of its move, where it makes one."""
        (x, y), (u, v) = annotation.events[0].position, annotation.events[-1].position
        if np.hypot(u - x, v - y) < 2 * CLEAR or self.chance(0.2):
            return []
        return [Waypoint("", "move", "move", side=compass(u - x, v - y))]

    def add_bans(
        self, content: Content, annotation: Annotation, group: Group, over: set[str]
    ) -> None:
        """What must not be met or driven over: true, and better where other drives do."""
        met = set(annotation.visited)
        named = {w.name for w in content.way}
        kinds = dict.fromkeys(self.scene.object_names, "object")
        kinds |= dict.fromkeys(self.scene.tile_names, "tile")
        candidates: list[tuple[float, str, str, bool]] = []
        for name in group.elsewhere(met):
            if name in kinds and name not in named:
                candidates.append((group.share(group.meets[name]), name, kinds[name], False))
        beside = {w.name for w in content.way if w.manner in ("side", "hand", "past")}
        for name, drives in group.crosses.items():
            share = group.share(drives)
            fits = name in kinds and (name in beside or name not in named)
            if fits and name not in over and share > COMMON:
                candidates.append((share, name, "object", True))
        end = content.end
        if end.kind == "object" and end.name not in over and end.where != "on":
            candidates.append((0.5, end.name, "object", True))
        candidates.sort(key=lambda c: (-c[0], c[1]))
        for _, name, kind, touch in candidates[:3]:
            if self.chance(0.4) and all(name != b[0] for b in content.bans):
                content.bans.append((name, kind, touch))


def rotation(sides: Sequence[str]) -> str:
    """Which way round an object is passed, by the sides in turn; "" where that is not certain."""
    index = [COMPASS.index(side) for side in sides]
    steps = [(b - a + 4) % 8 - 4 for a, b in pairwise(index)]
    if not steps or abs(sum(steps)) < 3 or any(abs(s) > 2 for s in steps):
        return ""
    if min(steps) < 0 < max(steps):
        return ""
    return "clockwise" if sum(steps) > 0 else "counterclockwise"


def _merged(visits: Sequence[Visit]) -> list[Visit]:
    """Without a place that follows itself, because what lay between was left out."""
    merged: list[Visit] = []
    told: set[str] = set()
    for visit in visits:
        if merged and merged[-1].name == visit.name:
            continue
        again = visit.again and visit.name in told
        merged.append(visit if again == visit.again else _first(visit))
        told.add(visit.name)
    return merged


def _first(visit: Visit) -> Visit:
    return Visit(visit.name, visit.kind, False, visit.came_from, visit.sides)
