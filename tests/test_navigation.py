"""The Gymnasium environments, through Gymnasium's own doors."""

import warnings
from dataclasses import replace

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env
from gymnasium.vector import AutoresetMode
from gymnasium.wrappers.vector import DictInfoToList, RecordEpisodeStatistics

import envs

NAME = "wayword/Navigation-v0"


def make_vec(num_envs, **kwargs):
    return gymnasium.make_vec(
        NAME, num_envs=num_envs, vectorization_mode="vector_entry_point", **kwargs
    )


def test_gymnasium_finds_nothing_to_complain_about():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        # The wheels' range is that of libfastsim.
        warnings.filterwarnings("ignore", message=".*symmetric and normalized space.*")
        check_env(gymnasium.make("envs:" + NAME, world="apartment").unwrapped)
        check_env(gymnasium.make(NAME, render_mode="rgb_array").unwrapped)
        env = gymnasium.make(NAME)  # with the passive checker around it
        env.reset(seed=0)
        env.step(env.action_space.sample())
        make_vec(2)


def test_env_equals_the_simulator():
    world = envs.load_world("apartment")
    actions = np.random.default_rng(0).uniform(-5, 5, (400, 2)).astype(np.float32)
    simulation = envs.simulate(world, np.round(actions, 1)[None])
    env = gymnasium.make(NAME, world=world)
    obs, info = env.reset(seed=5)
    assert obs.dtype == np.float32 and env.observation_space.contains(obs)
    for t in range(401):
        if t:
            obs, reward, terminated, truncated, info = env.step(actions[t - 1])
            assert reward in (0, 1) and not terminated and truncated == (t == 400)
        np.testing.assert_array_equal(obs, simulation.obs[0, t])
        np.testing.assert_array_equal(info["pose"], simulation.pose[0, t])
        np.testing.assert_array_equal(info["bd"], simulation.pose[0, t, :2])
        assert info["collision"] == simulation.collision[0, t]


def test_vector_env_equals_the_simulator_and_then_resets():
    world = replace(envs.load_world("apartment"), steps=30)
    actions = np.random.default_rng(0).uniform(-5, 5, (7, 30, 2)).astype(np.float32)
    simulation = envs.simulate(world, actions)
    env = make_vec(7, world=world, action_decimals=None)
    assert env.metadata["autoreset_mode"] == AutoresetMode.NEXT_STEP
    obs, info = env.reset(seed=1)
    for t in range(31):
        if t:
            obs, _, terminated, truncated, info = env.step(actions[:, t - 1])
            assert not terminated.any() and (truncated == (t == 30)).all()
        np.testing.assert_array_equal(obs, simulation.obs[:, t])
        np.testing.assert_array_equal(info["pose"], simulation.pose[:, t])
        np.testing.assert_array_equal(info["collision"], simulation.collision[:, t])
    assert obs in env.observation_space
    obs, reward, _, truncated, info = env.step(actions[:, 0])
    np.testing.assert_array_equal(obs, simulation.obs[:, 0])
    assert not truncated.any() and not reward.any()


def test_vector_env_equals_gymnasiums_own():
    world = replace(envs.load_world("apartment"), steps=6)
    ours = make_vec(3, world=world)
    theirs = gymnasium.make_vec(NAME, num_envs=3, vectorization_mode="sync", world=world)
    assert ours.observation_space == theirs.observation_space
    assert ours.action_space == theirs.action_space
    results = [env.reset(seed=3) for env in (ours, theirs)]
    rng = np.random.default_rng(1)
    for _ in range(15):
        actions = rng.uniform(-4, 4, (3, 2)).astype(np.float32)
        for mine, other in zip(*results, strict=True):
            if isinstance(mine, dict):
                assert mine.keys() == other.keys()
                for key in mine:
                    np.testing.assert_array_equal(mine[key], other[key], err_msg=key)
            else:
                np.testing.assert_array_equal(mine, other)
                assert mine.dtype == other.dtype
        results = [env.step(actions) for env in (ours, theirs)]


def test_gymnasiums_wrappers_fit():
    env = RecordEpisodeStatistics(make_vec(2, world=replace(envs.load_world("apartment"), steps=3)))
    env.reset()
    for _ in range(3):
        *_, info = env.step(np.ones((2, 2), dtype=np.float32))
    np.testing.assert_array_equal(info["episode"]["l"], [3, 3])
    _, info = DictInfoToList(make_vec(2)).reset()
    assert info[1]["pose"].shape == (3,)


def test_returned_arrays_are_not_reused():
    env = make_vec(2)
    obs, info = env.reset()
    before = obs.copy(), info["pose"].copy()
    env.step(np.full((2, 2), 4, dtype=np.float32))
    np.testing.assert_array_equal(obs, before[0])
    np.testing.assert_array_equal(info["pose"], before[1])


def test_start_and_reward():
    env = gymnasium.make(NAME)
    _, info = env.reset(options={"start": [540, 60, 0]})
    np.testing.assert_array_equal(info["bd"], [540, 60])
    assert env.step(np.zeros(2, dtype=np.float32))[1] == 1
    vec = make_vec(2)
    _, info = vec.reset(options={"start": [[540, 60, 0], [60, 450, 0]]})
    np.testing.assert_array_equal(vec.step(np.zeros((2, 2), dtype=np.float32))[1], [1, 0])
    with pytest.raises(envs.InputError, match="inside a wall"):
        env.reset(options={"start": [1, 1, 0]})


def test_render():
    env = gymnasium.make(NAME, render_mode="rgb_array")
    env.reset()
    for _ in range(30):
        env.step(np.array([4, 3.9], dtype=np.float32))
    frame = env.render()
    assert isinstance(frame, np.ndarray) and frame.ndim == 3 and frame.shape[2] == 3
    assert frame.dtype == np.uint8 and len(np.unique(frame.reshape(-1, 3), axis=0)) > 9
    vec = make_vec(2, render_mode="rgb_array")
    vec.reset()
    frames = vec.render()
    assert frames is not None and len(frames) == 2


@pytest.mark.parametrize(
    "kwargs, words",
    [
        ({"world": "nowhere"}, "no world 'nowhere'"),
        ({"action_decimals": -1}, "action_decimals is -1"),
        ({"num_envs": 0}, "num_envs is 0"),
    ],
)
def test_bad_options_are_named(kwargs, words):
    with pytest.raises(envs.InputError, match=words):
        make_vec(**{"num_envs": 2} | kwargs)
    vec = make_vec(2)
    vec.reset()
    with pytest.raises(envs.InputError, match=r"shape \[3, 2\]"):
        vec.step(np.zeros((3, 2)))
