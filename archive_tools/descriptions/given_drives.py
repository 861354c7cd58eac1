"""Drives that no elite stands behind: given actions, replayed in the run's world.

They lie in a folder of two tables, `trajectories.parquet` (the columns of stage 02, without a
policy) and `events.parquet` (those of stage 03), so that later stages can put them beside the
archive's.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from archive_tools.annotations import (
    Annotation,
    NearRule,
    annotate,
    load_annotations,
    write_annotations,
)
from archive_tools.files import read_arrow, write_table
from archive_tools.trajectories import SCHEMA, Trajectories, load_trajectories, make_table
from envs import simulate
from envs.errors import InputError
from envs.scene import Scene
from envs.world import World

FOLDER = "given_drives"
"""In `descriptions/`."""


@dataclass(frozen=True)
class GivenDrives:
    """Replayed drives and what they pass."""

    table: pa.Table
    """Rows of SCHEMA, `policy_id` null."""
    annotations: Mapping[int, Annotation]


def replay_given(
    world: World,
    actions: Sequence[NDArray[np.float32]],
    first_id: int,
    *,
    rule: NearRule,
    decimals: int | None,
) -> GivenDrives:
    """Drive given actions from the world's start.

    Args:
        world: with its scene.
        actions: each [T, 2], world units.
        first_id: trajectory_id of the first drive; the others follow.
        rule: of the annotation, as the run's trajectories had it.
        decimals: actions are rounded to, as the run's were; None for none.
    """
    action = np.stack(actions).astype(np.float32)
    if decimals is not None:
        action = np.round(action, decimals)
    driven = simulate(world, action)
    ids = list(range(first_id, first_id + len(action)))
    found = annotate(world.scene or Scene(), driven.pose, size=world.size, rule=rule)
    lengths = np.full(len(action), action.shape[1], np.int32)
    table = make_table(
        ids, lengths, driven.pose[:, -1, :2], driven.obs, action, driven.pose, [None] * len(ids)
    )
    return GivenDrives(table, dict(zip(ids, found, strict=True)))


def write_given(folder: Path, drives: GivenDrives) -> None:
    """Write the two tables into `folder`."""
    write_table(folder / "trajectories.parquet", drives.table)
    write_annotations(folder, [(list(drives.annotations), list(drives.annotations.values()))])


def load_given(folder: Path) -> GivenDrives | None:
    """Read `descriptions/given_drives/`; None where there is none.

    Raises:
        InputError: a table is missing or damaged.
    """
    if not folder.is_dir():
        return None
    table = read_arrow(folder / "trajectories.parquet", SCHEMA.names)
    return GivenDrives(table, load_annotations(folder))


def with_given(trajectories: Trajectories, folder: Path) -> Trajectories:
    """Trajectories of a run with the given drives of `folder` behind them.

    Raises:
        InputError: the drives differ in length or in what the robot senses.
    """
    names = [n for n in ("obs", "action", "pose", "bd") if getattr(trajectories, n) is not None]
    given = load_trajectories(folder, names, trajectories.info)
    arrays = {}
    for name in names:
        ours, theirs = getattr(trajectories, name), getattr(given, name)
        if isinstance(ours, list) or ours.shape[1:] != theirs.shape[1:]:
            raise InputError(
                f"{folder}: its drives differ from the run's trajectories in {name}; "
                "run scripts/04_describe.py again"
            )
        arrays[name] = np.concatenate([ours, theirs])
    return replace(
        trajectories,
        ids=np.concatenate([trajectories.ids, given.ids]),
        lengths=np.concatenate([trajectories.lengths, given.lengths]),
        **arrays,
    )
