"""The commands of the evaluation: test items, contrast pairs, and what the controls are told.

An item is a command (text, bd) with the trajectory that was described by it, its reference. Items
of the set "test" are trajectories of the test split with one of their texts. Items of the set
"contrast" come in pairs: one BD, given with each of two texts whose references end at that place
but go there by different ways.

A control may be told another text than the item's: another item's, one with a word exchanged, one
in a wording that training never saw, or the same put into words that training had. These texts
are a table of their own.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from archive_tools.annotations.events import Annotation
from archive_tools.rollouts.baselines import derangement
from archive_tools.rollouts.contrast import contrast_pairs
from archive_tools.rollouts.counterfactuals import swap_direction, swap_object
from archive_tools.run.tables import read_table
from envs.errors import InputError
from envs.scene import Scene

ITEM_SCHEMA = pa.schema(
    [
        ("item", pa.int64()),
        ("set", pa.string()),
        ("pair", pa.int64()),
        ("trajectory_id", pa.int64()),
        ("rival_id", pa.int64()),
        ("text", pa.string()),
        ("bd", pa.list_(pa.float32())),
    ]
)
TOLD_SCHEMA = pa.schema(
    [
        ("system", pa.string()),
        ("item", pa.int64()),
        ("text", pa.string()),
        ("kind", pa.string()),
        ("place", pa.string()),
        ("out", pa.string()),
        ("into", pa.string()),
    ]
)
SWAPS = {"nanodt/object_swapped": swap_object, "nanodt/direction_swapped": swap_direction}
SHUFFLED, UNSEEN = "nanodt/text_shuffled", "nanodt/unseen_wording"
REWORDED = "nanodt/unseen_reworded"

Reword = Callable[[list[str]], list[str]]


@dataclass(frozen=True)
class Commands:
    """What a batch of drives is told, and against what it is measured; arrays over N items."""

    item: NDArray[np.int64]
    trajectory_id: NDArray[np.int64]
    text: list[str]
    bd: NDArray[np.float32]
    counts: NDArray[np.bool_]
    """Items that are driven for the record. The others only keep the batch as it is for the other
    systems, so that the same item has the same draws and the same rounding in all of them."""

    def __len__(self) -> int:
        return len(self.item)

    def blocks(self, size: int) -> Iterator[slice]:
        """Batches of at most `size` items, without those in which none counts."""
        for start in range(0, len(self), size):
            block = slice(start, min(start + size, len(self)))
            if self.counts[block].any():
                yield block


def make_items(
    dataset: pd.DataFrame,
    routes: Mapping[int, Sequence[str]],
    diagonal: float,
    *,
    items: int,
    pairs: int,
    seed: int,
) -> pd.DataFrame:
    """Test items and contrast items (columns of ITEM_SCHEMA).

    The contrast pairs are mined from the whole test split, whatever `items` says. Both commands
    of a pair ask for the BD of its first trajectory.

    Args:
        dataset: rows of the test split: trajectory_id, bd, texts.
        routes: trajectory_id → visited sequence.
        diagonal: of the BD space, in its units.
        items: how many test items to draw; 0 means all.
        pairs: at most so many contrast pairs.
        seed: of the draws.

    Raises:
        InputError: no trajectory of the test split has a text.
    """
    rng = np.random.default_rng([seed, 0])
    dataset = dataset.loc[dataset["texts"].map(len) > 0, :].reset_index(drop=True)
    if dataset.empty:
        raise InputError("dataset: the test split has no trajectory with a text; nothing to drive")
    ids = np.asarray(dataset["trajectory_id"], np.int64)
    text = [row[rng.integers(len(row))] for row in dataset["texts"]]
    bd = np.stack(dataset["bd"].tolist()).astype(np.float32)
    n = min(items or len(ids), len(ids))
    chosen = np.sort(rng.permutation(len(ids))[:n])
    rows: list[tuple[Any, ...]] = [("test", None, ids[i], None, text[i], bd[i]) for i in chosen]
    known = [routes.get(i, []) for i in ids.tolist()]
    found = contrast_pairs(bd, known, diagonal, seed=seed, limit=pairs)
    for number, (first, second) in enumerate(found.tolist()):
        for own, other in ((first, second), (second, first)):
            rows.append(("contrast", number, ids[own], ids[other], text[own], bd[first]))
    frame = pd.DataFrame(rows, columns=ITEM_SCHEMA.names[1:])
    frame.insert(0, "item", np.arange(len(frame)))
    return frame


def make_told(
    items: pd.DataFrame,
    annotations: Mapping[int, Annotation],
    unseen: Mapping[int, Sequence[str]],
    scene: Scene | None,
    *,
    seed: int,
) -> pd.DataFrame:
    """What controls are told instead of the item's text (columns of TOLD_SCHEMA).

    An item that cannot be told so has no row: its text holds no word to exchange, or nobody wrote
    it in an unseen wording. The draws hang on seed and trajectory alone, so a larger selection of
    items holds the same texts.

    Args:
        items: of `make_items`.
        annotations: of the items' trajectories.
        unseen: trajectory_id → texts in a wording withheld from training.
        scene: None where the environment has none; then no word is exchanged.
        seed: of the draws.
    """
    rows: list[tuple[Any, ...]] = []
    for name in dict.fromkeys(items["set"]):  # texts are shuffled within each set
        part = items[items["set"] == name]
        order, texts = derangement(len(part), seed), part["text"].tolist()
        rows += [
            (SHUFFLED, item, texts[other], None, None, None, None)
            for item, other in zip(part["item"], order, strict=True)
        ]
    test = items.loc[items["set"] == "test", ["item", "trajectory_id", "text"]]
    for item, identity, text in test.itertuples(index=False, name=None):
        for number, (system, exchange) in enumerate(SWAPS.items()):
            if scene is None or identity not in annotations:
                continue
            rng = np.random.default_rng([seed, 1 + number, identity])
            swap = exchange(text, annotations[identity], scene, rng)
            if swap is not None:
                rows.append((system, item, swap.text, swap.kind, swap.place, swap.out, swap.into))
        written = unseen.get(identity, ())
        if len(written):
            rng = np.random.default_rng([seed, 3, identity])
            chosen = written[int(rng.integers(len(written)))]
            rows.append((UNSEEN, item, chosen, None, None, None, None))
    return pd.DataFrame(rows, columns=TOLD_SCHEMA.names)


def reworded(told: pd.DataFrame, reword: Reword) -> pd.DataFrame:
    """What controls are told, with the texts of unseen wording once more in known words.

    Args:
        told: of `make_told`.
        reword: texts in any wording → the same in words of the training texts.
    """
    unseen = told[told["system"] == UNSEEN]
    known = unseen.assign(system=REWORDED, text=reword(unseen["text"].tolist()))
    return pd.concat([told, known], ignore_index=True)


def unseen_texts(dataset: Path) -> dict[int, list[str]]:
    """trajectory_id → accepted texts in a wording withheld from training, of a dataset's folder;
    none where it has no `test_wording.parquet`."""
    path = dataset / "test_wording.parquet"
    if not path.exists():
        return {}
    rows = read_table(path, ("trajectory_id", "text", "status"))
    found: dict[int, list[str]] = {}
    columns = zip(rows["trajectory_id"], rows["text"], rows["status"], strict=True)
    for identity, text, status in columns:
        if status == "accepted":
            found.setdefault(identity, []).append(text)
    return found


def commands_of(items: pd.DataFrame, told: pd.DataFrame, system: str, part: str) -> Commands:
    """The commands of one system on the items of set `part`, with what it is told."""
    rows: Any = items[items["set"] == part]
    text, counts = rows["text"], np.ones(len(rows), bool)
    if system in (SHUFFLED, UNSEEN, REWORDED, *SWAPS):
        own = told[told["system"] == system].set_index("item")["text"].reindex(rows["item"])
        counts = own.notna().to_numpy()
        text = text.where(~counts, own.to_numpy())
    return Commands(
        np.asarray(rows["item"], np.int64),
        np.asarray(rows["trajectory_id"], np.int64),
        text.tolist(),
        np.array(rows["bd"].tolist(), np.float32),
        counts,
    )
