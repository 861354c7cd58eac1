"""Minari datasets on this machine, in HDF5, Arrow or Parquet files, of spaces that are vectors.

ROOT/NAME/data holds metadata.json, which says the format and the spaces, and main_data.hdf5, or a
folder for each episode. Observations may be Box, Discrete, MultiBinary or MultiDiscrete, actions
Box or Discrete; the others are refused with what to do.
"""

from __future__ import annotations

import json
import math
import os
import re
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from nanodt.data.episodes import Episodes
from nanodt.errors import InputError
from nanodt.family.extra import need

FIELDS = ("observations", "actions", "rewards", "terminations")
REMEDY = {
    "Dict": "flatten them first (gymnasium's FlattenObservation) and record them anew",
    "Tuple": "flatten them first (gymnasium's FlattenObservation) and record them anew",
    "Text": "texts are no vectors; record an observation of numbers",
    "Graph": "graphs are no vectors; record an observation of numbers",
    "Sequence": "sequences differ in length; record an observation of one length",
    "OneOf": "record an observation of one kind",
}
Arrays = dict[str, np.ndarray]


def load_minari(name: str, root: Path | None = None) -> Episodes:
    """A Minari dataset found locally. ROOT is $MINARI_DATASETS_PATH, or ~/.minari/datasets.

    Raises:
        InputError: it is not there, is damaged, or its spaces are no vectors.
    """
    root = root or Path(os.environ.get("MINARI_DATASETS_PATH", "~/.minari/datasets")).expanduser()
    folder = root / name / "data"
    kind, episodes = _episodes(folder, root, name)
    spaces = _spaces(folder / "metadata.json")
    parts: list[Arrays] = []
    for key, arrays in episodes:
        if len(arrays["rewards"]):  # an episode that was never stepped teaches nothing
            parts.append(_vectors(arrays, spaces, f"{folder}: {key}"))
    if not parts:
        raise InputError(f"{folder} holds no episode with steps")
    for field in ("obs", "action"):
        if len({part[field].shape[1] for part in parts}) > 1:
            raise InputError(f"{folder}: {field} differs in size between episodes; record it anew")
    found = Episodes(
        np.array([len(part["reward"]) for part in parts]),
        {k: np.concatenate([part[k] for part in parts]) for k in ("obs", "action", "reward")},
        {"terminated": np.array([part["terminated"] for part in parts])},
        where=f"minari:{name}",
    ).check("obs", "action", "reward")
    return replace(found, info=_actions(spaces["action_space"], found, f"{folder} ({kind})"))


def _episodes(folder: Path, root: Path, name: str) -> tuple[str, Iterator[tuple[str, Arrays]]]:
    """The format, and each episode's name and arrays as they are stored."""
    metadata = _metadata(folder / "metadata.json")
    kind = str(metadata.get("data_format", "hdf5"))
    if kind == "hdf5":
        need("h5py")
    if kind == "hdf5" and (folder / "main_data.hdf5").exists():
        return kind, _from_hdf5(folder / "main_data.hdf5")
    numbers = sorted(int(p.name) for p in folder.glob("*") if p.is_dir() and p.name.isdecimal())
    if kind in ("arrow", "parquet") and numbers:
        return kind, _from_arrow(folder, kind, numbers)
    if kind not in ("hdf5", "arrow", "parquet"):
        raise InputError(
            f"{folder / 'metadata.json'}: data_format is {kind!r}; expected hdf5, arrow or parquet"
        )
    known = {p.parents[1] for f in ("main_data.hdf5", "metadata.json")
             for p in root.glob(f"**/data/{f}")}  # fmt: skip
    found = ", ".join(sorted(str(p.relative_to(root)) for p in known))
    missing = folder / "main_data.hdf5" if kind == "hdf5" else f"{folder}/0/*.{kind}"
    raise InputError(
        f"{missing} does not exist (found {found or 'no dataset'} in {root}): fetch it "
        f"with `minari download {name}`, or set MINARI_DATASETS_PATH"
    )


def _metadata(path: Path) -> dict[str, Any]:
    if not path.exists():
        return {}
    try:
        found = json.loads(path.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"{path} is not whole JSON ({error}): fetch the dataset again") from error
    if not isinstance(found, dict):
        raise InputError(f"{path} holds {type(found).__name__}, expected a JSON object")
    return found


def _spaces(path: Path) -> dict[str, dict[str, Any]]:
    """observation_space and action_space; {} where metadata.json does not say."""
    metadata, spaces = _metadata(path), {}
    for key in ("observation_space", "action_space"):
        space = metadata.get(key, {})
        try:
            space = json.loads(space) if isinstance(space, str) else space
        except (ValueError, RecursionError) as error:
            raise InputError(f"{path}: {key} is not JSON ({error})") from error
        if not isinstance(space, dict):
            raise InputError(f"{path}: {key} is {space!r}, expected a space")
        spaces[key] = {**space, "jpeg": metadata.get("jpeg_encoding")}
    return spaces


def _from_hdf5(path: Path) -> Iterator[tuple[str, Arrays]]:
    h5py = need("h5py")
    try:
        with h5py.File(path, "r") as file:
            keys = [key for key in file if re.fullmatch(r"episode_\d+", key)]
            for key in sorted(keys, key=lambda k: int(k.split("_")[1])):
                group, arrays = file[key], {}
                for field in FIELDS:
                    stored: Any = group.get(field) if isinstance(group, h5py.Group) else None
                    if isinstance(stored, h5py.Group):
                        raise InputError(f"{path}: {key}: {_no_vector(field, 'Dict')}")
                    if not isinstance(stored, h5py.Dataset):
                        raise InputError(f"{path}: {key} has no array {field}: record it too")
                    if h5py.check_string_dtype(stored.dtype) is not None:
                        raise InputError(f"{path}: {key}: {_no_vector(field, 'Text')}")
                    if h5py.check_vlen_dtype(stored.dtype) is not None:
                        raise InputError(f"{path}: {key}: {_no_vector(field, 'pictures')}")
                    arrays[field] = np.asarray(stored)
                yield key, arrays
    except InputError:
        raise
    except (OSError, RuntimeError, KeyError, TypeError, ValueError, MemoryError) as error:
        raise InputError(f"{path} is not a whole HDF5 file ({error}): fetch it again") from error


def _from_arrow(folder: Path, kind: str, numbers: list[int]) -> Iterator[tuple[str, Arrays]]:
    import pyarrow as pa  # these two only where someone has such files
    from pyarrow import dataset

    for number in numbers:
        where = folder / str(number)
        try:
            files = dataset.dataset(
                str(where), format=kind, ignore_prefixes=["_", ".", "metadata.json"]
            )
            arrays = _from_table(files.to_table(), str(where))
        except InputError:
            raise
        except (pa.ArrowException, OSError, ValueError, KeyError, MemoryError) as error:
            reason = (str(error) or type(error).__name__).splitlines()[0][:200]
            raise InputError(
                f"{where} holds no whole {kind} files ({reason}): fetch it again"
            ) from error
        yield str(number), arrays


def _from_table(table: Any, where: str) -> Arrays:
    from pyarrow import types

    arrays = {}
    for field in FIELDS:
        if field not in table.column_names:
            raise InputError(f"{where} has no column {field}: record it too")
        column: Any = table[field].combine_chunks()
        for kind, is_one in (
            ("Dict", types.is_struct), ("pictures", types.is_binary),
            ("pictures", types.is_large_binary), ("Text", types.is_string),
            ("Text", types.is_large_string),
        ):  # fmt: skip
            if is_one(column.type):
                raise InputError(f"{where}: {_no_vector(field, kind)}")
        width = -1
        if types.is_fixed_size_list(column.type):
            width, column = column.type.list_size, column.flatten()
        values = column.to_numpy(zero_copy_only=False)
        # The last row holds the last observation; the rest of it is padding.
        rows = values.reshape(-1, width) if width > 0 else values
        arrays[field] = rows if field == "observations" else rows[:-1]
    return arrays


def _no_vector(field: str, kind: str) -> str:
    if kind == "pictures":
        return (
            f"{field} are pictures in JPEG files; record them with jpeg_encoding=False, or give "
            "vectors"
        )
    remedy = REMEDY.get(kind, "give a Box")
    if field == "actions":
        remedy = "only Box and Discrete actions can be learnt; wrap the environment and record anew"
    return f"{field} are of a space {kind}: {remedy}"


def _vectors(arrays: Arrays, spaces: dict[str, dict[str, Any]], where: str) -> Arrays:
    """obs [n, size], action [n, size], reward [n, 1], terminated [1] of an episode of n steps."""
    n = len(arrays["rewards"])
    found: Arrays = {}
    for field, key in (("observations", "observation_space"), ("actions", "action_space")):
        space, values = spaces[key], arrays[field]
        kind = space.get("type")
        if kind in REMEDY or (field == "actions" and kind in ("MultiDiscrete", "MultiBinary")):
            raise InputError(f"{where}: {_no_vector(field, str(kind))}")
        if _is_jpeg(space, values):
            raise InputError(f"{where}: {_no_vector(field, 'pictures')}")
        if values.ndim == 0 or not (np.issubdtype(values.dtype, np.number) or values.dtype == bool):
            raise InputError(f"{where}: {field} hold {values.dtype}, expected numbers")
        if len(values) < n:
            raise InputError(f"{where}: {len(values)} {field} for {n} rewards: record it anew")
        rows = values[:n].astype(np.float32).reshape(n, -1)
        shape = space.get("shape")
        if kind == "Box" and isinstance(shape, list) and rows.shape[1] != math.prod(shape):
            raise InputError(
                f"{where}: {field} have {rows.shape[1]} numbers a step, their space {shape}: "
                "record it anew"
            )
        found["obs" if field == "observations" else "action"] = rows
    ends = np.asarray(arrays["terminations"]).reshape(-1)
    found["reward"] = np.asarray(arrays["rewards"], np.float32).reshape(-1, 1)[:n]
    found["terminated"] = np.array([float(ends[n - 1]) if len(ends) >= n else 0.0], np.float32)
    return found


def _is_jpeg(space: dict[str, Any], values: np.ndarray) -> bool:
    """Whether rows are JPEG files; all equally long they look like numbers, and are none."""
    shape = space.get("shape")
    if space.get("type") != "Box" or space.get("dtype") != "uint8" or not isinstance(shape, list):
        return False
    if len(shape) not in (2, 3) or space["jpeg"] is False:
        return False
    if values.ndim == 1 or math.prod(values.shape[1:]) != math.prod(shape):
        return True
    return bool(space["jpeg"]) and values.ndim == 2 and min(shape[:2]) >= 32


def _actions(space: dict[str, Any], data: Episodes, where: str) -> dict[str, Any]:
    """The action space, as `Episodes.info` says it."""
    if space.get("type") == "Discrete":
        if not isinstance(space.get("n"), int) or space.get("start", 0) != 0:
            raise InputError(
                f"{where}: actions are of Discrete({space.get('n')}, start={space.get('start')}); "
                "expected numbers from 0 up: wrap the environment and record anew"
            )
        return {"actions": space["n"]}
    if space.get("type") != "Box":
        return {}
    size = data.size("action")
    try:
        bounds = [np.broadcast_to(np.asarray(space[side], np.float64), space["shape"]).reshape(-1)
                  for side in ("low", "high")]  # fmt: skip
    except (KeyError, ValueError, TypeError):
        bounds = []
    if len(bounds) != 2 or {len(b) for b in bounds} != {size} or not (bounds[0] < bounds[1]).all():
        raise InputError(
            f"{where}: action_space has low {space.get('low')}, high {space.get('high')}; expected "
            f"low below high for each of {size} numbers"
        )
    low, high = (b.copy() for b in bounds)
    # Above float32's largest, a bound is none: Box writes it so.
    open_ = ~(np.isfinite(low) & np.isfinite(high) & (high - low < 1e30))
    if open_.any():
        action = data.steps["action"].astype(np.float64)
        low[open_], high[open_] = (f(action, axis=0)[open_] for f in (np.min, np.max))
        same = open_ & (high - low < 1e-6)
        low[same], high[same] = low[same] - 1e-3, high[same] + 1e-3
        ends = f"{low[open_].min():g} to {high[open_].max():g}"
        print(
            f"{data.where}: its action space has no bounds; taken from the data: {ends}",
            file=sys.stderr,
        )
    return {"action_low": low.tolist(), "action_high": high.tolist()}
