"""Minari datasets on this machine, in HDF5, Arrow or Parquet files.

ROOT/NAME/data holds metadata.json, which says the format and the spaces, and main_data.hdf5, or a
folder for each episode. Observations and infos may be nested: their parts are named by path.
"""

import importlib
import json
import os
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from pyarrow import dataset, types

from archive_tools.files import read_json
from archive_tools.recordings.episodes import (
    Array,
    Column,
    Episode,
    Recording,
    companions,
    no_vector,
    rows_of,
    same_width,
)
from archive_tools.recordings.spaces import action_bounds, check_space, is_jpeg, n_discrete
from envs.errors import InputError

REQUIRED = ("observations", "actions", "rewards", "terminations")
PARTS = (*REQUIRED, "truncations", "infos")
ONCE = ("trajectory_id", "policy_id")
"""Infos that are the same at every step."""


def minari_root() -> Path:
    """Where Minari keeps its datasets."""
    return Path(os.environ.get("MINARI_DATASETS_PATH", "~/.minari/datasets")).expanduser()


def read_minari(name: str | Path, root: Path | None = None) -> Recording:
    """A Minari dataset on this machine.

    Args:
        name: its id, or its folder (that holds `data/`).
        root: the folder of all datasets, for an id; Minari's own where None.

    Raises:
        InputError: it is not there, is damaged, or its actions are no vectors.
    """
    root = root or minari_root()
    top = Path(name) if (Path(name) / "data").is_dir() else root / name
    folder = top / "data"
    metadata = _metadata(folder / "metadata.json")
    kind = str(metadata.get("data_format", "hdf5"))
    spaces = _spaces(folder / "metadata.json", metadata)
    episodes = [
        episode
        for episode in (_checked(e, spaces, folder) for e in _episodes(folder, kind, root, name))
        if episode.steps  # one that was never stepped teaches nothing
    ]
    info, world = companions(top)
    spec = _json(metadata.get("env_spec"), folder / "metadata.json", "env_spec")
    return Recording(
        str(folder),
        f"Minari, {kind}",
        episodes,
        spaces,
        environment=spec.get("id") if isinstance(spec.get("id"), str) else None,
        info=None if info is None else read_json(info, dict),
        world=world,
    )


def minari_arrays(name: str) -> dict[str, Any]:
    """A dataset of vectors, steps end to end, as `nanodt.family.sources` takes it.

    Returns:
        length [N], obs, action, reward [sum of lengths, size] float32, terminated [N, 1], and
        info: action_low and action_high, or actions (how many there are).

    Raises:
        InputError: as `read_minari`, or its observations are no vectors.
    """
    found = read_minari(name)
    rows: dict[str, list[Array]] = {"obs": [], "action": [], "reward": []}
    terminated = []
    for episode in found.episodes:
        n = episode.steps
        for key, column in zip(rows, ("observations", "actions", "rewards"), strict=True):
            values = rows_of(episode, Column(column), found.source)
            rows[key].append(values[:n].astype(np.float32))
        ends = np.asarray(episode.arrays["terminations"]).reshape(-1)
        terminated.append([float(ends[n - 1]) if len(ends) >= n else 0.0])
    names = [episode.name for episode in found.episodes]
    for key in ("obs", "action"):
        same_width(rows[key], names, key, found.source)
    steps = {key: np.concatenate(parts) for key, parts in rows.items()}
    space, info, notes = found.spaces.get("actions", {}), {}, ()
    count = n_discrete(space, found.source)
    if count is not None:
        info = {"actions": count}
    elif space.get("type") == "Box":
        low, high, note = action_bounds(space, steps["action"], found.source)
        info, notes = {"action_low": low, "action_high": high}, (note,) if note else ()
    return {
        **steps,
        "length": np.array([episode.steps for episode in found.episodes]),
        "terminated": np.array(terminated, np.float32),
        "info": info,
        "notes": notes,
    }


def _episodes(folder: Path, kind: str, root: Path, name: str | Path) -> Iterator[Episode]:
    h5py = _need_h5py(folder) if kind == "hdf5" else None
    if kind == "hdf5" and (folder / "main_data.hdf5").exists():
        return _from_hdf5(h5py, folder / "main_data.hdf5")
    numbers = sorted(int(p.name) for p in folder.glob("*") if p.is_dir() and p.name.isdecimal())
    if kind in ("arrow", "parquet") and numbers:
        return _from_arrow(folder, kind, numbers)
    if kind not in ("hdf5", "arrow", "parquet"):
        raise InputError(
            f"{folder / 'metadata.json'}: data_format is {kind!r}; expected hdf5, arrow or parquet"
        )
    missing = folder / "main_data.hdf5" if kind == "hdf5" else f"{folder}/0/*.{kind}"
    raise InputError(
        f"{missing} does not exist (found {', '.join(local_ids(root)) or 'no dataset'} in {root}): "
        f"fetch it with `minari download {name}`, or set MINARI_DATASETS_PATH"
    )


def local_ids(root: Path) -> list[str]:
    """The ids of the datasets in a folder."""
    known = {p.parents[1] for f in ("main_data.hdf5", "metadata.json")
             for p in root.glob(f"**/data/{f}")}  # fmt: skip
    return sorted(p.relative_to(root).as_posix() for p in known)


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


def _json(value: Any, path: Path, key: str) -> dict[str, Any]:
    """A field that holds an object, mostly as text."""
    try:
        value = json.loads(value) if isinstance(value, str) else value or {}
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path}: {key} is not JSON ({error})") from error
    if not isinstance(value, dict):
        raise InputError(f"{path}: {key} is {value!r}, expected a space")
    return value


def _spaces(path: Path, metadata: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Of observations and actions, and of the parts of nested ones by path."""
    found: dict[str, dict[str, Any]] = {}

    def add(name: str, space: dict[str, Any]) -> None:
        shape = space.get("shape") or []
        if not isinstance(shape, list) or not all(isinstance(n, int) for n in shape):
            raise InputError(f"{path}: the space of {name} has shape {shape!r}, expected sizes")
        found[name] = {**space, "jpeg": metadata.get("jpeg_encoding")}
        parts = space.get("subspaces")
        named = dict(enumerate(parts)) if isinstance(parts, list) else parts
        for key, part in named.items() if isinstance(named, dict) else ():
            if isinstance(part, dict):
                add(f"{name}/{key}", part)

    for name in ("observations", "actions"):
        key = f"{name[:-1]}_space"
        add(name, _json(metadata.get(key), path, key))
    return found


def _need_h5py(folder: Path) -> Any:
    try:
        return importlib.import_module("h5py")
    except ImportError as error:
        raise InputError(
            f"{folder}: h5py is needed ({error}): pip install 'wayword[gym]'"
        ) from error


def _from_hdf5(h5py: Any, path: Path) -> Iterator[Episode]:
    try:
        with h5py.File(path, "r") as file:
            keys = [key for key in file if re.fullmatch(r"episode_\d+", key)]
            if not keys and len(file):
                raise InputError(
                    f"{path}: an HDF5 file without episodes of Minari (found "
                    f"{', '.join(list(file)[:6])}); expected episode_0, … : save its arrays as an "
                    ".npz (docs/recordings.md)"
                )
            for key in sorted(keys, key=lambda k: int(k.split("_")[1])):
                group = file[key]
                if not isinstance(group, h5py.Group):
                    raise InputError(f"{path}: {key} has no array observations: record it too")
                found = _Parts()
                for part in PARTS:
                    if part in group:
                        _walk_hdf5(h5py, part, group[part], found)
                yield found.episode(key, str(path), {"seed": group.attrs.get("seed")})
    except InputError:
        raise
    except (OSError, RuntimeError, KeyError, TypeError, ValueError, MemoryError) as error:
        raise InputError(f"{path} is not a whole HDF5 file ({error}): fetch it again") from error


class _Parts:
    """What is gathered of an episode."""

    def __init__(self) -> None:
        self.arrays: dict[str, Array] = {}
        self.no_vectors: dict[str, str] = {}

    def episode(self, name: str, where: str, attributes: Mapping[str, Any]) -> Episode:
        for part in REQUIRED:
            if part not in self.arrays and part not in self.no_vectors:
                raise InputError(f"{where}: {name} has no array {part}: record it too")
        each = {
            key: self.arrays[f"infos/{key}"].reshape(-1)[:1]
            for key in ONCE
            if len(self.arrays.get(f"infos/{key}", ()))
        }
        each |= {key: np.array([value]) for key, value in attributes.items() if value is not None}
        return Episode(name, self.arrays, self.no_vectors, each)


def _walk_hdf5(h5py: Any, name: str, stored: Any, found: _Parts) -> None:
    if isinstance(stored, h5py.Group):
        found.no_vectors[name] = "Dict"
        for key in stored:
            _walk_hdf5(h5py, f"{name}/{key.removeprefix('_index_')}", stored[key], found)
    elif h5py.check_string_dtype(stored.dtype) is not None:
        found.no_vectors[name] = "Text"
    elif h5py.check_vlen_dtype(stored.dtype) is not None:
        found.no_vectors[name] = "pictures"
    else:
        found.arrays[name] = np.asarray(stored)


def _from_arrow(folder: Path, kind: str, numbers: list[int]) -> Iterator[Episode]:
    for number in numbers:
        where, found = folder / str(number), _Parts()
        try:
            table = dataset.dataset(
                str(where), format=kind, ignore_prefixes=["_", ".", "metadata.json"]
            ).to_table()
            for part in PARTS:
                if part in table.column_names:
                    _walk_arrow(part, table[part].combine_chunks(), found)
        except (pa.ArrowException, OSError, ValueError, KeyError, MemoryError) as error:
            reason = (str(error) or type(error).__name__).splitlines()[0][:200]
            raise InputError(
                f"{where} holds no whole {kind} files ({reason}): fetch it again"
            ) from error
        seed = _metadata(where / "metadata.json").get("seed")
        yield found.episode(str(number), str(folder), {"seed": seed})


NO_VECTORS: tuple[tuple[str, Callable[[Any], bool]], ...] = (
    ("pictures", types.is_binary),
    ("pictures", types.is_large_binary),
    ("Text", types.is_string),
    ("Text", types.is_large_string),
    ("Sequence", types.is_list),
    ("Text", types.is_null),
)


def _walk_arrow(name: str, column: Any, found: _Parts) -> None:
    if types.is_struct(column.type):
        found.no_vectors[name] = "Dict"
        for number, entry in enumerate(column.type):
            _walk_arrow(f"{name}/{entry.name}", column.field(number), found)
        return
    for kind, is_one in NO_VECTORS:
        if is_one(column.type):
            found.no_vectors[name] = kind
            return
    width = -1
    if types.is_fixed_size_list(column.type):
        width, column = column.type.list_size, column.flatten()
    values = column.to_numpy(zero_copy_only=False)
    rows = values.reshape(-1, width) if width > 0 else values
    # The last row holds the last observation and info; the rest of it is padding.
    whole = name.partition("/")[0] in ("observations", "infos")
    found.arrays[name] = rows if whole else rows[:-1]


def _checked(episode: Episode, spaces: Mapping[str, Mapping[str, Any]], folder: Path) -> Episode:
    """An episode whose arrays are what the spaces say, pictures among them told as such."""
    where = f"{folder}: {episode.name}"
    odd, arrays = dict(episode.no_vectors), dict(episode.arrays)
    for name in list(arrays):
        space = spaces.get(name, {})
        kind = space.get("type")
        if is_jpeg(space, arrays[name]):
            odd[name] = "pictures"
        elif kind in ("Text", "Graph", "Sequence", "OneOf", "Dict", "Tuple"):
            odd[name] = str(kind)
        elif name in ("observations", "actions"):
            check_space(name, space, arrays[name], where)
            continue
        if name in odd:
            del arrays[name]
    odd |= {name: str(spaces[name]["type"]) for name in odd if "type" in spaces.get(name, {})
            and odd[name] == "Dict"}  # fmt: skip
    if "actions" in odd:
        raise InputError(f"{where}: {no_vector('actions', odd['actions'])}")
    n = len(arrays["rewards"])
    if len(arrays["actions"]) != n:
        raise InputError(
            f"{where}: {len(arrays['actions'])} actions for {n} rewards: record it anew"
        )
    seen = len(arrays.get("observations", ()))
    if "observations" in arrays and seen < n:
        raise InputError(f"{where}: {seen} observations for {n} rewards: record it anew")
    return Episode(episode.name, arrays, odd, episode.each, episode.texts)
