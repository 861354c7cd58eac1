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

from archive_tools.annotations.annotate import NearRule, annotate
from archive_tools.annotations.events import Annotation
from archive_tools.annotations.routes import Route, lcs_length, lcs_ratio, order_tau, set_f1
from archive_tools.evaluation import metrics
from archive_tools.language.mentions import parse
from archive_tools.rollouts.contrast import contrast_score
from envs import World
from envs.errors import InputError
from envs.scene import Scene

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
MORE: dict[str, tuple[str, Literal["mean", "median"], str]] = {
    "told_order": ("told_order", "mean", "test"),
    "follows_swap": (
        "follows_swap",
        "mean",
        "test",
    ),  # filled by archive_tools.evaluation.counterfactuals
    "judge_people": ("judge_people", "mean", "test"),  # filled by archive_tools.stages.s09_evaluate
}
"""Metrics beside those of the design: of the text a system was told, and people's ratings."""
ALL = {**METRICS, **MORE}
COLUMNS = tuple(dict.fromkeys(column for column, _, _ in ALL.values()))
DEAF = ("nanodt/text_off", "nanodt/both_off")
"""Systems that are told no text."""


@dataclass
class Scored:
    """Everything known about the drives, row by row.

    Attributes:
        frame: one row per drive: system, set, pair, item, seed, trajectory_id, rival_id, text,
            target [n_bd], reached [n_bd], and the columns of ALL. Those of the judges, and
            `reasons`, are filled by `judging`. `told` is the text that the system was told: the
            item's, another one, or None.
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
    told: pd.DataFrame | None = None,
    rule: NearRule = NearRule(),
) -> Scored:
    """Annotate the drives and compute the metrics of each.

    Args:
        items, rollouts, told: the tables of `rollouts/`.
        references: annotations of the trajectories that the items refer to.
        world: with its scene.
        diagonal: of the BD space, in its units.
        rule: of the annotation, as the references had it.

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
    # As objects: pandas would turn the None of its text columns into NaN.
    frame["told"] = pd.Series(_told(frame, told), index=frame.index, dtype=object)
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
        found = _annotate_all(world, [p for p in poses if p is not None], rule)
        for index, annotation in zip(where, found, strict=True):
            driven[index] = annotation
        own = [references[i] for i in frame["trajectory_id"].iloc[where]]
        routes, asked = ([a.visited for a in side] for side in (found, own))
        for column, measure in (
            ("route_lcs", lcs_ratio),
            ("set_f1", set_f1),
            ("order_tau", order_tau),
        ):
            frame.loc[where, column] = measure(routes, asked)
        texts = frame["told"].iloc[where].tolist()
        frame.loc[where, "told_order"] = told_order(texts, routes, world.scene)
        paired = [k for k, i in enumerate(where) if frame["set"].iat[i] == "contrast"]
        frame.loc[[where[k] for k in paired], "contrast"] = contrast_score(
            [routes[k] for k in paired],
            [asked[k] for k in paired],
            [references[int(frame["rival_id"].iat[where[k]])].visited for k in paired],
        )
    return Scored(frame, poses, driven, references)


def _told(frame: pd.DataFrame, told: pd.DataFrame | None) -> list[str | None]:
    """The text that the system of each row was told."""
    others: dict[tuple[str, int], str] = {}
    if told is not None:
        columns = (told[name].tolist() for name in ("system", "item", "text"))
        others = {(system, item): text for system, item, text in zip(*columns, strict=True)}
    rows = zip(frame["system"], frame["item"], frame["text"], strict=True)
    return [None if s in DEAF else others.get((s, item), text) for s, item, text in rows]


def told_order(
    texts: Sequence[str | None], routes: Sequence[Route], scene: Scene
) -> metrics.Floats:
    """Share of the places that a text names which the route meets in its order: [N].

    NaN for None and for a text that names no place to be met.

    Args:
        texts: what each drive was told.
        routes: what it visited.
        scene: the objects and tiles that exist.
    """
    asked: dict[str, list[tuple[str, ...]]] = {}
    for text in texts:
        if text is not None and text not in asked:
            asked[text] = [mention.names for mention in parse(text, scene).visits]
    places: list[list[str]] = []
    met: list[list[str]] = []
    for text, route in zip(texts, routes, strict=True):
        names = asked[text] if text is not None else []
        # Words that may mean several things ("couch") count whichever of them is met.
        one = {name: several[0] for several in names for name in several}
        places.append([one[several[0]] for several in names])
        met.append([one.get(name, name) for name in route])
    share = np.full(len(texts), np.nan)
    named = np.array([len(row) for row in places])
    np.divide(lcs_length(met, places), named, out=share, where=named > 0)
    return share


def _annotate_all(
    world: World, poses: Sequence[NDArray[np.float32]], rule: NearRule
) -> list[Annotation]:
    assert world.scene is not None
    found: list[Annotation] = []
    with tqdm(total=len(poses), desc="annotate", unit="drive") as bar:
        for start in range(0, len(poses), 500):
            block = poses[start : start + 500]
            found += annotate(world.scene, block, size=world.size, rule=rule)
            bar.update(len(block))
    return found


def per_item(frame: pd.DataFrame, system: str, metric: str) -> pd.Series:
    """The values of a metric that enter the statistics of a system: one per item, or per pair."""
    values: Any = _values(frame, system, metric).groupby(level=0).mean()
    return values


def _values(frame: pd.DataFrame, system: str, metric: str) -> pd.Series:
    """The values of a metric of a system by unit (item or pair), item and seed."""
    column, _, part = ALL[metric]
    rows: Any = frame[(frame["system"] == system) & (frame["set"] == part)]
    unit = "pair" if part == "contrast" else "item"
    index = [rows[unit].to_numpy(), rows["item"].to_numpy(), rows["seed"].to_numpy()]
    return pd.Series(rows[column].to_numpy(float), index=pd.MultiIndex.from_arrays(index))


def summarise(frame: pd.DataFrame, *, resamples: int, seed: int) -> list[dict[str, Any]]:
    """One record per system and metric: system, metric, mean, ci_low, ci_high, n.

    `mean` of `bd_error_median` is the median. A metric without a value for a system has no record.
    """
    records = []
    for system in dict.fromkeys(frame["system"]):
        for metric, (_, statistic, _) in ALL.items():
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
    """`system` minus each other system, paired by item and seed.

    Returns:
        records: system, minus, metric, mean, ci_low, ci_high, n, and `apart`: whether the two
        systems' own intervals, over the items that both have, do not overlap.
    """
    records = []
    for other in dict.fromkeys(frame["system"]):
        if other == system:
            continue
        for metric, (_, statistic, _) in ALL.items():
            sides = [_values(frame, name, metric) for name in (system, other)]
            both: Any = pd.concat(sides, axis=1, join="inner").dropna().groupby(level=0).mean()
            mine, theirs = both.to_numpy(float).T
            options: dict[str, Any] = {"statistic": statistic, "resamples": resamples, "seed": seed}
            found = metrics.bootstrap(mine, theirs, **options)
            if found.n:
                own = [metrics.bootstrap(values, **options) for values in (mine, theirs)]
                apart = own[0].ci_low > own[1].ci_high or own[1].ci_low > own[0].ci_high
                records.append({"system": system, "minus": other, "metric": metric,
                                **asdict(found), "apart": apart})  # fmt: skip
    return records
