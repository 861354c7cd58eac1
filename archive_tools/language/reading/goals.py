"""Texts that name their goal before the way, and ends that are not stated."""

import re

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


def find_goal(simple: Simple, roles: Roles, keys: Keys, sentences: list[tuple[int, int]]) -> None:
    """Recognise a text that names its goal before it tells the way there."""
    line = simple.line
    stated = [k for k, r in enumerate(roles.role) if r == "end"]
    bare = re.match(rf"(?:{P}|{D})(?: (?:{D}|of|[a-z]+)){{0,3}} ,", line)
    opening = keys.inside(0, bare.end()) if bare else []
    if len(opening) == 1 and simple.places[opening[0]].sense.kind != "object":
        keys.forget(opening)  # "red room, right of the statue": now or at last?
        part = re.match(
            rf"{P} , (?:about |in |at |near )?(?:{D}|middle|centre|corner)(?! of {P})", line
        )
        if part and not stated and not roles.stop:
            roles.role[opening[0]], roles.loose[opening[0]] = "end", True
            return
    if reason := re.match(
        rf"{P} (?:[a-z]+ ){{0,3}}?(?:be|need|want|have|stand|lie|miss)\b[^,.;:{P[1:-1]}]*, (?:so"
        rf"|and so)\b",
        line,
    ):
        keys.forget(keys.inside(0, reason.end()))  # "the plant needs water, so go …"
    first = re.match(
        rf"[^.;!?:{P[1:-1]}]*{P}[^.;!?:]*?(?=$|[.;!?:]|, but\b|\bbut\b|\bvia\b|\bby way\b"
        r"|, (?:first|after|from|via|ing|reach|by way|so|not|do not)\b|\bafter\b|\bonce\b"
        r"|\bexcept\b)",
        line,
    )
    if not first or PLACEHOLDER.lower() in line:
        return
    head, rest = keys.inside(0, first.end()), keys.inside(first.end(), len(line))
    if not head or not rest:
        return
    kinds = [simple.places[k].sense.kind for k in head]
    listed = kinds.count("object") > 1 or len(kinds) - kinds.count("object") > 1
    words = first.group()
    opening_words = re.split(P, words)[0].split()
    verb = any(word in VERBS for word in words.split()) or not all(
        word in _FRAGMENT or re.match(D, word) for word in opening_words
    )
    if (
        line[first.end() :].lstrip()[:1] in ("!", "?")
        and len(head) == 1
        and (verb or stated or roles.here)
    ):
        keys.forget(head)
    if listed or re.search(
        r"\b(?:then|first|after|past|start|begin|over|through|cross|pass|touch|round|before|lap"
        r"|again|circle|from|leave|never|stay)\b",
        words,
    ):
        full = line[first.end() :].lstrip()[:1] in (".", "!", "?", ";")
        alone = len({n for k in head for n in simple.places[k].sense.names}) == 1
        if (
            full
            and alone
            and not _PASSING.search(words)
            and not SEQUEL.match(line[first.end() :].lstrip(" .!?;"))
        ):
            keys.forget(head)
        return
    arrives = ARRIVES.search(line[max(0, keys.where[head[0]] - 24) : keys.where[head[0]]])
    goal = _GOAL_VERB.match(words) and (
        arrives or re.search(r"\b(?:reach|visit|see|find|approach|enter)\b", words)
    )
    sign = line[first.end() :].lstrip()
    how = re.search(r"\b(?:way|route|shortcut|detour|clockwise|via|anticlockwise)\b", words)
    leads = sign[:1] == ":" or re.match(
        r"(?:, )?(?:but|via|by way|after(?! (?:that|this)\b)|except|first|from|ing|reach|by way"
        r"|once|so)\b",
        sign,
    )
    following = sign.lstrip(".;!? ")
    sequel = SEQUEL.match(following) and not following.startswith(("in ", "on "))
    full = sign[:1] in (".", "!", "?", ";", ":")
    if stated or roles.here:
        if (not verb or goal or full) and not sequel:
            keys.forget(head)  # the stop is told later: the goal is not the first place on the way
            if (
                roles.here
                and not stated
                and full
                and len(head) == 1
                and (not verb or (goal and roles.here != "it"))
            ):
                roles.role[head[0]], roles.loose[head[0]] = "end", True
        return
    if sequel and not leads:
        return
    if not verb or (goal and (leads or how)):
        for k in head:
            roles.role[k] = "end"
        roles.goal.update(head)
        # "the couch via the red room. Over the tub, …": a summary as well
        begin, end = sentences[0]
        if end < len(line) and re.match(r"(?:, )?(?:via|after|from|by way|reach)\b", sign):
            keys.forget([k for k in keys.inside(begin, end) if k not in head])
    elif (full or leads) and not sequel:
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
