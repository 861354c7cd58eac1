"""What a text forbids: "avoid the fan", "the fan must not be touched", "no fan"."""

import re

from archive_tools.language.reading.findings import TOUCHING, Roles
from archive_tools.language.reading.simplify import FIRST_SIGN, LAST_SIGN, D, P, Simple

_WORDS_OF_TOUCH = (
    r"(?:touch|cross|drive|run|roll|over|onto|on|go|near|enter|the|into|in|to|at|visit)"
)
# Denials: what is denied is the next place and those listed with it. Some denials are none.
_DENY = re.compile(
    r"\b(?:never mind|avoid|skip|ignore|shun|miss|disregard|omit|without|never|not|nor|neither"
    r"|instead of"
    r"|rather than|stay off|keep off|stay out of|keep (?:it )?out of|stay away from|stay clear of"
    r"|keep away from|keep clear of|exclude|forbid|off limits|taboo|out of bounds"
    r"|nothing to do with|bypass|hands? off)\b"
    r"|\b(?:no|except)(?= (?:touch|cross|enter|visit|drive|contact|go|turn|attention|need)\b)"
    rf"|\b(?:no|except|must not :)(?= {P})"
    rf"|(?:^|[.,;:!] |\bjust )forget(?= (?:about )?{P})"
)
_NO_DENIAL = re.compile(
    r"(?:not|never|no|without|nor) (?:(?:do|you|to|be|it|have|ever|ing|that|any|have) )*"
    r"(?:only|just|later|until|before|worry|mind|forget|dawdle|stop|halt|rest|hurry|matter|sooner"
    r"|leave|turn|exit|depart|yet|one but|miss|too|hesitate|wait|linger|stray|skip|need to go round"
    r"|further|farther|far|less|more|longer|long|doubt|problem|wander|quite|straight|direct"
    r"|direct way"
    r"|the way|past|beyond|as far|deeper|go past|pass beyond|fast|immediately|directly|think"
    r"|continue past|without|get far|enough|detour|through middle|make|even think|at once|away"
    r"|go deep|need go deep|go too|need go far|yet)\b"
)
_MANNER = re.compile(
    r"\b(?:straight|short|shortest|shortcut|obvious|way|door|route|by|via|from|turn|detour|use"
    r"|need)\b"
)
_TOUCH_ONLY = re.compile(
    rf"\b(?:{TOUCHING}|bother|need|off|miss|bypass|clear of|out of its)\b(?! (?:near|close))"
)
_LISTED = (
    rf"(?:(?: ,)? (?:or|nor)(?: not| no| neither)?(?: {_WORDS_OF_TOUCH})* {P}"
    rf"|(?: ,)? and(?: not| no| on| over| onto)? {P}| , {P})*"
)
_DENIED_LIST = re.compile(rf"(?:(?:[a-z]+|{D}|'s) ){{0,8}}?({P}{_LISTED})")
_CLAUSE_END = re.compile(
    r"[.;!?)(]|\bit and\b|\b(?:but|then|until|before|because|since|though|while|once|when|if|so"
    r"|stop|finish)\b"
)
_DENIED_BEHIND = re.compile(
    rf"((?:(?:{P}(?: ,)? )*{P}(?: ,)? (?:and|or|nor) )?{P})(?: rooms?)? ?(?:: )?(?:"
    r"(?:that |which )?(?:must|may|should|can|be|need|have|will|shall|do)(?: to)?"
    r"(?: both| each| itself| all| however| yet)* not\b"
    r"(?! (?:only|far|until|before|so|problem|enough|stop|leave|turn|linger|stay|mind|forget"
    r"|[a-z]+ problem))|"
    r"(?:be |stay |remain |both |to |leave )*(?:forbid|prohibit|ban|untouch\w*|off limits|taboo"
    r"|out of bounds"
    r"|uncross\w*|alone|unvisit\w*|leave (?:out|alone|aside|untouch\w*)|aside)\b(?! (?:touch"
    r"|cross|drive|run|go|enter) )"
    r"|(?:be to |be |to |must |should |may |can |'s )+(?:be )?(?:exclude|ignore|skip|avoid|omit"
    r"|disregard|too far|unneeded|out(?= [.,;!]|$)|out of it|closed)\b|not to be (?:touch|cross"
    r"|enter|visit)\b|(?:stay|remain|keep) out of (?:it|this)\b|not need(?:ed)?\b|(?:be |, )?not"
    r" (?:allow"
    r"|permit)"
    r"|avoid(?= [.,;!]|$)|(?:be |stay )(?:out|free)(?= [.,;!]|$)|can wait|(?:, )?no(?= [.,;!]|$)"
    r"|\? (?:no|nah|nope)\b|(?<=: )(?:do )?not (?:touch|cross|enter|visit|drive|go)\b)"
)
_LEAVE_ALONE = re.compile(
    rf"\bleave ((?:{P}(?: ,)?(?: and| or)? ?)+)(?:alone|out|be\b|untouch\w*|in peace|aside"
    rf"|unvisit\w*)"
)
_NO_ENTRY = re.compile(
    r"\b(?:not allow|not permit|off limits|out of bounds|taboo|forbid)"
    rf"(?: (?:be|on|in|to|onto|into|enter|touch|:))* ({P}{_LISTED})"
)
_NOT_TO_BE = re.compile(
    r"\b(?:not|never|forbid|avoid|off limits)(?: [a-z]+){0,4} : "
    rf"(?:(?:[a-z]+) ){{0,3}}({P}(?: ?,? ?(?:and|or|nor)? ?{P})*)"
)


_SO_IS = re.compile(
    rf"\b(?:off limits|forbid|taboo|avoid|ban|not|out of bounds)\b[^.;!?]*\band so (?:be|do|go"
    rf"|must)"
    rf" ({P}{_LISTED})"
)
_SPARED = re.compile(  # "the table but not the chair": not crossed, that is
    rf"\b(?:cross|touch|over|use|climb)(?: {P}(?: ,)?)+ (?:but|and)(?: only)? $"
)
_JUST_BESIDE = re.compile(rf" (?:itself|, (?:but )?(?:above|below|by|next to|near|{D} of) it)\b")


def _is_touch(line: str, begin: int, between: str, end: int) -> bool:
    """Whether a denial (from `begin`, its list ending at `end`) is only about driving over."""
    touch = bool(_TOUCH_ONLY.search(between)) or bool(
        re.match(r"neither|nor|no\b", between)
        and re.match(
            rf" (?:may |must |should |can |be |to |need |it )*(?:{TOUCHING})\b", line[end:]
        )
    )
    touch = touch or bool(_SPARED.search(line[:begin]) or _JUST_BESIDE.match(line, end))
    touch = touch or bool(re.search(r"\b(?:off limits|forbid|taboo|out of bounds)\b", between))
    touch = touch or bool(re.match(r" (?:by|on) (?:ing|its|the|pass|their|keep)\b", line[end:]))
    return touch


def _deny(simple: Simple, roles: Roles, begin: int, end: int, touch: bool) -> None:
    """Forbid the places of a part of the line."""
    for at in range(begin, end):
        if FIRST_SIGN <= simple.line[at] <= LAST_SIGN:
            k = simple.place_at(at)
            roles.role[k] = "avoid"
            roles.touch[k] = touch and simple.places[k].sense.kind == "object"


def _denied_ahead(simple: Simple, roles: Roles) -> None:
    """What follows a denial: "avoid the fan or the bed"."""
    line = simple.line
    for match in _DENY.finditer(line):
        if match.group() != "never mind" and _NO_DENIAL.match(line, match.start()):
            continue
        if re.search(
            r"\b(?:why (?:do )?|if |whether |not |oops )$",
            line[max(0, match.start() - 12) : match.start()],
        ):
            continue
        found = _DENIED_LIST.match(line, match.end() + 1)
        if not found or _CLAUSE_END.search(line, match.end(), found.start(1)):
            continue
        between = line[match.start() : found.start(1)]
        if re.search("[,:]", line[match.end() : found.start(1)]):
            continue
        if _MANNER.search(between):  # "not straight from the kitchen": a way is denied, no place
            for at in range(found.start(1), found.end(1)):
                if FIRST_SIGN <= line[at] <= LAST_SIGN:
                    roles.role[simple.place_at(at)] = "mark"
            continue
        # "not X, Y" corrects: behind a comma only a list that ends in "or" or "and" goes on.
        listed = found.group(1)
        end = found.end(1)
        if "," in listed and not re.search(rf"\b(?:or|nor|and)[^,]*{P}$", listed):
            end = found.start(1) + listed.index(",")
        if line.startswith(" yet", end):  # "no bath yet"
            for at in re.finditer(P, listed):
                roles.role[simple.place_at(found.start(1) + at.start())] = "mark"
            continue
        _deny(simple, roles, found.start(1), end, _is_touch(line, match.start(), between, end))


def read_denials(simple: Simple, roles: Roles) -> None:
    """Find the places that a text forbids."""
    line = simple.line
    _denied_ahead(simple, roles)
    for match in _DENIED_BEHIND.finditer(line):
        tail = match.group() + line[match.end() : match.end() + 40].split(P)[0]
        clause = re.split(rf"[.;!?]|{P}", tail[match.end(1) - match.start() :])[0]
        before = line[max(0, match.start() - 60) : match.start()]
        if re.search(rf"(?:\bthan|{P} from)(?: to)? $", before):
            continue  # "going further than orange is not allowed"
        ellipsis = re.search(r"\bnot(?: be)? ?$", clause) and re.search(TOUCHING, before)
        touch = bool(
            re.search(
                rf"\b(?:{TOUCHING}|uncross|untouch|alone|off limits|forbid|taboo|prohibit)", clause
            )
        ) or bool(ellipsis)
        touch = touch or bool(re.search(r"\b(?:over|onto|cross|touch) $", before))
        _deny(simple, roles, match.start(1), match.end(1), touch)
    for match in _SO_IS.finditer(line):
        _deny(simple, roles, match.start(1), match.end(1), True)
    for match in _LEAVE_ALONE.finditer(line):
        _deny(simple, roles, match.start(1), match.end(1), True)
    for match in _NO_ENTRY.finditer(line):
        _deny(
            simple,
            roles,
            match.start(1),
            match.end(1),
            "touch" in match.group() or " on" in match.group(),
        )
    for match in _NOT_TO_BE.finditer(line):
        head = line[match.start() : match.start(1)]
        if re.search(rf"{P}[^.;!?]*$", line[: match.start()]):
            continue  # "blue may not be entered: return from green"
        if re.search(r"\b(?:touch|cross|drive|enter|visit|forbid|avoid|limits|run|go)\b.* :", head):
            _deny(
                simple,
                roles,
                match.start(1),
                match.end(1),
                bool(re.search(rf"\b(?:{TOUCHING})\b", head)),
            )
