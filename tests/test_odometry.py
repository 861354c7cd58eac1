"""Dead reckoning, and what a policy learns beside the action, seen from outside."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from nanodt_toy import INFO, STEPS, record, write_dataset
from run_factory import wander
from test_nanodt_model import PRESETS, TEXTS, WHEELS, read, small_model

import envs
import nanodt
from archive_tools.tasks.navigation import Navigation
from nanodt.data.folder import load_dataset
from nanodt.data.windows import Windows
from nanodt.driving.policy import Policy
from nanodt.errors import InputError
from nanodt.model.auxiliary import HORIZONS, relative
from nanodt.place.odometry import FEATURES, OdometryConfig, features
from nanodt.train import train
from nanodt.training.build import build_network, offered
from nanodt.training.options import LAYOUTS, TrainConfig


def test_reckoning_is_what_the_simulator_does():
    """In the apartment, with walls run into: the pose of every step, except behind its back."""
    world = envs.load_world("apartment")
    action = wander(40, seed=3)
    simulation = envs.simulate(world, action)
    assert simulation.collision.any()
    n, steps = action.shape[:2]
    odometry = OdometryConfig.from_json(Navigation(world).odometry())
    first = np.arange(n) * steps
    found = odometry.reckon(
        np.full(n, steps),
        first,
        action.reshape(-1, 2),
        simulation.obs[:, :-1].reshape(n * steps, -1),
    ).reshape(n, steps, 3)
    # A wall touched by none of the bumpers' quarters stops the robot unfelt: known to be missed.
    felt = simulation.obs[:, :, 3:].max(2) > 0
    known = ~(simulation.collision & ~felt).any(1)
    assert known.sum() > 10
    error = np.abs(found[known, :, :2] - simulation.pose[known, :-1, :2]).max()
    assert error < 0.05  # float32 sums of 400 steps
    turned = np.abs(found[known, :, 2] - simulation.pose[known, :-1, 2])
    assert np.minimum(turned, 2 * np.pi - turned).max() < 1e-3


def test_reckoning_trajectories_of_different_lengths():
    rng = np.random.default_rng(0)
    odometry = OdometryConfig.from_json(WHEELS)
    length = np.array([5, 1, 9])
    first = np.cumsum(length) - length
    action = rng.normal(size=(15, 2)).astype(np.float32)
    obs = (rng.random((15, 3)) > 0.7).astype(np.float32)
    together = odometry.reckon(length, first, action, obs)
    for n, a in zip(length, first, strict=True):
        alone = odometry.reckon(np.array([n]), np.array([0]), action[a : a + n], obs[a : a + n])
        np.testing.assert_array_equal(together[a : a + n], alone)
    np.testing.assert_allclose(together[first], [WHEELS["start"]] * 3, rtol=1e-6)


def test_features_hold_the_goal_from_where_the_robot_stands():
    low, high = torch.zeros(2), torch.full((2,), 10.0)
    pose = torch.tensor([[5.0, 5.0, 0.0], [5.0, 5.0, np.pi / 2], [5.0, 5.0, 0.0]])
    bd = torch.tensor([[8.0, 5.0], [8.0, 5.0], [8.0, 5.0]])
    found = features(pose, bd, torch.tensor([False, False, True]), low, high)
    assert found.shape == (3, FEATURES)
    ahead, aside, far = found[:, -5], found[:, -4], found[:, -3]
    assert ahead[0] > 0.9 and abs(aside[0]) < 1e-6  # straight ahead
    assert abs(ahead[1]) < 1e-5 and aside[1] < -0.9  # the same place, at its other hand
    assert far[0] == pytest.approx(0.6) and found[2, -5:].eq(0).all()  # no target is told


@pytest.mark.parametrize("tokens", [3, 1])
@pytest.mark.parametrize("hide_actions", [False, True])
def test_cached_equals_uncached_when_the_robot_reckons(hide_actions, tokens):
    actions = {"hide_actions": hide_actions, "tokens_per_step": tokens}
    model = small_model(block_size=60, window=7, **{**PRESETS, **actions})
    rng = np.random.default_rng(0)
    texts = [t + " now" * i for i, t in enumerate(TEXTS[:4])]
    bd = rng.normal(size=(4, 2)).astype(np.float32)
    for command in ({"text": texts, "bd": bd}, {"text": texts}, {"bd": bd}):
        cached, uncached = Policy(model), Policy(model, cache=False)
        for _ in range(40):
            obs = rng.normal(size=(4, 3)).astype(np.float32)
            a, b = cached.act(obs, **command), uncached.act(obs, **command)
            assert np.abs(a - b).max() < 1e-4


@pytest.fixture
def augmented(tmp_path):
    """A dataset with wheels, subgoals and augmentation whose targets are not its actions."""
    rows = record(20)
    names = ["left", "right"]
    folder = write_dataset(tmp_path / "data", rows, odometry=WHEELS, subgoals=names)
    table = pq.read_table(folder / "trajectories.parquet")
    marks = [[i % 3] * STEPS for i in range(20)]
    table = table.append_column("next_subgoal", pa.array(marks, pa.list_(pa.int16())))
    pq.write_table(table, folder / "trajectories.parquet")
    ids = pa.array(np.arange(900, 920))
    more = table.set_column(0, "trajectory_id", ids)
    more = more.set_column(1, "split", pa.array(["train"] * 20))
    halved = [[v / 2 for v in row] for row in table["action"].to_pylist()]
    more = more.append_column("expert_action", pa.array(halved, pa.list_(pa.float32())))
    pq.write_table(more, folder / "augmentation.parquet")
    tokenizer = nanodt.train_tokenizer([t for r in rows for t in r["texts"]], 400)
    (tmp_path / "tokenizer").mkdir()
    tokenizer.save(tmp_path / "tokenizer")
    fields = {**LAYOUTS["plain"], "n_layer": 1, "batch_size": 8, "hide_actions": True}
    fields |= {"odometry": True, "visitation_map": 4, "window": 6, "tokens_per_step": 1}
    fields |= {"future_position_weight": 0.5, "next_subgoal_weight": 0.2, "windows_per_text": 3}
    return TrainConfig(
        data=folder,
        out=tmp_path / "out",
        tokenizer=tmp_path / "tokenizer",
        block_size=60,
        n_head=2,
        n_embd=16,
        steps=8,
        score_items=4,
        **{**fields, "augmentation_share": 0.5},
    )


def test_augmentation_is_learnt_from_beside_the_trajectories(augmented):
    data = load_dataset(augmented.data, 0.5)
    train_set, validation = data.split("train"), data.split("validation")
    assert len(train_set.ids) == 16 + 20 and len(validation.ids) == 4
    assert {"expert_action", "next_subgoal"} <= set(train_set.steps)
    own = train_set.ids < 900
    steps = np.repeat(own, train_set.length)
    target, action = train_set.steps["expert_action"], train_set.steps["action"]
    np.testing.assert_array_equal(target[steps], action[steps])
    np.testing.assert_allclose(target[~steps], action[~steps] / 2)
    np.testing.assert_array_equal(train_set.each["recorded"][:, 0], own)
    assert (data.split("train").weight * train_set.length)[~own].sum() == pytest.approx(0.5)
    mostly = load_dataset(augmented.data, 0.9).split("train")
    assert (mostly.weight * mostly.length)[~own].sum() == pytest.approx(0.9)
    assert (mostly.weight * mostly.length).sum() == pytest.approx(1)
    assert len(load_dataset(augmented.data).split("train").ids) == 16
    train(augmented)
    assert nanodt.load(augmented.out).config.window == 6


def test_windows_hold_what_the_auxiliary_tasks_predict(augmented):
    dataset = load_dataset(augmented.data, 0.5)
    model = build_network(augmented, dataset)
    windows = Windows(dataset.split("train"), model)
    plan = windows.plan(np.random.default_rng(0), 5, 0.0, 0.0)
    assert plan.steps.max() == 6
    batch = windows.batch(plan)
    pose = windows.steps["pose"].view(-1, STEPS, 3)
    for j in range(len(batch.row)):
        i, t = int(plan.episode[batch.row[j]]), int(batch.time[j])
        assert torch.equal(batch.values["pose"][j], pose[i, t])
        for h, ahead in enumerate(HORIZONS):
            there = pose[i, min(t + ahead, STEPS - 1), :2]
            assert torch.equal(batch.values["later"][j, h], there)
        mark = dataset.split("train").ids[i] % 100 % 20 % 3
        assert batch.values["next_subgoal"][j] == mark
    # A robot that looks north sees what lies east at its right.
    seen = relative(torch.tensor([[0.0, 0.0, -np.pi / 2]]), torch.tensor([[[8.0, 0]] * 3]), 1.0)
    assert seen[0, 0].tolist() == pytest.approx([0.0, 1.0], abs=1e-6)


def test_many_episodes_are_reckoned_and_read_in_parts_to_the_same_windows(augmented, monkeypatch):
    def made():
        dataset = load_dataset(augmented.data, 0.5)
        windows = Windows(dataset.split("train"), build_network(augmented, dataset))
        return windows, windows.batch(windows.plan(np.random.default_rng(0), 9))

    whole, first = made()
    monkeypatch.setattr("nanodt.data.windows.TOGETHER", 5)
    monkeypatch.setattr("nanodt.text.encoders.TOGETHER", 3)
    monkeypatch.setattr("nanodt.data.folder.LARGE", 1)
    small, second = made()
    assert torch.equal(whole.steps["pose"], small.steps["pose"])
    assert isinstance(small.episodes.steps["obs"], np.memmap)
    assert torch.equal(first.text, second.text)
    for name, values in first.values.items():
        assert torch.equal(values, second.values[name]), name


def test_statistics_of_many_values_are_those_of_stretches_of_them(augmented, monkeypatch):
    dataset = load_dataset(augmented.data, 0.5)
    action = dataset.split("train").steps["expert_action"]
    whole = build_network(augmented, dataset).heads["action"].mean
    monkeypatch.setattr("nanodt.model.network.STRETCHES", 8)
    monkeypatch.setattr("nanodt.model.network.SAMPLE", action.nbytes // 2)
    part = build_network(augmented, dataset).heads["action"].mean
    assert not torch.equal(whole, part)
    assert (whole - part).abs().max() < 0.2 * action.std()


def auxiliary_loss(model, batch):
    hidden = read(model, batch)
    return model.auxiliary.loss(hidden, hidden, batch.values).mean().item()


def test_auxiliary_tasks_are_learnt_and_left_aside_when_driving(augmented):
    dataset = load_dataset(augmented.data, 0.5)
    model = build_network(augmented, dataset)
    windows = Windows(dataset.split("train"), model)
    batch = windows.batch(windows.plan(np.random.default_rng(0), 8, 0.0, 0.0, windows=2))
    ((of_action, _),) = model.losses(batch).values()
    assert model.total(batch) > of_action.sum()
    optimizer = torch.optim.Adam(model.parameters(), 1e-2)
    first = auxiliary_loss(model, batch)
    for _ in range(40):
        optimizer.zero_grad()
        (model.total(batch) / len(batch.row)).backward()
        optimizer.step()
    assert auxiliary_loss(model, batch) < first / 2


def test_only_augmentation_is_left_where_nothing_else_is_asked_for(augmented):
    data = load_dataset(augmented.data, 1.0)
    assert (data.split("train").ids >= 900).all() and len(data.split("validation").ids) == 4
    with pytest.raises(InputError, match=r"augmentation share 1\.5"):
        load_dataset(augmented.data, 1.5)
    table = pq.read_table(augmented.data / "augmentation.parquet")
    pq.write_table(
        table.set_column(1, "split", pa.array(["test"] * len(table))),
        augmented.data / "augmentation.parquet",
    )
    with pytest.raises(InputError, match=r"augmentation\.parquet: split 'test'"):
        load_dataset(augmented.data, 1.0)


def test_what_a_dataset_does_not_offer_is_said(augmented, capsys):
    (augmented.data / "augmentation.parquet").unlink()
    train(replace(augmented, augmentation_share=1.0))
    assert "no augmentation.parquet" in capsys.readouterr().out
    write_dataset(augmented.data, record(20))
    train(replace(augmented, redo=True))
    said = capsys.readouterr().out.splitlines()
    assert [line.partition("training without")[2] for line in said[1:4] if "without" in line] == [
        " odometry, visitation map and prediction of the future position",
        " --next-subgoal-weight",
    ]
    config = nanodt.load(augmented.out).config
    assert config.odometry is None and config.layout.slot("visits") is None


def test_without_odometry_what_needs_it_is_left_out(augmented):
    dataset = load_dataset(augmented.data)
    config, said = offered(replace(augmented, odometry=False), dataset)
    assert config.visitation_map == 0 and config.future_position_weight == 0 and len(said) == 1
    config, said = offered(
        replace(augmented, text_encoder="sentence", token_corruption=0.1), dataset
    )
    assert config.token_corruption == 0 and "token by token" in said[0]


@pytest.mark.parametrize(
    ("options", "info", "message"),
    [
        ({}, {"odometry": {"axle": 2.0}}, "expected axle, start and contact"),
        ({}, {"odometry": {**WHEELS, "axle": 0}}, "axle must be above 0"),
        ({}, {"odometry": {**WHEELS, "contact": [7]}}, "do not fit"),
        ({"windows_per_text": 0}, {}, "--windows-per-text 0"),
        ({"visitation_map": -1}, {}, "--visitation-map -1"),
        ({"token_corruption": 0.9}, {}, "--token-corruption 0.9"),
        ({}, {"subgoals": []}, r"holds \[1.0\], expected one whole number from 0 to 0 \(subgoals"),
    ],
)
def test_what_does_not_fit_is_refused(augmented, options, info, message):
    given = {"odometry": WHEELS, "subgoals": ["left", "right"], **info}
    text = json.dumps({**INFO, **given})
    (augmented.data / "dataset.json").write_text(text)
    with pytest.raises(nanodt.InputError, match=message):
        train(replace(augmented, **options))
