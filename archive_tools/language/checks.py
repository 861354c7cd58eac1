"""Does a text agree with its trajectory? The same checks for every source and for the dataset.

A text is refused for contradicting its drive (see `contradictions`), for numbers and talk of data,
and for length. It may leave things out, and it may have any form: `mend_form` makes a sentence of
it. Times, coordinates, numbers and talk of data do not belong in it.
"""

import re
from collections.abc import Sequence

from archive_tools.annotations import Annotation, similarity
from archive_tools.language.contradictions import contradictions
from archive_tools.language.instruction import Instruction, Place
from archive_tools.language.reader import PLACEHOLDER, parse
from envs.scene import Scene

MAX_WORDS = 150
"""Keeps a text under 206 tokens of the learned tokenizer."""

DATA_TALK = re.compile(
    r"\b(?:json|annotations?|annotated|data(?:set|base)?|time ?steps?|time ?stamps?|coordinates?"
    r"|[xy][- ]axis|bounding box(?:es)?|trajectories|parquet|csv|array|episode"
    r"|event (?:list|log)|descriptors?|(?:as an? )?(?:ai|language) (?:language )?model|prompt"
    r"|scene description|the (?:list|log|record)|i cannot|i can't|as requested)\b|[{}\[\]`|=_*]"
)
_STEP = re.compile(r"(?:(?<=\s)|^)(\d{1,2})[.)](?=\s)")
MEASURE = re.compile(
    r"\b(?:one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|fifteen|twenty|thirty"
    r"|forty|fifty|sixty|ninety|hundred|thousand)[ -](?:steps?|units?|pixels?"
    r"|met(?:er|re)s?|centimet(?:er|re)s?|inch(?:es)?|feet|foot|seconds?|minutes?|degrees?)\b"
)


def fill_descriptor(text: str, bd: Sequence[float]) -> str:
    """Put the BD, rounded to whole units, in the place of `<DESCRIPTOR>`: for people and LLMs."""
    place = "(" + ", ".join(f"{value:.0f}" for value in bd) + ")"
    return text.replace(PLACEHOLDER, place)


def mend_form(text: str) -> str:
    """The text as a sentence: one blank between words, a capital letter, a full stop at the end.

    Quotation marks around the whole of it go; nothing else is changed.
    """
    text = " ".join(text.split())
    for opening, closing in ('""', "''", "\u201c\u201d", "\u2018\u2019"):
        if len(text) > 1 and text[0] == opening and text[-1] == closing:
            text = text[1:-1].strip()
    if not text:
        return text
    if not re.search(r"""[.!?\u2026]["'\u201d)]*$""", text):
        text = text.rstrip(",;:- ") + "."
    return text[0].upper() + text[1:]


def check_text(
    text: str | None, annotation: Annotation, scene: Scene, *, max_words: int = MAX_WORDS
) -> list[str]:
    """Reasons why a text is not a true description of a trajectory; none if it is fine.

    Args:
        text: the description; the last place may be `<DESCRIPTOR>`.
        annotation: what the trajectory passed.
        scene: the objects, tiles and rooms that exist, with the words for them.
        max_words: longest text allowed.

    Returns:
        one line per reason, written so that it can be handed back to whoever wrote the text.
    """
    if text is None or not text.strip():
        return ["the text is empty"]
    instruction = parse(text, scene)
    reasons = _data_talk(text, instruction, max_words)
    reasons += contradictions(instruction, annotation, scene)
    named = instruction.places or instruction.unknown or PLACEHOLDER in text
    if annotation.visited and not named:
        reasons.append("names neither an object, nor a tile, nor the last place")
    return reasons


def _data_talk(text: str, instruction: Instruction, max_words: int) -> list[str]:
    """Length, numbers, measures and talk of data."""
    reasons = []
    masked = instruction.masked.replace(PLACEHOLDER.lower(), "~" * len(PLACEHOLDER))
    count = len(text.split())
    if count > max_words:
        reasons.append(f"too long: {count} words, at most {max_words}")
    if text.count(PLACEHOLDER) > 1:
        reasons.append(f"{PLACEHOLDER} stands in it more than once")
    if other := re.search(r"<[^>]*>?", masked):
        reasons.append(f"unknown placeholder {other.group()!r}; only {PLACEHOLDER} is allowed")
    steps = [int(m.group(1)) for m in _STEP.finditer(masked)]
    if len(steps) > 1 and steps == list(range(1, len(steps) + 1)):  # "1. The fan. 2. The bed."
        masked = _STEP.sub(lambda m: " " * len(m.group()), masked)
    if number := re.search(r"\S*\d\S*", masked):
        reasons.append(f"has a number: {number.group()!r}")
    if measure := MEASURE.search(masked):
        reasons.append(f"has a measurement: {measure.group()!r}")
    if talk := DATA_TALK.search(masked):
        reasons.append(f"talks of data, not of the drive: {talk.group()!r}")
    return reasons


def follow(visits: Sequence[Place], visited: Sequence[str]) -> list[int | None]:
    """Match places to a visited sequence, each to the first fitting visit after the one before.

    Returns:
        per place its index in `visited`, None where the order leaves it without one. With
        greedy matching there is no None if and only if the places are a subsequence.
    """
    matched: list[int | None] = []
    begin = 0
    for k, place in enumerate(visits):
        if k and place.pronoun and place.names == visits[k - 1].names:
            matched.append(matched[-1])  # "cross the desk and stop on its left": one visit
            continue
        index = next((k for k in range(begin, len(visited)) if visited[k] in place.names), None)
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
    instruction = parse(text, scene)
    told = [place for place in instruction.places if place.must]
    ratios = []
    for places in (instruction.route, told):  # by the stated order, and by that of the words
        matched = follow(places, visited)
        names = [visited[k] for k in matched if k is not None]
        ratios.append(float(similarity.lcs_ratio([names], [visited])[0]))
    last = [*instruction.ends, *told[-1:], *instruction.route[-1:]]
    end = PLACEHOLDER in text or any(visited[-1] in place.names for place in last)
    return max(ratios), end
