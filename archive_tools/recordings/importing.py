"""Recorded drives as a stage writes them: poses, BDs and what describes them all."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from archive_tools.recordings.choice import Drives, Floats
from archive_tools.recordings.episodes import Recording
from archive_tools.recordings.replaying import Replayed
from archive_tools.recordings.setting import Setting
from archive_tools.recordings.spaces import action_bounds
from archive_tools.tasks import Measures, Navigation
from archive_tools.trajectories import make_info, make_table
from envs.errors import InputError


@dataclass(frozen=True)
class Taken:
    """N drives as the stages hold them."""

    poses: list[Floats]
    """[T + 1, 3] each."""
    bd: list[Floats]
    """[n_bd] each."""
    measures: Measures
    info: dict[str, Any]
    """The content of trajectories.json."""
    verdict: dict[str, Any]
    """What archive.json says of the import."""
    notes: list[str]
    """Lines for the user."""


def poses_of(drives: Drives, setting: Setting, replayed: Replayed | None, tolerance: float,
             source: str) -> list[Floats]:  # fmt: skip
    """Poses [T + 1, 3]: recorded, on the plane, or of the replay where all drives repeat.

    Raises:
        InputError: nobody says where the robot is.
    """
    if drives.position is None:
        if replayed is not None and replayed.pose is not None:
            if replayed.ok(tolerance).all():
                return replayed.pose
            why = "and not all drives repeat in --environment, whose poses would serve"
        else:
            why = "and no environment tells it"
        raise InputError(
            f"{source}: no position is recorded (no array pose or positions), {why}; name it with "
            "--position, like --position observations:0,1"
        )
    found = []
    for values in drives.position:
        if setting.plane is not None and not drives.is_pose:
            pose = setting.plane.pose(values[:, :2])
        else:
            pose = np.zeros((len(values), 3), np.float32)
            pose[:, : values.shape[1]] = values[:, :3]
        found.append(pose)
    return found


def measures_of(
    drives: Drives,
    setting: Setting,
    info: Mapping[str, Any] | None,
    given: tuple[Sequence[str], Sequence[float], Sequence[float]],
    bd: Sequence[Floats],
    source: str,
) -> Measures:
    """Names and bounds of the BD: given, the environment's, the world's, or from the data.

    Args:
        drives: what was recorded.
        setting: where.
        info: trajectories.json of the source.
        given: names, low, high of the options; () for none.
        bd: [n_bd] of each drive.
        source: for messages.

    Raises:
        InputError: another number of them than the BD has, or a BD beyond the bounds.
    """
    size, recorded = len(bd[0]), drives.bd is not None
    own: Measures | None = None
    if info is not None:
        own = Measures.of_dataset(info)
    elif setting.environment is not None:
        own = setting.environment.measures
        if not recorded and not (setting.world and own.are_positions(setting.world.size)):
            raise InputError(
                f"{source}: the BD of --environment {setting.id} is ({', '.join(own.names)}), no "
                "position; say by --bd which recorded numbers that is, like --bd observations:0,1"
            )
    elif setting.world is not None and not recorded:
        own = Measures(("x", "y"), (0.0, 0.0), (float(setting.world.size),) * 2)
    ends = np.stack(bd).astype(np.float64)
    low, high = ends.min(axis=0), ends.max(axis=0)
    room = 0.01 * np.maximum(high - low, 1e-6)
    names = ("x", "y") if not recorded else tuple(f"bd_{i}" for i in range(size))
    drawn = own or Measures(names, tuple((low - room).tolist()), tuple((high + room).tolist()))
    found = Measures(
        tuple(given[0]) or drawn.names, tuple(given[1]) or drawn.low, tuple(given[2]) or drawn.high
    )
    _check_measures(found, drives, bd, source)
    return found


def _check_measures(found: Measures, drives: Drives, bd: Sequence[Floats], source: str) -> None:
    """Refuse another number of names or bounds than the BD has, and a BD beyond them."""
    ends, size = np.stack(bd).astype(np.float64), len(bd[0])
    said = {"names": found.names, "low": found.low, "high": found.high}
    for option, values in said.items():
        if len(values) != size:
            raise InputError(
                f"{source}: the BD has {size} numbers, --bd-{option} (or the environment) "
                f"{len(values)}: {', '.join(map(str, values))}"
            )
    slack = 1e-6 * (np.array(found.high) - np.array(found.low))
    beyond = ((ends < found.low - slack) | (ends > found.high + slack)).any(axis=1)
    if beyond.any():
        n = int(np.flatnonzero(beyond)[0])
        bounds = ", ".join(f"{a:g} to {b:g}" for a, b in zip(found.low, found.high, strict=True))
        raise InputError(
            f"{source}: {drives.names[n]} ends at ({', '.join(f'{v:g}' for v in bd[n])}), beyond "
            f"the bounds of the BD ({bounds}); give --bd-low and --bd-high, or the --world that it "
            "was driven in"
        )


def describe_drives(
    drives: Drives, setting: Setting, recording: Recording, measures: Measures,
    environment: Mapping[str, Any], seed: int,
) -> tuple[dict[str, Any], list[str]]:  # fmt: skip
    """The content of trajectories.json, and lines for the user."""
    steps = int(drives.lengths.max())
    if recording.info is not None:
        return {**recording.info, "steps": steps, "environment": dict(environment)}, []
    notes: list[str] = []
    actions, task = np.concatenate(drives.action), setting.environment
    decimals = None
    if task is not None:
        low, high = task.action_low, task.action_high
        decimals = task.controller.action_decimals
        if decimals is not None and (np.round(actions, decimals) != actions).any():
            notes.append(
                f"actions are not rounded to the {decimals} decimals of --environment; kept as "
                "they are"
            )
            decimals = None
    elif drives.classes is not None:
        low, high = [0.0], [drives.classes - 1.0]
    else:
        space = recording.spaces.get("actions", {})
        low, high, note = action_bounds(space, actions, recording.source)
        notes += [note] if note else []
    if len(low) != actions.shape[1]:
        raise InputError(
            f"{recording.source}: {actions.shape[1]} actions a step, --environment {setting.id} "
            f"has {len(low)}; name the environment that it was recorded in"
        )
    n_obs = drives.obs[0].shape[1]
    info = make_info(n_obs, environment, low, high, decimals, measures.to_json(), steps)
    if isinstance(task, Navigation):
        info["odometry"] = task.odometry()
    if drives.classes is not None:
        info["action_classes"] = drives.classes
    elif task is not None and task.stochastic:
        info["seed"] = seed
    return info, notes


def table_of(drives: Drives, poses: list[Floats], bd: list[Floats], rows: slice) -> pa.Table:
    """Some of the drives as rows of trajectories.parquet."""
    return make_table(
        drives.ids[rows],
        drives.lengths[rows],
        np.stack(bd[rows]),
        drives.obs[rows],
        drives.action[rows],
        poses[rows],
        drives.policy_ids[rows],
    )


def take_in(
    recording: Recording,
    drives: Drives,
    setting: Setting,
    gym: Mapping[str, Any],
    replayed: Replayed | None,
    given: tuple[Sequence[str], Sequence[float], Sequence[float]],
    tolerance: float,
    seed: int,
) -> Taken:
    """All that is written of recorded drives.

    Args:
        recording, drives: what was recorded.
        setting: where.
        gym: {"id", "kwargs"} of the environment.
        replayed: the same actions driven once more.
        given: names, low and high of the BD that the user gives; () for none.
        tolerance: as for `Replayed.ok`.
        seed: of the replay.

    Raises:
        InputError: positions or BD are missing, or do not fit.
    """
    source, lengths = recording.source, drives.lengths
    poses = poses_of(drives, setting, replayed, tolerance, source)
    bd = drives.bd or [pose[-1, :2].copy() for pose in poses]
    measures = measures_of(drives, setting, recording.info, given, bd, source)
    info, notes = describe_drives(drives, setting, recording, measures, gym, seed)
    notes = [*drives.notes, *notes]
    verdict = {
        "source": Path(source).name,
        "format": recording.kind,
        "drives": len(drives.ids),
        "steps": [int(lengths.min()), int(lengths.max())],
        "recorded_in": recording.environment,
        "replayed": None if replayed is None else int(replayed.ok(tolerance).sum()),
        "tolerance": tolerance,
        "notes": notes,
    }
    return Taken(poses, list(bd), measures, info, verdict, notes)
