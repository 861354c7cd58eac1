"""The data that the report's page carries: whole, small, and kept within its budget."""

import json
import zlib
from base64 import b64decode

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from run_factory import Planted, make_run

from archive_tools.annotations.events import load_annotations
from archive_tools.report import compress as packing
from archive_tools.report import drives as drive_data
from archive_tools.report import explorer
from archive_tools.stages import s08_rollout as rollouts
from archive_tools.stages import s09_evaluate as evaluate
from envs import load_world


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    run = make_run(tmp_path_factory.mktemp("explorer") / "run", n=150)
    options = rollouts.RolloutConfig(run=run, items=20)
    rollouts.run(options, lambda model: Planted(run, noise=0.05))
    return run


def unsqueezed(text):
    return zlib.decompress(b64decode(text))


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(0, 450), min_size=1, max_size=5), st.integers(0, 99),
       st.sampled_from([1.0, 600.0]))  # fmt: skip
def test_packed_paths_come_back_within_half_a_step_of_the_grid(lengths, seed, size):
    rng = np.random.default_rng(seed)
    paths = [rng.uniform(0, size, (length + 1, 3)) for length in lengths]
    found = packing.unpack_paths(packing.pack_paths(paths, size), lengths, size)
    for path, length, back in zip(paths, lengths, found, strict=True):
        steps = packing.kept_steps(length)
        assert steps[0] == 0 and steps[-1] == length and len(steps) <= packing.POINTS + 1
        assert np.abs(path[steps, :2] - back).max() <= size / packing.GRID * 0.5001


def test_every_elite_is_on_the_page_with_its_events_and_texts(run):
    world, annotations = load_world(run / "archive" / "world"), load_annotations(
        run / "annotations"
    )  # fmt: skip
    packed = explorer.elites(run, world, annotations)
    found = json.loads(unsqueezed(packed["data"]))
    recorded = pd.read_parquet(run / "trajectories" / "trajectories.parquet")
    data = pd.read_parquet(run / "dataset" / "trajectories.parquet")
    assert packed["shown"] == packed["total"] == 150
    assert found["ids"] == recorded["trajectory_id"].tolist()
    assert found["texts"] == [list(texts) for texts in data["texts"]]
    assert found["split"] == data["split"].tolist()
    assert found["map"]["over_plan"] and found["map"]["cells"] == [64, 64]
    paths = packing.unpack_paths(unsqueezed(packed["paths"]), found["steps"], world.size)
    ends = np.stack([path[-1] for path in paths])
    assert np.abs(ends - np.stack(recorded["bd"].tolist())).max() < 0.2
    names = explorer.Names(world)
    for identity, events in zip(found["ids"], found["events"], strict=True):
        asked = annotations[identity].events
        assert [e[0] for e in events] == [e.timestep for e in asked]
        assert [names.all[e[1]] for e in events if e[1] >= 0] == [e.tile for e in asked if e.tile]
        assert [len(e) for e in events] == [2 + 2 * len(e.near) for e in asked]


def test_a_budget_is_kept_by_a_seeded_sample_over_the_cells(run):
    world, annotations = load_world(run / "archive" / "world"), load_annotations(
        run / "annotations"
    )  # fmt: skip
    packed = explorer.elites(run, world, annotations, budget=12_000, always=[205, 100])
    found = json.loads(unsqueezed(packed["data"]))
    assert len(packed["data"]) + len(packed["paths"]) <= 12_000
    assert 20 < packed["shown"] < packed["total"] == found["total"] == 150
    assert {100, 205} <= set(found["ids"])
    again = explorer.elites(run, world, annotations, budget=12_000, always=[205, 100])
    assert again == packed


def test_sample_empties_no_cell_before_it_must():
    cells = np.repeat(np.arange(10), np.arange(1, 11))
    rows = explorer.sample(cells, 10)
    assert sorted(cells[rows]) == list(range(10))
    assert len(set(cells[explorer.sample(cells, 6)])) == 6
    assert explorer.sample(cells, 0, always=[3, 7]) == [3, 7]
    assert explorer.sample(cells, 99) == list(range(55))
    assert explorer.sample(cells, 12, seed=1) != explorer.sample(cells, 12, seed=2)


def test_drives_over_the_budget_leave_out_the_last_items(run):
    scored = evaluate.score_run(run)
    world = load_world(run / "archive" / "world")
    whole = drive_data.drives(scored, world)
    assert whole is not None and whole["shown"] == whole["total"] == 20
    part = drive_data.drives(scored, world, budget=len(whole["data"] + whole["paths"]) // 2)
    assert part is not None and 1 <= part["shown"] < 20 and part["total"] == 20
    assert len(part["data"] + part["paths"]) <= len(whole["data"] + whole["paths"]) // 2
    assert whole["systems"][0]["name"] == "policy"
