"""The batched simulator: arrays of actions in, recordings out.

The robot is that of libfastsim, bit for bit: two wheels, a round body, lasers and two bumpers.
The compiled loops are in `envs.kernel`; here is what is checked and prepared before them.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from envs import kernel
from envs.errors import InputError, require_memory
from envs.world import World

# Below this number of robots a single step takes under a millisecond on one core: threads would
# save little, and cost much where other processes or PyTorch's own threads want the cores too.
PARALLEL_ROBOTS = 1024


@dataclass(frozen=True)
class Simulation:
    """Recorded drives of N robots over T steps; index 0 is the state after reset."""

    obs: np.ndarray
    """float32 [N, T + 1, n_obs]: the readings of `World.sensors`."""
    pose: np.ndarray
    """float32 [N, T + 1, 3]: x, y (world units, y down), heading (radians)."""
    collision: np.ndarray
    """bool [N, T + 1]: the step ran into a wall and left the position as it was."""


def arena_of(world: World) -> kernel.Arena:
    """The world as the kernel wants it."""
    radius = world.radius_pixels
    row, column = np.mgrid[-radius : radius + 1, -radius : radius + 1]
    inside = column**2 + row**2 <= radius**2
    disc = np.stack([column[inside], row[inside]], axis=1).astype(np.int64)
    return kernel.Arena(
        blocked=world.blocked.astype(np.uint8),
        clearance=np.minimum(world.clearance, 255).astype(np.uint8),
        disc=disc,
        disc_angle=np.array([math.atan2(j, i) for i, j in disc.tolist()]),
        laser_angles=world.laser_angles.copy(),
        laser_ranges=world.laser_ranges.copy(),
        scale=np.float32(world.scale),
        radius=np.float32(world.robot.radius),
    )


def as_kernel_input(values: ArrayLike) -> np.ndarray:
    """The values as a float32 array of the one kind that the kernel is compiled for.

    A read-only or strided array would work too, but be compiled for anew, which takes seconds.
    """
    return np.require(values, np.float32, ["C", "A", "W"])


def start_poses(world: World, count: int, start: ArrayLike | None = None) -> np.ndarray:
    """Poses before the reset step.

    Args:
        count: robots, N.
        start: None for the world's start, [3] for one that all share, or [N, 3]: x, y (world
            units, y down), heading (radians).

    Returns:
        float32 [N, 3].

    Raises:
        InputError: wrong shape, NaN, a start inside a wall.
    """
    if start is None:
        robot = world.robot
        start = np.array([robot.x, robot.y, robot.theta])
    poses = np.asarray(start, dtype=np.float32)
    if poses.shape not in ((3,), (count, 3)):
        raise InputError(
            f"start has shape {list(poses.shape)}; expected [3] or [{count}, 3]: x, y, heading"
        )
    places, first = np.unique(poses.reshape(-1, 3), axis=0, return_index=True)
    for index, pose in sorted(zip(first.tolist(), places, strict=True), key=lambda pair: pair[0]):
        if not np.isfinite(pose).all():
            raise InputError(f"start {index} is {pose.tolist()}; expected numbers: x, y, heading")
        problem = world.start_problem(pose[0], pose[1])
        if problem is not None:
            raise InputError(f"start {index} ({pose[0]:g}, {pose[1]:g}) {problem}")
    return np.array(np.broadcast_to(poses, (count, 3)), order="C")


def simulate(world: World, actions: ArrayLike, start: ArrayLike | None = None) -> Simulation:
    """Drive N robots open loop, all cores at once.

    Args:
        world: where.
        actions: [N, T, 2]: displacement of the left and the right wheel in each step, world units,
            clipped to ±4. Not rounded.
        start: [3] or [N, 3] (x, y, heading) instead of the world's start.

    Returns:
        obs [N, T + 1, n_obs], pose [N, T + 1, 3], collision [N, T + 1].

    Raises:
        InputError: wrong shape or NaN in the actions; a start that is not on free floor.
    """
    actions = as_kernel_input(actions)
    if actions.ndim != 3 or actions.shape[2] != 2:
        raise InputError(
            f"actions have shape {list(actions.shape)}; expected [robots, steps, 2] (left, right)"
        )
    if np.isnan(actions).any():
        robot, step, _ = np.argwhere(np.isnan(actions))[0]
        raise InputError(f"actions of robot {robot} at step {step} are NaN; expected numbers")
    count, steps, _ = actions.shape
    recording = empty_recording(world, count, steps, start)
    kernel.simulate_batch(
        arena_of(world), actions, recording.obs, recording.pose, recording.collision
    )
    return recording


def empty_recording(
    world: World, count: int, steps: int, start: ArrayLike | None = None
) -> Simulation:
    """Room for a recording, with the starts in `pose[:, 0]` and the rest not yet written."""
    each = 4 * (3 + world.n_obs + 2) + 1  # bytes of a step: pose, observation, action, collision
    require_memory(
        float(count) * (steps + 1) * each, f"{count:,} drives of {steps:,} steps at once"
    )
    pose = np.empty((count, steps + 1, 3), dtype=np.float32)
    pose[:, 0] = start_poses(world, count, start)
    return Simulation(
        obs=np.empty((count, steps + 1, world.n_obs), dtype=np.float32),
        pose=pose,
        collision=np.empty((count, steps + 1), dtype=np.bool_),
    )


class Robots:
    """N robots that are driven step by step, as the Gymnasium environments do."""

    pose: np.ndarray
    """float32 [N, 3]: x, y (world units, y down), heading."""
    obs: np.ndarray
    """float32 [N, n_obs]: the readings of `World.sensors`."""
    collision: np.ndarray
    """bool [N]"""

    def __init__(self, world: World, count: int) -> None:
        self.world = world
        self.arena = arena_of(world)
        self.pose = np.empty((count, 3), dtype=np.float32)
        self.obs = np.empty((count, world.n_obs), dtype=np.float32)
        self.collision = np.zeros(count, dtype=np.bool_)
        self._step = kernel.step_serial if count < PARALLEL_ROBOTS else kernel.step_parallel

    def reset(self, start: ArrayLike | None = None, mask: np.ndarray | None = None) -> None:
        """Put robots at the start, with their sensors filled by a step that moves nothing.

        Args:
            start: None, [3] or [N, 3] as in `start_poses`.
            mask: bool [N], which robots; all without it.
        """
        poses = start_poses(self.world, len(self.pose), start)
        chosen = np.flatnonzero(np.ones(len(poses), dtype=bool) if mask is None else mask)
        if not len(chosen):
            return
        pose = np.ascontiguousarray(poses[chosen])
        obs = np.empty((len(chosen), self.world.n_obs), dtype=np.float32)
        collision = np.zeros(len(chosen), dtype=np.bool_)
        still = np.zeros((len(chosen), 2), dtype=np.float32)
        self._step(self.arena, still, obs, pose, collision)
        self.pose[chosen], self.obs[chosen], self.collision[chosen] = pose, obs, collision

    def step(self, actions: np.ndarray) -> None:
        """Move all robots: actions [N, 2], world units. NaN counts as 0."""
        actions = as_kernel_input(actions)
        self._step(self.arena, actions, self.obs, self.pose, self.collision)


def round_actions(actions: ArrayLike, decimals: int | None) -> np.ndarray:
    """Round as the controllers and environments do (float32); None leaves them as they are."""
    actions = np.asarray(actions, dtype=np.float32)
    if decimals is None:
        return actions
    tens = np.float32(10**decimals)
    # Adding 0 turns -0.0 into 0.0, so that equal actions have equal bytes.
    return np.rint(actions * tens) / tens + np.float32(0)
