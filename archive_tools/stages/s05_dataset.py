"""Join trajectories, annotations and descriptions into the dataset that a policy is trained on.

Every rule that the later stages rely on is checked here, on the joined data, before anything is
written; one broken rule ends the stage with a non-zero exit and a list of the offenders.
"""

from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any, ClassVar, Literal

import pyarrow as pa

from archive_tools.annotations import NearRule, load_annotations
from archive_tools.dataset import (
    Joined,
    SplitRule,
    check_length,
    dataset_info,
    render_card,
    report_rules,
)
from archive_tools.descriptions import SCHEMA, given_drives
from archive_tools.files import atomic_write, read_table, write_json, write_table
from archive_tools.rollouts import listener
from archive_tools.run import Stage, bounds, executor, read_manifest
from archive_tools.trajectories import load_trajectories, trajectory_parts
from envs import load_world
from envs.errors import InputError, require_memory


@dataclass
class DatasetConfig(executor.SpreadConfig):
    """Verify the joined data, split it, and write the dataset that nanodt trains on."""

    split: Literal["random", "regions", "routes"] = "random"
    """random: near-duplicate groups at random; regions: whole blocks of the BD space are withheld;
    routes: for some destinations one of the paths there is withheld."""
    test: bounds.Share = 0.1
    """Share of the trajectories kept for testing."""
    validation: bounds.Share = 0.05
    """Share kept for watching the training."""
    duplicate_tolerance: bounds.NonNegative = 0.004
    """Two trajectories that keep within this share of the world's side all along are
    near-duplicates."""
    train_fraction: bounds.PositiveShare = 1.0
    """Share of the training trajectories to keep, for learning curves (test stays as it is)."""

    augmentation: bounds.Whole = 2
    """Rollouts of an expert along each training trajectory: brisk, disturbed, some only part of the
    way, and described by what they reached. They show a policy how to come back and where else to
    stop."""

    composed: bounds.NonNegative = 0.8
    """Rollouts along paths composed of the training trajectories, per trajectory: by some places,
    round others, told so. They show a policy what bans and few words ask for. Needs a scene."""
    fixed_length: bool = False
    """Refuse trajectories of unequal length, for readers of the dataset that take them as one
    array; here and in nanodt they may differ."""
    plans: bool = True
    """A policy reads texts as plans ("via desk; end plant; avoid green"), which the reader makes of
    any phrasing, and not in their own words. Needs a scene."""

    presets: ClassVar[dict[str, dict[str, Any]]] = {"paper": {"augmentation": 3, "composed": 1.2}}

    def check(self) -> None:
        """Raise InputError where an option is out of its bounds, or options do not go together."""
        super().check()
        if not (self.test > 0 < self.validation and self.test + self.validation < 1):
            raise InputError(
                f"--test {self.test} --validation {self.validation}: expected each above 0, and "
                "leave something for training"
            )

    def rule(self) -> SplitRule:
        """How trajectories are split."""
        return SplitRule(
            self.split, self.seed, self.validation, self.test, self.duplicate_tolerance,
            self.train_fraction,
        )  # fmt: skip


def refuse_trial(descriptions: Path) -> None:
    """Raise InputError where only the first trajectories are described."""
    limit = read_manifest(descriptions)["config"].get("limit", 0)
    if limit > 0:
        raise InputError(
            f"{descriptions}: of the first {limit} trajectories only (--limit); run "
            f"`python scripts/04_describe.py --run {descriptions.parent}` with the same options "
            "and without --limit: it goes on where that ended"
        )


STEPS = ("obs", "action")


def run(config: DatasetConfig) -> Path:
    """Stage 05: all earlier stages → `dataset/`.

    Raises:
        InputError: a rule is broken (see `RUN/problems.csv`), or an option is out of range.
    """
    inputs = ("archive", "trajectories", "annotations", "descriptions")
    with Stage(config, "dataset", inputs=inputs) as stage:
        if stage.done:
            return stage.folder
        # Before all that takes long: a cluster that is not there is said at once.
        with executor.open_executor(config.ray) as workers:
            _write(config, stage, workers)
    return stage.folder


def _write(config: DatasetConfig, stage: Stage, workers: executor.Executor) -> None:
    """Write the dataset's files."""
    refuse_trial(stage.input("descriptions"))
    descriptions = read_table(
        stage.input("descriptions") / "descriptions.parquet",
        ("trajectory_id", "sample", "style", "text", "status", "reason"),
    ).sort_values(["trajectory_id", "sample"])
    trajectories = load_trajectories(stage.input("trajectories"), ("pose", "bd"))
    rollouts = (config.augmentation + config.composed) * len(trajectories)
    require_memory(  # of the training, which holds what is known of each
        500 * rollouts,
        f"--augmentation {config.augmentation} --composed {config.composed:g} ({rollouts:,.0f} "
        "rollouts)",
    )
    if config.fixed_length:
        check_length(trajectories)
    annotations = load_annotations(stage.input("annotations"))
    given = given_drives.load_given(stage.input("descriptions") / given_drives.FOLDER)
    steps = trajectory_parts(stage.input("trajectories"), STEPS, len(trajectories))
    if given is not None:
        folder = stage.input("descriptions") / given_drives.FOLDER
        trajectories = given_drives.with_given(trajectories, folder)
        steps = chain(steps, [load_trajectories(folder, STEPS, trajectories.info)])
        annotations |= given.annotations
    joined = Joined(
        load_world(stage.input("archive") / "world"),
        trajectories,
        annotations,
        descriptions,
        config.rule(),
        None if given is None else given.table,
        steps,
    )
    report_rules(joined.rules, Path(config.run) / "problems.csv")
    tables = joined.tables(stage.input("trajectories") / "trajectories.parquet")
    write_table(stage.path("trajectories.parquet"), tables)
    wording = pa.Table.from_pylist(joined.wording, schema=SCHEMA)
    write_table(stage.path("test_wording.parquet"), wording)
    rule = NearRule.of(stage.input("annotations"))
    more = joined.augmentation(config.augmentation, config.composed, rule, workers)
    rollouts = write_table(stage.path("augmentation.parquet"), more)
    info = dataset_info(joined, rollouts, plans=config.plans)
    write_json(stage.path("dataset.json"), info)
    atomic_write(stage.path("README.md"), render_card(joined, info))
    if info["text_columns"] == ["plans"]:
        ends = listener.Ends.of(*joined.training())
        listener.write_listener(stage.path(listener.FOLDER).parent, joined.world, ends)
    facts = {**joined.facts(), "augmentation_rollouts": info["augmentation_rollouts"]}
    stage.rows.update(facts.pop("trajectories"))
    stage.facts.update(facts)
