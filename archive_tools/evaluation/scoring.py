"""Score every drive against what was asked: annotate it anew, and compute the metrics.

Drives are annotated with the same rules as the archive's trajectories, so a route is what the robot
did and not what it was told.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from tqdm import tqdm

from archive_tools.annotations import Annotation, NearRule, annotate, load_annotations
from archive_tools.evaluation.registry import METRICS, columns
from archive_tools.evaluation.scored import Scored
from archive_tools.files import read_json, read_table
from archive_tools.rollouts import command_files, read_instructions, system_of
from envs import World, load_world
from envs.errors import InputError

ITEM_COLUMNS = (
    "item", "set", "pair", "trajectory_id", "rival_id", "text", "bd", "must", "avoid", "end",
)  # fmt: skip


def score(
    items: pd.DataFrame,
    rollouts: pd.DataFrame,
    references: Mapping[int, Annotation],
    world: World,
    diagonal: float,
    *,
    instructions: pd.DataFrame | None = None,
    reference_poses: dict[int, NDArray[np.float32]] | None = None,
    rule: NearRule = NearRule(),
) -> Scored:
    """Annotate the drives and compute the metrics of each.

    Args:
        items, rollouts, instructions: the tables of `rollouts/`.
        references: annotations of the trajectories that the items refer to.
        world: with its scene.
        diagonal: of the BD space, in its units.
        reference_poses: trajectory_id → [T+1, 3] of the items' references, where they are known.
        rule: of the annotation, as the references had it.

    Raises:
        InputError: a drive refers to an item or a reference that is not there.
    """
    for name, known, asked in (
        ("item", items["item"], rollouts["item"]),
        ("trajectory_id", list(references), items["trajectory_id"].dropna()),
    ):
        unknown = sorted(set(asked) - set(known))
        if unknown:
            raise InputError(f"rollouts: {name} {unknown[0]} is not known; run stage 08 again")
    drives = rollouts.drop(columns="pose").rename(columns={"bd": "reached"})
    frame = drives.merge(items.rename(columns={"bd": "target"}), on="item", how="left", sort=False)
    nowhere = np.full(len(rollouts["bd"].iloc[0]), np.nan, np.float32)
    targets = [nowhere if bd is None else bd for bd in frame["target"]]
    frame["target"] = pd.Series(targets, index=frame.index, dtype=object)
    # As objects: pandas would turn the None of its text columns into NaN.
    texts = _instructions(frame, instructions)
    frame["instruction"] = pd.Series(texts, index=frame.index, dtype=object)
    poses = [
        None if flat is None else np.asarray(flat, np.float32).reshape(-1, 3)
        for flat in rollouts["pose"]
    ]
    driven: list[Annotation | None] = [None] * len(frame)
    if world.scene is not None:
        drawn = [pose for pose in poses if pose is not None]
        annotations = iter(_annotate_all(world, drawn, rule))
        driven = [None if pose is None else next(annotations) for pose in poses]
    scored = Scored(frame, poses, driven, references, world, diagonal, reference_poses or {})
    for metric in METRICS.values():
        frame[metric.column] = np.nan if metric.measure is None else metric.measure(scored)
    frame["reasons"] = ""
    return scored


def _instructions(frame: pd.DataFrame, given: pd.DataFrame | None) -> list[str | None]:
    """The text that the system of each row was given."""
    others: dict[tuple[str, int], str] = {}
    if given is not None:
        names = ("system", "item", "instruction")
        others = {(s, item): text for s, item, text in zip(*(given[n] for n in names), strict=True)}
    rows = zip(frame["system"], frame["item"], frame["text"], strict=True)
    return [None if system_of(s).deaf else others.get((s, i), text) for s, i, text in rows]


def _annotate_all(
    world: World, poses: Sequence[NDArray[np.float32]], rule: NearRule
) -> list[Annotation]:
    assert world.scene is not None
    annotations: list[Annotation] = []
    with tqdm(total=len(poses), desc="annotate", unit="drive") as bar:
        for start in range(0, len(poses), 500):
            block = poses[start : start + 500]
            annotations += annotate(world.scene, block, size=world.size, rule=rule)
            bar.update(len(block))
    return annotations


def score_run(run: Path) -> Scored:
    """Score the drives of a run directory that has all stages up to rollouts/.

    Raises:
        InputError: a table is missing, truncated or lacks a column.
    """
    info = read_json(run / "dataset" / "dataset.json")
    items = read_table(run / "rollouts" / "items.parquet", ITEM_COLUMNS)
    drives = ("system", "item", "seed", "source_trajectory", "bd", "pose")
    references = load_annotations(run / "annotations")
    wanted = set(items["trajectory_id"].dropna().astype(int))
    recorded = read_table(
        run / "trajectories" / "trajectories.parquet",
        ("trajectory_id", "pose"),
        pc.field("trajectory_id").isin(sorted(wanted)),
    )
    given = command_files.load_references(run)
    if given is not None:
        references |= given.annotations
        recorded = pd.concat([recorded, given.table.select(list(recorded)).to_pandas()])
    return score(
        items,
        read_table(run / "rollouts" / "rollouts.parquet", drives),
        references,
        load_world(run / "archive" / "world"),
        float(np.linalg.norm(np.subtract(info["bd_high"], info["bd_low"]))),
        instructions=read_instructions(run / "rollouts"),
        reference_poses={
            identity: np.asarray(flat, np.float32).reshape(-1, 3)
            for identity, flat in zip(recorded["trajectory_id"], recorded["pose"], strict=True)
            if identity in wanted and flat is not None
        },
        rule=NearRule.of(run / "annotations"),
    )


def items_table(scored: Scored) -> pa.Table:
    """Every metric of every drive: the table of items.parquet."""
    frame = scored.frame
    table = {
        "system": pa.array(frame["system"], pa.string()),
        "set": pa.array(frame["set"], pa.string()),
        "pair": pa.array(frame["pair"], pa.int64(), from_pandas=True),
        "item": pa.array(frame["item"], pa.int64()),
        "seed": pa.array(frame["seed"], pa.int32()),
        "trajectory_id": pa.array(frame["trajectory_id"], pa.int64(), from_pandas=True),
    }
    table |= {name: pa.array(frame[name], pa.float64(), from_pandas=True) for name in columns()}
    table["visited"] = pa.array(
        [None if a is None else a.visited for a in scored.driven], pa.list_(pa.string())
    )
    table["reasons"] = pa.array(frame["reasons"], pa.string())
    return pa.table(table)
