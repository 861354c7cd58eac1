"""Practice drives as rows of the dataset: described by what they reached and passed.

`practice.parquet` lies beside the dataset's `trajectories.parquet` and has its columns, with
`target` (the action to learn) beside `action` (the one taken). Only nanodt reads it; the archive,
its descriptions, the retrieval baselines and every test item know nothing of it. Its texts come
from the built-in narrator: no LLM is paid for practice. A drive that came by the same places to the
same end as its trajectory did is described by that trajectory's own texts, too.
"""

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from archive_tools.annotations.annotate import NEAR_RULE, NearRule, annotate
from archive_tools.annotations.events import Annotation
from archive_tools.dataset.augmentation import Drives, practise
from archive_tools.dataset.milestones import milestone_column, milestone_names
from archive_tools.dataset.paths import ways_of
from archive_tools.dataset.splits import region_blocks
from archive_tools.language.checks import check_text
from archive_tools.language.jobs import draw_style
from archive_tools.language.narrator import describe
from archive_tools.tasks.navigation import Navigation
from envs.scene import Scene
from envs.world import World

Floats = NDArray[np.float32]
Tiles = Sequence[tuple[str, ...]]
FIELDS = (
    *("trajectory_id", "split", "weight", "length", "bd", "obs", "action", "target"),
    *("milestone", "texts"),
)


@dataclass(frozen=True)
class Recorded:
    """The trajectories of a run, as the practice needs them: N rows."""

    ids: NDArray[np.int64]
    pose: Floats
    """[N, T + 1, 3]."""
    bd: Floats
    """[N, n_bd]."""
    tiles: Tiles
    """Tiles entered, per trajectory."""
    visited: Sequence[Sequence[str]]
    """Tiles and objects met, per trajectory."""
    texts: Sequence[Sequence[str]]
    """Descriptions, per trajectory; those not for training are not read."""
    split: NDArray[np.str_]
    weight: NDArray[np.float32]


Withheld = Callable[[Floats, Tiles], NDArray[np.bool_]]


def withheld(recipe: str, recorded: Recorded, low: Floats, high: Floats) -> Withheld:
    """What a split keeps from training, as a test of BDs [M, 2] and the tiles on the way there.

    regions: the blocks of the BD space in which its test and validation trajectories end; routes:
    their pairs of (way, destination). A random split withholds trajectories, not places or ways.
    """
    kept = (recorded.split != "train") & (recorded.split != "")
    if recipe == "regions":
        blocks = set(region_blocks(recorded.bd[kept], low, high).tolist())
        return lambda bd, tiles: np.isin(region_blocks(bd, low, high), list(blocks))
    if recipe == "routes":
        ways = {recorded.tiles[i] for i in np.flatnonzero(kept).tolist()}
        return lambda bd, tiles: np.array([way in ways for way in tiles], dtype=bool)
    return lambda bd, tiles: np.zeros(len(bd), dtype=bool)


def practice_rows(
    world: World,
    recorded: Recorded,
    rounds: int,
    keep_out: Withheld,
    rng: np.random.Generator,
    *,
    first_id: int,
    texts: int = 2,
    rule: NearRule = NEAR_RULE,
    action_decimals: int | None = 1,
) -> pa.Table:
    """Drive `rounds` times along every training trajectory; a table with the columns FIELDS.

    Args:
        world: with its scene.
        recorded: the run's trajectories.
        rounds: drives along each.
        keep_out: drives to drop, see `withheld`.
        rng: source of disturbances and words.
        first_id: number of the first practice drive.
        texts: descriptions of each drive.
        rule: of the annotation, as the trajectories had it.
        action_decimals: as the trajectories had them.
    """
    scene = world.scene or Scene()
    train = np.flatnonzero(recorded.split == "train")
    ways = ways_of(world, recorded.pose[train])
    tables = []
    for _ in range(rounds):
        drives = practise(
            world,
            ways,
            rng,
            action_decimals=action_decimals,
            progress=True,
        )
        ended = [pose[: n + 1] for pose, n in zip(drives.pose, drives.lengths, strict=True)]
        found = annotate(scene, ended, size=world.size, rule=rule)
        bd = np.stack([pose[-1, :2] for pose in ended])
        drop = keep_out(bd, [tuple(a.tiles) for a in found])
        rows = np.flatnonzero(~drop)
        told = [
            _own_texts(recorded, int(source), annotation, place, scene, world.robot.radius)
            + _describe(scene, annotation, texts, rng)
            for source, annotation, place in zip(train[rows], (found[i] for i in rows), bd[rows],
                                                 strict=True)
        ]  # fmt: skip
        weight = recorded.weight[train][rows]
        tables.append(_table(scene, drives, found, bd, weight, rows, told, first_id))
        first_id += len(rows)
    return pa.concat_tables(tables)


def practise_along(
    world: World,
    recorded: Recorded,
    info: Mapping[str, Any],
    *,
    rounds: int,
    recipe: str,
    rng: np.random.Generator,
    rule: NearRule,
) -> pa.Table | None:
    """Practice drives for a dataset; None, said in one line, where the robot has no wheels.

    Args:
        world: of the run.
        recorded: its trajectories.
        info: the content of trajectories.json.
        rounds: drives along each training trajectory.
        recipe: of the split: random, regions or routes.
        rng: source of disturbances and words.
        rule: of the annotation.
    """
    if info["environment"]["id"] != Navigation.id:
        print(
            f"no practice drives: they need the robot with two wheels ({Navigation.id}), this is "
            f"{info['environment']['id']}",
            file=sys.stderr,
        )
        return None
    low, high = (np.asarray(info[k], np.float32) for k in ("bd_low", "bd_high"))
    return practice_rows(
        world,
        recorded,
        rounds,
        withheld(recipe, recorded, low, high),
        rng,
        first_id=int(recorded.ids.max()) + 1,
        rule=rule,
        action_decimals=info["action_decimals"],
    )


def _describe(
    scene: Scene, annotation: Annotation, texts: int, rng: np.random.Generator
) -> list[str]:
    """Descriptions of one drive that pass the checks of all descriptions."""
    styles = [draw_style(rng) for _ in range(texts)]
    told = [describe(annotation, scene, style=style, rng=rng) for style in styles]
    return [text for text in told if not check_text(text, annotation, scene)]


def _own_texts(
    recorded: Recorded,
    source: int,
    annotation: Annotation,
    bd: NDArray[np.float32],
    scene: Scene,
    radius: float,
) -> list[str]:
    """What was said of the trajectory that a drive followed, where it is true of the drive."""
    moved = float(np.linalg.norm(bd - recorded.bd[source][:2]))
    if moved > radius or list(recorded.visited[source]) != annotation.visited:
        return []
    return [t for t in recorded.texts[source] if not check_text(t, annotation, scene)]


def _table(
    scene: Scene,
    drives: Drives,
    found: Sequence[Annotation],
    bd: Floats,
    weight: NDArray[np.float32],
    rows: NDArray[np.int64],
    told: Sequence[Sequence[str]],
    first_id: int,
) -> pa.Table:
    def lists(values: list[NDArray[np.float32]]) -> pa.Array:
        flat = [np.ascontiguousarray(v, np.float32).ravel() for v in values]
        ends = np.cumsum([0, *(len(v) for v in flat)]).astype(np.int32)
        together = np.concatenate([np.zeros(0, np.float32), *flat])
        return pa.ListArray.from_arrays(pa.array(ends), pa.array(together))

    length = drives.lengths[rows]
    cut = list(zip(rows.tolist(), length.tolist(), strict=True))
    places = list(milestone_names(scene))
    columns = {
        "trajectory_id": pa.array(first_id + np.arange(len(rows)), pa.int64()),
        "split": pa.array(["train"] * len(rows), pa.string()),
        "weight": pa.array(weight, pa.float32()),
        "length": pa.array(length, pa.int32()),
        "bd": lists([bd[i] for i in rows]),
        "obs": lists([drives.obs[i, : n + 1] for i, n in cut]),
        "action": lists([drives.action[i, :n] for i, n in cut]),
        "target": lists([drives.target[i, :n] for i, n in cut]),
        "milestone": milestone_column([found[i] for i in rows], length, places),
        "texts": pa.array(told, pa.list_(pa.string())),
    }
    return pa.table({name: columns[name] for name in FIELDS})
