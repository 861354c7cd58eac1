"""Augmentation: along the paths, coming back when disturbed, honest about the split."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
from run_factory import wander

import envs
from archive_tools.annotations.annotate import annotate
from archive_tools.annotations.similarity import lcs_ratio
from archive_tools.dataset.augmentation import HOLD, Disturbance, follow
from archive_tools.dataset.augmentation_table import FIELDS, Recorded, augmentation_tables, withheld
from archive_tools.dataset.composition import Ground, compose
from archive_tools.dataset.paths import line, paths_of
from archive_tools.dataset.splits import region_blocks
from archive_tools.dataset.subgoals import subgoal_names
from archive_tools.language.checks import check_text
from envs.world import MAX_WHEEL

N = 60


@pytest.fixture(scope="module")
def world():
    return envs.load_world("apartment")


@pytest.fixture(scope="module")
def patient(world):
    """The same world with time for everybody to arrive."""
    return replace(world, steps=1000)


@pytest.fixture(scope="module")
def recorded(world) -> Recorded:
    action = wander(N, seed=5)
    pose = envs.simulate(world, action).pose
    found = annotate(world.scene, pose, size=world.size)
    return Recorded(
        ids=np.arange(N),
        pose=pose,
        bd=pose[:, -1, :2],
        tiles=[tuple(a.tiles) for a in found],
        annotations=found,
        texts=[[f"drive number {i}"] for i in range(N)],
        split=np.array(["train", "train", "train", "test", "validation"] * (N // 5)),
        weight=np.ones(N, np.float32),
    )


@pytest.fixture(scope="module")
def paths(world, recorded):
    return paths_of(world, recorded.pose)


def test_paths_are_even_and_end_where_the_trajectories_do(world, recorded, paths):
    for row, last in enumerate(paths.last):
        path = paths.points[row]
        np.testing.assert_allclose(path[0], recorded.pose[row, 0, :2])
        np.testing.assert_allclose(path[last], recorded.pose[row, -1, :2])
        assert (path[last:] == path[last]).all()
        assert np.linalg.norm(np.diff(path, axis=0), axis=1).max() < 5 * MAX_WHEEL


def test_small_circles_and_standing_are_left_out():
    turn = np.linspace(0, 4 * np.pi, 120)[:, None]
    circles = 12 * np.hstack([np.sin(turn), 1 - np.cos(turn)])
    there = np.linspace([0, 0], [100, 0], 50)
    on = np.linspace([100, 0], [200, 0], 50)
    xy = np.concatenate(
        [there, np.repeat(there[-1:], 30, axis=0), circles + np.array([100, 0]), on]
    )
    path = line(xy, radius=10)
    length = np.linalg.norm(np.diff(path, axis=0), axis=1).sum()
    assert length < 230 and (path[0] == [0, 0]).all() and (path[-1] == [200, 0]).all()
    straight = line(there, radius=40)
    assert len(straight) == len(line(there, radius=1))
    wide = np.concatenate([there, 5 * circles + np.array([100, 0]), on])
    assert len(line(wide, radius=10)) > 3 * len(path)


def test_undisturbed_rollouts_go_the_whole_way(world, patient, recorded, paths):
    calm = Disturbance(full=1, calm=1)
    drives = follow(patient, paths, np.random.default_rng(0), disturbance=calm)
    ends = drives.info["pose"][np.arange(N), drives.length, :2]
    assert np.linalg.norm(ends - recorded.bd, axis=1).max() < world.robot.radius
    np.testing.assert_allclose(drives.action, drives.info["expert_action"], atol=0.051)
    found = [
        annotate(world.scene, p, size=world.size) for p in (drives.info["pose"], recorded.pose)
    ]
    driven, meant = ([a.visited for a in annotations] for annotations in found)
    assert lcs_ratio(driven, meant).mean() > 0.9


def test_the_expert_leads_back(world, patient, recorded, paths):
    """Shaken and pushed rollouts end near where their trajectory does; without an expert not."""
    shaken = Disturbance(full=1, calm=0)
    rng = np.random.default_rng(1)
    drives = follow(patient, paths, rng, disturbance=shaken)
    assert np.abs(drives.action - drives.info["expert_action"]).mean() > 0.2
    led = np.linalg.norm(drives.info["pose"][:, -1, :2] - recorded.bd, axis=1)
    calm = follow(patient, paths, rng, disturbance=Disturbance(full=1, calm=1))
    blind = np.clip(
        calm.action + drives.action - drives.info["expert_action"], -MAX_WHEEL, MAX_WHEEL
    )
    alone = envs.simulate(patient, blind).pose[:, -1, :2]
    left = np.linalg.norm(alone - recorded.bd, axis=1)
    assert np.median(led) < 0.02 * world.diagonal < 0.1 * world.diagonal < np.median(left)


def test_drives_that_stop_early_hold(world, paths):
    rng = np.random.default_rng(2)
    early = Disturbance(full=0, calm=0.5)
    drives = follow(world, paths, rng, disturbance=early)
    cut = np.flatnonzero(drives.length < world.steps)
    assert len(cut) > N / 2
    for i in cut:
        end = drives.length[i]
        moved = np.linalg.norm(
            drives.info["pose"][i, end, :2] - drives.info["pose"][i, end - HOLD // 2, :2]
        )
        assert moved < 2 * world.robot.radius


def rows_of(world, recorded, recipe="random", seed=3, composed=0.0):
    low, high = np.zeros(2, np.float32), np.full(2, world.size, np.float32)
    keep_out = withheld(recipe, recorded, low, high)
    rng = np.random.default_rng(seed)
    tables = augmentation_tables(world, recorded, 2, composed, keep_out, rng, first_id=N)
    return pa.concat_tables(tables).to_pandas()


def test_rows_are_described_by_what_they_reached(world, recorded):
    table = rows_of(world, recorded)
    assert tuple(table.columns) == FIELDS
    train = (recorded.split == "train").sum()
    assert len(table) == 2 * train and table["trajectory_id"].is_unique
    assert table["trajectory_id"].min() == N and set(table["split"]) == {"train"}
    places = subgoal_names(world.scene)
    for row in table.iloc[:20].itertuples():
        action = np.asarray(row.action, np.float32).reshape(1, -1, 2)
        drive = envs.simulate(world, action)
        np.testing.assert_array_equal(drive.obs[0].ravel(), row.obs)
        np.testing.assert_array_equal(drive.pose[0, -1, :2], row.bd)
        annotation = annotate(world.scene, drive.pose, size=world.size)[0]
        for text in row.texts:
            assert not check_text(text, annotation, world.scene)
        ahead = [places[m] for m in row.next_subgoal if m < len(places)]
        met = [b for a, b in zip([None, *ahead], ahead, strict=False) if a != b]
        assert met == annotation.visited[len(annotation.visited) - len(met) :]
        assert len(row.next_subgoal) == row.length and len(met) >= len(annotation.visited) - 2
    again = rows_of(world, recorded)
    assert again["texts"].tolist()[0].tolist() == table["texts"].tolist()[0].tolist()
    np.testing.assert_array_equal(np.stack(again["bd"]), np.stack(table["bd"]))


def test_augmentation_stays_out_of_what_the_split_withholds(world, recorded):
    low, high = np.zeros(2, np.float32), np.full(2, world.size, np.float32)
    kept = recorded.split != "train"
    blocks = region_blocks(recorded.bd[kept], low, high)
    table = rows_of(world, recorded, "regions")
    assert 0 < len(table) < 2 * (~kept).sum()
    assert not np.isin(region_blocks(np.stack(table["bd"]), low, high), blocks).any()

    # A path on which many go on: what stops there is dropped, and only that.
    route = min((t for t in recorded.tiles if len(t) > 1), key=len)
    held = np.array([t == route for t in recorded.tiles])
    split = np.where(held, "test", "train")
    free = rows_of(world, replace(recorded, split=split))
    table = rows_of(world, replace(recorded, split=split), "routes")
    assert 0 < len(table) < len(free) == 2 * (~held).sum()
    # Where all paths are withheld, nothing remains.
    every = replace(recorded, tiles=list(dict.fromkeys(recorded.tiles)) * N)
    assert len(rows_of(world, every, "routes")) < len(table)
    for row in table.itertuples():
        drive = envs.simulate(world, np.asarray(row.action, np.float32).reshape(1, -1, 2))
        annotation = annotate(world.scene, drive.pose, size=world.size)[0]
        assert tuple(annotation.tiles) != route


def test_composed_paths_do_what_was_wished(world, recorded):
    """Told a wish, a rollout meets what it names in order and breaks no ban."""
    train = recorded.pose[recorded.split == "train"]
    paths, wishes = compose(Ground(world, [train]), 40, np.random.default_rng(0))
    assert len(wishes) == len(paths.last) == 40
    assert sum(bool(w.avoid or w.untouched) for w in wishes) > 5 and any(
        len(w.via) > 1 for w in wishes
    )
    poses = [
        np.column_stack([path[: last + 1], np.zeros(last + 1)]).astype(np.float32)
        for path, last in zip(paths.points, paths.last, strict=True)
    ]
    kept = 0
    for found, wish in zip(annotate(world.scene, poses, size=world.size), wishes, strict=True):
        visits = iter(found.visited)
        kept += all(name in visits for name in wish.via) and not set(wish.avoid) & set(
            found.visited
        )
    assert kept >= 36, "but for what the rounding of corners touches"
    free = world.reachable()
    for path, last in zip(paths.points, paths.last, strict=True):
        column, row = (path[: last + 1] * world.width / world.size).astype(int).T
        assert free[row, column].mean() > 0.98


def test_plans_of_composed_rollouts_are_true_of_them(world, recorded):
    table = rows_of(world, recorded, composed=1.0)
    train = (recorded.split == "train").sum()
    rows = table.iloc[2 * train :]
    assert len(rows) == train and (rows["weight"] < 1).all()
    plans = 0
    for row in rows.itertuples():
        drive = envs.simulate(world, np.asarray(row.action, np.float32).reshape(1, -1, 2))
        driven = annotate(world.scene, drive.pose, size=world.size)[0]
        for plan in row.plans:
            avoided = plan.partition("avoid ")[2].split("; ")[0]
            banned = {name for name in avoided.split(", ") if name and not name.startswith("over")}
            assert not banned & set(driven.visited)
            plans += 1
    assert plans > 3 * len(rows)
