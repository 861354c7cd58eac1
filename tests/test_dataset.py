"""The dataset stage on a small real run: joins, rules, splits, and every planted contradiction."""

import shutil
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from archive_tools.annotations.events import load_annotations
from archive_tools.files.tables import read_json, read_table, write_table
from archive_tools.language.checks import check_text
from archive_tools.run.stage import Stage, StageConfig
from archive_tools.stages import s00_search as search
from archive_tools.stages import s02_record as record
from archive_tools.stages import s03_annotate
from archive_tools.stages import s04_describe as describe
from archive_tools.stages import s05_dataset as dataset
from archive_tools.stages.s05_dataset import DatasetConfig
from envs import load_world, save_world
from envs.errors import InputError
from nanodt.data.folder import load_dataset
from nanodt.training.validation import ClosedLoop

SMALL = {"evaluations": 1500, "cells": (16, 16), "batch": 250}


@pytest.fixture(scope="module")
def described(tmp_path_factory):
    """A run up to descriptions/: about a hundred elites of the apartment."""
    run = tmp_path_factory.mktemp("dataset") / "run"
    search.run(search.SearchConfig(run=run, **SMALL))
    record.run(record.RecordConfig(run=run))
    s03_annotate.run(s03_annotate.AnnotateConfig(run=run))
    describe.run(describe.DescribeConfig(run=run))
    return run


@pytest.fixture
def run(described, tmp_path):
    """A copy that a test may damage."""
    shutil.copytree(described, tmp_path / "run")
    return tmp_path / "run"


@dataclass
class Rewrite(StageConfig):
    """Options of a stage that puts changed descriptions in place of the narrator's."""


def rewrite(run: Path, change) -> pd.DataFrame:
    """Replace descriptions/ by `change` of its table; returns what is there now."""
    table = read_table(run / "descriptions" / "descriptions.parquet")
    table = change(table.copy())
    with Stage(Rewrite(run=run, redo=True), "descriptions", inputs=("annotations",)) as stage:
        write_table(stage.path("descriptions.parquet"), table)
    return table


def test_dataset_joins_everything(run):
    folder = dataset.run(DatasetConfig(run=run))
    table = read_table(folder / "trajectories.parquet")
    recorded = read_table(run / "trajectories" / "trajectories.parquet").set_index("trajectory_id")
    texts = read_table(run / "descriptions" / "descriptions.parquet")
    for row in table.itertuples():
        source = recorded.loc[row.trajectory_id]
        np.testing.assert_array_equal(row.obs, source.obs)
        np.testing.assert_array_equal(row.action, source.action)
        np.testing.assert_array_equal(row.bd, source.bd)
        own = texts[texts["trajectory_id"] == row.trajectory_id].sort_values("sample")["text"]
        assert list(row.texts) == own.tolist()
    assert set(table["split"]) == {"train", "validation", "test"}
    info = read_json(folder / "dataset.json")
    assert sum(info["trajectories"].values()) == len(table) == len(recorded)
    assert all(rule["broken"] == 0 for rule in info["verification"])
    card = (folder / "README.md").read_text()
    assert card.startswith("---\nconfigs:")
    assert f"| train | {info['trajectories']['train']:,} |" in card


def test_each_test_trajectory_has_a_text_of_unseen_wording(run):
    folder = dataset.run(DatasetConfig(run=run))
    table = read_table(folder / "trajectories.parquet").set_index("trajectory_id")
    wording = read_table(folder / "test_wording.parquet")
    assert wording["trajectory_id"].tolist() == sorted(table.index[table["split"] == "test"])
    assert set(wording["status"]) == {"accepted"} and set(wording["source"]) == {
        "narrator/held_out"
    }
    usual = {text for texts in table["texts"] for text in texts}
    assert not usual & set(wording["text"])
    scene = load_world(run / "archive" / "world").scene
    annotations = load_annotations(run / "annotations")
    for row in wording.itertuples():
        assert check_text(row.text, annotations[row.trajectory_id], scene) == []
    info = read_json(folder / "dataset.json")
    assert info["unseen_wording"] == len(wording)
    assert info["unseen_wording_seen_in_training"] == 0


def test_same_seed_same_bytes_other_seed_other_split(run):
    def outputs(**options):
        folder = dataset.run(DatasetConfig(run=run, redo=True, **options))
        shutil.rmtree(run / "dataset.kept", ignore_errors=True)
        kept = folder.rename(run / "dataset.kept")
        return read_json(kept / "manifest.json")["outputs"]

    assert outputs() == outputs()
    assert outputs() != outputs(seed=1)


def plant(table, annotations, kind):
    """Falsify the description of every trajectory that has room for this kind of contradiction."""
    planted = {}
    for index, row in table.iterrows():
        visited = annotations[row["trajectory_id"]].visited
        here = set(visited)
        if kind == "wrong object":
            absent = sorted({"piano", "bed", "statue", "sofa", "desk"} - here)
            text = f"Go past the {absent[0]} and stop." if absent else None
        elif kind == "unknown object":
            text = "Go past the aquarium and stop."
        elif kind == "wrong colour":
            absent = sorted({"red", "white", "purple", "blue"} - here)
            text = f"Go through the {absent[0]} tile and stop." if absent else None
        else:
            once = [name for name in visited if visited.count(name) == 1]
            tiles = [name for name in once if name in annotations[row["trajectory_id"]].tiles]
            text = (
                f"Go through the {tiles[-1]} tile, then through the {tiles[0]} tile and stop."
                if len(tiles) > 1
                else None
            )
        if text:
            table.loc[index, "text"] = text
            planted[row["trajectory_id"]] = text
    return planted


@pytest.mark.parametrize("kind", ["wrong object", "unknown object", "wrong colour", "swapped"])
def test_every_planted_contradiction_is_found(run, kind):
    annotations = load_annotations(run / "annotations")
    planted: dict[int, str] = {}

    def change(table):
        planted.update(plant(table, annotations, kind))
        return table

    rewrite(run, change)
    assert len(planted) > 20
    with pytest.raises(InputError, match=r"problems\.csv") as caught:
        dataset.run(DatasetConfig(run=run))
    assert "\n" not in str(caught.value)
    problems = pd.read_csv(run / "problems.csv")
    assert set(problems["trajectory_id"]) == set(planted)
    assert not (run / "dataset").exists()


def test_description_without_trajectory_is_a_broken_rule(run):
    def change(table):
        table.loc[0, "trajectory_id"] = 10**9
        return table

    rewrite(run, change)
    with pytest.raises(InputError, match="1000000000"):
        dataset.run(DatasetConfig(run=run))


def test_rejected_text_leaves_its_trajectory_out(run):
    def change(table):
        table.loc[0, "status"] = "rejected"
        table.loc[0, "reason"] = "too long"
        return table

    first = int(rewrite(run, change).loc[0, "trajectory_id"])
    folder = dataset.run(DatasetConfig(run=run))
    assert first not in set(read_table(folder / "trajectories.parquet")["trajectory_id"])
    assert read_json(folder / "dataset.json")["without_accepted_text"] == 1


def test_a_run_without_any_accepted_text_ends_here_not_in_the_next_stage(run):
    """No row is learnt from, so no side has any, whatever the trajectories would give."""
    rewrite(run, lambda table: table.assign(status="rejected", reason="too long"))
    with pytest.raises(InputError, match=r"train, validation and test are not empty.*is empty"):
        dataset.run(DatasetConfig(run=run, augmentation=0))
    assert set(pd.read_csv(run / "problems.csv")["found"]) == {
        f"{side} is empty" for side in ("train", "validation", "test")
    }
    assert not (run / "dataset").exists()


def test_train_fraction_keeps_the_test_split(run):
    """Fractions nest; the test split stays; they may cut groups of near-duplicates."""

    def made(fraction: float) -> pd.DataFrame:
        # A tolerance that puts many trajectories in groups, of which a fraction keeps a part.
        config = DatasetConfig(run=run, redo=True, augmentation=0, duplicate_tolerance=0.05)
        config.train_fraction = fraction
        return read_table(dataset.run(config) / "trajectories.parquet")

    tables = [made(fraction) for fraction in (1.0, 0.3, 0.1)]
    for split in ("test", "validation"):
        ids = [t.loc[t["split"] == split, "trajectory_id"].tolist() for t in tables]
        assert ids[0] == ids[1] == ids[2]
    trained = [set(t.loc[t["split"] == "train", "trajectory_id"]) for t in tables]
    assert trained[2] < trained[1] < trained[0]
    assert len(trained[1]) == round(0.3 * len(trained[0]))


def test_bad_shares_are_refused(run):
    with pytest.raises(InputError, match="leave something for training"):
        dataset.run(DatasetConfig(run=run, test=0.9, validation=0.2))
    for options in ({"augmentation": 2**31 - 1}, {"composed": 1e9}):
        with pytest.raises(InputError, match=r"--augmentation .* rollouts\): needs about .* GB of"):
            dataset.run(DatasetConfig(run=run, **options))


def test_a_moved_run_is_scored_in_its_own_world(tmp_path):
    """The closed-loop score of training drives in the world that the run brought along."""
    apartment = load_world("apartment")
    robot = replace(apartment.robot, x=apartment.robot.x + 20)
    world = save_world(replace(apartment, robot=robot), tmp_path / "other")
    first = tmp_path / "first"
    search.run(search.SearchConfig(run=first, world=str(world), **SMALL))
    record.run(record.RecordConfig(run=first))
    s03_annotate.run(s03_annotate.AnnotateConfig(run=first))
    describe.run(describe.DescribeConfig(run=first))
    dataset.run(DatasetConfig(run=first))
    moved = first.rename(tmp_path / "moved")
    shutil.rmtree(world)
    data = load_dataset(moved / "dataset")
    loop = ClosedLoop(data.split("validation"), data, 2)
    _, info = loop.env.reset()
    np.testing.assert_allclose(info["pose"][:, 0], robot.x, atol=1e-3)
