"""Augmentation as rows of the dataset: described by what each rollout reached and passed.

`augmentation.parquet` lies beside the dataset's `trajectories.parquet` and has its columns, with
`expert_action` (the action to learn) beside `action` (the one applied). Only nanodt reads it; the
archive, its descriptions, the retrieval baselines and every test item know nothing of it. Its texts
come from the built-in narrator: no LLM is paid for them. A rollout that came by the same places to
the same end as its trajectory did is described by that trajectory's own texts, too.
"""

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from archive_tools.annotations.annotate import NearRule, annotate
from archive_tools.annotations.events import Annotation
from archive_tools.dataset.augmentation import follow
from archive_tools.dataset.paths import paths_of
from archive_tools.dataset.splits import region_blocks
from archive_tools.dataset.subgoals import subgoal_column, subgoal_names
from archive_tools.descriptions.jobs import draw_style
from archive_tools.files.tables import list_column
from archive_tools.language.checks import check_text
from archive_tools.narrator.alternatives import Alternatives
from archive_tools.narrator.narrator import describe
from archive_tools.narrator.styles import Style
from archive_tools.tasks.navigation import Navigation
from archive_tools.tasks.task import Rollouts
from envs.scene import Scene
from envs.world import World

Floats = NDArray[np.float32]
Tiles = Sequence[tuple[str, ...]]
FIELDS = (
    *("trajectory_id", "split", "weight", "length", "bd", "obs", "action", "expert_action"),
    *("next_subgoal", "texts"),
)
TEXTS = 2
"""Descriptions of each rollout."""


@dataclass(frozen=True)
class Recorded:
    """The trajectories of a run, as augmentation needs them: N rows."""

    ids: NDArray[np.int64]
    pose: Floats
    """[N, T + 1, 3]."""
    bd: Floats
    """[N, n_bd]."""
    tiles: Tiles
    """Tiles entered, per trajectory."""
    annotations: Sequence[Annotation]
    """What each trajectory passes."""
    texts: Sequence[Sequence[str]]
    """Descriptions, per trajectory; those not for training are not read."""
    split: NDArray[np.str_]
    weight: NDArray[np.float32]


Withheld = Callable[[Floats, Tiles], NDArray[np.bool_]]


def withheld(recipe: str, recorded: Recorded, low: Floats, high: Floats) -> Withheld:
    """What a split keeps from training, as a test of BDs [M, 2] and the tiles on the path there.

    regions: the blocks of the BD space in which its test and validation trajectories end; routes:
    their pairs of (path, destination). A random split withholds trajectories, not places or paths.
    """
    others = (recorded.split != "train") & (recorded.split != "")
    if recipe == "regions":
        blocks = set(region_blocks(recorded.bd[others], low, high).tolist())
        return lambda bd, tiles: np.isin(region_blocks(bd, low, high), list(blocks))
    if recipe == "routes":
        routes = {recorded.tiles[i] for i in np.flatnonzero(others).tolist()}
        return lambda bd, tiles: np.array([route in routes for route in tiles], dtype=bool)
    return lambda bd, tiles: np.zeros(len(bd), dtype=bool)


def augmentation_rows(
    world: World,
    recorded: Recorded,
    rounds: int,
    keep_out: Withheld,
    rng: np.random.Generator,
    *,
    first_id: int,
    rule: NearRule = NearRule(),
    action_decimals: int | None = 1,
) -> pa.Table:
    """Drive `rounds` times along every training trajectory; a table with the columns FIELDS.

    Args:
        world: with its scene.
        recorded: the run's trajectories.
        rounds: rollouts along each.
        keep_out: rollouts to drop, see `withheld`.
        rng: source of disturbances and words.
        first_id: number of the first rollout.
        rule: of the annotation, as the trajectories had it.
        action_decimals: as the trajectories had them.
    """
    scene = world.scene or Scene()
    train = np.flatnonzero(recorded.split == "train")
    alternatives = Alternatives(recorded.annotations)
    paths = paths_of(world, recorded.pose[train])
    tables = []
    for _ in range(rounds):
        rollouts = follow(world, paths, rng, action_decimals=action_decimals, progress=True)
        poses = [
            p[: n + 1] for p, n in zip(rollouts.info["pose"], rollouts.length.tolist(), strict=True)
        ]
        annotations = annotate(scene, poses, size=world.size, rule=rule)
        bd = np.stack([pose[-1, :2] for pose in poses])
        rows = np.flatnonzero(~keep_out(bd, [tuple(a.tiles) for a in annotations]))
        texts = [
            _trajectory_texts(recorded, int(source), annotation, place, scene, world.robot.radius)
            + _describe(scene, annotation, alternatives, rng)
            for source, annotation, place in zip(
                train[rows], (annotations[i] for i in rows), bd[rows], strict=True
            )
        ]
        columns = _arrays(rollouts, rows) | {
            "trajectory_id": pa.array(first_id + np.arange(len(rows)), pa.int64()),
            "split": pa.array(["train"] * len(rows), pa.string()),
            "weight": pa.array(recorded.weight[train][rows], pa.float32()),
            "bd": list_column([bd[i] for i in rows]),
            "next_subgoal": subgoal_column(
                [annotations[i] for i in rows], rollouts.length[rows], subgoal_names(scene)
            ),
            "texts": pa.array(texts, pa.list_(pa.string())),
        }
        tables.append(pa.table({name: columns[name] for name in FIELDS}))
        first_id += len(rows)
    return pa.concat_tables(tables)


def augment(
    world: World,
    recorded: Recorded,
    info: Mapping[str, Any],
    *,
    rounds: int,
    recipe: str,
    rng: np.random.Generator,
    rule: NearRule,
) -> pa.Table | None:
    """The augmentation of a dataset; None, said in one line, where the robot has no wheels.

    Args:
        world: of the run.
        recorded: its trajectories.
        info: the content of trajectories.json.
        rounds: rollouts along each training trajectory.
        recipe: of the split: random, regions or routes.
        rng: source of disturbances and words.
        rule: of the annotation.
    """
    if info["environment"]["id"] != Navigation.id:
        print(
            f"no augmentation: it needs the robot with two wheels ({Navigation.id}), this is "
            f"{info['environment']['id']}",
            file=sys.stderr,
        )
        return None
    low, high = (np.asarray(info[k], np.float32) for k in ("bd_low", "bd_high"))
    return augmentation_rows(
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
    scene: Scene, annotation: Annotation, alternatives: Alternatives, rng: np.random.Generator
) -> list[str]:
    """Descriptions of one rollout that pass the checks of all descriptions."""
    styles: list[Style] = [draw_style(rng) for _ in range(TEXTS)]
    texts = [
        describe(annotation, scene, style=style, rng=rng, alternatives=alternatives)
        for style in styles
    ]
    return [text for text in texts if not check_text(text, annotation, scene)]


def _trajectory_texts(
    recorded: Recorded,
    source: int,
    annotation: Annotation,
    bd: NDArray[np.float32],
    scene: Scene,
    radius: float,
) -> list[str]:
    """What was said of the trajectory that a rollout followed, where it is true of the rollout."""
    moved = float(np.linalg.norm(bd - recorded.bd[source][:2]))
    if moved > radius or recorded.annotations[source].visited != annotation.visited:
        return []
    return [t for t in recorded.texts[source] if not check_text(t, annotation, scene)]


def _arrays(rollouts: Rollouts, rows: NDArray[np.integer]) -> dict[str, pa.Array]:
    """The columns that hold a number or a list of numbers for each step."""
    pairs = [(i, int(rollouts.length[i])) for i in rows.tolist()]
    return {
        "length": pa.array(rollouts.length[rows], pa.int32()),
        "obs": list_column([rollouts.obs[i, : n + 1] for i, n in pairs]),
        "action": list_column([rollouts.action[i, :n] for i, n in pairs]),
        "expert_action": list_column([rollouts.info["expert_action"][i, :n] for i, n in pairs]),
    }
