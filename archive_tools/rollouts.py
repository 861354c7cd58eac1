"""Drive the commands of the test split: the policy, its controls, and the baselines.

An item is a command (text, bd) with the trajectory that was described by it, its reference. Items
of the set "test" are trajectories of the test split with one of their texts. Items of the set
"contrast" come in pairs: one BD, given with each of two texts whose references end at that place
but go there by different ways.

The policy comes in as a callable, so this package knows arrays, text and environments, no model.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Protocol

import gymnasium
import numpy as np
import pandas as pd
import pyarrow as pa
from gymnasium.vector import VectorEnv
from numpy.typing import NDArray
from tqdm import tqdm

from archive_tools.baselines import BASELINES, Elites, derangement
from archive_tools.metrics import contrast_pairs
from archive_tools.stage import Stage, StageConfig
from archive_tools.tables import read_arrow, read_json, read_table, write_table
from envs.errors import InputError

Array = NDArray[np.float32]
CONTROLS = ("text_off", "bd_off", "both_off", "text_shuffled")
SYSTEMS = ("nanodt", *(f"nanodt/{name}" for name in CONTROLS), *BASELINES, "replay")
CONTRASTED = ("nanodt", *BASELINES, "replay")  # systems that drive the contrast items too

ITEM_SCHEMA = pa.schema(
    [
        ("item", pa.int64()),
        ("set", pa.string()),
        ("pair", pa.int64()),
        ("trajectory_id", pa.int64()),
        ("rival_id", pa.int64()),
        ("text", pa.string()),
        ("bd", pa.list_(pa.float32())),
    ]
)
ROLLOUT_SCHEMA = pa.schema(
    [
        ("system", pa.string()),
        ("item", pa.int64()),
        ("seed", pa.int32()),
        ("source_trajectory", pa.int64()),
        ("bd", pa.list_(pa.float32())),
        ("pose", pa.list_(pa.float32())),
        ("action", pa.list_(pa.float32())),
    ]
)


class Drives(Protocol):
    """Closed-loop runs of a batch of N robots over T steps."""

    @property
    def action(self) -> Array: ...  # [N, T, n_act]

    @property
    def info(
        self,
    ) -> dict[str, Any]: ...  # arrays [N, T+1, ...]: "bd", and "pose" where there is one


Drive = Callable[[VectorEnv, list[str] | None, Array | None, int], Drives]
"""drive(envs, texts or None, bd [N, n_bd] or None, seed): one command per sub-environment."""


@dataclass
class RolloutConfig(StageConfig):
    """Drive the test commands with the policy, its controls and the baselines."""

    items: int = 256
    """How many items of the test split to drive, drawn by seed; 0 means all."""
    pairs: int = 32
    """At most this many contrast pairs; each is two drives for every system that plays them."""
    seeds: int = 1
    """Drive every item this many times, with as many seeds. Matters for heads that sample."""
    batch: int = 256
    """Robots driven at once."""
    systems: tuple[str, ...] = SYSTEMS
    """What to drive: the policy (nanodt), its controls (nanodt/…), retrieval baselines, replay."""

    presets: ClassVar[dict[str, dict[str, Any]]] = {"paper": {"items": 0, "pairs": 500}}

    def check(self) -> None:
        """Raise InputError where an option is out of range."""
        for name, least in (("items", 0), ("pairs", 0), ("seeds", 1), ("batch", 1)):
            if getattr(self, name) < least:
                raise InputError(f"--{name} {getattr(self, name)}: must be at least {least}")
        for system in self.systems:
            if system not in SYSTEMS:
                raise InputError(f"--systems {system}: unknown; known are {', '.join(SYSTEMS)}")


@dataclass(frozen=True)
class Commands:
    """What a batch of drives is told, and against what it is measured; arrays over N items."""

    item: NDArray[np.int64]
    trajectory_id: NDArray[np.int64]
    text: list[str]
    bd: Array

    def __len__(self) -> int:
        return len(self.item)

    def blocks(self, size: int) -> Iterator[slice]:
        for start in range(0, len(self), size):
            yield slice(start, min(start + size, len(self)))


def make_envs(environment: dict[str, Any], n: int) -> VectorEnv:
    """`n` copies of the environment {"id", "kwargs"}, in its own batch class where it has one.

    Raises:
        InputError: there is no such environment.
    """
    name, kwargs = environment["id"], environment.get("kwargs", {})
    try:
        if ":" in name:
            __import__(name.partition(":")[0])
        native = gymnasium.spec(name.rpartition(":")[2]).vector_entry_point is not None
        mode = "vector_entry_point" if native else "sync"
        return gymnasium.make_vec(name, num_envs=n, vectorization_mode=mode, **kwargs)
    except (gymnasium.error.Error, ModuleNotFoundError) as error:
        raise InputError(f"environment {name!r}: {error}") from None


def make_items(
    dataset: pd.DataFrame, routes: dict[int, list[str]], diagonal: float, config: RolloutConfig
) -> pd.DataFrame:
    """Test items and contrast items (columns of ITEM_SCHEMA).

    The contrast pairs are mined from the whole test split, whatever `--items` says. Both commands
    of a pair ask for the BD of its first trajectory.

    Args:
        dataset: rows of the test split: trajectory_id, bd, texts.
        routes: trajectory_id → visited sequence.
        diagonal: of the BD space, in its units.
    """
    rng = np.random.default_rng([config.seed, 0])
    dataset = dataset.loc[dataset["texts"].map(len) > 0, :].reset_index(drop=True)
    if dataset.empty:
        raise InputError("dataset: the test split has no trajectory with a text; nothing to drive")
    ids = np.asarray(dataset["trajectory_id"], np.int64)
    text = [row[rng.integers(len(row))] for row in dataset["texts"]]
    bd = np.stack(dataset["bd"].tolist()).astype(np.float32)
    n = min(config.items or len(ids), len(ids))
    chosen = np.sort(rng.permutation(len(ids))[:n])
    rows: list[tuple[Any, ...]] = [("test", None, ids[i], None, text[i], bd[i]) for i in chosen]
    known = [routes.get(i, []) for i in ids.tolist()]
    pairs = contrast_pairs(bd, known, diagonal, seed=config.seed, limit=config.pairs)
    for number, (first, second) in enumerate(pairs.tolist()):
        for own, other in ((first, second), (second, first)):
            rows.append(("contrast", number, ids[own], ids[other], text[own], bd[first]))
    frame = pd.DataFrame(rows, columns=ITEM_SCHEMA.names[1:])
    frame.insert(0, "item", np.arange(len(frame)))
    return frame


def _check_info(info: dict[str, Any], environment: dict[str, Any]) -> None:
    if "bd" not in info:
        raise InputError(
            f'environment {environment["id"]!r}: its info has no "bd" [n_bd], so what a drive '
            "reached is unknown; report it from reset and step"
        )


class _Driver:
    """Everything that stands behind the names of the systems."""

    def __init__(
        self,
        config: RolloutConfig,
        environment: dict[str, Any],
        dataset: pd.DataFrame,
        records: Path,
        drive: Callable[[], Drive],
    ) -> None:
        self.config, self.environment = config, environment
        self._dataset = dataset.set_index("trajectory_id", drop=False)
        self._records, self._load_drive = records, drive
        self._drive: Drive | None = None
        self._elites: Elites | None = None
        self._recorded: pd.DataFrame | None = None

    def __call__(self, system: str, commands: Commands, rows: slice, seed: int) -> pa.Table:
        """Drive items `rows` of `commands`; the shuffle of texts sees all of them."""
        if system in BASELINES:
            return self._retrieve(system, commands, rows, seed)
        if system == "replay":
            return self._replay(commands, rows, seed)
        return self._policy(system, commands, rows, seed)

    def _policy(self, system: str, commands: Commands, rows: slice, seed: int) -> pa.Table:
        control = system.partition("/")[2]
        text: list[str] | None = commands.text[rows]
        bd: Array | None = commands.bd[rows]
        if control in ("text_off", "both_off"):
            text = None
        if control in ("bd_off", "both_off"):
            bd = None
        if control == "text_shuffled":
            order = derangement(len(commands), self.config.seed)
            text = [commands.text[i] for i in order[rows]]
        if self._drive is None:
            self._drive = self._load_drive()
        item = commands.item[rows]
        envs = make_envs(self.environment, len(item))
        try:
            drives = self._drive(envs, text, bd, seed)
        finally:
            envs.close()
        _check_info(drives.info, self.environment)
        return _table(
            system,
            item,
            seed,
            None,
            drives.info["bd"][:, -1],
            drives.info.get("pose"),
            drives.action,
        )

    def _replay(self, commands: Commands, rows: slice, seed: int) -> pa.Table:
        """The reference's own actions, through the environment: the ceiling of every metric."""
        ids = commands.trajectory_id[rows]
        flat = [np.asarray(self._dataset.at[i, "action"], np.float32) for i in ids]
        length = self._dataset.loc[ids, "length"].to_numpy()
        action = np.zeros((len(ids), length.max(), len(flat[0]) // length[0]), np.float32)
        for row, (values, steps) in enumerate(zip(flat, length, strict=True)):
            action[row, :steps] = values.reshape(steps, -1)
        envs = make_envs(self.environment, len(ids))
        try:
            info = envs.reset(seed=seed)[1]
            _check_info(info, self.environment)
            track = [info]
            for step in range(action.shape[1]):
                track.append(envs.step(action[:, step])[4])
        finally:
            envs.close()
        last = np.arange(len(ids))
        bd = np.stack([info["bd"] for info in track], axis=1)[last, length]
        pose = np.stack([i["pose"] for i in track], axis=1) if "pose" in info else None
        return _table("replay", commands.item[rows], seed, ids, bd, pose, action)

    def _retrieve(self, system: str, commands: Commands, rows: slice, seed: int) -> pa.Table:
        """Elites that were recorded already: their drive is the record."""
        train = self._dataset.query("split == 'train'")
        if self._elites is None:
            bd = np.stack(train["bd"].tolist()) if len(train) else np.zeros((0, 0))
            self._elites = Elites(bd, [list(texts) for texts in train["texts"]])
            self._recorded = read_table(self._records, ("trajectory_id", "bd", "pose")).set_index(
                "trajectory_id"
            )
        assert self._recorded is not None
        item = commands.item[rows]
        draw = int(np.random.SeedSequence([seed, int(item[0])]).generate_state(1)[0])
        chosen = self._elites.choose(system, commands.text[rows], commands.bd[rows], draw)
        ids = np.asarray(train["trajectory_id"], np.int64)[chosen]
        missing = [i for i in ids.tolist() if i not in self._recorded.index]
        if missing:
            raise InputError(
                f"{self._records}: trajectory_id {missing[0]} of the dataset is missing"
            )
        found = self._recorded.loc[ids]
        pose = None if found["pose"].isna().any() else found["pose"].tolist()
        return _table(system, item, seed, ids, found["bd"].tolist(), pose, None)


def _table(
    system: str,
    item: NDArray[np.int64],
    seed: int,
    source: NDArray[np.int64] | None,
    bd: Any,
    pose: Any,
    action: Any,
) -> pa.Table:
    """Rows of ROLLOUT_SCHEMA for N drives of one system."""
    n = len(item)

    def rows(values: Any) -> list[Array] | list[None]:
        if values is None:
            return [None] * n
        return [np.asarray(row, np.float32).ravel() for row in values]

    columns = {
        "system": [system] * n,
        "item": item,
        "seed": [seed] * n,
        "source_trajectory": [None] * n if source is None else source,
        "bd": rows(bd),
        "pose": rows(pose),
        "action": rows(action),
    }
    return pa.table({k: pa.array(v, ROLLOUT_SCHEMA.field(k).type) for k, v in columns.items()})


def run(config: RolloutConfig, load_drive: Callable[[Path], Drive]) -> Path:
    """Stage 08: dataset, annotations, model → `rollouts/items.parquet` and `rollouts.parquet`.

    Args:
        config: options.
        load_drive: given the model's folder, loads the policy; called only if a policy is driven.

    Raises:
        InputError: an earlier stage is missing or stale, or an option is out of range.
    """
    config.check()
    inputs = ("archive", "trajectories", "annotations", "dataset", "model")
    with Stage(config, "rollouts", inputs=inputs) as stage:
        if stage.done:
            return stage.folder
        info = read_json(stage.input("dataset") / "dataset.json")
        environment = dict(info["environment"])
        if "world" in environment["kwargs"]:
            # The run's own copy: a run may be moved, and a bundled world may change.
            world = str(stage.input("archive") / "world")
            environment["kwargs"] = {**environment["kwargs"], "world": world}
        dataset = read_table(
            stage.input("dataset") / "trajectories.parquet",
            ("trajectory_id", "split", "bd", "length", "action", "texts"),
        )
        routes = read_table(
            stage.input("annotations") / "routes.parquet", ("trajectory_id", "visited")
        )
        visited = {
            i: list(v) for i, v in zip(routes["trajectory_id"], routes["visited"], strict=True)
        }
        diagonal = float(np.linalg.norm(np.subtract(info["bd_high"], info["bd_low"])))
        items = make_items(dataset.query("split == 'test'"), visited, diagonal, config)
        write_table(stage.path("items.parquet"), pa.Table.from_pandas(items, ITEM_SCHEMA, False))
        driver = _Driver(
            config,
            environment,
            dataset,
            stage.input("trajectories") / "trajectories.parquet",
            lambda: load_drive(stage.input("model")),
        )
        work = []  # (system, commands, rows, seed): one chunk file each
        for system in config.systems:
            for name in ("test", *(["contrast"] if system in CONTRASTED else [])):
                part = items.loc[items["set"] == name, :]
                commands = Commands(
                    np.asarray(part["item"], np.int64),
                    np.asarray(part["trajectory_id"], np.int64),
                    part["text"].tolist(),
                    np.array(part["bd"].tolist(), np.float32),
                )
                for seed in range(config.seed, config.seed + config.seeds):
                    work += [
                        (system, commands, rows, seed) for rows in commands.blocks(config.batch)
                    ]
        chunks = stage.scratch("chunks")
        total = sum(rows.stop - rows.start for _, _, rows, _ in work)
        with tqdm(total=total, desc="rollouts", unit="drive") as bar:
            for number, (system, commands, rows, seed) in enumerate(work):
                path = chunks / f"{number:05d}.parquet"
                bar.set_postfix_str(system)
                if not path.exists():
                    write_table(path, driver(system, commands, rows, seed))
                bar.update(rows.stop - rows.start)
        table = pa.concat_tables(
            read_arrow(chunks / f"{number:05d}.parquet") for number in range(len(work))
        )
        write_table(stage.path("rollouts.parquet"), table)
        stage.rows.update(items=len(items), rollouts=len(table))
        stage.facts.update(
            test_items=items["set"].tolist().count("test"),
            contrast_pairs=items["set"].tolist().count("contrast") // 2,
        )
    return stage.folder
