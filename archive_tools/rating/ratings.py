"""The file of ratings: RUN/ratings/RATER.jsonl, written line by line and read back."""

import hashlib
import json
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd

from archive_tools.rating.drives import Shown
from envs.errors import InputError

FULL_MARKS = 10.0
FIELDS = {"item": int, "system": str, "seed": int, "rater": str, "score": (int, float)}


def ratings_digest(folder: Path) -> str:
    """sha256 over the rating files of a run, "" without any: what an evaluation depends on."""
    files = sorted(folder.glob("*.jsonl"))
    whole = hashlib.sha256()
    for path in files:
        whole.update(path.name.encode() + b"\0" + path.read_bytes())
    return whole.hexdigest() if files else ""


def read_ratings(folder: Path, rollouts: str) -> tuple[pd.DataFrame, int]:
    """People's ratings of a run.

    Of several ratings of one drive by one rater the last counts. Ratings of other rollouts are left
    out. A last line that was cut off by a crash is left out too.

    Args:
        folder: `RUN/ratings`.
        rollouts: digest of the run's present `rollouts/`.

    Returns:
        rows item, system, seed, rater, score (in [0, 1]); and how many ratings were left out as
        they were of other rollouts.

    Raises:
        InputError: a line that is not a rating (names file, line and field).
    """
    rows: dict[tuple[int, str, int, str], float] = {}
    stale = 0
    for path in sorted(folder.glob("*.jsonl")):
        for rating, _ in read_lines(path):
            if rating.get("rollouts", rollouts) != rollouts:
                stale += 1
                continue
            key = (rating["item"], rating["system"], rating["seed"], rating["rater"])
            rows[key] = rating["score"] / FULL_MARKS
    table = [(*key, score) for key, score in rows.items()]
    return pd.DataFrame(table, columns=["item", "system", "seed", "rater", "score"]), stale


def read_lines(path: Path) -> list[tuple[dict[str, Any], int]]:
    """The ratings of a file, each with the offset in bytes at which its line ends.

    A missing seed is 0. What follows the last line feed was cut off by a crash and is left out.

    Raises:
        InputError: a line that is not a rating (names file, line and field).
    """
    whole = path.read_bytes() if path.exists() else b""
    ratings, end = [], 0
    for number, line in enumerate(whole.split(b"\n")[:-1], 1):
        end += len(line) + 1
        if line.strip():
            ratings.append((_rating(line, f"{path}:{number}"), end))
    return ratings


def _rating(line: bytes, where: str) -> dict[str, Any]:
    try:
        rating = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{where}: not JSON ({error}); expected one rating a line") from None
    if not isinstance(rating, dict):
        raise InputError(f"{where}: found {rating!r}, expected an object with item, system, …")
    rating = {"seed": 0, **rating}
    for name, kind in FIELDS.items():
        value = rating.get(name)
        if not isinstance(value, kind) or isinstance(value, bool):
            raise InputError(f"{where}: {name} is {value!r}, expected a {_says(kind)}")
    if not 0 <= rating["score"] <= FULL_MARKS:
        raise InputError(f"{where}: score is {rating['score']}, expected 0 to {FULL_MARKS:.0f}")
    return rating


def _says(kind: Any) -> str:
    return {int: "whole number", str: "text"}.get(kind, "number")


class RatingFile:
    """The ratings of one rater: lines of JSON, appended and flushed to disk one by one.

    Args:
        path: the file; made with its folder when the first rating comes.
        rater: the rater's name.
        rollouts: digest of the run's rollouts/, kept with each rating.

    Raises:
        InputError: a line of the file is not a rating.
    """

    def __init__(self, path: Path, rater: str, rollouts: str) -> None:
        self.path, self.rater, self.rollouts = path, rater, rollouts
        ratings = read_lines(path)
        self._lines = [rating for rating, _ in ratings]
        self._ends = [0, *(end for _, end in ratings)]  # offset in the file after each line

    def scores(self) -> dict[tuple[str, int, int], float]:
        """(system, item, seed) → the score given last, of the present rollouts."""
        return {
            (row["system"], row["item"], row["seed"]): row["score"]
            for row in self._lines
            if row.get("rollouts", self.rollouts) == self.rollouts
        }

    def add(self, drive: Shown, score: int) -> None:
        """Append a line for each system that drove this path, and wait until the disk has them."""
        time = datetime.now(UTC).isoformat(timespec="microseconds")
        rows = [
            {"item": drive.item, "system": name, "seed": drive.seed, "rater": self.rater,
             "score": score, "time": time, "rollouts": self.rollouts}
            for name in drive.systems
        ]  # fmt: skip
        self.path.parent.mkdir(parents=True, exist_ok=True)
        lines = [(json.dumps(row, ensure_ascii=False) + "\n").encode() for row in rows]
        self._write(self._ends[-1], b"".join(lines))
        for row, line in zip(rows, lines, strict=True):
            self._lines.append(row)
            self._ends.append(self._ends[-1] + len(line))

    def undo(self) -> None:
        """Take the last rating back: its lines are cut off the file."""
        last = self._lines[-1]
        while self._lines and all(self._lines[-1].get(k) == last.get(k) for k in ("item", "time")):
            self._lines.pop()
            self._ends.pop()
        self._write(self._ends[-1], b"")

    def _write(self, offset: int, data: bytes) -> None:
        descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            os.ftruncate(descriptor, offset)
            os.pwrite(descriptor, data, offset)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
