"""Drive recorded actions once more, and ask whether the same is seen."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import gymnasium
import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from archive_tools.recordings.choice import Drives, Floats
from archive_tools.tasks import Navigation, make_gymnasium, theirs
from envs import World, simulate
from envs.errors import InputError
from envs.plane import reals

CHUNK = 256


@dataclass(frozen=True)
class Replayed:
    """N replays."""

    error: NDArray[np.float64]
    """[N] largest difference of an observation, in shares of that number's range; infinite for a
    drive that ended earlier than its record."""
    pose: list[Floats] | None
    """[T + 1, 3] each, world units; None where the environment tells no pose."""

    def ok(self, tolerance: float) -> NDArray[np.bool_]:
        """[N] whether the same is seen."""
        return self.error <= tolerance


def replay_drives(
    drives: Drives, environment: Mapping[str, Any], world: World | None, seed: int
) -> Replayed:
    """Drive the actions of all drives from the environment's start.

    Args:
        drives: what was recorded.
        environment: {"id", "kwargs"}.
        world: of the robot with two wheels.
        seed: of drives that tell none of their own.

    Raises:
        InputError: no such environment, or one that observes or does something else.
    """
    low, high = (getattr(np.concatenate(drives.obs), side)(axis=0) for side in ("min", "max"))
    span = np.maximum(high.astype(np.float64) - low, 1e-6)
    if environment["id"] == Navigation.id and world is not None:
        return _in_world(drives, world, environment["kwargs"].get("action_decimals"), span)
    return _in_gymnasium(drives, environment, seed, span)


def _width(what: str, id: str, found: int, expected: int) -> None:
    if found != expected:
        raise InputError(
            f"--environment {id}: has {expected} {what}, the recording {found}; name the "
            "environment that it was recorded in, or leave it out"
        )


def _in_world(
    drives: Drives, world: World, decimals: int | None, span: NDArray[np.float64]
) -> Replayed:
    _width("observations", Navigation.id, drives.obs[0].shape[1], world.n_obs)
    _width("actions", Navigation.id, drives.action[0].shape[1], 2)
    error = np.zeros(len(drives.ids))
    pose: list[Floats] = [np.empty((0, 3), np.float32)] * len(drives.ids)
    lengths = drives.lengths
    for length in np.unique(lengths).tolist():
        rows = np.flatnonzero(lengths == length)
        for begin in range(0, len(rows), CHUNK):
            block = rows[begin : begin + CHUNK].tolist()
            action = np.stack([drives.action[n] for n in block])
            driven = simulate(world, action if decimals is None else np.round(action, decimals))
            for n, obs, path in zip(block, driven.obs, driven.pose, strict=True):
                pose[n], error[n] = path, float((np.abs(obs - drives.obs[n]) / span).max())
                if drives.is_pose and drives.position is not None:
                    off = np.abs(path[:, :2] - drives.position[n][:, :2]).max() / world.size
                    error[n] = max(error[n], float(off))
    return Replayed(error, pose)


def _in_gymnasium(
    drives: Drives, environment: Mapping[str, Any], seed: int, span: NDArray[np.float64]
) -> Replayed:
    env = make_gymnasium(environment["id"], **environment["kwargs"])
    error, paths = np.zeros(len(drives.ids)), []
    try:
        for n in tqdm(range(len(drives.ids)), desc="replay", unit=" drives"):
            own = drives.seeds[n]
            error[n], path = _one(env, drives.obs[n], drives.action[n],
                                  seed if own is None else own, span)  # fmt: skip
            paths.append(path)
    finally:
        env.close()
    whole = all(p is not None and len(p) == len(o) for p, o in zip(paths, drives.obs, strict=True))
    return Replayed(error, paths if whole else None)


def _one(
    env: gymnasium.Env[Any, Any], obs: Floats, action: Floats, seed: int, span: NDArray[np.float64]
) -> tuple[float, Floats | None]:
    """The error of one drive, and its poses as far as it went."""
    id = env.spec.id if env.spec else "the environment"
    seen, info = theirs(f"{id}: reset raised", env.reset, seed=seed)
    error, poses = 0.0, []
    for step in range(len(obs)):
        flat = theirs(f"{id}: observation", reals, seen, np.float64).reshape(-1)
        _width("observations", id, obs.shape[1], len(flat))
        error = max(error, float((np.abs(flat - obs[step]) / span).max()))
        if "pose" in info:
            poses.append(theirs(f"{id}: pose", reals, info["pose"]))
        if step == len(action) or error > 1:  # so far off that nothing brings it back
            break
        taken = _taken(env.action_space, action[step], id)
        seen, _, terminated, truncated, info = theirs(f"{id}: step raised", env.step, taken)
        if (terminated or truncated) and step + 1 < len(action):
            return np.inf, None
    return error, np.stack(poses) if poses else None


def _taken(space: gymnasium.Space[Any], action: Floats, id: str) -> Any:
    """An action as the environment takes it."""
    if isinstance(space, gymnasium.spaces.Discrete):
        return int(space.start) + int(action[0])
    shape = space.shape or ()
    _width("actions", id, len(action), int(np.prod(shape)))
    return action.reshape(shape).astype(space.dtype)
