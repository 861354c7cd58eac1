"""When each place of a simplified text is met, as far as the text says so.

Words follow the drive except where English turns them round: "the bed after the table", "before
the bed, pass the fan", "to the bed via the fan", "the sofa, but the desk first", "the blue room.
First the statue, then the desk", "the piano, and the statue before that". Where a sentence only
adds what else is to be met ("the chair must be crossed as well"), nothing is said of when.
"""

import re

from archive_tools.language.reading.cues import VERBS
from archive_tools.language.reading.findings import MOVES, Roles
from archive_tools.language.reading.goals import ARRIVES, find_end, find_goal, find_repeats
from archive_tools.language.reading.inversions import turn_round
from archive_tools.language.reading.keys import BY, SEQUEL, Keys, sentences_of
from archive_tools.language.reading.simplify import D, P, Simple

_BY_HERE = r"(?:past|over|via|by|through|round|along|above|below|from|across)\b"
_GOAL_THEN_WAY = re.compile(
    rf"(?:\b(?:to|into|reach|enter|onto|for|see|visit|on|at)\b[^,;:.{P[1:-1]}]*"
    rf"|^[^,;:.{P[1:-1]}]*|\( )({P})(?: in {P})?[^,;:.{P[1:-1]}]*?(?: ,"
    rf"| \()? (?=(?!after){_BY_HERE}|ing |use|with)"
)
_ON_THE_WAY = re.compile(
    r"\b(?:on|along) (?:your |its )?way(?! (?:back|to|home|into))|\bin between\b|\bmeanwhile\b"
    r"|\bwhile\b"
    r"|\b(?:both|each|every) (?:way|time|trip|of)|\bway out\b|\bwhen (?:go|you|it)\b|\bways\b"
    r"|\bto (?:get|go|come|arrive|reach) (?:there|it|that)\b|\bto do (?:so|that|this)\b"
)
_PASSIVE = re.compile(
    r"\b(?:must|should|have to|need to|be to|may|can|shall)(?: all| both| each| then"
    r"| ever)* (?:be|have be)\b"
    r"|\b(?:require|compulsory|obligatory|mandatory|include|need|want|must|should|condition"
    r"|constraint|wheel|permit|fine|allow)\b"
)
_GET_THERE = re.compile(
    r"(?:you |it |robot )?(?:can |will )?(?:get|come|go|reach|arrive) (?:there|it)\b"
)
_TURNS = re.compile(
    r"\b(?:before(?! (?:you|it|robot|ing)\b)|after(?! (?:that|this|which)\b)|first|having|once"
    r"|via|by way of)\b"
)
_GOAL_BY = re.compile(
    rf"^(?:(?:go|come|get|head|drive|reach|to|into|take)(?: up| on| back| out)? )*({P})(?: again)?"
    rf"(?: ,)? (?:\(|via|through|by way of|by|past|but|keep|dead)(?! {P} (?:,"
    rf"|and))(?![^,;:]*\bto\b)"
)
_BUT_GO = re.compile(
    rf"({P})(?: [a-z]+| {D})* , (?:but|so|and so) (?:ing )?(?:you |it |robot |then )?(?:this time"
    rf"|do"
    r"|go|make|come|take|use|have to|must|need to|visit|up|via|through|by|over|past|above|below)\b"
)
_ASIDE = re.compile(
    rf", (?:and )?(?:(?:keep |stay |pass |go )?(?:on |to )?{D}(?: side)? of|past(?= {P} on)) ({P})"
    rf"(?: on (?:its |your )?{D})?(?: side)?(?: {D})? ?(?=[.,;]|$)"
)
_ROOMS_THEN_THINGS = re.compile(
    rf"^(?=[^,;:{P[1:-1]}]*{P}(?: ,)? (?:through|via|by way of) (({P})(?: ,)? (?:and )?(?:over"
    rf"|past|round|across|above"
    rf"|below|by|{D} of) {P}(?:(?: ,)?(?: and)?(?: over| past| round| above| below)? {P})*))"
)
_DESCRIBED = re.compile(rf"^[^,.;:{P[1:-1]}]*({P})[^,.;:{P[1:-1]}]*((?: ,[^,.;:{P[1:-1]}]+)+) ,")
_BRACKET = re.compile(rf"({P})(?: again)? \(|^to [a-z]+(?: [a-z]+)? ({P}) ,")
_VERB = re.compile(rf"\b(?:{MOVES})\b")


def read_order(simple: Simple, roles: Roles) -> list[float | None]:
    """A key per place of the text: places with lower keys are met before those with higher ones.

    Where the text states no end, the last place becomes one. None for places that are not to be
    met, and for those of which the text does not say when.
    """
    line = simple.line
    keys = Keys(simple, roles)
    sentences = sentences_of(line)
    find_repeats(simple, roles, keys, sentences)
    find_goal(simple, roles, keys, sentences)
    for number, (begin, end) in enumerate(sentences):
        turn_round(simple, roles, begin, end, keys)
        _added(simple, begin, end, number, keys, roles)
    find_end(simple, roles, keys, sentences)
    for begin, end in sentences:
        _doubtful(simple, roles, begin, end, keys)
    chain = 0
    for number, (begin, end) in enumerate(sentences):
        linked = SEQUEL.match(line[begin:end]) or line[begin - 2 : begin].strip() in (";", ":")
        if re.match(r"so\b(?! then\b)", line[begin:end]):
            linked = False  # "…; so go up the middle": the same again, in other words
        chain += bool(number and not linked)
        for k in keys.inside(begin, end):
            roles.chain[k] = chain
    for k, role in enumerate(roles.role):
        if role == "end":
            keys.key[k] = len(line) + 1.0
        elif role == "start":
            keys.key[k] = -len(line) - 1.0
    return keys.key


def _added(simple: Simple, begin: int, end: int, number: int, keys: Keys, roles: Roles) -> None:
    """Parts of a sentence that do not say when their places are met."""
    line = simple.line
    sentence = line[begin:end]
    for match in re.finditer(r", ing ([a-z-]+)", sentence):
        if match.group(1) in ("stop", "end", "finish", "halt", "return", "conclude", "then"):
            continue
        stop = re.search(
            r",(?! (?:and )?" + P + r")|\bthen\b|\bbefore\b|$", sentence[match.end() :]
        )
        until = begin + match.end() + (stop.start() if stop else 0)
        if keys.inside(begin, begin + match.start()):
            keys.forget(keys.inside(begin + match.start(), until))
    colon = re.search(r" : ", sentence)  # a summary before it, the way behind it
    if colon and keys.inside(begin + colon.end(), end):
        keys.forget(keys.inside(begin, begin + colon.start()))
    # "to the green room, past the table and over the statue": the goal of a clause, then the way.
    for match in _GOAL_THEN_WAY.finditer(sentence):
        if re.search(
            rf"\b(?:{BY}|cross|pass|touch|circle|climb|skirt|clip)\b",
            sentence[match.start() : match.start(1)],
        ):
            continue
        k = next(
            (k for k in keys.inside(begin, end) if keys.where[k] == begin + match.start(1)), None
        )
        if k is not None and roles.role[k] != "end":
            keys.forget([k])
            keys.goals.append(k)
    _located(simple, begin, end, keys, roles)
    _on_the_way(simple, begin, end, keys)
    if _GET_THERE.match(sentence):
        keys.forget(keys.inside(begin, end))
    if number and not SEQUEL.match(sentence):
        group = [k for k in keys.inside(begin, end) if roles.role[k] != "end"]
        if (
            _PASSIVE.search(sentence)
            and not re.search(r"\b(?:then|after|before|first|order)\b", sentence)
        ) or (not _VERB.search(sentence) and len(group) == 1 and roles.role[group[0]] == "side"):
            keys.forget(group)
    for k in keys.inside(begin, end):
        if roles.role[k] == "side" and roles.side[k] is None:
            keys.forget([k])  # "with the statue on your left", said afterwards


def _on_the_way(simple: Simple, begin: int, end: int, keys: Keys) -> None:
    """ "…, past the fan on the way": before the goal, or at any time."""
    line = simple.line
    sentence = line[begin:end]
    for match in _ON_THE_WAY.finditer(sentence):
        edge = max(sentence.rfind(x, 0, match.start()) for x in (", ", "; ", ": "))
        joined = [m.start() for m in re.finditer(rf" and (?!{P})", sentence[: match.start()])]
        edge = max([edge, *joined])
        if (participle := sentence.rfind(", ing ", 0, match.start())) >= 0:
            edge = participle
        after = re.search(r"[,;]|$", sentence[match.end() :])
        until = match.end() + (after.start() if after else 0)
        main = keys.inside(0, begin + max(edge, 0))
        plain = re.match(r" ?(?:[,.;!?]|$)", sentence[match.end() :]) and match.group().endswith(
            "way"
        )
        goal = main and ARRIVES.search(
            line[max(0, keys.where[main[-1]] - 24) : keys.where[main[-1]]]
        )
        if goal and plain and begin + until >= end - 2:
            keys.before(keys.inside(begin + max(edge, 0), begin + until), main[-1:])
        elif main:
            keys.forget(keys.inside(begin + max(edge, 0), begin + until))


def _doubtful(simple: Simple, roles: Roles, begin: int, end: int, keys: Keys) -> None:
    """Forget the order of what a sentence adds in passing, or turns round more than once."""
    line = simple.line
    sentence = line[begin:end]
    inside = [k for k in keys.inside(begin, end) if roles.role[k] != "end"]
    if len(_TURNS.findall(sentence)) > 1 and not re.search(r"\bthen\b", sentence):
        keys.forget(inside)
    restated = r"(?:so |no |ok |well )?(?:mean|that be|in other words|namely)\b"
    if keys.inside(begin, end) and re.match(restated, sentence):
        keys.forget(keys.inside(0, begin))  # what names no place ("That is all.") restates none
    for pattern in (_GOAL_BY, _BUT_GO):  # "to the study via the hall, …", "the bed, but go by …"
        for match in pattern.finditer(sentence):
            keys.forget(
                [
                    k
                    for k in inside
                    if begin + match.start(1) <= keys.where[k] < begin + match.end(1)
                ]
            )
    for match in re.finditer(rf"\bbetween ({P}) and (?:[a-z]+ )?({P})", sentence):
        one, two = (keys.at(begin + match.start(g)) for g in (1, 2))
        if one is not None and two is not None and keys.key[two] is not None:
            keys.key[one] = keys.key[two]  # which of them is met first is not said
    for match in _BRACKET.finditer(sentence):
        keys.forget(
            [k for k in inside if begin + match.start() <= keys.where[k] < begin + match.end()]
        )
    told = _DESCRIBED.match(sentence)  # "the piano, dead centre, over the statue": the goal first
    if told and not begin and not any(word in VERBS for word in told.group().split()):
        keys.forget([k for k in inside if keys.where[k] == begin + told.start(1)])
    for match in _ASIDE.finditer(sentence):
        keys.forget([k for k in inside if keys.where[k] == begin + match.start(1)])
    for match in _ROOMS_THEN_THINGS.finditer(sentence):
        things = [
            k for k in inside if begin + match.start(1) <= keys.where[k] < begin + match.end(1)
        ]
        room = keys.at(begin + match.start(2))
        if room is not None and simple.places[room].sense.kind != "object":
            keys.forget(things)


def _located(simple: Simple, begin: int, end: int, keys: Keys, roles: Roles) -> None:
    """Places that tell where others are, or from where they are entered."""
    sentence = simple.line[begin:end]
    # "enter the study from the hall"
    for match in re.finditer(
        rf"({P})(?: again)?(?: ,)?(?: (?:over|come|ing|in|must|may|be|to|enter|reach|approach"
        rf"|should))* (?:from|via) (?:[a-z]+ )?({P})",
        sentence,
    ):
        into, origin = (
            [k for k in keys.inside(begin, end) if keys.where[k] == begin + match.start(g)]
            for g in (1, 2)
        )
        keys.before(origin, into)
    # "the chair in the dining room", "the blue room's sofa": where something stands
    for match in re.finditer(rf"({P}) 's {P}", sentence):
        keys.forget(keys.inside(begin + match.start(1), begin + match.end(1)))
    for match in re.finditer(
        rf"({P})(?: (?!(?:then|and|to|up|down|again|past|over|middle)\b)[a-z]+)?"
        rf" (?:in|of|inside|on) ({P})",
        sentence,
    ):
        for k in keys.inside(begin + match.start(2), begin + match.end(2)):
            if roles.role[k] in ("pass", "side"):
                keys.forget([k])
                roles.role[k], roles.side[k] = "side", None
            thing = keys.at(begin + match.start(1))
            kinds = [simple.places[j].sense.kind for j in (thing, k) if j is not None]
            if thing is not None and kinds[0] == "object" != kinds[1]:
                roles.floor[thing] = k
    # "through purple and blue, over desk and plant": rooms in turn, then what was met in them
    for match in re.finditer(
        rf"{P}(?: ,)?(?: and| then)* {P} ,(?: and)? (?:over|past|across) {P}", sentence
    ):
        stop = re.search(
            r"\b(?:then|and (?!" + P + r")|before|to|into)|[:;]|$", sentence[match.end() :]
        )
        rooms = keys.inside(begin + match.start(), begin + match.end() - 1)
        things = keys.inside(
            begin + match.end() - 1, begin + match.end() + (stop.start() if stop else 0)
        )
        kinds = [simple.places[k].sense.kind for k in (*rooms, *things)]
        if "object" not in kinds[: len(rooms)] and set(kinds[len(rooms) :]) == {"object"}:
            keys.forget([k for k in things if roles.role[k] != "end"])
