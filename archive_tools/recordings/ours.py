"""This project's own trajectories: of a run, or as they were published."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from archive_tools.files import read_arrow, read_json
from archive_tools.recordings.episodes import Array, Episode, Recording
from archive_tools.trajectories import SCHEMA, unpack_table
from envs.errors import InputError

COLUMNS = ("trajectory_id", "length", "bd", "obs", "action", "pose")
NAMES = {"obs": "observations", "action": "actions", "pose": "pose"}


def own_files(folder: Path) -> tuple[Path, list[Path]] | None:
    """trajectories.json and the Parquet files that it describes; None where there are none.

    The folder is a run, its trajectories/, or a published dataset: shards are read by name.
    """
    for place in (folder, folder / "trajectories"):
        info = place / "trajectories.json"
        for pattern in (
            "trajectories.parquet",
            "data/trajectories*.parquet",
            "trajectories/*.parquet",
        ):
            files = sorted(place.glob(pattern))
            if info.is_file() and files:
                return info, files
    return None


def read_ours(folder: Path | str) -> Recording:
    """Trajectories that stage 02 wrote, here or elsewhere.

    Raises:
        InputError: missing, truncated or foreign files; a row whose length does not fit.
    """
    folder = Path(folder)
    found = own_files(folder)
    if found is None:
        raise InputError(f"{folder}: no trajectories.json with trajectories.parquet beside it")
    info_file, files = found
    info = dict(read_json(info_file, dict))
    table = pa.concat_tables([_table(path) for path in files])
    read = unpack_table(table, info, ("obs", "action", "pose", "bd"), info_file)
    policies = table["policy_id"].to_pylist() if "policy_id" in table.column_names else None
    episodes = []
    for row, identity in enumerate(read.ids.tolist()):
        arrays: dict[str, Array] = {}
        for name, ours in NAMES.items():
            values = getattr(read, name)
            if values is not None:
                arrays[ours] = np.asarray(values[row])
        each = {"trajectory_id": np.array([identity])}
        if read.bd is not None:
            each["bd"] = read.bd[row]
        if policies is not None and policies[row] is not None:
            each["policy_id"] = np.array([policies[row]])
        episodes.append(Episode(f"trajectory {identity}", arrays, each=each))
    top = info_file.parent
    worlds = (top / "world", top.parent / "archive" / "world", folder / "archive" / "world")
    world = next((place for place in worlds if place.is_dir()), None)
    return Recording(str(info_file.parent), "Wayword", episodes, info=info, world=world)


def _table(path: Path) -> pa.Table:
    names: list[str] = list(COLUMNS)
    read_arrow(path, names)  # says what is missing
    if "policy_id" in pq.read_schema(path.absolute()).names:
        names.append("policy_id")
    try:
        return read_arrow(path, names).cast(pa.schema([SCHEMA.field(name) for name in names]))
    except (pa.ArrowException, ValueError) as error:
        raise InputError(f"{path}: {str(error).splitlines()[0][:200]}") from None
