"""Where trajectories come from: Gymnasium environments, npz files, datasets of other libraries.

An npz holds `length` [N]; `steps/NAME` [sum of lengths, size], what each step knows (`obs`,
`action`, `reward`, …; a discrete action is one number); `each/NAME` [N, size], one row per
episode (`bd`, `task`, `terminated`, …); optionally `texts` [N]; and `info`, JSON text
(`environment` {"id", "kwargs"}, `action_low`, `action_high`, or `actions`, how many there are).

Data in other libraries' files (`minari:ID`) are read by whichever installed package offers their
scheme: entry points of the group `nanodt.sources`, functions from what follows the colon to length
[N], obs, action, reward [sum of lengths, size], terminated [N, 1], info, and notes for the user.
"""

from __future__ import annotations

import importlib
import json
import sys
import warnings
from collections.abc import Callable
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from nanodt.data.folder import load_dataset, located
from nanodt.driving.environments import make_environment
from nanodt.errors import InputError
from nanodt.family.trajectories import Trajectories, join
from nanodt.files import at_once

GROUP, EXTRA = "nanodt.sources", "pip install 'wayword[gym]'"
Behaviour = Callable[[np.ndarray, np.random.Generator], Any]
"""(observation, random numbers) -> action, as the environment takes it."""


def need(module: str) -> Any:
    """Import a module of the `gym` extra, or say how to install it."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of simulators about their own parts
            return importlib.import_module(module)
    except ImportError as error:
        raise InputError(f"{module} is needed ({error}): {EXTRA}") from error


def make_env(name: str, **kwargs: Any) -> Any:
    """A Gymnasium environment by its id; "module:Name-v0" imports its module first."""
    return make_environment({"id": name, "kwargs": kwargs}, None, EXTRA)


def make_envs(name: str, n: int, **kwargs: Any) -> Any:
    """N copies of it as one vector environment."""
    return make_environment({"id": name, "kwargs": kwargs}, n, EXTRA)


def collect(
    env: Any,
    behaviours: Callable[[int], Behaviour],
    trajectories: int,
    seed: int,
    *,
    see: Callable[[Any], np.ndarray] = np.asarray,
    each: Callable[[int, dict[str, Any]], dict[str, Any]] | None = None,
    keep: Callable[[dict[str, Any]], bool] | None = None,
    name: str = "collecting",
) -> Trajectories:
    """Run `behaviours(i)` for whole trajectories of `env`; obs, action and reward of each step.

    `see` turns an observation into its vector. `each(i, last info)` gives further fields of a
    trajectory, and `texts` may be among them (key "text"). `keep(last info)` False drops a
    trajectory, which does not count. The reset of trajectory i is seeded seed + i.
    """
    rng, attempt, parts = np.random.default_rng(seed), 0, []
    bar = tqdm(total=trajectories, desc=name, unit="trajectory", leave=False)
    while len(parts) < trajectories:
        if attempt >= 10 * trajectories + 10:
            raise InputError(f"{name}: only {len(parts)} of {attempt} trajectories were kept")
        behaviour = behaviours(attempt)
        raw, first = env.reset(seed=seed + attempt)
        attempt += 1
        rows: dict[str, list[Any]] = {"obs": [], "action": [], "reward": []}
        end = cut = False
        while not (end or cut):
            action = behaviour(raw, rng)
            rows["obs"].append(np.ravel(see(raw)))
            rows["action"].append(np.ravel(action))
            raw, reward, end, cut, info = env.step(action)
            rows["reward"].append([reward])
        if keep is not None and not keep(info):
            continue
        own = each(attempt - 1, {**first, **info}) if each else {}
        text = [[own.pop("text")]] if "text" in own else None
        own = {"terminated": end, **own}
        parts.append(
            Trajectories(
                np.array([len(rows["reward"])]),
                {k: np.array(v, np.float32) for k, v in rows.items()},
                {k: np.array(v, np.float32).reshape(1, -1) for k, v in own.items()},
                text,
                spaces(env),
                name,
            )
        )
        bar.update()
    bar.close()
    return join(parts)


def spaces(env: Any) -> dict[str, Any]:
    """What `Episodes.info` says of an environment's actions."""
    space = getattr(env, "single_action_space", env.action_space)
    if hasattr(space, "n"):
        return {"actions": int(space.n)}
    low, high = np.ravel(space.low), np.ravel(space.high)
    return {"action_low": low.tolist(), "action_high": high.tolist()}


def load_episodes(source: str) -> Trajectories:
    """Trajectories of an npz file, of a dataset folder of the mission's (`nanodt.data.folder`), or
    of a Minari dataset on this machine: `minari:ID`."""
    if Path(source).is_dir():
        return load_folder(Path(source))
    scheme, colon, rest = source.partition(":")
    if colon and not Path(source).exists():
        found = [point for point in entry_points(group=GROUP) if point.name == scheme]
        if found:
            return _offered(found[0].load(), rest, source)
        if scheme == "minari":
            raise InputError(f"{source}: no installed package reads Minari's files: {EXTRA}")
    return load_npz(Path(source))


def _offered(read: Callable[[str], dict[str, Any]], name: str, where: str) -> Trajectories:
    """Trajectories that another package reads."""
    try:
        found = read(name)
    except ValueError as error:  # the reader's own kind of a user's mistake
        raise InputError(str(error)) from error
    for note in found["notes"]:
        print(f"{where}: {note}", file=sys.stderr)
    return Trajectories(
        found["length"],
        {key: found[key] for key in ("obs", "action", "reward")},
        {"terminated": found["terminated"]},
        info=found["info"],
        where=where,
    ).check("obs", "action", "reward")


SPLITS = {"train": 0.0, "validation": 1.0, "test": 2.0}


def load_folder(folder: Path) -> Trajectories:
    """A dataset folder: obs, action, target and reward 0 of each step; of each trajectory bd, split
    (a number of `SPLITS`), recorded (1; 0 for augmentation) and its texts."""
    dataset = load_dataset(folder, augmentation=0.5)  # which to learn from, a recipe says
    info = dict(dataset.info)
    if "environment" in info:
        info["environment"] = located(info["environment"], folder)
    parts = []
    for name, split in dataset.splits.items():
        action = split.steps["action"]
        reward = np.zeros((len(action), 1), np.float32)
        number = np.full((len(split.ids), 1), SPLITS.get(name, -1.0), np.float32)
        each = {**split.each, "split": number}
        part = Trajectories(split.length, split.steps, each, split.texts, info, split.where)
        parts.append(
            part.with_steps(target=split.steps.get("expert_action", action), reward=reward)
        )
    return join(parts)


def save_npz(data: Trajectories, path: Path) -> None:
    """Write the npz, at once; of several texts the first."""
    arrays: dict[str, Any] = {"length": data.length, "info": np.array(json.dumps(data.info))}
    arrays |= {f"steps/{k}": v for k, v in data.steps.items()}
    arrays |= {f"each/{k}": v for k, v in data.each.items()}
    if data.texts is not None:
        arrays["texts"] = np.array([own[0] if own else "" for own in data.texts])
    with at_once(path) as partial, partial.open("wb") as file:
        np.savez_compressed(file, **arrays)


def load_npz(path: Path) -> Trajectories:
    """Read what `save_npz` wrote, or another program in the same form."""
    if not path.exists():
        raise InputError(
            f"{path} does not exist: --data takes an npz file, minari:ID, or a dataset folder of "
            "an archive (make demo makes runs/demo/dataset)"
        )
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {k: file[k] for k in file.files}
    except Exception as error:  # NumPy's parser of headers raises what Python has
        reason = (str(error) or type(error).__name__).splitlines()[0][:200]
        if "pickle" in reason.lower():
            reason = "it holds objects, which are pickles and can run any code: save plain numbers"
        raise InputError(f"{path} is not a whole npz file ({reason}): make it again") from error
    if "length" not in arrays:
        raise InputError(f"{path}: no array 'length' (found {', '.join(arrays)})")
    for name, values in arrays.items():
        if name != "info" and (
            values.ndim == 0 or (name != "texts" and values.dtype.kind not in "biuf")
        ):
            raise InputError(f"{path}: {name} holds {values.dtype}, expected an array of numbers")
    length = arrays["length"].astype(np.int64)
    if length.ndim != 1 or len(length) == 0 or (length < 1).any():
        raise InputError(f"{path}: length must be one positive number for each episode")
    fields: dict[str, dict[str, np.ndarray]] = {"steps": {}, "each": {}}
    for name, values in arrays.items():
        kind, _, short = name.partition("/")
        if short and kind in fields:
            fields[kind][short] = values.astype(np.float32).reshape(len(values), -1)
    texts = [[str(t)] for t in arrays["texts"]] if "texts" in arrays else None
    if texts is not None and len(texts) != len(length):
        raise InputError(f"{path}: {len(texts)} texts for {len(length)} episodes: one for each")
    try:
        info = json.loads(str(arrays["info"])) if "info" in arrays else {}
    except ValueError as error:
        raise InputError(f"{path}: info is not JSON ({error})") from error
    if not isinstance(info, dict):
        raise InputError(f"{path}: info holds {info!r}, expected a JSON object")
    found = Trajectories(length, fields["steps"], fields["each"], texts, info, str(path))
    return found.check(*fields["steps"], *fields["each"])
