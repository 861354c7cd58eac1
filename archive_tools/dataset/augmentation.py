"""Augmentation: more to learn from a trajectory than the one that was recorded.

A policy that only saw elites drive has never seen a state from which it must come back: its own
small errors lead it where nothing was ever shown (Ross et al. 2011, arXiv 1011.0686). An archive
shows each place as the end of few drives, although its trajectories pass through it thousands of
times. And at what pace an elite went, where it stood and turned, no sentence tells. So robots go
the paths of the training split again (see `archive_tools.dataset.paths`), briskly, under
disturbances, some only a part of the way, and at the end they hold:

- the action applied is disturbed, the expert's action leads back to the path and is learnt: DART
  (Laskey et al. 2017, arXiv 1703.09327), with a path-following controller as the expert (pure
  pursuit: Coulter 1992, CMU-RI-TR-92-01);
- whatever a robot reached is its BD, and what it passed is described anew: hindsight relabelling
  (Andrychowicz et al. 2017; Ghosh et al. 2019, arXiv 1912.06088).

Only trajectories of the training split are followed, and a rollout that comes to lie in what the
split withholds (a region, a path to a place) is dropped.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from archive_tools.dataset.paths import Paths
from archive_tools.run import executor
from archive_tools.tasks import Rollouts
from envs.geometry import wrap_angle
from envs.navigation import NavigationVectorEnv
from envs.world import MAX_WHEEL, World

Floats = NDArray[np.float32]
Doubles = NDArray[np.float64]
HOLD = 40
"""Steps that are recorded of a robot holding at its end: enough to learn to stay."""
TOGETHER = 1000
"""Robots that drive in one piece of work."""


@dataclass(frozen=True)
class Disturbance:
    """What happens to the expert's actions."""

    full: float = 0.3
    """Share of the rollouts that go all the way."""
    calm: float = 0.2
    """Share of the rollouts without any disturbance."""
    noise: float = 1.5
    """Largest spread of the noise on each wheel, in units per step; drawn per rollout."""
    memory: float = 0.9
    """The noise's autocorrelation from one step to the next (Ornstein-Uhlenbeck)."""
    push: float = 0.004
    """Chance per step that the wheels do as they like for 4 to 13 steps."""


def follow(
    world: World,
    paths: Paths,
    rng: np.random.Generator,
    *,
    disturbance: Disturbance | None = None,
    action_decimals: int | None = 1,
    progress: bool = False,
    workers: executor.Executor | None = None,
) -> Rollouts:
    """Drive once along each of N paths, from the world's start.

    Args:
        world: where they were recorded.
        paths: from `paths_of`.
        rng: source of the disturbances.
        disturbance: how much of it.
        action_decimals: actions are rounded to so many decimals before they are applied.
        progress: show a bar.
        workers: who drives; this process where None.

    Returns:
        rollouts whose `length` says how much of each is worth learning from, with the info "pose"
        and "expert_action" float32 [N, T, 2], as the expert would have acted.
    """
    disturb = disturbance or Disturbance()
    n = len(paths.last)
    part = rng.integers(paths.last // 10, paths.last + 1)
    stop = np.where(rng.random(n) < disturb.full, paths.last, part)
    spread = np.where(rng.random(n) < disturb.calm, 0.0, rng.uniform(0, disturb.noise, n))
    drawn = _draw(world.steps, n, disturb.push, rng)
    parts = [slice(begin, begin + TOGETHER) for begin in range(0, n, TOGETHER)]
    jobs = ((paths.points[p], stop[p], spread[p], [d[:, p] for d in drawn]) for p in parts)
    driven: list[Rollouts] = []
    with tqdm(total=n, desc="augment", unit=" drives", disable=not progress, leave=False) as bar:
        for some in (workers or executor.Executor()).map(
            _drive, jobs, (world, disturb.memory, action_decimals)
        ):
            driven.append(some)
            bar.update(len(some.length))
    obs, action, length = (
        np.concatenate([getattr(some, name) for some in driven])
        for name in ("obs", "action", "length")
    )
    names = ("pose", "expert_action")
    info = {name: np.concatenate([some.info[name] for some in driven]) for name in names}
    return Rollouts(obs, action, length, info)


def _draw(steps: int, n: int, push: float, rng: np.random.Generator) -> tuple[NDArray[Any], ...]:
    """What befalls N robots at each of T steps, whatever they do: shocks [T, N, 2], whether they
    are pushed [T, N], for how many steps [T, N], and what the wheels then do [T, N, 2]."""
    shock, wheels = np.empty((2, steps, n, 2))
    pushed, lasting = np.empty((steps, n), bool), np.empty((steps, n), np.int8)
    for t in range(steps):
        shock[t] = rng.normal(size=(n, 2))
        pushed[t] = rng.random(n) < push
        lasting[t] = rng.integers(4, 14, n)
        wheels[t] = rng.uniform(-2, MAX_WHEEL, (n, 2))
    return shock, pushed, lasting, wheels


def _drive(
    shared: tuple[World, float, int | None],
    job: tuple[Doubles, NDArray[np.int64], Doubles, Sequence[NDArray[Any]]],
) -> Rollouts:
    """Robots along paths [n, M, 2] up to their points `stop` [n], shaken by what was drawn."""
    (world, memory, decimals), (points, stop, spread, drawn) = shared, job
    n, steps = len(stop), world.steps
    expert, shake = Expert(points, stop, world.robot.radius), _Shake(memory, spread, drawn)
    env = NavigationVectorEnv(n, world=world, action_decimals=decimals)
    first, info = env.reset()
    obs = np.empty((n, steps + 1, first.shape[1]), np.float32)
    action, expert_action = np.empty((2, n, steps, 2), np.float32)
    pose = np.empty((n, steps + 1, 3), np.float32)
    obs[:, 0], pose[:, 0] = first, info["pose"]
    arrived = np.full(n, steps)
    for t in range(steps):
        wanted, at_end = expert(pose[:, t])
        arrived = np.where(at_end & (arrived == steps), t, arrived)
        applied = shake(t, wanted, at_end)
        if decimals is not None:
            applied = np.round(applied, decimals)
        action[:, t], expert_action[:, t] = applied, wanted
        obs[:, t + 1], _, _, _, info = env.step(action[:, t])
        pose[:, t + 1] = info["pose"]
    # A robot that was pushed off its end may still be coming: only one that holds is cut short.
    length = np.minimum(arrived + HOLD, steps)
    moved = np.linalg.norm(pose[np.arange(n), length, :2] - pose[:, -1, :2], axis=1)
    length = np.where(moved < 0.5 * world.robot.radius, length, steps)
    reported = {"pose": pose, "expert_action": expert_action}
    return Rollouts(obs, action, length.astype(np.int32), reported)


class _Shake:
    """Disturbs the actions of N robots, by noise of `spread` [N] and by pushes, as `drawn`."""

    def __init__(self, memory: float, spread: Doubles, drawn: Sequence[NDArray[Any]]) -> None:
        n = len(spread)
        self.memory, self.spread, self.drawn = memory, spread, drawn
        self.noise, self.pushed = np.zeros((n, 2)), np.zeros((n, 2))
        self.remaining = np.zeros(n, int)
        """[N] steps for which a robot is still pushed."""

    def __call__(self, t: int, wanted: Doubles, at_end: NDArray[np.bool_]) -> Doubles:
        """Actions [N, 2] that are applied at step t, where the expert wants `wanted`."""
        memory = self.memory
        shock, pushed, lasting, wheels = (values[t] for values in self.drawn)
        self.noise = memory * self.noise + np.sqrt(1 - memory**2) * (shock * self.spread[:, None])
        begins = (self.remaining == 0) & pushed & (self.spread > 0)
        self.remaining = np.where(begins, lasting, np.maximum(self.remaining - 1, 0))
        self.pushed = np.where(begins[:, None], wheels, self.pushed)
        # Where it should hold, a robot is hardly disturbed: it would be driven off for good.
        noisy = wanted + self.noise * np.where(at_end, 0.2, 1.0)[:, None]
        applied = np.where((self.remaining > 0)[:, None], self.pushed, noisy)
        return np.clip(applied, -MAX_WHEEL, MAX_WHEEL)


AHEAD = 3
"""Points that a robot's aim lies ahead of the nearest one."""
SEARCH = 8
"""Points among which the nearest one is looked for, from the last one on."""


class Expert:
    """Steers N robots along paths, briskly, each up to its own last point, and there holds.

    It aims a little ahead of the point of the path that it has come to, at full speed where it
    looks there, and turns on the spot where it does not. Close to the end it slows down, and may
    back up.
    """

    def __init__(self, points: Doubles, stop: NDArray[np.int64], radius: float) -> None:
        """Begin with paths [N, M, 2]; `stop` [N] are their last points, `radius` the robot's."""
        self.points, self.stop, self.radius = points, stop, radius
        self.rows = np.arange(len(stop))
        self.at = np.zeros(len(stop), np.int64)
        """[N] the point that each robot has come to."""

    def __call__(self, pose: Floats) -> tuple[Doubles, NDArray[np.bool_]]:
        """Actions [N, 2] float64 for robots at poses [N, 3], and who is at its end [N]."""
        heading = pose[:, 2].astype(np.float64)
        lost = self._come(pose[:, :2])
        aim = np.minimum(np.where(lost, self.at, self.at + AHEAD), self.stop)
        dx, dy = (self.points[self.rows, aim] - pose[:, :2]).T
        bearing = wrap_angle(np.arctan2(dy, dx) - heading)
        speed = MAX_WHEEL * np.clip(np.cos(bearing), 0, 1) ** 2
        turn = 0.25 * bearing
        # Near its end a robot comes slowly, backwards if that is shorter, and then stands.
        ex, ey = (self.points[self.rows, self.stop] - pose[:, :2]).T
        distance = np.hypot(ex, ey)
        last = aim >= self.stop
        near = last & (distance < 2 * self.radius)
        behind = np.abs(bearing) > np.pi / 2
        nearer = np.where(behind, wrap_angle(bearing + np.pi), bearing)
        slow = np.clip(0.3 * distance, 0, MAX_WHEEL) * np.cos(nearer) ** 2
        slow *= np.where(behind, -1, 1)
        speed, turn = np.where(near, slow, speed), np.where(near, 0.25 * nearer, turn)
        stand = last & (distance <= 0.4 * self.radius)
        speed, turn = np.where(stand, 0.0, speed), np.where(stand, 0.0, turn)
        action = np.stack([speed - turn * self.radius, speed + turn * self.radius], axis=1)
        # Too fast a pair of wheels is slowed down together: the curve stays.
        fastest = np.abs(action).max(axis=1)
        action *= np.minimum(1, MAX_WHEEL / np.maximum(fastest, 1e-9))[:, None]
        return action, last & (distance <= 0.8 * self.radius)

    def _come(self, robot: Floats) -> NDArray[np.bool_]:
        """Move the points on to robots at [N, 2]; who is too far off to be on its path [N]."""
        ahead = np.minimum(self.at[:, None] + np.arange(SEARCH), self.stop[:, None])
        gaps = np.linalg.norm(self.points[self.rows[:, None], ahead] - robot[:, None], axis=2)
        nearest = gaps.argmin(axis=1)
        lost = gaps[self.rows, nearest] > 2.5 * self.radius
        self.at = np.where(lost, self.at, ahead[self.rows, nearest])
        return lost
