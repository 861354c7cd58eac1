"""The compiled part: the robot of libfastsim and small controllers, many at once.

This is one file, longer than any other of the package, on purpose: numba's cache on disk notices a
change of the file that holds a function, not of the files of the functions it calls. A kernel in
two files would keep running the old half of itself after an edit.

Everything the robot does is float32, as in libfastsim; where that library computes in double and
stores a float, so does this. Integers and float32 mixed would become double in numba, hence the
explicit casts. `Arena` is a world as the kernel wants it; `envs.simulator` makes one.
"""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numba
import numpy as np

f32 = np.float32
i64 = np.int64

TANH, RELU, LINEAR = 0, 1, 2
"""Codes of activations."""

LANES = 16
"""Controllers computed side by side on one core: a multiple of the numbers in a vector register."""


class Arena(NamedTuple):
    """A world as arrays; every look-up that a step needs is made beforehand."""

    blocked: np.ndarray
    """uint8 [H, W]: a pixel of the disc around this pixel is occupied, as `is_occupied` reads."""
    clearance: np.ndarray
    """uint8 [H, W]: chessboard distance to the nearest wall, 255 where it is more; 0 in a wall."""
    disc: np.ndarray
    """int64 [n, 2]: column and row of the disc's pixels from its centre."""
    disc_angle: np.ndarray
    """float64 [n]: direction of those pixels."""
    laser_angles: np.ndarray
    """float32 [L]"""
    laser_ranges: np.ndarray
    """float32 [L]"""
    scale: np.float32
    """Pixels per world unit."""
    radius: np.float32
    """Of the robot, world units; the wheels are twice as far apart."""


class Network(NamedTuple):
    """The shape of a controller; `archive_tools.tasks.controllers` makes one."""

    layers: np.ndarray
    """int64 [n]: neurons of each layer, inputs first."""
    hidden: int
    """Activation of the hidden layers."""
    output: int
    """Activation of the last layer."""
    scale: np.float32
    """Factor on the outputs."""
    tens: np.float32
    """Outputs are rounded to multiples of 1 / tens; 0 for no rounding."""


def compiled(**options: Any) -> Callable[[Callable], Any]:
    """numba.njit, with its cache on disk where a place for one can be written."""

    def decorate(function: Callable) -> Any:
        try:
            return numba.njit(cache=True, error_model="numpy", **options)(function)
        except RuntimeError:  # no writable place: compile anew in each process
            return numba.njit(error_model="numpy", **options)(function)

    return decorate


@compiled(inline="always")
def to_pixel(v, scale):
    """The pixel that a coordinate falls on: halves round away from zero, as C's round does."""
    product = np.float64(v * scale)
    if product >= 0.0:
        return i64(math.floor(product + 0.5))
    return i64(math.ceil(product - 0.5))


@compiled(inline="always")
def wrap_angle(angle):
    """A float32 angle in [-pi, pi], by float32 steps of a whole turn as in libfastsim."""
    while np.float64(angle) > math.pi:
        angle = f32(np.float64(angle) - 2 * math.pi)
    while np.float64(angle) < -math.pi:
        angle = f32(np.float64(angle) + 2 * math.pi)
    return angle


@compiled()
def move(x, y, theta, left, right, axle):
    """Position and heading after the wheels rolled `left` and `right` world units, no walls."""
    alpha = f32(f32(right - left) / axle)
    if abs(np.float64(alpha)) > 1e-10:
        r = f32(f32(left / alpha) + f32(axle / f32(2.0)))
        dx = (math.cos(np.float64(alpha)) - 1.0) * np.float64(r)
        dy = math.sin(np.float64(alpha)) * np.float64(r)
        angle = np.float64(f32(np.float64(theta) - math.pi / 2))
        c = math.cos(angle)
        s = math.sin(angle)
        x = f32(x + f32(dx * c - dy * s))
        y = f32(y + f32(dx * s + dy * c))
        theta = f32(wrap_angle(alpha) + theta)
    else:
        x = f32(x + f32(np.float64(left) * math.cos(np.float64(theta))))
        y = f32(y + f32(np.float64(left) * math.sin(np.float64(theta))))
    return x, y, wrap_angle(theta)


@compiled(inline="always")
def is_occupied(arena, column, row):
    """Whether a body feels a wall at a pixel, which may lie outside the map.

    Bodies read the map by its flat index, rows one after the other: beside the map lie the pixels
    of the next row (or, to the left, of the row before), above and below it everything is free.
    """
    height, width = arena.clearance.shape
    if not (0 <= column < width and 0 <= row < height):
        flat = row * width + column
        if not 0 <= flat < height * width:
            return False
        row, column = flat // width, flat % width
    return arena.clearance[row, column] == 0


@compiled()
def touch(arena, x, y, theta):
    """Whether a robot at this pose touches a wall, and its left and right bumper (0.0 or 1.0).

    Only pixels of the disc that lie in a window of 4 world units around the body are looked at,
    its upper edges excepted. With few pixels per unit the window is smaller than the disc.
    """
    column = to_pixel(x, arena.scale)
    row = to_pixel(y, arena.scale)
    side = f32(f32(arena.radius * f32(2.0)) + f32(8.0))
    corner_x = f32(f32(x - arena.radius) - f32(4.0))
    corner_y = f32(f32(y - arena.radius) - f32(4.0))
    first_i = to_pixel(corner_x, arena.scale)
    first_j = to_pixel(corner_y, arena.scale)
    end_i = to_pixel(f32(corner_x + side), arena.scale)
    end_j = to_pixel(f32(corner_y + side), arena.scale)
    collided = False
    left = f32(0.0)
    right = f32(0.0)
    for index in range(arena.disc.shape[0]):
        i = column + arena.disc[index, 0]
        j = row + arena.disc[index, 1]
        if not is_occupied(arena, i, j):
            continue
        if first_i <= i < end_i and first_j <= j < end_j:
            collided = True
            a = arena.disc_angle[index] - np.float64(theta)
            if a > math.pi:
                a -= 2 * math.pi
            elif a < -math.pi:
                a += 2 * math.pi
            a = np.float64(f32(a))
            if 0.0 < a < math.pi / 2:
                right = f32(1.0)
                if left > 0:
                    break
            elif -math.pi / 2 < a < 0.0:
                left = f32(1.0)
                if right > 0:
                    break
    return collided, left, right


@compiled()
def is_wall(arena, column, row):
    """Whether a laser ends at a pixel: outside the map it always does."""
    height, width = arena.clearance.shape
    outside = column < 0 or row < 0 or column >= width or row >= height
    return outside or arena.clearance[row, column] == 0


@compiled()
def room(arena, column, row):
    """Pixels to the nearest wall: 0 in a wall and outside the map."""
    if is_wall(arena, column, row):
        return i64(0)
    return i64(arena.clearance[row, column])


@compiled()
def cast(arena, column, row, free, end_column, end_row):
    """First wall pixel on the supercover line between two pixels, the first one excepted.

    All pixels that the segment between the pixels' centres touches are visited in order. With n
    and m the pixel distances along the major and the minor axis, `error` is the line's height over
    the lower edge of the current pixel in units of 1 / 2n of a pixel. Where the nearest wall is c
    pixels away, no pixel of the next c - 1 steps can be one: they are skipped at once, `error`
    after i steps being known in closed form.

    Args:
        column, row: where the line begins, with `free` pixels of `room`.
        end_column, end_row: where it ends.

    Returns:
        hit, column, row.
    """
    dx = end_column - column
    dy = end_row - row
    sign_x = 1 if dx >= 0 else -1
    sign_y = 1 if dy >= 0 else -1
    steep = abs(dy) >= abs(dx)
    n, m = (abs(dy), abs(dx)) if steep else (abs(dx), abs(dy))
    # One step along the major axis, and one along the minor axis.
    major_x, major_y = (0, sign_y) if steep else (sign_x, 0)
    minor_x, minor_y = (sign_x, 0) if steep else (0, sign_y)
    x, y = column, row
    buried = free == 0  # then whatever pixel the line comes to first is the hit
    error = n
    slice_ = 1.0 / (2 * n) if n > 0 else 0.0
    i = 0
    while i < n:
        if free > 1:
            i += free - 1
            if i >= n:
                return False, x, y
            total = n + 2 * m * i
            # (total - 1) // 2n; half a unit keeps the product clear of whole numbers.
            rise = i64((total - 0.5) * slice_)
            error = total - 2 * n * rise
            x = column + major_x * i + minor_x * rise
            y = row + major_y * i + minor_y * rise
            free = i64(arena.clearance[y, x])
            continue
        before = error
        i += 1
        error += 2 * m
        x += major_x
        y += major_y
        hit = buried
        if error > 2 * n:
            error -= 2 * n
            # One of the two pixels beside the diagonal step is touched, at a corner both.
            hit = hit or (before + error <= 2 * n and is_wall(arena, x, y))
            x += minor_x
            y += minor_y
            hit = hit or (before + error >= 2 * n and is_wall(arena, x - major_x, y - major_y))
        if hit or is_wall(arena, x, y):
            return True, x, y
        free = i64(arena.clearance[y, x])
    return False, x, y


@compiled()
def sense(arena, x, y, theta, obs):
    """Write the readings of all lasers into the first L places of `obs`."""
    column = to_pixel(x, arena.scale)
    row = to_pixel(y, arena.scale)
    free = room(arena, column, row)
    for index in range(arena.laser_angles.shape[0]):
        reach = arena.laser_ranges[index]
        angle = f32(theta + arena.laser_angles[index])
        end_column = to_pixel(f32(x + f32(f32(math.cos(angle)) * reach)), arena.scale)
        end_row = to_pixel(f32(y + f32(f32(math.sin(angle)) * reach)), arena.scale)
        hit, i, j = cast(arena, column, row, free, end_column, end_row)
        reading = reach
        # Pixel numbers are unsigned to the original: a hit left of or above the map is far away.
        if hit and i >= 0 and j >= 0:
            dx = f32(x - f32(f32(i) / arena.scale))
            dy = f32(y - f32(f32(j) / arena.scale))
            reading = min(f32(math.sqrt(f32(f32(dx * dx) + f32(dy * dy)))), reach)
        obs[index] = reading


@compiled()
def advance(arena, pose, left, right, obs):
    """One step of one robot.

    Args:
        pose: float32 [3], changed in place.
        left, right: displacement of the wheels, world units, clipped here; NaN counts as 0.
        obs: float32 [n_obs], written: the readings of `World.sensors`, in their order.

    Returns:
        whether the robot collided (and so kept its position).
    """
    left = clip_wheel(left)
    right = clip_wheel(right)
    x, y, theta = move(pose[0], pose[1], pose[2], left, right, f32(arena.radius * f32(2.0)))
    column = to_pixel(x, arena.scale)
    row = to_pixel(y, arena.scale)
    height, width = arena.blocked.shape
    outside = column < 0 or row < 0 or column >= width or row >= height
    collided, left_bumper, right_bumper = False, f32(0.0), f32(0.0)
    if outside or arena.blocked[row, column] != 0:
        collided, left_bumper, right_bumper = touch(arena, x, y, theta)
    if not collided:
        pose[0] = x
        pose[1] = y
    pose[2] = theta
    sense(arena, pose[0], pose[1], theta, obs)
    lasers = arena.laser_angles.shape[0]
    obs[lasers] = left_bumper
    obs[lasers + 1] = right_bumper
    return collided


@compiled(inline="always")
def clip_wheel(v):
    if v > f32(4.0):
        return f32(4.0)
    if v < f32(-4.0):
        return f32(-4.0)
    if v == v:
        return v
    return f32(0.0)


@compiled(parallel=True)
def simulate_batch(arena, actions, obs, pose, collision):
    """Open loop: `pose[:, 0]` holds the starts; fills obs, pose and collision from step 0 on."""
    steps = actions.shape[1]
    for n in numba.prange(actions.shape[0]):
        state = pose[n, 0].copy()
        for t in range(steps + 1):
            left = actions[n, t - 1, 0] if t > 0 else f32(0.0)
            right = actions[n, t - 1, 1] if t > 0 else f32(0.0)
            collision[n, t] = advance(arena, state, left, right, obs[n, t])
            pose[n, t] = state


@compiled()
def step_serial(arena, actions, obs, pose, collision):
    """One step of N robots on one thread: actions [N, 2], obs [N, n_obs], pose [N, 3]."""
    for n in range(actions.shape[0]):
        collision[n] = advance(arena, pose[n], actions[n, 0], actions[n, 1], obs[n])


@compiled(parallel=True)
def step_parallel(arena, actions, obs, pose, collision):
    """`step_serial` on all cores."""
    for n in numba.prange(actions.shape[0]):
        collision[n] = advance(arena, pose[n], actions[n, 0], actions[n, 1], obs[n])


@compiled(inline="always")
def tanh(x):
    """tanh to 4e-7 by a rational function fitted to it on [-9, 9]: a loop over it vectorises."""
    x = min(max(x, f32(-9.0)), f32(9.0))
    z = x * x
    p = f32(1.3354545e-08) * z + f32(2.0608995e-05)
    p = p * z + f32(0.0034955828)
    p = p * z + f32(0.13381021)
    p = p * z + f32(1.0)
    q = f32(7.776509e-07) * z + f32(0.0003285626)
    q = q * z + f32(0.025876962)
    q = q * z + f32(0.46714336)
    q = q * z + f32(1.0)
    return min(max(x * p / q, f32(-1.0)), f32(1.0))


@compiled(inline="always")
def round_to(value, tens):
    """Round as numpy does: rint(value * tens) / tens in float32; tens = 0 leaves it alone."""
    if tens > f32(0.0):
        return f32(f32(np.rint(f32(value * tens)) / tens) + f32(0.0))
    return value


@compiled()
def gather(solutions, first, weights):
    """Lay the weights of LANES solutions from `first` on side by side: weights [P, LANES].

    Beyond the last solution lanes repeat it; nobody reads what they compute.
    """
    for lane in range(LANES):
        n = min(first + lane, solutions.shape[0] - 1)
        for p in range(solutions.shape[1]):
            weights[p, lane] = solutions[n, p]


@compiled()
def forward(network, weights, values, spare):
    """LANES dense networks at once, one input each.

    Each lane sums in the same order and rounds alike wherever its solution stands in a batch.

    Args:
        weights: float32 [P, LANES], made by `gather`.
        values: float32 [widest, LANES], the inputs; afterwards the outputs, scaled and rounded.
        spare: float32 [widest, LANES], overwritten.
    """
    layers = network.layers
    depth = layers.shape[0] - 1
    offset = 0
    for layer in range(depth):
        n_in = layers[layer]
        n_out = layers[layer + 1]
        bias = offset + n_in * n_out
        for j in range(n_out):
            for k in range(LANES):
                spare[j, k] = weights[bias + j, k]
        for i in range(n_in):
            row = offset + i * n_out
            for j in range(n_out):
                for k in range(LANES):
                    spare[j, k] += values[i, k] * weights[row + j, k]
        kind = network.hidden if layer < depth - 1 else network.output
        for j in range(n_out):
            if kind == TANH:
                for k in range(LANES):
                    values[j, k] = tanh(spare[j, k])
            elif kind == RELU:
                for k in range(LANES):
                    values[j, k] = max(spare[j, k], f32(0.0))
            else:
                for k in range(LANES):
                    values[j, k] = spare[j, k]
        offset = bias + n_out
    for j in range(layers[depth]):
        for k in range(LANES):
            values[j, k] = round_to(f32(network.scale * values[j, k]), network.tens)


@compiled()
def forward_block(network, solutions, inputs, outputs, first):
    """Networks `first` to `first` + LANES on their inputs."""
    widest = network.layers.max()
    weights = np.empty((solutions.shape[1], LANES), dtype=f32)
    values = np.zeros((widest, LANES), dtype=f32)
    spare = np.empty((widest, LANES), dtype=f32)
    gather(solutions, first, weights)
    lanes = min(LANES, solutions.shape[0] - first)
    for k in range(lanes):
        for i in range(inputs.shape[1]):
            values[i, k] = inputs[first + k, i]
    forward(network, weights, values, spare)
    for k in range(lanes):
        for j in range(outputs.shape[1]):
            outputs[first + k, j] = values[j, k]


@compiled()
def forward_serial(network, solutions, inputs, outputs):
    """Networks on one input each: solutions [N, P], inputs [N, n_in], outputs [N, n_out]."""
    for first in range(0, solutions.shape[0], LANES):
        forward_block(network, solutions, inputs, outputs, first)


@compiled(parallel=True)
def forward_parallel(network, solutions, inputs, outputs):
    """`forward_serial` on all cores."""
    for block in numba.prange((solutions.shape[0] + LANES - 1) // LANES):
        forward_block(network, solutions, inputs, outputs, block * LANES)


@compiled(parallel=True)
def rollout_batch(arena, network, gain, solutions, obs, action, pose, collision):
    """Closed loop with recording: `pose[:, 0]` holds the starts; fills everything from step 0.

    Args:
        gain: float32 [n_obs], factors on the observations before they enter the network.
        solutions: float32 [N, P]; the rest as `envs.simulator.Simulation`, action [N, T, 2].
    """
    count = solutions.shape[0]
    widest = network.layers.max()
    steps = action.shape[1]
    sensors = gain.shape[0]
    for block in numba.prange((count + LANES - 1) // LANES):
        first = block * LANES
        weights = np.empty((solutions.shape[1], LANES), dtype=f32)
        values = np.zeros((widest, LANES), dtype=f32)
        spare = np.empty((widest, LANES), dtype=f32)
        state = np.empty((LANES, 3), dtype=f32)
        gather(solutions, first, weights)
        lanes = min(LANES, count - first)
        state[:lanes] = pose[first : first + lanes, 0]
        for t in range(steps + 1):
            for k in range(lanes):
                n = first + k
                left = values[0, k] if t > 0 else f32(0.0)
                right = values[1, k] if t > 0 else f32(0.0)
                if t > 0:
                    action[n, t - 1, 0] = left
                    action[n, t - 1, 1] = right
                collision[n, t] = advance(arena, state[k], left, right, obs[n, t])
                for i in range(3):
                    pose[n, t, i] = state[k, i]
                for i in range(sensors):
                    values[i, k] = obs[n, t, i] * gain[i]
            if t < steps:
                forward(network, weights, values, spare)
