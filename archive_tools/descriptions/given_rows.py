"""Given descriptions as rows of a table: their drives replayed, their texts checked."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from archive_tools.annotations import NearRule, load_annotations
from archive_tools.descriptions.given_drives import GivenDrives, replay_given
from archive_tools.descriptions.given_texts import Given, read_given
from archive_tools.files import read_json, user_tables
from archive_tools.language import check_text
from archive_tools.run import Stage
from archive_tools.tasks import Navigation
from envs import load_world
from envs.errors import InputError
from envs.scene import Scene


@dataclass(frozen=True)
class GivenOptions:
    """Which files are taken, and how they are read."""

    files: Sequence[Path]
    where: Sequence[str]
    """COLUMN=VALUE each."""
    unit: user_tables.ActionUnit
    max_words: int

    def conditions(self) -> dict[str, str]:
        """Column → value; InputError where a condition has no value or belongs to no file."""
        return user_tables.check_where(self.files, self.where, "texts")


def read_sources(sources: Sequence[GivenOptions], stage: Stage) -> list[Given]:
    """The given descriptions of all files; `stage` as for `add_given`.

    Raises:
        InputError: a file cannot be used.
    """
    annotations = load_annotations(stage.input("annotations")) if sources else {}
    info = _info(stage) if sources else None
    return [
        given
        for options in sources
        for file in options.files
        for given in read_given(
            file,
            annotations,
            steps=int(info["steps"]) if info else 0,
            unit=options.unit,
            where=options.conditions(),
        )
    ]


def add_given(
    sources: Sequence[GivenOptions], given: Sequence[Given], stage: Stage, first_sample: int
) -> tuple[list[dict[str, Any]], GivenDrives | None]:
    """Rows of the given descriptions, and the drives that they bring along.

    Args:
        sources: the files, at least one.
        given: what `read_sources` found in them.
        stage: with the inputs archive, annotations and, for drives, trajectories.
        first_sample: number of the first given text of a trajectory.

    Raises:
        InputError: a file brings drives that cannot be replayed.
    """
    annotations = load_annotations(stage.input("annotations"))
    world = load_world(stage.input("archive") / "world")
    scene = world.scene or Scene()
    info = _info(stage)
    drives, identity = None, {}
    brought = [g.action for g in given if g.action is not None]
    if brought:
        if info is None or info["environment"]["id"] != Navigation.id:
            raise InputError(
                f"{sources[0].files[0]}: actions can be replayed only in a run of {Navigation.id} "
                "whose trajectories are recorded; name trajectory_id instead"
            )
        distinct = list({action.tobytes(): action for action in brought}.values())
        first = max(annotations, default=-1) + 1
        drives = replay_given(
            world,
            distinct,
            first,
            rule=NearRule.of(stage.input("annotations")),
            decimals=info["action_decimals"],
        )
        identity = {action.tobytes(): first + k for k, action in enumerate(distinct)}
        annotations = annotations | drives.annotations
    rows = []
    counted: Counter[int] = Counter()
    for g in given:
        number = g.trajectory_id
        if number is None:
            assert g.action is not None
            number = identity[g.action.tobytes()]
        reasons = check_text(g.text, annotations[number], scene, max_words=sources[0].max_words)
        rows.append(
            {
                "trajectory_id": number,
                "sample": first_sample + counted[number],
                "style": g.style,
                "text": g.text,
                "source": g.source,
                "status": "rejected" if reasons else "accepted",
                "reason": "; ".join(reasons),
            }
        )
        counted[number] += 1
    return rows, drives


def _info(stage: Stage) -> dict[str, Any] | None:
    """The content of trajectories.json, where the run has recorded trajectories."""
    try:
        folder = stage.input("trajectories")
    except KeyError:
        return None
    return read_json(folder / "trajectories.json", dict)
