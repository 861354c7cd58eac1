"""A run's recordings as a LeRobot dataset, version 3.0: Parquet and JSON, instructions as tasks.

A frame is an observation and the action about to be taken. Each episode has one frame more than
steps, so that what the last action led to is there too; that frame repeats the last action.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from archive_tools.files import (
    atomic_write,
    read_arrow,
    read_json,
    read_table,
    write_json,
    write_table,
)
from archive_tools.publishing.contents import Contents
from envs import load_world
from envs.errors import InputError

VERSION, FPS = "v3.0", 10
"""Of the format; frames in a second (an environment has steps, so this only spaces them)."""
PER_FILE = 1000
"""Episodes in a file, and files in a folder."""
PATH = "chunk-{chunk_index:03d}/file-{file_index:03d}.parquet"
EPISODES = f"meta/episodes/{PATH}"
COUNTED = ("timestamp", "frame_index", "episode_index", "index", "task_index")
Frames = dict[str, NDArray[Any]]


def write(contents: Contents, folder: Path) -> dict[str, int]:
    """Write the dataset into an empty folder and hold it against the run; its row counts.

    Raises:
        InputError: what was read again is not what the run holds.
    """
    recorded, tasks = contents.trajectories, _tasks(contents)
    number = {task: k for k, task in enumerate(dict.fromkeys(t for own in tasks for t in own))}
    features = _features(contents)
    splits, meta, begin = contents.splits, [], 0
    for first in range(0, len(recorded), PER_FILE):
        chunk, file = divmod(first // PER_FILE, PER_FILE)
        rows = []
        for k in range(first, min(first + PER_FILE, len(recorded))):
            frames = _frames(contents, k, begin, number[tasks[k][0]])
            count = len(frames["index"])
            rows.append(frames)
            meta.append({
                "episode_index": k, "tasks": tasks[k], "length": count,
                "data/chunk_index": chunk, "data/file_index": file,
                "dataset_from_index": begin, "dataset_to_index": begin + count,
                **{f"stats/{name}/{what}": value for name, values in frames.items()
                   for what, value in _stats(values).items()},
                "meta/episodes/chunk_index": 0, "meta/episodes/file_index": 0,
                "trajectory_id": int(recorded.ids[k]),
                **({"split": splits.get(int(recorded.ids[k]))} if splits else {}),
            })  # fmt: skip
            begin += count
        path = folder / "data" / PATH.format(chunk_index=chunk, file_index=file)
        write_table(path, _table(rows, features))
    write_table(folder / EPISODES.format(chunk_index=0, file_index=0), pa.Table.from_pylist(meta))
    path = folder / "meta" / "tasks.parquet"  # as the library writes it: tasks are the index
    pd.DataFrame({"task_index": list(number.values())}, index=list(number)).to_parquet(path)
    write_json(folder / "meta" / "stats.json", _all_stats(meta, features))
    info = {
        "codebase_version": VERSION, "robot_type": contents.info["environment"]["id"],
        "total_episodes": len(meta), "total_frames": begin, "total_tasks": len(number),
        "chunks_size": PER_FILE, "data_files_size_in_mb": 100, "video_files_size_in_mb": 200,
        "fps": FPS, "splits": {"train": f"0:{len(meta)}"},
        "data_path": f"data/{PATH}", "video_path": None, "features": features,
    }  # fmt: skip
    write_json(folder / "meta" / "info.json", info)
    contents.companions(folder)
    rows_of = {"episodes": len(meta), "frames": begin, "tasks": len(number)}
    atomic_write(folder / "README.md", contents.card("lerobot.md.jinja", count=rows_of, fps=FPS))
    verify(contents, folder)
    return rows_of


def _tasks(contents: Contents) -> list[list[str]]:
    """Of each episode its instructions, each once; an empty one where nothing was told of it."""
    return [
        list(dict.fromkeys(contents.texts.get(i, ()))) or [""]
        for i in contents.trajectories.ids.tolist()
    ]


def _features(contents: Contents) -> dict[str, dict[str, Any]]:
    """What info.json says of each column."""
    info, recorded = contents.info, contents.trajectories
    world = contents.run / "archive" / "world"
    sensors = load_world(world).obs_names if "odometry" in info and world.exists() else ()
    names = {
        "observation.state": sensors
        if len(sensors) == info["n_obs"]
        else _numbered("obs", info["n_obs"]),
        "action": _numbered("action", info["n_act"]),
        "observation.bd": info["bd_names"],
    }
    if recorded.pose is not None:
        names["observation.pose"] = ["x", "y", "heading"]
    found = {
        name: {"dtype": "float32", "shape": [len(own)], "names": list(own)}
        for name, own in names.items()
    }
    ids = ["trajectory_id", *([] if contents.policy_ids is None else ["policy_id"])]
    found |= {name: {"dtype": "int64", "shape": [1], "names": None} for name in (*ids, *COUNTED)}
    found["timestamp"]["dtype"] = "float32"
    return found


def _numbered(name: str, count: int) -> list[str]:
    return [f"{name}_{k}" for k in range(count)]


def _frames(contents: Contents, k: int, begin: int, task: int) -> Frames:
    """The columns of episode k, whose first frame is number `begin` of all."""
    recorded = contents.trajectories
    assert recorded.obs is not None and recorded.action is not None and recorded.bd is not None
    count = int(recorded.lengths[k]) + 1
    action = recorded.action[k]
    frames: Frames = {
        "observation.state": recorded.obs[k],
        "action": np.concatenate([action, action[-1:]]),
        "observation.bd": np.repeat(recorded.bd[k][None], count, axis=0),
    }
    if recorded.pose is not None:
        frames["observation.pose"] = recorded.pose[k]
    ids = {"trajectory_id": recorded.ids[k]}
    if contents.policy_ids is not None:
        ids["policy_id"] = contents.policy_ids[k]
    order = np.arange(count)
    frames |= {name: np.full(count, value, np.int64) for name, value in ids.items()}
    return frames | {
        "timestamp": (order / FPS).astype(np.float32),
        "frame_index": order,
        "episode_index": np.full(count, k),
        "index": begin + order,
        "task_index": np.full(count, task),
    }


def _table(rows: list[Frames], features: dict[str, dict[str, Any]]) -> pa.Table:
    """Episodes one after another; vectors are lists of a fixed size, single numbers no lists."""
    columns: dict[str, pa.Array] = {}
    for name, feature in features.items():
        values = np.concatenate([frames[name] for frames in rows])
        size, kind = (
            feature["shape"][0],
            pa.type_for_alias(feature["dtype"].replace("float32", "float")),
        )
        flat = pa.array(np.ascontiguousarray(values).reshape(-1), kind)
        columns[name] = flat if size == 1 else pa.FixedSizeListArray.from_arrays(flat, size)
    return pa.table(columns)


def _stats(values: NDArray[Any]) -> dict[str, list[float] | list[int]]:
    """Of a column [frames] or [frames, size]."""
    wide = values.reshape(len(values), -1).astype(np.float64)
    found = {"min": wide.min(0), "max": wide.max(0), "mean": wide.mean(0), "std": wide.std(0)}
    return {**{name: value.tolist() for name, value in found.items()}, "count": [len(wide)]}


def _all_stats(meta: list[dict[str, Any]], features: dict[str, Any]) -> dict[str, Any]:
    """stats.json: of all frames, from those of the episodes."""
    found = {}
    for name in features:
        part = {
            what: np.array([row[f"stats/{name}/{what}"] for row in meta])
            for what in ("min", "max", "mean", "std", "count")
        }
        share = part["count"] / part["count"].sum()
        mean = (share * part["mean"]).sum(0)
        spread = (share * (part["std"] ** 2 + (part["mean"] - mean) ** 2)).sum(0)
        found[name] = {
            "min": part["min"].min(0).tolist(), "max": part["max"].max(0).tolist(),
            "mean": mean.tolist(), "std": np.sqrt(spread).tolist(),
            "count": [int(part["count"].sum())],
        }  # fmt: skip
    return found


def episodes(folder: Path) -> Iterator[tuple[list[str], Frames]]:
    """Read a dataset by its own files: of each episode its tasks and its columns."""
    info = read_json(folder / "meta" / "info.json")
    meta = read_table(folder / EPISODES.format(chunk_index=0, file_index=0)).to_dict("records")
    tasks = pd.read_parquet(folder.absolute() / "meta" / "tasks.parquet")
    names = dict(zip(tasks["task_index"], tasks.index, strict=True))
    known, table, start = None, pa.table({}), 0
    for row in meta:
        path = info["data_path"].format(
            chunk_index=row["data/chunk_index"], file_index=row["data/file_index"]
        )
        if path != known:
            known, table, start = path, read_arrow(folder / path), row["dataset_from_index"]
        part = table.slice(row["dataset_from_index"] - start, row["length"])
        frames = {name: _values(part[name], info["features"][name]) for name in info["features"]}
        if {names[k] for k in frames["task_index"].tolist()} - set(row["tasks"]):
            raise InputError(
                f"{folder / path}: episode {row['episode_index']} has a task of another"
            )
        yield list(row["tasks"]), frames


def _values(column: pa.ChunkedArray, feature: dict[str, Any]) -> NDArray[Any]:
    array = column.combine_chunks()
    size = feature["shape"][0]
    return array.to_numpy() if size == 1 else array.flatten().to_numpy().reshape(-1, size)


def verify(contents: Contents, folder: Path) -> None:
    """Hold a dataset against the run it is of, value by value.

    Raises:
        InputError: which episode and column differ.
    """
    recorded, expected = contents.trajectories, _tasks(contents)
    assert recorded.obs is not None and recorded.action is not None and recorded.bd is not None
    count = 0
    for k, (tasks, frames) in enumerate(episodes(folder)):
        pairs = {
            "observation.state": (frames["observation.state"], recorded.obs[k]),
            "action": (frames["action"][:-1], recorded.action[k]),
            "observation.bd": (frames["observation.bd"][-1], recorded.bd[k]),
            "trajectory_id": (frames["trajectory_id"][-1], recorded.ids[k]),
            "tasks": (np.array(tasks), np.array(expected[k])),
        }
        if recorded.pose is not None:
            pairs["observation.pose"] = frames["observation.pose"], recorded.pose[k]
        if contents.policy_ids is not None:
            pairs["policy_id"] = frames["policy_id"][-1], contents.policy_ids[k]
        for name, (found, own) in pairs.items():
            if not np.array_equal(found.reshape(-1), own.reshape(-1)):
                raise InputError(
                    f"{folder}: {name} of episode {k} is not what the run holds; publish again"
                )
        count += 1
    if count != len(recorded):
        raise InputError(f"{folder}: {count} episodes, the run has {len(recorded)}; publish again")
