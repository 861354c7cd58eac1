"""Score every drive against what was asked, and sum up each system with intervals.

Drives are annotated anew, with the same rules as the archive's trajectories, so a route is what the
robot did and not what it was told. Items are the unit of the statistics: repeats with several seeds
are averaged within an item, the two drives of a contrast pair within the pair, and intervals come
from resampling items.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from tqdm import tqdm

from archive_tools import metrics
from archive_tools.annotate import Annotation, annotate
from envs import World
from envs.errors import InputError

# metric -> (column of items.parquet, statistic, set of items)
METRICS: dict[str, tuple[str, Literal["mean", "median"], str]] = {
    "bd_error_median": ("bd_error", "median", "test"),
    "bd_success": ("bd_success", "mean", "test"),
    "route_lcs": ("route_lcs", "mean", "test"),
    "contrast": ("contrast", "mean", "contrast"),
    "set_f1": ("set_f1", "mean", "test"),
    "order_tau": ("order_tau", "mean", "test"),
    "judge_rules": ("judge_rules", "mean", "test"),
    "judge_llm": ("judge_llm", "mean", "test"),
}
COLUMNS = tuple(dict.fromkeys(column for column, _, _ in METRICS.values()))


@dataclass
class Scored:
    """Everything known about the drives, row by row.

    Attributes:
        frame: one row per drive: system, set, pair, item, seed, trajectory_id, rival_id, text,
            target [n_bd], reached [n_bd], and the columns of METRICS. Those of the judges, and
            `reasons`, are filled by `archive_tools.judging`.
        poses: per drive [T+1, 3] world units, or None where the environment has no pose.
        driven: per drive its annotation, or None.
        references: trajectory_id → annotation.
        reference_poses: trajectory_id → [T+1, 3], of the items' references; for pictures.
    """

    frame: pd.DataFrame
    poses: list[NDArray[np.float32] | None]
    driven: list[Annotation | None]
    references: dict[int, Annotation]
    reference_poses: dict[int, NDArray[np.float32]] = field(default_factory=dict)


def score(
    items: pd.DataFrame,
    rollouts: pd.DataFrame,
    references: dict[int, Annotation],
    world: World,
    diagonal: float,
    *,
    near: float = 24.0,
    persist: int = 3,
) -> Scored:
    """Annotate the drives and compute the metrics of each.

    Args:
        items, rollouts: the tables of `rollouts/`.
        references: annotations of the trajectories that the items refer to.
        world: with its scene.
        diagonal: of the BD space, in its units.
        near, persist: of the annotation, as the references had them.

    Raises:
        InputError: a drive refers to an item or a reference that is not there.
    """
    for name, known, asked in (
        ("item", items["item"], rollouts["item"]),
        ("trajectory_id", list(references), items["trajectory_id"]),
    ):
        unknown = sorted(set(asked) - set(known))
        if unknown:
            raise InputError(f"rollouts: {name} {unknown[0]} is not known; run stage 08 again")
    drives = rollouts.drop(columns="pose").rename(columns={"bd": "reached"})
    frame = drives.merge(items.rename(columns={"bd": "target"}), on="item", how="left", sort=False)
    frame["bd_error"] = metrics.bd_error(
        np.stack(frame["reached"].tolist()), np.stack(frame["target"].tolist()), diagonal
    )
    frame["bd_success"] = metrics.bd_success(frame["bd_error"])
    poses = [
        None if flat is None else np.asarray(flat, np.float32).reshape(-1, 3)
        for flat in rollouts["pose"]
    ]
    for column in COLUMNS:
        if column not in frame:
            frame[column] = np.nan
    frame["reasons"] = ""
    driven: list[Annotation | None] = [None] * len(frame)
    where = [i for i, pose in enumerate(poses) if pose is not None]
    if world.scene is not None and where:
        found = _annotate_all(world, [p for p in poses if p is not None], near, persist)
        for index, annotation in zip(where, found, strict=True):
            driven[index] = annotation
        own = [references[i] for i in frame["trajectory_id"].iloc[where]]
        routes, asked = ([a.visited for a in side] for side in (found, own))
        for column, measure in (
            ("route_lcs", metrics.lcs_ratio),
            ("set_f1", metrics.set_f1),
            ("order_tau", metrics.order_tau),
        ):
            frame.loc[where, column] = measure(routes, asked)
        paired = [k for k, i in enumerate(where) if frame["set"].iat[i] == "contrast"]
        frame.loc[[where[k] for k in paired], "contrast"] = metrics.contrast_score(
            [routes[k] for k in paired],
            [asked[k] for k in paired],
            [references[int(frame["rival_id"].iat[where[k]])].visited for k in paired],
        )
    return Scored(frame, poses, driven, references)


def _annotate_all(
    world: World, poses: Sequence[NDArray[np.float32]], near: float, persist: int
) -> list[Annotation]:
    assert world.scene is not None
    found: list[Annotation] = []
    with tqdm(total=len(poses), desc="annotate", unit="drive") as bar:
        for start in range(0, len(poses), 500):
            block = poses[start : start + 500]
            found += annotate(world.scene, block, size=world.size, near=near, persist=persist)
            bar.update(len(block))
    return found


def per_item(frame: pd.DataFrame, system: str, metric: str) -> pd.Series:
    """The values of a metric that enter the statistics of a system: one per item, or per pair."""
    column, _, part = METRICS[metric]
    rows = frame[(frame["system"] == system) & (frame["set"] == part)]
    unit = "pair" if part == "contrast" else "item"
    return pd.Series(rows.groupby(unit)[column].mean())


def summarise(frame: pd.DataFrame, *, resamples: int, seed: int) -> list[dict[str, Any]]:
    """One record per system and metric: system, metric, mean, ci_low, ci_high, n.

    `mean` of `bd_error_median` is the median. A metric without a value for a system has no record.
    """
    records = []
    for system in dict.fromkeys(frame["system"]):
        for metric, (_, statistic, _) in METRICS.items():
            found = metrics.bootstrap(
                per_item(frame, system, metric).to_numpy(),
                statistic=statistic,
                resamples=resamples,
                seed=seed,
            )
            if found.n:
                records.append({"system": system, "metric": metric, **asdict(found)})
    return records


def differences(
    frame: pd.DataFrame, *, resamples: int, seed: int, system: str = "nanodt"
) -> list[dict[str, Any]]:
    """`system` minus each other system, item by item: system, minus, metric, mean, ci_low, …, n."""
    records = []
    for other in dict.fromkeys(frame["system"]):
        if other == system:
            continue
        for metric, (_, statistic, _) in METRICS.items():
            both = pd.concat(
                [per_item(frame, name, metric) for name in (system, other)], axis=1, join="inner"
            ).to_numpy()
            found = metrics.bootstrap(
                both[:, 0], both[:, 1], statistic=statistic, resamples=resamples, seed=seed
            )
            if found.n:
                records.append(
                    {"system": system, "minus": other, "metric": metric, **asdict(found)}
                )
    return records
