"""The narrator's plans of a sentence, for each style, and those withheld from training texts.

A plan is a text with slots: {go} the way and the end as verb phrases, {way} the way alone, {end}
the end alone, {first} and {rest} the same cut after the first, {a} and {b} cut anywhere, {one} a
single verb phrase; with a form behind a colon ("{way:ing}"). {paths} is the way without verbs
("past the bed, through the hall"), {names} its places, {pair} at most two of them, {crossed} those
that are driven over. {at} is the end with a preposition, {spot} without ("bed, left side"), {goal}
its place alone. {start} is where the drive begins.
"""

import re
from dataclasses import dataclass
from functools import lru_cache

from archive_tools.narrator.styles import Style

SLOT = re.compile(r"\{(\w+)(?::(\w+))?\}")
NEEDS = {
    **dict.fromkeys(("way", "one", "paths", "names", "pair", "first", "rest"), 1),
    **dict.fromkeys(("a", "b"), 2),
}
"""How many places on the way a slot needs."""
AT_MOST = {"one": 1, "pair": 2}
"""How many it can name."""
FRONTED = 4
"""How many places a clause with "after …ing" or "having …" holds."""


@dataclass(frozen=True)
class Plans:
    """How one style makes texts."""

    register: str
    """Of `phrases.REGISTERS`."""
    texts: tuple[str, ...]
    """Of the way and the end."""
    alone: tuple[str, ...]
    """Of the end alone."""
    bans: float = 0.35
    """Share of the texts that forbid something, where there is something to forbid."""
    ban: str = "imperative"
    """Which of `bans.BANS` it uses."""
    person: str = "your"
    """Whose left and right."""
    map_words: float = 0.6
    """Share of the texts that say left, right, top and bottom of the map; the rest say compass
    words."""
    bare: float = 0.0
    """Share of the texts without articles."""


PLANS: dict[Style, Plans] = {
    "everyday": Plans(
        "casual",
        (
            "{go}.",
            "{go}.",
            "please {go}.",
            "could you {go}?",
            "can you {go}, please?",
            "{way}. I'd like you {at}.",
            "{way}, and then {end}.",
            "{end}, please, but {one} first.",
            "go {paths} and {end}.",
            "{paths}, and {end}.",
            "{paths}. I want you {at}.",
            "{a}. then {b}.",
            "{goal}, please: {paths}, and {end}.",
            "would you go to {goal}? {paths}, and {end}.",
            "after {way:ing}, {end}, please.",
            "you know what, {go}.",
            "let's go {paths}; {end}.",
            "I need you {at}. {one} before that.",
            "come {paths} and {end} for me.",
            "{first}, then {rest}.",
            "{paths}. {spot} is where I'd like you.",
            "make the whole trip {paths} and {end}.",
        ),
        (
            "{end}, please.",
            "could you {end}?",
            "I'd like you {at}.",
            "just {end}.",
            "{end} for me, would you?",
        ),
        map_words=0.8,
    ),
    "technical": Plans(
        "formal",
        (
            "{go}.",
            "{go}.",
            "proceed {paths} and {end}.",
            "{way}; {end}.",
            "{a}. {b}.",
            "after {way:ing}, {end}.",
            "first {way}; then {end}.",
            "the robot shall {go}.",
            "route: {names}. {end}.",
            "{end} after {way:ing}.",
            "having {way:participle}, {end}.",
            "{first}. {rest}.",
            "{names} are visited in this order. the robot {end:s}.",
            "the destination is {spot}, reached via {names}.",
            "{way}. the end point is {spot}.",
            "{paths}. final position: {spot}.",
        ),
        ("{end}.", "the robot shall {end}.", "the destination is {spot}.", "position: {spot}."),
        map_words=0.35,
    ),
    "prose": Plans(
        "formal",
        (
            "the robot {go:s}.",
            "{way:ing}, the robot {end:s}.",
            "the robot {way:s} before {end:ing}.",
            "{paths} the robot goes, until it {end:s}.",
            "after {way:ing}, the robot {end:s}.",
            "the robot {a:s}; it then {b:s}.",
            "having {way:participle}, the robot {end:s}.",
            "the path leads {paths} and ends {at}.",
            "the journey goes {paths}, and the robot {end:s}.",
            "from {start} the robot goes {paths} and {end:s}.",
            "the drive begins {paths} and finds its end {at}.",
            "the robot {way:s} and so comes to its place {at}.",
        ),
        ("the robot {end:s}.", "this drive ends {at}.", "the robot moves a little and {end:s}."),
        bans=0.2,
        ban="without",
        person="its",
        map_words=0.5,
    ),
    "hasty": Plans(
        "casual",
        (
            "{go}",
            "{go}",
            "{paths}, {end}",
            "{paths}, then {end}",
            "{names}, then {end}",
            "to {goal} via {names}, {end}",
            "pls {go}",
            "{end}, but {pair} first",
            "go {paths} n {end}",
            "{first} then {rest}",
            "{spot}, via {names}",
            "just {go}",
            "{names}. {end}",
            "{paths} & {end}",
            "{end} after {names}",
        ),
        ("{end}", "{spot}", "just {end}", "{end} pls", "go {at} and stop"),
        map_words=0.85,
        bare=0.8,
    ),
    "past": Plans(
        "casual",
        (
            "it {go:past}.",
            "the robot {go:past}.",
            "{paths} it went, and {end:past}.",
            "the robot {way:past} before {end:ing}.",
            "having {way:participle}, it {end:past}.",
            "it {a:past}. then it {b:past}.",
            "after {way:ing}, it {end:past}.",
            "our robot {go:past}.",
            "first it {first:past}, then it {rest:past}.",
            "the robot took the way {paths} and {end:past}.",
            "once it had {way:participle}, the robot {end:past}.",
            "starting in {start}, it {go:past}.",
            "it {way:past}; its last stop was {at}.",
        ),
        ("it {end:past}.", "the robot {end:past}.", "it made a short trip and {end:past}."),
        bans=0.2,
        ban="without",
        person="its",
    ),
    "visitor": Plans(
        "casual",
        (
            "{paths}, and {end}.",
            "{go}.",
            "first {first}, then {rest}.",
            "go {paths} until you are {at}.",
            "go {paths}. you're done when you are {at}.",
            "to get to {goal}, {way}. {end}.",
            "{a}. from there, {b}.",
            "your goal is {spot}. {way} to get there.",
            "{way}, and stop when you are {at}.",
            "begin with this: {first}. then {rest}.",
            "{way}; you will end up {at}.",
            "from {start} go {paths}, and {end}.",
            "start in {start}, {go}.",
            "I think it did this: it {way:past}, and then it {end:past}.",
        ),
        ("{end}.", "you are there when you are {at}.", "it's near: {end}.", "no tour, just {end}."),
        map_words=0.8,
    ),
    "friendly": Plans(
        "casual",
        (
            "first {first}, then {rest}.",
            "{way}, and after that {end}, please.",
            "when you have {way:participle}, {end}.",
            "once you have {way:participle}, you can {end}.",
            "let's {go}.",
            "today we {go}.",
            "{a}. after that, {b}.",
            "remember the order: {names}. then {end}.",
            "hello! please {go}.",
            "you'll {go}.",
            "please {go}, and that's all for today.",
            "{way}, because that's on your way, and then {end}.",
            "after {way:ing} you may {end}.",
            "take your time: {way}. then {end}.",
            "{way}, so that you can {end}.",
            "{way}; after that, {end}.",
        ),
        (
            "you may {end}.",
            "today you can just {end}.",
            "please {end}, that's all.",
            "let's {end}.",
        ),
        map_words=0.65,
    ),
    "goal": Plans(
        "formal",
        (
            "reach {spot} via {names}.",
            "{end} after {way:ing}.",
            "{go}.",
            "{go}.",
            "{paths}, then {end}.",
            "visit {names} and {end}.",
            "make for {goal} via {names} and {end}.",
            "{way} and {end}.",
            "get to {spot} via {names}.",
            "{way}, then {end}.",
            "go {paths} and {end}.",
            "from {start}, {go}.",
        ),
        ("{end}.", "reach {spot}.", "get to {spot}.", "go to {goal} and {end}."),
        map_words=0.6,
    ),
    "colleague": Plans(
        "casual",
        (
            "{spot}. {paths}.",
            "{spot}, but {pair} first.",
            "{spot}. {pair} before that.",
            "{spot}, via {names}.",
            "{end}, but first {one}.",
            "{spot}: {names}, in that order.",
            "no wait, {go}.",
            "{names}, then {end}.",
            "{spot}. {way}, then you're there.",
            "{spot}, please. come {paths}.",
            "{spot}. {pair} on the way.",
            "{paths}, yes. then {end}.",
            "{spot} is the last stop. {paths}.",
            "{end}. {one} first, I know.",
            "{goal}, {paths}. {end}.",
            "{spot}. get there {paths}.",
        ),
        ("{spot}.", "{spot}, no detour.", "{spot}, that's it.", "just {spot}.", "{spot}, ok?"),
        map_words=0.8,
        bare=0.5,
    ),
    "constraints": Plans(
        "formal",
        (
            "{crossed} must be crossed, and you have to {end}.",
            "{end}, but only after you have {way:participle}.",
            "you have to {way} and then {end}.",
            "{end}; {pair} must be visited before that.",
            "you must {go}.",
            "required: {names}. {end}.",
            "{way}; only then {end}.",
            "two conditions: {way}, and {end}.",
            "you need to {way}. then {end}.",
            "{crossed} must be driven over; {end}.",
            "it should {way} and it should {end}.",
            "the drive must go {paths} and end {at}.",
            "go {paths}. {end}, no further.",
        ),
        ("{end}.", "you must {end}.", "it has to end {at}.", "only one condition: {end}."),
        bans=0.95,
        ban="condition",
        map_words=0.6,
    ),
}

LONG_WAY = (
    "take the long way round: {paths}, and {end}.",
    "the long way round, please: {go}.",
    "make a long trip of it: {paths}, and {end}.",
    "{goal}, but not directly: {paths}. {end}.",
    "a detour: {paths}, then {end}.",
)
"""For commands whose way is longer than most others to the same end."""
SHORT_WAY = (
    "straight to {goal}: {paths}, and {end}.",
    "take the short way {paths} and {end}.",
    "no detour: {paths}, and {end}.",
)

ADDED = {
    "all": ("nothing else.", "that's all.", "nothing more than that.", "no other places."),
}
"""Where all that is met is named."""

WITHHELD_PLANS = (
    "kindly {go}.",
    "would you be so good as to {go}?",
    "your task: {go}.",
    "{way}; ultimately {end}.",
    "having firstly {way:participle}, {end}.",
    "commence by {first:ing}; conclude by {end:ing}.",
    "upon {way:ing}, {end}.",
)
WITHHELD_ALONE = ("kindly {end}.", "would you be so good as to {end}?", "your task: {end}.")
WITHHELD_STYLE = Plans(
    "withheld", WITHHELD_PLANS, WITHHELD_ALONE, bans=0.3, ban="withheld", map_words=0.0
)


@lru_cache(maxsize=1024)
def pieces(plan: str) -> tuple[str | tuple[str, str], ...]:
    """A plan cut into words and slots (name, form)."""
    found: list[str | tuple[str, str]] = []
    at = 0
    for match in SLOT.finditer(plan):
        found += [plan[at : match.start()], (match[1], match[2] or "base")]
        at = match.end()
    return (*found, plan[at:])


@lru_cache(maxsize=1024)
def needs(plan: str) -> tuple[int, int, frozenset[str]]:
    """How many places on the way a plan needs, how many it takes, and its slots."""
    found = [(match[1], match[2]) for match in SLOT.finditer(plan)]
    least = max((NEEDS.get(slot, 0) for slot, _ in found), default=0)
    most = min((AT_MOST.get(slot, 99) for slot, _ in found), default=99)
    if any(slot == "way" and form in ("ing", "participle") for slot, form in found):
        most = min(most, FRONTED)
    return least, most, frozenset(slot for slot, _ in found)
