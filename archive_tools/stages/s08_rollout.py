"""Drive the commands of the test split: the policy, its controls, and the baselines."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pandas as pd
import pyarrow as pa

from archive_tools.annotations.events import load_annotations
from archive_tools.rollouts.baselines import BASELINES
from archive_tools.rollouts.driving import Drive, Driver, make_envs
from archive_tools.rollouts.items import (
    ITEM_SCHEMA,
    REWORDED,
    TOLD_SCHEMA,
    UNSEEN,
    Reword,
    make_items,
    make_told,
    reworded,
    unseen_texts,
)
from archive_tools.rollouts.systems import CONTROLS, ONE_SET, SYSTEMS
from archive_tools.rollouts.work import batches, drive_all
from archive_tools.run import bounds
from archive_tools.run.stage import Stage, StageConfig
from archive_tools.run.tables import read_json, read_table, write_table
from archive_tools.tasks.registry import run_environment
from envs import load_world
from envs.errors import InputError

COLUMNS = ("trajectory_id", "split", "bd", "length", "action", "texts")
__all__ = ["BASELINES", "CONTROLS", "SYSTEMS", "Drive", "RolloutConfig", "make_envs", "run"]


@dataclass
class RolloutConfig(StageConfig):
    """Drive the test commands with the policy, its controls and the baselines."""

    items: bounds.Whole = 256
    """How many items of the test split to drive, drawn by seed; 0 means all."""
    pairs: bounds.Whole = 32
    """At most this many contrast pairs; each is two drives for every system that plays them."""
    seeds: bounds.Count = 1
    """Drive every item this many times, with as many seeds. Matters for policies that draw."""
    batch: bounds.Count = 256
    """Robots driven at once."""
    systems: tuple[str, ...] = SYSTEMS
    """What to drive: the policy (nanodt), its controls (nanodt/…), retrieval baselines, replay."""
    reword: str | None = None
    """Drive the commands of unseen wording once more, put into words of the training texts by the
    likeness of this sentence-transformers model (name or path)."""

    presets: ClassVar[dict[str, dict[str, Any]]] = {"paper": {"items": 0, "pairs": 500}}

    def check(self) -> None:
        """Raise InputError where an option is out of its bounds, or names no system."""
        super().check()
        for system in self.systems:
            if system not in SYSTEMS:
                raise InputError(f"--systems {system}: unknown; known are {', '.join(SYSTEMS)}")


def run(
    config: RolloutConfig,
    load_drive: Callable[[Path], Drive],
    load_reader: Callable[[Path, str], Reword] | None = None,
) -> Path:
    """Stage 08: dataset, annotations, model → `rollouts/items.parquet` and `rollouts.parquet`.

    Args:
        config: options.
        load_drive: given the model's folder, loads the policy; called only if a policy is driven.
        load_reader: given the model's folder and a sentence encoder, loads what rewords texts;
            needed with `reword` only.

    Raises:
        InputError: an earlier stage is missing or stale, or an option is out of range.
    """
    config.check()
    inputs = ("archive", "trajectories", "annotations", "dataset", "model")
    with Stage(config, "rollouts", inputs=inputs) as stage:
        if stage.done:
            return stage.folder
        info = read_json(stage.input("dataset") / "dataset.json")
        dataset = read_table(stage.input("dataset") / "trajectories.parquet", COLUMNS)
        annotations = load_annotations(stage.input("annotations"))
        items = make_items(
            dataset.query("split == 'test'"),
            {i: annotation.visited for i, annotation in annotations.items()},
            float(np.linalg.norm(np.subtract(info["bd_high"], info["bd_low"]))),
            items=config.items,
            pairs=config.pairs,
            seed=config.seed,
        )
        folder = stage.input("archive") / "world"
        told = make_told(
            items,
            annotations,
            unseen_texts(stage.input("dataset")),
            load_world(folder).scene if folder.exists() else None,
            seed=config.seed,
        )
        if config.reword is not None:
            told = _reworded(config, told, stage.input("model"), load_reader)
        told = told.loc[told["system"].isin(config.systems), :]
        write_table(stage.path("items.parquet"), pa.Table.from_pandas(items, ITEM_SCHEMA, False))
        write_table(stage.path("told.parquet"), pa.Table.from_pandas(told, TOLD_SCHEMA, False))
        driver = Driver(
            run_environment(Path(config.run), info),
            dataset,
            stage.input("trajectories") / "trajectories.parquet",
            lambda: load_drive(stage.input("model")),
        )
        sets = {s: ("test",) if s in ONE_SET else ("test", "contrast") for s in config.systems}
        seeds = range(config.seed, config.seed + config.seeds)
        work = list(batches(items, told, sets, seeds, config.batch))
        if not work:
            raise InputError(
                f"--systems {' '.join(config.systems)}: none has a command to drive; with --items "
                "and --pairs above 0, add nanodt"
            )
        table = drive_all(driver, work, stage.scratch("chunks"))
        write_table(stage.path("rollouts.parquet"), table)
        stage.rows.update(items=len(items), rollouts=len(table))
        stage.facts.update(
            test_items=items["set"].tolist().count("test"),
            contrast_pairs=items["set"].tolist().count("contrast") // 2,
        )
    return stage.folder


def _reworded(
    config: RolloutConfig,
    told: pd.DataFrame,
    model: Path,
    load_reader: Callable[[Path, str], Reword] | None,
) -> pd.DataFrame:
    """With --reword, texts of unseen wording in known words; a line where there are none."""
    if REWORDED not in config.systems:
        print(f"--reword: {REWORDED} is not among --systems: nothing is reworded")
    elif UNSEEN not in set(told["system"]):
        print("--reword: the dataset has no text of unseen wording: nothing is reworded")
    else:
        assert load_reader is not None and config.reword is not None
        return reworded(told, load_reader(model, config.reword))
    return told
