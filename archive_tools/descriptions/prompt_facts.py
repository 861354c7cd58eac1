"""What a language model is told of a scene and of a drive: facts for the templates in `prompts`."""

from functools import lru_cache
from typing import Any

from archive_tools.annotations.events import Annotation
from archive_tools.annotations.visits import visits_of
from archive_tools.language import words
from archive_tools.narrator.alternatives import Alternatives, distinguishing
from envs.geometry import compass
from envs.places import tile_centres
from envs.scene import Scene


@lru_cache(maxsize=32)
def scene_facts(scene: Scene) -> dict[str, Any]:
    """Facts `tiles` (rows of names, the northern first), `rooms` (words, tiles) and `objects`
    (words, tile under it); the first word is the name.

    The result is shared: not to be changed."""
    names = (*scene.tile_names, "")
    return {
        "tiles": [list(row) for row in scene.tiles.names] if scene.tiles else [],
        "rooms": [
            {
                "words": [words.spoken(room.name), *room.aliases],
                "tiles": list(scene.room_tiles(room)),
            }
            for room in scene.rooms
        ],
        "objects": [
            {
                "words": [words.spoken(o.name), *o.aliases],
                "tile": names[int(scene.tile_at(o.centre))],
            }
            for o in scene.objects
        ],
    }


def drive_facts(annotation: Annotation, scene: Scene) -> dict[str, Any]:
    """Facts `drive` (one line per visit, in order) and `end` (where it stops)."""
    centres = tile_centres(scene)
    lines = []
    for k, visit in enumerate(visits_of(annotation)):
        again = " again" if visit.again else ""
        if visit.kind == "tile":
            before, after = centres.get(visit.came_from, []), centres.get(visit.name, [])
            way = ""
            if len(before) == 1 and len(after) == 1:
                dx, dy = (b - a for a, b in zip(before[0], after[0], strict=True))
                way = f", going {compass(dx, dy)}"
            verb = "starts on" if k == 0 else "enters"
            lines.append(f"{verb} the {words.spoken(visit.name)} tile{again}{way}")
        else:
            sides = dict.fromkeys(side for side, _ in visit.sides)
            where = ", then ".join("right on it" if s == "on" else f"{s} of it" for s in sides)
            lines.append(f"meets the {words.spoken(visit.name)}{again} ({where})")
    last = annotation.events[-1]
    near = [
        f"right on the {words.spoken(n.object)}"
        if n.relation == "on"
        else f"{n.relation} of the {words.spoken(n.object)}"
        for n in last.near
    ]
    tile = [f"on the {words.spoken(last.tile)} tile"] if last.tile else []
    return {"drive": lines, "end": ", ".join(tile + near) or "away from every object"}


def route_facts(
    annotation: Annotation, scene: Scene, alternatives: Alternatives | None
) -> dict[str, Any]:
    """Facts `apart` (places that set the drive apart from others to its end) and `elsewhere`
    (places that many of those pass and this one does not)."""
    if alternatives is None:
        return {"apart": [], "elsewhere": []}
    group = alternatives.to(annotation)
    end = {annotation.visited[-1]} if annotation.visited else set()
    names = [n for n in dict.fromkeys(annotation.visited) if n not in end]
    tiles = set(scene.tile_names)

    def said(name: str) -> str:
        return f"the {words.spoken(name)} tile" if name in tiles else f"the {words.spoken(name)}"

    return {
        "apart": [said(n) for n in distinguishing(group, names, 0)[:3]],
        "elsewhere": [said(n) for n in group.elsewhere(set(annotation.visited))[:3]],
    }
