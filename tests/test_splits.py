"""Splits keep their promises: near-duplicates together, regions and routes truly withheld."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from archive_tools.dataset.splits import (
    SPLITS,
    Shares,
    near_duplicates,
    random_split,
    region_split,
    route_split,
)

SHARES = Shares(validation=0.05, test=0.1)


def walks(number, seed=0):
    steps = np.random.default_rng(seed).normal(0, 4, (number, 61, 3))
    return np.cumsum(steps, axis=1).astype(np.float32)


def test_copies_form_a_group_and_others_do_not():
    pose = walks(20)
    pose[7] = pose[3] + 0.5
    pose[11] = pose[7] + 0.6  # within 1.0 of 7, but 1.1 away from 3: the chain joins them
    groups = near_duplicates(pose, tolerance=1.0)
    assert groups[3] == groups[7] == groups[11]
    assert len(np.unique(groups)) == 18
    assert groups.tolist() == near_duplicates(pose, tolerance=1.0).tolist()


def test_apart_at_one_step_is_not_a_duplicate():
    pose = walks(2)
    pose[1] = pose[0]
    pose[1, 30, 0] += 5
    assert len(np.unique(near_duplicates(pose, tolerance=1.0))) == 2


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 1000), st.integers(2, 400))
def test_random_split_never_parts_a_group(seed, size):
    rng = np.random.default_rng(seed)
    groups = rng.integers(0, max(1, size // 3), size)
    groups = np.unique(groups, return_inverse=True)[1]
    split = random_split(groups, SHARES, rng)
    for group in np.unique(groups):
        assert len(set(split[groups == group])) == 1
    assert (split == "test").sum() <= round(0.1 * size)


def test_random_split_fills_its_shares_and_follows_the_seed():
    groups = np.arange(1000)
    split = random_split(groups, SHARES, np.random.default_rng(1))
    assert [(split == name).sum() for name in SPLITS] == [850, 50, 100]
    assert (split == random_split(groups, SHARES, np.random.default_rng(1))).all()
    assert (split != random_split(groups, SHARES, np.random.default_rng(2))).any()


def test_region_split_withholds_whole_blocks():
    bd = np.random.default_rng(0).uniform(0, 600, (5000, 2)).astype(np.float32)
    low, high = np.zeros(2), np.full(2, 600.0)
    split = region_split(bd, low, high, SHARES, np.random.default_rng(0), blocks=8)
    block = (bd // 75).astype(int) @ [8, 1]
    assert all(len(set(split[block == b])) == 1 for b in np.unique(block))
    assert 0.05 < (split == "test").mean() <= 0.1


def test_route_split_keeps_the_way_and_the_place_in_training():
    rng = np.random.default_rng(3)
    ways, places = ["a", "b", "c"], ["x", "y", "z", "w"]
    routes = [("s", ways[rng.integers(3)], places[rng.integers(4)]) for _ in range(1200)]
    split = route_split(routes, SHARES, np.random.default_rng(0))
    held = {routes[i] for i in np.flatnonzero(split == "test")}
    train = [routes[i] for i in np.flatnonzero(split == "train")]
    assert held
    for route in held:
        assert route not in train
        assert any(r[:-1] == route[:-1] for r in train), "the way was withheld altogether"
        assert any(r[-1] == route[-1] for r in train), "the place was withheld altogether"


@pytest.mark.parametrize("number", [0, 1])
def test_tiny_inputs(number):
    groups = near_duplicates(walks(number), 1.0)
    assert len(random_split(groups, SHARES, np.random.default_rng(0))) == number
