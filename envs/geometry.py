"""The one place where world units, scene units, map pixels and compass directions are converted.

Three frames describe the same square floor:

- world units: x to the right, y DOWN from the top left corner; poses are in it;
- scene units: the same lengths with y UP from the bottom left corner, so that north is up as
  people expect; objects, tiles, events and texts are in it;
- pixels: column and row of the map, row 0 at the top. A coordinate v lies on pixel
  round(v * width / size), halves away from zero, as in libfastsim.
"""

import numpy as np
from numpy.typing import ArrayLike

COMPASS = (
    "north",
    "north-east",
    "east",
    "south-east",
    "south",
    "south-west",
    "west",
    "north-west",
)


def _flip_y(xy: ArrayLike, size: float) -> np.ndarray:
    xy = np.asarray(xy)
    if not np.issubdtype(xy.dtype, np.floating):
        xy = xy.astype(np.float64)
    flipped = xy.copy()
    flipped[..., 1] = size - xy[..., 1]
    return flipped


def world_to_scene(xy: ArrayLike, size: float) -> np.ndarray:
    """Turn world units [..., 2] (y down) into scene units [..., 2] (y up): (x, size - y).

    Columns beyond the second (a heading) pass unchanged.
    """
    return _flip_y(xy, size)


def scene_to_world(xy: ArrayLike, size: float) -> np.ndarray:
    """Turn scene units [..., 2] (y up) into world units [..., 2] (y down)."""
    return _flip_y(xy, size)


def world_to_pixel(xy: ArrayLike, scale: float) -> np.ndarray:
    """Map pixels of positions in world units.

    Args:
        xy: [..., 2] world units.
        scale: pixels per world unit (`World.scale`).

    Returns:
        int64 [..., 2]: column and row; they may lie outside the map.
    """
    v = np.asarray(xy, dtype=np.float32) * np.float32(scale)
    v = v.astype(np.float64)
    return (np.sign(v) * np.floor(np.abs(v) + 0.5)).astype(np.int64)


def pixel_box_to_scene(
    box: tuple[float, float, float, float], scale: float, size: float
) -> tuple[float, float, float, float]:
    """Turn a box (x0, y0, x1, y1) in pixels, y down, half open, into scene units, y up."""
    x0, y0, x1, y1 = (edge / scale for edge in box)
    return (x0, size - y1, x1, size - y0)


def scene_box_to_pixel(
    box: tuple[float, float, float, float], scale: float, size: float
) -> tuple[float, float, float, float]:
    """Turn a box (x0, y0, x1, y1) in scene units, y up, into pixels, y down."""
    x0, y0, x1, y1 = box
    return (x0 * scale, (size - y1) * scale, x1 * scale, (size - y0) * scale)


def wrap_angle(angle: ArrayLike) -> np.ndarray:
    """The same directions in [-pi, pi): float64 radians, arrays of any shape."""
    return (np.asarray(angle, dtype=np.float64) + np.pi) % (2 * np.pi) - np.pi


def compass_index(dx: ArrayLike, dy: ArrayLike) -> np.ndarray:
    """Index into `COMPASS` of the directions (dx, dy) in scene units (y up), arrays of any shape.

    Each direction owns the 45 degrees around it; (0, 0) counts as north.
    """
    angle = np.arctan2(np.asarray(dx, dtype=np.float64), np.asarray(dy, dtype=np.float64))
    return np.round(angle / (np.pi / 4)).astype(np.int64) % 8


def compass(dx: float, dy: float) -> str:
    """Name of the compass direction of (dx, dy) in scene units (y up)."""
    return COMPASS[int(compass_index(dx, dy))]


def turn(first: str, second: str) -> int:
    """Steps of 45 degrees between two compass words."""
    apart = abs(COMPASS.index(first) - COMPASS.index(second))
    return min(apart, len(COMPASS) - apart)
