"""The one reader of texts: `parse(text, scene)` finds the places of a text, their roles and order.

It knows English for driving (`cues`, `roles`, `order`) and takes every name from the scene.
"""

import re
from dataclasses import replace
from functools import lru_cache

from archive_tools.language.instruction import Instruction, Place, Role
from archive_tools.language.reading.ends import read_leads
from archive_tools.language.reading.lexicon import lexicon
from archive_tools.language.reading.order import read_order
from archive_tools.language.reading.roles import Roles, read_roles
from archive_tools.language.reading.settle import settle
from archive_tools.language.reading.simplify import PLACEHOLDER, P, Simple, simplify
from envs.scene import Scene

_GOVERNED = re.compile(
    r"\b(?:past|over|to|at|by|near|through|into|onto|round|cross|pass|visit|enter|reach|circle|via"
    rf"|from|approach|toward|above|below|behind|stop|next|touch|find|in|on|of|leave|between"
    rf"|exit)(?: that| this)? $|{P}(?: ,)?(?: and| or)? $"
)
_FIRM = re.compile(
    r"\b(?:(?:on|at|in|by|near|along|against|beside|behind|front|under|beneath)\b|just|directly|immediately|close"
    r"|right (?=left|right|above|below|under|north|south|east|west|at|by|on|in))[a-z' -]{0,25}$"
)
_SENTENCE_END = re.compile(r"(?<!\d)[.!?]\s+")
_COLOUR_PLACE = re.compile(
    r"^(?: *[,.;!?]| (?:and|then|again|before|by|with|while|to|over|on|past|near|at|in|from"
    r"|until|via|through|across|as)\b|\W*$|\W*(?:room|tile|floor|area|one|patch|square|floor"
    r"|space)(?:e?s)?\b)"
)


@lru_cache(maxsize=2**15)
def parse(text: str, scene: Scene) -> Instruction:
    """Read a text about a drive. A text is checked, planned and measured: it is read but once.

    Args:
        text: English in any form: sentences, notes, typing errors; may hold `<DESCRIPTOR>`.
        scene: its objects, tiles and rooms with their names and aliases.

    Returns:
        what was understood; nothing is refused.
    """
    simple = simplify(text, lexicon(scene))
    if begin := _greeting(text, simple):
        inner = parse(text[begin:], scene)
        moved = (replace(p, start=p.start + begin, end=p.end + begin) for p in inner.places)
        return replace(inner, places=tuple(moved), masked=simple.masked)
    roles = read_roles(simple)
    keys = read_order(simple, roles)
    places = settle(_places(text, simple, roles, keys), lexicon(scene).containing)
    return Instruction(
        places=places,
        unknown=_unknown(text, simple, roles),
        has_target=PLACEHOLDER in text,
        masked=simple.masked,
    )


def _greeting(text: str, simple: Simple) -> int:
    """Where the first sentence begins that names a place; what stands before it is no command."""
    named = [span.start for span in simple.places]
    if PLACEHOLDER in text:
        named.append(text.index(PLACEHOLDER))
    first = min(named, default=0)
    return max((m.end() for m in _SENTENCE_END.finditer(text, 0, first)), default=0)


def _places(text: str, simple: Simple, roles: Roles, keys: list[float | None]) -> tuple[Place, ...]:
    ranks = {key: rank for rank, key in enumerate(sorted({k for k in keys if k is not None}))}
    leads = read_leads(simple)
    places = []
    for k, span in enumerate(simple.places):
        if k in roles.repeated or (not span.sense.names and span.sense.kind != "room"):
            continue
        cue, key = roles.role[k], keys[k]
        role: Role = "side" if cue == "mark" or k in roles.beside else cue
        if cue == "side" and roles.side[k] is not None:
            role = "pass"
        head = text[max(0, span.start - 40, simple.places[k - 1].end if k else 0) : span.start]
        places.append(
            Place(
                names=span.sense.names,
                kind=span.sense.kind,  # type: ignore[arg-type]
                start=span.start,
                end=span.end,
                words=text[span.start : span.end],
                role=role,
                side=roles.side[k],
                touch=roles.touch[k],
                rank=None if key is None else ranks[key],
                must=cue not in ("mark", "avoid") and k not in roles.near,
                at_end=cue == "end",
                chain=roles.chain.get(k, 0),
                floor=simple.places[roles.floor[k]].sense.names if k in roles.floor else (),
                pronoun=cue == "end" and roles.guessed,
                loose=roles.loose[k],
                lead=leads[k],
                firm=_FIRM.search(head.lower()) is not None,
            )
        )
        if k in roles.untouched:
            ban = replace(places[-1], role="avoid", touch=True, rank=None, must=False, at_end=False)
            places.append(ban)
        if roles.here_place == k:  # "cross the desk and stop on its left"
            end = replace(
                places[-1], role="end", at_end=True, pronoun=True, loose=True,
                side=roles.here_side or places[-1].side, touch=False,
            )  # fmt: skip
            again = span.sense.kind == "object" or _left_since(simple, roles, k)
            places[-1:] = [places[-1], end] if again else [end]
    return tuple(places)


def _left_since(simple: Simple, roles: Roles, k: int) -> bool:
    """Whether another place is named between a place and the stop that refers to it."""
    since = simple.line[: roles.stop[0]] if roles.stop else ""
    return any(simple.place_at(m.start()) > k for m in re.finditer(P, since))


def _unknown(text: str, simple: Simple, roles: Roles) -> tuple[str, ...]:
    line = simple.line
    found = []
    for match in re.finditer(P, line):
        k = simple.place_at(match.start())
        span = simple.places[k]
        if span.sense.names or span.sense.kind == "room" or roles.role[k] in ("avoid", "mark"):
            continue
        noun = " " in text[span.start : span.end].strip() or _COLOUR_PLACE.search(text[span.end :])
        if span.sense.kind == "foreign colour" and not noun:
            continue
        if _GOVERNED.search(line[max(0, match.start() - 30) : match.start()]):
            found.append(text[span.start : span.end])
    return tuple(dict.fromkeys(found))


__all__ = ["PLACEHOLDER", "parse"]
