"""One rater's session: what is shown next, and what was answered."""

import threading
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np

from archive_tools.rating.drives import Shown
from archive_tools.rating.ratings import RatingFile
from archive_tools.report import kept_steps
from envs import World
from envs.drawing import Route, draw_scene


class Session:
    """One rater's way through the drives; safe to be used by several threads."""

    def __init__(self, drives: Sequence[Shown], world: World, ratings: RatingFile) -> None:
        self.drives, self.world, self.ratings = list(drives), world, ratings
        self._lock = threading.Lock()
        self._place = {
            (name, drive.item, drive.seed): number
            for number, drive in enumerate(self.drives)
            for name in drive.systems
        }
        self._picture = lru_cache(maxsize=4)(self._draw)

    def _rated(self) -> dict[int, float]:
        """Number of a drive → its score, in the order of the ratings."""
        return {
            self._place[key]: score
            for key, score in self.ratings.scores().items()
            if key in self._place
        }

    def _draw(self, number: int) -> str:
        drive = self.drives[number]
        return draw_scene(
            self.world,
            [Route(drive.pose, None, "time", "solid", drive.target)],
            width=360,
            legend=False,
            background="use",
        )

    def state(self) -> dict[str, Any]:
        """What the page shows: progress, and the next drive unless all are rated."""
        rated = self._rated()
        state: dict[str, Any] = {"rated": len(rated), "total": len(self.drives)}
        state["last"] = list(rated.values())[-1] if rated else None
        number = next((n for n in range(len(self.drives)) if n not in rated), None)
        state["number"] = number
        if number is not None:
            drive = self.drives[number]
            state["picture"] = self._picture(number)
            state["words"] = drive.text.split("<DESCRIPTOR>")
            state["path"] = [
                [round(float(x), 1), round(float(y), 1), round(float(np.degrees(angle)))]
                for x, y, angle in drive.pose[kept_steps(len(drive.pose) - 1)]
            ]
        return state

    def rate(self, number: int, score: int) -> dict[str, Any] | None:
        """Keep a score for the drive that is shown; None where another one is."""
        with self._lock:
            if number != self.state()["number"]:
                return None
            self.ratings.add(self.drives[number], score)
            return self.state()

    def undo(self) -> dict[str, Any]:
        """Take the last rating back, if there is one."""
        with self._lock:
            if self._rated():
                self.ratings.undo()
            return self.state()
