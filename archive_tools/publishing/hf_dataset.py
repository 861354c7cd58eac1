"""A run as a dataset of the Hugging Face Hub: its tables in Parquet, and a card that names them.

Files that the run has are copied as they are; the dataset that policies learn from is split into a
file for each of its splits. `python -m nanodt.train --data` and stage 02 read the folder.
"""

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from archive_tools.files import atomic_write, read_arrow, read_json, write_json, write_table
from archive_tools.publishing.contents import SPLITS, Contents
from envs import load_world
from envs.errors import InputError

FILES = {
    "trajectories": {"trajectories.parquet": "trajectories/trajectories.parquet"},
    "archive": {"elites.parquet": "archive/elites.parquet", "archive.json": "archive/archive.json"},
    "annotations": {name: f"annotations/{name}" for name in ("events.parquet", "routes.parquet")},
    "descriptions": {"descriptions.parquet": "descriptions/descriptions.parquet"},
    "tokenizer": {"tokenizer.json": "tokenizer/tokenizer.json"},
    "dataset": {name: name for name in ("augmentation.parquet", "test_wording.parquet")},
}
"""Stage → its file → where that goes."""
FOLDERS = {"descriptions": ("given_drives/", "descriptions/"), "dataset": ("reader/", "")}
"""Stage → its folder, all of which goes below another one."""
CONFIGS = {
    "trajectories": "trajectories/trajectories.parquet",
    "events": "annotations/events.parquet",
    "routes": "annotations/routes.parquet",
    "descriptions": "descriptions/descriptions.parquet",
    "given_drives": "descriptions/given_drives/trajectories.parquet",
    "augmentation": "augmentation.parquet",
    "unseen_wording": "test_wording.parquet",
    "elites": "archive/elites.parquet",
}
"""Configuration of the card → its file; `default` are the splits of the dataset."""
TABLE, INFO = "trajectories.parquet", "dataset.json"


def write(contents: Contents, folder: Path) -> dict[str, int]:
    """Write the dataset into an empty folder and hold it against the run; rows by configuration.

    Raises:
        InputError: what was read again is not what the run holds.
    """
    for stage in contents.stages:
        below, to = FOLDERS.get(stage, ("\0", ""))
        for name in contents.files(stage):
            target = FILES.get(stage, {}).get(name)
            if target or name.startswith(below):
                contents.copy(stage, name, folder / (target or f"{to}{name}"))
    contents.companions(folder)
    if "dataset" in contents.stages:
        _write_splits(contents, folder)
    if (folder / "world").exists():
        copied, own = (
            load_world(f).digest() for f in (folder / "world", contents.run / "archive" / "world")
        )
        _check(copied == own, folder / "world")
    configs = {k: path for k, path in CONFIGS.items() if (folder / path).exists()}
    parts = [split for split in SPLITS if (folder / "data" / f"{split}.parquet").exists()]
    rows = {name: len(read_arrow(folder / path)) for name, path in configs.items()}
    rows |= {s: len(read_arrow(folder / "data" / f"{s}.parquet", ("split",))) for s in parts}
    card = contents.card("dataset.md.jinja", configs=configs, parts=parts, count=rows)
    atomic_write(folder / "README.md", card)
    return rows


def _write_splits(contents: Contents, folder: Path) -> None:
    source = contents.run / "dataset"
    table, info = read_arrow(source / TABLE), read_json(source / INFO)
    for split in sorted(set(table["split"].to_pylist())):
        part = table.filter(pc.field("split") == split)
        path = folder / "data" / f"{split}.parquet"
        write_table(path, part)
        _check(_equal(read_arrow(path), part), path)
    write_json(folder / INFO, {**info, "environment": beside(info["environment"])})
    again = read_json(folder / INFO)
    _check({**again, "environment": info["environment"]} == info, folder / INFO)


def beside(environment: dict[str, Any]) -> dict[str, Any]:
    """The environment of dataset.json where the run's world lies beside that file."""
    kwargs = {
        k: v.replace("../archive/world", "./world", 1)
        if isinstance(v, str) and v.startswith("../archive/world")
        else v
        for k, v in environment["kwargs"].items()
    }
    return {**environment, "kwargs": kwargs}


def _equal(one: pa.Table, other: pa.Table) -> bool:
    return one.schema.equals(other.schema) and one.equals(other)


def _check(same: bool, path: Path) -> None:
    if not same:
        raise InputError(f"{path}: read again, it is not what the run holds; publish again")
