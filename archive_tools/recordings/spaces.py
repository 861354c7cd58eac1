"""Action spaces of recordings: their bounds, or how many actions there are."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from archive_tools.recordings.episodes import Array, no_vector
from envs.errors import InputError


def check_space(name: str, space: Mapping[str, Any], values: Array, where: str) -> None:
    """Hold the rows of an episode against what their space says of them.

    Args:
        name: `observations` or `actions`.
        space: as Minari writes it; {} where nobody says.
        values: [rows, …].
        where: names dataset and episode.

    Raises:
        InputError: rows of such a space are no vectors, or not as wide as it says.
    """
    kind, shape = space.get("type"), space.get("shape")
    if name == "actions" and kind in ("MultiDiscrete", "MultiBinary"):
        raise InputError(f"{where}: {no_vector(name, str(kind))}")
    width = math.prod(values.shape[1:])
    if kind == "Box" and isinstance(shape, list) and width != math.prod(shape):
        raise InputError(
            f"{where}: {name} have {width} numbers a step, their space {shape}: record it anew"
        )


def is_jpeg(space: Mapping[str, Any], values: Array) -> bool:
    """Whether rows are JPEG files; all equally long they look like numbers, and are none."""
    shape = space.get("shape")
    if space.get("type") != "Box" or space.get("dtype") != "uint8" or not isinstance(shape, list):
        return False
    if len(shape) not in (2, 3) or space.get("jpeg") is False:
        return False
    if values.ndim == 1 or math.prod(values.shape[1:]) != math.prod(shape):
        return True
    return bool(space.get("jpeg")) and values.ndim == 2 and min(shape[:2]) >= 32


def n_discrete(space: Mapping[str, Any], where: str) -> int | None:
    """How many actions a Discrete space has; None for another space.

    Raises:
        InputError: they are not numbered from 0 up.
    """
    if space.get("type") != "Discrete":
        return None
    if not isinstance(space.get("n"), int) or space.get("start", 0) != 0:
        raise InputError(
            f"{where}: actions are of Discrete({space.get('n')}, start={space.get('start')}); "
            "expected numbers from 0 up: wrap the environment and record anew"
        )
    return int(space["n"])


def action_bounds(
    space: Mapping[str, Any], actions: Array, where: str
) -> tuple[list[float], list[float], str]:
    """Bounds of Box actions, or where nobody says, of those taken.

    Args:
        space: as Minari writes it; {} where nobody says.
        actions: [steps, n_act], of all episodes.
        where: names the dataset.

    Returns:
        low, high, and a line about bounds taken from the data ("" for none).

    Raises:
        InputError: bounds that are none.
    """
    size = actions.shape[1]
    low, high = np.full(size, -np.inf), np.full(size, np.inf)
    if space.get("type") == "Box":
        try:
            found = [np.broadcast_to(np.asarray(space[side], np.float64), space["shape"])
                     for side in ("low", "high")]  # fmt: skip
        except (KeyError, ValueError, TypeError):
            found = []
        if {b.size for b in found} != {size} or not (found[0] < found[1]).all():
            raise InputError(
                f"{where}: action_space has low {space.get('low')}, high {space.get('high')}; "
                f"expected low below high for each of {size} numbers"
            )
        low, high = (b.reshape(-1).copy() for b in found)
    # Above float32's largest, a bound is none: Box writes it so.
    open_ = ~(np.isfinite(low) & np.isfinite(high) & (high - low < 1e30))
    if not open_.any():
        return low.tolist(), high.tolist(), ""
    taken = actions.astype(np.float64)
    low[open_], high[open_] = (f(taken, axis=0)[open_] for f in (np.min, np.max))
    same = open_ & (high - low < 1e-6)
    low[same], high[same] = low[same] - 1e-3, high[same] + 1e-3
    ends = f"{low[open_].min():g} to {high[open_].max():g}"
    said = "its action space has" if space else "actions have"
    return low.tolist(), high.tolist(), f"{said} no bounds; taken from the data: {ends}"
