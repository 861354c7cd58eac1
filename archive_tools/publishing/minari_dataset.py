"""A run's recordings as a Minari dataset, written and read again by Minari itself."""

import json
from collections.abc import Iterator
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from gymnasium.spaces import Box

from archive_tools.files import atomic_write
from archive_tools.publishing.contents import Contents
from envs.errors import InputError

NEEDS = ("minari", "h5py")


def missing() -> str | None:
    """Which package is not installed that writing needs."""
    return next((name for name in NEEDS if find_spec(name) is None), None)


def identity(name: str) -> str:
    """Minari's id of a dataset."""
    return f"{name}-v0"


def write(contents: Contents, folder: Path) -> dict[str, int]:
    """Write ID/ into an empty folder and hold it against the run; its row counts.

    Raises:
        InputError: what Minari reads again is not what the run holds.
    """
    minari = import_module("minari")  # an extra
    storage_of = import_module("minari.dataset.minari_storage").MinariStorage
    info, recorded = contents.info, contents.trajectories
    place = folder / identity(contents.name)
    (place / "data").mkdir(parents=True)
    storage = storage_of.new(
        place / "data",
        observation_space=Box(-np.inf, np.inf, (info["n_obs"],), np.float32),
        action_space=Box(
            np.array(info["action_low"], np.float32), np.array(info["action_high"], np.float32)
        ),
        data_format="hdf5",
    )
    storage.update_metadata(
        {
            "dataset_id": identity(contents.name),
            "minari_version": minari.__version__,
            "algorithm_name": "quality-diversity archive, one episode of each elite",
            "description": f"{len(recorded):,} recordings in {info['environment']['id']}; "
            "infos hold pose, bd (the behaviour descriptor reached) and ids; the attribute texts "
            "of an episode is a JSON list of instructions. trajectories.json says the rest.",
        }
    )
    storage.update_episodes(_buffers(contents))
    texts = ({"texts": json.dumps(contents.texts.get(i, []))} for i in recorded.ids.tolist())
    storage.update_episode_metadata(texts)
    contents.companions(place)
    verify(contents, place)
    rows = {"episodes": len(recorded), "steps": int(recorded.lengths.sum())}
    card = contents.card("minari.md.jinja", count=rows, id=identity(contents.name))
    atomic_write(folder / "README.md", card)
    return rows


def _buffers(contents: Contents) -> Iterator[Any]:
    """Each recording as Minari takes it; nothing was rewarded, and each ended by its length."""
    buffer = import_module("minari.data_collector.episode_buffer").EpisodeBuffer
    recorded = contents.trajectories
    assert recorded.obs is not None and recorded.action is not None
    for k, steps in enumerate(recorded.lengths.tolist()):
        yield buffer(
            id=k,
            observations=recorded.obs[k],
            actions=recorded.action[k],
            rewards=np.zeros(steps, np.float32),
            terminations=np.zeros(steps, bool),
            truncations=np.arange(steps) == steps - 1,
            infos=_infos(contents, k),
        )


def _infos(contents: Contents, k: int) -> dict[str, np.ndarray]:
    """Beside each observation: pose and BD, and who drove."""
    recorded = contents.trajectories
    count = int(recorded.lengths[k]) + 1
    assert recorded.bd is not None
    infos = {"bd": np.repeat(recorded.bd[k][None], count, axis=0)}
    infos["trajectory_id"] = np.full(count, recorded.ids[k], np.int64)
    if contents.policy_ids is not None:
        infos["policy_id"] = np.full(count, contents.policy_ids[k], np.int64)
    if recorded.pose is not None:
        infos["pose"] = recorded.pose[k]
    return infos


def verify(contents: Contents, place: Path) -> None:
    """Hold a dataset, read by Minari, against the run it is of, value by value.

    Raises:
        InputError: which episode and array differ.
    """
    recorded, count = contents.trajectories, 0
    assert recorded.obs is not None and recorded.action is not None
    dataset = import_module("minari").MinariDataset(place / "data")
    told = [
        json.loads(m["texts"]) for m in dataset.storage.get_episode_metadata(range(len(recorded)))
    ]
    for k, episode in enumerate(dataset.iterate_episodes()):
        pairs = {name: (episode.infos[name], own) for name, own in _infos(contents, k).items()}
        pairs["observations"] = episode.observations, recorded.obs[k]
        pairs["actions"] = episode.actions, recorded.action[k]
        wrong = [name for name, (found, own) in pairs.items()
                 if found.dtype != own.dtype or not np.array_equal(found, own)]  # fmt: skip
        if told[k] != contents.texts.get(int(recorded.ids[k]), []):
            wrong.append("texts")
        if wrong:
            raise InputError(
                f"{place}: {wrong[0]} of episode {k} is not what the run holds; publish again"
            )
        count += 1
    if count != len(recorded):
        raise InputError(f"{place}: {count} episodes, the run has {len(recorded)}; publish again")
