"""Where a text has the drive end: "stop left of the bed", "the bed is where you stop"."""

import re

from archive_tools.language.instruction import Lead
from archive_tools.language.reading.findings import MOVES, STAYS, STOPS, Roles, Spans
from archive_tools.language.reading.simplify import D, P, Simple, direction_of

_STOP = re.compile(
    rf"(?<!not )(?<!without )(?<!'s )(?<!far )(?<!other )(?<!{D} )(?<!both )(?<!near )(?<!of its )"
    rf"\b(?!(?:finish|conclude|end) {P})(?:{STOPS}|(?:come|bring|draw|roll|pull"
    rf"|get) (?:it )?(?:to )?(?:rest|stop|halt|standstill"
    rf"|end|stand)|goal|aim|(?:final|last) (?:position|place|point|spot|stop)|end point|home be"
    rf"|your place"
    rf"|place to be|spot (?:be|lie)|journey end|done|tuck in|pull(?= (?:{D} of|by|at|on|near|in"
    rf"|over|next)\b)"
    rf"|last see)\b(?! of {P})(?! to end)(?!ping)"
    r"|\buntil (?:you |it |robot )+be\b"
)
_STAY = re.compile(
    rf"(?<!not )\b(?:{STAYS}|hold|draw|place yourself|position yourself|position|be to be found"
    rf"|stand still)\b"
    rf"(?! (?:away|off|out|clear|close to it|through|via|from|over)\b)"
)
_ARRIVAL = re.compile(
    r" :|(?: (?:there|here|moving|rolling|driving|right|only))?(?: (?:when|once|as soon as|where"
    r"|until|as|moment) (?:you|it|robot|that)"
    r" (?:[a-z]+ ){0,2}?(?:be|have|get|reach|arrive|come|see|find|enter|stand|cross|put)"
    r"| (?:after|on|once|upon|when) (?:ing )?(?:you |it )?(?:enter|reach|get|come|arrive|be"
    r"|cross))\b"
)
_STOP_END = re.compile(
    r"[.;!?)(:]|\b(?:then|after|once|when|while|having|have|via|until|but|with|because|before|as"
    rf"|since|though|so|where(?! {P} (?:begin|start|meet))|follow|reach from|which|come from"
    rf"|without|not)\b"
    rf"|\band (?=(?:{MOVES}|not|the way)\b)|, (?:no|and (?!{P}|{D}|in|on|at|by|near|its|below"
    rf"|above|right|there|just|close|next))\b|, (?=(?:and )?(?:ing (?!stop|end|finish)|it "
    rf"|robot |you |use |{MOVES}|the way|by way|over|through|past|round|across|coming)\b)"
)
_FRONTED = re.compile(
    r"(?:^|[.;!?] )(?:and |but )?(?:before|after|once|when)(?: (?:you|it|robot|ing))* $"
)
""""Before you stop at the desk, …": what follows the comma is no part of the stop."""
_FAR = re.compile(
    rf"\b(?:way|distance|far|well)(?: off| away)?(?: to)? {D}(?: of)? (?:it|{P}|them|$)"
)
_IS_GOAL = re.compile(
    rf"({P})(?! be end)[^.;!?{P[1:-1]}]{{0,40}}\b(?:be|,) (?:where|(?:your |the |our )?(?:goal"
    rf"|aim|end)"
    rf"|final|place (?:where|to)|your (?:goal|stop|end)"
    rf"|that be where|that be it|as goal|last stop|the stop)(?! of)"
)
_WHERE_STOP = re.compile(
    rf"({P})[^.;!?{P[1:-1]}]{{0,24}}\bwhere (?:you |it |we |robot |i )?(?:be to |will |can "
    rf"|should |must |may )*(?:{STOPS}|{STAYS}|come to|end)\b"
)
_HERE = re.compile(
    r"\b(?:its|latter|itself|them|of it|on it|to it|from it|near it|by it|below it|above it"
    r"|behind it|past it|at it|onto it|over it|in it)\b"
)


_PASSING = re.compile(r" ?,? ?(?:and )?then\b")
"""Behind "a stop at the stove": it is not the last one."""
_BETWEEN = re.compile(rf"\b(?:between|halfway)(?: (?:{P}|{D}|and|its|that|it))* $")
_OUTSIDE = re.compile(
    r"\b(?:by|near|next to|close to|toward|beside|at|in front of|before"
    r"|(?:way|door|open) (?:in)?to|short of)(?: that| this)? $"
)


def read_end(simple: Simple, roles: Roles, positions: list[int]) -> None:
    """Find the stop of a text and the places that tell where it is."""
    line = simple.line
    hard, soft = _stops(line, positions, roles)
    goals = [
        m
        for pattern in (_IS_GOAL, _WHERE_STOP)
        for m in pattern.finditer(line)
        if roles.role[simple.place_at(m.start(1))] != "avoid"
    ]
    named = [s for s in hard if _places_in(s, positions, roles)]
    if any(not _PASSING.match(line, s[1]) for s in hard + soft):
        named = [s for s in named if not _PASSING.match(line, s[1])]
        hard = [s for s in hard if not _PASSING.match(line, s[1])]
    if goals and (not named or goals[-1].start() > named[-1][0] or goals[-1].re is _IS_GOAL):
        roles.role[simple.place_at(goals[-1].start(1))] = "end"
        roles.loose[simple.place_at(goals[-1].start(1))] = False
        roles.stop = goals[-1].span()
        return
    if not named:
        named = [s for s in soft if _places_in(s, positions, roles)]
    if named and not (hard and named[-1] in soft and hard[-1][0] > named[-1][1]):
        _stop_at(simple, roles, positions, named[-1])
        words = line[named[-1][0] : named[-1][1]]
        loose = all(roles.loose[k] for k in _places_in(named[-1], positions, roles))
        if loose and hard and re.search(r"\b(?:its|of it)\b", words):
            roles.here = "it"
    elif hard or soft:
        _stop_here(line, roles, (hard or soft)[-1])


def _stops(line: str, positions: list[int], roles: Roles) -> tuple[Spans, Spans]:
    """The parts of a line that tell of a stop, and those that tell of a last stay."""
    hard = _stop_spans(line, _STOP)
    for begin, end in hard:  # "stop some way north of the fan": beyond it, wherever that is
        if _FAR.search(line[begin:end]):
            for k in _places_in((begin, end), positions, roles):
                if roles.role[k] in ("pass", "side") and roles.side[k] is not None:
                    roles.role[k] = "mark"
    hard = [s for s in hard if not _FAR.search(line[s[0] : s[1]])]
    last = max(
        (at for k, at in enumerate(positions) if roles.role[k] not in ("avoid", "mark")), default=-1
    )
    if _FAR.search(line):
        return hard, []
    # "stay left of the statue and go on": a stay counts where nothing is done after it.
    return hard, [s for s in _stop_spans(line, _STAY) if last < s[1]]


def _stop_at(simple: Simple, roles: Roles, positions: list[int], stop: tuple[int, int]) -> None:
    """The places named in a stop are ends; those only at hand are loose."""
    roles.stop = stop
    inside = _places_in(stop, positions, roles)
    for k in inside:
        upto = simple.line[stop[0] : positions[k]]
        outside = simple.places[k].sense.kind != "object" and _OUTSIDE.search(upto)
        roles.loose[k] = roles.role[k] == "mark" or bool(_BETWEEN.search(upto) or outside)
        roles.role[k] = "end"
    loose = {k for k in inside if roles.loose[k]}
    roles.near |= loose
    if len(inside) > 1:
        roles.beside |= loose


def _stop_here(line: str, roles: Roles, stop: tuple[int, int]) -> None:
    """A stop that names no place: by what it may be found."""
    roles.stop = stop
    words = line[stop[0] : stop[1]]
    if _HERE.search(words):
        roles.here = "it"
    elif re.search(rf"{D}|\b(?:room|wall|corner|edge|middle|centre|center|door)\b", words):
        roles.here = "room"
    else:
        roles.here = "any"
    roles.here_side = _here_side(line, stop)


def _here_side(line: str, stop: tuple[int, int]) -> str | None:
    words = line[stop[0] : stop[1]]
    if vertical := re.search(r"\b(above|below) it\b", words):
        return {"above": "north", "below": "south"}[vertical.group(1)]
    found = re.search(D, words)
    return direction_of(found.group()) if found else None


def _stop_spans(line: str, pattern: re.Pattern[str]) -> Spans:
    spans: Spans = []
    for match in pattern.finditer(line):
        arrival = _ARRIVAL.match(line, match.end())
        end = _STOP_END.search(line, arrival.end() if arrival else match.end())
        limit = end.start() if end else len(line)
        comma = line.find(" ,", match.end())
        if comma > 0 and _FRONTED.search(line[: match.start()]):
            limit = min(limit, comma)
        if spans and match.start() < spans[-1][1]:
            continue
        spans.append((match.start(), limit))
    return spans


def _places_in(span: tuple[int, int], positions: list[int], roles: Roles) -> list[int]:
    return [
        k
        for k, at in enumerate(positions)
        if span[0] <= at < span[1] and roles.role[k] != "avoid" and k not in roles.far
    ]


_LEADS = re.compile(
    r"\b(?P<to>(?:drop|stop|pop|park|wait|sit|stand|meet|end|finish|call) (?:by|over|round)"
    r"|to|into|onto|inside|at|in|on|until|reach|enter|for|find|see|visit|approach|toward|want|fetch"
    r"|meet|water|get|near|next(?= to)|behind|front|where|goal|end|join|need|check|practise)\b"
    r"|\b(?P<by>via|through|past|over|by|across|along|round|cross|pass|with|between|under|above"
    r"|below|beyond|touch|circle|skirt|way|climb|traverse)\b"
    r"|\b(?P<from>from(?! (?:there|here|it|that)\b)|leave|out of|start|begin|having"
    r"|after(?! (?:that|this|which|it)\b))\b"
)
_FETCH = re.compile(
    r"\b(?:get|fetch|collect|take|pick|grab|bring|need|want)\b(?! (?:way|there|here)\b)"
)
_JOINT = re.compile(r"(?: ,)?(?: and| or| then| also| finally)*(?: ,)? ?")
_BEGINS = re.compile(r"(?:^|[.;!?] )[^.;!?]*$")
_FIRST = re.compile(r"(?:but |and |please |now )*(?:first|before (?:that|this|it)|beforehand)\b")
_ALSO_PASSED = re.compile(
    r" (?:'s |be |lie |stand )?(?:(?:on|along) (?:your |the )?way\b(?! (?:to|into|back))"
    r"|(?:as|when|while) you (?:go|pass|drive)(?: by| past)?(?= [.,;!?]|$)|in pass\b)"
    r"| (?:must|should|have to|need to|be to|may|can|shall|will)(?: also| all| both)* be"
    r" (?:cross|pass|visit|touch|met|meet|on|your last|your first|drive over|go)\b"
    r"| on (?:its|your) hand\b"
)
_IN_PASSING = re.compile(
    r"(?:^|[.;!?,:] |and |but |while )(?:and |but |while )?(?:on|along) (?:your |the |its )?way"
    rf"(?: there| over| here)?(?! (?:to|into|home|back)\b)[^.;!?{P[1:-1]}]*"
    rf"(?:{P}(?: ,)?(?: and)? ?)*$"
)


def read_leads(simple: Simple) -> list[Lead]:
    """Per place what the words directly before it make of it; a list goes on as it began."""
    line = simple.line
    leads: list[Lead] = []
    begin = 0
    for match in re.finditer(P, line):
        head = line[begin : match.start()]
        listed = bool(leads) and _JOINT.fullmatch(head) is not None and "then" not in head
        clause = re.split(r"[.;!?:] ", head)[-1]
        found = list(_LEADS.finditer(clause))
        lead: Lead = leads[-1] if listed else ""
        if found:
            lead = found[-1].lastgroup  # type: ignore[assignment]
        if lead == "from" and _FETCH.search(clause):
            lead = "to"
        if _ALSO_PASSED.match(line, match.end()) or _IN_PASSING.search(line[: match.start()]):
            lead = "by"
        sentence = _BEGINS.search(line[: match.start()])
        if "to" in leads and sentence and _FIRST.match(sentence.group().lstrip(" .;!?")):
            lead = "by"  # "Go to the sofa. First visit the desk."
        leads.append(lead)
        begin = match.end()
    return leads
