"""Drive the commands of the test split, of people and of files: policy, controls, baselines."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import pandas as pd

from archive_tools.annotations import Annotation, NearRule, load_annotations
from archive_tools.descriptions import given_drives
from archive_tools.files import read_json, read_table, user_tables, write_table
from archive_tools.rollouts import (
    SYSTEMS,
    command_files,
    driving,
    make_instructions,
    make_items,
    work,
    write_commands,
)
from archive_tools.run import Stage, bounds, executor
from archive_tools.tasks import Navigation, registry
from envs import load_world
from envs.errors import InputError, require_memory
from envs.scene import Scene
from envs.worlds.commands import bundled_commands

COLUMNS = ("trajectory_id", "split", "bd", "length", "action", "texts")
__all__ = ["RolloutConfig", "run"]


@dataclass
class RolloutConfig(executor.SpreadConfig):
    """Drive the test commands with the policy, its controls and the baselines."""

    items: bounds.Whole = 256
    """How many items of the test split to drive, drawn by seed; 0 means all."""
    pairs: bounds.Whole = 32
    """At most this many contrast pairs; each is two drives for every system that plays them."""
    commands: tuple[Path, ...] = ()
    """Files of commands (CSV, JSONL, Parquet: docs/formats.md); each is a set of its own, by its
    name."""
    commands_where: tuple[str, ...] = ()
    """Only rows of --commands with these values, like part=dev."""
    commands_unit: Literal["auto", "units", "tenths"] = "auto"
    """Unit of the actions in --commands; auto: tenths where they are whole numbers and too large
    for units, or a Parquet column of integers."""
    people: bool = False
    """Drive the commands of people that come with the bundled world (part dev), as the set people.
    The presets do."""
    people_items: bounds.Whole = 0
    """How many of them, drawn by seed; 0 means all."""
    seeds: bounds.Count = 1
    """Drive every item this many times, with as many seeds. Matters for policies that draw."""
    batch: bounds.Count = 256
    """Robots driven at once."""
    systems: tuple[str, ...] = tuple(SYSTEMS)
    """What to drive: the policy (nanodt), its controls (nanodt/…), retrieval baselines, replay."""

    presets: ClassVar[dict[str, dict[str, Any]]] = {
        "demo": {"people": True},
        "paper": {"people": True, "items": 0, "pairs": 500},
    }
    not_fingerprint: ClassVar[set[str]] = executor.SpreadConfig.not_fingerprint | {"commands"}

    def check(self) -> None:
        """Raise InputError where an option is out of its bounds, or names no system."""
        super().check()
        for system in self.systems or ("",):
            if system not in SYSTEMS:
                raise InputError(f"--systems {system}: unknown; known are {', '.join(SYSTEMS)}")
        for file in self.files():
            user_tables.read_user_table(file.path, "commands", file.where)

    def files(self) -> list[command_files.CommandFile]:
        """The files of --commands, as sets, and with --people the one of the run's world."""
        where = user_tables.check_where(self.commands, self.commands_where, "commands")
        files = command_files.named_sets(self.commands, where, self.commands_unit)
        world = Path(self.run) / "archive" / "world"
        path = bundled_commands(load_world(world)) if self.people and world.is_dir() else None
        if path is not None:
            part, name = {"part": "dev"}, command_files.PEOPLE
            files.insert(
                0, command_files.CommandFile(path, name, part, "tenths", self.people_items)
            )
        return files


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
    files = config.files()
    inputs = ("archive", "trajectories", "annotations", "dataset", "model")
    digests = user_tables.digests([file.path for file in files], "commands")
    with Stage(config, "rollouts", inputs=inputs, extra=digests) as stage:
        if stage.done:
            return stage.folder
        info = read_json(stage.input("dataset") / "dataset.json")
        dataset = read_table(stage.input("dataset") / "trajectories.parquet", COLUMNS)
        items, instructions, references = _commands(config, stage, info, dataset, files)
        write_commands(items, instructions, stage.path)
        if references is not None:
            given_drives.write_given(stage.path(command_files.FOLDER), references)
            dataset = pd.concat([dataset, _referred(references)], ignore_index=True)
        driver = driving.Driver(
            registry.run_environment(Path(config.run), info),
            dataset,
            stage.input("trajectories") / "trajectories.parquet",
            partial(load_drive, stage.input("model")),
        )
        names = list(dict.fromkeys(items["set"]))
        sets = {name: command_files.driven_sets(SYSTEMS[name], names) for name in config.systems}
        drives = float(len(items)) * len(sets) * config.seeds
        require_memory(
            drives * 20 * info["steps"], f"--seeds {config.seeds} ({drives:,.0f} drives at most)"
        )
        seeds = range(config.seed, config.seed + config.seeds)
        todo = list(work.batches(items, instructions, sets, seeds, config.batch))
        if not todo:
            raise InputError(
                f"--systems {' '.join(config.systems)}: none has a command to drive; with --items "
                "and --pairs above 0, add nanodt"
            )
        with executor.open_executor(config.ray) as workers:
            table = work.drive_all(driver, todo, stage.scratch("chunks"), workers)
        write_table(stage.path("rollouts.parquet"), table)
        stage.rows.update(items=len(items), rollouts=len(table))
        counts = Counter(items["set"].tolist())
        for name in dict.fromkeys(map(command_files.set_of, names)):
            pairs = command_files.contrast_of(name)
            stage.facts.update(
                {
                    f"{name}_items": counts[name],
                    pairs.replace("/", "_") + "_pairs": counts[pairs] // 2,
                }
            )
    return stage.folder


def _referred(references: given_drives.GivenDrives) -> pd.DataFrame:
    """Replayed references as rows of the dataset that belong to no split."""
    frame = references.table.select(["trajectory_id", "bd", "length", "action"]).to_pandas()
    return frame.assign(split="none", texts=[[] for _ in range(len(frame))])


def _commands(
    config: RolloutConfig,
    stage: Stage,
    info: dict[str, Any],
    dataset: pd.DataFrame,
    files: Sequence[command_files.CommandFile],
) -> tuple[pd.DataFrame, pd.DataFrame, given_drives.GivenDrives | None]:
    """The items, what controls are given instead of their texts, and replayed references."""
    annotations = load_annotations(stage.input("annotations"))
    diagonal = float(np.linalg.norm(np.subtract(info["bd_high"], info["bd_low"])))
    items = make_items(
        dataset.query("split == 'test'"),
        {i: annotation.visited for i, annotation in annotations.items()},
        diagonal,
        items=config.items,
        pairs=config.pairs,
        seed=config.seed,
    )
    folder = stage.input("archive") / "world"
    scene = load_world(folder).scene if folder.exists() else None
    references = None
    if files:
        sets = {f.name: command_files.read_commands(f, info, scene or Scene()) for f in files}
        sets, references = _replay(stage, info, sets, annotations, dataset)
        found = {} if references is None else references.annotations
        routes = {identity: annotation.visited for identity, annotation in found.items()}
        options = {"pairs": config.pairs, "seed": config.seed}
        more = [
            command_files.command_items(f, sets[f.name], routes, diagonal, **options) for f in files
        ]
        items = pd.concat([items.astype(object), *more], ignore_index=True)
        items["item"] = np.arange(len(items))
    instructions = make_instructions(
        items,
        annotations,
        stage.input("dataset"),
        scene,
        seed=config.seed,
        systems=config.systems,
    )
    return items, instructions, references


def _replay(
    stage: Stage,
    info: dict[str, Any],
    sets: dict[str, list[command_files.FileCommand]],
    annotations: Mapping[int, Annotation],
    dataset: pd.DataFrame,
) -> tuple[dict[str, list[command_files.FileCommand]], given_drives.GivenDrives | None]:
    """The commands with their references, which get the ids after the run's largest."""
    acting = [name for name, rows in sets.items() if any(c.action is not None for c in rows)]
    if not acting:
        return sets, None
    if info["environment"]["id"] != Navigation.id:
        raise InputError(
            f"--commands {acting[0]}: actions can be replayed only in a run of {Navigation.id}; "
            "leave the column action out"
        )
    return command_files.replay_references(
        sets,
        load_world(stage.input("archive") / "world"),
        1 + max(*annotations, *dataset["trajectory_id"].tolist()),
        rule=NearRule.of(stage.input("annotations")),
        decimals=info["action_decimals"],
    )
