"""What must hold of the joined data before a policy may learn from it."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table
from tqdm import tqdm

from archive_tools.annotations.events import Annotation
from archive_tools.dataset.splits import (
    SPLITS,
)
from archive_tools.files.tables import (
    atomic_write,
)
from archive_tools.language.checks import check_text
from archive_tools.tasks.navigation import Navigation
from archive_tools.trajectories.table import Floats, Sequences, Trajectories
from envs.errors import InputError
from envs.scene import Scene


@dataclass
class Rule:
    """One thing that must hold of the dataset, and what was found."""

    name: str
    checked: int = 0
    offenders: list[tuple[int, str]] = field(default_factory=list)
    """(trajectory_id, what is wrong)."""


def recorded(trajectories: Trajectories) -> tuple[Sequences, Sequences, Floats, Floats]:
    """obs, action, pose and bd of trajectories that were recorded in a world.

    Raises:
        InputError: there are no poses, or the trajectories differ in length.
    """
    obs, action, pose, bd = (getattr(trajectories, k) for k in ("obs", "action", "pose", "bd"))
    if pose is None or isinstance(pose, list):
        raise InputError("trajectories/: a dataset needs poses, and trajectories of equal length")
    return obs, action, pose, bd


def check_trajectories(trajectories: Trajectories) -> list[Rule]:
    """Rules on the recorded arrays: finite, ids unique, the BD is where the robot ends."""
    ids = np.asarray(trajectories.ids)
    finite = Rule("observations, actions and poses are finite", len(ids))
    unique = Rule("trajectory ids are unique", len(ids))
    ends = Rule("the BD is the final position", len(ids))
    # Another task's BD may be anything, in units of its own.
    of_place = trajectories.info["environment"]["id"] == Navigation.id
    values, counts = np.unique(ids, return_counts=True)
    unique.offenders += [
        (int(i), f"appears {n} times") for i, n in zip(values, counts, strict=True) if n > 1
    ]
    obs, action, pose, bd = recorded(trajectories)
    for index, identity in enumerate(ids.tolist()):
        for name, values in (("obs", obs), ("action", action), ("pose", pose)):
            if not np.isfinite(values[index]).all():
                finite.offenders.append((identity, f"{name} has NaN or infinite values"))
        if of_place:
            miss = np.abs(pose[index][-1, :2] - bd[index]).max()
            if not miss <= 1e-3:
                ends.offenders.append((identity, f"ends {miss:.4g} units away from its BD"))
    return [finite, unique, ends] if of_place else [finite, unique]


def check_descriptions(
    descriptions: pd.DataFrame, annotations: dict[int, Annotation], ids: Sequence[int], scene: Scene
) -> list[Rule]:
    """Rules on the texts: each joins a trajectory and agrees with it, and all are described."""
    joins = Rule("every description joins a recorded, annotated trajectory", len(descriptions))
    agrees = Rule("every text agrees with its trajectory's annotation", len(descriptions))
    covered = Rule("every trajectory has an accepted description or a stated reason", len(ids))
    known, accepted, refused = set(ids), set[int](), set[int]()
    rows = descriptions[["trajectory_id", "text", "status"]].itertuples(index=False, name=None)
    for identity, text, status in tqdm(
        rows, total=len(descriptions), desc="check texts", unit=" texts"
    ):
        if identity not in known or identity not in annotations:
            joins.offenders.append((identity, "no such trajectory or no annotation"))
        elif status == "accepted":
            accepted.add(identity)
            reasons = check_text(text, annotations[identity], scene)
            if reasons:
                agrees.offenders.append((identity, f"{'; '.join(reasons)}: {text!r}"))
        else:
            refused.add(identity)
    covered.offenders += [
        (identity, "no description at all")
        for identity in ids
        if identity not in accepted | refused
    ]
    return [joins, agrees, covered]


def check_wording(
    rows: Sequence[dict[str, Any]], annotations: dict[int, Annotation], scene: Scene
) -> list[Rule]:
    """Rule on the texts of unseen wording (see `held_out_wording`): the same checks as ever."""
    agrees = Rule("every text of unseen wording agrees with its annotation", len(rows))
    for row in rows:
        if row["status"] == "accepted":
            reasons = check_text(row["text"], annotations[row["trajectory_id"]], scene)
            if reasons:
                agrees.offenders.append(
                    (row["trajectory_id"], f"{'; '.join(reasons)}: {row['text']!r}")
                )
    return [agrees]


def check_split(
    split: NDArray[np.str_], groups: NDArray[np.int64], ids: Sequence[int], whole_groups: bool
) -> list[Rule]:
    """Rules on the split: no empty side, and near-duplicates on one side (of a random split)."""
    sides = Rule("train, validation and test are not empty", len(SPLITS))
    sides.offenders += [(-1, f"{name} is empty") for name in SPLITS if not (split == name).any()]
    rules = [sides]
    if whole_groups:
        apart = Rule("near-duplicates are on one side", len(ids))
        frame = pd.DataFrame({"group": groups, "split": split, "id": ids})
        # A trajectory without a side was left out, to see what fewer would give.
        frame = frame.loc[frame["split"] != "", :]
        for group, rows in frame.groupby("group"):
            if len(set(rows["split"])) > 1:
                first = int(rows["id"].iloc[0])
                apart.offenders.append((first, f"its group {group} lies on several sides"))
        rules.append(apart)
    return rules


def report_rules(rules: Sequence[Rule], problems: Path) -> None:
    """Print the table of rules; list offenders in the file `problems`.

    Raises:
        InputError: a rule is broken.
    """
    table = Table(title="Dataset verification")
    for heading in ("rule", "checked", "broken"):
        table.add_column(heading, justify="left" if heading == "rule" else "right")
    for rule in rules:
        table.add_row(rule.name, f"{rule.checked:,}", f"{len(rule.offenders):,}")
    Console(stderr=True).print(table)
    broken = [rule for rule in rules if rule.offenders]
    if not broken:
        problems.unlink(missing_ok=True)
        return
    rows = [(rule.name, i, what) for rule in broken for i, what in rule.offenders]
    frame = pd.DataFrame(rows, columns=["rule", "trajectory_id", "found"])
    atomic_write(problems, frame.to_csv(index=False))
    identity, what = broken[0].offenders[0]
    raise InputError(
        f"{problems.parent}: {len(rows)} broken rules, first: {broken[0].name!r} for trajectory "
        f"{identity}: {what}; all of them are listed in {problems}"
    )
