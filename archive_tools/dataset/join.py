"""Trajectories, annotations and descriptions, joined, split and checked: what a policy learns from.

Rows join on `trajectory_id`. Nothing is written here.
"""

import sys
from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from archive_tools.annotations import Annotation, NearRule
from archive_tools.dataset.augmentation_table import Recorded, augment
from archive_tools.dataset.rules import (
    Rule,
    check_descriptions,
    check_split,
    check_trajectories,
    check_wording,
    recorded,
)
from archive_tools.dataset.splits import SPLITS, SplitRule, held, near_duplicates
from archive_tools.dataset.subgoals import subgoal_column, subgoal_names
from archive_tools.descriptions import held_out_wording
from archive_tools.files import read_arrow
from archive_tools.language import parse
from archive_tools.narrator import Alternatives
from archive_tools.run import executor
from archive_tools.tasks import Navigation
from archive_tools.trajectories import Trajectories
from envs.scene import Scene
from envs.world import World

COLUMNS = ("trajectory_id", "length", "bd", "obs", "action")
PART = 2**14
"""Rows of the dataset that are made at once: bounds the memory."""


@dataclass(frozen=True)
class Joined:
    """All that a run knows of its N trajectories, and the side that each is on.

    Raises:
        InputError: there are no poses.
    """

    world: World
    trajectories: Trajectories
    annotations: Mapping[int, Annotation]
    """By trajectory_id."""
    descriptions: pd.DataFrame
    """trajectory_id, sample, style, text, status, reason; sorted by the first two."""
    rule: SplitRule
    given: pa.Table | None = None
    """The last of the trajectories, as rows of their table: drives that were given with texts."""
    steps: Iterable[Trajectories] = ()
    """Observations and actions of all of them, in parts: they are checked, but not held."""

    @property
    def elites(self) -> int:
        """How many of the trajectories are elites', the first of them."""
        return len(self.trajectories) - (0 if self.given is None else len(self.given))

    @property
    def scene(self) -> Scene:
        """Of the world; an empty one where it has none."""
        return self.world.scene or Scene()

    @cached_property
    def ids(self) -> list[int]:
        """[N] trajectory ids; what follows is in their order."""
        return np.asarray(self.trajectories.ids).tolist()

    @cached_property
    def groups(self) -> NDArray[np.int64]:
        """[N] group of near-duplicates."""
        tolerance = self.rule.duplicate_tolerance * self.world.size
        return near_duplicates(held(recorded(self.trajectories)[2]), tolerance)

    @cached_property
    def split(self) -> NDArray[np.str_]:
        """[N] one of SPLITS, or "" for a trajectory that is left out."""
        return self.rule.split(self.groups, *self._places, self.elites)

    @property
    def _places(self) -> tuple[Any, Any, Any, list[tuple[str, ...]]]:
        """BDs [N, n_bd], their bounds, and the tiles entered."""
        low, high = (np.asarray(self.trajectories.info[k]) for k in ("bd_low", "bd_high"))
        return np.asarray(self.trajectories.bd), low, high, self.tiles

    @property
    def whole(self) -> list[Hashable]:
        """[N] what the split keeps on one side."""
        return self.rule.whole(self.groups, *self._places)

    @cached_property
    def tiles(self) -> list[tuple[str, ...]]:
        """[N] tiles in the order in which they were entered."""
        unknown = Annotation(())  # a broken rule will name it
        return [tuple(self.annotations.get(i, unknown).tiles) for i in self.ids]

    @cached_property
    def texts(self) -> dict[int, list[str]]:
        """trajectory_id → its accepted descriptions."""
        accepted = self.descriptions[self.descriptions["status"] == "accepted"]
        return accepted.groupby("trajectory_id")["text"].apply(list).to_dict()

    @cached_property
    def wording(self) -> list[dict[str, Any]]:
        """One text of unseen wording for each test trajectory: rows of descriptions."""
        tested = {
            i: self.annotations[i]
            for i, side in zip(self.ids, self.split, strict=True)
            if side == "test" and i in self.annotations
        }
        alternatives = Alternatives(self.annotations.values())
        return held_out_wording(tested, self.scene, self.rule.seed, alternatives)

    @cached_property
    def rules(self) -> list[Rule]:
        """All that must hold, checked."""
        return [
            *check_trajectories(self.trajectories, self.steps),
            *check_descriptions(self.descriptions, self.annotations, self.ids, self.scene),
            *check_wording(self.wording, self.annotations, self.scene),
            *check_split(self.split, self.learnt, self.whole, self.ids, self.rule.recipe),
        ]

    @cached_property
    def weight(self) -> NDArray[np.float32]:
        """[N] One near-duplicate group weighs as much as one lone trajectory, or the crowd would
        win."""
        return (1.0 / np.bincount(self.groups)[self.groups]).astype(np.float32)

    @cached_property
    def learnt(self) -> NDArray[np.bool_]:
        """[N] whether it has a text and a side: a row of the dataset."""
        pairs = zip(self.ids, self.split, strict=True)
        return np.array([i in self.texts and bool(side) for i, side in pairs])

    def tables(self, trajectories_file: Path) -> Iterator[pa.Table]:
        """The table that nanodt reads, in parts: one row per trajectory of the dataset."""
        rows = np.flatnonzero(self.learnt)
        for begin in range(0, len(rows), PART):
            yield self._table(trajectories_file, rows[begin : begin + PART])

    def _table(self, trajectories_file: Path, rows: NDArray[np.int64]) -> pa.Table:
        ids = [self.ids[row] for row in rows.tolist()]
        # Rows of the elites' file, then of the given drives.
        first, last = int(rows[0]), max(int(rows[-1]) + 1, 1)
        span = (min(first, self.elites), min(last, self.elites))
        source = read_arrow(trajectories_file, COLUMNS, span)
        if self.given is not None:
            given = self.given.select(list(COLUMNS)).cast(source.schema)
            source = pa.concat_tables([source, given.slice(max(first - self.elites, 0))])
        table = source.take(pa.array(rows - first, type=pa.int64()))
        annotations, length = [self.annotations[i] for i in ids], table["length"].to_numpy()
        texts = pa.array([self.texts[i] for i in ids], type=pa.list_(pa.string()))
        for name, column in (
            ("split", pa.array(self.split[rows].tolist())),
            ("weight", pa.array(self.weight[rows], type=pa.float32())),
            ("texts", texts),
            ("plans", self._plans(ids)),
            ("next_subgoal", subgoal_column(annotations, length, subgoal_names(self.scene))),
        ):
            table = table.append_column(name, column)
        return table

    def _plans(self, ids: Sequence[int]) -> pa.Array:
        """The plans of each trajectory's texts."""
        plans = [[parse(text, self.scene).plan for text in self.texts[i]] for i in ids]
        return pa.array([[p for p in row if p] for row in plans], pa.list_(pa.string()))

    def augmentation(
        self,
        rounds: int,
        composed: float,
        rule: NearRule,
        workers: executor.Executor | None = None,
    ) -> Iterator[pa.Table]:
        """Further rollouts, `rounds` along each training trajectory and `composed` along paths
        composed of them, driven by `workers`, in tables."""
        if not rounds and not composed:
            return iter(())
        id = self.trajectories.info["environment"]["id"]
        if id != Navigation.id:
            print(
                f"no augmentation: it needs the robot with two wheels ({Navigation.id}), this is "
                f"{id}",
                file=sys.stderr,
            )
            return iter(())
        _, _, pose, bd = recorded(self.trajectories)
        known = Recorded(
            ids=np.asarray(self.trajectories.ids),
            pose=np.asarray(pose),
            bd=bd,
            tiles=self.tiles,
            annotations=(self.annotations[i] for i in self.ids),
            texts=[self.texts.get(i, ()) for i in self.ids],
            split=self.split,
            weight=self.weight,
        )
        return augment(
            self.world,
            known,
            self.trajectories.info,
            rounds=rounds,
            composed=composed,
            recipe=self.rule.recipe,
            rng=np.random.default_rng([self.rule.seed, 6]),
            rule=rule,
            workers=workers,
        )

    def training(self) -> tuple[Iterator[Annotation], NDArray[np.float32]]:
        """Annotations and BDs [M, n_bd] of the training trajectories."""
        rows = np.flatnonzero((self.split == "train") & self.learnt)
        bd = np.asarray(self.trajectories.bd, np.float32)[rows]
        return (self.annotations[self.ids[k]] for k in rows.tolist()), bd

    def facts(self) -> dict[str, Any]:
        """Counts of the dataset, for dataset.json and the card."""
        sides = self.split[self.learnt]
        ids = [i for i, learnt in zip(self.ids, self.learnt, strict=True) if learnt]
        test, train = (
            {t for i in np.array(self.ids)[self.split == name].tolist() for t in self.texts_of(i)}
            for name in ("test", "train")
        )
        return {
            "trajectories": {name: int((sides == name).sum()) for name in SPLITS},
            "texts": int(sum(len(self.texts[i]) for i in ids)),
            "distinct_texts": len({t for i in ids for t in self.texts[i]}),
            "test_texts_seen_in_training": len(test & train),
            "unseen_wording": sum(row["status"] == "accepted" for row in self.wording),
            "unseen_wording_seen_in_training": sum(row["text"] in train for row in self.wording),
            "near_duplicate_groups": len(np.unique(self.groups)),
            "largest_group": int(np.bincount(self.groups).max()),
            "given_drives": len(self.ids) - self.elites,
            "given_drives_left_out": int((self.split[self.elites :] == "").sum()),
            "without_accepted_text": sum(i not in self.texts for i in self.ids),
        }

    def texts_of(self, identity: int) -> list[str]:
        """The accepted descriptions of one trajectory."""
        return self.texts.get(identity, [])
