"""Many paths and texts in few bytes, for a page that carries its data with it.

A browser undoes both with `DecompressionStream`, which every current one has: zlib, then base64.
"""

import base64
import json
import zlib
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

GRID = 2048  # steps of the grid that positions lie on, across the world
POINTS = 100  # stretches of a path that is long enough; its points are evenly spaced in time


def stride(length: int) -> int:
    """Timesteps between two kept points of a path of `length` steps."""
    return max(1, -(-length // POINTS))


def kept_steps(length: int) -> NDArray[np.int64]:
    """The timesteps kept of a path of `length` steps: every stride-th, and the last."""
    steps = np.arange(0, length, stride(length))
    return np.append(steps, length)


def pack_paths(paths: Sequence[ArrayLike], size: float) -> bytes:
    """Positions of paths, thinned to about `POINTS` points and put on a grid of `GRID` steps.

    Args:
        paths: [T + 1, 2 or more] each, world units; further columns are left out.
        size: of the world, in its units.

    Returns:
        For all points of all paths, x then y of a path, its second differences (zigzag, so that
        small numbers of either sign stay small) as uint16: first all low bytes, then all high ones.
    """
    parts = [np.zeros(0, np.int32)]
    for path in paths:
        points = np.asarray(path, np.float64)[:, :2]
        where = np.rint(points[kept_steps(len(points) - 1)] * (GRID / size)).astype(np.int32)
        twice = np.diff(np.diff(where, axis=0, prepend=0), axis=0, prepend=0)
        parts.append(twice.T.ravel())
    values = np.concatenate(parts)
    zigzag = ((values << 1) ^ (values >> 31)).astype(np.uint16)
    return (zigzag & 255).astype(np.uint8).tobytes() + (zigzag >> 8).astype(np.uint8).tobytes()


def unpack_paths(data: bytes, lengths: Sequence[int], size: float) -> list[NDArray[np.float64]]:
    """What a page makes of `pack_paths`: the kept points [n, 2] of each path, world units.

    Args:
        data: of `pack_paths`.
        lengths: steps T of each path.
        size: of the world.
    """
    low, high = np.frombuffer(data, np.uint8).reshape(2, -1).astype(np.int32)
    zigzag = low | (high << 8)
    values = (zigzag >> 1) ^ -(zigzag & 1)
    paths, at = [], 0
    for length in lengths:
        count = len(kept_steps(length))
        twice = values[at : at + 2 * count].reshape(2, count).T
        paths.append(np.cumsum(np.cumsum(twice, axis=0), axis=0) * (size / GRID))
        at += 2 * count
    return paths


def squeeze(data: bytes) -> str:
    """zlib, then base64."""
    return base64.b64encode(zlib.compress(data, 9)).decode()


def squeeze_json(value: Any) -> str:
    """A JSON value without blanks, then `squeeze`."""
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return squeeze(text.encode())
