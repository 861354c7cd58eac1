"""One rater's session: what is shown next, and what was answered.

Drives of several systems come mixed, in an order fixed by the seed. Drives of one item that are one
and the same path are shown once, and the score counts for all the systems that drove it. All raters
see the same order, so that their ratings overlap. Every rating is on disk before the next drive is
shown, in `RUN/ratings/RATER.jsonl`.
"""

import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from archive_tools.rating.drives import Shown, choose
from archive_tools.rating.ratings import RatingFile
from archive_tools.report import kept_steps
from archive_tools.run import check_folder


class Session:
    """One rater's way through the drives; safe to be used by several threads."""

    def __init__(self, drives: Sequence[Shown], ratings: RatingFile) -> None:
        self.drives, self.ratings = list(drives), ratings
        self._lock = threading.Lock()
        self._place = {
            (name, drive.item, drive.seed): number
            for number, drive in enumerate(self.drives)
            for name in drive.systems
        }

    def _rated(self) -> dict[int, float]:
        """Number of a drive → its score, in the order of the ratings."""
        return {
            self._place[key]: score
            for key, score in self.ratings.scores().items()
            if key in self._place
        }

    def state(self) -> dict[str, Any]:
        """What the page shows: progress, and the next drive unless all are rated."""
        rated = self._rated()
        state: dict[str, Any] = {"rated": len(rated), "total": len(self.drives)}
        state["last"] = list(rated.values())[-1] if rated else None
        number = next((n for n in range(len(self.drives)) if n not in rated), None)
        state["number"] = number
        if number is not None:
            drive = self.drives[number]
            state["target"] = drive.target
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


def open_session(
    run: Path, rater: str, *, items: int = 32, systems: Sequence[str] = (), seed: int = 0
) -> Session:
    """Where a rater stopped last time.

    Args:
        run: with archive/, dataset/ and rollouts/.
        rater: whose file it is.
        items, systems, seed: see `choose`.

    Raises:
        InputError: a stage is missing, or the file of ratings is damaged.
    """
    drives = choose(run, items=items, systems=systems, seed=seed)
    path = run / "ratings" / f"{rater}.jsonl"
    ratings = RatingFile(path, rater, check_folder(run / "rollouts")["digest"])
    return Session(drives, ratings)
