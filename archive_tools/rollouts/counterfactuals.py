"""Counterfactual instructions: one word exchanged for another place or the opposite direction.

A policy that reads its text follows the exchanged word; one that does not drives as before. The
exchange is one that a drive could follow with everything else as it was: places where the reference
starts or ends are kept (the start is given, the end is the BD), and what comes in was neither
mentioned nor met. Every choice is drawn from the generator that is handed in.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Literal

import numpy as np

from archive_tools.annotations.events import Annotation
from archive_tools.language import words
from archive_tools.language.instruction import Instruction, Place
from archive_tools.language.reader import parse
from envs.geometry import COMPASS
from envs.scene import Scene

Kind = Literal["object", "tile", "side", "heading", "turn"]
KINDS: tuple[Kind, ...] = ("object", "tile", "side", "heading", "turn")

# "turn east onto the green tile": the direction in which a tile is entered.
HEADING = re.compile(
    rf"\b({words.SIDE})(?:wards?)? (?:onto|on to|into|to|over|across|through|towards?) (?:the )?$"
)
SIDE_BEFORE = re.compile(
    rf"\b({words.SIDE})(?:ern)?(?:(?: |-)(?:side|edge|end|face))? of (?:the |that |its )?$"
)
SIDE_AFTER = re.compile(
    rf"^ (?:on|along|by|to|at|from) (?:its|the|their) ({words.SIDE})(?:ern)?\b(?! of)"
)
# "turn left": not the "right" of "drive right over it", not the past of "leave".
TURN = re.compile(
    r"\b(?:turn|bear|veer|steer)(?:s|ed|ing)? (?:to the |sharply |slightly )?(left|right)\b"
)
IT = re.compile(r"\b(?:of|by|at|to|near|beside|on) (?:it|them)\b")


@dataclass(frozen=True)
class GivenText:
    """A text that a control is given in place of an item's own.

    All but the text is of counterfactual instructions: texts with one word exchanged.
    """

    text: str
    kind: Kind | None = None
    """object, tile: another place. side: of an object that it is passed on. heading: in which a
    tile is entered. turn: left or right, by a place."""
    place: str | None = None
    """Name of the place where the exchange is looked for in a drive; `out` for a place."""
    out: str | None = None
    """What the text said: a name of the scene, a compass word, left or right."""
    into: str | None = None
    """What it says now."""


def opposite(word: str) -> str:
    """The opposite compass word, or of left and right the other one."""
    if word in COMPASS:
        return COMPASS[(COMPASS.index(word) + len(COMPASS) // 2) % len(COMPASS)]
    return {"left": "right", "right": "left"}[word]


def replace_object(
    text: str, reference: Annotation, scene: Scene, rng: np.random.Generator
) -> GivenText | None:
    """Exchange one object of a command for another, or one tile if no object can be.

    Every mention of it is replaced. None where nothing can be exchanged.

    Args:
        text: the command.
        reference: annotation of the trajectory that it describes.
        scene: the objects and tiles that exist.
        rng: source of every choice.
    """
    parsed = parse(text, scene)
    fixed = _ends(reference) | {name for m in _fixed(parsed) for name in m.names}
    named = {name for m in parsed.places for name in m.names}
    known: dict[Kind, Sequence[str]] = {"object": scene.object_names, "tile": scene.tile_names}
    for kind, names in known.items():
        places = {m.names[0] for m in parsed.route if m.kind == kind and len(m.names) == 1}
        out = sorted(places - fixed)
        into = sorted(set(names) - named - set(reference.visited))
        # A scene with a sofa and a couch has words for both that must not be told apart here.
        pairs = [(a, b) for a in out for b in into]
        for index in rng.permutation(len(pairs)).tolist():
            changed = _exchange_place(text, parsed, kind, *pairs[index])
            if _reads_as(changed, parsed, scene):
                return changed
    return None


def reverse_direction(
    text: str, reference: Annotation, scene: Scene, rng: np.random.Generator
) -> GivenText | None:
    """Exchange one direction word of a command for its opposite.

    Only words whose meaning can be looked up in a drive count: the side on which an object is
    passed, the direction in which a tile is entered, and a turn to the left or right by a place.
    None where the text has no such word.

    Args: see `replace_object`.
    """
    parsed = parse(text, scene)
    lower = text.lower()
    if len(lower) != len(text):  # a letter that grows in lower case: places would be off
        return None
    fixed, spots = _fixed(parsed), []  # kind, place, where its words start and end
    for m in parsed.route:
        if m in fixed or len(m.names) != 1:
            continue
        kind, span = _direction_of(m, lower)
        if span:
            spots.append((kind, m.names[0], *span))
    for match in TURN.finditer(parsed.masked):
        if mention := _nearest(match, parsed):
            spots.append(("turn", mention.names[0], *match.span(1)))
    if not spots:
        return None
    kind, place, start, end = spots[int(rng.integers(len(spots)))]
    word = re.sub(r"^(north|south)[- ]?(east|west)$", r"\1-\2", lower[start:end])
    into = opposite(word)
    return GivenText(_put(text, start, end, into), kind, place, word, into)


def _direction_of(mention: Place, lower: str) -> tuple[Kind, tuple[int, int] | None]:
    begin = max(0, mention.start - 40)
    before, after = lower[begin : mention.start], lower[mention.end : mention.end + 40]
    if mention.kind != "object":
        match = HEADING.search(before)
        return "heading", _span(match, begin)
    if match := SIDE_BEFORE.search(before):
        return "side", _span(match, begin)
    return "side", _span(SIDE_AFTER.search(after), mention.end)


def _span(match: re.Match[str] | None, offset: int) -> tuple[int, int] | None:
    return None if match is None else (match.start(1) + offset, match.end(1) + offset)


def _nearest(match: re.Match[str], parsed: Instruction) -> Place | None:
    """The place of a turn: the next one in its sentence, else the one before."""
    sentence = [edge.end() for edge in re.finditer(r"[.;:!?]+(?:\s|$)", parsed.masked)]
    begin = max([0, *(edge for edge in sentence if edge <= match.start())])
    end = min([len(parsed.masked), *(edge for edge in sentence if edge > match.end())])
    usable = [m for m in parsed.route if len(m.names) == 1 and begin <= m.start < end]
    after = [m for m in usable if m.start >= match.end()]
    return after[0] if after else usable[-1] if usable else None


def _fixed(parsed: Instruction) -> list[Place]:
    """Places that must stay: where it stops, what is denied, what stands on a named tile, and
    what is spoken of again as "it"."""
    mentions = parsed.places
    placed = [m for m, after in pairwise(mentions) if after.role == "side" and after.must]
    denied = [m for m in mentions if m.role not in ("start", "pass", "return") and not m.loose]
    again = []
    for match in IT.finditer(parsed.masked):
        before = [m for m in mentions if m.kind == "object" and m.start < match.start()]
        again += sorted(before, key=lambda m: m.start)[-1:]
    return [*(p for p in parsed.ends if not p.loose), *placed, *denied, *again]


def _ends(reference: Annotation) -> set[str]:
    """Names of the places where a trajectory starts and ends."""
    ends = (reference.events[0], reference.events[-1])
    return {name for e in ends for name in (e.tile, *(near.object for near in e.near)) if name}


def _exchange_place(text: str, parsed: Instruction, kind: Kind, out: str, into: str) -> GivenText:
    same = [m for m in parsed.places if m.names == (out,)]
    for mention in sorted(same, key=lambda m: -m.start):
        text = _put(text, mention.start, mention.end, words.spoken(into))
    return GivenText(text, kind, out, out, into)


def _put(text: str, start: int, end: int, word: str) -> str:
    """Replace a word, keeping a capital at its start and the article before it right."""
    if text[start].isupper():
        word = word[0].upper() + word[1:]
    before = re.sub(
        r"\b([Aa])n? $",
        lambda m: m[1] + ("n " if word[0].lower() in "aeiou" else " "),
        text[:start],
    )
    return before + word + text[end:]


def _reads_as(changed: GivenText, before: Instruction, scene: Scene) -> bool:
    """Whether the new text is read as the old one with the place exchanged, and nothing else."""
    assert changed.into is not None
    into = (changed.into,)
    expected = [replace(m, names=into) if m.names == (changed.out,) else m for m in before.places]
    after = parse(changed.text, scene)
    return [(m.names, m.kind, m.role == "avoid", m.side) for m in after.places] == [
        (m.names, m.kind, m.role == "avoid", m.side) for m in expected
    ]
