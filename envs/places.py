"""Where in a scene: the centres of its tiles, and the part of a tile that a position lies in."""

from collections.abc import Mapping
from functools import lru_cache

from envs.scene import Scene


@lru_cache(maxsize=32)
def tile_centres(scene: Scene) -> Mapping[str, list[tuple[float, float]]]:
    """Tile name → centres, scene units; several where a name is used more than once."""
    centres: dict[str, list[tuple[float, float]]] = {}
    if scene.tiles is not None:
        for row, names in enumerate(scene.tiles.names):
            for column, name in enumerate(names):
                x0, y0, x1, y1 = scene.tiles.box(row, column)
                centres.setdefault(name, []).append(((x0 + x1) / 2, (y0 + y1) / 2))
    return centres


def part(scene: Scene, name: str, position: tuple[float, float]) -> str | None:
    """The third of the tile under a position: "north", "south-west", "" in the middle."""
    if scene.tiles is None:
        return None
    x, y = position
    for row, names in enumerate(scene.tiles.names):
        for column, other in enumerate(names):
            x0, y0, x1, y1 = scene.tiles.box(row, column)
            if other == name and x0 <= x < x1 and y0 < y <= y1:
                u, v = (x - x0) / (x1 - x0), (y - y0) / (y1 - y0)
                east = "west" if u < 1 / 3 else "east" if u > 2 / 3 else ""
                north = "south" if v < 1 / 3 else "north" if v > 2 / 3 else ""
                return f"{north}-{east}" if north and east else north or east
    return None
