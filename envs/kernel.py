"""The compiled part: the robot of libfastsim and small controllers, many at once.

All compiled functions are in this one file on purpose: numba's cache on disk notices a change of
the file that holds a function, not of the files of the functions it calls.

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


class Arena(NamedTuple):
    """A world as arrays; every look-up that a step needs is made beforehand."""

    blocked: np.ndarray
    """uint8 [H, W]: a robot centred on this pixel touches a wall."""
    clearance: np.ndarray
    """int32 [H, W]: chessboard distance to the nearest wall; 0 in a wall."""
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
    axle: np.float32
    """Distance between the wheels, world units."""


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
        theta = f32(theta + alpha)
    else:
        x = f32(x + f32(np.float64(left) * math.cos(np.float64(theta))))
        y = f32(y + f32(np.float64(left) * math.sin(np.float64(theta))))
    while np.float64(theta) > math.pi:
        theta = f32(np.float64(theta) - 2 * math.pi)
    while np.float64(theta) < -math.pi:
        theta = f32(np.float64(theta) + 2 * math.pi)
    return x, y, theta


@compiled()
def bumpers(arena, column, row, theta):
    """Left and right bumper (0.0 or 1.0) of a robot centred on this pixel that touches a wall."""
    height, width = arena.clearance.shape
    left = f32(0.0)
    right = f32(0.0)
    for index in range(arena.disc.shape[0]):
        i = column + arena.disc[index, 0]
        j = row + arena.disc[index, 1]
        if i < 0 or j < 0 or i >= width or j >= height or arena.clearance[j, i] == 0:
            a = arena.disc_angle[index] - np.float64(theta)
            if a > math.pi:
                a -= 2 * math.pi
            elif a < -math.pi:
                a += 2 * math.pi
            if 0.0 < a < math.pi / 2:
                right = f32(1.0)
                if left > 0:
                    break
            elif -math.pi / 2 < a < 0.0:
                left = f32(1.0)
                if right > 0:
                    break
    return left, right


@compiled()
def is_wall(arena, column, row):
    height, width = arena.clearance.shape
    outside = column < 0 or row < 0 or column >= width or row >= height
    return outside or arena.clearance[row, column] == 0


@compiled()
def cast(arena, column, row, end_column, end_row):
    """First wall pixel on the supercover line between two pixels, the first one excepted.

    All pixels that the segment between the pixels' centres touches are visited in order. With n
    and m the pixel distances along the major and the minor axis, `error` is the line's height over
    the lower edge of the current pixel in units of 1 / 2n of a pixel. Where the nearest wall is c
    pixels away, no pixel of the next c - 1 steps can be one: they are skipped at once, `error`
    after i steps being known in closed form.

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
    free = arena.clearance[row, column]
    buried = free == 0  # then whatever pixel the line comes to first is the hit
    error = n
    i = 0
    while i < n:
        if free > 3:
            i += free - 1
            if i >= n:
                return False, x, y
            total = n + 2 * m * i
            rise = (total - 1) // (2 * n)
            error = total - 2 * n * rise
            x = column + major_x * i + minor_x * rise
            y = row + major_y * i + minor_y * rise
            free = arena.clearance[y, x]
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
        free = arena.clearance[y, x]
    return False, x, y


@compiled()
def sense(arena, x, y, theta, obs):
    """Write the readings of all lasers into the first L places of `obs`."""
    column = to_pixel(x, arena.scale)
    row = to_pixel(y, arena.scale)
    for index in range(arena.laser_angles.shape[0]):
        reach = arena.laser_ranges[index]
        angle = f32(theta + arena.laser_angles[index])
        end_column = to_pixel(f32(x + f32(f32(math.cos(angle)) * reach)), arena.scale)
        end_row = to_pixel(f32(y + f32(f32(math.sin(angle)) * reach)), arena.scale)
        hit, i, j = cast(arena, column, row, end_column, end_row)
        reading = reach
        if hit:
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
        obs: float32 [L + 2], written: lasers, left bumper, right bumper.

    Returns:
        whether the robot collided (and so kept its position).
    """
    left = clip_wheel(left)
    right = clip_wheel(right)
    x, y, theta = move(pose[0], pose[1], pose[2], left, right, arena.axle)
    column = to_pixel(x, arena.scale)
    row = to_pixel(y, arena.scale)
    height, width = arena.blocked.shape
    outside = column < 0 or row < 0 or column >= width or row >= height
    collided = outside or arena.blocked[row, column] != 0
    lasers = arena.laser_angles.shape[0]
    if collided:
        obs[lasers], obs[lasers + 1] = bumpers(arena, column, row, theta)
    else:
        pose[0] = x
        pose[1] = y
        obs[lasers] = f32(0.0)
        obs[lasers + 1] = f32(0.0)
    pose[2] = theta
    sense(arena, pose[0], pose[1], theta, obs)
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
    """One step of N robots on one thread: actions [N, 2], obs [N, L + 2], pose [N, 3]."""
    for n in range(actions.shape[0]):
        collision[n] = advance(arena, pose[n], actions[n, 0], actions[n, 1], obs[n])


@compiled(parallel=True)
def step_parallel(arena, actions, obs, pose, collision):
    """`step_serial` on all cores."""
    for n in numba.prange(actions.shape[0]):
        collision[n] = advance(arena, pose[n], actions[n, 0], actions[n, 1], obs[n])


@compiled()
def forward(layers, hidden, last, solution, values, spare):
    """A dense network on one input.

    Args:
        layers: int64 [n], neurons of each layer, inputs first.
        hidden, last: codes of the activation of the hidden layers and of the last one.
        solution: float32 [P]: per layer W row-major [n_in, n_out], then b [n_out].
        values: float32 [max(layers)], the inputs; afterwards the outputs.
        spare: float32 [max(layers)], overwritten.
    """
    offset = 0
    depth = layers.shape[0] - 1
    for layer in range(depth):
        n_in = layers[layer]
        n_out = layers[layer + 1]
        bias = offset + n_in * n_out
        for j in range(n_out):
            spare[j] = solution[bias + j]
        for i in range(n_in):
            value = values[i]
            row = offset + i * n_out
            for j in range(n_out):
                spare[j] += value * solution[row + j]
        kind = hidden if layer < depth - 1 else last
        if kind == 0:
            for j in range(n_out):
                values[j] = f32(math.tanh(spare[j]))
        elif kind == 1:
            for j in range(n_out):
                values[j] = max(spare[j], f32(0.0))
        else:
            for j in range(n_out):
                values[j] = spare[j]
        offset = bias + n_out


@compiled(inline="always")
def round_to(value, tens):
    """Round as numpy does: rint(value * tens) / tens in float32; tens = 0 leaves it alone."""
    if tens > f32(0.0):
        return f32(f32(np.rint(f32(value * tens)) / tens) + f32(0.0))
    return value


@compiled(parallel=True)
def forward_batch(layers, hidden, last, scale, tens, solutions, inputs, outputs):
    """Networks on one input each: solutions [N, P], inputs [N, n_in], outputs [N, n_out]."""
    widest = layers.max()
    for n in numba.prange(solutions.shape[0]):
        values = np.empty(widest, dtype=f32)
        spare = np.empty(widest, dtype=f32)
        values[: layers[0]] = inputs[n]
        forward(layers, hidden, last, solutions[n], values, spare)
        for j in range(layers[-1]):
            outputs[n, j] = round_to(f32(scale * values[j]), tens)


@compiled()
def decide(layers, hidden, last, scale, tens, gain, solution, obs, values, spare):
    """The action (left, right) of one controller on one observation."""
    for i in range(layers[0]):
        values[i] = obs[i] * gain[i]
    forward(layers, hidden, last, solution, values, spare)
    return round_to(f32(scale * values[0]), tens), round_to(f32(scale * values[1]), tens)


@compiled(parallel=True)
def rollout_batch(
    arena, layers, hidden, last, scale, tens, gain, solutions, obs, action, pose, collision
):
    """Closed loop with recording: `pose[:, 0]` holds the starts; fills everything from step 0."""
    widest = layers.max()
    steps = action.shape[1]
    for n in numba.prange(solutions.shape[0]):
        values = np.empty(widest, dtype=f32)
        spare = np.empty(widest, dtype=f32)
        state = pose[n, 0].copy()
        left = f32(0.0)
        right = f32(0.0)
        for t in range(steps + 1):
            collision[n, t] = advance(arena, state, left, right, obs[n, t])
            pose[n, t] = state
            if t < steps:
                left, right = decide(
                    layers, hidden, last, scale, tens, gain, solutions[n], obs[n, t], values, spare
                )
                action[n, t, 0] = left
                action[n, t, 1] = right


@compiled(parallel=True)
def final_batch(arena, layers, hidden, last, scale, tens, gain, solutions, steps, pose):
    """Closed loop without recording: pose [N, 3] holds the starts, afterwards the ends."""
    widest = layers.max()
    for n in numba.prange(solutions.shape[0]):
        values = np.empty(widest, dtype=f32)
        spare = np.empty(widest, dtype=f32)
        obs = np.empty(layers[0], dtype=f32)
        left = f32(0.0)
        right = f32(0.0)
        for t in range(steps + 1):
            advance(arena, pose[n], left, right, obs)
            if t < steps:
                left, right = decide(
                    layers, hidden, last, scale, tens, gain, solutions[n], obs, values, spare
                )
