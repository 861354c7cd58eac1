"""The simulator against recordings of the real libfastsim and against a plain oracle."""

from dataclasses import replace
from pathlib import Path

import fastsim_oracle as oracle
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import envs
from envs import kernel
from envs.simulator import Robots, arena_of, round_actions
from envs.world import Goal, Robot, World

RECORDINGS = Path(__file__).parents[2] / "shared" / "reference" / "fastsim_apartment.npz"


def assert_matches_oracle(world, actions, simulation, robot=0):
    start = world.robot
    state = oracle.reset(world, start.x, start.y, start.theta)
    for t in range(len(actions) + 1):
        if t:
            state = oracle.step(world, state, *actions[t - 1])
        pose = np.array([state.x, state.y, state.theta])
        np.testing.assert_array_equal(simulation.pose[robot, t], pose, err_msg=f"pose, step {t}")
        assert simulation.collision[robot, t] == state.collided, f"collision, step {t}"
        np.testing.assert_array_equal(
            simulation.obs[robot, t], np.array(state.obs, dtype=np.float32), err_msg=f"step {t}"
        )


@pytest.mark.skipif(not RECORDINGS.exists(), reason="the recordings of libfastsim are not here")
def test_recordings_of_libfastsim_are_reproduced_bit_for_bit():
    recorded = np.load(RECORDINGS)
    simulation = envs.simulate(envs.load_world("apartment"), recorded["actions"])
    np.testing.assert_array_equal(simulation.pose, recorded["poses"])
    np.testing.assert_array_equal(simulation.obs, recorded["obs"])
    np.testing.assert_array_equal(simulation.collision, recorded["collisions"])
    assert recorded["collisions"].any()


def test_apartment_matches_the_oracle():
    world = envs.load_world("apartment")
    actions = np.random.default_rng(3).uniform(-2, 6, (2, 120, 2)).astype(np.float32)
    simulation = envs.simulate(world, actions)
    for robot in range(2):
        assert_matches_oracle(world, actions[robot], simulation, robot)
    assert simulation.collision.any()


@st.composite
def worlds(draw):
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    width = draw(st.sampled_from([8, 16, 24, 40, 64]))
    scale = draw(st.sampled_from([0.1, 0.2, 1 / 3, 0.5, 1.0, 1.7]))
    size = width / scale * draw(st.sampled_from([1.0, 1.0013]))
    occupied = rng.random((width, width)) < draw(st.sampled_from([0.0, 0.01, 0.05]))
    for _ in range(draw(st.integers(0, 4))):
        x, y, w, h = rng.integers(0, width, 4)
        occupied[y : y + h // 3 + 1, x : x + w // 3 + 1] = True
    if draw(st.booleans()):  # half the worlds can be left
        occupied[[0, -1]] = occupied[:, [0, -1]] = True
    occupied[-1, -8:] = False
    lasers = draw(st.integers(0, 5))
    x, y = rng.uniform(0, 0.98 * size, 2)
    if draw(st.booleans()):  # on and between the middles of pixels
        x, y = (int(v * scale) / scale + rng.choice([0, 0.5]) / scale for v in (x, y))
    column, row = int(x * scale + 0.5), int(y * scale + 0.5)
    occupied[max(row - 1, 0) : row + 2, max(column - 1, 0) : column + 2] = False
    radius = draw(st.sampled_from([0.05, 0.3, 0.6, 1.0, 1.56, 2.2])) / scale
    theta = draw(st.sampled_from([0.0, np.pi / 4, np.pi / 2, -np.pi / 2, np.pi, -np.pi, 7.5]))
    try:
        return World(
            name="random",
            size=size,
            occupied=occupied,
            robot=Robot(x, y, theta, radius),
            laser_angles=rng.choice(
                [0, np.pi / 4, -np.pi / 2, np.pi, *rng.uniform(-6, 6, 3)], lasers
            ),
            laser_ranges=rng.choice([0.5, 20, 100, *rng.uniform(1, 3 * size, 3)], lasers),
        )
    except envs.InputError:  # no room for this robot here
        occupied[:] = False
        return World(
            "random", size, occupied, Robot(size / 2, size / 2, theta, radius), [0.3], [size]
        )


@given(worlds(), st.integers(0, 2**32 - 1), st.sampled_from(["any", "straight", "tenths", "ahead"]))
@settings(max_examples=250, deadline=None, derandomize=True)
def test_random_worlds_match_the_oracle(world, seed, kind):
    actions = np.random.default_rng(seed).uniform(-5, 5, (1, 15, 2)).astype(np.float32)
    if kind == "straight":
        actions[..., 1] = actions[..., 0]
    if kind == "tenths":
        actions = round_actions(actions, 1)
    if kind == "ahead":  # into walls, or out of the map
        actions = np.abs(actions)
    assert_matches_oracle(world, actions[0], envs.simulate(world, actions))


def bare(occupied: np.ndarray, x: float, y: float, theta: float = 0.0, **changes) -> World:
    """A world of one unit per pixel with a robot of radius 2 and lasers to four sides."""
    options = {"size": float(len(occupied)), "radius": 2.0, "range": 20.0} | changes
    turns = np.radians([0, 90, 180, 270])
    robot = Robot(x, y, theta, options["radius"])
    return World("bare", options["size"], occupied, robot, turns, np.full(4, options["range"]))


def test_a_map_without_outer_walls_can_be_left():
    world = bare(np.zeros((32, 32), bool), 4, 20, np.pi)
    drive = envs.simulate(world, np.full((1, 10, 2), 2.0))
    assert not drive.collision.any() and drive.pose[0, -1, 0] == pytest.approx(-16)
    # A laser ends at the map's edge: on the far side where it leaves, here unmeasurably far.
    assert drive.obs[0, 0, 0] == 20 and drive.obs[0, 0, 2] == 20
    inside = bare(np.zeros((32, 32), bool), 20, 20)
    np.testing.assert_array_equal(envs.simulate(inside, np.zeros((1, 0, 2))).obs[0, 0, :4],
                                  [12, 12, 20, 20])  # fmt: skip


def test_beside_the_map_a_body_feels_the_neighbouring_rows():
    occupied = np.zeros((32, 32), bool)
    occupied[:, 0] = True  # the western wall, seen again behind the eastern edge
    drive = envs.simulate(bare(occupied, 24, 16), np.full((1, 10, 2), 1.0))
    assert drive.collision[0, -1] and drive.pose[0, -1, 0] == 29
    above = envs.simulate(bare(occupied.T, 16, 24, np.pi / 2), np.full((1, 30, 2), 1.0))
    assert not above.collision.any(), "below the map there is nothing"


def test_few_pixels_per_unit_cut_the_robots_disc():
    occupied = np.zeros((40, 40), bool)
    occupied[:, 30] = True
    # A disc of 3 pixels around pixel 27, of which the window shows 2 to the right.
    world = bare(occupied, 265.2, 200, size=400.0, radius=25.6, range=300.0)
    assert world.radius_pixels == 3 and world.blocked[20, 27]
    assert not envs.simulate(world, np.zeros((1, 1, 2))).collision.any()
    nearer = envs.simulate(world, np.zeros((1, 1, 2)), start=[276.0, 200, 0])
    assert nearer.collision.all()


def test_a_small_robot_turns_more_than_once_in_a_step():
    world = bare(np.zeros((32, 32), bool), 16, 16, 3.0, radius=0.1)
    actions = np.array([[[-4, 4], [4, -4], [-4, 3.9], [0.1, 4]]], np.float32)
    drive = envs.simulate(world, actions)
    assert (np.abs(drive.pose[..., 2]) <= np.float32(np.pi)).all()
    assert_matches_oracle(world, actions[0], drive)


@given(
    st.integers(0, 2**32 - 1),
    st.tuples(*[st.integers(0, 31)] * 2),
    st.tuples(*[st.integers(-40, 80)] * 2),
)
@settings(max_examples=300, deadline=None, derandomize=True)
def test_lines_match_the_oracle(seed, start, end):
    occupied = np.random.default_rng(seed).random((32, 32)) < 0.02
    world = replace(envs.load_world("apartment"), size=32.0, occupied=np.zeros((32, 32), bool),
                    robot=Robot(16, 16, 0, 1), goal=None, scene=None)  # fmt: skip
    occupied[16, 16] = False
    world = replace(world, occupied=occupied, robot=Robot(16, 16, 0, 0.2))
    arena = arena_of(world)
    hit, x, y = kernel.cast(arena, *start, kernel.room(arena, *start), *end)
    assert ((x, y) if hit else None) == oracle.first_hit(world, start, end)


def test_any_start_and_number_of_sensors():
    world = envs.load_world("apartment")
    world = replace(
        world,
        laser_angles=np.linspace(-3, 3, 32, dtype=np.float32),
        laser_ranges=np.full(32, 250, dtype=np.float32),
        robot=Robot(300, 300, -2.0, 14.0),
    )
    simulation = envs.simulate(world, np.ones((2, 5, 2)))
    assert simulation.obs.shape == (2, 6, 34) and simulation.obs.dtype == np.float32
    assert simulation.pose.shape == (2, 6, 3) and simulation.collision.dtype == np.bool_
    assert_matches_oracle(world, np.ones((5, 2)), simulation)
    moved = envs.simulate(world, np.ones((2, 5, 2)), start=[[100, 90, 0.5], [500, 90, 1]])
    np.testing.assert_array_equal(moved.pose[:, 0, 0], [100, 500])


def test_actions_are_clipped_and_not_rounded():
    world = envs.load_world("apartment")
    clipped = envs.simulate(world, np.full((1, 3, 2), 4.0))
    np.testing.assert_array_equal(envs.simulate(world, np.full((1, 3, 2), 9.0)).pose, clipped.pose)
    a = envs.simulate(world, np.full((1, 3, 2), 0.51)).pose
    b = envs.simulate(world, np.full((1, 3, 2), 0.5)).pose
    assert (a[:, 1:] != b[:, 1:]).any()


@pytest.mark.parametrize("count", [3, 1100])
def test_stepping_equals_the_batch(count):
    world = envs.load_world("apartment")
    actions = np.random.default_rng(0).uniform(-4, 4, (count, 12, 2)).astype(np.float32)
    simulation = envs.simulate(world, actions)
    robots = Robots(world, count)
    robots.reset()
    for t in range(13):
        if t:
            robots.step(actions[:, t - 1])
        np.testing.assert_array_equal(robots.obs, simulation.obs[:, t])
        np.testing.assert_array_equal(robots.pose, simulation.pose[:, t])
        np.testing.assert_array_equal(robots.collision, simulation.collision[:, t])


@pytest.mark.parametrize(
    "actions, start, words",
    [
        (np.zeros((3, 2)), None, r"shape \[3, 2\]"),
        (np.zeros((1, 3, 3)), None, r"shape \[1, 3, 3\]"),
        (np.full((1, 3, 2), np.nan), None, "NaN"),
        (np.zeros((1, 3, 2)), [1.0, 1.0], r"start has shape \[2\]"),
        (np.zeros((1, 3, 2)), [3.0, 3.0, 0.0], "inside a wall"),
        (np.zeros((1, 3, 2)), [300.0, -50.0, 0.0], "outside the world"),
        (np.zeros((1, 3, 2)), [np.nan, 300.0, 0.0], "start 0"),
    ],
)
def test_bad_input_is_named(actions, start, words):
    with pytest.raises(envs.InputError, match=words):
        envs.simulate(envs.load_world("apartment"), actions, start)


def test_goal_needs_no_scene():
    world = replace(envs.load_world("apartment"), scene=None, goal=Goal(60, 450, 5))
    assert envs.simulate(world, np.zeros((0, 4, 2))).obs.shape == (0, 5, 5)
