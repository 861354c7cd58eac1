"""Controllers: the network, the closed loop, and bad weights."""

import json

import numpy as np
import pytest

import envs
from archive_tools.tasks.controllers import ControllerSpec, rollout_controllers


def network(spec, solution, inputs):
    """The definition, in float64."""
    values, offset = np.asarray(inputs, dtype=np.float64), 0
    functions = {"tanh": np.tanh, "relu": lambda v: np.maximum(v, 0), "linear": lambda v: v}
    for layer, (n_in, n_out) in enumerate(zip(spec.layers[:-1], spec.layers[1:], strict=True)):
        w = solution[offset : offset + n_in * n_out].reshape(n_in, n_out)
        b = solution[offset + n_in * n_out : offset + (n_in + 1) * n_out]
        last = layer == len(spec.layers) - 2
        values = functions[spec.output if last else spec.activation](values @ w + b)
        offset += (n_in + 1) * n_out
    assert offset == spec.n_params
    return spec.action_scale * values


def weights(spec, count, scale=1.0, seed=0):
    rng = np.random.default_rng(seed)
    return (scale * rng.standard_normal((count, spec.n_params))).astype(np.float32)


@pytest.mark.parametrize(
    "spec",
    [
        ControllerSpec(action_decimals=None),
        ControllerSpec(layers=(3, 33, 5), activation="relu", output="linear", action_decimals=None),
        ControllerSpec(layers=(2, 1), action_scale=1.0, action_decimals=None),
    ],
)
@pytest.mark.parametrize("count", [1, 37, 5000])
def test_act_is_the_network(spec, count):
    solutions = weights(spec, count)
    obs = np.random.default_rng(1).uniform(-2, 2, (count, spec.layers[0])).astype(np.float32)
    some = np.linspace(0, count - 1, min(count, 40), dtype=int)
    expected = [network(spec, solutions[n], obs[n]) for n in some]
    actions = spec.act(solutions, obs)
    assert actions.dtype == np.float32
    np.testing.assert_allclose(actions[some], expected, rtol=2e-5, atol=2e-5)


def test_tanh_is_accurate_everywhere():
    spec = ControllerSpec(layers=(1, 1), action_scale=1.0, action_decimals=None)
    x = np.concatenate([np.linspace(-20, 20, 20001), np.logspace(-8, 1, 2001)]).astype(np.float32)
    y = spec.act(np.tile(np.float32([1, 0]), (len(x), 1)), x[:, None])[:, 0]
    np.testing.assert_allclose(y, np.tanh(x.astype(np.float64)), rtol=5e-7, atol=0)
    assert np.abs(y).max() <= 1


def test_rollout_is_controller_and_simulator():
    world, spec = envs.load_world("apartment"), ControllerSpec()
    assert spec.n_params == 302
    solutions = weights(spec, 21)
    rollout = rollout_controllers(world, spec, solutions)
    pose, collision = rollout.info["pose"], rollout.info["collision"]
    assert rollout.action.shape == (21, 400, 2) and pose.shape == (21, 401, 3)
    simulation = envs.simulate(world, rollout.action)
    np.testing.assert_array_equal(rollout.obs, simulation.obs)
    np.testing.assert_array_equal(pose, simulation.pose)
    np.testing.assert_array_equal(collision, simulation.collision)
    scaled = rollout.obs * np.float32([0.01, 0.01, 0.01, 1, 1])
    for t in (0, 57, 399):
        np.testing.assert_array_equal(rollout.action[:, t], spec.act(solutions, scaled[:, t]))
    np.testing.assert_array_equal(np.round(rollout.action, 1), rollout.action)


def test_a_drive_does_not_depend_on_its_batch():
    world, spec = envs.load_world("apartment"), ControllerSpec()
    solutions = weights(spec, 100)

    def poses(some):
        return rollout_controllers(world, spec, some).info["pose"]

    whole = poses(solutions)
    np.testing.assert_array_equal(poses(solutions[::-1])[::-1], whole)
    for n in (0, 15, 16, 99):
        np.testing.assert_array_equal(poses(solutions[n : n + 1])[0], whole[n])
    assert poses(solutions[:0]).shape == (0, 401, 3)


def test_steps_and_start():
    world, spec = envs.load_world("apartment"), ControllerSpec()
    rollout = rollout_controllers(world, spec, weights(spec, 3), steps=5, start=[300, 240, 1])
    assert rollout.obs.shape == (3, 6, 5)
    np.testing.assert_array_equal(rollout.info["pose"][:, 0], np.float32([[300, 240, 1]] * 3))


def test_json():
    spec = ControllerSpec(layers=(5, 8, 2), activation="relu", obs_scale="none", action_decimals=2)
    assert ControllerSpec.from_json(json.loads(json.dumps(spec.to_json()))) == spec
    assert ControllerSpec.from_json({}) == ControllerSpec()


def nan_weights():
    solutions = weights(ControllerSpec(), 4)
    solutions[2, 17] = np.nan
    return solutions


@pytest.mark.parametrize(
    "call, words",
    [
        (lambda: ControllerSpec(layers=(5,)), r"layers are \[5\]"),
        (lambda: ControllerSpec(activation="swish"), "activation is 'swish'"),
        (lambda: ControllerSpec.from_json({"layer": [5, 2]}), "unknown field 'layer'"),
        (lambda: ControllerSpec().check_solutions(np.zeros((3, 301))), r"\[3, 301\].*302"),
        (lambda: ControllerSpec().check_solutions(nan_weights()), "solution 2 has NaN"),
        (
            lambda: rollout_controllers(
                envs.load_world("apartment"), ControllerSpec((4, 2)), np.zeros((1, 10))
            ),
            "4-2 do not fit the world 'apartment'; expected 5 inputs",
        ),
    ],
)
def test_bad_input_is_named(call, words):
    with pytest.raises(envs.InputError, match=words):
        call()


def test_exploded_weights_stay_in_the_world():
    world, spec = envs.load_world("apartment"), ControllerSpec()
    solutions = np.full((2, spec.n_params), 3e38, dtype=np.float32)
    solutions[:, ::2] *= -1
    rollout = rollout_controllers(world, spec, solutions)
    assert np.isfinite(rollout.info["pose"]).all() and np.isfinite(rollout.action).all()
