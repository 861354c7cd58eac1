"""Which drives are shown to raters, and in which order."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from archive_tools.files.tables import read_json, read_table
from archive_tools.run.stage import check_folder
from archive_tools.tasks.measures import Measures
from envs import load_world
from envs.errors import InputError


@dataclass(frozen=True)
class Shown:
    """A drive to be rated."""

    item: int
    seed: int
    systems: tuple[str, ...]
    """All systems that drove this path for this item."""
    text: str
    target: tuple[float, float] | None
    """World units; None where BDs are not positions in the world."""
    pose: NDArray[np.float32]
    """[T+1, 3], world units."""


def choose(
    run: Path, *, items: int = 32, systems: Sequence[str] = (), seed: int = 0
) -> list[Shown]:
    """The drives to be rated, in the order in which they are shown.

    Args:
        run: with archive/, dataset/ and rollouts/.
        items: the first so many test items; 0 means all.
        systems: whose drives; all when none are named.
        seed: of the order.

    Raises:
        InputError: a stage is missing or damaged, or rollouts/ has no such drive with a path.
    """
    for name in ("archive", "dataset", "rollouts"):
        check_folder(run / name)
    table = read_table(run / "rollouts" / "items.parquet", ("item", "set", "text", "bd"))
    tests = table.loc[table["set"] == "test"].set_index("item").sort_index()
    wanted = tests.index[: items or len(tests)].tolist()
    drives = read_table(run / "rollouts" / "rollouts.parquet", ("system", "item", "seed", "pose"))
    known = list(dict.fromkeys(drives["system"]))
    for name in systems:
        if name not in known:
            raise InputError(f"--judge-systems: no drives of {name}; found {', '.join(known)}")
    drives = drives.loc[drives["item"].isin(wanted) & drives["pose"].notna()]
    drives = drives.loc[drives["seed"] == drives["seed"].min()]
    if systems:
        drives = drives.loc[drives["system"].isin(list(systems))]
    measures = Measures.of_dataset(read_json(run / "dataset" / "dataset.json"))
    marked = measures.are_positions(load_world(run / "archive" / "world").size)
    paths: dict[tuple[int, bytes], list[str]] = {}
    for name, item, pose in zip(drives["system"], drives["item"], drives["pose"], strict=True):
        paths.setdefault((int(item), np.asarray(pose, np.float32).tobytes()), []).append(name)
    if not paths:
        raise InputError(f"{run / 'rollouts'}: no test drive with a path, so nothing to rate")
    first = int(drives["seed"].iloc[0])
    shown = [
        Shown(
            item,
            first,
            tuple(sorted(names)),
            str(tests["text"].loc[item]),
            (float(tests["bd"].loc[item][0]), float(tests["bd"].loc[item][1])) if marked else None,
            np.frombuffer(path, np.float32).reshape(-1, 3),
        )
        for (item, path), names in sorted(paths.items())
    ]
    return [shown[i] for i in np.random.default_rng(seed).permutation(len(shown))]
