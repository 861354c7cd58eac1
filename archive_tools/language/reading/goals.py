"""Texts that name their goal before the way, and ends that are not stated."""

import re
from dataclasses import dataclass

from archive_tools.language.reading.cues import VERBS
from archive_tools.language.reading.findings import Roles
from archive_tools.language.reading.keys import SEQUEL, Keys
from archive_tools.language.reading.simplify import PLACEHOLDER, D, P, Simple

_PASSING = re.compile(
    r"\b(?:then|first|after|past|start|begin|over|through|cross|pass|round|touch|from|leave)\b"
)
ARRIVES = re.compile(
    rf"\b(?:to|into|onto|inside|at|until|reach|enter|for|on|in|as far as)(?: {D})?(?: (?:side"
    rf"|part|half|corner|edge|end|middle|centre|wall|bit|hand|of|in|'s))*(?: {D} of)?(?: that"
    rf"| this| same)? $"
)
_FRAGMENT = frozenset(
    [
        ",",
        "of",
        "in",
        "at",
        "on",
        "by",
        "near",
        "inside",
        "below",
        "above",
        "behind",
        "between",
        "middle",
        "center",
        "centre",
        "corner",
        "side",
        "edge",
        "end",
        "part",
        "half",
        "bit",
        "wall",
        "back",
        "front",
        "far",
        "just",
        "right",
        "so",
        "ok",
        "hey",
        "okay",
        "hm",
        "hmm",
        "uh",
        "well",
        "somewhere",
        "next",
        "to",
        "outer",
        "spot",
        "hand",
        "first",
        "last",
        "inner",
        "head",
        "foot",
        "rim",
        "tip",
        "mm",
        "oh",
        "and",
        "floor",
        "back's",
    ]
)
"""Words that may stand before a place in a goal without a verb: "lower end of the sofa"."""
_LEADS_ON = re.compile(r"\b(?:to|into|onto|then|in|reach|enter|approach)\b")
_LEAVES = re.compile(
    rf"\b(?:back|return|descend|down|come|off)\b[^,;:.{P[1:-1]}]*\b(?:to|into)\b[^,;:.{P[1:-1]}]*$"
)
_GOAL_VERB = re.compile(
    r"(?:[a-z,]+ ){0,6}?(?:go|get|reach|come|take|drive|head|make|proceed|bring|find|route"
    r"|approach|want"
    r"|see|visit|enter|access|meet|park|goal|trip|tour|wait|need)\b"
)

_NEEDS = re.compile(
    rf"{P} (?:[a-z]+ ){{0,3}}?(?:be|need|want|have|stand|lie|miss)\b[^,.;:{P[1:-1]}]*, (?:so"
    rf"|and so)\b"
)
_FIRST_PART = re.compile(
    rf"[^.;!?:{P[1:-1]}]*{P}[^.;!?:]*?(?=$|[.;!?:]|, but\b|\bbut\b|\bvia\b|\bby way\b"
    r"|, (?:first|after|from|via|ing|reach|by way|so|not|do not)\b|\bafter\b|\bonce\b"
    r"|\bexcept\b)"
)
_ON_THE_MOVE = re.compile(
    r"\b(?:then|first|after|past|start|begin|over|through|cross|pass|touch|round|before|lap"
    r"|again|circle|from|leave|never|stay)\b"
)
_WAY_FOLLOWS = re.compile(
    r"(?:, )?(?:but|via|by way|after(?! (?:that|this)\b)|except|first|from|ing|reach|by way"
    r"|once|so)\b"
)


def find_repeats(
    simple: Simple, roles: Roles, keys: Keys, sentences: list[tuple[int, int]]
) -> None:
    """Places named once more to go on from: "to the fan. After the fan, …", "from the fan to"."""
    for begin, end in sentences:
        opening = re.match(
            rf"(?:and |then )?(?:after|once|when|having|from)\b[^,.;]*?{P}", simple.line[begin:end]
        )
        for k in keys.inside(begin, end):
            at = keys.where[k]
            opens = opening is not None and begin + opening.end() == at + 1
            if not opens and not re.search(
                r"\bfrom (?:that |it |this )?$", simple.line[max(0, at - 12) : at]
            ):
                continue
            earlier = keys.inside(0, at)
            if not earlier or roles.role[earlier[-1]] in ("avoid", "mark"):
                continue
            if simple.places[earlier[-1]].sense.names == simple.places[k].sense.names:
                keys.forget([k])
                roles.repeated.add(k)


@dataclass(frozen=True, slots=True)
class _Opening:
    """The first part of a text, which may name the goal before the way is told."""

    words: str
    head: list[int]
    """Places to be met in it."""
    sign: str
    """What follows it."""
    verb: bool
    listed: bool
    """It names more than one thing or more than one room."""

    @property
    def full(self) -> bool:
        return self.sign[:1] in (".", "!", "?", ";", ":")

    @property
    def leads(self) -> bool:
        return self.sign[:1] == ":" or _WAY_FOLLOWS.match(self.sign) is not None

    @property
    def sequel(self) -> bool:
        following = self.sign.lstrip(".;!? ")
        return bool(SEQUEL.match(following)) and not following.startswith(("in ", "on "))


def find_goal(simple: Simple, roles: Roles, keys: Keys, sentences: list[tuple[int, int]]) -> None:
    """Recognise a text that names its goal before it tells the way there."""
    line = simple.line
    stated = any(role == "end" for role in roles.role)
    if _bare_room(simple, roles, keys, stated):
        return
    if reason := _NEEDS.match(line):
        keys.forget(keys.inside(0, reason.end()))  # "the plant needs water, so go …"
    opening = _opening(simple, keys)
    if opening is None:
        return
    head, words = opening.head, opening.words
    if opening.sign[:1] in ("!", "?") and len(head) == 1 and (opening.verb or stated or roles.here):
        keys.forget(head)
    if opening.listed or _ON_THE_MOVE.search(words):
        alone = len({n for k in head for n in simple.places[k].sense.names}) == 1
        told = opening.full and opening.sign[0] != ":" and not _PASSING.search(words)
        if told and alone and not SEQUEL.match(opening.sign.lstrip(" .!?;")):
            keys.forget(head)
        return
    arrives = ARRIVES.search(line[max(0, keys.where[head[0]] - 24) : keys.where[head[0]]])
    goal = bool(_GOAL_VERB.match(words)) and bool(
        arrives or re.search(r"\b(?:reach|visit|see|find|approach|enter)\b", words)
    )
    if stated or roles.here:
        _goal_before_stop(roles, keys, opening, goal, stated)
    elif not opening.sequel or opening.leads:
        _goal_as_end(simple, roles, keys, opening, goal, sentences[0])


def _bare_room(simple: Simple, roles: Roles, keys: Keys, stated: bool) -> bool:
    """ "Red room, right of the statue": now or at last? "Red room, top left": the end."""
    line = simple.line
    bare = re.match(rf"(?:{P}|{D})(?: (?:{D}|of|[a-z]+)){{0,3}} ,(?! {P} ,)", line)
    opening = keys.inside(0, bare.end()) if bare else []
    if len(opening) != 1 or simple.places[opening[0]].sense.kind == "object":
        return False
    keys.forget(opening)
    part = re.match(
        rf"{P} , (?:about |in |at |near )?(?:{D}|middle|centre|corner)(?! of {P})", line
    )
    if not part or stated or roles.stop:
        return False
    roles.role[opening[0]], roles.loose[opening[0]] = "end", True
    return True


def _opening(simple: Simple, keys: Keys) -> _Opening | None:
    line = simple.line
    first = _FIRST_PART.match(line)
    if not first or PLACEHOLDER.lower() in line:
        return None
    head = keys.inside(0, first.end())
    if not head or not keys.inside(first.end(), len(line)):
        return None
    kinds = [simple.places[k].sense.kind for k in head]
    words = first.group()
    verb = any(word in VERBS for word in words.split()) or not all(
        word in _FRAGMENT or re.match(D, word) for word in re.split(P, words)[0].split()
    )
    listed = kinds.count("object") > 1 or len(kinds) - kinds.count("object") > 1
    return _Opening(words, head, line[first.end() :].lstrip(), verb, listed)


def _goal_before_stop(
    roles: Roles, keys: Keys, opening: _Opening, goal: bool, stated: bool
) -> None:
    """Where the stop is told later, the goal is not the first place on the way."""
    if opening.sequel or not (not opening.verb or goal or opening.full):
        return
    head = opening.head
    keys.forget(head)
    unsaid = roles.here and not stated and opening.full and len(head) == 1
    if unsaid and (not opening.verb or (goal and roles.here != "it")):
        roles.role[head[0]], roles.loose[head[0]] = "end", True


def _goal_as_end(
    simple: Simple,
    roles: Roles,
    keys: Keys,
    opening: _Opening,
    goal: bool,
    sentence: tuple[int, int],
) -> None:
    head, words = opening.head, opening.words
    how = re.search(r"\b(?:way|route|shortcut|detour|clockwise|via|anticlockwise)\b", words)
    if not opening.verb or (goal and (opening.leads or how)):
        for k in head:
            roles.role[k] = "end"
        roles.goal.update(head)
        # "the couch via the red room. Over the tub, …": a summary as well
        begin, end = sentence
        summary = re.match(r"(?:, )?(?:via|after|from|by way|reach)\b", opening.sign)
        if end < len(simple.line) and summary:
            keys.forget([k for k in keys.inside(begin, end) if k not in head])
    elif (opening.full or opening.leads) and not opening.sequel:
        keys.forget(head)


def _later_end(simple: Simple, roles: Roles, keys: Keys) -> None:
    """A goal that the drive is said to leave for a last place is none: "… and back down to"."""
    last = len(keys.where) - 1
    ends = {k for k, role in enumerate(roles.role) if role == "end"}
    if not ends or ends - roles.goal or last in ends or keys.key[last] is None:
        return
    if any(simple.places[k].sense.names == simple.places[last].sense.names for k in ends):
        return
    before = simple.line[max(0, keys.where[last] - 48) : keys.where[last]]
    if ARRIVES.search(before) and _LEAVES.search(before):
        for k in ends:
            roles.role[k] = "pass"
            keys.forget([k])


def _room_of(simple: Simple, roles: Roles, keys: Keys, earlier: list[int]) -> list[int]:
    """The room that "the far corner" is a part of, where it is the last place, or that of it."""
    if not earlier or simple.places[earlier[-1]].sense.kind != "object":
        return earlier
    rooms = [k for k in earlier if simple.places[k].sense.kind != "object"]
    things = [k for k in earlier[earlier.index(rooms[-1]) + 1 :]] if rooms else []
    return [rooms[-1]] if len(things) == 1 and roles.role[rooms[-1]] != "start" else []


def find_end(simple: Simple, roles: Roles, keys: Keys, sentences: list[tuple[int, int]]) -> None:
    """Where no place is named as the end: what "its left side" refers to, or the last place."""
    line = simple.line
    _later_end(simple, roles, keys)
    if any(r == "end" for r in roles.role) or PLACEHOLDER.lower() in line:
        return
    ranked = sorted(
        (k for k, key in enumerate(keys.key) if key is not None), key=lambda k: keys.key[k] or 0.0
    )
    if roles.here and roles.stop:
        earlier = [
            k
            for k, at in enumerate(keys.where)
            if at < roles.stop[0] and roles.role[k] not in ("avoid", "mark")
        ]
        if roles.here == "it" and len(earlier) > 1:  # "to the cupboard in the red room and … on it"
            thing, place = (keys.where[k] for k in earlier[-2:])
            if re.fullmatch(r"(?: [a-z]+)? (?:in|of|inside) ", line[thing + 1 : place]):
                earlier.pop()
        if roles.here == "room":
            earlier = _room_of(simple, roles, keys, earlier)
        goal = keys.goals[-1] if keys.goals else -1
        if (
            earlier
            and goal in earlier
            and not _LEADS_ON.search(line[keys.where[goal] : keys.where[earlier[-1]]])
        ):
            earlier = [goal]
        if earlier and (
            keys.key[earlier[-1]] is None
            or earlier[-1]
            == max(earlier, key=lambda k: (keys.key[k] is not None, keys.key[k] or 0.0))
        ):
            roles.here_place = earlier[-1]
        return
    met = [k for k, r in enumerate(roles.role) if r not in ("avoid", "mark")]
    if not ranked or ranked[-1] != met[-1]:
        return
    last = ranked[-1]
    names = simple.places[last].sense.names
    if roles.role[last] == "return" and any(
        simple.places[k].sense.names == names for k in ranked[:-1]
    ):
        return
    before = simple.line[max(0, keys.where[last] - 24) : keys.where[last]]
    if not ARRIVES.search(before) or re.search(r"\b(?:keep|stay) ", before):
        return
    if roles.role[last] == "side" and roles.side[last] is None:
        return
    clean = re.fullmatch(
        rf"(?: 's| {D}| of it| part| side| half| corner| edge| end| in| its| ,| please| again"
        rf"| middle)*[ .!?)]*",
        line[keys.where[last] + 1 :],
    )
    roles.guessed = clean is None
    roles.role[last] = "end"
    roles.loose[last] = True
