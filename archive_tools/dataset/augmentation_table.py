"""Augmentation as rows of the dataset: described by what each rollout reached and passed.

`augmentation.parquet` lies beside the dataset's `trajectories.parquet` and has its columns, with
`expert_action` (the action to learn) beside `action` (the one applied). Only nanodt reads it; the
archive, its descriptions, the retrieval baselines and every test item know nothing of it. Its texts
come from the built-in narrator: no LLM is paid for them. Where a text of the trajectory that was
followed is true of the rollout, too, it keeps it. Rollouts along composed paths are told what these
were composed for. `plans` says each text, and more, as plans (archive_tools/dataset/plans.py).
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from archive_tools.annotations import Annotation, NearRule, annotate
from archive_tools.dataset.augmentation import Disturbance, follow
from archive_tools.dataset.composition import Ground, Wish, compose
from archive_tools.dataset.paths import Paths, paths_of
from archive_tools.dataset.plans import Planner
from archive_tools.dataset.splits import region_blocks
from archive_tools.dataset.subgoals import subgoal_column, subgoal_names
from archive_tools.descriptions import draw_style
from archive_tools.files import list_column
from archive_tools.language import check_text
from archive_tools.narrator import Alternatives, Style, describe
from archive_tools.run import executor
from archive_tools.tasks import Rollouts
from envs.scene import Scene
from envs.world import World

Floats = NDArray[np.float32]
Tiles = Sequence[tuple[str, ...]]
FIELDS = (
    *("trajectory_id", "split", "weight", "length", "bd", "obs", "action", "expert_action"),
    *("next_subgoal", "texts", "plans"),
)
CHUNK = 10_000
"""Robots that drive at once: bounds the memory."""
TEXTS = 2
"""Descriptions of each rollout, by the narrator."""
SAME_END = 3.0
"""How far from its trajectory's end a rollout may end and still be told its texts, in radii."""
WISH_FULL = 0.85
"""Share of the rollouts along composed paths that go all the way."""
WISH_WEIGHT = 0.5
"""How often a rollout along a composed path is drawn; one along a lone trajectory: 1. Elites take
the ways that texts of theirs leave unsaid; a policy that learnt from composed paths alone would not
know these habits."""


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
    annotations: Iterable[Annotation]
    """What each trajectory passes; read once."""
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


def augmentation_tables(
    world: World,
    recorded: Recorded,
    rounds: int,
    composed: float,
    keep_out: Withheld,
    rng: np.random.Generator,
    *,
    first_id: int,
    rule: NearRule = NearRule(),
    action_decimals: int | None = 1,
    workers: executor.Executor | None = None,
) -> Iterator[pa.Table]:
    """Drive along every training trajectory, and along composed paths: tables of the columns
    FIELDS, of at most CHUNK rollouts each.

    Args:
        world: with its scene.
        recorded: the run's trajectories.
        rounds: rollouts along each of those for training.
        composed: paths composed of them, per trajectory.
        keep_out: rollouts to drop, see `withheld`.
        rng: source of disturbances, wishes and words.
        first_id: number of the first rollout.
        rule: of the annotation, as the trajectories had it.
        action_decimals: as the trajectories had them.
        workers: who drives; this process where None.
    """
    train = np.flatnonzero(recorded.split == "train")
    maker = _Maker(world, recorded, keep_out, rng, rule, action_decimals, first_id, workers)
    chunks = [train[begin : begin + CHUNK] for begin in range(0, len(train), CHUNK)]
    for rows in chunks if rounds else []:
        paths = paths_of(world, recorded.pose[rows])
        for _ in range(rounds):
            yield maker.rows(paths, source=rows)
    number = round(composed * len(train))
    if number and world.scene is not None:
        ground = Ground(world, (recorded.pose[rows] for rows in chunks), rule)
        for begin in range(0, number, CHUNK):
            paths, wishes = compose(ground, min(CHUNK, number - begin), rng)
            if wishes:
                yield maker.rows(paths, wishes=wishes)


class _Maker:
    """Drives along paths and describes what came of it; numbers its rows from `next_id` on."""

    def __init__(
        self,
        world: World,
        recorded: Recorded,
        keep_out: Withheld,
        rng: np.random.Generator,
        rule: NearRule,
        action_decimals: int | None,
        next_id: int,
        workers: executor.Executor | None,
    ) -> None:
        self.world, self.recorded, self.keep_out, self.rng = world, recorded, keep_out, rng
        self.rule, self.decimals, self.next_id = rule, action_decimals, next_id
        self.scene, self.workers = world.scene or Scene(), workers
        self.alternatives = Alternatives(recorded.annotations)
        self.planner = Planner(self.scene, self.alternatives, rng)

    def rows(
        self,
        paths: Paths,
        source: NDArray[np.int64] | None = None,
        wishes: Sequence[Wish] | None = None,
    ) -> pa.Table:
        """One rollout along each of N paths.

        Args:
            paths: to drive.
            source: [N] row of the trajectory that each path is of.
            wishes: for which the paths were composed.
        """
        world, rng = self.world, self.rng
        how = Disturbance(full=WISH_FULL) if wishes is not None else Disturbance()
        rollouts = follow(
            world,
            paths,
            rng,
            disturbance=how,
            action_decimals=self.decimals,
            progress=True,
            workers=self.workers,
        )
        lengths = rollouts.length.tolist()
        poses = [p[: n + 1] for p, n in zip(rollouts.info["pose"], lengths, strict=True)]
        annotations = annotate(self.scene, poses, size=world.size, rule=self.rule)
        bd = np.stack([pose[-1, :2] for pose in poses])
        rows = np.flatnonzero(~self.keep_out(bd, [tuple(a.tiles) for a in annotations]))
        texts, plans = [], []
        for row in rows.tolist():
            annotation = annotations[row]
            own = [] if source is None else self._own_texts(int(source[row]), annotation, bd[row])
            texts.append(own + _describe(self.scene, annotation, self.alternatives, rng))
            wish = None if wishes is None else wishes[row]
            plans.append(self.planner.plans(texts[-1], annotation, wish))
        some = [annotations[i] for i in rows]
        weight = np.full(len(paths.last), WISH_WEIGHT) if source is None else None
        weight = self.recorded.weight[source] if weight is None else weight
        columns = _arrays(rollouts, rows) | {
            "trajectory_id": pa.array(self.next_id + np.arange(len(rows)), pa.int64()),
            "split": pa.array(["train"] * len(rows), pa.string()),
            "weight": pa.array(weight[rows], pa.float32()),
            "bd": list_column([bd[i] for i in rows]),
            "next_subgoal": subgoal_column(some, rollouts.length[rows], subgoal_names(self.scene)),
            "texts": pa.array(texts, pa.list_(pa.string())),
            "plans": pa.array(plans, pa.list_(pa.string())),
        }
        self.next_id += len(rows)
        return pa.table({name: columns[name] for name in FIELDS})

    def _own_texts(self, source: int, annotation: Annotation, bd: NDArray[np.float32]) -> list[str]:
        """What was said of the trajectory that a rollout followed, where it holds for it, too."""
        moved = float(np.linalg.norm(bd - self.recorded.bd[source][:2]))
        if moved > SAME_END * self.world.robot.radius:
            return []
        texts = self.recorded.texts[source]
        return [text for text in texts if not check_text(text, annotation, self.scene)]


def augment(
    world: World,
    recorded: Recorded,
    info: Mapping[str, Any],
    *,
    rounds: int,
    composed: float,
    recipe: str,
    rng: np.random.Generator,
    rule: NearRule,
    workers: executor.Executor | None = None,
) -> Iterator[pa.Table]:
    """The augmentation of a dataset, in tables.

    Args:
        world: of the run.
        recorded: its trajectories.
        info: the content of trajectories.json.
        rounds: rollouts along each training trajectory.
        composed: paths composed of them, per trajectory.
        recipe: of the split: random, regions or routes.
        rng: source of disturbances and words.
        rule: of the annotation.
        workers: who drives; this process where None.
    """
    low, high = (np.asarray(info[k], np.float32) for k in ("bd_low", "bd_high"))
    return augmentation_tables(
        world,
        recorded,
        rounds,
        composed,
        withheld(recipe, recorded, low, high),
        rng,
        first_id=int(recorded.ids.max()) + 1,
        rule=rule,
        action_decimals=info["action_decimals"],
        workers=workers,
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


def _arrays(rollouts: Rollouts, rows: NDArray[np.integer]) -> dict[str, pa.Array]:
    """The columns that hold a number or a list of numbers for each step."""
    pairs = [(i, int(rollouts.length[i])) for i in rows.tolist()]
    return {
        "length": pa.array(rollouts.length[rows], pa.int32()),
        "obs": list_column([rollouts.obs[i, : n + 1] for i, n in pairs]),
        "action": list_column([rollouts.action[i, :n] for i, n in pairs]),
        "expert_action": list_column([rollouts.info["expert_action"][i, :n] for i, n in pairs]),
    }
