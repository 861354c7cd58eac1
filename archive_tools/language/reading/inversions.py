"""Clauses that name what is met earlier than the words before them."""

import re

from archive_tools.language.reading.findings import MOVES, Roles
from archive_tools.language.reading.keys import BY, Keys
from archive_tools.language.reading.simplify import D, P, Simple

_EARLIER = re.compile(
    r"(?:, )?\b(?:only |right |and |but |then )*(?:after(?! (?:that|this|which|it)\b)|via"
    r"|by way of|having|with|once (?:you |it |robot )?(?:have|be)?"
    r"|when (?:you|it|robot) have|as soon as (?:you|it|robot) have|reach (?:through|via|from|by"
    r"|over)"
    r"|(?:come|enter|approach|in|arrive|coming|it|follow) (?:in )?(?:from|via|through|by)"
    r"|ing follow)(?= )"
)
_FRONTED = re.compile(
    r"(?:^|[:] |, (?:and |but )?|\bthen |\bbut |\bso )(?:before|on (?:your |its |the )?way to"
    rf"|(?:in order )?to (?:get|reach|go|arrive|come|park|stop|finish|end|find|practise|visit"
    rf"|see|be)\b)[^,;:]*?{P}[^,;:]*?(?:[,:]| you (?=need|must|have|should|be))"
)
_SAID_EARLIER = re.compile(
    r"\b(?:before|earlier)(?= [,.;:!?)]|$)|\bbefore (?:that|it|this|them|which|either|both)(?="
    r" [,.;:!?)]|$"
    r"| and| there)"
)
_FIRST = re.compile(
    r"\bbut (?:ing )?(?:first|before that)\b|\bfirst(?= [,.;!?)]|$)|\b(?:comes?|be) first\b"
)
_JOINT = re.compile(
    rf"(?: ,| and| or| {D}| of| over| past| round| by| through| above| below| along| on| to)* "
)
_AND_ONE = re.compile(rf"{P}[^,;:.{P[1:-1]}]*(?: ,)? and [^,;:.{P[1:-1]}]*$")
_X_BEFORE_Y = re.compile(rf"({P})[^,;:.]{{0,24}}\bbefore ({P})")
_AT_FIRST = re.compile(
    r"\b(?:at|in|from) (?:beginning|start|outset|first)\b|\bto (?:begin|start) with\b"
)
_ONLY_EARLIER = re.compile(
    rf"^(?:and |so |but |all )?(?:after|via|by way of|having)\b(?!.*\b(?:you|it|robot|stop"
    rf"|finish|end)\b)(?!.*[,:] (?!{P}|after|over|past|through|by|and {P}))"
)
_BEGIN = re.compile(
    r"(?:^|, )(?:but |and |so )?(?:you |it |robot )?(?:start|begin)(?: (?:with|by|at|from|in|on|off"
    r"|over))+ "
)


def turn_round(simple: Simple, roles: Roles, begin: int, end: int, keys: Keys) -> None:
    """Clauses of one sentence that name what is met earlier than the words before them."""
    line = simple.line
    sentence = line[begin:end]
    if match := re.match(
        r"(?:and |but )?before (?:to )?(?:that|this|it|of them|them|either)\b", sentence
    ):
        keys.before(keys.inside(begin, end), keys.inside(0, begin))
    for match in _FRONTED.finditer(sentence):
        then = re.search(r", (?:and )?then\b|$", sentence[match.end() :])
        until = begin + match.end() + (then.start() if then else 0)
        main = keys.inside(begin + match.end(), until)
        fronted = keys.inside(begin + match.start(), begin + match.end())
        if main and not re.match(r"\s*(?:and|then|stop)\b", sentence[match.end() :]):
            if "before" in match.group() and keys.inside(end, len(line)):
                keys.forget(fronted)
            elif "before" in match.group():
                keys.move(fronted, max(keys.key[k] or 0 for k in main))
            elif keys.inside(end, len(line)):  # "to reach the fan, …": where it all leads
                keys.forget(fronted)
            else:
                keys.move(fronted, max(keys.key[k] or 0 for k in main))
    for match in _EARLIER.finditer(sentence):
        _earlier_clause(line, begin, end, match, keys)
    for match in _SAID_EARLIER.finditer(sentence):
        at = begin + match.start()
        edges = [m.end() for m in re.finditer(rf"[,;:.!?] (?!{P})", line[:at])]
        group = keys.inside(edges[-1] if edges else 0, at) or _run_before(line, at, keys)
        main = keys.inside(0, keys.where[group[0]]) if group else []
        clause = main and re.search(rf"{P}(?: [a-z']+| {D}| ,)*$", line[: keys.where[group[0]]])
        lone = clause and len(_run_before(line, keys.where[group[0]], keys)) == 1
        keys.before(group, main[-1:] if "before " in match.group() and lone else main)
        _level(line, group, keys)
    _said_first(line, begin, end, keys)
    for match in _X_BEFORE_Y.finditer(sentence):
        _again_named(begin, match, simple, roles, keys)
    if match := _AT_FIRST.search(sentence):
        keys.before(keys.inside(begin, end), keys.inside(0, begin))
    if begin and _ONLY_EARLIER.match(sentence):
        keys.before(keys.inside(begin, end), keys.inside(0, begin))
    if (match := _BEGIN.search(sentence)) and begin + match.start():
        keys.before(keys.inside(begin + match.start(), end), keys.inside(0, begin + match.start()))


def _said_first(line: str, begin: int, end: int, keys: Keys) -> None:
    """ "The sofa, but the desk first"."""
    sentence = line[begin:end]
    for match in _FIRST.finditer(sentence):
        at = begin + match.start()
        if re.search(rf"{D} $", line[:at]):
            continue  # "round the fan, top first"
        if match.group().startswith("but"):
            keys.before(keys.inside(at, end), keys.inside(0, at))
        elif line[begin + match.end() :].startswith(" :"):
            keys.forget(keys.inside(begin, at))
            keys.before(keys.inside(at, end), keys.inside(0, begin))
        elif keys.inside(0, begin):
            keys.before(keys.inside(begin, at), keys.inside(0, begin))
        elif not re.match(r" , (?:and )?then\b", line[begin + match.end() :]):
            but = line.rfind("but ", begin, at)
            group = keys.inside(but, at) if but >= 0 else _run_before(line, at, keys)
            earlier = keys.inside(0, keys.where[group[0]]) if group else []
            if but < 0 and earlier and _AND_ONE.search(line[: keys.where[group[0]]]):
                keys.forget(group)  # "by the stove and over the fridge first": either, or both
                continue
            keys.before(group, earlier)
            if but < 0:
                _level(line, group, keys)


def _run_before(line: str, at: int, keys: Keys) -> list[int]:
    """The list of places that ends at `at`: "past the fridge, over the stove and the table"."""
    run: list[int] = []
    for k in reversed(keys.inside(0, at)):
        begin = keys.where[k]
        edge = keys.where[run[0]] if run else at
        if run and not _JOINT.fullmatch(line[begin + 1 : edge]):
            break
        if not run and re.search(r"[.;!?:]", line[begin:edge]):
            break
        run.insert(0, k)
    return run


def _level(line: str, group: list[int], keys: Keys) -> None:
    """ "The cabinet and the tub before it" says nothing of which of the two comes first."""
    if len(group) > 1 and re.search(r"\band\b", line[keys.where[group[0]] : keys.where[group[-1]]]):
        for k in group:
            keys.key[k] = keys.key[group[0]]


def _again_named(
    begin: int, match: re.Match[str], simple: Simple, roles: Roles, keys: Keys
) -> None:
    """ "The desk before the plant", where the plant was spoken of already: no further visit."""
    first, second = (
        next((k for k, at in enumerate(keys.where) if at == begin + match.start(g)), -1)
        for g in (1, 2)
    )
    if first < 0 or second < 0 or keys.key[second] is None or keys.key[first] is None:
        return
    names = simple.places[second].sense.names
    known = [k for k in keys.inside(0, keys.where[first]) if simple.places[k].sense.names == names]
    if known:
        if roles.role[known[-1]] != "end":
            keys.before([first], known[-1:])
        keys.forget([second])


def _earlier_clause(line: str, begin: int, end: int, match: re.Match[str], keys: Keys) -> None:
    at, words = begin + match.start(), match.group()
    stop = re.search(
        rf",(?! (?:and |or )?(?:{P}|{BY}|down)\b)(?! {P})|:|\bthen\b|\band (?=stop|finish|end"
        rf"|{MOVES})|\bbut\b|$",
        line[begin + match.end() : end],
    )
    until = begin + match.end() + (stop.start() if stop else 0)
    group = keys.inside(at, until)
    goes_on = bool(keys.inside(until, end))
    main = keys.inside(begin, at)
    if not group or not main:
        return
    fresh = re.search(r"(?:then|and|but|[;:.]) $", line[:at]) or re.match(
        r"(?:, )?(?:and|then|but)\b", words
    )
    if re.search(
        rf"(?:\b(?:go|travel|come|leave|return|proceed|drive|continue|back|turn)|{D}) $",
        line[begin:at],
    ):
        return  # "go via green": a step like others
    # ", after the fan, go to the bed" opens a clause of its own; ", after the fan." ends one.
    if words.startswith(", ") and not goes_on and len(main) > 1:
        keys.forget(group)  # "over the fan and to the hall, after the desk": before which of them?
        return
    opens = goes_on and (words.startswith(", ") or fresh)
    if opens and not re.search(r"via|reach|way of", words):
        keys.forget([] if fresh else group)
        return
    done = re.search(r"\b(?:behind|cross|pass|first|done|before)\b", line[at:until])
    if re.search(r"\bwith\b", words) and not done:
        keys.forget(group)
        return
    edges = [
        begin,
        *(begin + m.end() for m in re.finditer(r", |\bthen\b|\band\b|\bbut\b", line[begin:at])),
    ]
    for edge in reversed(edges):
        if nearest := keys.inside(edge, at):
            run = _run_before(line, at, keys)  # "a lap of green and blue after the statue"
            keys.before(group, run if len(run) > len(nearest) else nearest)
            return
