"""Recorded trajectories on disk: one Parquet row each, and what describes them all.

Numbers are stored as BYTE_STREAM_SPLIT, which puts the first bytes of all floats together, then the
second ones, …: floats that resemble each other then compress well under zstd. Actions have few
distinct values, so a dictionary serves them better.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import ArrayLike, NDArray

from archive_tools.files import atomic_path, list_column, read_arrow, read_json
from envs.errors import InputError

Floats = NDArray[np.float32]
Sequences = Floats | list[Floats]
"""[N, T, d] when all trajectories have one length, else N arrays [T_i, d]."""

SCHEMA = pa.schema(
    [
        ("trajectory_id", pa.int64()),
        ("policy_id", pa.int64()),
        ("length", pa.int32()),
        ("bd", pa.list_(pa.float32())),
        ("obs", pa.list_(pa.float32())),
        ("action", pa.list_(pa.float32())),
        ("pose", pa.list_(pa.float32())),
    ]
)
PART = 2**14
"""Trajectories whose steps are held at once: bounds the memory."""
INFO_FIELDS = ("n_obs", "n_act", "n_bd", "steps", "environment")


@dataclass(frozen=True)
class Trajectories:
    """N trajectories; what was not asked for, or not recorded, is None."""

    ids: NDArray[np.int64]
    """int64 [N], trajectory ids."""
    lengths: NDArray[np.int32]
    """int32 [N], steps T of each."""
    info: dict[str, Any]
    """The content of trajectories.json."""
    obs: Sequences | None = None
    """float32 [N, T + 1, n_obs]; index 0 is the state after reset."""
    action: Sequences | None = None
    """float32 [N, T, n_act], as applied."""
    pose: Sequences | None = None
    """float32 [N, T + 1, 3]: x, y (world units, y down), heading (radians)."""
    bd: Floats | None = None
    """float32 [N, n_bd], as reached."""

    def __len__(self) -> int:
        return len(self.ids)


def make_table(
    ids: ArrayLike,
    lengths: NDArray[np.integer],
    bd: Floats,
    obs: Sequences,
    action: Sequences,
    pose: Sequences | None = None,
    policy_ids: Sequence[int | None] | None = None,
) -> pa.Table:
    """Rows of trajectories.parquet.

    Args:
        ids: [N], of the trajectories.
        lengths: [N], steps T_i; arrays may be longer, what is beyond is left out.
        bd: [N, n_bd].
        obs, action, pose: as in `Trajectories`.
        policy_ids: [N], None for a drive behind which no policy stands; by default the `ids`.
    """
    ids = pa.array(np.asarray(ids, dtype=np.int64))
    count = len(lengths)

    def steps(arrays: Sequences, more: int) -> pa.Array:
        return list_column([arrays[n][: lengths[n] + more] for n in range(count)])

    columns = [
        ids,
        ids if policy_ids is None else pa.array(policy_ids, pa.int64()),
        pa.array(np.asarray(lengths, dtype=np.int32)),
        list_column(list(bd)),
        steps(obs, 1),
        steps(action, 0),
        pa.nulls(count, SCHEMA.field("pose").type) if pose is None else steps(pose, 1),
    ]
    return pa.Table.from_arrays(columns, schema=SCHEMA)


def write_trajectories(path: Path, chunks: Iterator[pa.Table]) -> None:
    """Write tables of `make_table`, each as a row group of its own, atomically."""
    split = ("bd", "obs", "pose")
    with (
        atomic_path(path) as temporary,
        pq.ParquetWriter(
            temporary,
            SCHEMA,
            compression="zstd",
            compression_level=9,
            use_dictionary=["action.list.element", "length"],  # type: ignore[arg-type] (stub is wrong)
            column_encoding={f"{name}.list.element": "BYTE_STREAM_SPLIT" for name in split},
            write_statistics=False,
            write_page_checksum=True,
        ) as writer,
    ):
        for table in chunks:
            writer.write_table(table, row_group_size=len(table))


def load_trajectories(
    folder: Path | str,
    columns: Sequence[str] | None = None,
    info: dict[str, Any] | None = None,
    rows: tuple[int, int] | None = None,
) -> Trajectories:
    """Load the trajectories of a run.

    Args:
        folder: `RUN/trajectories`.
        columns: which of obs, action, pose, bd to load; all where None.
        info: in place of the folder's trajectories.json.
        rows: the first and the one after the last to load; all where None.

    Raises:
        InputError: missing, truncated or foreign files; a row whose length does not fit.
    """
    folder = Path(folder)
    path = folder / "trajectories.parquet"
    wanted = ("obs", "action", "pose", "bd") if columns is None else tuple(columns)
    unknown = [name for name in wanted if name not in ("obs", "action", "pose", "bd")]
    if unknown:
        raise InputError(f"unknown column {unknown[0]!r}; known are obs, action, pose, bd")
    table = read_arrow(path, ("trajectory_id", "length", *wanted), rows)
    if info is None:
        info = dict(read_json(folder / "trajectories.json", dict))
    return unpack_table(table, info, wanted, path)


def trajectory_parts(
    folder: Path | str, columns: Sequence[str], count: int
) -> Iterator[Trajectories]:
    """The first `count` trajectories of a run as `load_trajectories` gives them, in parts."""
    for begin in range(0, count, PART):
        yield load_trajectories(folder, columns, rows=(begin, min(begin + PART, count)))


def unpack_table(
    table: pa.Table, info: dict[str, Any], wanted: Sequence[str], path: Path
) -> Trajectories:
    """The trajectories of a table with columns of SCHEMA.

    Args:
        table: trajectory_id, length and the columns `wanted`.
        info: the content of trajectories.json.
        wanted: which of obs, action, pose, bd to unpack.
        path: the file, for messages.

    Raises:
        InputError: a field of `info` is missing, or a row's length does not fit.
    """
    for name in INFO_FIELDS:
        if name not in info:
            raise InputError(f"{path.parent / 'trajectories.json'}: field {name!r} is missing")
    ids = table["trajectory_id"].to_numpy()
    lengths = table["length"].to_numpy()
    widths = {"obs": info["n_obs"], "action": info["n_act"], "pose": 3, "bd": info["n_bd"]}
    arrays: dict[str, Any] = {}
    for name in wanted:
        column = table[name].combine_chunks()
        if column.null_count == len(column):
            arrays[name] = None  # an environment without poses
            continue
        rows = {"obs": lengths + 1, "pose": lengths + 1, "action": lengths, "bd": 1}[name]
        arrays[name] = _unflatten(column, rows * np.ones_like(lengths), widths[name], ids,
                                 f"{path}: column {name!r}")  # fmt: skip
        if name == "bd":
            arrays[name] = arrays[name][:, 0]
    return Trajectories(ids, lengths, info, **arrays)


def _unflatten(
    column: pa.Array, rows: NDArray[np.integer], width: int, ids: NDArray[np.int64], where: str
) -> Sequences:
    sizes = column.value_lengths().to_numpy(zero_copy_only=False)
    wrong = np.flatnonzero(sizes != rows * width)
    if len(wrong):
        n = int(wrong[0])
        raise InputError(
            f"{where}: trajectory {ids[n]} has {sizes[n]:g} numbers; expected "
            f"{rows[n]} × {width} for its length"
        )
    values = column.flatten().to_numpy(zero_copy_only=False).astype(np.float32, copy=False)
    if len(set(rows.tolist())) == 1:
        return values.reshape(len(rows), int(rows[0]), width)
    ends = np.cumsum(rows * width)
    return [
        values[end - size : end].reshape(-1, width)
        for end, size in zip(ends, rows * width, strict=True)
    ]


def make_info(
    n_obs: int,
    environment: Mapping[str, Any],
    action_low: Sequence[float],
    action_high: Sequence[float],
    action_decimals: int | None,
    measures: Mapping[str, Any],
    steps: int,
) -> dict[str, Any]:
    """The content of trajectories.json.

    Args:
        n_obs: length of an observation.
        environment: {"id", "kwargs"} of the Gymnasium environment.
        action_low, action_high: bounds of the actions.
        action_decimals: decimals they were rounded to; None for none.
        measures: {"names", "low", "high"} of the BD.
        steps: steps of the longest trajectory.
    """
    return {
        "n_obs": n_obs,
        "n_act": len(action_low),
        "n_bd": len(measures["names"]),
        "steps": steps,
        "action_low": list(action_low),
        "action_high": list(action_high),
        "action_decimals": action_decimals,
        "bd_names": list(measures["names"]),
        "bd_low": list(measures["low"]),
        "bd_high": list(measures["high"]),
        "environment": dict(environment),
    }
