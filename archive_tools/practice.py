"""Practice drives: more ways to learn from a trajectory than the one that was recorded.

A policy that only saw elites drive has never seen a state from which it must come back: its own
small errors lead it where nothing was ever shown (Ross et al. 2011, arXiv 1011.0686). And an
archive shows each place as the end of few drives, although its trajectories pass through it
thousands of times. So robots drive along the recorded trajectories of the training split again,
under disturbances, some only a part of the way, where they stop and hold:

- the action taken is disturbed, the action to learn (`target`) leads back to the trajectory: DART
  (Laskey et al. 2017, arXiv 1703.09327), with a path-following controller as the teacher
  (Kanayama et al. 1990, A stable tracking control method for an autonomous mobile robot);
- whatever a drive reached is its BD, and what it passed is described anew: hindsight relabelling
  (Andrychowicz et al. 2017; Ghosh et al. 2019, arXiv 1912.06088).

Only trajectories of the training split are driven, and a drive that comes to lie in what the split
withholds (a region, a way to a place) is dropped.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from envs.navigation import NavigationVectorEnv
from envs.world import MAX_WHEEL, World

Floats = NDArray[np.float32]
HOLD = 80
"""Steps that are kept of a robot holding at its end: enough to learn to stay."""


@dataclass(frozen=True)
class Disturbance:
    """What happens to the actions of a practice drive."""

    full: float = 0.3
    """Share of the drives that go all the way."""
    calm: float = 0.2
    """Share of the drives without any disturbance."""
    noise: float = 1.5
    """Largest spread of the noise on each wheel, in units per step; drawn per drive."""
    memory: float = 0.9
    """The noise's autocorrelation from one step to the next (Ornstein-Uhlenbeck)."""
    push: float = 0.004
    """Chance per step that the wheels do as they like for 4 to 13 steps."""


@dataclass(frozen=True)
class Drives:
    """N practice drives of T steps; `lengths` says how much of each is worth learning from."""

    source: NDArray[np.int64]
    """[N] row of the trajectory that was followed."""
    lengths: NDArray[np.int64]
    """[N] steps."""
    obs: Floats
    """[N, T + 1, n_obs]; index 0 is the state after reset."""
    action: Floats
    """[N, T, 2], as applied."""
    target: Floats
    """[N, T, 2], as the teacher would have acted."""
    pose: Floats
    """[N, T + 1, 3]: x, y (world units, y down), heading (radians)."""


def practise(
    world: World,
    pose: Floats,
    action: Floats,
    rng: np.random.Generator,
    *,
    disturbance: Disturbance | None = None,
    action_decimals: int | None = 1,
    progress: bool = False,
) -> Drives:
    """Drive once along each of N trajectories.

    Args:
        world: where they were recorded; all of them from its start.
        pose: [N, T + 1, 3] recorded poses.
        action: [N, T, 2] recorded wheel displacements.
        rng: source of the disturbances.
        disturbance: how much of it.
        action_decimals: actions are rounded to so many decimals before they are applied.
        progress: show a bar.
    """
    disturb = disturbance or Disturbance()
    n, steps = action.shape[:2]
    stop = np.where(
        rng.random(n) < disturb.full, steps, rng.integers(steps // 10, max(steps, 2), n)
    )
    spread = np.where(rng.random(n) < disturb.calm, 0.0, rng.uniform(0, disturb.noise, n))
    teacher = Teacher(pose, action, stop, 2 * world.robot.radius)
    env = NavigationVectorEnv(n, world=world, action_decimals=action_decimals)
    first, info = env.reset()
    obs = np.empty((n, steps + 1, first.shape[1]), np.float32)
    taken, target = np.empty((2, n, steps, 2), np.float32)
    driven = np.empty((n, steps + 1, 3), np.float32)
    obs[:, 0], driven[:, 0] = first, info["pose"]
    noise, left = np.zeros((n, 2)), np.zeros(n, int)
    pushed = np.zeros((n, 2))
    for t in tqdm(range(steps), desc="practise", unit="step", disable=not progress, leave=False):
        asked, holding = teacher(driven[:, t])
        shock = rng.normal(size=(n, 2)) * spread[:, None]
        noise = disturb.memory * noise + np.sqrt(1 - disturb.memory**2) * shock
        begins = (left == 0) & (rng.random(n) < disturb.push) & (spread > 0)
        left = np.where(begins, rng.integers(4, 14, n), np.maximum(left - 1, 0))
        pushed = np.where(begins[:, None], rng.uniform(-2, MAX_WHEEL, (n, 2)), pushed)
        # Where it should hold, a robot is hardly disturbed: it would be driven off for good.
        shaken = asked + noise * np.where(holding, 0.2, 1.0)[:, None]
        done = np.clip(np.where((left > 0)[:, None], pushed, shaken), -MAX_WHEEL, MAX_WHEEL)
        if action_decimals is not None:
            done = np.round(done, action_decimals)
        taken[:, t], target[:, t] = done, asked
        obs[:, t + 1], _, _, _, info = env.step(taken[:, t])
        driven[:, t + 1] = info["pose"]
        teacher.follow(driven[:, t + 1])
    # A robot that lost its way may still be coming: only one that holds is cut short.
    lengths = np.minimum(np.where(teacher.arrived < steps, teacher.arrived + HOLD, steps), steps)
    held = np.linalg.norm(driven[np.arange(n), lengths, :2] - driven[:, -1, :2], axis=1)
    lengths = np.where(held < 0.5 * world.robot.radius, lengths, steps)
    return Drives(np.arange(n), lengths.astype(np.int64), obs, taken, target, driven)


class Teacher:
    """Steers N robots along recorded trajectories, each up to its own last step, and there holds.

    Each robot has a point on its trajectory that goes ahead as recorded and waits where the robot
    falls behind. Undisturbed, the robot repeats the recorded actions exactly.
    """

    def __init__(self, pose: Floats, action: Floats, stop: NDArray[np.int64], axle: float) -> None:
        """Begin with poses [N, T + 1, 3] and actions [N, T, 2]; `stop` [N] are the last steps."""
        self.pose, self.action, self.stop, self.axle = pose, action, stop, axle
        self.rows = np.arange(len(stop))
        self.phase = np.zeros(len(stop))
        self.now = 0
        self.arrived = np.full(len(stop), action.shape[1])
        """[N] step at which a robot's point came to its end; T before that."""

    def __call__(self, robot: Floats) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
        """Actions [N, 2] float64 for robots at poses [N, 3], and who should hold now [N]."""
        steps, axle = self.action.shape[1], self.axle
        at = np.minimum(self.phase.astype(int), self.stop)
        holding = at >= self.stop
        point = self.pose[self.rows, at].astype(np.float64)
        wheels = self.action[self.rows, np.minimum(at, steps - 1)].astype(np.float64)
        wheels[holding] = 0
        speed, turn = wheels.mean(axis=1), (wheels[:, 1] - wheels[:, 0]) / axle
        x, y, heading = robot.astype(np.float64).T
        dx, dy = point[:, 0] - x, point[:, 1] - y
        ahead = np.cos(heading) * dx + np.sin(heading) * dy
        aside = np.cos(heading) * dy - np.sin(heading) * dx
        off = wrap(point[:, 2] - heading)
        # Kanayama's law; where the point stands still, turn to its heading.
        v = speed * np.cos(off) + 0.25 * ahead
        w = turn + 0.02 * speed * aside + 0.1 * np.abs(speed) * np.sin(off)
        w += np.where(np.abs(speed) < 0.3, 0.12 * off, 0.0)
        # It holds near a point only; far from it, drive there straight.
        distance, bearing = np.hypot(dx, dy), np.arctan2(aside, ahead)
        lost = (distance > 25) & ~holding
        v = np.where(lost, np.clip(0.2 * distance, 0, MAX_WHEEL) * _forward(bearing) ** 3, v)
        w = np.where(lost, 0.25 * bearing, w)
        behind = np.abs(bearing) > np.pi / 2
        nearer = np.where(behind, wrap(bearing + np.pi), bearing)
        close = np.clip(0.3 * distance, 0, 3) * np.cos(nearer) ** 2 * np.where(behind, -1, 1)
        v = np.where(holding, np.where(distance > 4, close, 0.0), v)
        w = np.where(holding, np.where(distance > 4, 0.3 * nearer, 0.0), w)
        asked = np.stack([v - w * axle / 2, v + w * axle / 2], axis=1)
        # Too fast a pair of wheels is slowed down together: the curve stays.
        fastest = np.abs(asked).max(axis=1)
        return asked * np.minimum(1, MAX_WHEEL / np.maximum(fastest, 1e-9))[:, None], holding

    def follow(self, robot: Floats) -> None:
        """Move the points on, now that the robots stand at `robot` [N, 3]."""
        at = self.phase.astype(int)
        following = self.pose[self.rows, np.minimum(at + 1, self.action.shape[1]), :2]
        gap = np.linalg.norm(following - robot[:, :2], axis=1)
        pace = np.where((gap < 12) | (at >= self.stop), 1.0, np.where(gap < 25, 0.5, 0.1))
        self.phase = np.minimum(self.phase + pace, self.action.shape[1])
        self.now += 1
        came = (self.phase >= self.stop) & (self.arrived == self.action.shape[1])
        self.arrived = np.where(came, np.minimum(self.now, self.arrived), self.arrived)


def wrap(angle: NDArray[np.float64]) -> NDArray[np.float64]:
    """Radians in [-pi, pi)."""
    return (angle + np.pi) % (2 * np.pi) - np.pi


def _forward(bearing: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.clip(np.cos(bearing), 0, 1)
