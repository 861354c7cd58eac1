"""What a robot observes is stated once, and one more sensor is two lines."""

import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import gymnasium
import numpy as np
import pytest

import envs
from archive_tools.tasks.controllers import ControllerSpec, rollout_controllers
from archive_tools.tasks.navigation import Navigation

ROOT = Path(__file__).parents[1]

# file of envs -> (line in it, what is added below it): a compass, the robot's heading in radians.
COMPASS = {
    "world.py": (
        'Sensor("right_bumper", "bumper", 0.0, 1.0),',
        'Sensor("compass", "compass", -np.pi, np.pi),',
    ),
    "kernel.py": ("obs[lasers + 1] = right_bumper", "obs[lasers + 2] = theta"),
}

DRIVE = """
import json
from dataclasses import replace

import gymnasium
import numpy as np

import envs
from archive_tools.tasks.navigation import Navigation

world = replace(envs.load_world("apartment"), steps=3)
actions = np.array([[[1, 2], [3, 0.5], [4, 4]]], np.float32)
simulation = envs.simulate(world, actions)
assert (simulation.obs[..., -1] == simulation.pose[..., 2]).all() and simulation.obs[..., -1].all()
env = gymnasium.make("wayword/Navigation-v0", world=world)
obs, _ = env.reset()
assert env.observation_space.contains(obs) and (obs == simulation.obs[0, 0]).all()
task = Navigation(world)
recording = task.record(np.full((2, task.controller.n_params), 0.1, np.float32))
print(json.dumps({
    "names": world.obs_names, "n_obs": world.n_obs, "obs": simulation.obs.shape[-1],
    "low": float(env.observation_space.low[-1]), "layers": task.controller.layers,
    "contact": task.odometry()["contact"], "recorded": recording.obs.shape,
}))
"""


def test_a_dummy_sensor_touches_two_files(tmp_path):
    shutil.copytree(ROOT / "envs", tmp_path / "envs", ignore=shutil.ignore_patterns("__pycache__"))
    for name, (line, added) in COMPASS.items():
        path = tmp_path / "envs" / name
        source = path.read_text(encoding="utf-8")
        assert source.count(line) == 1
        path.write_text(source.replace(line, f"{line}\n{' ' * _indent(source, line)}{added}"))
    paths = os.pathsep.join((str(tmp_path), str(ROOT)))
    # Uncompiled, the kernel is the same Python, and three steps of it take no time.
    done = subprocess.run(
        [sys.executable, "-c", DRIVE], capture_output=True, text=True, cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": paths, "NUMBA_DISABLE_JIT": "1"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    seen = json.loads(done.stdout)
    assert seen["names"] == [*envs.load_world("apartment").obs_names, "compass"]
    assert (seen["n_obs"], seen["obs"], seen["layers"][0]) == (6, 6, 6)
    assert seen["low"] == pytest.approx(-np.pi) and seen["recorded"] == [2, 4, 6]
    assert seen["contact"] == [3, 4], "the bumpers stay where they were"


def _indent(source: str, line: str) -> int:
    [full] = [text for text in source.splitlines() if line in text]
    return len(full) - len(full.lstrip())


@pytest.mark.parametrize("lasers", [0, 1, 3, 32])
def test_every_array_follows_the_sensors(lasers):
    world = replace(
        envs.load_world("apartment"),
        laser_angles=np.linspace(-2, 2, lasers),
        laser_ranges=np.linspace(50, 200, lasers),
        steps=4,
    )
    assert world.n_obs == len(world.obs_names) == len(set(world.obs_names)) == lasers + 2
    assert world.obs_names[lasers:] == ("left_bumper", "right_bumper")
    assert world.obs_columns("laser") == list(range(lasers))
    assert world.obs_columns("bumper") == [lasers, lasers + 1]
    assert envs.simulate(world, np.zeros((2, 3, 2))).obs.shape == (2, 4, world.n_obs)
    for many in ("sync", "vector_entry_point"):
        env = gymnasium.make_vec(
            "wayword/Navigation-v0", num_envs=2, vectorization_mode=many, world=world
        )
        space = env.single_observation_space
        assert isinstance(space, gymnasium.spaces.Box) and space.shape == (world.n_obs,)
        np.testing.assert_array_equal(space.high[:lasers], world.laser_ranges)
        np.testing.assert_array_equal(space.high[lasers:], [1, 1])
        assert env.reset()[0].shape == (2, world.n_obs)
    task = Navigation(world)
    assert task.controller.layers[0] == world.n_obs
    assert task.odometry()["contact"] == world.obs_columns("bumper")
    weights = np.random.default_rng(0).normal(size=(3, task.controller.n_params))
    assert task.record(weights.astype(np.float32)).obs.shape == (3, 5, world.n_obs)
    with pytest.raises(envs.InputError, match=f"expected {world.n_obs} inputs"):
        wrong = ControllerSpec((world.n_obs + 1, 2))
        rollout_controllers(world, wrong, np.zeros((1, wrong.n_params)))
