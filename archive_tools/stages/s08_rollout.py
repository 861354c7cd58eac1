"""Drive the commands of the test split: the policy, its controls, and the baselines."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pandas as pd

from archive_tools.annotations import load_annotations
from archive_tools.files import read_json, read_table, write_table
from archive_tools.rollouts import (
    SYSTEMS,
    batches,
    drive_all,
    driving,
    make_instructions,
    make_items,
    write_commands,
)
from archive_tools.run import Stage, StageConfig, bounds
from archive_tools.tasks import registry
from envs import load_world
from envs.errors import InputError, require_memory

COLUMNS = ("trajectory_id", "split", "bd", "length", "action", "texts")
__all__ = ["RolloutConfig", "run"]


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
    systems: tuple[str, ...] = tuple(SYSTEMS)
    """What to drive: the policy (nanodt), its controls (nanodt/…), retrieval baselines, replay."""

    presets: ClassVar[dict[str, dict[str, Any]]] = {"paper": {"items": 0, "pairs": 500}}

    def check(self) -> None:
        """Raise InputError where an option is out of its bounds, or names no system."""
        super().check()
        for system in self.systems:
            if system not in SYSTEMS:
                raise InputError(f"--systems {system}: unknown; known are {', '.join(SYSTEMS)}")


def run(
    config: RolloutConfig,
    load_drive: Callable[[Path], driving.DrivePolicy],
) -> Path:
    """Stage 08: dataset, annotations, model → `rollouts/items.parquet` and `rollouts.parquet`.

    Args:
        config: options.
        load_drive: given the model's folder, loads the policy; called only if a policy is driven.

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
        items, instructions = _commands(config, stage, info, dataset)
        write_commands(items, instructions, stage.path)
        driver = driving.Driver(
            registry.run_environment(Path(config.run), info),
            dataset,
            stage.input("trajectories") / "trajectories.parquet",
            lambda: load_drive(stage.input("model")),
        )
        sets = {
            name: ("test",) if SYSTEMS[name].one_set else ("test", "contrast")
            for name in config.systems
        }
        drives = float(len(items)) * len(sets) * config.seeds
        require_memory(
            drives * 20 * info["steps"], f"--seeds {config.seeds} ({drives:,.0f} drives at most)"
        )
        seeds = range(config.seed, config.seed + config.seeds)
        work = list(batches(items, instructions, sets, seeds, config.batch))
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


def _commands(
    config: RolloutConfig,
    stage: Stage,
    info: dict[str, Any],
    dataset: pd.DataFrame,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The items, and what controls are given instead of their texts."""
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

    instructions = make_instructions(
        items,
        annotations,
        stage.input("dataset"),
        load_world(folder).scene if folder.exists() else None,
        seed=config.seed,
        systems=config.systems,
    )
    return items, instructions
