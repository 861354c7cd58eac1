"""The narrator's phrases: of all styles, of the plain and the formal ones, and those withheld.

A phrase is a verb phrase whose first word is the verb in its base form (`conjugation` has the
other forms), or what follows a verb. Slots: {x} an object or tile, {s} a side as an adjective, {n}
as a noun, {r} as a preposition ("left of"), {o} and {e} a second side, {d} a heading, {its} and
{it} pronouns of the object, {h} a hand of {your} robot, {w} clockwise or counterclockwise.

The withheld vocabulary serves the test of unseen wording: no training text has its words.
"""

from dataclasses import dataclass, fields, replace


def _(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split("|"))


@dataclass(frozen=True)
class Phrases:
    """What the narrator chooses from, by what a phrase is for."""

    over: tuple[str, ...]
    """Verb phrases: an object is driven over."""
    past: tuple[str, ...]
    side: tuple[str, ...]
    """Passed on side {n}, {r} of it."""
    hand: tuple[str, ...]
    """Passed with it on the robot's {h}."""
    around: tuple[str, ...]
    """From side {n} to side {e}."""
    turn: tuple[str, ...]
    """The same, {w} clockwise or not."""
    circle: tuple[str, ...]
    back: tuple[str, ...]
    """Met before."""
    back_over: tuple[str, ...]
    tile: tuple[str, ...]
    tile_heading: tuple[str, ...]
    """Entered towards {d}."""
    tile_back: tuple[str, ...]
    peek: tuple[str, ...]
    """A tile that is left again to where the robot came from."""
    move: tuple[str, ...]
    """Towards {d}, within a tile."""
    path_over: tuple[str, ...]
    """The same without verbs, for "go over the bed, past the chair"."""
    path_past: tuple[str, ...]
    path_side: tuple[str, ...]
    path_around: tuple[str, ...]
    path_back: tuple[str, ...]
    path_tile: tuple[str, ...]
    path_tile_heading: tuple[str, ...]
    path_tile_back: tuple[str, ...]
    stop: tuple[str, ...]
    """Verbs of ending; a place follows."""
    on: tuple[str, ...]
    """Places on an object,"""
    on_part: tuple[str, ...]
    """on its part {n},"""
    beside: tuple[str, ...]
    """beside it,"""
    beside_side: tuple[str, ...]
    """on its side {n}, {r} of it."""
    side_of_it: tuple[str, ...]
    """The same of an object that was just named."""
    corner: tuple[str, ...]
    """Places in a tile: its corner {n},"""
    edge: tuple[str, ...]
    """its side {n},"""
    middle: tuple[str, ...]
    """its middle,"""
    inside: tuple[str, ...]
    """anywhere in it,"""
    just_inside: tuple[str, ...]
    """near where it was entered."""
    beyond: tuple[str, ...]
    """Some way towards {d}."""
    descriptor: tuple[str, ...]
    """Places written D, for `<DESCRIPTOR>`."""
    then: tuple[str, ...]
    """Joins two verb phrases."""
    last: tuple[str, ...]
    """Joins the last one."""
    one_verb: tuple[str, ...]
    """Verbs that govern several paths."""
    tile_nouns: tuple[str, ...]
    """After a colour."""


PLAIN = Phrases(
    over=_("cross {x}|drive over {x}|go over {x}|roll over {x}|go across {x}|drive across {x}"
           "|roll across {x}|run over {x}|go straight over {x}|go right over {x}|touch {x}"
           "|bump over {x}|climb over {x}"),
    past=_("pass {x}|go past {x}|drive past {x}|go by {x}|visit {x}|look at {x}|check {x}"
           "|have a look at {x}|go along {x}|come by {x}|see {x}"),
    side=_("pass {x} on the {n}|pass {x} on {its} {s} side|go {r} {x}|pass {r} {x}"
           "|keep {r} {x}|stay {r} {x}|go past the {s} side of {x}|follow the {s} side of {x}"
           "|go round the {n} of {x}|take the {s} side of {x}|go along the {s} edge of {x}"
           "|turn {r} {x}|come along {x} on the {n}"),
    hand=_("keep {x} on {your} {h}|pass with {x} on {your} {h}|leave {x} on {your} {h}"
           "|keep {x} to {your} {h}|have {x} on {your} {h}"),
    around=_("go around {x} from the {n} to the {e}|go round {x} from {n} to {e}"
             "|curve around {x} from {its} {s} to {its} {o} side"
             "|turn around {x} from the {n} to the {e}|loop around {x}|go round {x}"),
    turn=_("go {w} around {x}|turn {w} around {x}|go round {x} {w}|drive {w} round {x}"
           "|go around {x} {w}|come {w} around {x}"),
    circle=_("circle {x}|go all the way around {x}|drive a full loop around {x}"
             "|do a lap of {x}|drive once around {x}|make a complete circle around {x}"
             "|go right round {x}"),
    back=_("go back to {x}|return to {x}|come back to {x}|pass {x} again|visit {x} again"
           "|go past {x} once more|see {x} a second time"),
    back_over=_("go back over {x}|cross {x} again|drive over {x} once more"
                "|roll back across {x}|come back over {x}|cross {x} a second time"),
    tile=_("go through {x}|cross {x}|drive through {x}|enter {x}|go into {x}|pass through {x}"
           "|drive into {x}|head into {x}|turn into {x}|come into {x}|run through {x}"
           "|continue into {x}|go across {x}|head for {x}|move into {x}"),
    tile_heading=_("go {d} into {x}|head {d} to {x}|drive {d} into {x}|go {d} through {x}"
                   "|continue {d} to {x}|come {d} into {x}"
                   "|go straight {d} into {x}"
                   "|take the way {d} into {x}"),
    tile_back=_("go back to {x}|return to {x}|come back into {x}|go through {x} again"
                "|enter {x} again|go back through {x}|turn back to {x}|enter {x} a second time"),
    peek=_("look into {x}|have a quick look into {x}|visit {x} briefly"
           "|take a short look into {x}|go into {x} and out again|check {x} for a moment"
           "|make a short trip into {x}"),
    move=_("go {d}|drive a little {d}|go a bit {d}|move {d}|head {d}|keep going {d}"
           "|run a little way {d}|drive some way {d}"),
    path_over=_("over {x}|across {x}|straight over {x}|right across {x}|over {x}"),
    path_past=_("past {x}|by {x}|along {x}|past {x}"),
    path_side=_("{r} {x}|past {x} on the {n}|past the {s} side of {x}|round the {n} of {x}"
                "|along the {s} edge of {x}"),
    path_around=_("around {x}|round {x}|all around {x}"),
    path_back=_("back past {x}|back to {x}|past {x} again|back by {x}"),
    path_tile=_("through {x}|into {x}|through {x}|across {x}"),
    path_tile_heading=_("{d} into {x}|{d} through {x}|{d} to {x}|straight {d} into {x}"),
    path_tile_back=_("back through {x}|back into {x}|through {x} again|back to {x}"),
    stop=_("stop|stop|stop|finish|end|end up|come to rest|wait|halt|park|stay"),
    on=_("on {x}|right on {x}|in the middle of {x}"),
    on_part=_("on the {s} part of {x}|on {x}, on {its} {s} side|on the {s} half of {x}"
              "|on the {s} end of {x}|on {x} at {its} {s} edge"),
    beside=_("by {x}|next to {x}|near {x}|beside {x}|close to {x}|at {x}"),
    beside_side=_("{r} {x}|just {r} {x}|on the {s} side of {x}|directly {r} {x}"
                  "|by the {s} edge of {x}|a bit {r} {x}|at the {s} side of {x}"
                  "|a little {r} {x}|right {r} {x}|close by {x}, {r} it"),
    side_of_it=_("{r} it|on {its} {s} side|just {r} it|at {its} {s} edge|right {r} it"
                 "|a bit {r} it"),
    corner=_("in the {s} corner of {x}|in the {s} corner of {x}|in the {s} part of {x}"
             "|in the very {s} corner of {x}|far in the {s} corner of {x}"
             "|near the {s} corner of {x}|at the {n} of {x}|in {x}, in {its} {s} corner"
             "|deep in the {s} corner of {x}"),
    edge=_("on the {s} side of {x}|at the {s} edge of {x}|in the {s} part of {x}"
           "|in the {s} half of {x}|at the {s} end of {x}|in {x}, on {its} {s} side"
           "|near the {s} edge of {x}|at the {n} of {x}|by the {s} side of {x}"),
    middle=_("in the middle of {x}|near the middle of {x}|in the centre of {x}"
             "|in {x}, in the middle|close to the middle of {x}|about in the middle of {x}"),
    inside=_("in {x}|in {x}|inside {x}|somewhere in {x}"),
    just_inside=_("just inside {x}|soon after entering {x}|in {x}, near the way in"),
    beyond=_("some way {d}|a fair way {d}|further {d}"),
    descriptor=_("at D|at D|close to D|right at D"),
    then=_(", then|, then|, next||, and from there|, afterwards|, and then"),
    last=_(" and | and | and then |, then |, and then "),
    one_verb=_("go|go|drive|head|come|move"),
    tile_nouns=_("room|room|room|room|room|floor|area"),
)  # fmt: skip

FORMAL = Phrases(
    over=_("traverse {x}|cross {x}|drive directly over {x}|make contact with {x}"),
    past=_("pass {x}|inspect {x}|proceed past {x}|approach {x}|move past {x}"),
    side=_("proceed {r} {x}|skirt {x} on the {n}|move along the {s} side of {x}"
           "|bypass {x} on the {n}|follow the {s} edge of {x}|remain {r} {x}"
           "|skim the {s} side of {x}"),
    hand=_("hold {x} on {your} {h}"),
    around=_("skirt {x} from the {n} to the {e}|round {x} from {n} to {e}|go half way round {x}"),
    turn=_("proceed {w} around {x}|move {w} around {x}|round {x} {w}"),
    circle=_("make one full turn around {x}|complete a full circle around {x}"
             "|complete one loop around {x}"),
    back=_("return to {x}|approach {x} again|pass {x} a second time"),
    back_over=_("traverse {x} again|cross {x} once more|cross {x} twice"),
    tile=_("reach {x}|proceed through {x}|traverse {x}|continue through {x}|use {x}"
           "|travel through {x}"),
    tile_heading=_("proceed {d} into {x}|continue {d} into {x}|travel {d} to {x}"
                   "|move {d} through {x}|take the route {d} through {x}"),
    tile_back=_("return to {x}|reverse into {x}|enter {x} once more|return through {x}"),
    peek=_("enter {x} briefly|inspect {x} briefly and return|visit {x} and leave it again"),
    move=_("proceed {d}|continue {d}|travel {d}|move slightly {d}|proceed a short way {d}"),
    path_over=_("over {x}|across {x}|directly over {x}"),
    path_past=_("past {x}|along {x}"),
    path_side=_("{r} {x}|along the {s} side of {x}|past the {s} edge of {x}"),
    path_around=_("around {x}|round {x}"),
    path_back=_("back to {x}|back past {x}|past {x} a second time"),
    path_tile=_("through {x}"),
    path_tile_heading=_("{d} into {x}|{d} through {x}|{d} to {x}"),
    path_tile_back=_("back through {x}|back into {x}|through {x} once more"),
    stop=_("stop|halt|stop|finish|terminate|end|come to a stop|conclude|complete the route"
           "|end the drive"),
    on=_("on {x}|directly on {x}"),
    on_part=_("on the {s} part of {x}|on the {s} half of {x}|at the {s} end of {x}"),
    beside=_("next to {x}|beside {x}|close to {x}|in front of {x}"),
    beside_side=_("{r} {x}|immediately {r} {x}|directly {r} {x}|on the {s} side of {x}"
                  "|close to the {s} edge of {x}|slightly {r} {x}|at a short distance {r} {x}"),
    side_of_it=_("{r} it|immediately {r} it|on {its} {s} side|at {its} {s} edge"),
    corner=_("in the {s} corner of {x}|in the {s} quarter of {x}|in the {s} area of {x}"),
    edge=_("on the {s} side of {x}|at the {s} edge of {x}|in the {s} half of {x}"
           "|at the {s} boundary of {x}|along the {s} edge of {x}|in the {s} part of {x}"),
    middle=_("in the centre of {x}|near the centre of {x}|in the middle of {x}"
             "|in the central part of {x}"),
    inside=_("in {x}|within {x}|inside {x}"),
    just_inside=_("just inside {x}|immediately after entering {x}"),
    beyond=_("some distance {d}|further {d}"),
    descriptor=_("at D|directly at D"),
    then=_(", then |; then |, next |"),
    last=_(" and | and |, and |; finally, "),
    one_verb=_("proceed|travel|drive|continue|go"),
    tile_nouns=_("room|room|room|floor|area"),
)  # fmt: skip

CASUAL = Phrases(
    over=_("roll over {x}|bump over {x}|climb {x}|hop over {x}|roll right over {x}"
           "|give {x} a touch|cut across {x}|run straight over {x}"),
    past=_("swing by {x}|pop past {x}|peek at {x}|take a look at {x}|do {x}|roll by {x}"
           "|say hello to {x}|slip past {x}|brush past {x}"),
    side=_("slip {r} {x}|squeeze {r} {x}|swing {r} {x}|duck {r} {x}|roll along the {n} of {x}"
           "|take {x} on the {n}|stay on the {s} side of {x}"),
    hand=_("keep {x} on {your} {h}|let {x} be on {your} {h}|leave {x} to {your} {h}"),
    around=_("swing around {x} from the {n} to the {e}|roll round {x}|curve round {x}"
             "|make a turn around {x}|loop round {x} from {n} to {e}"),
    turn=_("swing {w} around {x}|roll {w} round {x}|curve {w} round {x}"),
    circle=_("do a lap around {x}|spin once around {x}|do a full lap of {x}"
             "|drive circles round {x}"),
    back=_("come back to {x}|go back past {x}|swing by {x} again|have another look at {x}"),
    back_over=_("roll back over {x}|come back across {x}|bump over {x} once more|do {x} again"),
    tile=_("go on into {x}|roll through {x}|swing through {x}|take {x}|slip into {x}"
           "|walk into {x}|cut through {x}|get into {x}"),
    tile_heading=_("go up {d} into {x}|roll {d} into {x}|carry on {d} to {x}|step {d} into {x}"),
    tile_back=_("come home to {x}|come back through {x}|get back to {x}|roll back into {x}"),
    peek=_("peek into {x}|dip into {x}|pop into {x} and out again"
           "|step into {x} for a moment|have a quick look at {x}"),
    move=_("roll a bit {d}|scoot {d}|go a little {d}"),
    path_over=_("over {x}|right over {x}|across {x}|straight over {x}"),
    path_past=_("past {x}|by {x}|along by {x}|close by {x}"),
    path_side=_("{r} {x}|round the {n} of {x}|along the {n} of {x}|by the {s} side of {x}"),
    path_around=_("around {x}|once around {x}|round {x}"),
    path_back=_("back past {x}|back by {x}|back to {x}"),
    path_tile=_("through {x}|into {x}|thru {x}"),
    path_tile_heading=_("{d} into {x}|{d} through {x}|up and {d} into {x}"),
    path_tile_back=_("back through {x}|home through {x}"),
    stop=_("stop|wait|wait|stay|park|rest|finish|sit|stand|settle"),
    on=_("on {x}|right on {x}"),
    on_part=_("on the {s} part of {x}|on {x}, on the {n}|on the {s} end of {x}"),
    beside=_("by {x}|next to {x}|near {x}|right by {x}|close to {x}"),
    beside_side=_("{r} {x}|just {r} {x}|right {r} {x}|a little {r} {x}|tucked in {r} {x}"
                  "|on the {s} side of {x}|barely {r} {x}"),
    side_of_it=_("{r} it|on {its} {s} side|right {r} it|just {r} it|a little {r} it"),
    corner=_("in the {s} corner of {x}|in {x}, {s} corner|in that {s} corner of {x}"
             "|in the {s} bit of {x}"),
    edge=_("on the {s} side of {x}|at the {s} end of {x}|in {x}, at the {n}"
           "|along the {s} side of {x}"),
    middle=_("in the middle of {x}|halfway into {x}|about the middle of {x}"
             "|right in the middle of {x}"),
    inside=_("in {x}|inside {x}|anywhere in {x}"),
    just_inside=_("just inside {x}|only just inside {x}|barely inside {x}"),
    beyond=_("a good bit {d}|further {d}"),
    descriptor=_("at D"),
    then=_(", then |, and then |, then |, after that |"),
    last=_(" and |, and then | and finally |, then |, and after that | and "),
    one_verb=_("go|roll|head|drive|run|come"),
    tile_nouns=_("room|room|room|room|floor"),
)  # fmt: skip

WITHHELD = Phrases(
    over=_("trundle over {x}|plod straight across {x}|motor over {x}"),
    past=_("trundle past {x}|amble past {x}|saunter past {x}|motor past {x}"),
    side=_("amble {r} {x}|trundle past {x} along {its} {s} flank|meander {r} {x}"),
    hand=_("amble with {x} on {your} {h}"),
    around=_("orbit {x} from the {n} to the {e}|meander around {x} from {n} to {e}"),
    turn=_("orbit {x} {w}|meander {w} about {x}"),
    circle=_("orbit {x}|orbit the whole of {x}"),
    back=_("double back to {x}|trundle back to {x}"),
    back_over=_("trundle back over {x}|plod back across {x}"),
    tile=_("trundle across {x}|amble through {x}|journey through {x}|meander through {x}"),
    tile_heading=_("journey {d} into {x}|amble {d} into {x}|trundle {d} into {x}"),
    tile_back=_("double back into {x}|journey back into {x}"),
    peek=_("venture into {x}|amble into {x}"),
    move=_("trundle {d}|amble {d}"),
    path_over=_("straight across {x}|clean over {x}"),
    path_past=_("alongside {x}|in the vicinity of {x}"),
    path_side=_("{r} {x}|along the {s} flank of {x}"),
    path_around=_("all about {x}"),
    path_back=_("back alongside {x}"),
    path_tile=_("amid {x}|throughout {x}"),
    path_tile_heading=_("{d} into {x}"),
    path_tile_back=_("back amid {x}"),
    stop=_("come to a standstill|linger|arrive"),
    on=_("squarely on {x}|atop {x}"),
    on_part=_("atop {x}|squarely on the {s} half of {x}"),
    beside=_("alongside {x}|adjacent to {x}|in the vicinity of {x}"),
    beside_side=_("squarely {r} {x}|off the {s} flank of {x}|marginally {r} {x}"),
    side_of_it=_("squarely {r} it|marginally {r} it"),
    corner=_("within the {s} corner of {x}|amid the {s} corner of {x}"),
    edge=_("within the {s} half of {x}|amid the {s} part of {x}"),
    middle=_("around the midpoint of {x}|at the heart of {x}"),
    inside=_("amid {x}|within the bounds of {x}"),
    just_inside=_("within the bounds of {x}"),
    beyond=_("a considerable distance {d}"),
    descriptor=_("at D|in the vicinity of D"),
    then=_(", thereupon |, whereupon "),
    last=_(" and thereupon |, subsequently "),
    one_verb=_("journey|trundle|amble"),
    tile_nouns=_("field|panel|slab"),
)  # fmt: skip


def _joined(first: Phrases, second: Phrases) -> Phrases:
    names = [f.name for f in fields(Phrases)]
    return replace(first, **{n: getattr(first, n) + getattr(second, n) for n in names})


REGISTERS: dict[str, Phrases] = {
    "formal": _joined(PLAIN, FORMAL),
    "casual": _joined(PLAIN, CASUAL),
    "withheld": WITHHELD,
}
"""The phrases that a style chooses from."""
