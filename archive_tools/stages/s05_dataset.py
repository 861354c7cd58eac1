"""Join trajectories, annotations and descriptions into the dataset that a policy is trained on.

Every rule that the later stages rely on is checked here, on the joined data, before anything is
written; one broken rule ends the stage with a non-zero exit and a list of the offenders.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from archive_tools.annotations.events import Annotation, load_annotations
from archive_tools.dataset.augmentation_table import Recorded, practise_along
from archive_tools.dataset.milestones import milestone_column, milestone_names
from archive_tools.dataset.rules import (
    check_descriptions,
    check_split,
    check_trajectories,
    check_wording,
    recorded,
    report_rules,
)
from archive_tools.dataset.splits import (
    SPLITS,
    Shares,
    near_duplicates,
    random_split,
    region_split,
    route_split,
)
from archive_tools.dataset.table import dataset_table
from archive_tools.language.jobs import SCHEMA, held_out_wording
from archive_tools.run.stage import Stage, StageConfig
from archive_tools.run.tables import atomic_write, read_json, read_table, write_json, write_table
from archive_tools.run.templates import template
from archive_tools.trajectories.table import Trajectories, load_trajectories
from envs import load_world
from envs.errors import InputError
from envs.scene import Scene


@dataclass
class DatasetConfig(StageConfig):
    """Verify the joined data, split it, and write the dataset that nanodt trains on."""

    split: Literal["random", "regions", "routes"] = "random"
    """random: near-duplicate groups at random; regions: whole blocks of the BD space are withheld;
    routes: for some destinations one of the ways there is withheld."""
    test: float = 0.1
    """Share of the trajectories kept for testing."""
    validation: float = 0.05
    """Share kept for watching the training."""
    duplicate_tolerance: float = 0.004
    """Two trajectories that keep within this share of the world's side all along are
    near-duplicates."""
    train_fraction: float = 1.0
    """Share of the training trajectories to keep, for learning curves (test stays as it is)."""

    practice: int = 2
    """Practice drives along each training trajectory: brisk, disturbed, some only part of the way,
    and described by what they reached. They show a policy how to come back and where else to
    stop."""

    presets: ClassVar[dict[str, dict[str, Any]]] = {"paper": {"practice": 4}}


def _split(
    config: DatasetConfig,
    trajectories: Trajectories,
    annotations: dict[int, Annotation],
    groups: NDArray[np.int64],
) -> NDArray[np.str_]:
    rng = np.random.default_rng([config.seed, 5])
    shares = Shares(config.validation, config.test)
    if config.split == "regions":
        low, high = (np.asarray(trajectories.info[k]) for k in ("bd_low", "bd_high"))
        split = region_split(np.asarray(trajectories.bd), low, high, shares, rng)
    elif config.split == "routes":
        tiles = [tuple(annotations[i].tiles) for i in np.asarray(trajectories.ids).tolist()]
        split = route_split(tiles, shares, rng)
    else:
        split = random_split(groups, shares, rng)
    if config.train_fraction < 1:
        train = np.flatnonzero(split == "train")
        keep = rng.permutation(train)[: max(1, round(config.train_fraction * len(train)))]
        dropped = np.setdiff1d(train, keep)
        split[dropped] = ""
    return split


def run(config: DatasetConfig) -> Path:
    """Stage 05: all earlier stages → `dataset/`.

    Raises:
        InputError: a rule is broken (see `RUN/problems.csv`), or an option is out of range.
    """
    if not 0 < config.test + config.validation < 1 or not 0 < config.train_fraction <= 1:
        raise InputError(
            f"--test {config.test} --validation {config.validation} --train-fraction "
            f"{config.train_fraction}: shares must be above 0 and leave something for training"
        )
    inputs = ("archive", "trajectories", "annotations", "descriptions")
    with Stage(config, "dataset", inputs=inputs) as stage:
        if stage.done:
            return stage.folder
        world = load_world(stage.input("archive") / "world")
        scene = world.scene or Scene()
        trajectories = load_trajectories(stage.input("trajectories"))
        annotations = load_annotations(stage.input("annotations"))
        descriptions = read_table(
            stage.input("descriptions") / "descriptions.parquet",
            ("trajectory_id", "sample", "style", "text", "status"),
        ).sort_values(["trajectory_id", "sample"])
        ids = np.asarray(trajectories.ids).tolist()

        groups = near_duplicates(recorded(trajectories)[2], config.duplicate_tolerance * world.size)
        split = _split(config, trajectories, annotations, groups)
        tested = {i: annotations[i] for i, s in zip(ids, split, strict=True)
                  if s == "test" and i in annotations}  # fmt: skip
        wording = held_out_wording(tested, scene, config.seed)
        rules = [
            *check_trajectories(trajectories),
            *check_descriptions(descriptions, annotations, ids, scene),
            *check_wording(wording, annotations, scene),
            *check_split(split, groups, ids, config.split == "random"),
        ]
        report_rules(rules, Path(config.run) / "problems.csv")

        accepted = descriptions[descriptions["status"] == "accepted"]
        texts = accepted.groupby("trajectory_id")["text"].apply(list).to_dict()
        kept = np.array([i in texts and bool(side) for i, side in zip(ids, split, strict=True)])
        kept_ids = [i for i, keep in zip(ids, kept, strict=True) if keep]
        # One near-duplicate group weighs as much as one lone trajectory, or the crowd would win.
        weight = (1.0 / np.bincount(groups)[groups])[kept].astype(np.float32)
        table = dataset_table(
            stage.input("trajectories") / "trajectories.parquet",
            kept_ids,
            split[kept],
            weight,
            texts,
        )
        places = milestone_names(scene)
        ahead = [annotations[i] for i in kept_ids]
        lengths = table["length"].to_numpy()
        table = table.append_column("milestone", milestone_column(ahead, lengths, places))
        write_table(stage.path("trajectories.parquet"), table)
        write_table(
            stage.path("test_wording.parquet"), pa.Table.from_pylist(wording, schema=SCHEMA)
        )
        practice = 0
        if config.practice:
            _, _, pose, bd = recorded(trajectories)
            known = Recorded(
                ids=np.asarray(trajectories.ids),
                pose=np.asarray(pose),
                bd=bd,
                tiles=[tuple(annotations[i].tiles) for i in ids],
                visited=[annotations[i].visited for i in ids],
                texts=[texts.get(i, ()) for i in ids],
                split=split,
                weight=(1.0 / np.bincount(groups)[groups]).astype(np.float32),
            )
            drives = practise_along(
                world,
                known,
                trajectories.info,
                rounds=config.practice,
                recipe=config.split,
                rng=np.random.default_rng([config.seed, 6]),
                rules=read_json(stage.input("annotations") / "manifest.json")["config"],
            )
            if drives is not None:
                write_table(stage.path("practice.parquet"), drives)
                practice = len(drives)

        counts = {name: int((split[kept] == name).sum()) for name in SPLITS}
        test_texts = {
            t for i, s in zip(ids, split, strict=True) if s == "test" for t in texts.get(i, ())
        }
        train_texts = {
            t for i, s in zip(ids, split, strict=True) if s == "train" for t in texts.get(i, ())
        }
        facts = {
            "trajectories": counts,
            "texts": int(sum(len(texts[i]) for i in kept_ids)),
            "distinct_texts": len({t for i in kept_ids for t in texts[i]}),
            "test_texts_seen_in_training": len(test_texts & train_texts),
            "unseen_wording": sum(row["status"] == "accepted" for row in wording),
            "unseen_wording_seen_in_training": sum(row["text"] in train_texts for row in wording),
            "near_duplicate_groups": len(np.unique(groups)),
            "largest_group": int(np.bincount(groups).max()),
            "without_accepted_text": sum(i not in texts for i in ids),
            "practice_drives": practice,
        }
        info = {
            **read_json(stage.input("trajectories") / "trajectories.json"),
            **facts,
            "milestones": places,
            "split": {
                "recipe": config.split,
                "seed": config.seed,
                "validation": config.validation,
                "test": config.test,
                "duplicate_tolerance": config.duplicate_tolerance,
                "train_fraction": config.train_fraction,
            },
            "verification": [
                {"rule": r.name, "checked": r.checked, "broken": len(r.offenders)} for r in rules
            ],
        }
        write_json(stage.path("dataset.json"), info)
        sample = accepted.groupby("trajectory_id")["text"].first().head(5).tolist()
        card = template("archive_tools.dataset", "dataset_card.md.jinja")
        atomic_write(
            stage.path("README.md"), card.render(info=info, world=world.name, sample=sample)
        )
        stage.rows.update(counts)
        stage.facts.update({k: v for k, v in facts.items() if k != "trajectories"})
    return stage.folder
