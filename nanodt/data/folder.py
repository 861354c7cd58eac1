"""A dataset folder, read whole and checked.

The folder holds `trajectories.parquet`, one row per episode, and `dataset.json`:

| column          | type          | meaning                                        |
|-----------------|---------------|------------------------------------------------|
| `trajectory_id` | int64         |                                                |
| `split`         | string        | train, validation or test                      |
| `weight`        | float32       | optional: how often its windows are drawn      |
| `length`        | int32         | steps T                                        |
| `bd`            | list<float32> | behaviour descriptor [n_bd]                    |
| `obs`           | list<float32> | row-major [T + 1, n_obs]                       |
| `action`        | list<float32> | row-major [T, n_act]                           |
| `texts`         | list<string>  | descriptions of this trajectory                |
| `plans`         | list<string>  | optional: the same in other words              |
| `expert_action` | list<float32> | optional [T, n_act]: the action to learn       |
| `next_subgoal`  | list<int16>   | optional [T]: which place comes next           |

A published dataset has data/train.parquet, data/validation.parquet and data/test.parquet in place
of `trajectories.parquet`.

What a policy is told are the columns that `text_columns` of dataset.json lists, by default `texts`.
`expert_action` differs from `action`, the one applied, where an episode was disturbed on purpose
(DART: Laskey et al. 2017). A second file of the same columns, `augmentation.parquet`, may hold more
episodes for the split train, read where they are asked for. A next subgoal is a number in the list
`subgoals` of dataset.json, or the length of that list where none comes.
"""

from __future__ import annotations

import mmap
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import (
    BaseModel,
    ConfigDict,
    FiniteFloat,
    NonNegativeInt,
    PositiveInt,
    ValidationError,
)

from nanodt.data.episodes import Episodes
from nanodt.errors import InputError
from nanodt.files import read_json
from nanodt.packing import ragged

TABLE, AUGMENTATION, INFO = "trajectories.parquet", "augmentation.parquet", "dataset.json"
PARTS = tuple(f"data/{split}.parquet" for split in ("train", "validation", "test"))
OUTSIDE = 0.1
"""At most this share of the BDs may lie outside the bounds of dataset.json."""
LONGER, WIDER = 1000, 1e4
"""So many times the longest episode, and the spread of the BDs, no dataset.json states."""
COLUMNS = ("trajectory_id", "split", "length", "bd", "obs", "action", "texts")
STEPS = ("obs", "action", "expert_action", "next_subgoal")
"""Columns that hold something for each step."""
PART = 4096
"""Episodes whose steps are read at once."""
LARGE = 2**28
"""A field of more bytes is kept in a temporary file (in TMPDIR), which the system caches."""


@dataclass
class Dataset:
    """The folder: `info` is dataset.json, `splits` maps a split's name to its episodes."""

    folder: Path
    info: dict[str, Any]
    splits: dict[str, Episodes]

    def split(self, name: str) -> Episodes:
        if name not in self.splits:
            raise InputError(
                f"{self.folder / TABLE}: no trajectory has split {name!r} "
                f"(found: {', '.join(sorted(self.splits)) or 'none'})"
            )
        return self.splits[name]


def load_dataset(folder: Path | str, augmentation: float = 0.0) -> Dataset:
    """Read a dataset folder whole and check it.

    `augmentation` is its share in the steps drawn of the split train: at 0 it is not read, at 1 no
    recorded episode is kept in that split. Where the dataset has none, it is 0. `each["recorded"]`
    of an episode is 1, or 0 where it is augmentation.

    Raises InputError for a missing, truncated or ill-formed file, a missing column, a number
    that is not finite, or dimensions other than those dataset.json states.
    """
    folder = Path(folder)
    info = _read_info(folder / INFO)
    path = folder / TABLE
    if not 0 <= augmentation <= 1:
        raise InputError(f"augmentation share {augmentation}: expected 0 to 1")
    table, recorded, files = _read_both(folder, info, augmentation)
    length = _column(table, "length").to_numpy().astype(np.int64)
    ids = _column(table, "trajectory_id").to_numpy().astype(np.int64)
    if len(ids) == 0:
        raise InputError(f"{path}: no trajectory in it")
    if (length < 1).any():
        bad = int(ids[np.argmax(length < 1)])
        raise InputError(f"{path}: trajectory {bad} has no step; drop it from the dataset")
    bd = _matrix(path, table, "bd", ids, np.ones_like(length), int(info["n_bd"]), "n_bd")
    _check_rows(folder / INFO, info, length, bd)
    weight = _column(table, "weight").to_numpy().astype(np.float64)
    if not np.isfinite(weight).all() or (weight < 0).any():
        raise InputError(f"{path}: column weight must be finite and not negative")
    names = np.array(_column(table, "split").to_numpy(zero_copy_only=False), str)
    if not recorded.all():
        weight = _shared(weight, length, ~recorded, names, augmentation)
    steps = _read_steps(files, ids, length, names, info)
    texts, splits = _texts(table, info), {}
    for name in sorted(steps):
        rows = np.flatnonzero(names == name)
        splits[name] = Episodes(
            length=length[rows],
            steps=steps[name],
            each={"bd": bd[rows], "recorded": recorded[rows].astype(np.float32)[:, None]},
            texts=[texts[row] for row in rows.tolist()],
            info=info,
            where=str(folder),
            ids=ids[rows],
            weight=weight[rows],
        )
    return Dataset(folder, info, splits)


@dataclass
class _File:
    """A file of episodes: which of its rows are read, and which columns of steps it has."""

    path: Path
    keep: np.ndarray
    """[rows] bool."""

    @property
    def columns(self) -> list[str]:
        names = pq.read_schema(self.path.absolute()).names
        return [name for name in STEPS if name in names]

    def parts(self, columns: Sequence[str]) -> Iterator[pa.Table]:
        """The rows that are read, some thousands at a time."""
        begin = 0
        try:
            with pq.ParquetFile(self.path.absolute(), page_checksum_verification=True) as file:
                for batch in file.iter_batches(PART, columns=list(columns)):
                    part = pa.Table.from_batches([batch])
                    keep = self.keep[begin : begin + len(part)]
                    begin += len(part)
                    yield part if keep.all() else part.filter(pa.array(keep))
        except (pa.ArrowException, OSError) as error:
            raise _damaged(self.path, error) from error


def _read_steps(
    files: Sequence[_File],
    ids: np.ndarray,
    length: np.ndarray,
    names: np.ndarray,
    info: dict[str, Any],
) -> dict[str, dict[str, np.ndarray]]:
    """Per split the fields of its steps, some thousand rows after another: none is held twice."""
    every = [file.columns for file in files]
    subgoals = all("next_subgoal" in columns for columns in every)
    expert = any("expert_action" in columns for columns in every)
    sizes = {name: int(length[names == name].sum()) for name in set(names.tolist())}
    found: dict[str, dict[str, np.ndarray]] = {name: {} for name in sizes}
    filled, row = dict.fromkeys(sizes, 0), 0
    for file, columns in zip(files, every, strict=True):
        for part in file.parts([c for c in columns if subgoals or c != "next_subgoal"]):
            rows = slice(row, row + len(part))
            row += len(part)
            if not len(part):
                continue
            if expert and "expert_action" not in part.column_names:
                part = part.append_column("expert_action", part.column("action"))
            fields = _numbers(file.path, part, ids[rows], length[rows], info)
            for name in set(names[rows].tolist()):
                mine = np.repeat(names[rows] == name, length[rows])
                begin = filled[name]
                filled[name] += int(mine.sum())
                for field, values in fields.items():
                    if field not in found[name]:
                        found[name][field] = room(sizes[name], values.shape[1])
                    place = found[name][field]
                    place[begin : filled[name]] = values if mine.all() else values[mine]
                    release(place)
    pa.default_memory_pool().release_unused()  # it would keep the room of the largest part
    return found


def room(rows: int, size: int) -> np.ndarray:
    """Room for float32 [rows, size]: in memory, or where there are many on the disk."""
    if 4 * rows * size < LARGE:
        return np.empty((rows, size), np.float32)
    file = tempfile.TemporaryFile()  # noqa: SIM115 (the map keeps it)
    return np.memmap(file, np.float32, "w+", shape=(rows, size))


def release(place: np.ndarray) -> None:
    """What was written to the disk, or read from there, needs no memory of ours any more."""
    if isinstance(place, np.memmap):
        place.flush()
        pages: Any = place.base
        if hasattr(mmap, "MADV_DONTNEED"):
            pages.madvise(mmap.MADV_DONTNEED)


def _texts(table: pa.Table, info: dict[str, Any]) -> list[list[str]]:
    """What each episode may be told, from the columns that dataset.json names."""
    told: list[list[str]] = [[] for _ in range(len(table))]
    for name in text_columns(info):
        for own, row in zip(told, table.column(name).to_pylist(), strict=True):
            own += [text for text in row or [] if text]
    return told


def text_columns(info: dict[str, Any]) -> list[str]:
    """The columns that hold what a policy is told; `info` is dataset.json."""
    return list(info.get("text_columns") or ["texts"])


def _read_both(
    folder: Path, info: dict[str, Any], augmentation: float
) -> tuple[pa.Table, np.ndarray, list[_File]]:
    """The rows to learn from and to test on without their steps, which of them are recorded
    episodes [N] bool, and the files that have the steps."""
    names = table_files(folder)
    own = [_read_table(folder / name, info) for name in names]
    files = [_File(folder / n, np.ones(len(t), bool)) for n, t in zip(names, own, strict=True)]
    table = pa.concat_tables(own).combine_chunks()
    if not augmentation or not (folder / AUGMENTATION).exists():
        return table, np.ones(len(table), bool), files
    more = _read_table(folder / AUGMENTATION, info)
    other = set(more.column("split").unique().to_pylist()) - {"train"}
    if other:
        raise InputError(
            f"{folder / AUGMENTATION}: split {sorted(map(str, other))[0]!r} in it; augmentation "
            "is for the split train only"
        )
    if augmentation == 1 and len(more):
        for file, part in zip(files, own, strict=True):
            file.keep = part.column("split").to_numpy(zero_copy_only=False) != "train"
        table = table.filter(pa.array(np.concatenate([file.keep for file in files])))
    files.append(_File(folder / AUGMENTATION, np.ones(len(more), bool)))
    both = pa.concat_tables([table, more], promote_options="permissive")
    return both, np.arange(len(both)) < len(table), files


def table_files(folder: Path) -> list[str]:
    """The files of the recorded episodes: one, or of a published dataset one for each split."""
    found = [] if (folder / TABLE).exists() else [n for n in PARTS if (folder / n).exists()]
    return found or [TABLE]


def _numbers(
    path: Path, table: pa.Table, ids: np.ndarray, length: np.ndarray, info: dict[str, Any]
) -> dict[str, np.ndarray]:
    """The fields of the steps of a table."""
    sizes = {"obs": "n_obs", "action": "n_act", "expert_action": "n_act", "next_subgoal": ""}
    steps: dict[str, np.ndarray] = {}
    for name in [name for name in sizes if name in table.column_names]:
        rows, key = length + (name == "obs"), sizes[name]
        steps[name] = _matrix(path, table, name, ids, rows, int(info.get(key, 1)), key)
    for name, key in (("action", "action_classes"), ("next_subgoal", "subgoals")):
        if name in steps and (key in info or name == "next_subgoal"):
            classes = info[key] if name == "action" else len(info.get(key) or ()) + 1
            _check_numbered(path, name, ids, length, steps[name], classes, key)
    # The observation after the last action is never a model's input.
    row, place = ragged(length)
    steps["obs"] = steps["obs"][np.cumsum(length + 1)[row] - (length + 1)[row] + place]
    return steps


def _check_numbered(
    path: Path,
    name: str,
    ids: np.ndarray,
    length: np.ndarray,
    values: np.ndarray,
    classes: int,
    key: str,
) -> None:
    """Refuse values [sum of lengths, 1] that are no numbers from 0 to classes - 1."""
    wrong = (values != values.round()) | (values < 0) | (values >= classes)
    if values.shape[1] != 1 or wrong.any():
        row = int(np.argmax(wrong.any(1)))
        i = int(np.searchsorted(np.cumsum(length), row, side="right"))
        raise InputError(
            f"{path}: {name} of trajectory {ids[i]} holds {values[row].tolist()}, expected one "
            f"whole number from 0 to {classes - 1} ({key} in {INFO})"
        )


def located(environment: dict[str, Any], folder: Path) -> dict[str, Any]:
    """The environment with its relative paths, texts that begin with ./ or ../, seen from `folder`.

    A dataset names files of its environment by where they lie beside it, so that both can be moved.
    """
    kwargs = dict(environment.get("kwargs") or {})
    for name, value in kwargs.items():
        if isinstance(value, str) and value.startswith(("./", "../")):
            kwargs[name] = str(folder / value)
    return {**environment, "kwargs": kwargs}


Bounds = list[FiniteFloat]


class _Info(BaseModel):
    """What dataset.json must hold, and what some of the rest must be."""

    model_config = ConfigDict(strict=True)

    n_obs: PositiveInt
    n_act: PositiveInt
    n_bd: PositiveInt
    action_low: Bounds
    action_high: Bounds
    bd_low: Bounds = []
    bd_high: Bounds = []
    steps: PositiveInt = 1
    action_classes: PositiveInt = 1
    text_columns: list[str] | None = None
    subgoals: list[str] | None = None
    seed: NonNegativeInt = 0


def _read_info(path: Path) -> dict[str, Any]:
    if not path.exists():
        raise InputError(f"{path} does not exist: --data must name a dataset folder")
    info = read_json(path, "make the dataset again")
    try:
        _Info.model_validate(info)
    except ValidationError as error:
        first = error.errors()[0]
        name, wanted = first["loc"][0], first["msg"].replace("Input should be", "expected")
        found = f"{name} is {info[name]!r}, {wanted}" if name in info else f"no field {name}"
        raise InputError(f"{path}: {found}") from None
    for name, size in (("action", "n_act"), ("bd", "n_bd")):
        ends = {f"{name}_{end}": info.get(f"{name}_{end}") for end in ("low", "high")}
        for bound, values in ends.items():
            if values is not None and len(values) != info[size]:
                raise InputError(
                    f"{path}: {bound} has {len(values)} numbers, {size} is {info[size]}"
                )
        low, high = (np.array(values or [], float) for values in ends.values())
        if low.size and high.size and ((low > high) | ((low == high) & (name == "bd"))).any():
            raise InputError(
                f"{path}: {name}_low {low.tolist()} is not below {name}_high {high.tolist()}"
            )
    return info


def _check_rows(path: Path, info: dict[str, Any], length: np.ndarray, bd: np.ndarray) -> None:
    """Refuse a dataset.json that cannot be that of its rows: of another run, or edited."""
    longest = int(length.max())
    if not longest <= info.get("steps", longest) <= LONGER * longest:
        raise InputError(
            f"{path}: steps is {info['steps']}, but the longest trajectory has {longest}: it is "
            "not the dataset.json of these rows"
        )
    if "bd_low" not in info or "bd_high" not in info:
        return
    low, high = np.array(info["bd_low"], float), np.array(info["bd_high"], float)
    slack, spread = 1e-3 * (high - low), np.ptp(bd, axis=0)
    if ((high - low > WIDER * spread) & (spread > 0)).any():
        raise InputError(
            f"{path}: bd_low {info['bd_low']} and bd_high {info['bd_high']} are more than "
            f"{WIDER:,.0f} times as far apart as the BDs of its rows: it is not their dataset.json"
        )
    outside = ((bd < low - slack) | (bd > high + slack)).any(1)
    # Where the bounds are a user's own, some BDs may lie beyond them.
    if outside.mean() > OUTSIDE:
        raise InputError(
            f"{path}: {outside.sum()} of {len(bd)} BDs lie outside bd_low {info['bd_low']} and "
            f"bd_high {info['bd_high']}: it is not the dataset.json of these rows"
        )


def _read_table(path: Path, info: dict[str, Any]) -> pa.Table:
    if not path.exists():
        raise InputError(f"{path} does not exist: --data must name a dataset folder")
    try:
        names = pq.read_schema(path.absolute()).names
        needed = dict.fromkeys([*COLUMNS, *text_columns(info)])
        missing = [c for c in needed if c not in names]
        if missing:
            raise InputError(f"{path}: no column {', '.join(missing)} (found {', '.join(names)})")
        wanted = [c for c in needed if c not in STEPS] + ["weight"] * ("weight" in names)
        table = pq.read_table(path.absolute(), columns=wanted, page_checksum_verification=True)
        table.validate(full=True)  # texts that are no UTF-8
        if "weight" not in names:
            table = table.append_column("weight", pa.array(np.ones(len(table), np.float32)))
        return table
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        raise _damaged(path, error) from error


def _damaged(path: Path, error: Exception) -> InputError:
    reason = str(error).splitlines()[0]
    return InputError(f"{path} is not a whole Parquet file ({reason}): make it again")


def _shared(
    weight: np.ndarray, length: np.ndarray, added: np.ndarray, names: np.ndarray, share: float
) -> np.ndarray:
    """Weights with which augmentation (`added`) makes up a share of the split train's steps."""
    weight = weight.copy()
    for part, of_all in ((added, share), (~added & (names == "train"), 1 - share)):
        steps = (weight * length)[part].sum()
        weight[part] *= of_all / steps if steps else 0.0
    return weight


def _column(table: pa.Table, name: str) -> pa.Array:
    column = table.column(name)
    if column.null_count:
        raise InputError(f"{TABLE}: column {name} has {column.null_count} missing values")
    return column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column


def _matrix(
    path: Path, table: pa.Table, name: str, ids: np.ndarray, rows: np.ndarray, size: int, key: str
) -> np.ndarray:
    """A list column as [sum of rows, size] float32, every list checked to hold rows x size."""
    column = _column(table, name)
    found = np.asarray(column.value_lengths())
    wrong = found != rows * size
    if wrong.any():
        i = int(np.argmax(wrong))
        raise InputError(
            f"{path}: {name} of trajectory {ids[i]} holds {found[i]} numbers, expected "
            f"{rows[i]} x {size} ({key} in {INFO})"
        )
    values = column.flatten().to_numpy(zero_copy_only=False).astype(np.float32, copy=False)
    values = values.reshape(-1, size)
    finite = np.isfinite(values).all(1)
    if not finite.all():
        i = int(np.searchsorted(np.cumsum(rows), np.argmin(finite), side="right"))
        raise InputError(f"{path}: {name} of trajectory {ids[i]} holds a NaN or infinite number")
    return values
