"""What must hold of the joined data before a policy may learn from it."""

from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table
from tqdm import tqdm

from archive_tools.annotations import Annotation
from archive_tools.dataset.splits import SPLITS, Recipe
from archive_tools.files import atomic_write
from archive_tools.language import check_text
from archive_tools.tasks import Navigation
from archive_tools.trajectories import Floats, Sequences, Trajectories
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
        InputError: there are no poses.
    """
    obs, action, pose, bd = (getattr(trajectories, k) for k in ("obs", "action", "pose", "bd"))
    if pose is None:
        raise InputError("trajectories/: a dataset needs poses, and there are none")
    return obs, action, pose, bd


def check_length(trajectories: Trajectories) -> None:
    """Raise InputError where trajectories differ in length."""
    ids, lengths = np.asarray(trajectories.ids), np.asarray(trajectories.lengths)
    other = np.flatnonzero(lengths != lengths.max())
    if len(other):
        raise InputError(
            f"--fixed-length: {len(other):,} of {len(ids):,} trajectories are shorter than "
            f"{lengths.max()} steps, the first is {ids[other[0]]} with {lengths[other[0]]}; leave "
            "the option out (every row has its length), or search in an environment that does not "
            "end early"
        )


def check_trajectories(
    trajectories: Trajectories, steps: Iterable[Trajectories] = ()
) -> list[Rule]:
    """Rules on the recorded arrays: finite, ids unique, the BD is where the robot ends.

    Args:
        trajectories: with their poses and BDs.
        steps: observations and actions in parts, where `trajectories` has none.
    """
    ids = np.asarray(trajectories.ids)
    finite = Rule("observations, actions and poses are finite", len(ids))
    unique = Rule("trajectory ids are unique", len(ids))
    ends = Rule("the BD is the final position", len(ids))
    # Another task's BD may be anything, in units of its own.
    of_place = _bare(trajectories.info["environment"]["id"]) == _bare(Navigation.id)
    values, counts = np.unique(ids, return_counts=True)
    unique.offenders += [
        (int(i), f"appears {n} times") for i, n in zip(values, counts, strict=True) if n > 1
    ]
    unseen = {name: set(ids.tolist()) for name in ("obs", "action", "pose")}
    for part in chain([trajectories], steps):
        for name, left in unseen.items():
            arrays = getattr(part, name)
            if arrays is None:
                continue
            left.difference_update(part.ids.tolist())
            for identity, values in zip(part.ids.tolist(), arrays, strict=True):
                if not np.isfinite(values).all():
                    finite.offenders.append((identity, f"{name} has NaN or infinite values"))
    finite.offenders += [(i, f"no {name} at all") for name in unseen for i in sorted(unseen[name])]
    _, _, pose, bd = recorded(trajectories)
    for index, identity in enumerate(ids.tolist() if of_place else []):
        miss = np.abs(pose[index][-1, :2] - bd[index]).max()
        if not miss <= 1e-3:
            ends.offenders.append((identity, f"ends {miss:.4g} units away from its BD"))
    return [finite, unique, ends] if of_place else [finite, unique]


def _bare(id: str) -> str:
    """A Gymnasium id without the module that registers it."""
    return id.rpartition(":")[2]


def check_descriptions(
    descriptions: pd.DataFrame,
    annotations: Mapping[int, Annotation],
    ids: Sequence[int],
    scene: Scene,
) -> list[Rule]:
    """Rules on the texts: each joins a trajectory and agrees with it, and all are described."""
    joins = Rule("every description joins a recorded, annotated trajectory", len(descriptions))
    agrees = Rule("every text agrees with its trajectory's annotation")
    covered = Rule("every trajectory has an accepted description or a stated reason", len(ids))
    known, settled = set(ids), set[int]()
    columns = descriptions[["trajectory_id", "text", "status", "reason"]]
    for identity, text, status, reason in tqdm(
        columns.itertuples(index=False, name=None),
        total=len(descriptions),
        desc="check texts",
        unit=" texts",
    ):
        if identity not in known or identity not in annotations:
            joins.offenders.append((identity, "no such trajectory or no annotation"))
        elif status == "accepted":
            settled.add(identity)
            agrees.checked += 1
            own = text if isinstance(text, str) else None
            reasons = check_text(own, annotations[identity], scene)
            if reasons:
                agrees.offenders.append((identity, f"{'; '.join(reasons)}: {text!r}"))
        elif status == "rejected" and isinstance(reason, str) and reason.strip():
            settled.add(identity)
        else:
            covered.offenders.append(
                (identity, f"status {status!r}, reason {reason!r}; expected accepted, or rejected "
                           "with a reason")
            )  # fmt: skip
    told = settled | {identity for identity, _ in covered.offenders}
    covered.offenders += [(i, "no description at all") for i in ids if i not in told]
    return [joins, agrees, covered]


def check_wording(
    rows: Sequence[dict[str, Any]], annotations: Mapping[int, Annotation], scene: Scene
) -> list[Rule]:
    """Rule on the texts of unseen wording (see `held_out_wording`): the same checks as ever."""
    agrees = Rule("every text of unseen wording agrees with its annotation")
    for row in rows:
        if row["status"] == "accepted":
            agrees.checked += 1
            reasons = check_text(row["text"], annotations[row["trajectory_id"]], scene)
            if reasons:
                agrees.offenders.append(
                    (row["trajectory_id"], f"{'; '.join(reasons)}: {row['text']!r}")
                )
    return [agrees]


def check_split(
    split: NDArray[np.str_],
    learnt: NDArray[np.bool_],
    whole: Sequence[Hashable],
    ids: Sequence[int],
    recipe: Recipe,
) -> list[Rule]:
    """Rules on the split: no empty side, and what the recipe keeps whole on one side.

    Args:
        split: [N] side of each trajectory, "" where it is left out.
        learnt: [N] whether it is a row of the dataset: with a side and an accepted text.
        whole: [N] what must not be parted: its near-duplicates, block of the BD space, or route.
        ids: [N] trajectory ids.
        recipe: of the split.
    """
    rows = split[learnt]
    sides = Rule("train, validation and test are not empty", len(rows))
    sides.offenders += [(-1, f"{name} is empty") for name in SPLITS if not (rows == name).any()]
    what = {"random": "near-duplicates are", "regions": "a block of the BD space is",
            "routes": "a route is"}  # fmt: skip
    apart = Rule(f"{what[recipe]} on one side", int((split != "").sum()))
    found: dict[Hashable, str] = {}
    for key, side, identity in zip(whole, split.tolist(), ids, strict=True):
        # A trajectory without a side was left out, to see what fewer would give.
        if side and found.setdefault(key, side) != side:
            apart.offenders.append((identity, f"{key} lies on the sides {found[key]} and {side}"))
    return [sides, apart]


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
    whose = f" for trajectory {identity}" if identity >= 0 else ""
    raise InputError(
        f"{problems.parent}: {len(rows)} broken rules, first: {broken[0].name!r}{whose}: {what}; "
        f"all of them are listed in {problems}"
    )
