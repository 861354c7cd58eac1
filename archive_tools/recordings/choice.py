"""From episodes as they were stored to drives as the stages hold them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from archive_tools.recordings.episodes import (
    Array,
    Column,
    Episode,
    Recording,
    listed,
    rows_of,
    same_width,
)
from archive_tools.recordings.spaces import n_discrete
from envs.errors import InputError

Floats = NDArray[np.float32]
OBSERVATIONS = ("observations", "observation.state")
POSES = ("pose", "infos/pose", "observation.pose")
"""x, y (world units, y down) and heading."""
POSITIONS = ("positions", "infos/position", "infos/positions", "observation.position")
BDS = ("bd", "infos/bd", "observation.bd")


@dataclass(frozen=True)
class Choice:
    """Which arrays are what."""

    observations: Column | None = None
    position: tuple[Column, ...] = ()
    """One array, or x and y from two."""
    bd: Column | None = None
    drop_last_action: bool = False
    """Episodes with as many observations as actions lose their last action."""
    steps: int = 0
    """The first so many steps of each episode; 0: all."""

    @classmethod
    def of(
        cls, observations: str, position: Sequence[str], bd: str, *, drop: bool, steps: int
    ) -> "Choice":
        """From the options of stage 02; "" and () leave it to the usual names.

        Raises:
            InputError: an option is no name of an array.
        """
        if len(position) > 2:
            raise InputError(f"--position {' '.join(position)}: expected one array, or two")
        return cls(
            Column.parse("--observations", observations) if observations else None,
            tuple(Column.parse("--position", text) for text in position),
            Column.parse("--bd", bd) if bd else None,
            drop,
            steps,
        )


@dataclass(frozen=True)
class Drives:
    """N drives of any lengths T, single precision."""

    ids: list[int]
    policy_ids: list[int | None]
    seeds: list[int | None]
    obs: list[Floats]
    """[T + 1, n_obs] each."""
    action: list[Floats]
    """[T, n_act] each."""
    position: list[Floats] | None
    """[T + 1, 2] x, y, or [T + 1, 3] with the heading."""
    is_pose: bool
    """`position` is in world units, y down; else in units of the source."""
    bd: list[Floats] | None
    """[n_bd] each, where it was recorded or chosen."""
    classes: int | None
    """How many numbered actions there are; None where they are continuous."""
    texts: list[tuple[int, str]]
    """trajectory_id and text."""
    names: list[str]
    notes: list[str] = field(default_factory=list)

    @property
    def lengths(self) -> NDArray[np.int64]:
        """Steps [N] of each."""
        return np.array([len(one) for one in self.action])


def take_drives(recording: Recording, choice: Choice) -> Drives:
    """The chosen arrays of all episodes, checked.

    Raises:
        InputError: an array is missing or no vector, an episode does not have an observation more
            than actions, is shorter than asked for, or holds NaN.
    """
    source, episodes = recording.source, recording.episodes
    seen = choice.observations or _first(recording, OBSERVATIONS, "observations", "--observations")
    pose = None if choice.position else _known(recording, POSES)
    place = choice.position or tuple(
        Column(name) for name in (pose or _known(recording, POSITIONS),) if name
    )
    named = None if choice.bd else _known(recording, BDS)
    bd = choice.bd or (Column(named) if named else None)
    columns: dict[str, tuple[Column, ...]] = {
        "observations": (seen,),
        "actions": (Column("actions"),),
    }
    columns |= ({"position": place} if place else {}) | ({"bd": (bd,)} if bd else {})
    parts: dict[str, list[Array]] = {what: [] for what in columns}
    for episode in episodes:
        arrays = _arrays(episode, columns, source)
        _cut(arrays, episode, recording, choice)
        for what, values in arrays.items():
            parts[what].append(values)
    names = [episode.name for episode in episodes]
    widths = {what: same_width(parts[what], names, what, source) for what in parts}
    notes = list(recording.notes)
    singles = {what: _single(parts[what], names, what, source, notes) for what in parts}
    where = singles.get("position")
    if where is not None and not pose:
        if widths["position"] < 2:
            raise InputError(
                f"{source}: --position {place[0].name} has {widths['position']} number a step; "
                "expected x and y"
            )
        where = [one[:, : 3 if choice.position and place[0].places else 2] for one in where]
    each = _each_bd(episodes) if bd is None else None
    if each is not None:
        each = _single([row[None] for row in each], names, "bd", source, notes)
    ends = singles.get("bd", each)
    ids = _ids(recording)
    return Drives(
        ids,
        [_number(e.each, "policy_id") for e in episodes],
        [_number(e.each, "seed") for e in episodes],
        singles["observations"],
        singles["actions"],
        where,
        pose is not None,
        None if ends is None else [one[-1] for one in ends],
        n_discrete(recording.spaces.get("actions", {}), source),
        [(i, text) for i, e in zip(ids, episodes, strict=True) for text in e.texts],
        names,
        notes,
    )


def _known(recording: Recording, names: tuple[str, ...]) -> str | None:
    """The first of some names that every episode has."""
    return next((n for n in names if all(n in e.arrays for e in recording.episodes)), None)


def _first(recording: Recording, names: tuple[str, ...], what: str, option: str) -> Column:
    """The array that holds observations: a usual name, or the only one that it can be."""
    first = recording.episodes[0]
    name = next((n for n in names if n in first.arrays or n in first.no_vectors), None)
    if name is None:
        raise InputError(
            f"{recording.source}: no array of {what} (found {listed(recording.names)}); name it "
            f"with {option}"
        )
    return Column(name)


def _arrays(
    episode: Episode, columns: Mapping[str, tuple[Column, ...]], source: str
) -> dict[str, Array]:
    """The chosen numbers [rows, size] of an episode, checked for NaN."""
    found = {}
    for what, parts in columns.items():
        rows = [rows_of(episode, column, source) for column in parts]
        if len({len(one) for one in rows}) > 1:
            counts = ", ".join(f"{c.name} {len(r)}" for c, r in zip(parts, rows, strict=True))
            raise InputError(f"{source}: {episode.name}: rows of {what} differ ({counts})")
        values = np.concatenate(rows, axis=1)
        bad = ~np.isfinite(values.astype(np.float64)).all(axis=1)
        if bad.any():
            raise InputError(
                f"{source}: {episode.name}, step {int(np.flatnonzero(bad)[0])}: {what} hold NaN or "
                "an infinite number; leave the episode out, or record it anew"
            )
        found[what] = values
    return found


def _cut(arrays: dict[str, Array], episode: Episode, recording: Recording, choice: Choice) -> None:
    """Bring an episode to an observation more than actions, and to the steps asked for."""
    where, steps = f"{recording.source}: {episode.name}", len(arrays["actions"])
    after = {what: len(values) for what, values in arrays.items() if what != "actions"}
    frames = recording.frames or (choice.drop_last_action and steps in after.values())
    for what, rows in after.items():
        if rows == steps and not frames:
            raise InputError(
                f"{where}: {rows} rows of {what} for {steps} actions; expected {steps + 1}, the "
                "last one after the last action: record it, or leave each last action out with "
                "--drop-last-action"
            )
        if rows not in (steps, steps + 1):
            raise InputError(
                f"{where}: {rows} rows of {what} for {steps} actions; expected {steps + 1}"
            )
    steps -= frames
    if steps < max(choice.steps, 1):
        raise InputError(
            f"{where}: {steps} steps; expected {'at least ' if choice.steps else ''}"
            f"{choice.steps or 'one'}"
            + (f" (--steps {choice.steps}); give fewer, or leave it out" if choice.steps else
               ", and an observation after it")
        )  # fmt: skip
    steps = choice.steps or steps
    for what, values in arrays.items():
        arrays[what] = values[: steps + (what != "actions")]


def _single(
    parts: list[Array], names: list[str], what: str, source: str, notes: list[str]
) -> list[Floats]:
    """As float32; what that changes is noted, what it cannot hold refused."""
    found, change = [], 0.0
    for values, name in zip(parts, names, strict=True):
        if values.dtype.kind not in "biuf":
            raise InputError(f"{source}: {name}: {what} are {values.dtype}, expected real numbers")
        with np.errstate(over="ignore"):
            single = values.astype(np.float32)
        if not np.isfinite(single).all():
            step = int(np.argwhere(~np.isfinite(single))[0][0])
            raise InputError(f"{source}: {name}, step {step}: {what} are too large for float32")
        if values.dtype.kind == "f" and values.dtype.itemsize > 4 and values.size:
            change = max(change, float(np.abs(values - single).max()))
        found.append(single)
    if change:
        notes.append(f"{what} are kept as float32: changed by at most {change:.1g}")
    return found


def _each_bd(episodes: list[Episode]) -> list[Array] | None:
    """The BDs that episodes have once; None where one has none."""
    if not all("bd" in episode.each for episode in episodes):
        return None
    return [np.asarray(episode.each["bd"]).reshape(-1) for episode in episodes]


def _number(each: Mapping[str, Any], key: str) -> int | None:
    return int(np.ravel(each[key])[0]) if key in each else None


def _ids(recording: Recording) -> list[int]:
    """trajectory_id of each episode: its own, or by number."""
    own = [_number(episode.each, "trajectory_id") for episode in recording.episodes]
    ids = [i for i in own if i is not None]
    if len(ids) < len(own):
        return list(range(len(own)))
    if len(set(ids)) < len(ids):
        twice = next(i for i in ids if ids.count(i) > 1)
        raise InputError(f"{recording.source}: trajectory_id {twice} appears more than once")
    return ids
