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
from typing import TypeVar

import numpy as np

from archive_tools.playground.drives import Drive
from archive_tools.playground.robots import Acts, Begin
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


class Batch:
    """Robots that set off together under one model, each in its own drive's world.

    Raises:
        ValueError: the model does not take what they are told.
    """

    def __init__(self, riders: Sequence[Rider], steps: int, decimals: int | None) -> None:
        self.riders, self.steps, self.step = list(riders), steps, 0
        self.acts: Acts = riders[0].begin()
        n = len(riders)
        self.text = [rider.text for rider in riders]
        self.bd = np.array([rider.bd or (np.nan, np.nan) for rider in riders], np.float32)
        starts = np.array([rider.drive.start for rider in riders], np.float32)
        self.envs: list[tuple[np.ndarray, NavigationVectorEnv]] = []
        worlds = {id(rider.drive.world): rider.drive.world for rider in riders}
        self.obs = np.empty((n, riders[0].drive.world.n_obs), np.float32)
        for key, world in worlds.items():
            rows = np.array([i for i in range(n) if id(riders[i].drive.world) == key])
            envs = NavigationVectorEnv(len(rows), world, decimals)
            self.obs[rows], info = envs.reset(options={"start": starts[rows]})
            self._record(rows, info["pose"])
            self.envs.append((rows, envs))
        self.bumped: list[list[int]] = [[] for _ in riders]
        self.acts.reset(0, starts)

    @property
    def wanted(self) -> bool:
        """Whether anybody looks at one of its drives."""
        return any(not rider.drive.unwanted for rider in self.riders)

    def _record(self, rows: np.ndarray, pose: np.ndarray) -> None:
        for row, one in zip(rows, pose, strict=True):
            rider = self.riders[row]
            rider.drive.tracks[rider.number].poses.append(one.copy())

    def advance(self) -> bool:
        """Drive one step, and tell of it now and then; whether the drive goes on."""
        action = self.acts.act(self.obs, self.text, self.bd)
        self.step += 1
        for rows, envs in self.envs:
            self.obs[rows], _, _, _, info = envs.step(action[rows])
            self._record(rows, info["pose"])
            for row in rows[info["collision"]]:
                self.bumped[row].append(self.step)
        over = self.step >= self.steps
        if over or self.step % EVERY == 1:
            for row, rider in enumerate(self.riders):
                rider.drive.send_poses(rider.number, self.bumped[row])
                self.bumped[row] = []
                if over or self.step % (4 * EVERY) == 1:
                    rider.drive.send_events(rider.number, over=over)
        return not over


def warm_up(begin: Begin, world: World, decimals: int | None) -> None:
    """Drive three steps that nobody sees: compiled code is loaded, and memory is taken."""
    acts, envs = begin(), NavigationVectorEnv(1, world, decimals)
    obs, info = envs.reset()
    acts.reset(0, info["pose"])
    for _ in range(3):
        obs = envs.step(acts.act(obs, ["go"], np.array([[world.robot.x, world.robot.y]])))[0]


class Fleet:
    """The loop, in a thread of its own.

    Args:
        steps: of a drive.
        decimals: to which actions are rounded.
    """

    def __init__(self, steps: int, decimals: int | None) -> None:
        self.steps, self.decimals = steps, decimals
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
            made = self._guarded(group, lambda g=group: Batch(g, self.steps, self.decimals))
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
