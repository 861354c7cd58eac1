"""What every reader of this room gives: episodes as their files hold them, and choices of columns.

An episode's arrays keep their names, nested ones by path ("observations/goal", "infos/pose"), and
their types. Which of them are the observations and which the position is chosen later.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from envs.errors import InputError

Array = NDArray[Any]
REMEDY = {
    "Dict": "flatten them first (gymnasium's FlattenObservation) and record them anew",
    "Tuple": "flatten them first (gymnasium's FlattenObservation) and record them anew",
    "Text": "texts are no vectors; record an observation of numbers",
    "Graph": "graphs are no vectors; record an observation of numbers",
    "Sequence": "sequences differ in length; record an observation of one length",
    "OneOf": "record an observation of one kind",
    "pictures": "record them with jpeg_encoding=False, or give vectors",
}
"""Kind of values that are no vectors → what to do."""


@dataclass(frozen=True)
class Episode:
    """One recorded drive as it is stored."""

    name: str
    """What messages call it."""
    arrays: Mapping[str, Array]
    """name → [T + 1 or T, …]; among them `actions` [T, …]."""
    no_vectors: Mapping[str, str] = field(default_factory=dict)
    """Name of what is stored beside them → its kind, a key of REMEDY."""
    each: Mapping[str, Array] = field(default_factory=dict)
    """What it has once: trajectory_id, policy_id, seed, bd."""
    texts: tuple[str, ...] = ()
    """What was asked for, in words."""

    @property
    def steps(self) -> int:
        """T, the number of actions; of LeRobot the frames."""
        return len(self.arrays["actions"])


@dataclass(frozen=True)
class Recording:
    """Episodes of one source.

    Raises:
        InputError: there is none.
    """

    source: str
    """What messages call it."""
    kind: str
    episodes: list[Episode]
    spaces: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """`observations`, `actions` → the space, as Minari writes it; {} where nobody says."""
    frames: bool = False
    """A row is an observation and the action about to be taken: of the last one nobody recorded
    the outcome."""
    environment: str | None = None
    """Gymnasium id, where the source names one."""
    info: dict[str, Any] | None = None
    """trajectories.json, where it lies beside."""
    world: Path | None = None
    """The folder of a world that lies beside."""
    notes: tuple[str, ...] = ()
    """What a user should know of how it was read."""

    def __post_init__(self) -> None:
        if not self.episodes:
            raise InputError(f"{self.source} holds no episode with steps")

    @property
    def names(self) -> list[str]:
        """All arrays, in the order of the first episode."""
        return list(dict.fromkeys(name for e in self.episodes for name in e.arrays))


def companions(folder: Path) -> tuple[Path | None, Path | None]:
    """`trajectories.json` and `world/` in a folder, where they are."""
    info, world = folder / "trajectories.json", folder / "world"
    return info if info.is_file() else None, world if world.is_dir() else None


@dataclass(frozen=True)
class Column:
    """Which numbers of which array: an option like `infos/pose:0,1`."""

    name: str
    places: tuple[int, ...] | None = None
    """Of the flattened row; all where None."""

    @classmethod
    def parse(cls, option: str, text: str) -> "Column":
        """Read an option.

        Raises:
            InputError: it is no name, or name and places.
        """
        match = re.fullmatch(r"(?P<name>[^:]+)(:(?P<places>\d+(,\d+)*))?", text)
        if match is None:
            raise InputError(
                f"{option} {text}: expected the name of an array, or with places in its rows, like "
                "observations:0,1"
            )
        places = match["places"]
        return cls(match["name"], None if places is None else tuple(map(int, places.split(","))))


def listed(names: Iterable[str]) -> str:
    """Names in a message."""
    return ", ".join(names) or "nothing"


def no_vector(name: str, kind: str, parts: Iterable[str] = ()) -> str:
    """Why values are not taken, and what to do."""
    remedy = REMEDY.get(kind, "give a Box")
    if name == "actions":
        remedy = "only Box and Discrete actions can be learnt; wrap the environment and record anew"
    elif parts := list(parts):
        remedy += f", or choose one of {', '.join(parts)} (--observations, in stage 02)"
    if kind == "pictures":
        return f"{name} are pictures in JPEG files; {remedy}"
    return f"{name} are of a space {kind}: {remedy}"


def rows_of(episode: Episode, column: Column, source: str) -> Array:
    """The chosen numbers [rows, size] of an episode, in the type that they are stored in.

    Raises:
        InputError: no such array, one that is no vector, or no such place.
    """
    where, name = f"{source}: {episode.name}", column.name
    if name in episode.no_vectors:
        nested = (n for n in episode.arrays if n.startswith(f"{name}/"))
        raise InputError(f"{where}: {no_vector(name, episode.no_vectors[name], nested)}")
    values = episode.arrays.get(name)
    if values is None:
        raise InputError(f"{where}: no array {name!r} (found {listed(episode.arrays)})")
    if values.ndim == 0 or values.dtype.kind not in "biuf":
        how = ": record real and imaginary parts as numbers of their own"
        raise InputError(
            f"{where}: {name} hold {values.dtype}, expected real numbers"
            f"{how if values.dtype.kind == 'c' else ''}"
        )
    rows = values.reshape(len(values), -1) if len(values) else values.reshape(0, 1)
    if column.places is None:
        return rows
    if max(column.places) >= rows.shape[1]:
        raise InputError(
            f"{where}: {name} has {rows.shape[1]} numbers a step; there is none at place "
            f"{max(column.places)}"
        )
    return rows[:, list(column.places)]


def same_width(parts: list[Array], names: list[str], what: str, source: str) -> int:
    """The one width of all episodes' rows.

    Raises:
        InputError: they differ.
    """
    widths = [part.shape[1] for part in parts]
    for width, name in zip(widths, names, strict=True):
        if width != widths[0]:
            raise InputError(
                f"{source}: {what} differs in size between episodes ({names[0]} has {widths[0]} "
                f"numbers a step, {name} {width}); record it anew"
            )
    return widths[0]
