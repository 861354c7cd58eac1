"""The floor plan of a world as SVG in world units: tiles, walls and furniture."""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from envs.drawing.svg import INK, num
from envs.geometry import scene_to_world
from envs.pictures.svg import read_picture
from envs.scene import Box, SceneObject
from envs.world import World

FLOOR = "#f5f0e7"

# Soft floors that keep the name's hue: people must still call each of them by it.
TILE_COLOURS = {
    "red": "#f0b8ae", "green": "#cbe3bf", "blue": "#c0d8ef", "yellow": "#f8ebaf",
    "orange": "#f8d3a6", "purple": "#d5c6ea", "pink": "#f9d7e6", "gray": "#d3d2d0",
    "grey": "#d3d2d0", "white": "#fdfcf9", "black": "#8c8885", "brown": "#d6bfa8",
    "cyan": "#c3e8e8", "turquoise": "#bfe5dd", "magenta": "#efc0e2", "beige": "#f0e6d2",
}  # fmt: skip

Rect = tuple[float, float, float, float]
"""x0, y0, x1, y1 in world units, y down."""


def to_rect(box: Box, size: float) -> Rect:
    """A box in scene units (y up) as a rectangle in world units (y down)."""
    (x0, y0), (x1, y1) = scene_to_world(np.array(box, dtype=float).reshape(2, 2), size)
    return (min(x0, x1), min(y0, y1), max(x0, x1), max(y0, y1))


def mix(colour: str, other: str, share: float) -> str:
    """The colour between two of the form #rrggbb; `share` is how much of `other` it has."""
    channels = (
        round(int(colour[i : i + 2], 16) * (1 - share) + int(other[i : i + 2], 16) * share)
        for i in (1, 3, 5)
    )
    return "#" + "".join(f"{channel:02x}" for channel in channels)


def tile_colour(name: str) -> str:
    """Floor colour of a tile: pastel of the colour it is named after, else a quiet neutral."""
    key = name.lower()
    if key in TILE_COLOURS:
        return TILE_COLOURS[key]
    from matplotlib.colors import CSS4_COLORS

    known = CSS4_COLORS.get(key.replace(" ", ""))
    return mix(str(known), "#ffffff", 0.6) if known else "#ebe4d8"


def wall_path(occupied: np.ndarray) -> str:
    """Outline of the occupied pixels as SVG path data in pixels (fill rule: evenodd).

    Args:
        occupied: bool [H, W].
    """
    padded = np.pad(occupied, 1)
    inner = padded[1:-1, 1:-1]
    # Directed edges with the wall on their right hand: (missing neighbour, start, step).
    sides = (
        (padded[:-2, 1:-1], (0, 0), (1, 0)),
        (padded[1:-1, 2:], (1, 0), (0, 1)),
        (padded[2:, 1:-1], (1, 1), (-1, 0)),
        (padded[1:-1, :-2], (0, 1), (0, -1)),
    )
    edges: dict[tuple[int, int], list[tuple[int, int]]] = {}
    for neighbour, (dx, dy), step in sides:
        for row, column in np.argwhere(inner & ~neighbour).tolist():
            edges.setdefault((column + dx, row + dy), []).append(step)
    parts = []
    for start in sorted(edges):
        while edges[start]:
            x, y = start
            runs: list[list[int]] = []
            while edges[x, y]:
                dx, dy = edges[x, y].pop()
                if (
                    runs
                    and (runs[-1][0] != 0) == (dx != 0)
                    and dx * runs[-1][0] + dy * runs[-1][1] > 0
                ):
                    runs[-1][0] += dx
                    runs[-1][1] += dy
                else:
                    runs.append([dx, dy])
                x, y = x + dx, y + dy
            steps = "".join(f"h{dx}" if dx else f"v{dy}" for dx, dy in runs[:-1])
            parts.append(f"M{start[0]} {start[1]}{steps}z")
    return "".join(parts)


def drawn_walls(world: World) -> np.ndarray:
    """bool [H, W]: the map's walls as people know them.

    The simulator's map format leaves the last 8 pixels unread; drawn, they would be a dent.
    """
    walls = world.occupied.copy()
    walls[-1, -8:] |= walls[-2, -8:] if len(walls) > 1 else False
    return walls


@dataclass(frozen=True)
class FloorPlan:
    """A world's floor plan: SVG markup in world units, and its name among the page's symbols."""

    floor: str
    furniture: str
    walls: str
    symbol: str

    @property
    def markup(self) -> str:
        return self.floor + self.walls + self.furniture


@lru_cache(maxsize=8)
def floor_plan(world: World) -> FloorPlan:
    """Draw tiles, walls, furniture and goal of a world.

    Raises:
        InputError: a picture is not readable SVG; the message names the file.
    """
    size = num(world.size)
    floor = [f'<rect width="{size}" height="{size}" fill="{FLOOR}"/>', *_tiles(world)]
    if world.goal is not None:
        goal = world.goal
        floor.append(
            f'<circle cx="{num(goal.x)}" cy="{num(goal.y)}" r="{num(goal.radius)}" fill="none" '
            f'stroke="{INK}" stroke-opacity=".5" '
            f'stroke-width="{num(world.size / 500)}" '
            f'stroke-dasharray="{num(world.size / 300)} {num(world.size / 150)}"/>'
        )
    outline = wall_path(drawn_walls(world))
    pixel = num(world.size / world.width, 6)
    shift = world.size / 200 / (world.size / world.width)
    walls = (
        f'<g transform="scale({pixel})" fill="{INK}" fill-rule="evenodd">'
        f'<path d="{outline}" opacity=".12" transform="translate({num(shift)} {num(shift)})"/>'
        f'<path d="{outline}"/></g>'
    )
    objects = world.scene.objects if world.scene else ()
    furniture = "".join(_object(item, index, world) for index, item in enumerate(objects))
    return FloorPlan("".join(floor), furniture, walls, f"wayword-{world.digest()[:10]}")


def _tiles(world: World) -> Iterable[str]:
    tiles = world.scene.tiles if world.scene else None
    if tiles is None:
        return
    joints = []
    for row, names in enumerate(tiles.names):
        for column, name in enumerate(names):
            x0, y0, x1, y1 = to_rect(tiles.box(row, column), world.size)
            # A hair of overlap keeps the page from shining through between two tiles.
            yield (
                f'<rect x="{num(x0)}" y="{num(y0)}" width="{num(x1 - x0 + 0.2)}" '
                f'height="{num(y1 - y0 + 0.2)}" fill="{tile_colour(name)}"/>'
            )
            for part in range(1, 6):
                x, y = x0 + (x1 - x0) * part / 6, y0 + (y1 - y0) * part / 6
                joints.append(f"M{num(x)} {num(y0)}V{num(y1)}M{num(x0)} {num(y)}H{num(x1)}")
    yield (
        f'<path d="{"".join(joints)}" stroke="#fff" stroke-opacity=".5" '
        f'stroke-width="{num(world.size / 600)}"/>'
    )


def _object(item: SceneObject, index: int, world: World) -> str:
    x0, y0, x1, y1 = to_rect(item.box, world.size)
    if item.picture is None:
        unit = world.size / 600
        radius = num(min(6 * unit, (x1 - x0) / 4, (y1 - y0) / 4))
        box = f'width="{num(x1 - x0)}" height="{num(y1 - y0)}" rx="{radius}"'
        return (
            f'<rect x="{num(x0 + 2 * unit)}" y="{num(y0 + 3 * unit)}" {box} fill="{INK}" '
            f'opacity=".14"/><rect x="{num(x0)}" y="{num(y0)}" {box} fill="#efe6d6" '
            f'stroke="#4b4039" stroke-width="{num(1.2 * unit)}"/>'
        )
    picture = read_picture(item.picture)
    width, height = picture.width, picture.height
    turned = _turned(width / height, (x1 - x0) / (y1 - y0))
    across, down = (height, width) if turned else (width, height)
    scale_x, scale_y = (x1 - x0) / across, (y1 - y0) / down
    if not 0.8 < scale_x / scale_y < 1.25:  # too different to stretch: fit and centre
        scale_x = scale_y = min(scale_x, scale_y)
    left = (x0 + x1 - across * scale_x) / 2
    top = (y0 + y1 - down * scale_y) / 2
    move = f"translate({num(left)} {num(top)})"
    if (scale_x, scale_y) != (1, 1):
        move += f"scale({num(scale_x, 4)} {num(scale_y, 4)})"
    if turned:
        # The back of a piece of furniture is the top of its picture: turn it to the nearer wall.
        west = _wall_share(world, (x0 - (x1 - x0), y0, x0, y1))
        east = _wall_share(world, (x1, y0, x1 + (x1 - x0), y1))
        if east > west:
            move += f"translate({num(height)} 0)rotate(90)"
        else:
            move += f"translate(0 {num(width)})rotate(-90)"
    return f'<g transform="{move}">{picture.markup}</g>'


def _turned(picture: float, box: float) -> bool:
    # Aspects compare as logarithms: turning a picture makes its aspect 1 / aspect.
    return abs(math.log(picture) + math.log(box)) + 0.05 < abs(math.log(picture) - math.log(box))


def _wall_share(world: World, rect: Rect) -> float:
    scale = world.width / world.size
    x0, y0, x1, y1 = (min(max(round(edge * scale), 0), world.width) for edge in rect)
    part = world.occupied[y0:y1, x0:x1]
    return float(part.mean()) if part.size else 1.0
