"""Practice drives: more ways to learn from a trajectory than the one that was recorded.

A policy that only saw elites drive has never seen a state from which it must come back: its own
small errors lead it where nothing was ever shown (Ross et al. 2011, arXiv 1011.0686). An archive
shows each place as the end of few drives, although its trajectories pass through it thousands of
times. And at what pace an elite went, where it stood and turned, no sentence tells. So robots go
the ways of the training split again (see `archive_tools.dataset.paths`), briskly, under
disturbances, some only a part of the way, and at the end they hold:

- the action taken is disturbed, the action to learn (`target`) leads back to the way: DART (Laskey
  et al. 2017, arXiv 1703.09327), with a path-following controller as the teacher (pure pursuit:
  Coulter 1992, CMU-RI-TR-92-01);
- whatever a drive reached is its BD, and what it passed is described anew: hindsight relabelling
  (Andrychowicz et al. 2017; Ghosh et al. 2019, arXiv 1912.06088).

Only trajectories of the training split are driven, and a drive that comes to lie in what the split
withholds (a region, a way to a place) is dropped.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from archive_tools.dataset.paths import Ways
from envs.geometry import wrap_angle
from envs.navigation import NavigationVectorEnv
from envs.world import MAX_WHEEL, World

Floats = NDArray[np.float32]
HOLD = 40
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
    ways: Ways,
    rng: np.random.Generator,
    *,
    disturbance: Disturbance | None = None,
    action_decimals: int | None = 1,
    progress: bool = False,
) -> Drives:
    """Drive once along each of N ways, from the world's start.

    Args:
        world: where they were recorded.
        ways: from `ways_of`.
        rng: source of the disturbances.
        disturbance: how much of it.
        action_decimals: actions are rounded to so many decimals before they are applied.
        progress: show a bar.
    """
    disturb = disturbance or Disturbance()
    n, steps = len(ways.last), world.steps
    part = rng.integers(ways.last // 10, ways.last + 1)
    stop = np.where(rng.random(n) < disturb.full, ways.last, part)
    spread = np.where(rng.random(n) < disturb.calm, 0.0, rng.uniform(0, disturb.noise, n))
    teacher = Teacher(ways.points, stop, world.robot.radius)
    env = NavigationVectorEnv(n, world=world, action_decimals=action_decimals)
    first, info = env.reset()
    obs = np.empty((n, steps + 1, first.shape[1]), np.float32)
    taken, target = np.empty((2, n, steps, 2), np.float32)
    driven = np.empty((n, steps + 1, 3), np.float32)
    obs[:, 0], driven[:, 0] = first, info["pose"]
    arrived = np.full(n, steps)
    noise, left = np.zeros((n, 2)), np.zeros(n, int)
    pushed = np.zeros((n, 2))
    for t in tqdm(range(steps), desc="practise", unit="step", disable=not progress, leave=False):
        asked, there = teacher(driven[:, t])
        arrived = np.where(there & (arrived == steps), t, arrived)
        shock = rng.normal(size=(n, 2)) * spread[:, None]
        noise = disturb.memory * noise + np.sqrt(1 - disturb.memory**2) * shock
        begins = (left == 0) & (rng.random(n) < disturb.push) & (spread > 0)
        left = np.where(begins, rng.integers(4, 14, n), np.maximum(left - 1, 0))
        pushed = np.where(begins[:, None], rng.uniform(-2, MAX_WHEEL, (n, 2)), pushed)
        # Where it should hold, a robot is hardly disturbed: it would be driven off for good.
        shaken = asked + noise * np.where(there, 0.2, 1.0)[:, None]
        done = np.clip(np.where((left > 0)[:, None], pushed, shaken), -MAX_WHEEL, MAX_WHEEL)
        if action_decimals is not None:
            done = np.round(done, action_decimals)
        taken[:, t], target[:, t] = done, asked
        obs[:, t + 1], _, _, _, info = env.step(taken[:, t])
        driven[:, t + 1] = info["pose"]
    # A robot that was pushed off its end may still be coming: only one that holds is cut short.
    lengths = np.minimum(arrived + HOLD, steps)
    held = np.linalg.norm(driven[np.arange(n), lengths, :2] - driven[:, -1, :2], axis=1)
    lengths = np.where(held < 0.5 * world.robot.radius, lengths, steps)
    return Drives(lengths.astype(np.int64), obs, taken, target, driven)


AHEAD = 3
"""Points that a robot's aim lies ahead of the nearest one."""
SEARCH = 8
"""Points among which the nearest one is looked for, from the last one on."""


class Teacher:
    """Steers N robots along ways, briskly, each up to its own last point, and there holds.

    It aims a little ahead of the point of the way that it has come to, at full speed where it looks
    there, and turns on the spot where it does not. Close to the end it slows down, and may back up.
    """

    def __init__(self, points: NDArray[np.float64], stop: NDArray[np.int64], radius: float) -> None:
        """Begin with ways [N, M, 2]; `stop` [N] are their last points, `radius` the robot's."""
        self.points, self.stop, self.radius = points, stop, radius
        self.rows = np.arange(len(stop))
        self.at = np.zeros(len(stop), np.int64)
        """[N] the point that each robot has come to."""

    def __call__(self, robot: Floats) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
        """Actions [N, 2] float64 for robots at poses [N, 3], and who is at its end [N]."""
        heading = robot[:, 2].astype(np.float64)
        lost = self._come(robot[:, :2])
        aim = np.minimum(np.where(lost, self.at, self.at + AHEAD), self.stop)
        dx, dy = (self.points[self.rows, aim] - robot[:, :2]).T
        bearing = wrap_angle(np.arctan2(dy, dx) - heading)
        speed = MAX_WHEEL * np.clip(np.cos(bearing), 0, 1) ** 2
        turn = 0.25 * bearing
        # Near its end a robot comes slowly, backwards if that is shorter, and then stands.
        ex, ey = (self.points[self.rows, self.stop] - robot[:, :2]).T
        left = np.hypot(ex, ey)
        last = aim >= self.stop
        near = last & (left < 2 * self.radius)
        behind = np.abs(bearing) > np.pi / 2
        nearer = np.where(behind, wrap_angle(bearing + np.pi), bearing)
        slow = np.clip(0.3 * left, 0, MAX_WHEEL) * np.cos(nearer) ** 2 * np.where(behind, -1, 1)
        speed, turn = np.where(near, slow, speed), np.where(near, 0.25 * nearer, turn)
        stand = last & (left <= 0.4 * self.radius)
        speed, turn = np.where(stand, 0.0, speed), np.where(stand, 0.0, turn)
        asked = np.stack([speed - turn * self.radius, speed + turn * self.radius], axis=1)
        # Too fast a pair of wheels is slowed down together: the curve stays.
        fastest = np.abs(asked).max(axis=1)
        asked *= np.minimum(1, MAX_WHEEL / np.maximum(fastest, 1e-9))[:, None]
        return asked, last & (left <= 0.8 * self.radius)

    def _come(self, robot: Floats) -> NDArray[np.bool_]:
        """Move the points on to robots at [N, 2]; who is too far off to be on its way [N]."""
        ahead = np.minimum(self.at[:, None] + np.arange(SEARCH), self.stop[:, None])
        gaps = np.linalg.norm(self.points[self.rows[:, None], ahead] - robot[:, None], axis=2)
        nearest = gaps.argmin(axis=1)
        lost = gaps[self.rows, nearest] > 2.5 * self.radius
        self.at = np.where(lost, self.at, ahead[self.rows, nearest])
        return lost
