"""A slow, plain re-derivation of one step of the robot, to hold the compiled kernel against.

It shares no code and no trick with the kernel: the disc is scanned pixel by pixel, the supercover
line is found with exact fractions, and no table is made beforehand. The benchmark times it too.
"""

import math
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

f32 = np.float32


@dataclass
class State:
    """Pose (float32) and sensors of one robot."""

    x: np.float32
    y: np.float32
    theta: np.float32
    obs: list[float]
    collided: bool


def reset(world, x, y, theta) -> State:
    """The robot at a pose, its sensors filled by a step that moves nothing."""
    return step(world, State(f32(x), f32(y), f32(theta), [], False), 0.0, 0.0)


def step(world, state: State, left, right) -> State:
    """The state after the wheels rolled `left` and `right` world units."""
    left, right = (f32(min(max(v, -4.0), 4.0)) for v in (left, right))
    scale = f32(world.occupied.shape[1]) / f32(world.size)
    x, y, theta = _roll(state, left, right, f32(2) * f32(world.robot.radius))
    collided, left_bumper, right_bumper = _touch(world, x, y, theta, scale)
    if collided:
        x, y = state.x, state.y
    lasers = [
        _laser(world, x, y, theta, f32(angle), f32(reach), scale)
        for angle, reach in zip(world.laser_angles, world.laser_ranges, strict=True)
    ]
    return State(x, y, theta, [*lasers, left_bumper, right_bumper], collided)


def _roll(state, left, right, axle):
    alpha = (right - left) / axle
    theta = float(state.theta)
    if abs(float(alpha)) > 1e-10:
        radius = float(left / alpha + axle / f32(2))
        across = (math.cos(float(alpha)) - 1) * radius
        along = math.sin(float(alpha)) * radius
        turn = float(f32(theta - math.pi / 2))
        dx = across * math.cos(turn) - along * math.sin(turn)
        dy = across * math.sin(turn) + along * math.cos(turn)
    else:
        alpha = f32(0)
        dx, dy = float(left) * math.cos(theta), float(left) * math.sin(theta)
    return state.x + f32(dx), state.y + f32(dy), _wrap(_wrap(alpha) + state.theta)


def _wrap(angle):
    while float(angle) > math.pi:
        angle = f32(float(angle) - 2 * math.pi)
    while float(angle) < -math.pi:
        angle = f32(float(angle) + 2 * math.pi)
    return angle


def _pixel(v, scale) -> int:
    v = float(f32(v) * scale)
    return int(math.copysign(math.floor(abs(v) + 0.5), v))


def _wall(world, column, row) -> bool:
    height, width = world.occupied.shape
    if not (0 <= column < width and 0 <= row < height):
        return True
    return bool(world.occupied[row, column])


def _felt(world, column, row) -> bool:
    """A body reads the map as one flat list of rows, and nothing before and behind it."""
    place = row * world.occupied.shape[1] + column
    return 0 <= place < world.occupied.size and bool(world.occupied.flat[place])


def _touch(world, x, y, theta, scale):
    cx, cy = _pixel(x, scale), _pixel(y, scale)
    radius = f32(world.robot.radius)
    reach = _pixel(radius, scale)
    side = radius * f32(2) + f32(8)
    left_edge, top_edge = x - radius - f32(4), y - radius - f32(4)
    collided, left, right = False, 0.0, 0.0
    for i in range(_pixel(left_edge, scale), _pixel(left_edge + side, scale)):
        for j in range(_pixel(top_edge, scale), _pixel(top_edge + side, scale)):
            if (i - cx) ** 2 + (j - cy) ** 2 <= reach**2 and _felt(world, i, j):
                collided = True
                a = math.atan2(j - cy, i - cx) - float(theta)
                while a > math.pi:
                    a -= 2 * math.pi
                while a < -math.pi:
                    a += 2 * math.pi
                a = float(f32(a))
                if 0 < a < math.pi / 2:
                    right = 1.0
                if -math.pi / 2 < a < 0:
                    left = 1.0
    return collided, left, right


def _laser(world, x, y, theta, angle, reach, scale) -> float:
    direction = float(theta + angle)
    end_x = x + f32(math.cos(direction)) * reach
    end_y = y + f32(math.sin(direction)) * reach
    start = (_pixel(x, scale), _pixel(y, scale))
    hit = first_hit(world, start, (_pixel(end_x, scale), _pixel(end_y, scale)))
    if hit is None or min(hit) < 0:  # pixel numbers are unsigned: -1 is very far away
        return float(reach)
    dx, dy = x - f32(hit[0]) / scale, y - f32(hit[1]) / scale
    return float(min(np.sqrt(dx * dx + dy * dy), reach))


def first_hit(world, start, end):
    """Where the supercover line from pixel to pixel first meets a wall, or None."""
    dx, dy = end[0] - start[0], end[1] - start[1]
    vertical = abs(dy) >= abs(dx)
    n, m = (abs(dy), abs(dx)) if vertical else (abs(dx), abs(dy))

    def at(major, minor):
        along = (0, major) if vertical else (major, 0)
        beside = (minor, 0) if vertical else (0, minor)
        return (
            start[0] + (along[0] + beside[0]) * (1 if dx >= 0 else -1),
            start[1] + (along[1] + beside[1]) * (1 if dy >= 0 else -1),
        )

    minor = 0
    for major in range(1, n + 1):
        touched = []
        height = Fraction(m * major, n)  # of the line at the centre of this row of pixels
        if height > minor + Fraction(1, 2):
            edge = Fraction(m * (2 * major - 1), 2 * n)  # and half a pixel before
            if edge <= minor + Fraction(1, 2):
                touched.append(at(major, minor))
            if edge >= minor + Fraction(1, 2):
                touched.append(at(major - 1, minor + 1))
            minor += 1
        touched.append(at(major, minor))
        if any(_wall(world, *pixel) for pixel in touched) or _wall(world, *start):
            return at(major, minor)
    return None
