"""Drives for people to look at: the best, the middling and the worst, and contrast pairs."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from archive_tools.annotations import Annotation, Event
from archive_tools.evaluation import Scored
from archive_tools.language import fill_descriptor
from archive_tools.rollouts import command_files
from envs import World
from envs.drawing import Route, draw_scene, draw_scenes, floorplan

Card = dict[str, Any]
FIRST, SECOND = "#0072b2", "#c65102"  # the two texts of a contrast pair
REFERENCE = "#55504a"


def common(a: Sequence[str], b: Sequence[str]) -> tuple[list[bool], list[bool]]:
    """For each entry of the two routes, whether it is part of their longest common subsequence."""
    length = np.zeros((len(a) + 1, len(b) + 1), int)
    for i in range(len(a) - 1, -1, -1):
        for j in range(len(b) - 1, -1, -1):
            length[i, j] = (
                length[i + 1, j + 1] + 1
                if a[i] == b[j]
                else max(length[i + 1, j], length[i, j + 1])
            )
    marks = [False] * len(a), [False] * len(b)
    i = j = 0
    while i < len(a) and j < len(b):
        if a[i] == b[j]:
            marks[0][i] = marks[1][j] = True
            i, j = i + 1, j + 1
        elif length[i + 1, j] >= length[i, j + 1]:
            i += 1
        else:
            j += 1
    return marks


def chips(route: Sequence[str], met: Sequence[bool], world: World) -> list[Card]:
    """A route for the page: name, whether the other route has it too, colour of a tile."""
    known = set(world.scene.tile_names) if world.scene else set()
    return [
        {"name": name, "met": hit, "colour": floorplan.tile_colour(name) if name in known else None}
        for name, hit in zip(route, met, strict=True)
    ]


def events(annotation: Annotation) -> list[Card]:
    """Events for the page: timestep, tile, and what is near in words."""
    return [
        {"timestep": e.timestep, "tile": e.tile or "–", "near": _near(e)} for e in annotation.events
    ]


def _near(event: Event) -> str:
    words = [
        f"on the {n.object}" if n.relation == "on" else f"{n.relation} of the {n.object}"
        for n in event.near
    ]
    return ", ".join(words) or "–"


def sentence(text: str, bd: Sequence[float]) -> list[tuple[str, bool]]:
    """A stored text in parts (words, is the place): the place stands where `<DESCRIPTOR>` stood."""
    place = f"({', '.join(f'{value:.0f}' for value in bd)})"
    parts: list[tuple[str, bool]] = []
    for number, words in enumerate(text.split("<DESCRIPTOR>")):
        if number:
            parts.append((place, True))
        if words:
            parts.append((words, False))
    return parts


def _pictures(world: World, drives: Sequence[Route]) -> Card:
    """The scene for a page that has the floor plan as a symbol; `alone()` draws one that stands
    alone."""
    return {
        "svg": draw_scene(world, drives, width=420, legend=False, background="use"),
        "alone": lambda: draw_scene(world, drives, width=420, legend=False),
    }


def _drawable(scored: Scored, row: int) -> tuple[NDArray[np.float32], Annotation, Annotation]:
    pose, driven = scored.poses[row], scored.driven[row]
    assert pose is not None and driven is not None
    return pose, driven, scored.references[int(scored.frame["trajectory_id"].iat[row])]


def _mark(target: Sequence[float], positions: bool) -> tuple[float, float] | None:
    """Where the cross-hairs go; nowhere if BDs are not positions in the world."""
    return (float(target[0]), float(target[1])) if positions else None


def _card(scored: Scored, row: int, world: World, positions: bool) -> Card:
    frame = scored.frame.iloc[row]
    pose, driven, asked = _drawable(scored, row)
    target = _mark(frame["target"], positions)
    drives = [
        Route(scored.reference_poses[int(frame["trajectory_id"])], None, REFERENCE, "dashed"),
        Route(pose, None, "time", "solid", target),
    ]
    hits = common(asked.visited, driven.visited)
    return {
        **_pictures(world, drives),
        "item": int(frame["item"]),
        "sentence": sentence(frame["text"], frame["target"]),
        "bd_error": float(frame["bd_error"]),
        "route_lcs": float(frame["route_lcs"]),
        "set_f1": float(frame["set_f1"]),
        "judge": float(frame["judge_rules"]),
        "judge_llm": float(frame["judge_llm"]),
        "reasons": str(frame["reasons"]),
        "asked": chips(asked.visited, hits[0], world),
        "driven": chips(driven.visited, hits[1], world),
        "asked_events": events(asked),
        "driven_events": events(driven),
    }


def _by_obedience(scored: Scored, system: str) -> NDArray[np.int64]:
    """Rows of the system's test drives of the first seed, the most obedient first.

    Obedience is the route's LCS ratio minus the BD error as a share of the diagonal.
    """
    frame = scored.frame
    rows = np.flatnonzero(
        (frame["system"] == system)
        & (frame["set"] == "test")
        & (frame["seed"] == frame["seed"].min())
        & np.array([annotation is not None for annotation in scored.driven])
    )
    obedience = (frame["route_lcs"] - frame["bd_error"] / 100).to_numpy()[rows]
    return rows[np.argsort(-obedience, kind="stable")]


def showcase(
    scored: Scored,
    world: World,
    size: int = 6,
    places: int = 6,
    system: str = "nanodt",
    *,
    positions: bool = True,
) -> str | None:
    """SVG of the best obeyed commands that name a way: whose reference visits several places.

    One drive for each sequence of tiles, so that no two show the same way.

    Args:
        scored: the drives.
        world: with its scene.
        size: how many drives, three in a row.
        places: how many visits a reference needs at least.
        system: whose drives.
        positions: BDs are positions in the world, so that a target can be marked.

    Returns:
        None where no drive qualifies.
    """
    panels, shown = [], set[tuple[str, ...]]()
    for row in _by_obedience(scored, system):
        pose, _, asked = _drawable(scored, row)
        way = tuple(asked.tiles)
        if len(asked.visited) < places or way in shown or len(panels) == size:
            continue
        shown.add(way)
        frame = scored.frame.iloc[row]
        reference = scored.reference_poses[int(frame["trajectory_id"])]
        target = _mark(frame["target"], positions)
        drives = [
            Route(reference, "reference elite", REFERENCE, "dashed"),
            Route(pose, "driven, dark to light with time", "time", "solid", target),
        ]
        panels.append((drives, fill_descriptor(frame["text"], frame["target"])))
    return draw_scenes(world, panels, columns=3, width=1000) if panels else None


def galleries(
    scored: Scored, world: World, size: int, system: str = "nanodt", *, positions: bool = True
) -> list[Card]:
    """Obeyed, in the middle, disobeyed: test drives of the first seed, sorted by obedience."""
    rows = _by_obedience(scored, system)
    if not len(rows):
        return []
    size = min(size, max(1, len(rows) // 3))
    middle = (len(rows) - size) // 2
    parts = (
        ("Obeyed", "the drives that kept best to route and place", rows[:size]),
        ("In the middle", "the drives around the median", rows[middle : middle + size]),
        ("Disobeyed", "the drives that kept worst to route and place", rows[::-1][:size]),
    )
    return [
        {
            "title": title,
            "note": note,
            "cards": [_card(scored, int(row), world, positions) for row in chosen],
        }
        for title, note, chosen in parts
    ]


def overview(scored: Scored, world: World, size: int = 32, system: str = "nanodt") -> Card | None:
    """One picture of many drives: the first test items that the system drove."""
    frame = scored.frame
    rows = np.flatnonzero(
        (frame["system"] == system)
        & (frame["set"] == "test")
        & (frame["seed"] == frame["seed"].min())
        & np.array([pose is not None for pose in scored.poses])
    )[:size]
    if not len(rows):
        return None
    drives = [Route(scored.poses[row], None, "time") for row in rows]
    return {**_pictures(world, drives), "count": len(rows)}


def contrast_cards(
    scored: Scored,
    world: World,
    size: int,
    part: str = command_files.NARRATORS,
    system: str = "nanodt",
    *,
    positions: bool = True,
) -> list[Card]:
    """Contrast pairs of a set of commands, first seed: told apart best, then told apart worst."""
    frame, wanted = scored.frame, command_files.contrast_of(part)
    pairs: dict[int, list[int]] = {}
    for row, (name, pairs_of, seed) in enumerate(
        zip(frame["system"], frame["set"], frame["seed"], strict=True)
    ):
        drawable = scored.driven[row] is not None
        if name == system and pairs_of == wanted and seed == frame["seed"].min() and drawable:
            pairs.setdefault(int(frame["pair"].iat[row]), []).append(row)

    def told_apart(pair: int) -> tuple[float, float]:
        rows = frame.iloc[pairs[pair]]
        return float(np.mean(rows["contrast"])), float(np.mean(rows["route_lcs"]))

    order = sorted((p for p in pairs if len(pairs[p]) == 2), key=told_apart, reverse=True)
    size = min(size, len(order))
    chosen = order[: (size + 1) // 2] + order[len(order) - size // 2 :]
    return [{**_contrast(scored, pairs[pair], world, positions), "set": part} for pair in chosen]


def _contrast(scored: Scored, rows: Sequence[int], world: World, positions: bool) -> Card:
    drives, sides = [], []
    for row, colour, name in zip(rows, (FIRST, SECOND), "AB", strict=True):
        frame = scored.frame.iloc[row]
        pose, driven, asked = _drawable(scored, row)
        target = _mark(frame["target"], positions)
        drives.append(Route(pose, name, colour, "solid", target))
        hits = common(asked.visited, driven.visited)
        sides.append({
            "name": name,
            "colour": colour,
            "sentence": sentence(frame["text"], frame["target"]),
            "contrast": float(frame["contrast"]),
            "route_lcs": float(frame["route_lcs"]),
            "bd_error": float(frame["bd_error"]),
            "asked": chips(asked.visited, hits[0], world),
            "driven": chips(driven.visited, hits[1], world),
        })  # fmt: skip
    return {**_pictures(world, drives), "sides": sides}
