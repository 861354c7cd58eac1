"""What the words about each place of a text tell; the verbs that all rules share."""

from dataclasses import dataclass, field
from typing import Literal

from archive_tools.language.reading.cues import STAY_VERBS, STOP_VERBS

Spans = list[tuple[int, int]]
Cue = Literal["start", "pass", "side", "avoid", "return", "end", "mark"]
"""What the words about a place make of it, before the text as a whole is known: `side`, passed on a
side of it or keeping it to a hand; `mark`, it only tells where something else is."""
STOPS = "|".join(STOP_VERBS)
STAYS = "|".join(STAY_VERBS)
TOUCHING = (
    r"touch|cross|drive|run|roll|bump|climb|hit|play|contact|brush|clip|graze|scrape|traverse|over"
    r"|onto|on|get|step|hop|wheel|disturb|go over|drive over|top"
)
MOVES = (
    r"go|drive|head|turn|move|cross|pass|visit|enter|take|follow|circle|round|skirt|run|roll|come"
    r"|return|continue|proceed|travel|climb|approach|look|keep|make|get|leave|loop|swing|touch"
    r"|traverse|reach|back|retrace|double|bear|curve|step|hop|slip|drop|dip|pop|peek|start|begin"
)


@dataclass(slots=True)
class Roles:
    """Per place of a simplified text its role and what else is said of it; and the stops."""

    role: list[Cue]
    touch: list[bool]
    side: list[str | None]
    loose: list[bool]
    stop: tuple[int, int] | None = None
    """Where in the line the drive is said to stop."""
    here: str = ""
    """Where the stop names no place: "it" (a pronoun stands for one), "room" (a part of the room
    that the drive is in), "any" (nothing is said)."""
    here_side: str | None = None
    beside: set[int] = field(default_factory=set)
    """Places that only tell what the end is near."""
    near: set[int] = field(default_factory=set)
    """Ends at the edge of a place or short of it: it need not be entered."""
    goal: set[int] = field(default_factory=set)
    """Ends that are told as the goal before the way, not by a stop."""
    far: set[int] = field(default_factory=set)
    """Named to tell where the drive does not come: "clear of the bed", "in sight of the hall"."""
    untouched: set[int] = field(default_factory=set)
    """Passed, but not to be touched: "past the desk, but do not touch it"."""
    repeated: set[int] = field(default_factory=set)
    """Places named once more without a further visit: "to the fan. After the fan, …"."""
    guessed: bool = False
    """The end is no more than the last place named."""
    chain: dict[int, int] = field(default_factory=dict)
    """Per place the number of its chain of sentences; see `Place.chain`."""
    floor: dict[int, int] = field(default_factory=dict)
    """Per thing the tile that it is said to stand on."""
    here_place: int | None = None
    """The place that it refers to."""
