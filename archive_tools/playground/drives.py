"""One command's drive by one to four robots: what is known of it, for whoever watches."""

import asyncio
import contextlib
import json
import secrets
import threading
from collections import OrderedDict
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from archive_tools.annotations import NearRule, annotate
from archive_tools.evaluation import judge_rules
from archive_tools.playground.robots import Robot
from archive_tools.report import events
from envs import World

KEPT = 64
"""Drives that are remembered, for pictures and for connections that come back."""
SILENCE = 15.0
"""Seconds after which a stream says that it is alive."""


@dataclass
class Track:
    """What one robot did so far."""

    robot: Robot
    poses: list[NDArray[np.float32]] = field(default_factory=list)
    """[3] each: x, y (world units, y down), heading."""
    poses_sent: int = 0
    events_sent: int = 0


class Drive:
    """The robots of one command, and every message about them, in order.

    Messages come from the thread that drives and are watched in the server's loop, in which a drive
    is made.

    Attributes:
        text: the command.
        target: where to, world units; None leaves it to the text.
        world: with what was put in the way, and the robot at its start.
        tracks: one for each robot.
        unwanted: nobody looks at it any more.
        over: all robots have ended, and the last message says so.
    """

    def __init__(
        self,
        text: str,
        target: tuple[float, float] | None,
        world: World,
        robots: list[Robot],
        rule: NearRule,
    ) -> None:
        self.identity = secrets.token_urlsafe(9)
        self.text, self.target, self.world, self.rule = text, target, world, rule
        self.tracks = [Track(robot) for robot in robots]
        self.unwanted = self.over = False
        self._messages: list[str] = []
        self._running, self._lock = len(robots), threading.Lock()
        self._loop, self._news = asyncio.get_running_loop(), asyncio.Event()

    @property
    def start(self) -> tuple[float, float, float]:
        """x, y, heading of all robots before the first step."""
        robot = self.world.robot
        return (robot.x, robot.y, robot.theta)

    def send_poses(self, number: int, bumps: Sequence[int]) -> None:
        """The poses since last time, and at which of these steps it ran into something."""
        track = self.tracks[number]
        fresh = np.array(track.poses[track.poses_sent :], np.float64)
        fresh[:, 2] = np.degrees(fresh[:, 2])
        self._send("poses", number, at=track.poses_sent, pose=fresh.round(1).tolist(), bumps=bumps)
        track.poses_sent = len(track.poses)

    def send_events(self, number: int, *, over: bool = False) -> None:
        """The places met since last time, as far as it is settled; at the end also the verdict.

        A change counts when it has lasted, so what happened in the last steps comes later.
        """
        track, scene = self.tracks[number], self.world.scene
        assert scene is not None
        pose = np.stack(track.poses)
        driven = annotate(scene, [pose], size=self.world.size, rule=self.rule)[0]
        last = len(pose) - 1
        settled = last if over else last - self.rule.persist
        found = [event for event in events(driven) if event["timestep"] <= settled]
        for event in found[track.events_sent :]:
            self._send("event", number, step=event["timestep"], tile=event["tile"],
                       near=event["near"])  # fmt: skip
        track.events_sent = len(found)
        if over:
            verdict = judge_rules(self.text, driven, None, scene)
            distance = self._distance(pose[-1])
            self._send("verdict", number, **verdict.model_dump(), distance=distance)
            self._end()

    def _distance(self, pose: NDArray[np.float32]) -> dict[str, float] | None:
        if self.target is None:
            return None
        units = float(np.hypot(pose[0] - self.target[0], pose[1] - self.target[1]))
        return {"units": round(units, 1), "percent": round(100 * units / self.world.diagonal, 1)}

    def fail(self, number: int, reason: str) -> None:
        """Robot `number` does not drive, or no further."""
        self._send("failure", number, reason=reason)
        self._end()

    def _end(self) -> None:
        with self._lock:
            self._running -= 1
            if self._running:
                return
        self._messages.append("event: over\ndata: {}\n\n")
        self.over = True
        self._wake()

    def _send(self, kind: str, number: int, **facts: Any) -> None:
        data = json.dumps({"robot": number, **facts}, ensure_ascii=False)
        self._messages.append(f"event: {kind}\ndata: {data}\n\n")
        self._wake()

    def _wake(self) -> None:
        def wake() -> None:
            self._news.set()
            self._news = asyncio.Event()

        with contextlib.suppress(RuntimeError):  # the server has ended
            self._loop.call_soon_threadsafe(wake)

    async def watch(self, after: int = 0) -> AsyncIterator[str]:
        """Server-sent events: the messages after number `after`, and whatever comes."""
        yield "retry: 400\n\n"
        while True:
            news, over = self._news, self.over
            while after < len(self._messages):
                after += 1
                yield f"id: {after}\n{self._messages[after - 1]}"
            if over:
                return
            try:
                await asyncio.wait_for(news.wait(), SILENCE)
            except TimeoutError:
                yield ": still here\n\n"


class Shelf:
    """The last drives, by their identities."""

    def __init__(self) -> None:
        self._drives: OrderedDict[str, Drive] = OrderedDict()

    def put(self, drive: Drive) -> None:
        """Remember a drive; the oldest is forgotten."""
        self._drives[drive.identity] = drive
        while len(self._drives) > KEPT:
            self._drives.popitem(last=False)[1].unwanted = True

    def get(self, identity: str | None) -> Drive | None:
        """The drive of that identity, unless it was forgotten."""
        return self._drives.get(identity or "")
