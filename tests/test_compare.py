"""Recordings are held against the simulator; what differs is counted and measured."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import envs
from envs.compare import compare

ROOT = Path(__file__).parent.parent
REFERENCE = ROOT.parent / "shared" / "reference" / "fastsim_apartment.npz"


def recorded(path: Path, start=None, **changes) -> Path:
    actions = np.random.default_rng(0).uniform(-1, 4, (3, 200, 2)).astype(np.float32)
    runs = envs.simulate(envs.load_world("apartment"), actions, start)
    arrays = {"actions": actions, "poses": runs.pose, "obs": runs.obs, "collisions": runs.collision}
    np.savez(path, **(arrays | {name: change(arrays[name]) for name, change in changes.items()}))
    return path


def test_differences_are_found_and_measured(tmp_path):
    world, path = envs.load_world("apartment"), tmp_path / "runs.npz"
    same = compare(world, recorded(path))
    assert same.identical and same.passed and (same.runs, same.steps) == (3, 603)

    def moved(obs):
        obs = obs.copy()
        obs[1, 7, 2] += 0.5
        obs[0, 3, 4] = 1 - obs[0, 3, 4]
        return obs

    off = compare(world, recorded(path, obs=moved, collisions=lambda c: ~c))
    assert (off.bumpers, off.collisions, off.lasers) == (1, 603, 0.5)
    assert not off.passed and off.position == 0
    turned = compare(world, recorded(path, poses=lambda p: p + np.float32([0, 1e-4, 2 * np.pi])))
    assert turned.passed and not turned.identical and turned.heading < 1e-6


def test_recorded_starts(tmp_path):
    path = recorded(tmp_path / "runs.npz", start=[300, 300, 1])
    assert not compare(envs.load_world("apartment"), path).passed
    assert compare(envs.load_world("apartment"), path, "recorded").identical


@pytest.mark.skipif(not REFERENCE.exists(), reason="the recordings of libfastsim are not here")
def test_command_line_prints_the_comparison():
    command = [sys.executable, "-m", "envs.compare", "apartment"]
    done = subprocess.run([*command, REFERENCE], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0 and "identical to the bit" in done.stdout
    assert "32 runs, 12,832 steps: 0 mismatches of bumpers, 0 of collisions" in done.stdout


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (lambda path: path.write_bytes(b"<html>"), "not a readable .npz"),
        (lambda path: np.savez(path, actions=np.zeros((1, 2, 2))), "no array 'poses'"),
        (lambda path: recorded(path, obs=lambda o: o[..., 1:]), "obs have shape"),
    ],
)
def test_bad_files_get_one_clear_line(tmp_path, content, words):
    content(tmp_path / "bad.npz")
    with pytest.raises(envs.InputError, match=words) as error:
        compare(envs.load_world("apartment"), tmp_path / "bad.npz")
    assert "\n" not in str(error.value)
