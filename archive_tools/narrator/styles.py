"""The styles of descriptions: how many texts have each, and the voice that it is.

The one table of them: the narrator has plans of sentences for each (`plans`), a language model is
asked to speak in the voice, the augmentation draws from the same shares, and `--styles` of stage 04
sets others.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from envs.errors import InputError

Style = Literal[
    "everyday",
    "technical",
    "prose",
    "hasty",
    "past",
    "visitor",
    "friendly",
    "goal",
    "colleague",
    "constraints",
]


@dataclass(frozen=True)
class Voice:
    """Who speaks, and how."""

    share: float
    """Of the texts, unless options say otherwise."""
    speaker: str
    """As a language model is told."""
    example: str
    """About another world."""


VOICES: dict[Style, Voice] = {
    "everyday": Voice(
        0.14,
        "somebody who lives there and speaks to the robot as to a flatmate: easy everyday "
        "requests, left and right, top and bottom of the map as often as compass words",
        "Could you go round the lamp and then wait in the top left corner of the brown room?",
    ),
    "technical": Voice(
        0.1,
        "a technical writer: exact, dry, imperative or passive, no politeness",
        "Proceed past the lamp, cross the carpet, and stop in the brown room's north-west corner.",
    ),
    "prose": Voice(
        0.06,
        "a narrator in the present tense: one or two flowing sentences about the robot",
        "Leaving the lamp on its left, the robot crosses the carpet and settles in a brown corner.",
    ),
    "hasty": Voice(
        0.12,
        "somebody typing in haste: lower case, hardly an article, short forms, a typo now and then",
        "past lamp, over carpet, then stop top left of brown room",
    ),
    "past": Voice(
        0.06,
        "somebody who tells in the past tense what the robot did",
        "It went past the lamp, rolled over the carpet and stopped in a corner of the brown room.",
    ),
    "visitor": Voice(
        0.1,
        "a visitor giving directions: up, down, left and right on the map, what is on which side",
        "Up first, with the lamp on your left, then right over the carpet until you are in brown.",
    ),
    "friendly": Voice(
        0.1,
        "a friendly person explaining patiently, step by step, to somebody who is new",
        "First have a look at the lamp, then roll over the carpet; after that you can rest there.",
    ),
    "goal": Voice(
        0.1,
        "somebody stating a goal concisely, in one sentence",
        "Reach the top left of the brown room via the lamp and the carpet.",
    ),
    "colleague": Voice(
        0.12,
        "a colleague speaking quickly: the destination first, half sentences, corrections",
        "Brown room, top left. Carpet before that, but not the lamp.",
    ),
    "constraints": Voice(
        0.1,
        "somebody who states conditions: what must be met, what must not, and where to stop",
        "Stop in the brown room. The carpet has to be crossed; the lamp must not be touched.",
    ),
}
STYLES: tuple[Style, ...] = tuple(VOICES)
STYLE_SHARES: dict[Style, float] = {style: voice.share for style, voice in VOICES.items()}
"""Share of the texts that are written in each style, unless options say otherwise."""

UNFORMED: frozenset[Style] = frozenset({"hasty"})
"""Styles whose texts need no capital letter and no full stop."""


def read_shares(entries: Sequence[str]) -> dict[Style, float]:
    """Shares from entries "STYLE=WEIGHT": they are scaled to add up to 1; styles left out get none.

    Raises:
        InputError: an entry has another form, an unknown style, or a weight that is no share.
    """
    if not entries:
        return dict(STYLE_SHARES)
    weights: dict[str, float] = {}
    for entry in entries:
        name, sign, value = entry.partition("=")
        if name not in VOICES:
            raise InputError(f"--styles {entry}: no style {name!r}; known are {', '.join(STYLES)}")
        try:
            weights[name] = float(value) if sign else 1.0
        except ValueError:
            raise InputError(
                f"--styles {entry}: {value!r} is no number; write {name}=2 for twice the texts"
            ) from None
        if not 0 <= weights[name] < float("inf"):
            raise InputError(f"--styles {entry}: a weight must not be negative or infinite")
    total = sum(weights.values())
    if total <= 0:
        raise InputError(f"--styles {' '.join(entries)}: no style has a weight above 0")
    return {style: weights.get(style, 0.0) / total for style in STYLES}
