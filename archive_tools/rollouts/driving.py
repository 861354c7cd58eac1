"""Who drives: the policy under its controls, elites of the archive, or recorded actions.

The policy comes in as a callable, so this package knows arrays, text and environments, no model.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import gymnasium
import numpy as np
import pandas as pd
import pyarrow as pa
from gymnasium.vector import VectorEnv
from numpy.typing import NDArray

from archive_tools.files import read_table
from archive_tools.rollouts.baselines import Elites
from archive_tools.rollouts.items import Commands
from archive_tools.rollouts.systems import SYSTEMS, System
from envs.errors import InputError

Array = NDArray[np.float32]
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


class Rollouts(Protocol):
    """Closed-loop runs of a batch of N robots over at most T steps."""

    @property
    def action(self) -> Array: ...  # [N, T, n_act]

    @property
    def length(self) -> NDArray[np.integer]: ...  # [N], steps driven

    @property
    def info(
        self,
    ) -> dict[str, Any]: ...  # arrays [N, T+1, ...]: "bd", and "pose" where there is one


class SameStart(gymnasium.vector.VectorWrapper):
    """Every copy is reset with the same seed, as elites are recorded: all begin alike."""

    def reset(
        self, *, seed: int | list[int | None] | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        """See `VectorEnv.reset`."""
        seeds: Any = [seed] * self.num_envs if isinstance(seed, int) else seed
        return self.env.reset(seed=seeds, options=options)  # type: ignore[arg-type] (a narrow stub)


DrivePolicy = Callable[[VectorEnv, list[str] | None, Array | None, int], Rollouts]
"""drive(envs, texts or None, bd [N, n_bd] or None, seed): one command per sub-environment."""


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
        envs = gymnasium.make_vec(name, num_envs=n, vectorization_mode=mode, **kwargs)
        return envs if native else SameStart(envs)
    except (gymnasium.error.Error, ModuleNotFoundError) as error:
        raise InputError(f"environment {name!r}: {error}") from None


def taken(envs: VectorEnv, action: Array) -> NDArray[Any]:
    """Actions [N, n_act] as environments take them: numbers [N] where actions are numbered."""
    numbered = isinstance(envs.single_action_space, gymnasium.spaces.Discrete)
    return action[:, 0].astype(np.int64) if numbered else action


def _check_info(info: dict[str, Any], environment: dict[str, Any]) -> None:
    if "bd" not in info:
        raise InputError(
            f'environment {environment["id"]!r}: its info has no "bd" [n_bd], so what a drive '
            "reached is unknown; report it from reset and step"
        )


class Driver:
    """Everything that stands behind the names of the systems.

    Args:
        environment: {"id", "kwargs"}.
        dataset: all rows: trajectory_id, split, bd, length, action, texts.
        records: the table of recorded trajectories, which retrieval shows.
        drive: loads the policy; called when it is first needed.
    """

    def __init__(
        self,
        environment: dict[str, Any],
        dataset: pd.DataFrame,
        records: Path,
        drive: Callable[[], DrivePolicy],
    ) -> None:
        self.environment = environment
        self._dataset = dataset.set_index("trajectory_id", drop=False)
        self._records, self._load_drive = records, drive
        self._envs: dict[int, VectorEnv] = {}
        self._drive: DrivePolicy | None = None
        self._elites: Elites | None = None
        self._recorded: pd.DataFrame | None = None

    def __call__(self, system: str, commands: Commands, rows: slice, seed: int) -> pa.Table:
        """Drive items `rows` of `commands`: rows of ROLLOUT_SCHEMA for those that count."""
        record = SYSTEMS[system]
        if record.choose is not None:
            return self._retrieve(record, commands, rows, seed)
        if record.kind == "ceiling":
            return self._replay(record, commands, rows, seed)
        return self._policy(record, commands, rows, seed)

    def _copies(self, n: int) -> VectorEnv:
        """`n` copies of the environment; the same ones for every batch of that size."""
        if n not in self._envs:
            self._envs[n] = make_envs(self.environment, n)
        return self._envs[n]

    def _policy(self, system: System, commands: Commands, rows: slice, seed: int) -> pa.Table:
        text = None if system.deaf else commands.text[rows]
        bd = None if system.blind else commands.bd[rows]
        if self._drive is None:
            self._drive = self._load_drive()
        item = commands.item[rows]
        driven = self._drive(self._copies(len(item)), text, bd, seed)
        _check_info(driven.info, self.environment)
        reached, pose = driven.info["bd"][:, -1], driven.info.get("pose")
        counts = commands.counts[rows]
        length = np.asarray(driven.length)
        table = _table(system.name, item, seed, None, reached, pose, driven.action, length)
        return table if counts.all() else table.filter(pa.array(counts))

    def _replay(self, system: System, commands: Commands, rows: slice, seed: int) -> pa.Table:
        """The reference's own actions, through the environment: the ceiling of every metric."""
        ids = commands.trajectory_id[rows]
        flat = [np.asarray(self._dataset.at[i, "action"], np.float32) for i in ids]
        length = self._dataset.loc[ids, "length"].to_numpy()
        action = np.zeros((len(ids), length.max(), len(flat[0]) // length[0]), np.float32)
        for row, (values, steps) in enumerate(zip(flat, length, strict=True)):
            action[row, :steps] = values.reshape(steps, -1)
        envs = self._copies(len(ids))
        info = envs.reset(seed=seed)[1]
        _check_info(info, self.environment)
        track = [info]
        for step in range(action.shape[1]):
            track.append(envs.step(taken(envs, action[:, step]))[4])
        last = np.arange(len(ids))
        bd = np.stack([info["bd"] for info in track], axis=1)[last, length]
        pose = np.stack([i["pose"] for i in track], axis=1) if "pose" in info else None
        return _table(system.name, commands.item[rows], seed, ids, bd, pose, action, length)

    def _retrieve(self, system: System, commands: Commands, rows: slice, seed: int) -> pa.Table:
        """Elites that were recorded already: their drive is the record."""
        if self._recorded is None:
            self._recorded = read_table(self._records, ("trajectory_id", "bd", "pose")).set_index(
                "trajectory_id"
            )
        # Drives that were given with their texts, whose ids go on where the elites' end, are none.
        train = self._dataset.query("split == 'train'")
        train = train[np.asarray(train["trajectory_id"]) <= self._recorded.index.max()]
        if self._elites is None:
            bd = np.stack(train["bd"].tolist()) if len(train) else np.zeros((0, 0))
            self._elites = Elites(bd, [list(texts) for texts in train["texts"]])
        item = commands.item[rows]
        draw = int(np.random.SeedSequence([seed, int(item[0])]).generate_state(1)[0])
        assert system.choose is not None
        chosen = system.choose(self._elites, commands.text[rows], commands.bd[rows], draw)
        ids = np.asarray(train["trajectory_id"], np.int64)[chosen]
        missing = [i for i in ids.tolist() if i not in self._recorded.index]
        if missing:
            raise InputError(
                f"{self._records}: trajectory_id {missing[0]} of the dataset is missing"
            )
        records = self._recorded.loc[ids]
        pose = None if records["pose"].isna().any() else records["pose"].tolist()
        return _table(system.name, item, seed, ids, records["bd"].tolist(), pose, None)


def _table(
    system: str,
    item: NDArray[np.int64],
    seed: int,
    source: NDArray[np.int64] | None,
    bd: Any,
    pose: Any,
    action: Any,
    length: NDArray[np.integer] | None = None,
) -> pa.Table:
    """Rows of ROLLOUT_SCHEMA for N drives of one system, of `length` [N] steps where they may be
    padded."""
    n = len(item)

    def rows(values: Any, more: int | None = None) -> list[Array] | list[None]:
        if values is None:
            return [None] * n
        ends = [None] * n if length is None or more is None else (length + more).tolist()
        return [
            np.asarray(row, np.float32)[:end].ravel() for row, end in zip(values, ends, strict=True)
        ]

    columns = {
        "system": [system] * n,
        "item": item,
        "seed": [seed] * n,
        "source_trajectory": [None] * n if source is None else source,
        "bd": rows(bd),
        "pose": rows(pose, 1),
        "action": rows(action, 0),
    }
    return pa.table({k: pa.array(v, ROLLOUT_SCHEMA.field(k).type) for k, v in columns.items()})
