"""Readers: what stands between a text as people write it and the text that a policy is told.

A dataset may have been told in a language of few words, and hold in `reader/` what turns any
phrasing into it. A model takes that folder over and reads every text through it. nanodt does not
know what a reader does: `reader/reader.json` names one, {"name": ...}, and an installed package
offers it under that name (entry points of the group `nanodt.readers`): a function from the folder
to a `Reader`.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from importlib.metadata import entry_points
from pathlib import Path
from typing import Protocol

import numpy as np

from nanodt.errors import InputError
from nanodt.files import read_json

FOLDER, FILE = "reader", "reader.json"
GROUP = "nanodt.readers"


class Reader(Protocol):
    """Reads whole batches of texts."""

    def read(self, texts: Sequence[str]) -> tuple[list[str], np.ndarray, list[list[str]]]:
        """Of N texts what a policy is told, the BD [N, n_bd] float32, and what is barred.

        A row of NaN: the text names no BD. Barred are the next places, by the names of the
        dataset's `subgoals`, that a policy must not choose.
        """
        ...


def load_reader(folder: Path) -> Reader | None:
    """The reader of a dataset's or model's folder; None where it has none.

    Raises InputError for a damaged folder, and where no installed package offers the reader.
    """
    path = folder / FOLDER / FILE
    if not path.exists():
        return None
    name = read_json(path, "train it again").get("name")
    found = [point for point in entry_points(group=GROUP) if point.name == name]
    if not found:
        raise InputError(
            f"{path}: the model reads texts by {name!r}, which no installed package offers; "
            f"install the project that trained it (pip install {name})"
        )
    return found[0].load()(path.parent)


def take_reader(source: Path, out: Path) -> None:
    """Take the reader of a dataset's folder over into a model's, if there is one."""
    shutil.rmtree(out / FOLDER, ignore_errors=True)
    if (source / FOLDER).is_dir():
        shutil.copytree(source / FOLDER, out / FOLDER)
