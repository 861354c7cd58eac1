"""Files of commands: what people would type, read, replayed and made into items.

Columns: `text`; optional `bd`, where to end; `action`, the wheels of a drive that the text tells
of, which is replayed and becomes the reference; `must`, `avoid` and `end`, names of the scene by
which the command is judged in place of the reader's understanding. Each file is a set of items of
its own, named by the file's stem, and its contrast pairs are another: "STEM/contrast".
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from archive_tools.descriptions import given_drives
from archive_tools.files import user_tables
from archive_tools.language import PLACEHOLDER
from archive_tools.rollouts.contrast import contrast_pairs
from archive_tools.rollouts.items import (
    ITEM_SCHEMA,
    NARRATORS,
    contrast_of,
    driven_sets,
    set_of,
)
from envs.errors import InputError
from envs.scene import Scene
from envs.world import World

__all__ = [
    "FOLDER",
    "NARRATORS",
    "PEOPLE",
    "CommandFile",
    "FileCommand",
    "command_items",
    "contrast_of",
    "driven_sets",
    "load_references",
    "named_sets",
    "read_commands",
    "replay_references",
    "set_of",
]
PEOPLE = "people"
"""The set of the commands that come with a bundled world."""
FOLDER = "references"
"""In `rollouts/`: the replayed drives of files, in the two tables of `given_drives`."""


@dataclass(frozen=True)
class FileCommand:
    """One row of a file of commands."""

    text: str
    bd: NDArray[np.float32] | None
    """[n_bd]; None leaves the end to the text."""
    action: NDArray[np.float32] | None
    """[T, 2], world units: the reference's wheels, or None."""
    must: tuple[str, ...] | None = None
    """To be met in this order; like the next two None where the row says none of the three."""
    avoid: tuple[str, ...] | None = None
    """Not to be met."""
    end: str | None = None
    """Where to end."""
    reference: int | None = None
    """trajectory_id of the replayed drive."""


@dataclass(frozen=True)
class CommandFile:
    """A file of commands, and how it is read."""

    path: Path
    name: str
    """Of its set."""
    where: Mapping[str, str]
    unit: user_tables.ActionUnit = "auto"
    items: int = 0
    """How many commands are driven, drawn by seed; 0 means all."""


def named_sets(
    files: Sequence[Path], where: Mapping[str, str], unit: user_tables.ActionUnit
) -> list[CommandFile]:
    """Files with the names of their sets.

    Raises:
        InputError: two have one name, or one that a set has already.
    """
    chosen: dict[str, CommandFile] = {}
    for path in map(Path, files):
        name = path.stem
        if name in chosen or name in (NARRATORS, contrast_of(NARRATORS), PEOPLE):
            raise InputError(
                f"{path}: another set of commands is called {name!r} already; rename the file, "
                "as its name is that of its set"
            )
        chosen[name] = CommandFile(path, name, where, unit)
    return list(chosen.values())


def read_commands(file: CommandFile, info: Mapping[str, Any], scene: Scene) -> list[FileCommand]:
    """Read a file of commands.

    Args:
        file: which, and which of its rows.
        info: of dataset.json: n_bd, bd_low, bd_high, steps.
        scene: whose names the rows may use.

    Raises:
        InputError: names the file, the row and what to do.
    """
    frame = user_tables.read_user_table(file.path, "commands", file.where)
    actions: Sequence[NDArray[np.float32] | None] = [None] * len(frame)
    if "action" in frame:
        actions = user_tables.read_actions(
            file.path, frame, int(info["steps"]), file.unit, "commands"
        )
    known = {*scene.object_names, *scene.tile_names}
    commands = []
    for row, action in zip(frame.to_dict(orient="records"), actions, strict=True):
        at = f"{file.path}: row {row[user_tables.ROW]}"
        bd = None if user_tables.missing(row.get("bd")) else _place(row["bd"], info, at)
        if PLACEHOLDER in row["text"] and bd is None and action is None:
            raise InputError(
                f"{at}: the text holds {PLACEHOLDER}, but the row has no bd to fill in"
            )
        must, avoid = (_names(row.get(key), known, f"{at}: {key}") for key in ("must", "avoid"))
        end = None if user_tables.missing(row.get("end")) else str(row["end"]).strip()
        if end is not None:
            _names([end], known, f"{at}: end")
        commands.append(
            FileCommand(row["text"], bd, action, must, avoid, end)
            if must or avoid or end
            else FileCommand(row["text"], bd, action)
        )
    return commands


def _place(value: Any, info: Mapping[str, Any], at: str) -> NDArray[np.float32]:
    """A cell with a BD."""
    cell = user_tables.cell_list(value, f"{at}: bd", "[412.5, 80]")
    try:
        bd = np.asarray(cell, np.float32)
    except (TypeError, ValueError):
        raise InputError(f"{at}: bd is no list of numbers; write it like [412.5, 80]") from None
    if bd.shape != (info["n_bd"],):
        raise InputError(f"{at}: bd has {bd.size} numbers, expected {info['n_bd']}")
    names = info.get("bd_names") or [f"value {number}" for number in range(1, len(bd) + 1)]
    for name, x, low, high in zip(names, bd, info["bd_low"], info["bd_high"], strict=True):
        if not low <= x <= high:  # also where it is not a number
            raise InputError(f"{at}: bd: {name} is {x:g}, expected {low:g} to {high:g}")
    return bd


def _names(value: Any, known: set[str], at: str) -> tuple[str, ...]:
    """A cell with names of the scene."""
    if user_tables.missing(value):
        return ()
    names = user_tables.cell_list(value, at, '["piano", "green"]')
    for name in names:
        if name not in known:
            raise InputError(
                f"{at} has {name!r}, which the scene does not have; its names are "
                f"{', '.join(sorted(known)) or 'none'}"
            )
    return tuple(names)


def replay_references(
    sets: Mapping[str, Sequence[FileCommand]],
    world: World,
    first_id: int,
    **rule: Any,
) -> tuple[dict[str, list[FileCommand]], given_drives.GivenDrives | None]:
    """Replay the drives that commands bring along; equal ones once.

    Args:
        sets: name → commands.
        world: of the run.
        first_id: trajectory_id of the first drive; the others follow.
        rule: `rule` and `decimals` of `given_drives.replay_given`.

    Returns:
        the commands with their references, and with the BDs of these where they have none; the
        drives, None where there are none.
    """
    brought = [c.action for commands in sets.values() for c in commands if c.action is not None]
    distinct = list({action.tobytes(): action for action in brought}.values())
    if not distinct:
        return {name: list(commands) for name, commands in sets.items()}, None
    drives = given_drives.replay_given(world, distinct, first_id, **rule)
    number = {action.tobytes(): first_id + k for k, action in enumerate(distinct)}
    ends = np.asarray(drives.table["bd"].to_pylist(), np.float32)

    def referred(command: FileCommand) -> FileCommand:
        if command.action is None:
            return command
        reference = number[command.action.tobytes()]
        bd = ends[reference - first_id] if command.bd is None else command.bd
        return replace(command, reference=reference, bd=bd)

    return {name: [referred(c) for c in commands] for name, commands in sets.items()}, drives


def command_items(
    file: CommandFile,
    commands: Sequence[FileCommand],
    routes: Mapping[int, Sequence[str]],
    diagonal: float,
    *,
    pairs: int,
    seed: int,
) -> pd.DataFrame:
    """The items of a file (columns of ITEM_SCHEMA but `item`): its commands and contrast pairs.

    The pairs are mined from all commands that have a reference, whatever `file.items` says. Both
    commands of a pair ask for the BD of its first.

    Args:
        file: of the commands.
        commands: of `replay_references`.
        routes: trajectory_id → visited sequence of the references.
        diagonal: of the BD space, in its units.
        pairs: at most so many contrast pairs.
        seed: of the draws.
    """
    rng = np.random.default_rng([seed, 0])
    count = min(file.items or len(commands), len(commands))
    rows: list[tuple[Any, ...]] = [
        (file.name, None, c.reference, None, c.text, c.bd, c.must, c.avoid, c.end)
        for c in (commands[i] for i in np.sort(rng.permutation(len(commands))[:count]))
    ]
    compared = [c for c in commands if c.reference is not None]
    places = [c.bd for c in compared if c.bd is not None]
    known = [routes[c.reference] for c in compared if c.reference is not None]
    found = contrast_pairs(places, known, diagonal, seed=seed, limit=pairs) if compared else []
    for number, (i, j) in enumerate(np.asarray(found).tolist()):
        for one, rival in ((compared[i], compared[j]), (compared[j], compared[i])):
            rows.append(
                (contrast_of(file.name), number, one.reference, rival.reference, one.text,
                 compared[i].bd, None, None, None)
            )  # fmt: skip
    return pd.DataFrame(rows, columns=ITEM_SCHEMA.names[1:], dtype=object)


def load_references(run: Path) -> given_drives.GivenDrives | None:
    """The replayed drives of a run's `rollouts/`; None where its commands brought none.

    Raises:
        InputError: a table is missing or damaged.
    """
    return given_drives.load_given(run / "rollouts" / FOLDER)
