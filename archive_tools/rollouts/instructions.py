"""Texts that controls are given in place of an item's own, and where they come from.

A control's function takes the items of one set and gives a text for each, or None for an item that
has none: its text holds no word to exchange, say, or nobody phrased it so. Draws hang on the seed
and the trajectory alone, so a larger selection of items holds the same texts.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from archive_tools.annotations.events import Annotation
from archive_tools.files.tables import read_table
from archive_tools.rollouts.baselines import derangement
from archive_tools.rollouts.counterfactuals import GivenText, replace_object, reverse_direction
from envs.scene import Scene

Exchange = Callable[[str, Annotation, Scene, np.random.Generator], GivenText | None]


@dataclass(frozen=True)
class Sources:
    """What instructions are made from."""

    annotations: Mapping[int, Annotation]
    """Of the items' trajectories."""
    unseen: Mapping[int, Sequence[str]]
    """trajectory_id → texts in a phrasing withheld from training."""
    scene: Scene | None
    """None where the environment has none; then no word is exchanged."""
    seed: int


def unseen_texts(dataset: Path) -> dict[int, list[str]]:
    """trajectory_id → accepted texts in a phrasing withheld from training, of a dataset's folder;
    none where it has no `test_wording.parquet`."""
    path = dataset / "test_wording.parquet"
    if not path.exists():
        return {}
    rows = read_table(path, ("trajectory_id", "text", "status"))
    texts: dict[int, list[str]] = {}
    columns = zip(rows["trajectory_id"], rows["text"], rows["status"], strict=True)
    for identity, text, status in columns:
        if status == "accepted":
            texts.setdefault(identity, []).append(text)
    return texts


def shuffled(items: pd.DataFrame, sources: Sources) -> list[GivenText | None]:
    """Each item gets the text of another one."""
    texts = items["text"].tolist()
    return [GivenText(texts[other]) for other in derangement(len(items), sources.seed)]


def other_object(items: pd.DataFrame, sources: Sources) -> list[GivenText | None]:
    """One object of the text exchanged for another, or one tile where no object can be."""
    return _exchanged(replace_object, 1, items, sources)


def other_direction(items: pd.DataFrame, sources: Sources) -> list[GivenText | None]:
    """One direction of the text turned into its opposite."""
    return _exchanged(reverse_direction, 2, items, sources)


def _exchanged(
    exchange: Exchange, number: int, items: pd.DataFrame, sources: Sources
) -> list[GivenText | None]:
    instructions: list[GivenText | None] = []
    for identity, text in zip(items["trajectory_id"], items["text"], strict=True):
        if sources.scene is None or identity not in sources.annotations:
            instructions.append(None)
            continue
        rng = np.random.default_rng([sources.seed, number, identity])
        instructions.append(exchange(text, sources.annotations[identity], sources.scene, rng))
    return instructions


def unseen_phrasing(items: pd.DataFrame, sources: Sources) -> list[GivenText | None]:
    """The item's trajectory, described in a phrasing that training never had."""
    instructions: list[GivenText | None] = []
    for identity in items["trajectory_id"]:
        texts = sources.unseen.get(identity, ())
        rng = np.random.default_rng([sources.seed, 3, identity])
        chosen = texts[int(rng.integers(len(texts)))] if len(texts) else None
        instructions.append(None if chosen is None else GivenText(chosen))
    return instructions
