"""A dataset folder as one set of tensors, and the windows that training draws from it.

The folder holds `trajectories.parquet`, one row per trajectory, and `dataset.json`:

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
| `expert_action` | list<float32> | optional [T, n_act]: the action to learn       |
| `next_subgoal`  | list<int16>   | optional [T]: which place comes next           |

`expert_action` differs from `action`, the one applied, where a drive was disturbed on purpose. A
second file of the same columns, `augmentation.parquet`, may hold more drives for the split train;
they are read where they are asked for. A next subgoal is a number in the list `subgoals` of
dataset.json, or the length of that list where none comes.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from torch import Tensor

from nanodt.errors import InputError
from nanodt.model.auxiliary import HORIZONS
from nanodt.model.network import ModelConfig
from nanodt.model.stream import Batch, pack, ragged
from nanodt.place.visitation import Visits
from nanodt.text.encoders import TextEncoder, TextTable

TABLE, PRACTICE, INFO = "trajectories.parquet", "augmentation.parquet", "dataset.json"
COLUMNS = ("trajectory_id", "split", "length", "bd", "obs", "action", "texts")


@dataclass
class Trajectories:
    """N trajectories, their steps end to end."""

    ids: np.ndarray  # [N] int64
    length: np.ndarray  # [N] int64, steps
    first: np.ndarray  # [N] int64: where a trajectory's steps begin in obs and action
    weight: np.ndarray  # [N] float64
    obs: Tensor  # [steps, n_obs] float32; what was seen before each action
    action: Tensor  # [steps, n_act] float32
    bd: Tensor  # [N, n_bd] float32
    texts: list[list[str]]
    target: Tensor | None = None  # [steps, n_act] float32: the action to learn, if not `action`
    milestone: Tensor | None = None  # [steps] int16: which place comes next


@dataclass
class Dataset:
    """The folder: `info` is dataset.json, `splits` maps a split's name to its trajectories."""

    folder: Path
    info: dict[str, Any]
    splits: dict[str, Trajectories]

    def split(self, name: str) -> Trajectories:
        if name not in self.splits:
            raise InputError(
                f"{self.folder / TABLE}: no trajectory has split {name!r} "
                f"(found: {', '.join(sorted(self.splits)) or 'none'})"
            )
        return self.splits[name]


def load_dataset(folder: Path | str, practice: float = 0.0) -> Dataset:
    """Read a dataset folder whole and check it.

    `practice` is the share of practice drives in what is drawn of the split train: at 0 they are
    not read, at 1 no recorded trajectory is kept in that split. Without a file of them, it is 0.

    Raises InputError for a missing, truncated or ill-formed file, a missing column, a number
    that is not finite, or dimensions other than those dataset.json states.
    """
    folder = Path(folder)
    info = _read_info(folder / INFO)
    path = folder / TABLE
    table = _read_table(path)
    if not 0 <= practice <= 1:
        raise InputError(f"practice share {practice}: expected 0 to 1")
    recorded = len(table)
    if practice and (folder / PRACTICE).exists():
        drills = _read_table(folder / PRACTICE)
        other = set(drills.column("split").to_pylist()) - {"train"}
        if other:
            raise InputError(
                f"{folder / PRACTICE}: split {sorted(map(str, other))[0]!r} in it; practice drives "
                "are for the split train only"
            )
        if practice == 1 and len(drills):
            keep = np.array(table.column("split").to_pylist()) != "train"
            table = table.filter(pa.array(keep)).combine_chunks()
            recorded = len(table)
        table = _join(table, drills)
    length = _column(table, "length").to_numpy().astype(np.int64)
    ids = _column(table, "trajectory_id").to_numpy().astype(np.int64)
    if len(ids) == 0:
        raise InputError(f"{path}: no trajectory in it")
    if (length < 1).any():
        bad = int(ids[np.argmax(length < 1)])
        raise InputError(f"{path}: trajectory {bad} has no step; drop it from the dataset")
    one = np.ones_like(length)
    sizes = {
        "obs": (length + 1, "n_obs"),
        "action": (length, "n_act"),
        "bd": (one, "n_bd"),
    }
    if "expert_action" in table.column_names:
        sizes["expert_action"] = (length, "n_act")
    flat: dict[str, np.ndarray] = {}
    for name, (rows, key) in sizes.items():
        flat[name] = _matrix(path, table, name, ids, rows, int(info[key]), key)
    milestone = _milestones(path, table, ids, length, info)
    # The observation after the last action is never a model's input.
    row, place = ragged(length)
    obs = flat["obs"][np.cumsum(length + 1)[row] - (length + 1)[row] + place]
    weight = (
        _column(table, "weight").to_numpy().astype(np.float64)
        if "weight" in table.column_names
        else np.ones(len(ids))
    )
    if not np.isfinite(weight).all() or (weight < 0).any():
        raise InputError(f"{path}: column weight must be finite and not negative")
    texts = [[t for t in row or [] if t] for row in table.column("texts").to_pylist()]
    splits = {}
    names = np.array(table.column("split").to_pylist())
    if len(table) > recorded:
        weight = _shared(weight, length, np.arange(len(table)) >= recorded, names, practice)
    for name in sorted(set(names.tolist())):
        keep = np.flatnonzero(names == name)
        steps = np.flatnonzero((names == name)[row])
        kept = length[keep]
        splits[name] = Trajectories(
            ids=ids[keep],
            length=kept,
            first=np.cumsum(kept) - kept,
            weight=weight[keep],
            obs=torch.from_numpy(obs[steps]),
            action=torch.from_numpy(flat["action"][steps]),
            bd=torch.from_numpy(flat["bd"][keep]),
            texts=[texts[i] for i in keep],
            target=torch.from_numpy(flat["expert_action"][steps])
            if "expert_action" in flat
            else None,
            milestone=None if milestone is None else torch.from_numpy(milestone[steps]),
        )
    return Dataset(folder, info, splits)


def located(environment: dict[str, Any], folder: Path) -> dict[str, Any]:
    """The environment with its relative paths, texts that begin with ./ or ../, seen from `folder`.

    A dataset names files of its environment by where they lie beside it, so that both can be moved.
    """
    kwargs = {
        name: str(folder / value)
        if isinstance(value, str) and value.startswith(("./", "../"))
        else value
        for name, value in (environment.get("kwargs") or {}).items()
    }
    return {**environment, "kwargs": kwargs}


def _read_info(path: Path) -> dict[str, Any]:
    if not path.exists():
        raise InputError(f"{path} does not exist: --data must name a dataset folder")
    try:
        info = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise InputError(f"{path} is not JSON: {error}") from error
    missing = [k for k in ("n_obs", "n_act", "n_bd", "action_low", "action_high") if k not in info]
    if missing:
        raise InputError(f"{path}: no field {', '.join(missing)}")
    for name in ("action_low", "action_high"):
        if len(info[name]) != info["n_act"]:
            raise InputError(
                f"{path}: {name} has {len(info[name])} numbers, n_act is {info['n_act']}"
            )
    return info


def _read_table(path: Path) -> pa.Table:
    if not path.exists():
        raise InputError(f"{path} does not exist: --data must name a dataset folder")
    try:
        names = pq.read_schema(path).names
        missing = [c for c in COLUMNS if c not in names]
        if missing:
            raise InputError(f"{path}: no column {', '.join(missing)} (found {', '.join(names)})")
        wanted = [*COLUMNS, *(c for c in ("weight", "expert_action", "next_subgoal") if c in names)]
        return pq.read_table(path, columns=wanted).combine_chunks()
    except (pa.ArrowException, OSError) as error:
        reason = str(error).splitlines()[0]
        raise InputError(f"{path} is not a whole Parquet file ({reason}): make it again") from error


def _join(table: pa.Table, practice: pa.Table) -> pa.Table:
    """Both files' rows; what only one of them says is filled in for the other."""
    both = []
    for part in (table, practice):
        if "weight" not in part.column_names:
            part = part.append_column("weight", pa.array(np.ones(len(part), np.float32)))
        if "expert_action" not in part.column_names:
            part = part.append_column("expert_action", part.column("action"))
        both.append(part)
    known = [*COLUMNS, "weight", "expert_action"]
    if all("next_subgoal" in part.column_names for part in both):
        known.append("next_subgoal")
    both = [part.select(known) for part in both]
    return pa.concat_tables(both, promote_options="permissive").combine_chunks()


def _shared(
    weight: np.ndarray, length: np.ndarray, drilled: np.ndarray, names: np.ndarray, share: float
) -> np.ndarray:
    """Weights with which practice drives (`drilled`) make up a share of the split train's steps."""
    weight = weight.copy()
    for part, of_all in ((drilled, share), (~drilled & (names == "train"), 1 - share)):
        steps = (weight * length)[part].sum()
        weight[part] *= of_all / steps if steps else 0.0
    return weight


def _milestones(
    path: Path, table: pa.Table, ids: np.ndarray, length: np.ndarray, info: dict[str, Any]
) -> np.ndarray | None:
    """The column next_subgoal [steps] int16, if there is one, checked."""
    if "next_subgoal" not in table.column_names:
        return None
    column = _column(table, "next_subgoal")
    found = np.asarray(column.value_lengths())
    if (found != length).any():
        i = int(np.argmax(found != length))
        raise InputError(
            f"{path}: next_subgoal of trajectory {ids[i]} holds {found[i]} numbers, expected "
            f"{length[i]}"
        )
    values = column.flatten().to_numpy(zero_copy_only=False).astype(np.int16, copy=False)
    most = len(info.get("subgoals", ()))
    if len(values) and not 0 <= values.min() <= values.max() <= most:
        raise InputError(
            f"{path}: subgoals run from {values.min()} to {values.max()}, expected 0 to {most} "
            f"(the length of subgoals in {INFO})"
        )
    return values


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
    if isinstance(column, pa.ChunkedArray):
        column = pa.concat_arrays(column.chunks)
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


@dataclass
class Plan:
    """Which windows make a batch: G windows for each of B texts."""

    trajectory: np.ndarray  # [B] number within the split
    text: np.ndarray  # [B] row of the text table, -1 = text off
    bd_off: np.ndarray  # [B] bool
    start: np.ndarray  # [B, G] first timestep
    steps: np.ndarray  # [B] timesteps of each window
    garbled: np.ndarray | None = None  # [B, longest text] token to read instead, -1 = the true one

    @property
    def targets(self) -> int:
        """Timesteps of all windows."""
        return int(self.steps.sum()) * self.start.shape[1]

    def rows(self, index: slice | np.ndarray) -> Plan:
        parts = (getattr(self, f) for f in self.__dataclass_fields__)
        return Plan(*(None if part is None else part[index] for part in parts))  # type: ignore[arg-type]


class Windows:
    """Draws batches of windows from one split.

    A trajectory is drawn with a chance proportional to its steps (times its weight). Its
    window's first step is drawn uniformly from -(K-1) .. T-1 and then moved into 0 .. T-K, where
    K is the number of steps that fit beside the text. So no row wastes room; every step is a
    target with a chance of at least K / (T + K - 1); and the stretch from step 0, with which all
    acting begins, is drawn as often as that, and not once in T - K + 1.
    """

    def __init__(
        self,
        data: Trajectories,
        encoder: TextEncoder,
        config: ModelConfig,
        device: torch.device | str = "cpu",
    ) -> None:
        self.data, self.config, self.device = data, config, device
        chances = data.weight * data.length
        if chances.sum() <= 0:
            raise InputError("every trajectory of the split has weight 0")
        self.cumulative = np.cumsum(chances / chances.sum())
        self.text_count = np.array([len(t) for t in data.texts], np.int64)
        self.text_first = np.cumsum(self.text_count) - self.text_count
        self.table: TextTable = encoder.prepare([t for own in data.texts for t in own])
        self.vocabulary = encoder.vocabulary
        room = config.block_size - config.step_tokens
        self.pose: Tensor | None = None
        self.visits: Visits | None = None
        if config.odometry is not None:
            reckoned = config.odometry.reckon(
                data.length, data.first, data.action.numpy(), data.obs.numpy()
            )
            self.pose = torch.from_numpy(reckoned).to(device)
            if config.trail:
                cells = config.cells(reckoned)
                self.visits = Visits(cells, data.length, data.first, config.trail, str(device))
        self.milestone = None if data.milestone is None else data.milestone.to(device)
        if (self.table.lengths > room).any():
            text = int(np.argmax(self.table.lengths))
            owner = int(np.searchsorted(self.text_first + self.text_count, text, side="right"))
            enough = self.table.lengths[text] + config.step_tokens
            raise InputError(
                f"a text of trajectory {data.ids[owner]} takes {self.table.lengths[text]} tokens; "
                f"with block_size={config.block_size} at most {room} leave room for a step: "
                f"shorten the text or give --block-size {enough} or more"
            )
        self.obs, self.action = data.obs.to(device), data.action.to(device)
        self.target = None if data.target is None else data.target.to(device)
        self.bd = data.bd.to(device)
        self.table.data = self.table.data.to(device)

    def shape(self, windows: int) -> tuple[float, float]:
        """Of rows with a text of mean length: tokens in a row (the text and one window), and the
        share of all tokens at which an action is read."""
        text = float(self.table.lengths.mean()) if len(self.table.lengths) else 0.0
        steps = min(self.config.steps_beside(round(text)), int(self.data.length.max()))
        tokens = steps * self.config.step_tokens
        return text + tokens, windows * steps / (text + windows * tokens)

    def plan(
        self,
        rng: np.random.Generator,
        rows: int,
        text_dropout: float,
        bd_dropout: float,
        windows: int = 1,
        text_noise: float = 0.0,
    ) -> Plan:
        """Draw `windows` windows each of `rows` trajectories, in the order of their texts' lengths:
        rows of one length leave little room for pads.

        Texts and BDs are switched off with the given probabilities, for all windows of a row. Of a
        text's tokens up to twice the share `text_noise` are read as random ones.
        """
        draw, place = rng.random((4, rows)), rng.random((rows, windows))
        trajectory = np.searchsorted(self.cumulative, draw[0], side="right")
        trajectory = np.minimum(trajectory, len(self.data.length) - 1)
        count = self.text_count[trajectory]
        choice = np.minimum((draw[1] * count).astype(np.int64), np.maximum(count - 1, 0))
        text = np.where(
            (count > 0) & (draw[2] >= text_dropout), self.text_first[trajectory] + choice, -1
        )
        taken = np.zeros(rows, np.int64)
        if len(self.table.lengths):
            taken = np.where(text >= 0, self.table.lengths[text], 0)
        length = self.data.length[trajectory]
        steps = np.minimum(self.config.room(taken), length)
        last = (length - steps)[:, None]
        start = np.floor(place * (length + steps - 1)[:, None]).astype(np.int64)
        start = np.clip(start - (steps - 1)[:, None], 0, last)
        garbled = None
        if text_noise and len(self.table.lengths):
            size = (rows, int(self.table.lengths.max()))
            hit = rng.random(size) < 2 * text_noise * rng.random((rows, 1))
            garbled = np.where(hit, rng.integers(self.vocabulary, size=size), -1)
        plan = Plan(trajectory, text, draw[3] < bd_dropout, start, steps, garbled)
        return plan.rows(np.argsort(taken, kind="stable"))

    def batch(self, plan: Plan) -> Batch:
        """Gather a plan's windows."""
        text, text_position, text_lengths = self.table.take(plan.text)
        if plan.garbled is not None:
            owner, inner = ragged(text_lengths)
            other = torch.from_numpy(plan.garbled[owner, inner]).to(text)
            text = torch.where(other < 0, text, other)
        windows, size = plan.start.shape[1], self.config.step_tokens
        owner = np.repeat(plan.trajectory, windows)
        row, inner = ragged(np.repeat(plan.steps, windows))  # of windows, G of them in a row
        trajectory, time = owner[row], plan.start.ravel()[row] + inner
        here = self.data.first[trajectory] + time
        step = torch.from_numpy(here).to(self.device)
        place, read = pack(text_lengths, plan.steps * windows, size, self.config.read_at)
        window = None
        if windows > 1:
            behind = np.arange(place.shape[1]) - text_lengths[:, None]
            number = behind // (size * plan.steps)[:, None] + 1
            number[(behind < 0) | (number > windows)] = 0
            window = torch.from_numpy(number).to(self.device)
        values = {
            "bd": self.bd[torch.from_numpy(owner).to(self.device)],
            "obs": self.obs.index_select(0, step),
            "action": self.action.index_select(0, step),
        }
        if self.pose is not None:
            values["pose"] = self.pose.index_select(0, step)
            if self.config.auxiliary.foresight:
                last = (self.data.first + self.data.length - 1)[trajectory]
                later = np.minimum(here[:, None] + np.array(HORIZONS), last[:, None])
                values["later"] = self.pose[torch.from_numpy(later).to(self.device), :2]
        if self.visits is not None:
            values["trail"] = self.visits.at(trajectory, time)
        if self.config.auxiliary.milestone and self.milestone is not None:
            values["milestone"] = self.milestone.index_select(0, step)
        if self.target is not None:
            values["target"] = self.target.index_select(0, step)
        return Batch(
            text=text,
            text_position=text_position.to(self.device),
            values=values,
            off={"bd": torch.from_numpy(np.repeat(plan.bd_off, windows)).to(self.device)},
            row=torch.from_numpy(row).to(self.device),
            time=torch.from_numpy(time).to(self.device),
            place=torch.from_numpy(place).to(self.device),
            read=torch.from_numpy(read).to(self.device),
            tokens=int(text_lengths.sum() + size * windows * plan.steps.sum()),
            window=window,
        )
