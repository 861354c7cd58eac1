"""Recorded drives as one .npz of plain arrays, in either of two layouts (docs/recordings.md).

By episodes: `observations` and `actions` end to end with `lengths`, or stacked [N, T, …]; each
episode has an observation more than actions. By steps, as D4RL's and robomimic's: a row for each
step, and `terminals` or `timeouts` where an episode ends.
"""

from pathlib import Path
from typing import Any

import numpy as np

from archive_tools.recordings.episodes import Array, Episode, Recording, listed
from envs.errors import InputError

NAMES = {
    "observations": ("observations", "obs", "states"),
    "actions": ("actions", "action"),
    "positions": ("positions", "position"),
    "lengths": ("lengths", "length", "episode_lengths", "episode_length"),
    "next_observations": ("next_observations", "next_obs"),
    "terminals": ("terminals", "terminations", "terminated", "dones", "done"),
    "timeouts": ("timeouts", "truncations", "truncated"),
}
"""What this project calls an array → names that others give it."""
ENDS = ("terminals", "timeouts")
ONCE = ("trajectory_id", "policy_id", "seed", "bd", "texts")
"""Arrays with a row for each episode."""


def read_npz(path: Path | str) -> Recording:
    """Read a bundle of arrays.

    Raises:
        InputError: not a whole .npz, objects in it (which are pickles), arrays that do not join.
    """
    path = Path(path)
    arrays = _load(path)
    for name in ("observations", "actions"):
        if name not in arrays:
            raise InputError(f"{path}: no array {name!r} (found {listed(arrays)})")
    once = {key: arrays.pop(key) for key in ONCE if key in arrays}
    if any(name in arrays for name in ENDS) and "lengths" not in arrays:
        parts, frames, notes = _by_steps(arrays, path)
    else:
        parts, frames, notes = _by_episodes(arrays, path), False, ()
    for key, values in once.items():
        if len(values) != len(parts):
            raise InputError(
                f"{path}: {key} has {len(values)} rows; expected one for each of {len(parts)} "
                "episodes"
            )
    texts = once.pop("texts", None)
    episodes = [
        Episode(
            f"episode {k}",
            part,
            each={key: np.atleast_1d(values[k]) for key, values in once.items()},
            texts=() if texts is None or not str(texts[k]) else (str(texts[k]),),
        )
        for k, part in enumerate(parts)
        if len(part["actions"])
    ]
    return Recording(str(path), "npz", episodes, frames=frames, notes=notes)


def _load(path: Path) -> dict[str, Array]:
    """The arrays by this project's names."""
    try:
        with np.load(path, allow_pickle=False) as file:
            found = {name: file[name] for name in file.files}
    except Exception as error:  # NumPy's parser of headers raises what Python has
        reason = (str(error) or type(error).__name__).splitlines()[0][:200]
        if "pickle" in reason.lower():
            reason = "it holds objects, which are pickles and can run any code: save plain numbers"
        raise InputError(f"{path} is not a whole npz file ({reason})") from None
    known = {theirs: ours for ours, names in NAMES.items() for theirs in names}
    arrays = {}
    for name, values in found.items():
        if values.ndim == 0:
            continue  # an attribute, as of D4RL's metadata
        if values.dtype.kind not in "biufc" and name != "texts":
            continue
        arrays[known.get(name.lower(), name)] = values
    return arrays


def _by_steps(
    arrays: dict[str, Array], path: Path
) -> tuple[list[dict[str, Array]], bool, tuple[str, ...]]:
    """Episodes of rows of steps, whether they are frames, and notes."""
    steps = len(arrays["actions"])
    ends = np.zeros(steps, bool)
    for name in ENDS:
        flags = arrays.pop(name, ends)
        if flags.reshape(-1).shape != (steps,):
            raise InputError(f"{path}: {name} has {flags.size} values for {steps} actions")
        ends |= flags.reshape(-1).astype(bool)
    after = arrays.pop("next_observations", None)
    per_step = {name: values for name, values in arrays.items() if len(values) == steps}
    if "observations" not in per_step or (after is not None and len(after) != steps):
        rows = len(arrays["observations"] if after is None else after)
        raise InputError(
            f"{path}: {rows} rows of observations for {steps} actions; with terminals or timeouts "
            "each row is one step"
        )
    begins = [0, *(np.flatnonzero(ends[:-1]) + 1).tolist()] if steps else []
    parts = []
    for begin, end in zip(begins, [*begins[1:], steps], strict=True):
        part = {name: values[begin:end] for name, values in per_step.items()}
        if after is not None:
            part["observations"] = np.concatenate([part["observations"], after[end - 1 : end]])
        parts.append(part)
    unended = bool(steps) and not ends[-1]
    notes = ("the last episode has no end; taken as it is",) if unended else ()
    return parts, after is None, notes


def _by_episodes(arrays: dict[str, Array], path: Path) -> list[dict[str, Array]]:
    """Episodes end to end with their lengths, or stacked."""
    lengths: Any = arrays.pop("lengths", None)
    actions = arrays["actions"]
    if lengths is None:
        if actions.ndim != 3 or arrays["observations"].ndim != 3:
            raise InputError(
                f"{path}: nothing says where episodes end: give lengths, terminals or timeouts, or "
                "stack episodes of one length as [N, T, size]"
            )
        n = len(actions)
        return [
            {name: values[k] for name, values in arrays.items() if len(values) == n}
            for k in range(n)
        ]
    lengths = np.asarray(lengths).reshape(-1)
    if lengths.dtype.kind not in "iu" or (lengths < 0).any():
        raise InputError(f"{path}: lengths must be a whole number from 0 up for each episode")
    ends = np.cumsum(lengths, dtype=np.int64)
    steps, n = int(ends[-1]) if len(ends) else 0, len(lengths)
    if len(actions) != steps:
        raise InputError(f"{path}: lengths add up to {steps} steps, but there are {len(actions)} "
                         "actions")  # fmt: skip
    parts: list[dict[str, Array]] = [{} for _ in range(n)]
    for name, values in arrays.items():
        if len(values) not in (steps, steps + n):
            if name in ("observations", "positions", "pose"):
                raise InputError(
                    f"{path}: {name} has {len(values)} rows; expected {steps + n}: one more than "
                    f"actions in each of {n} episodes ({steps} steps)"
                )
            continue
        more = (len(values) - steps) // n if n else 0
        for k, end in enumerate(ends.tolist()):
            begin = end - int(lengths[k])
            parts[k][name] = values[begin + k * more : end + (k + 1) * more]
    return parts
