"""Does a text agree with its trajectory? The same checks for every source and for the dataset.

A text may leave things out; it may not bring things in. Whatever it mentions must have been driven,
in the order in which the mentions are met: the sequence of mentions is a subsequence of the
annotation's visited sequence. Times, coordinates, numbers and talk of data do not belong in it.
"""

import re
from collections.abc import Sequence

from archive_tools.annotations.events import Annotation
from archive_tools.annotations.routes import lcs_ratio
from archive_tools.language.mentions import PLACEHOLDER, Mention, Parsed, parse
from envs.geometry import COMPASS
from envs.scene import Scene

MAX_WORDS = 150
"""Keeps a text under 206 tokens of the learned tokenizer."""

DATA_TALK = re.compile(
    r"\b(?:json|annotations?|annotated|data(?:set|base)?|time ?steps?|time ?stamps?|coordinates?"
    r"|[xy][- ]axis|bounding box(?:es)?|trajector(?:y|ies)|parquet|csv|array|episode"
    r"|event (?:list|log)|descriptors?|(?:as an? )?(?:ai|language) (?:language )?model|prompt"
    r"|scene description|the (?:list|log|record)|i cannot|i can't|as requested)\b|[{}\[\]`|=_*]"
)
MEASURE = re.compile(
    r"\b(?:one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|fifteen|twenty|thirty"
    r"|forty|fifty|sixty|ninety|hundred|thousand)[ -](?:steps?|units?|pixels?"
    r"|met(?:er|re)s?|centimet(?:er|re)s?|inch(?:es)?|feet|foot|seconds?|minutes?|degrees?|times?)\b"
)
SENTENCE = re.compile(r"""(?s)^["'“(]?[A-Z<].*[.!?]["'”)]?$""")
MOVEMENT = re.compile(
    r"\b(?:approach|arriv|avoid|begin|began|bend|bent|bypass|circl|com(?:e|ing)|came|commenc|continu"
    r"|cross|cruis|curv|cut(?:ting)?|depart|double|driv|drov|end|enter|exit|finish|follow|get"
    r"|glid|go|went|got|halt|head|hug|keep|kept|leav|left|linger|loop|mak(?:e|ing)|made|move|moving"
    r"|navigat|orbit|oscillat|park|pass|past|proceed|pull|push|reach|remain|return|reverse|roll"
    r"|round|run|ran|scoot|set|shuttle|skim|skirt|slid|slip|stay|steer|stop|swerv|swing|swung"
    r"|sweep|swept|tak(?:e|ing)|took|tour|travel|travers|turn|veer|via|visit|wait|weav|wove|wend"
    r"|wind|wound|zigzag)\w*",
    re.IGNORECASE,
)


def fill_descriptor(text: str, bd: Sequence[float]) -> str:
    """Put the BD, rounded to whole units, in the place of `<DESCRIPTOR>`: for people and LLMs."""
    place = "(" + ", ".join(f"{value:.0f}" for value in bd) + ")"
    return text.replace(PLACEHOLDER, place)


def check_text(
    text: str | None, annotation: Annotation, scene: Scene, *, max_words: int = MAX_WORDS
) -> list[str]:
    """Reasons why a text is not a true description of a trajectory; none if it is fine.

    Args:
        text: the description; the last place may be `<DESCRIPTOR>`.
        annotation: what the trajectory passed.
        scene: the objects and tiles that exist.
        max_words: longest text allowed.

    Returns:
        one line per reason, written so that it can be handed back to whoever wrote the text.
    """
    if text is None or not text.strip():
        return ["the text is empty"]
    parsed = parse(text, scene)
    reasons = _form(text, parsed, max_words) + _existence(parsed)
    reasons += _visits(parsed, annotation) + _places(parsed, annotation)
    if annotation.visited and not parsed.mentions and PLACEHOLDER not in text:
        reasons.append("names neither an object, nor a tile, nor the last place")
    return reasons


def _form(text: str, parsed: Parsed, max_words: int) -> list[str]:
    reasons = []
    count = len(text.split())
    if count > max_words:
        reasons.append(f"too long: {count} words, at most {max_words}")
    if text.count(PLACEHOLDER) > 1:
        reasons.append(f"{PLACEHOLDER} stands in it more than once")
    if other := re.search(r"<[^>]*>?", parsed.masked):
        reasons.append(f"unknown placeholder {other.group()!r}; only {PLACEHOLDER} is allowed")
    if number := re.search(r"\S*\d\S*", parsed.masked):
        reasons.append(f"has a number: {number.group()!r}")
    if measure := MEASURE.search(parsed.masked):
        reasons.append(f"has a measurement: {measure.group()!r}")
    if talk := DATA_TALK.search(parsed.masked):
        reasons.append(f"talks of data, not of the drive: {talk.group()!r}")
    if not SENTENCE.match(text.strip()):
        reasons.append("is no sentence: it begins with a capital letter and ends with . ! or ?")
    if not MOVEMENT.search(parsed.masked):
        reasons.append("says nothing of going or stopping anywhere")
    return reasons


def _existence(parsed: Parsed) -> list[str]:
    reasons = [f"there is no {thing} here" for thing in dict.fromkeys(parsed.unknown)]
    reasons += [f"there is no {c} tile here" for c in dict.fromkeys(parsed.unknown_colours)]
    reasons += [
        f"gives the {thing} a colour ({colour}); only tiles have one"
        for colour, thing in dict.fromkeys(parsed.coloured)
    ]
    return reasons


def say(mention: Mention) -> str:
    """A mention as reasons name it."""
    return f"the {mention.words} tile" if mention.kind == "tile" else f"the {mention.words}"


def follow(visits: Sequence[Mention], visited: Sequence[str]) -> list[int | None]:
    """Match mentions to a visited sequence, each to the first fitting visit after the one before.

    Returns:
        per mention its index in `visited`, None where the order leaves it without one. With
        greedy matching there is no None if and only if the mentions are a subsequence.
    """
    matched: list[int | None] = []
    begin = 0
    for mention in visits:
        index = next((k for k in range(begin, len(visited)) if visited[k] in mention.names), None)
        matched.append(index)
        if index is not None:
            begin = index + 1
    return matched


def route_told(text: str, annotation: Annotation, scene: Scene) -> tuple[float, bool]:
    """How much of its trajectory a text tells.

    Returns:
        the LCS ratio of the places it has met and the visited sequence (1 where nothing was
        visited), and whether its last place, or `<DESCRIPTOR>`, is where the drive ends.
    """
    visited = annotation.visited
    if not visited:
        return 1.0, True
    mentions = parse(text, scene).mentions
    matched = follow([m for m in mentions if m.role == "visit"], visited)
    names = [visited[k] for k in matched if k is not None]
    end = PLACEHOLDER in text or (bool(mentions) and visited[-1] in mentions[-1].names)
    return float(lcs_ratio([names], [visited])[0]), end


def _visits(parsed: Parsed, annotation: Annotation) -> list[str]:
    visited = annotation.visited
    reasons = []
    for mention in parsed.mentions:
        met = any(name in visited for name in mention.names)
        if mention.role == "negated" and met:
            reasons.append(f"says that {say(mention)} is not met, but it is")
        elif mention.role != "negated" and not met:
            reasons.append(f"{say(mention)} is never met")
    steps = [m for m in parsed.visits if any(name in visited for name in m.names)]
    for k, index in enumerate(follow(steps, visited)):
        if index is None:
            before = f" after {say(steps[k - 1])}" if k else ""
            reasons.append(
                f"wrong order: {say(steps[k])} is not met{before}; "
                f"the order is {', '.join(visited)}"
            )
            break
    return reasons


def _places(parsed: Parsed, annotation: Annotation) -> list[str]:
    """Sides, places of objects, and the stop, against the events."""
    reasons = []
    sides: dict[str, set[str]] = {}
    tiles: dict[str, set[str]] = {}
    for event in annotation.events:
        for near in event.near:
            sides.setdefault(near.object, set()).add(near.relation)
            tiles.setdefault(near.object, set()).add(event.tile)
    last_object: Mention | None = None
    for mention in parsed.mentions:
        if mention.role == "negated":
            continue
        if mention.kind == "object":
            last_object = mention
            seen = set().union(*(sides.get(name, set()) for name in mention.names))
            if mention.side and seen and not _beside(mention.side, seen):
                reasons.append(f"{say(mention)} is not passed on its {mention.side} side")
        elif mention.role == "place" and last_object is not None:
            under = set().union(*(tiles.get(name, set()) for name in last_object.names))
            if under and not under & set(mention.names):
                reasons.append(f"{say(last_object)} is not met on {say(mention)}")
    last = annotation.events[-1]
    there = {last.tile, *(near.object for near in last.near)}
    reasons += [
        f"stops at {say(mention)}, but the drive ends elsewhere"
        for mention in parsed.stop
        if not there & set(mention.names)
    ]
    return reasons


def _beside(side: str, seen: set[str]) -> bool:
    """Whether the robot was on that side of it, or within 45 degrees of it, or right on it."""
    index = COMPASS.index(side)
    near = {COMPASS[(index + turn) % len(COMPASS)] for turn in (-1, 0, 1)}
    return bool(near & seen) or "on" in seen
