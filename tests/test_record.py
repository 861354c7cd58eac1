"""Recordings are the elites' own drives, small on disk, and the same bytes after a kill."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import envs
from archive_tools.archive.elites import load_archive
from archive_tools.files.tables import file_digest, read_json, write_json
from archive_tools.run.stage import read_manifest
from archive_tools.stages.s00_search import SearchConfig
from archive_tools.stages.s00_search import run as search
from archive_tools.stages.s02_record import RecordConfig, run
from archive_tools.trajectories.table import load_trajectories, make_table, write_trajectories
from envs.errors import InputError

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def recorded(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("record")
    search(SearchConfig(run=path, evaluations=1500, batch=250, cells=(20, 20)))
    return run(RecordConfig(run=path, chunk=50))


def test_trajectories_are_what_the_simulator_does(recorded):
    archive = load_archive(recorded.parent)
    trajectories = load_trajectories(recorded)
    np.testing.assert_array_equal(trajectories.ids, archive.policy_ids)
    np.testing.assert_array_equal(trajectories.bd, archive.measures)
    n = len(archive)
    assert trajectories.obs.shape == (n, 401, 5)
    assert trajectories.action.shape == (n, 400, 2)
    assert trajectories.pose.shape == (n, 401, 3)
    assert all(
        getattr(trajectories, k).dtype == np.float32 for k in ("obs", "action", "pose", "bd")
    )
    np.testing.assert_array_equal(trajectories.action, trajectories.action.round(1))
    simulation = envs.simulate(envs.load_world("apartment"), trajectories.action)
    np.testing.assert_array_equal(simulation.pose, trajectories.pose)
    np.testing.assert_array_equal(simulation.obs, trajectories.obs)


def test_ten_thousand_bytes_for_an_entry_with_its_trajectory(recorded):
    facts = read_manifest(recorded)["facts"]
    assert facts["bytes_per_entry_with_archive"] <= 10_000
    assert facts["bd_differs_from_archive"] == 0


def test_table_is_plain_parquet_for_others(recorded):
    frame = pd.read_parquet(recorded / "trajectories.parquet")
    assert frame.columns.tolist() == [
        "trajectory_id", "policy_id", "length", "bd", "obs", "action", "pose",
    ]  # fmt: skip
    assert (frame["trajectory_id"] == frame["policy_id"]).all()
    info = read_json(recorded / "trajectories.json")
    assert (info["n_obs"], info["n_act"], info["n_bd"], info["steps"]) == (5, 2, 2, 400)
    assert info["action_low"] == [-4, -4] and info["bd_high"] == [600, 600]
    assert info["environment"]["kwargs"]["world"] == "apartment"


def test_killed_recording_goes_on_to_the_same_bytes(recorded):
    path = recorded.parent
    command = [sys.executable, "scripts/02_record_trajectories.py", "--run", str(path),
               "--chunk", "5", "--redo"]  # fmt: skip
    process = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.DEVNULL)
    parts = path / ".trajectories.partial" / "parts"
    deadline = time.monotonic() + 100
    while len(list(parts.glob("0*.parquet"))) < 3:
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.002)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert read_manifest(recorded)["config"]["chunk"] == 50, "the finished one is untouched"
    begun = (parts / "00000000.parquet").stat().st_mtime_ns
    resumed = run(RecordConfig(run=path, chunk=5, redo=True))
    assert not (resumed / "parts").exists() and begun < time.time_ns()
    bytes_resumed = file_digest(resumed / "trajectories.parquet")
    run(RecordConfig(run=path, chunk=50, redo=True))
    run(RecordConfig(run=path, chunk=5, redo=True))
    assert file_digest(recorded / "trajectories.parquet") == bytes_resumed
    run(RecordConfig(run=path, chunk=50, redo=True))


def test_only_wanted_columns_are_loaded(recorded):
    trajectories = load_trajectories(recorded, columns=("pose",))
    assert trajectories.obs is None and trajectories.bd is None and trajectories.pose is not None
    with pytest.raises(InputError, match="unknown column 'speed'"):
        load_trajectories(recorded, columns=("speed",))


def test_trajectories_of_several_lengths(tmp_path):
    lengths = np.array([3, 5], dtype=np.int32)
    rng = np.random.default_rng(0)
    obs, action = rng.random((2, 6, 4), dtype=np.float32), rng.random((2, 5, 1), dtype=np.float32)
    table = make_table([4, 9], lengths, rng.random((2, 2), dtype=np.float32), obs, action)
    write_trajectories(tmp_path / "trajectories.parquet", iter([table]))
    info = {"n_obs": 4, "n_act": 1, "n_bd": 2, "steps": 5, "environment": {"id": "x"}}
    write_json(tmp_path / "trajectories.json", info)
    trajectories = load_trajectories(tmp_path)
    assert trajectories.pose is None and len(trajectories) == 2
    assert [o.shape for o in trajectories.obs] == [(4, 4), (6, 4)]
    np.testing.assert_array_equal(trajectories.action[0], action[0, :3])
    np.testing.assert_array_equal(trajectories.obs[1], obs[1])
    write_json(tmp_path / "trajectories.json", info | {"n_obs": 3})
    with pytest.raises(InputError, match="trajectory 4 has 16 numbers; expected 4 × 3"):
        load_trajectories(tmp_path)


def test_damaged_table_gets_one_clear_line(tmp_path):
    with pytest.raises(InputError, match="no such file"):
        load_trajectories(tmp_path)
    (tmp_path / "trajectories.parquet").write_bytes(b"PAR1 half")
    with pytest.raises(InputError, match="truncated"):
        load_trajectories(tmp_path)


def test_missing_archive_names_the_script(tmp_path):
    with pytest.raises(InputError, match="00_search_archive"):
        run(RecordConfig(run=tmp_path))
