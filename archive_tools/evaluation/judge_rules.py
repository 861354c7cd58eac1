"""Does a drive obey its command? By rules from what the reader understands of it."""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, Field

from archive_tools.annotations import Annotation, similarity
from archive_tools.language import Instruction, Place, contradictions, parse
from envs.scene import Scene

# The weights, all of them: six numbers, chosen by hand on a coarse grid against the mean rater of
# 120 rated cases; docs/evaluation.md has the agreement on random halves of those.
END_PLACES = 2.0
"""The end counts as much as this many places on the way."""
WRONG_SIDE = 0.5
"""What an end on the opposite side of its place costs."""
NEXT_DOOR = 0.25
"""What it is worth at most to end outside a room that is the end."""
END_SCALE = 80.0
"""Units from the stated end at which the end is worth 1/e."""
DETOUR = 0.05
"""What a tile entered without need costs, as a share of the score, from the fourth on."""
BAN = 0.4
"""What a broken ban leaves of the score."""


def _texts(value: Any) -> Any:
    """A list of texts, as models write one that holds one text or none."""
    if value is None or (isinstance(value, str) and value.strip().lower() in ("", "none", "n/a")):
        return []
    return [value] if isinstance(value, str) else value


def _joined(value: Any) -> Any:
    found = _texts(value)
    return " ".join(map(str, found)) if isinstance(found, list) else value


def _share(value: Any) -> Any:
    """80% and 8/10 as 0.8."""
    said = re.fullmatch(r"(\d+(?:\.\d+)?) ?(?:(%)|/ ?([1-9]\d*))", str(value).strip())
    return float(said[1]) / float(100 if said[2] else said[3]) if said else value


Texts = Annotated[list[str], BeforeValidator(_texts)]


class Verdict(BaseModel):
    """What a judge says about one drive."""

    score: Annotated[float, Field(ge=0, le=1), BeforeValidator(_share)]
    """0: ignores the command; 1: obeys it fully."""
    reached: Texts
    """Places of the command that were met."""
    missed: Texts
    """Places of the command that were not."""
    extra: Texts
    """Places met that do not fit the command."""
    in_order: bool
    """The places that were reached were reached in the order of the command."""
    reasons: Annotated[str, BeforeValidator(_joined)]


@dataclass(frozen=True, slots=True)
class Findings:
    """What is compared of a command and a drive; shares from 0 to 1."""

    way: float | None
    """Of what is to be met on the way, met in order and as said; None where nothing is told."""
    end: float | None
    """How well the drive ends where it should; None where no end is told."""
    bans: int
    """Broken ones."""
    detour: int
    """Tiles entered beyond what the command needs, three of them left aside."""
    places: int
    """How many places are to be met on the way."""


def judge_rules(
    text: str, driven: Annotation, reference: Annotation | None, scene: Scene
) -> Verdict:
    """Judge a drive by the words of its command.

    What is to be met on the way, in order and as said, and where the drive is to end, which counts
    as two places, are averaged; broken bans and needless rounds through other rooms take their
    share. With a reference, the LCS ratio of both visited sequences counts as much as the words.

    Args:
        text: the command.
        driven: annotation of the drive.
        reference: annotation of the trajectory that the command describes; None to judge by the
            words alone.
        scene: the objects, tiles and rooms that exist.
    """
    instruction = parse(text, scene)
    there = contradictions.presence(driven)
    way = [place for place in instruction.route if not place.at_end]
    inside = [place for place in way if contradictions.met(place, there)]
    late = [inside[k] for k in contradictions.unordered(inside, there, scene)]
    findings = _compare(instruction, driven, there, late, scene)
    if reference is not None:  # which tells what was needed
        findings = replace(findings, detour=0)
    score = _score(findings)
    reasons = _reasons(instruction, findings, len(way), len(inside), late, there)
    extra: list[str] = []
    if reference is not None:
        ratio = float(similarity.lcs_ratio([driven.visited], [reference.visited])[0])
        told = findings.way is not None or findings.end is not None or instruction.bans
        score = (score + ratio) / 2 if told else ratio
        reasons.append(f"the route agrees with the reference to {ratio:.0%}")
        extra = [n for n in dict.fromkeys(driven.visited) if n not in reference.visited]
    elif not instruction.places:
        reasons.append("the command names no place, so any way there obeys it")
    places = instruction.route
    return Verdict(
        score=min(1.0, max(0.0, score)),
        reached=[p.words for p in places if contradictions.met(p, there)],
        missed=[p.words for p in places if not contradictions.met(p, there)],
        extra=extra,
        in_order=not late,
        reasons="; ".join(reasons),
    )


def _compare(
    instruction: Instruction,
    driven: Annotation,
    there: contradictions.Presence,
    late: Sequence[Place],
    scene: Scene,
) -> Findings:
    way = [place for place in instruction.route if not place.at_end]
    worth = [0.5 if p in late else _met_as_said(p, there) for p in way]
    worth += [0.0 for _ in instruction.unknown]
    ends = [_end_worth(place, driven, scene) for place in instruction.ends]
    return Findings(
        way=sum(worth) / len(worth) if worth else None,
        end=min(ends) if ends else None,
        bans=sum(
            contradictions.broken(place, there) for place in contradictions.enforced(instruction)
        ),
        detour=_detour(instruction, driven, scene),
        places=len(worth),
    )


def _met_as_said(place: Place, there: contradictions.Presence) -> float:
    """1 where a place is met as the text says, less on another side or merely near it."""
    if not contradictions.met(place, there):
        return 0.0
    if place.kind != "object":
        return 1.0
    seen = set().union(*(there.relations.get(name, set()) for name in place.names))
    if place.side and not contradictions.beside(place.side, seen):
        return 0.9
    if place.touch and not any(name in there.on for name in place.names):
        return 0.5
    return 1.0


def _end_worth(place: Place, driven: Annotation, scene: Scene) -> float:
    last = driven.events[-1]
    place = replace(place, loose=place.loose or place.pronoun, pronoun=False)
    inside = place.kind == "object" or not last.tile or last.tile in place.names
    if inside and not contradictions.wrong_end(place, last, scene):
        side = contradictions.end_side(place, last, scene)
        return 1.0 if side > 0.7 else 1.0 - WRONG_SIDE * (1.0 - side) / 2
    worth = math.exp(-contradictions.distance_to(place, last.position, scene) / END_SCALE)
    return worth if inside else min(worth, NEXT_DOOR)


def _detour(instruction: Instruction, driven: Annotation, scene: Scene) -> int:
    """Tiles entered beyond those on the shortest way over the tiling that the command needs."""
    if scene.tiles is None or not driven.tiles or instruction.has_target:
        return 0  # the target is no place of the text: what leads to it cannot be told
    needed, at = 0, driven.tiles[0]
    for place in instruction.route:
        if place.rank is None:
            continue
        goals = _floors(place, scene)
        if not goals:
            continue
        steps = min((_apart(scene, at, goal), goal) for goal in goals)
        needed, at = needed + steps[0], steps[1]
    return max(0, len(driven.tiles) - 1 - needed - 3)


def _floors(place: Place, scene: Scene) -> tuple[str, ...]:
    if place.kind != "object":
        return place.names
    floors = []
    for item in scene.objects:
        if item.name in place.names and (under := int(scene.tile_at(item.centre))) >= 0:
            floors.append(scene.tile_names[under])
    return tuple(floors)


@lru_cache(maxsize=4096)
def _apart(scene: Scene, start: str, goal: str) -> int:
    """Tiles between two of them, walls left aside."""
    assert scene.tiles is not None
    cells = {
        name: [
            (r, c)
            for r, row in enumerate(scene.tiles.names)
            for c, n in enumerate(row)
            if n == name
        ]
        for name in (start, goal)
    }
    return min(
        (abs(r - y) + abs(c - x) for r, c in cells[start] for y, x in cells[goal]), default=0
    )


def _score(findings: Findings) -> float:
    way, end = findings.way, findings.end
    if way is not None and end is not None:
        score = (findings.places * way + END_PLACES * end) / (findings.places + END_PLACES)
    else:
        score = way if way is not None else end if end is not None else 1.0
    score *= BAN**findings.bans
    return score * max(0.0, 1 - DETOUR * findings.detour)


def _reasons(
    instruction: Instruction,
    findings: Findings,
    count: int,
    reached: int,
    late: Sequence[Place],
    there: contradictions.Presence,
) -> list[str]:
    reasons = []
    if count:
        reasons.append(f"{reached - len(late)} of {count} places met in order")
    reasons += [f"{contradictions.say(p)} comes at another time than said" for p in late]
    reasons += [
        f"{contradictions.say(p)} was to be left alone"
        for p in contradictions.enforced(instruction)
        if contradictions.broken(p, there)
    ]
    if findings.end is not None:
        reasons.append("stops where it should" if findings.end >= 0.7 else "stops elsewhere")
    if findings.detour > 1:
        reasons.append("goes through rooms that the command does not need")
    return reasons
