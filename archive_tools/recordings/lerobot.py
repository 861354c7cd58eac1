"""LeRobot datasets of version 3: frames end to end in data/, what they are in meta/.

A frame is an observation and the action about to be taken, so of an episode's last action nobody
recorded the outcome. Features keep their keys; `action` is called `actions` here. Videos and
pictures are not read.
"""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from archive_tools.files import read_arrow, read_json, read_table
from archive_tools.recordings.episodes import Array, Episode, Recording, companions
from envs.errors import InputError

INDICES = ("episode_index", "frame_index", "task_index")
ONCE = ("trajectory_id", "policy_id")
"""Features that are the same in every frame of an episode."""


def read_lerobot(folder: Path | str) -> Recording:
    """A LeRobot dataset's folder, with meta/ and data/.

    Raises:
        InputError: missing or damaged files, another version, frames that do not join.
    """
    folder = Path(folder)
    features, info = _features(folder / "meta" / "info.json")
    files = sorted((folder / "data").glob("*/*.parquet"))
    if not files:
        raise InputError(f"{folder / 'data'}: no chunk-*/file-*.parquet; download it again")
    arrays, odd = _frames(files, features)
    tasks = _tasks(folder / "meta" / "tasks.parquet")
    number, frame = arrays["episode_index"], arrays["frame_index"]
    begins = [0, *(np.flatnonzero(np.diff(number)) + 1).tolist()] if len(number) else []
    ends = [*begins[1:], len(number)]
    if len(begins) != len(set(number.tolist())):
        raise InputError(f"{folder / 'data'}: the frames of an episode do not lie together")
    if "action" not in arrays:
        raise InputError(f"{folder / 'meta' / 'info.json'}: no feature 'action' of numbers")
    said = info.get("total_episodes", len(begins))
    if said != len(begins):
        raise InputError(
            f"{folder / 'data'}: {len(begins)} episodes, meta/info.json says {said}; download it "
            "again"
        )
    episodes = []
    for begin, end in zip(begins, ends, strict=True):
        name = f"episode {number[begin]}"
        if (frame[begin:end] != np.arange(end - begin)).any():
            raise InputError(f"{folder / 'data'}: {name}: frame_index does not count from 0 up")
        own = {key: values[begin:end] for key, values in arrays.items() if key not in INDICES}
        own["actions"] = own.pop("action")
        each = {key: own[key].reshape(-1)[:1] for key in ONCE if key in own}
        told = dict.fromkeys(arrays["task_index"][begin:end].tolist()) if tasks else {}
        missing = [task for task in told if task not in tasks]
        if missing:
            raise InputError(
                f"{folder / 'meta' / 'tasks.parquet'}: {name} names task {missing[0]}; there is "
                f"none of that number (0 to {len(tasks) - 1})"
            )
        episodes.append(Episode(name, own, odd, each, tuple(tasks[task] for task in told)))
    beside, world = companions(folder)
    return Recording(
        str(folder),
        f"LeRobot {info['codebase_version']}",
        episodes,
        frames=True,
        info=None if beside is None else read_json(beside, dict),
        world=world,
    )


def _features(path: Path) -> tuple[dict[str, dict[str, Any]], dict[str, Any]]:
    """The features of meta/info.json, and all of it."""
    info = read_json(path, dict)
    version = info.get("codebase_version") if isinstance(info, dict) else None
    if not str(version).startswith("v3"):
        raise InputError(
            f"{path}: codebase_version is {version!r}; expected v3.0: convert it with lerobot's "
            "convert_dataset_v21_to_v30"
        )
    features = info.get("features")
    if not isinstance(features, dict) or not all(isinstance(f, dict) for f in features.values()):
        raise InputError(f"{path}: features is no object of objects; download it again")
    for key in INDICES[:2]:
        if key not in features:
            raise InputError(f"{path}: no feature {key!r}; download it again")
    return features, info


def _frames(
    files: list[Path], features: dict[str, dict[str, Any]]
) -> tuple[dict[str, Array], dict[str, str]]:
    """All features of numbers, [frames, …], and the kinds of the others."""
    odd = {k: "pictures" for k, f in features.items() if f.get("dtype") in ("image", "video")}
    odd |= {k: "Text" for k, f in features.items() if f.get("dtype") in ("string", "language")}
    names = [key for key in features if key not in odd]
    parts: dict[str, list[Array]] = {name: [] for name in names}
    for path in files:
        table = read_arrow(path, names)
        for name in names:
            parts[name].append(_numbers(table[name], features[name], f"{path}: column {name!r}"))
    return {name: np.concatenate(values) for name, values in parts.items()}, odd


def _numbers(column: pa.ChunkedArray, feature: dict[str, Any], where: str) -> NDArray[Any]:
    """A column as [frames, size]; of one number [frames]."""
    shape = feature.get("shape")
    size = int(np.prod(shape)) if isinstance(shape, (list, tuple)) else 1
    flat: Any = column.combine_chunks()
    if isinstance(flat, pa.ExtensionArray):  # Array2D of the datasets library
        flat = flat.storage
    depth = 0
    while isinstance(flat, (pa.ListArray, pa.LargeListArray, pa.FixedSizeListArray)):
        flat, depth = flat.flatten(), depth + 1
    kind = flat.type
    number = pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_boolean(kind)
    if not number or flat.null_count or len(flat) != len(column) * size:
        raise InputError(
            f"{where}: {len(flat):,} values of {kind} in {len(column):,} frames; its feature has "
            f"the shape {shape}; download it again"
        )
    values = flat.to_numpy(zero_copy_only=False)
    return values.reshape(len(column), size) if depth or size > 1 else values


def _tasks(path: Path) -> dict[int, str]:
    """Number → text; {} where there is no such file."""
    if not path.exists():
        return {}
    table = read_table(path, ("task_index",))  # whether it is there
    table = read_table(path)
    text = next((name for name in table.columns if name != "task_index"), None)
    if text is None:
        raise InputError(f"{path}: no column of texts beside task_index; download it again")
    pairs = zip(table["task_index"].tolist(), table[text].tolist(), strict=True)
    return {int(number): str(task) for number, task in pairs}
