"""The commands of the evaluation: test items, contrast pairs, and the texts of the controls.

An item is a command (text, bd) with the trajectory that was described by it, its reference. Items
of the set "test" are trajectories of the test split with one of their texts. Items of the set
"contrast" come in pairs: one BD, given with each of two texts whose references end at that place
but go there by different paths. Files of commands make further sets
(see `command_files`), each with its own contrast pairs.

A control may be given another text than the item's (see `System.instruct`). These instructions are
a table of their own.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, repeat
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from archive_tools.annotations import Annotation
from archive_tools.files import read_table, write_table
from archive_tools.rollouts.contrast import contrast_pairs
from archive_tools.rollouts.counterfactuals import GivenText
from archive_tools.rollouts.instructions import Sources, unseen_texts
from archive_tools.rollouts.systems import SYSTEMS, System
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
        ("must", pa.list_(pa.string())),
        ("avoid", pa.list_(pa.string())),
        ("end", pa.string()),
    ]
)
INSTRUCTION_SCHEMA = pa.schema(
    [
        ("system", pa.string()),
        ("item", pa.int64()),
        ("instruction", pa.string()),
        ("kind", pa.string()),
        ("place", pa.string()),
        ("out", pa.string()),
        ("into", pa.string()),
    ]
)

NARRATORS = "test"
"""The set of the test split's own texts."""
CONTRAST = "contrast"
"""The set of its contrast pairs; those of another set are SET/contrast."""

PathOf = Callable[[str], Path]


@dataclass(frozen=True)
class Commands:
    """What a batch of drives is given, and against what it is measured; arrays over N items."""

    item: NDArray[np.int64]
    trajectory_id: NDArray[np.int64]
    """The reference's; -1 without one."""
    text: list[str]
    bd: NDArray[np.float32]
    """[N, n_bd]; NaN where the text alone says where to end."""
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


def contrast_of(name: str) -> str:
    """The set with the contrast pairs of a set of commands."""
    return CONTRAST if name == NARRATORS else f"{name}/{CONTRAST}"


def set_of(name: str) -> str:
    """The set of commands that a set belongs to: itself, or that of which it has the pairs."""
    return NARRATORS if name == CONTRAST else name.removesuffix(f"/{CONTRAST}")


def driven_sets(system: System, names: Iterable[str]) -> list[str]:
    """The sets, of those named, that a system drives."""
    return [
        name
        for name in names
        if name == NARRATORS
        or (not system.one_set and (system.people or set_of(name) == NARRATORS))
    ]


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
    rows: list[tuple[Any, ...]] = [(NARRATORS, None, ids[i], None, text[i], bd[i]) for i in chosen]
    known = [routes.get(i, []) for i in ids.tolist()]
    contrast = contrast_pairs(bd, known, diagonal, seed=seed, limit=pairs)
    for number, (first, second) in enumerate(contrast.tolist()):
        for one, rival in ((first, second), (second, first)):
            rows.append((CONTRAST, number, ids[one], ids[rival], text[one], bd[first]))
    names = ITEM_SCHEMA.names[1:]
    blank = (None,) * (len(names) - len(rows[0]))
    frame = pd.DataFrame([(*row, *blank) for row in rows], columns=names)
    frame.insert(0, "item", np.arange(len(frame)))
    return frame


def make_instructions(
    items: pd.DataFrame,
    annotations: Mapping[int, Annotation],
    dataset: Path,
    scene: Scene | None,
    *,
    seed: int,
    systems: Collection[str],
) -> pd.DataFrame:
    """What controls are given instead of the item's text (columns of INSTRUCTION_SCHEMA).

    An item for which a control has no text has no row of it.

    Args:
        items: of `make_items`.
        annotations: of the items' trajectories.
        dataset: the folder, whose `test_wording.parquet` has the texts in an unseen phrasing.
        scene: None where the environment has none; then no word is exchanged.
        seed: of the draws.
        systems: the ones to be driven.
    """
    sources = Sources(annotations, unseen_texts(dataset), scene, seed)
    chosen = [SYSTEMS[name] for name in systems]
    rows: list[tuple[Any, ...]] = []
    for part in dict.fromkeys(items["set"]):
        some: Any = items.loc[items["set"] == part, :]
        for one_set in (False, True):
            columns: Any = [
                zip(repeat(s.name), some["item"], s.instruct(some, sources))
                for s in chosen
                if s.instruct is not None and s.one_set == one_set and driven_sets(s, [part])
            ]
            # Item by item, where a word of it is exchanged; else system by system.
            cells: Any = zip(*columns, strict=True) if one_set else columns
            for system, item, given in chain.from_iterable(cells):
                if given is not None:
                    rows.append(_row(system, item, given))
    return pd.DataFrame(rows, columns=INSTRUCTION_SCHEMA.names)


def _row(system: str, item: int, given: GivenText) -> tuple[Any, ...]:
    return (system, item, given.text, given.kind, given.place, given.out, given.into)


def write_commands(items: pd.DataFrame, instructions: pd.DataFrame, path: PathOf) -> None:
    """Write items.parquet and instructions.parquet to `path(name)`."""
    for name, table, schema in (
        ("items.parquet", items, ITEM_SCHEMA),
        ("instructions.parquet", instructions, INSTRUCTION_SCHEMA),
    ):
        write_table(path(name), pa.Table.from_pandas(table, schema, preserve_index=False))


def read_instructions(rollouts: Path) -> pd.DataFrame:
    """The instructions of a `rollouts/` folder: columns of INSTRUCTION_SCHEMA.

    Raises:
        InputError: the table is missing, truncated or lacks a column.
    """
    return read_table(rollouts / "instructions.parquet", INSTRUCTION_SCHEMA.names)


def commands_of(
    items: pd.DataFrame, instructions: pd.DataFrame, system: str, part: str
) -> Commands:
    """The commands of one system on the items of set `part`, with the texts that it is given.

    Without what the system goes by, a BD or a reference, an item is left out.
    """
    rows: Any = items[items["set"] == part]
    if SYSTEMS[system].needs_bd:
        rows = rows[rows["bd"].notna()]
    if SYSTEMS[system].kind == "ceiling":
        rows = rows[rows["trajectory_id"].notna()]
    text, counts = rows["text"], np.ones(len(rows), bool)
    if SYSTEMS[system].instructed:
        given: Any = instructions.loc[instructions["system"] == system].set_index("item")
        given = given["instruction"].reindex(rows["item"])
        counts = given.notna().to_numpy()
        text = text.where(~counts, given.to_numpy())
    return Commands(
        np.asarray(rows["item"], np.int64),
        np.array([-1 if pd.isna(i) else i for i in rows["trajectory_id"]], np.int64),
        text.tolist(),
        _places(rows["bd"], items["bd"]),
        counts,
    )


def _places(rows: Any, every: Any) -> NDArray[np.float32]:
    """BDs [N, n_bd] of some rows of a column, NaN where a row has none."""
    size = max((len(bd) for bd in every if bd is not None), default=0)
    nowhere = np.full(size, np.nan, np.float32)
    places = [nowhere if bd is None else np.asarray(bd, np.float32) for bd in rows]
    return np.array(places, np.float32).reshape(-1, size)
