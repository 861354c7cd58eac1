"""What a text forbids: "avoid the fan", "the fan must not be touched", "no fan"."""

import re

from archive_tools.language.reading.findings import TOUCHING, Roles
from archive_tools.language.reading.simplify import FIRST_SIGN, LAST_SIGN, D, P, Simple

_WORDS_OF_TOUCH = (
    r"(?:touch|cross|drive|run|roll|over|onto|on|go|near|enter|the|into|in|to|at|visit)"
)
# Denials: what is denied is the next place and those listed with it. Some denials are none.
_KEEP_OUT = (
    r"(?:keep|stay|steer|remain)(?: [a-z]+){0,2}? (?:away from|clear of|clear from"
    r"|off|out of|far from|distance from)"
)
_BUT_FOR = (
    r"(?:but|except(?: for)?|save(?: for)?|bar|other than|apart from|aside from|outside(?: of)?)"
)
_DENY = re.compile(
    r"\b(?:never mind|avoid|skip|ignore|shun|miss|disregard|omit|without|never|not|nor|neither"
    rf"|instead of|rather than|{_KEEP_OUT}|exclude|forbid|off limits|taboo|out of bounds|leave out"
    r"|verboten|nothing to do with|bypass|circumvent|evade|dodge|hands? off|nowhere near|ban from"
    r"|refrain from|rule out|hate|dislike|detest|(?:nobody|no one)(?= (?:may|must|should|can|be)\b)"
    r"|(?:on|in|at|by|below) no (?:circumstances?|account|condition|case|event|time|point|means)"
    r"|(?:other|another)(?: [a-z]+){0,2} than(?= (?:through|via|by|over|past)\b))\b"
    rf"|\b(?:any|every|all|wherever|whatever)[a-z]*\b[a-z ]{{0,40}}? {_BUT_FOR}(?= {P})"
    rf"|\b(?:mind|spare|beware of|watch out for|careful (?:of|with))(?= {P})"
    r"|\b(?:no|except)(?= (?:touch|cross|enter|visit|drive|contact|go|pass|run|turn|attention"
    r"|need)\b)"
    r"|\bnothing (?=(?:through|via|over|past)\b)"
    rf"|\b(?:no|except|must not :)(?= {P})"
    rf"|(?:^|[.,;:!] |\bjust )(?:forget|drop|scrap)(?= (?:about )?{P})"
)
_NO_DENIAL = re.compile(
    r"(?:not|never|no|without|nor) (?:(?:do|you|to|be|it|have|ever|ing|that|any|have) )*"
    r"(?:only|just|later|until|before|worry|mind|forget|dawdle|stop|halt|rest|hurry|matter|sooner"
    r"|leave|turn|exit|depart|yet|one but|miss|too|hesitate|wait|linger|stray|skip|need to go round"
    r"|further|farther|far|less|more|longer|long|doubt|problem|wander|quite|straight|direct"
    r"|direct way"
    r"|the way|past|beyond|as far|deeper|go past|pass beyond|fast|immediately|directly"
    r"|think(?! of| about)|continue past|without|get far|enough|detour|through middle|make"
    r"|even think(?! of| about)|at once|away"
    r"|go deep|need go deep|go too|need go far|yet)\b"
)
_MANNER = re.compile(
    r"\b(?:straight|short|shortest|shortcut|obvious|door|from|turn|detour|need"
    r"|(?:way|route)(?! (?:through|via|by|over|past|across|of)))\b"
)
_NO_MANNER = re.compile(r"\b(?:clear|away|far|distance|apart|aside|refrain|ban) from\b")
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
    r"|verboten|(?:strict |absolute )?no (?:go|no)(?= [.,;:!?)]|$| area| zone| for)|out of bounds"
    r"|uncross\w*|alone|unvisit\w*|leave (?:out|alone|aside|untouch\w*)|aside|out of question)\b"
    rf"(?! (?:touch|cross|drive|run|go|enter) | {P})"
    r"|(?:exclude|out)(?= [.,;!]|$)"
    r"|you (?:do|must|may|can|should|shall|will) not (?:to )?[a-z]+(?: over| into| on| near| by)?"
    r"(?= (?:[.,;!?]|and|but|again|at all)|$)"
    r"|(?:be to |be |to |must |should |may |can |have to |need to |'s )+(?:be )?(?:exclude|ignore"
    r"|skip|avoid|omit|disregard|too far|unneeded|out(?= [.,;!]|$)|out of it|closed)\b|not to be"
    r" (?:touch|cross|enter|visit)\b|(?:stay|remain|keep) out of (?:it|this)\b|not need(?:ed)?\b"
    r"|(?:be |, )?not (?:allow|permit)"
    r"|avoid(?= [.,;!]|$)|(?:be |stay )(?:out|free)(?= [.,;!]|$)|can wait|(?:, )?no(?= [.,;!]|$)"
    r"|\? (?:no|nah|nope)\b|(?<=: )(?:do )?not (?:touch|cross|enter|visit|drive|go)\b)"
)
_LEAVE_ALONE = re.compile(
    rf"\bleave ((?:{P}(?: ,)?(?: and| or)? ?)+)(?:alone|out|be\b|untouch\w*|in peace|aside"
    rf"|unvisit\w*)"
    rf"|\bgive ((?:{P}(?: ,)?(?: and| or)? ?)+)(?:both )?(?:wide )?(?:berth|miss|pass\b)"
)
_CLOSED = (
    r"(?:close|shut|lock\w*|block\w*|barred|seal\w*|flood\w*|occupied|taken|busy|crowded|wet"
    r"|mopped|polished|waxed|slippery|dangerous|unsafe|inaccessible|unavailable|private|painted"
    r"|cordon\w*|of (?:people|guests|visitors|children|kids|smoke|water)|on fire"
    r"|below (?:construction|repair|renovation|water)|in use|be [a-z]+ed)\b"
)
_TROUBLE = re.compile(  # "the baby sleeps in the lounge", "wet floor in the hall", "I mopped it"
    r"\b(?:(?!be |and |then |or )[a-z]+ (?:be |'s )?(?:sleep|asleep|nap\w*|dozing|practi[sc]ing"
    r"|rehears\w*|play|work)|wet|slippery|paint|painting|broken|spill\w*|mess|meeting|party)"
    rf"(?: (?!to|at|on|in)[a-z]+){{0,3}}? in ({P})"
    r"|\b(?:mopped|waxed|polished|painted|vacuumed|cleaned|scrubbed|washed)"
    rf"(?: floor (?:of|in))? ({P})"
)
_INVITED = re.compile(
    r"(?<!not )\b(?:go|come|drive|head|get|join|wake|bring)(?: over)?"
    r" (?:there|here|it|them|him|her)\b"
)
_SHUT = re.compile(  # said of a room: a cabinet that is closed may be passed
    rf"((?:(?:{P}(?: ,)? )*{P}(?: ,)? (?:and|or|nor) )?{P})(?: rooms?)? (?:be|'s|have be|get)"
    rf"(?: (?:be|both|all|currently|still|now|today|freshly|newly|just|too))*? {_CLOSED}"
)
_NO_ENTRY = re.compile(
    r"\b(?:not allow|not permit|off limits|out of bounds|taboo|forbid)"
    rf"(?: (?:be|on|in|to|onto|into|enter|touch|:))* ({P}{_LISTED})"
)
_LABEL = (
    r"(?: (?:be|to|do|go|touch|cross|drive|enter|visit|pass|run|use|allow|permit|over|into|near"
    r"|through|via|in|on|rooms?|zones?|areas?|places?|things?))*"
)
_NOT_TO_BE = re.compile(  # "Must not pass: the statue."
    r"(?:^|[.;!?,] )(?:(?:must|may|should|can|do|to|be|you|where|rooms?|places?|things|and|but) )*"
    r"(?:not|never|no go|no entry|forbid|avoid|off limits|blocked|ban|prohibit|close"
    rf"|out of bounds|skip|exclude|keep out|keep clear|taboo|without|except){_LABEL} : "
    rf"(?:[a-z]+ ){{0,3}}?({P}(?: ?,? ?(?:and|or|nor)? ?{P})*)"
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
        if _MANNER.search(
            _NO_MANNER.sub("", between)
        ):  # "not straight from the kitchen": a way is denied, no place
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


_GO_IN = (
    r"(?:go|drive|come|step|walk|get|be|run|roll|pass|enter|cross|touch|disturb|bother|hit|bump|use"
    r"|visit|climb|wake|set foot|put [a-z]+)"
)
_IT = (
    r"(?:it|there|them|her|him|that(?: one| room| way)?|this(?: one| room| way)?|in|inside|through)"
)
_CLAUSE_ENDS = r"(?= [.,;:!?)]|$| (?:and|but|please|at all|while|when|on your|so)\b)"
_DENIED_PRONOUN = re.compile(
    rf"\b(?:(?:keep|stay|steer|remain)(?: [a-z]+){{0,2}}? (?:away|out|off|clear)(?: (?:from|of))?"
    rf"(?: {_IT})?"
    rf"|(?:not|never|no|without|nor|nobody|no one)(?: [a-z]+){{0,3}}? {_GO_IN}"
    rf"(?: (?:through|via|into|over|onto|on|by|past|near|at|to|against|foot in|in|back))* {_IT}"
    rf"|without {_IT}|(?:so|please) (?:go|drive|steer) round {_IT}|, (?:go|drive) round {_IT}"
    rf"|(?:not|never)(?: (?:through|via|into|over|by|past|near))+ {_IT}"
    rf"|(?:avoid|skip|bypass|shun|omit|leave out) {_IT}|leave {_IT} (?:out|alone)"
    rf"|give {_IT} wide berth"
    rf"|(?:it|that|this|which|there)(?: room)? (?:be|'s) (?:off limits|out of bounds|taboo|forbid"
    rf"|verboten|no go|no no|{_CLOSED})){_CLAUSE_ENDS}"
)
_WANTED = re.compile(
    r"\b(?:go|come|drive|head|get|take|bring|visit|enter|reach|stop|halt|finish|end|park|stay|want"
    r"|wait|rest|need|find|see|meet|pass|past|cross|over|via|through|make|move|turn|to|into|onto)\b"
)
_FETCHED = re.compile(r"\b(?:you|go|wake|join|see|find|visit|come|to|stop|start)\b")
_ON_THE_WAY = re.compile(
    r"\b(?:past|over|via|through|by|along|cross|pass|skirt|circle|visit|see)"
    rf"(?: {P}(?: ,)?(?: and)?)* $"
)
_ROUND = re.compile(rf"\bround(?: {P}(?: ,)?(?: and)?)* $")
_CORRECTED = re.compile(
    rf"({P})[^{P[1:-1]}.;!?]{{0,30}}(?: [.,;!?])+ (?:(?:oh|er|erm|um|uh|hm|but|or|ah|oops) ?,? )*"
    r"(?:no (?:, )?wait|wait (?:, )?no|no(?: no)*(?= [,.:!;])|sorry(?= [,.:!;])|scratch that"
    rf"|strike that|correction|make (?:that|it)(?= {P})|mean(?= (?:, |: |to |go to |in |at )?{P})"
    r"|or rather|change of plan|second thoughts?|er|erm)\b"
    rf"[^{P[1:-1]}]{{0,60}}?({P})"
)


_IMPOSSIBLE = re.compile(r"[^.;!?]*\? (?:that |it )?(?:be )?(?:impossible|not possible)\b")


def _denied_by_pronoun(simple: Simple, roles: Roles) -> None:
    """ "The guests are in the hall, keep out of it": the place named last is forbidden."""
    line = simple.line
    for match in _DENIED_PRONOUN.finditer(line):
        if _NO_DENIAL.match(line, match.start()):
            continue
        edges = [0, *(m.end() for m in re.finditer(r"[.;!?] ", line[: match.start()]))]
        there = match.group().endswith("there")  # a room, of the sentence before as well
        back = there or edges[-1] >= match.start() - 8
        begin = edges[-2 if back and len(edges) > 1 else -1]
        named = [m.start() for m in re.finditer(P, line[: match.start()]) if m.start() >= begin]
        named = [at for at in named if simple.places[simple.place_at(at)].sense.names]
        rooms = [at for at in named if simple.places[simple.place_at(at)].sense.kind != "object"]
        within = re.search(r"\b(?:out|in|inside|into|through|enter|foot)\b", match.group())
        named = rooms if rooms and (within or there) else named[-1:]
        for at in reversed(named):
            k = simple.place_at(at)
            head = line[max(e for e in edges if e <= at) : at]
            head = re.split(r"[:,] (?:but|as|because|while|since|though) ", head)[-1]
            touch = bool(_TOUCH_ONLY.search(match.group()))
            thing = touch and simple.places[k].sense.kind == "object"
            if roles.role[k] == "avoid":
                break
            if not head.strip() and not re.match(r" (?:be|'s [a-z])", line[at + 1 :]):
                continue
            wanted = _WANTED.search(head)
            if _ROUND.search(head) or not wanted:
                _deny(simple, roles, at, at + 1, touch)
                break
            if at != named[-1]:
                continue
            if _ON_THE_WAY.search(head) and thing:  # "past the desk, but don't touch it": both
                roles.untouched.add(k)
                break
            if _ON_THE_WAY.search(head):
                _deny(simple, roles, at, at + 1, touch)
                break


def _corrected(simple: Simple, roles: Roles) -> None:
    """ "To the sofa. No, wait, the plant": the first of the two is taken back, not forbidden."""
    for match in _IMPOSSIBLE.finditer(simple.line):
        for at in re.finditer(P, match.group()):
            roles.role[ord(at.group()) - ord(FIRST_SIGN)] = "mark"
    for match in _CORRECTED.finditer(simple.line):
        one, two = (simple.place_at(match.start(g)) for g in (1, 2))
        if not set(simple.places[one].sense.names) & set(simple.places[two].sense.names):
            roles.role[one] = "mark"
            roles.far.add(one)


def read_denials(simple: Simple, roles: Roles) -> None:
    """Find the places that a text forbids."""
    line = simple.line
    _denied_ahead(simple, roles)
    for match in _DENIED_BEHIND.finditer(line):
        tail = match.group() + line[match.end() : match.end() + 40].split(P)[0]
        clause = re.split(rf"[.;!?]|{P}|on (?:your|the) way", tail[match.end(1) - match.start() :])[
            0
        ]
        before = line[max(0, match.start() - 60) : match.start()]
        if re.search(rf"(?:\bthan|{P} from)(?: to)? $", before):
            continue  # "going further than orange is not allowed"
        if re.match(r".(?: ,)? (?:that|which) ", match.group()) and re.search(
            r"\b(?:way|route|path)\b", before
        ):
            continue  # "a way to the desk that does not touch the hall"
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
        group = 1 if match.group(1) else 2
        _deny(simple, roles, match.start(group), match.end(group), group == 1)
    for match in _SHUT.finditer(line):
        found = [
            simple.place_at(match.start(1) + m.start()) for m in re.finditer(P, match.group(1))
        ]
        if all(simple.places[k].sense.kind != "object" for k in found):
            _deny(simple, roles, match.start(1), match.end(1), False)
    for match in _NO_ENTRY.finditer(line):
        _deny(
            simple,
            roles,
            match.start(1),
            match.end(1),
            "touch" in match.group() or " on" in match.group(),
        )
    for match in _NOT_TO_BE.finditer(line):
        touch = bool(re.search(r"\b(?:touch|cross|drive|run|over|onto)\b", match.group()))
        _deny(simple, roles, match.start(1), match.end(1), touch)
    for match in _TROUBLE.finditer(line):
        at = match.start(match.lastindex or 1)
        head = re.split(r"[.;!?,] ", line[:at])[-1]
        wanted = _FETCHED.search(head) or _INVITED.search(line, at)
        if simple.places[simple.place_at(at)].sense.kind != "object" and not wanted:
            _deny(simple, roles, at, at + 1, False)
    _denied_by_pronoun(simple, roles)
    _corrected(simple, roles)
