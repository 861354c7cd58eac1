"""One loop that drives the robots of all pages: those that set off together are one batch.

A policy acts for a whole batch at once, step by step, so a robot cannot join one that is under way.
Robots that arrive within a short time begin together, whatever each was told, and several batches
step in turn. A batch that nobody looks at any more is dropped.
"""

import queue
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

import numpy as np

from archive_tools.playground.drives import Drive
from archive_tools.playground.robots import Acts, Begin
from archive_tools.rollouts import driving
from envs import World
from envs.errors import InputError
from envs.navigation import NavigationVectorEnv

T = TypeVar("T")
GATHER = 0.02
"""Seconds to wait for company where nothing drives."""
GATHER_BUSY = 0.2
"""The same where other batches are under way."""
MOST = 96
"""Robots at once, waiting ones included."""
EVERY = 8
"""Steps between two messages; the first comes at once."""


@dataclass(frozen=True, eq=False)
class Rider:
    """One robot of a drive, and what it is told of the command."""

    drive: Drive
    number: int
    begin: Begin
    text: str | None
    bd: tuple[float, float] | None


class Ground(Protocol):
    """Where N robots drive."""

    obs: np.ndarray
    """[N, n_obs] what they see now."""
    pose: np.ndarray
    """[N, 3] x, y (world units, y down), heading."""
    bumped: np.ndarray
    """[N] bool: who ran into something in the last step."""
    ended: np.ndarray
    """[N] bool: whose drive the environment has ended; these stay as they are."""

    def step(self, action: np.ndarray) -> None:
        """Let all that drive act, [N, n_act]."""
        ...


MakeGround = Callable[[Sequence[World], np.ndarray], Ground]
"""Given each robot's world and start [N, 3]."""


class Floors:
    """Robots on wheels, each in a world that may have been built on, from any start."""

    def __init__(self, worlds: Sequence[World], starts: np.ndarray, decimals: int | None) -> None:
        n = len(worlds)
        self.obs, self.pose = np.empty((n, worlds[0].n_obs), np.float32), starts.copy()
        self.bumped, self.ended = np.zeros(n, bool), np.zeros(n, bool)
        self._envs: list[tuple[np.ndarray, NavigationVectorEnv]] = []
        for key, world in {id(world): world for world in worlds}.items():
            rows = np.array([i for i in range(n) if id(worlds[i]) == key])
            envs = NavigationVectorEnv(len(rows), world, decimals)
            self.obs[rows], info = envs.reset(options={"start": starts[rows]})
            self.pose[rows] = info["pose"]
            self._envs.append((rows, envs))

    def step(self, action: np.ndarray) -> None:
        """See `Ground.step`."""
        for rows, envs in self._envs:
            self.obs[rows], _, _, _, info = envs.step(action[rows])
            self.pose[rows], self.bumped[rows] = info["pose"], info["collision"]


class Copies:
    """Copies of any Gymnasium environment whose info has a pose; all begin alike."""

    def __init__(self, environment: dict[str, Any], n: int, seed: int) -> None:
        self._envs = driving.make_envs(environment, n)
        obs, info = self._envs.reset(seed=seed)
        self.obs, self.pose = np.asarray(obs, np.float32), np.asarray(info["pose"], np.float32)
        self.bumped, self.ended = np.zeros(n, bool), np.zeros(n, bool)

    def step(self, action: np.ndarray) -> None:
        """See `Ground.step`."""
        obs, _, terminated, truncated, info = self._envs.step(driving.taken(self._envs, action))
        # One that has ended begins anew by itself; nobody wants to see that.
        going = ~self.ended[:, None]
        self.obs = np.where(going, obs, self.obs)
        self.pose = np.where(going, info["pose"], self.pose)
        self.ended = self.ended | terminated | truncated


class Batch:
    """Robots that set off together under one model, each in its own drive's world.

    Raises:
        ValueError: the model does not take what they are told.
    """

    def __init__(self, riders: Sequence[Rider], steps: int, ground: MakeGround) -> None:
        self.riders, self.steps, self.step = list(riders), steps, 0
        self.acts: Acts = riders[0].begin()
        n = len(riders)
        self.text = [rider.text for rider in riders]
        self.bd = np.array([rider.bd or (np.nan, np.nan) for rider in riders], np.float32)
        starts = np.array([rider.drive.start for rider in riders], np.float32)
        self.ground = ground([rider.drive.world for rider in riders], starts)
        self.driving = np.ones(n, bool)
        """[n] whose drive goes on."""
        self._record()
        self.bumped: list[list[int]] = [[] for _ in riders]
        self.acts.reset(0, starts)

    @property
    def wanted(self) -> bool:
        """Whether anybody looks at one of its drives."""
        return any(not rider.drive.unwanted for rider in self.riders)

    def _record(self) -> None:
        for row in np.flatnonzero(self.driving):
            rider = self.riders[row]
            rider.drive.tracks[rider.number].poses.append(self.ground.pose[row].copy())

    def advance(self) -> bool:
        """Drive one step, and tell of it now and then; whether the drive goes on."""
        action = self.acts.act(self.ground.obs, self.text, self.bd)
        self.step += 1
        self.ground.step(action)
        self._record()
        for row in np.flatnonzero(self.ground.bumped & self.driving):
            self.bumped[row].append(self.step)
        over = self.driving & (self.ground.ended | (self.step >= self.steps))
        for row, rider in enumerate(self.riders):
            if over[row] or (self.driving[row] and self.step % EVERY == 1):
                rider.drive.send_poses(rider.number, self.bumped[row])
                self.bumped[row] = []
                if over[row] or self.step % (4 * EVERY) == 1:
                    rider.drive.send_events(rider.number, over=bool(over[row]))
        self.driving &= ~over
        return bool(self.driving.any())


def warm_up(begin: Begin, world: World, ground: MakeGround) -> None:
    """Drive three steps that nobody sees: compiled code is loaded, and memory is taken."""
    robot = world.robot
    start = np.array([[robot.x, robot.y, robot.theta]], np.float32)
    acts, there = begin(), ground([world], start)
    acts.reset(0, start)
    for _ in range(3):
        there.step(acts.act(there.obs, ["go"], start[:, :2]))


class Fleet:
    """The loop, in a thread of its own.

    Args:
        steps: of a drive.
        ground: makes what robots drive on.
    """

    def __init__(self, steps: int, ground: MakeGround) -> None:
        self.steps, self.ground = steps, ground
        self._arrivals: queue.SimpleQueue[Rider | None] = queue.SimpleQueue()
        self._count, self._lock = 0, threading.Lock()
        self._thread = threading.Thread(target=self._run, name="fleet", daemon=True)
        self._thread.start()

    def submit(self, riders: Sequence[Rider]) -> None:
        """Let robots set off soon.

        Raises:
            InputError: too many drive already.
        """
        with self._lock:
            if self._count + len(riders) > MOST:
                raise InputError(f"{self._count} robots drive already; try again in a moment")
            self._count += len(riders)
        for rider in riders:
            self._arrivals.put(rider)

    def close(self) -> None:
        """End the loop; robots under way stay where they are."""
        self._arrivals.put(None)
        self._thread.join(2.0)

    def _run(self) -> None:
        waiting: list[Rider] = []
        batches: list[Batch] = []
        since = 0.0
        while True:
            gather = GATHER_BUSY if batches else GATHER
            try:
                timeout = max(0.0, since + gather - time.monotonic()) if waiting else None
                arrived = self._arrivals.get(not batches, timeout)
                if arrived is None:
                    return
                since = since if waiting else time.monotonic()
                waiting.append(arrived)
                continue
            except queue.Empty:
                pass
            if waiting and time.monotonic() - since >= gather:
                batches += self._set_off(waiting)
                waiting = []
            batches = [batch for batch in batches if self._advance(batch)]

    def _set_off(self, riders: Sequence[Rider]) -> list[Batch]:
        """One batch for each model; a robot that cannot be told what it is told stays alone."""
        groups: dict[Begin, list[Rider]] = {}
        for rider in riders:
            groups.setdefault(rider.begin, []).append(rider)
        batches = []
        for group in groups.values():
            made = self._guarded(group, lambda g=group: Batch(g, self.steps, self.ground))
            if made is not None:
                batches.append(made)
        return batches

    def _advance(self, batch: Batch) -> bool:
        """One step; False once the batch is over, unwanted or broken."""
        if batch.wanted:
            going = self._guarded(batch.riders, batch.advance)
            if going:
                return True
            if going is None:
                return False
        self._leave(len(batch.riders))
        return False

    def _guarded(self, riders: Sequence[Rider], work: Callable[[], T]) -> T | None:
        """What the work returns; where it fails, its robots are told, and the loop goes on."""
        try:
            return work()
        except Exception as error:
            known = isinstance(error, ValueError)
            reason = str(error) if known else f"{type(error).__name__}: {error}"
            if not known:
                print(f"playground: {reason}", file=sys.stderr)
        for rider in riders:
            rider.drive.fail(rider.number, reason)
        self._leave(len(riders))
        return None

    def _leave(self, count: int) -> None:
        with self._lock:
            self._count -= count
