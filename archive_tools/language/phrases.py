"""The narrator's phrases, in two vocabularies: one for training texts, one withheld from them.

A phrase is a verb phrase whose first word is the verb in its base form; `conjugate` turns it into
past or -ing form. Slots: {x} an object, {xs} several, {t} a tile, {ts} several, {d} a compass word,
{e} a second one, {its} and {it} pronouns of the object, {p} a part of a tile, {a} an amount.
"""

from dataclasses import dataclass

VERBS: dict[str, tuple[str, str, str]] = {  # base: past, participle, -ing
    "begin": ("began", "begun", "beginning"),
    "bend": ("bent", "bent", "bending"),
    "come": ("came", "come", "coming"),
    "drive": ("drove", "driven", "driving"),
    "get": ("got", "got", "getting"),
    "go": ("went", "gone", "going"),
    "keep": ("kept", "kept", "keeping"),
    "leave": ("left", "left", "leaving"),
    "make": ("made", "made", "making"),
    "set": ("set", "set", "setting"),
    "skirt": ("skirted", "skirted", "skirting"),
    "slip": ("slipped", "slipped", "slipping"),
    "stop": ("stopped", "stopped", "stopping"),
    "swing": ("swung", "swung", "swinging"),
    "take": ("took", "taken", "taking"),
    "travel": ("travelled", "travelled", "travelling"),
    "wind": ("wound", "wound", "winding"),
}


def conjugate(phrase: str, form: str) -> str:
    """A verb phrase in another form.

    Args:
        phrase: its first word is a verb in base form.
        form: base, past, participle or ing.
    """
    verb, _, rest = phrase.partition(" ")
    if form == "base":
        return phrase
    if verb in VERBS:
        verb = VERBS[verb][("past", "participle", "ing").index(form)]
    elif form == "ing":
        verb = (verb[:-1] if verb.endswith("e") else verb) + "ing"
    elif verb.endswith("y") and verb[-2] not in "aeou":
        verb = verb[:-1] + "ied"
    else:
        verb = verb + ("d" if verb.endswith("e") else "ed")
    return f"{verb} {rest}" if rest else verb


@dataclass(frozen=True)
class Frame:
    """A sentence of two halves."""

    text: str
    """{a} and {b}, the halves; {s}, what opens a request or who drives; {h}, "you have" or so."""
    cut: int
    """Where the phrases are cut in two: 1 after the first, -1 before the last."""
    first: str = ""
    """Form of the verbs in {a}; none: base or past, as the style has it."""
    second: str = ""
    """The same for {b}."""


@dataclass(frozen=True)
class Vocabulary:
    """Everything that the narrator chooses from."""

    openers: tuple[tuple[str, str], ...]
    """Begin of a request and its end mark."""
    subjects: tuple[str, ...]
    """Who drives, in a narrative."""
    tile_nouns: tuple[str, ...]
    start: tuple[str, ...]
    """Verb phrases with {t}: where the drive begins."""
    start_prefix: tuple[str, ...]
    """The same as an adverbial."""
    past: tuple[str, ...]
    """{x} or {xs}, met."""
    side: tuple[str, ...]
    """{x}, met on side {d}."""
    over: tuple[str, ...]
    around: tuple[str, ...]
    """{x}, from side {d} to side {e}."""
    circle: tuple[str, ...]
    back: tuple[str, ...]
    """{x}, met before."""
    tile: tuple[str, ...]
    """{t} or {ts}, driven over."""
    tile_heading: tuple[str, ...]
    """{t}, entered towards {d}."""
    tile_back: tuple[str, ...]
    move: tuple[str, ...]
    """Within a tile, towards {d}."""
    stay: tuple[str, ...]
    stop: tuple[str, ...]
    """Verbs for the end; a place follows."""
    beside: tuple[str, ...]
    """Prepositions before {x} for the last place."""
    beside_side: tuple[str, ...]
    onto: tuple[str, ...]
    """Right on top of {x}."""
    corner: tuple[str, ...]
    """Last places in a corner {d} of {t}, at its side {d}, in its middle."""
    edge: tuple[str, ...]
    middle: tuple[str, ...]
    amounts: tuple[tuple[str, ...], ...]
    """Near, middling, far."""
    beyond: tuple[str, ...]
    """After the last object: {a}, {d} of {it}."""
    at: tuple[str, ...]
    """Verb phrases for `<DESCRIPTOR>`, written D."""
    goal: tuple[str, ...]
    """The same, said before the way there."""
    by_way: tuple[str, ...]
    """{g} a goal phrase, {xs} places on the way."""
    to_get_there: tuple[str, ...]
    """D, then verb phrases."""
    one_verb: tuple[str, ...]
    """Verbs that govern several of the next two: "go past the fan, through the red tile"."""
    past_object: tuple[str, ...]
    over_tile: tuple[str, ...]
    forth: tuple[str, ...]
    """{x} and {y}, met in turn several times."""
    then: tuple[str, ...]
    """Joins two verb phrases."""
    and_last: tuple[str, ...]
    """Joins the last one."""
    next: tuple[str, ...]
    """Opens the next sentence."""
    next_told: tuple[str, ...]
    """The same, in the past tense."""
    final: tuple[str, ...]
    """Opens the last sentence."""
    first: tuple[str, ...]
    frames: tuple[Frame, ...]


TRAIN = Vocabulary(
    openers=(
        ("", "."),
        ("please ", "."),
        ("please ", "."),
        ("", ", please."),
        ("could you ", "?"),
        ("could you please ", "?"),
        ("can you ", "?"),
        ("would you please ", "?"),
        ("I would like you to ", "."),
        ("I'd like you to ", "."),
        ("I want you to ", "."),
        ("robot, please ", "."),
        ("now ", "."),
    ),
    subjects=("the robot", "the robot", "our robot", "the little robot"),
    tile_nouns=("tile", "tile", "tile", "square", "floor", "patch"),
    start=("start on {t}", "leave {t}", "set off from {t}", "begin on {t}"),
    start_prefix=("from {t}", "starting on {t}", "leaving {t}"),
    past=(
        "go past {x}",
        "pass {x}",
        "drive past {x}",
        "pass by {x}",
        "move past {x}",
        "head past {x}",
        "drive by {x}",
    ),
    side=(
        "pass {d} of {x}",
        "go past {x} on {its} {d} side",
        "drive along the {d} side of {x}",
        "keep to the {d} of {x}",
        "pass {x} on {its} {d} side",
        "pass just {d} of {x}",
        "go by on the {d} side of {x}",
    ),
    over=("drive right over {x}", "go straight across {x}", "cross right over {x}"),
    around=(
        "go around {x} from the {d} to the {e}",
        "curve around {x} from {d} to {e}",
        "swing around {x} from the {d} side to the {e}",
    ),
    circle=("circle {x}", "go all the way around {x}", "drive a full loop around {x}"),
    back=("go back to {x}", "return to {x}", "come back to {x}", "pass {x} again"),
    tile=(
        "cross {t}",
        "go through {t}",
        "drive across {t}",
        "go over {t}",
        "pass through {t}",
        "drive through {t}",
    ),
    tile_heading=(
        "go {d} onto {t}",
        "head {d} to {t}",
        "drive {d} onto {t}",
        "turn {d} onto {t}",
        "move {d} over {t}",
    ),
    tile_back=("go back to {t}", "return to {t}", "come back onto {t}", "cross {t} again"),
    move=(
        "go {a} {d}",
        "drive {a} {d}",
        "head {a} {d}",
        "move {a} to the {d}",
        "move {a} {d}",
        "turn {d}",
    ),
    stay=("stay close to where you start", "stay near your starting place", "wait where you are"),
    stop=(
        "stop",
        "stop",
        "finish",
        "end up",
        "come to rest",
        "end",
        "park",
        "wait",
    ),
    beside=("by", "next to", "near", "beside", "close to", "at"),
    beside_side=("just {d} of {x}", "on the {d} side of {x}", "to the {d} of {x}"),
    onto=("right on {x}", "on top of {x}", "right at {x}"),
    corner=("in the {d} corner of {t}", "near the {d} corner of {t}", "at the {d} corner of {t}"),
    edge=("in the {d}ern part of {t}", "on the {d} side of {t}", "near the {d} edge of {t}"),
    middle=("in the middle of {t}", "near the middle of {t}", "near the centre of {t}"),
    amounts=(
        ("a little", "slightly", "a bit", "a short way"),
        ("some way", "a fair way", "quite a way"),
        ("far", "a long way"),
    ),
    beyond=("{a} {d} of {it}", "{a} to the {d} of {it}"),
    at=("stop at D", "finish at D", "go to D", "drive to D", "end up at D", "come to rest at D"),
    goal=("go to D", "drive to D", "head for D", "get to D", "move to D"),
    by_way=("{g} by way of {xs}", "{g} via {xs}", "{g}, but go via {xs}"),
    to_get_there=("your goal is D. To get there, ", "you should end up at D. For that, "),
    one_verb=("go", "go", "drive", "head", "move"),
    past_object=("past {x}", "by {x}"),
    over_tile=("through {t}", "across {t}", "over {t}"),
    forth=("go back and forth between {x} and {y}", "move to and fro between {x} and {y}"),
    then=(", then ",),
    and_last=(" and then ", ", then ", ", and then "),
    next=("then ", "next, ", "after that, ", "from there, ", "now "),
    next_told=("then ", "next, ", "after that, ", "from there, "),
    final=("finally, ", "then ", "at the end, ", "in the end, "),
    first=("first, ", "first ", ""),
    frames=(
        Frame("after {a}, {s}{b}", 1, first="ing"),
        Frame("{s}{a} before {b}", -1, second="ing"),
    ),
)

HELD_OUT = Vocabulary(
    openers=(
        ("kindly ", "."),
        ("would you be so good as to ", "?"),
        ("make sure to ", "."),
        ("your job is to ", "."),
        ("I need somebody to ", "."),
        ("try to ", "."),
    ),
    subjects=("the machine", "the vehicle"),
    tile_nouns=("field", "panel", "slab"),
    start=("commence on {t}", "depart from {t}"),
    start_prefix=("out of {t}", "departing from {t}"),
    past=("proceed past {x}", "travel past {x}", "roll past {x}", "visit {x}"),
    side=("skirt {x} along {its} {d} side", "travel {d} of {x}", "slip past {x} on {its} {d} side"),
    over=("roll right over {x}", "travel straight across {x}"),
    around=("bend around {x} from {d} to {e}", "wind around {x} from the {d} to the {e}"),
    circle=("loop around {x}", "orbit {x}"),
    back=("revisit {x}", "double back to {x}"),
    tile=("traverse {t}", "travel across {t}", "proceed over {t}"),
    tile_heading=("proceed {d} onto {t}", "steer {d} onto {t}", "travel {d} to {t}"),
    tile_back=("revisit {t}", "double back onto {t}"),
    move=("proceed {a} {d}", "travel {a} {d}", "steer {d}"),
    stay=("linger where you are",),
    stop=("halt", "come to a halt", "settle", "come to a standstill"),
    beside=("alongside", "adjacent to", "in the vicinity of"),
    beside_side=("directly {d} of {x}", "off the {d} side of {x}"),
    onto=("squarely on {x}", "directly on top of {x}"),
    corner=("within the {d} corner of {t}", "towards the {d} corner of {t}"),
    edge=("within the {d}ern half of {t}", "along the {d} border of {t}"),
    middle=("around the midpoint of {t}", "at the heart of {t}"),
    amounts=(("a touch", "marginally"), ("a good distance",), ("a considerable distance",)),
    beyond=("{a} {d} of {it}",),
    at=("halt at D", "proceed to D", "settle at D", "come to a standstill at D"),
    goal=("proceed to D", "travel to D", "make for D"),
    by_way=("{g} using the way along {xs}", "{g}, taking in {xs}"),
    to_get_there=("the destination is D. On the journey, ", "aim for D. En route, "),
    one_verb=("proceed", "travel"),
    past_object=("alongside {x}", "close by {x}"),
    over_tile=("right across {t}", "straight through {t}"),
    forth=("shuttle between {x} and {y}", "oscillate between {x} and {y}"),
    then=("; afterwards, ", "; subsequently, "),
    and_last=(" and afterwards ", " and subsequently "),
    next=("afterwards, ", "subsequently, ", "thereupon, "),
    next_told=("afterwards, ", "subsequently, ", "thereupon, "),
    final=("lastly, ", "to conclude, "),
    first=("to begin with, ", "initially, "),
    frames=(
        Frame("once {h} {a}, {s}{b}", -1, first="participle"),
        Frame("{s}{a}, and only thereupon {b}", -1),
    ),
)
