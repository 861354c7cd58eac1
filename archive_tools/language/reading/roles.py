"""Which role each place of a simplified text has: forbidden, where it ends, a side, a mere mark."""

import re

from archive_tools.language.reading.denials import read_denials
from archive_tools.language.reading.ends import read_end
from archive_tools.language.reading.findings import STAYS, STOPS, Roles
from archive_tools.language.reading.simplify import (
    D,
    P,
    Simple,
    direction_of,
)

# Marks: only tell where something else is.
_MARK_BEFORE = re.compile(
    r"(?:\b(?:door|(?:near|at|on|beside|facing|toward) (?:your |its )?way|toward|facing|face"
    r"|short of"
    r"|direction of|opposite|look toward|near door|access|sight of|level with|in line with"
    r"|in front of|beyond|lower than|higher than|verge of|brink of|outside|away from|wall (?:to"
    r"|with))"
    r"(?: (?:in|out|back|on|down|up))?(?: (?:to|of|from|into|toward|between|for|by|with))*"
    rf"(?: (?:{P}|{D}|and|or|side|'s))*"
    r"|\bbefore (?:you |it |ever |robot )*(?:(?:be to|would|can|will) )?(?:ing )?"
    r"(?:reach|enter|get|come|touch|meet|hit|arrive|run)(?: (?:to|at|into|in|onto|over|on))*"
    rf"|\bwhere {P} (?:meet|touch|border|become|turn into|go)"
    r"|\balmost(?: (?:in|at|into|on|to|reach|touch|back|fall))*|\bfall into"
    r"|\bbegin of|\bfar from|\buntil before|\bno (?:shortcut|way|door|route|detour)[a-z ]*"
    rf"(?:{P} (?:or|to|nor|and|, )[a-z ]*?)?"
    r"|\b(?:without|not|no|never) (?:ing )?(?:stop|dawdling|linger|pause|wait|halt|rest)"
    r"(?: (?:at|by|on|near))+"
    rf"|\bcan (?:[a-z]+ )?see(?: into| both| {P} and)*|\b(?:open|lead)(?: in)?to|\bopen to|\blead"
    rf" to"
    r"|\bnot (?:as )?(?:far|further|past|beyond|farther|deeper)(?: (?:as|than|to|into))*"
    r"|\b(?:further|farther|deeper) than(?: to)?|\bas far as|\bout of way of"
    r") $"
)
_MARK_AFTER = re.compile(
    rf"^ (?:and (?:door to )?{P} )?be too far\b|^ (?:must |should )?(?:stay |be )?ahead of\b"
    rf"|^ (?:'s )?(?:{D} )?(?:side )?(?:door|(?:begin|start)(?! with)|meet\b|route\b|appliance"
    rf"|wall between|trip)"
    r"|^ (?:be )?(?:yet |left |there )?(?:ahead|in front|in sight)\b"
)
_STOP_BEFORE = re.compile(
    rf"\b(?:{STOPS}|{STAYS}|rest|halt"
    rf"|standstill)\b[^.;!?{P[1:-1]}]*(?:{P}[^.;!?{P[1:-1]}]*)*\bbefore (?:you |it "
    rf"|the )*(?:[a-z]+ ){{0,2}}$"
)
_FAR = re.compile(
    rf"(?:\b(?:clear of|way from|away from|opposite|level with|far from)|{D} than)"
    rf"(?: (?:that|this|door(?: to)?|{P}|and|or))* $"
)
# Sides.
_OF = (
    r"(?: (?:side|edge|end|part|half|corner|bit"
    r"|hand|wall|area|face|section|quarter|flank|third"
    r"|limit|rim|tip|portion|region|zone|border|boundary|door|section|margin|middle))*"
)
_SIDE_BEFORE = re.compile(
    rf"({D})(?: ?hand)?{_OF}(?: (?:of|in|inside|within|on|at))*(?: (?:that|this|its|same|your))? $"
)
_VERTICAL = re.compile(r"\b(above|below)(?: (?:that|this|its))? $")
_OVER_TOP = re.compile(
    rf"\b(?:over|along|round|by|past|on|at|via|from|across) ({D}){_OF} (?:of )?$"
)
_SIDE_AFTER = re.compile(
    rf"^ (?:'s|(?:, )?(?:on|along|by|to|at|from|in|round|for|but|keep|stay)(?: to| on"
    rf"| at)?(?: its| their|)|, (?:its )?) ?({D})(?!{_OF} of {P})(?! (?:of {P}|then|to|into"
    rf"|toward|past|over|through|and into))"
)
_IN_PART = re.compile(
    rf"^ ?,? ?(?:in )?(?:its )?({D})(?!{_OF} of {P}){_OF}(?=$| [.,;!?)]| of it| and| in| at"
    rf"| by)(?! room)"
)
_OUTSIDE = re.compile(
    r"\b(?:above|below|behind|next to|near|close to|(?:stay|keep|remain) "
    + D
    + " of) (?:that |this )?$"
)
_YOUR_HAND = re.compile(
    rf"^ (?:be |stay |remain |keep |pass |always |kept )*(?:on|to|at|by)(?: your| its| his"
    rf"| the)? ({D})(?: hand(?: side)?| side of (?:you|robot|it)\b)?(?! (?:side|of|edge|end"
    rf"|corner|half|part))"
)
_PASSING = re.compile(
    r"\b(?:pass|past|by|round|circle|skirt|cross|approach|along|stop|at|touch|over)(?: it)? $"
)
_KEEPING = re.compile(r"\b(?:keep|with|leave|have|hold|stay|watch|put)(?: [a-z]+){0,2} $")
_AGAIN_AFTER = re.compile(
    r"^ (?:once )?(?:again|more|second time|a second time|anew)\b|^ once more"
)
_AGAIN_BEFORE = re.compile(
    r"\b(?:return|back|re-enter|reenter|re , enter|again|once more|come home|retreat|revisit"
    r"|reverse)"
    rf"(?: (?:again|once more|home))?(?: {D})?(?: (?:to|into|in|onto|as far as))+(?: (?:that"
    rf"|this|same))* ?$"
)
_RETURNING = re.compile(
    r"\breturn(?: (?!and\b|to\b|then\b)[^,.;:! ]+)+ (?:and [^,.;:! ]+"
    r" [^,.;:!]*)?to $"
)
_START = re.compile(
    r"(?:^|[.!?] )(?:(?:please|robot|now|you|it|i|want|like|could|can|would|to|,) )*"
    r"(?:from|(?:start|begin|depart|commence|set|leave|exit|out|go)(?: off| out)?(?: (?:on|in|at"
    r"|from|of|by))?) $"
)


def read_roles(simple: Simple) -> Roles:
    """Find the role of each place of a text, each by the words about it."""
    line = simple.line
    count = len(simple.places)
    roles = Roles(["pass"] * count, [False] * count, [None] * count, [False] * count)
    positions = [m.start() for m in re.finditer(P, line)]
    read_denials(simple, roles)
    for k, at in enumerate(positions):
        before, after = line[max(0, at - 60) : at], line[at + 1 : at + 60]
        if roles.role[k] == "pass":
            if _FAR.search(before):
                roles.role[k] = "mark"
                roles.far.add(k)
            elif _MARK_BEFORE.search(before) or _MARK_AFTER.match(after):
                roles.role[k] = "mark"
                if not _MARK_AFTER.match(after) and re.search(
                    rf"(?<!not )\bas far as(?: (?:{D}|{P}|'s|of))* $|\bdoor between(?: {P} and)? $",
                    before,
                ):
                    roles.role[k] = "pass"
                if re.search(r"\b(?:toward|in front of)(?: that| this)? $", before):
                    roles.role[k] = "pass"  # a leg, however near it comes
                    roles.near.add(k)
                if re.search(r"\bway $|\bway (?:to|into) $", before[-9:]) and not re.search(
                    rf"\b(?:{STOPS}|{STAYS})\b", before
                ):
                    roles.role[k] = "pass"  # "on the way to the bed" leads there
            elif _STOP_BEFORE.search(line[max(0, at - 90) : at]):
                roles.role[k] = "mark"
        if roles.role[k] != "avoid":
            roles.touch[k] = bool(
                re.search(
                    rf"\b(?:over|onto|cross|touch|traverse|climb)(?: both)?(?: {P}(?: ,)?(?:"
                    rf" and)?(?: then)?)* $",
                    before,
                )
            )
        side, hand = _side(before, after)
        if simple.places[k].sense.kind != "object" and re.match(r" (?:again )?from ", after):
            side = None  # "enter the hall from the west"
        if simple.places[k].sense.kind != "object" and _OUTSIDE.search(before):
            if roles.role[k] != "avoid":  # "just below the green room" is not in it
                roles.role[k] = "mark"
            side, hand = None, False
        roles.side[k] = side
        if roles.role[k] == "avoid" and side and simple.places[k].sense.kind != "object":
            roles.role[k] = "mark"  # "no further than the north of the hall"
        if roles.role[k] == "pass" and (side or hand):
            roles.role[k] = "side"
        if roles.role[k] == "pass" and k == 0 and _START.search(line[:at]):
            roles.role[k] = "start"
        if roles.role[k] in ("pass", "side") and (
            _AGAIN_BEFORE.search(before) or _RETURNING.search(before) or _AGAIN_AFTER.match(after)
        ):  # whether it is met for a second time, the places before it will tell
            roles.role[k] = "return"
    _read_remarks(simple, roles)
    read_end(simple, roles, positions)
    return roles


_REASON = re.compile(
    rf"(?:(?:^|[.;!?] |, |and |but )(?:although|because|since|though|if|whether|while you)\b"
    rf"|\b(?:because|so that|in case|as if)\b|, as {P} be|\b(?:but )?as there be|\bbut as {P} be"
    rf"|^curious about\b)[^,.;!?]*"
    rf"|\b(?:through|over|past|via|by) {P} if you (?:like|want|wish|must)\b"
)
_STANDS = re.compile(rf"({P}) be (?:in|at|on|near|next to|by|right in) ({P})(?! where)")


def _read_remarks(simple: Simple, roles: Roles) -> None:
    """Reasons and remarks ("because the cupboard is dusty") want nothing met."""
    spans = [m.span() for m in _REASON.finditer(simple.line)]
    spans += [m.span() for m in _STANDS.finditer(simple.line)]
    for begin, end in spans:
        for at in range(begin, end):
            if re.match(P, simple.line[at]) and roles.role[simple.place_at(at)] != "avoid":
                roles.role[simple.place_at(at)] = "mark"


def _side(before: str, after: str) -> tuple[str | None, bool]:
    """The side of a place that the words around its sign tell; and whether they tell a hand."""
    hand = _YOUR_HAND.match(after)
    if hand and _KEEPING.search(before):
        return None, True
    if hand and re.match(r" (?:be |stay |remain |keep |must |always )", after):
        return None, True
    if found := _OVER_TOP.search(before):
        return direction_of(found.group(1)), False
    if found := _SIDE_BEFORE.search(before):
        return direction_of(found.group(1)), False
    if found := _VERTICAL.search(before):
        return {"above": "north", "below": "south"}[found.group(1)], False
    if hand and " its " not in hand.group() and not _PASSING.search(before):
        return None, True
    if found := _SIDE_AFTER.match(after) or _IN_PART.match(after):
        return direction_of(found.group(1)), False
    return None, False
