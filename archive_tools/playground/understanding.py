"""What a sentence was understood to say, while it is typed, and sentences to begin with."""

import re
from collections.abc import Sequence
from typing import Any

import pandas as pd

from archive_tools.language import PLACEHOLDER, Instruction, parse
from archive_tools.rollouts import listener
from envs.scene import Scene

WORD = re.compile(r"[^\W\d_]+(?:['’-][^\W\d_]+)*")
PLAIN = re.compile(r"(?:Go|Drive|Pass|Head|Move|Cross|Take|Start|Leave|Visit)\b[^.!?:;]*\.")
"""One sentence that tells a robot what to do."""
EXAMPLES = 4
LENGTH = 60
"""Characters that an example has at best."""


def named_target(
    instruction: Instruction, reads: listener.Listener | None
) -> tuple[float, float] | None:
    """Where the words alone say that the drive is to end, world units; None leaves it to the text.

    It is driven to and drawn on the map wherever no place was clicked.
    """
    found = None if reads is None else reads.target(instruction)
    return None if found is None else (float(found[0]), float(found[1]))


def understand(text: str, scene: Scene, known: frozenset[str] | None) -> dict[str, Any]:
    """What a page shows of a sentence: the parts of `Instruction.summary`, and words never read.

    Args:
        text: the sentence so far.
        scene: its names.
        known: words of the training texts, in lower case; None where a reader knows them all.
    """
    parts = parse(text, scene).summary
    words = dict.fromkeys(WORD.findall(text.replace(PLACEHOLDER, " ").lower()))
    unread = [] if known is None else [word for word in words if word not in known]
    return {**parts, "never read": unread}


def words_of(texts: Sequence[str]) -> frozenset[str]:
    """All words of texts, in lower case."""
    return frozenset(word for text in texts for word in WORD.findall(text.lower()))


def examples(table: pd.DataFrame, scene: Scene) -> list[dict[str, Any]]:
    """Short plain commands of the test split that end at different places: {"text", "bd"}.

    Args:
        table: of the dataset: split, texts, bd.
    """
    tests = table.loc[table["split"] == "test"]
    texts = [
        (PLAIN.fullmatch(text) is None, abs(len(text) - LENGTH), str(text), bd)
        for texts, bd in zip(tests["texts"], tests["bd"], strict=True)
        for text in texts
        if PLACEHOLDER not in text and len(text) <= 1.5 * LENGTH
    ]
    chosen: dict[tuple[str, ...], dict[str, Any]] = {}
    for least in (2, 1):  # places on the way
        for _, _, text, bd in sorted(texts, key=lambda row: row[:3]):
            if len(chosen) == EXAMPLES:
                return list(chosen.values())
            read = parse(text, scene).summary
            if len(read["end"]) == 1 and len(read["must"]) >= least and not read["not understood"]:
                chosen.setdefault(read["end"], {"text": text, "bd": [round(float(v)) for v in bd]})
    return list(chosen.values())
