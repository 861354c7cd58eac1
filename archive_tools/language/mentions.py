"""What a text says about a scene: which objects and tiles it mentions, in which order they are met.

One parser serves the checks of descriptions and the judge by rules. A mention is a name or synonym
of an object, or the name of a tile. Mentions come out in the order in which the robot would meet
them, which is the order of the words except in the inversions that English allows: "before the bed,
pass the fan", "go to the bed via the fan", "stop by the bed, having passed the fan", "pass the fan
after the bed", "go to the bed, passing the fan on the way".
"""

import re
from dataclasses import dataclass, field, replace
from functools import lru_cache
from itertools import pairwise, zip_longest
from typing import Literal

from archive_tools.language.words import (
    COLOUR_SYNONYMS,
    COLOURS,
    KNOWN_THINGS,
    SIDE,
    alternatives,
    plural,
    spoken,
)
from envs.scene import Scene

PLACEHOLDER = "<DESCRIPTOR>"


@dataclass(frozen=True)
class Mention:
    """A place named in a text."""

    names: tuple[str, ...]
    """Names in the scene that the words may mean: one, unless the scene has a sofa and a couch."""
    kind: Literal["object", "tile"]
    start: int
    end: int
    words: str
    role: Literal["visit", "place", "negated"] = "visit"
    """visit: met in turn. place: says where the mention before it is ("the fan on the red tile").
    negated: said not to be met ("avoid the fan")."""
    side: str | None = None
    """Compass word of the side on which it is passed, where the text says one."""


@dataclass
class Parsed:
    """The mentions of a text, in the order in which the text has them met."""

    mentions: list[Mention] = field(default_factory=list)
    unknown: list[str] = field(default_factory=list)
    """Words for things that the scene does not hold."""
    unknown_colours: list[str] = field(default_factory=list)
    coloured: list[tuple[str, str]] = field(default_factory=list)
    """(colour, object) where a text gives an object a colour; the scene gives it none."""
    stop: list[Mention] = field(default_factory=list)
    """Where the text has the robot stop: the mentions of its last clause, if that is a stop."""
    masked: str = ""
    """The text in lower case, with mentions and placeholder blotted out by `#` and `~`."""

    @property
    def visits(self) -> list[Mention]:
        """Places to be met, in order; one said twice is to be met twice."""
        return [m for m in self.mentions if m.role == "visit"]


@dataclass(frozen=True)
class Lexicon:
    """The words of one scene: each maps to the names it may mean."""

    objects: dict[str, tuple[str, ...]]
    tiles: dict[str, tuple[str, ...]]
    pattern: re.Pattern[str]


def _group(pairs: list[tuple[str, str]]) -> dict[str, tuple[str, ...]]:
    grouped: dict[str, tuple[str, ...]] = {}
    for word, name in pairs:
        grouped[word] = tuple(dict.fromkeys((*grouped.get(word, ()), name)))
    return grouped


@lru_cache(maxsize=32)
def lexicon(scene: Scene) -> Lexicon:
    """The words by which a text may mention the objects and tiles of `scene`."""
    pairs = [
        (form.lower(), name)
        for name in scene.object_names
        for word in alternatives(name)
        for form in (word, plural(word))
    ]
    objects = _group(pairs)
    for name in scene.object_names:  # an object's own name is never another's synonym
        objects[spoken(name).lower()] = (name,)
    tiles = _group(
        [
            (word.lower(), name)
            for name in scene.tile_names
            for word in (spoken(name), *_colour_words(name))
        ]
    )
    for name in scene.tile_names:
        tiles[spoken(name).lower()] = (name,)
    foreign = {form for thing in KNOWN_THINGS for form in (thing, plural(thing))} | COLOURS
    words = sorted({*objects, *tiles, *foreign}, key=lambda word: (-len(word), word))
    # Between the words of a name a text may have a hyphen or several blanks.
    choice = "|".join(r"[-\s]+".join(re.escape(part) for part in word.split()) for word in words)
    return Lexicon(objects, tiles, re.compile(rf"(?<![\w<])(?:{choice})(?![\w>])"))


def _colour_words(name: str) -> tuple[str, ...]:
    synonyms = COLOUR_SYNONYMS.get(spoken(name).lower())
    return synonyms.all if synonyms else ()


SEQUENCE = (
    r"\b(?:then|next|after(?:wards)?|finally|before|until|past|through|cross\w*|via|having)\b"
)
STOP = re.compile(
    r"(?<!the )(?<!its )(?<!east )(?<!west )(?<!north )(?<!south )"
    r"\b(?:stop(?:s|ped|ping)?|halt(?:s|ed|ing)?|finish(?:es|ed|ing)?|end(?:s|ed|ing)?(?: up)?"
    r"|park(?:s|ed|ing)?|(?:come|comes|came|coming) to (?:a |an )?(?:rest|stop|halt|standstill)"
    r"|settle[sd]?|settling|wait(?:s|ed|ing)?|stay(?:s|ed|ing)?|remain(?:s|ed|ing)?"
    r"|arriv(?:e|es|ed|ing))\b"
)
NEGATION = re.compile(
    r"\b(?:avoid(?:s|ed|ing)?|without|instead of|rather than|(?:do|does|did|should|must) not"
    r"|(?:do|does|did|should|must)n't|don't|doesn't|didn't|never|not)\b"
)
NEGATION_END = re.compile(r"[,.;:!?]|\b(?:but|and then|then|and)\b")
PLACED = re.compile(
    rf"^[\s,]*(?:which is |that is |standing |right |just )?(?:on|in|inside|within|of|at)"
    rf"(?: the (?:{SIDE}|corner|edge|middle|centre|center)[^,.;]{{0,30}}? of)?[\s]+(?:the )?$"
)
SIDE_BEFORE = re.compile(
    rf"\b({SIDE})(?:ern)?(?:(?: |-)(?:side|edge|end|face))? of (?:the |that |its )?$"
)
SIDE_AFTER = re.compile(
    rf"^ (?:on|along|by|to|at|from) (?:its|the|their) ({SIDE})(?:ern)?\b(?! of)"
)


def parse(text: str, scene: Scene) -> Parsed:
    """Find what `text` mentions of `scene`.

    Args:
        text: one or more English sentences; may hold `<DESCRIPTOR>`.
        scene: with the names that count.
    """
    words = lexicon(scene)
    lower = text.replace("\u2019", "'").replace("\u2011", "-").lower()
    parsed = Parsed()
    found: list[Mention] = []
    masked = list(lower)
    hits = list(words.pattern.finditer(lower))
    for hit, following in zip_longest(hits, hits[1:]):
        word = re.sub(r"[-\s]+", " ", hit.group())
        key = word if word in words.objects or word in words.tiles else hit.group()
        masked[hit.start() : hit.end()] = "#" * (hit.end() - hit.start())
        if key in words.objects:
            found.append(Mention(words.objects[key], "object", hit.start(), hit.end(), hit.group()))
            continue
        named = following.group() if following else ""
        adjective = bool(following and not lower[hit.end() : following.start()].strip(" -"))
        if adjective and named in words.objects and key in COLOURS:
            parsed.coloured.append((hit.group(), named))
        elif key in words.tiles and not (adjective and named in words.objects):
            found.append(Mention(words.tiles[key], "tile", hit.start(), hit.end(), hit.group()))
        elif key in COLOURS and key not in words.tiles:
            parsed.unknown_colours.append(hit.group())
        elif key not in words.tiles:
            parsed.unknown.append(hit.group())
    parsed.masked = "".join(masked).replace(PLACEHOLDER.lower(), "~" * len(PLACEHOLDER))
    found = [_with_role(m, lower, found[k - 1] if k else None) for k, m in enumerate(found)]
    found = _negate(found, parsed.masked)
    for begin, end in _sentences(parsed.masked):
        inside = [m for m in found if begin <= m.start < end]
        parsed.mentions += _driven_order(inside, parsed.masked[begin:end], begin)
    parsed.stop = _stop(parsed)
    return parsed


def _with_role(mention: Mention, lower: str, before: Mention | None) -> Mention:
    """Tell a place ("… the fan on the red tile") from a visit; find the side it is passed on."""
    if mention.kind == "object":
        side = SIDE_BEFORE.search(lower[max(0, mention.start - 40) : mention.start])
        side = side or SIDE_AFTER.search(lower[mention.end : mention.end + 40])
        if side:
            return replace(mention, side=re.sub(r"^(north|south)[- ]?(east|west)$", r"\1-\2",
                                                side.group(1)))  # fmt: skip
        return mention
    if before and before.kind == "object" and PLACED.match(lower[before.end : mention.start]):
        return replace(mention, role="place")
    return mention


def _negate(mentions: list[Mention], masked: str) -> list[Mention]:
    spans = []
    for match in NEGATION.finditer(masked):
        end = NEGATION_END.search(masked, match.end())
        spans.append((match.end(), end.start() if end else len(masked)))
    return [
        replace(m, role="negated") if any(a <= m.start < b for a, b in spans) else m
        for m in mentions
    ]


def _sentences(masked: str) -> list[tuple[int, int]]:
    edges = [0, *(m.end() for m in re.finditer(r"[.;:!?]+(?:\s|$)", masked)), len(masked)]
    return [(a, b) for a, b in pairwise(edges) if a < b]


# At the start of a clause these words name what comes later ("before the bed, pass the fan").
FRONTED = re.compile(r"(?:^\W*|, (?:and |but )?)(?:before|on (?:the|your|its) way to)\b[^,]*,")
# Within a clause these name what comes earlier ("stop by the bed after the fan").
EARLIER = re.compile(
    r",? (?:but )?(?:after|via|by way of|having|but first|once (?:you|it) ha(?:ve|s))\b"
)
ON_THE_WAY = re.compile(
    r", \w+ing\b.*\b(?:on (?:the|your|its) way(?! to)|en route|along the way)\b"
)
CLAUSE = re.compile(r", |\bthen\b|\band\b|\bbut\b")


def _driven_order(mentions: list[Mention], masked: str, offset: int) -> list[Mention]:
    """Turn the mentions of one sentence from the order of words into that of the drive."""
    if len(mentions) < 2:
        return mentions
    position = {id(m): float(m.start - offset) for m in mentions}

    def inside(begin: int, end: int) -> list[Mention]:
        return [m for m in mentions if begin <= m.start - offset < end]

    def move(group: list[Mention], target: float) -> None:
        for rank, mention in enumerate(group):
            position[id(mention)] = target + (rank + 1) / (len(group) + 2)

    for match in FRONTED.finditer(masked):
        clause = re.search(r", (?:and )?then\b|$", masked[match.end() :])
        until = match.end() + (clause.start() if clause else 0)
        later = inside(match.end(), until)
        if later and not re.match(r"\s*(?:and|then|finally|stop)\b", masked[match.end() :]):
            move(inside(match.start(), match.end()), later[-1].start - offset)
    for pattern in (EARLIER, ON_THE_WAY):
        for match in pattern.finditer(masked):
            end = re.search(r", |\bthen\b|\band (?:stop|finish|end)|$", masked[match.end() :])
            until = match.end() + (end.start() if end else 0)
            if pattern is ON_THE_WAY:
                until = match.end()
            first = inside(match.start(), until)
            goes_on = bool(inside(until, len(masked)))
            if "after" in match.group() and match.group().startswith(",") and goes_on:
                continue  # ", after the fan, go to the bed" opens a clause of its own
            edges = [m.end() for m in CLAUSE.finditer(masked[: match.start()])]
            for edge in reversed([0, *edges]):  # the clause before, back to one with a mention
                if goal := inside(edge, match.start()):
                    move(first, goal[0].start - offset - 1)
                    break
    return sorted(mentions, key=lambda m: position[id(m)])


def _stop(parsed: Parsed) -> list[Mention]:
    """The mentions of the last clause, if it says that the robot stops there."""
    stops = list(STOP.finditer(parsed.masked))
    if not stops or not parsed.mentions or "~" in parsed.masked[stops[-1].start() :]:
        return []
    start = stops[-1].end()
    cut = re.search(SEQUENCE, parsed.masked[start:])
    end = start + cut.start() if cut else len(parsed.masked)
    there = [m for m in parsed.mentions if start <= m.start < end and m.role != "negated"]
    return there if parsed.mentions[-1] in there else []
