"""What people see in a world: named objects and coloured floor tiles.

Everything here is in scene units (y up); `envs.geometry` converts. Scenes are read from the
sections [tiles] and [[object]] of a TOML file, where boxes are in map pixels, y down, half open:

    [tiles]
    rows = [["red", "green"], ["blue", "pink"]]   # from the top (north) down
    inset = 8                                     # the tiling leaves 8 pixels free on each side

    [[object]]
    name = "sofa"
    box = [150, 12, 184, 26]                      # x0, y0, x1, y1
    picture = "sofa.svg"                          # optional

What people call rooms and things besides ([[room]], aliases) is described in `envs.rooms`.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from envs.errors import InputError
from envs.geometry import pixel_box_to_scene, scene_box_to_pixel
from envs.pictures.svg import read_picture
from envs.rooms import (
    Box,
    Room,
    check_words,
    parse_aliases,
    parse_room,
    parse_tile_aliases,
    visible,
)

LONGEST_NAME = 100
PICTURES = Path(__file__).parent / "pictures"


@dataclass(frozen=True)
class SceneObject:
    """A named thing on the floor. It is seen, not felt: it stops neither robots nor lasers."""

    name: str
    box: Box
    """x0, y0, x1, y1 in scene units (y up)."""
    picture: Path | None = None
    """An SVG file that shows it."""
    aliases: tuple[str, ...] = ()
    """Other words that people have for it."""

    @property
    def centre(self) -> tuple[float, float]:
        """Centre of the box, scene units."""
        x0, y0, x1, y1 = self.box
        return ((x0 + x1) / 2, (y0 + y1) / 2)


@dataclass(frozen=True)
class Tiles:
    """A grid of coloured floor tiles of equal size."""

    names: tuple[tuple[str, ...], ...]
    """[rows][columns], north row first."""
    bounds: Box
    """x0, y0, x1, y1 in scene units (y up) of the whole grid."""
    aliases: tuple[tuple[str, tuple[str, ...]], ...] = ()
    """(tile, other words for it), for tiles that have any."""

    def box(self, row: int, column: int) -> Box:
        """x0, y0, x1, y1 in scene units of one tile; row 0 is the northern one."""
        x0, y0, x1, y1 = self.bounds
        width = (x1 - x0) / len(self.names[0])
        height = (y1 - y0) / len(self.names)
        return (
            x0 + column * width,
            y1 - (row + 1) * height,
            x0 + (column + 1) * width,
            y1 - row * height,
        )


@dataclass(frozen=True)
class Scene:
    """The objects and tiles of a world."""

    objects: tuple[SceneObject, ...] = ()
    tiles: Tiles | None = None
    rooms: tuple[Room, ...] = ()

    def __post_init__(self) -> None:
        names = [item.name for item in self.objects]
        for index, name in enumerate(names):
            if name in names[:index]:
                raise InputError(
                    f"object {name!r} is defined twice; give each object a name of its own"
                )
            if name in self.tile_names:
                raise InputError(
                    f"object {name!r} has the name of a tile; rename one of them, "
                    "or texts could not tell them apart"
                )
        names = [room.name for room in self.rooms]
        for index, name in enumerate(names):
            if name in names[:index]:
                raise InputError(
                    f"room {name!r} is defined twice; give each room a name of its own, "
                    "or list all its tiles in one"
                )
        tile_aliases = dict(self.tiles.aliases) if self.tiles else {}
        check_words(
            [("object", item.name, item.aliases) for item in self.objects]
            + [("tile", name, tile_aliases.get(name, ())) for name in self.tile_names]
            + [("room", room.name, room.aliases) for room in self.rooms]
        )

    @cached_property
    def _hash(self) -> int:
        return hash((self.objects, self.tiles, self.rooms))

    def __hash__(self) -> int:  # asked for with every text that is read
        return self._hash

    @cached_property
    def object_names(self) -> tuple[str, ...]:
        """Names of the objects, in the order of the file."""
        return tuple(item.name for item in self.objects)

    @cached_property
    def tile_names(self) -> tuple[str, ...]:
        """Names of the tiles, from the north-west on, each once."""
        if self.tiles is None:
            return ()
        return tuple(dict.fromkeys(name for row in self.tiles.names for name in row))

    @cached_property
    def boxes(self) -> np.ndarray:
        """Boxes of the objects, float64 [n, 4]: x0, y0, x1, y1 in scene units."""
        return np.array([item.box for item in self.objects], dtype=np.float64).reshape(-1, 4)

    def room_tiles(self, room: Room) -> tuple[str, ...]:
        """Names of the tiles that a room covers.

        For a room with a box: the tiles whose middle lies in it, else the tile under its middle;
        none where there is no tiling.
        """
        if room.box is None or self.tiles is None:
            return room.tiles
        x0, y0, x1, y1 = room.box
        inside = []
        for row, names in enumerate(self.tiles.names):
            for column, name in enumerate(names):
                a0, b0, a1, b1 = self.tiles.box(row, column)
                if x0 <= (a0 + a1) / 2 <= x1 and y0 <= (b0 + b1) / 2 <= y1:
                    inside.append(name)
        if not inside:
            under = int(self.tile_at([(x0 + x1) / 2, (y0 + y1) / 2]))
            inside = [self.tile_names[under]] if under >= 0 else []
        return tuple(dict.fromkeys(inside))

    def tile_at(self, points: ArrayLike) -> np.ndarray:
        """Tiles under points.

        Args:
            points: [..., 2] scene units (y up).

        Returns:
            int64 [...]: index into `tile_names`, -1 beside the tiling.
        """
        points = np.asarray(points, dtype=np.float64)
        if self.tiles is None:
            return np.full(points.shape[:-1], -1, dtype=np.int64)
        names = self.tiles.names
        grid = np.array([[self.tile_names.index(name) for name in row] for row in names])
        x0, y0, x1, y1 = self.tiles.bounds
        column = np.floor((points[..., 0] - x0) / (x1 - x0) * len(names[0]))
        row = np.floor((y1 - points[..., 1]) / (y1 - y0) * len(names))
        inside = (column >= 0) & (column < len(names[0])) & (row >= 0) & (row < len(names))
        index = grid[
            np.where(inside, row, 0).astype(np.int64), np.where(inside, column, 0).astype(np.int64)
        ]
        return np.where(inside, index, -1)


def check_keys(
    table: Mapping[str, Any], where: str, required: set[str], optional: set[str]
) -> None:
    """Refuse unknown and missing keys of a TOML table.

    Raises:
        InputError: names the key and the known ones.
    """
    for key in table:
        if key not in required | optional:
            known = ", ".join(sorted(required | optional))
            raise InputError(f"{where}: unknown key {key!r}; known are {known}")
    for key in sorted(required):
        if key not in table:
            raise InputError(f"{where}: {key!r} is missing")


def number(value: Any, where: str) -> float:
    """The finite number `value`, or an InputError that names `where`."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise InputError(f"{where} is {value!r}; expected a number")
    return float(value)


def numbers(value: Any, count: int, where: str) -> tuple[float, ...]:
    """A list of `count` finite numbers, or an InputError that names `where`."""
    if not isinstance(value, list) or len(value) != count:
        raise InputError(f"{where} is {value!r}; expected a list of {count} numbers")
    return tuple(number(item, where) for item in value)


def pixel_box(value: Any, width: int, height: int, where: str) -> Box:
    """A box in pixels inside a map of `width` by `height`, or an InputError that names `where`."""
    x0, y0, x1, y1 = numbers(value, 4, where)
    if x0 >= x1 or y0 >= y1:
        raise InputError(
            f"{where} is {value}: inverted or empty; expected [x0, y0, x1, y1] "
            "with x0 < x1 and y0 < y1"
        )
    if x0 < 0 or y0 < 0 or x1 > width or y1 > height:
        raise InputError(f"{where} is {value}: outside the map of {width} x {height} pixels")
    return (x0, y0, x1, y1)


def parse_scene(
    table: Mapping[str, Any], *, width: int, height: int, size: float, folder: Path
) -> Scene | None:
    """Make a scene of the sections [tiles], [[object]] and [[room]].

    Args:
        table: the parsed TOML file; other sections are left alone.
        width, height: of the map, pixels.
        size: world units per side.
        folder: where pictures are looked for before the bundled ones.

    Returns:
        None when the table has none of these sections.

    Raises:
        InputError: names the section, the field, what was found and what was expected.
    """
    scale = width / size
    objects = []
    entries = table.get("object", [])
    if not isinstance(entries, list):
        raise InputError("object: write [[object]] with double brackets, one section per object")
    for index, entry in enumerate(entries):
        where = f"object {index + 1}"
        if not isinstance(entry, dict):
            raise InputError(f"{where} is {entry!r}; expected a section [[object]]")
        if isinstance(entry.get("name"), str):
            where += f" ({entry['name']!r})"
        check_keys(entry, where, {"name", "box"}, {"picture", "aliases"})
        name = _name(entry["name"], f"{where}: name")
        box = pixel_box(entry["box"], width, height, f"{where}: box")
        picture = None
        if "picture" in entry:
            picture = _find_picture(entry["picture"], folder, f"{where}: picture")
        aliases = parse_aliases(entry.get("aliases", []), f"{where}: aliases")
        objects.append(SceneObject(name, pixel_box_to_scene(box, scale, size), picture, aliases))
    tiles = None
    if "tiles" in table:
        tiles = _parse_tiles(table["tiles"], width, height, size)
    rooms = _parse_rooms(table.get("room", []), tiles, width, height, size)
    if not objects and tiles is None and not rooms:
        return None
    return Scene(tuple(objects), tiles, rooms)


def _parse_rooms(
    entries: Any, tiles: Tiles | None, width: int, height: int, size: float
) -> tuple[Room, ...]:
    if not isinstance(entries, list):
        raise InputError("room: write [[room]] with double brackets, one section per room")
    known = Scene(tiles=tiles).tile_names
    rooms = []
    for index, entry in enumerate(entries):
        where = f"room {index + 1}"
        if not isinstance(entry, dict):
            raise InputError(f"{where} is {entry!r}; expected a section [[room]]")
        if isinstance(entry.get("name"), str):
            where += f" ({entry['name']!r})"
        check_keys(entry, where, {"name"}, {"tiles", "box", "aliases"})
        name = _name(entry["name"], f"{where}: name")
        box = None
        if "box" in entry:
            pixels = pixel_box(entry["box"], width, height, f"{where}: box")
            box = pixel_box_to_scene(pixels, width / size, size)
        rooms.append(parse_room(entry, name, box, known, where))
    return tuple(rooms)


def scene_to_table(scene: Scene, *, width: int, size: float) -> dict[str, Any]:
    """The sections of `parse_scene`, boxes in pixels; pictures by their file name only."""
    scale = width / size
    table: dict[str, Any] = {}
    if scene.tiles is not None:
        table["tiles"] = {
            "rows": [list(row) for row in scene.tiles.names],
            "bounds": _tidy(scene_box_to_pixel(scene.tiles.bounds, scale, size)),
        }
        if scene.tiles.aliases:
            table["tiles"]["aliases"] = {t: list(words) for t, words in scene.tiles.aliases}
    table["object"] = [
        {"name": item.name, "box": _tidy(scene_box_to_pixel(item.box, scale, size))}
        | ({"picture": item.picture.name} if item.picture is not None else {})
        | ({"aliases": list(item.aliases)} if item.aliases else {})
        for item in scene.objects
    ]
    table["room"] = [
        {"name": room.name}
        | ({"tiles": list(room.tiles)} if room.box is None else {})
        | ({"box": _tidy(scene_box_to_pixel(room.box, scale, size))} if room.box else {})
        | ({"aliases": list(room.aliases)} if room.aliases else {})
        for room in scene.rooms
    ]
    return table


def _tidy(box: Sequence[float]) -> list[float]:
    # Pixel edges are whole or simple fractions: drop what the division left in the last digits.
    return [int(edge) if edge == int(edge) else edge for edge in (round(e, 9) for e in box)]


def _name(value: Any, where: str, longest: int = LONGEST_NAME) -> str:
    if not isinstance(value, str) or not visible(value):
        raise InputError(f"{where} is {value!r}; expected a word")
    if len(value) > longest:
        raise InputError(f"{where} has {len(value)} letters; expected at most {longest}")
    return value.strip()


def _find_picture(value: Any, folder: Path, where: str) -> Path:
    """A picture in the scene's folder, or else a bundled one, which draws something."""
    name = _name(value, where, 1000)
    for home in (folder, PICTURES):
        path = home / name
        # Resolved, as ".." and links lead elsewhere: what is not the scene's is not even read.
        try:
            inside = path.resolve().is_relative_to(home.resolve())
        except (OSError, RuntimeError, ValueError) as error:  # links in a circle, a NUL
            raise InputError(f"{where} is {name!r}: no path of a file ({error})") from None
        if not inside:
            raise InputError(
                f"{where} is {name!r}: outside the scene's folder {folder}; copy it there"
            )
        if path.is_file():
            try:
                read_picture(path)
            except InputError as error:
                raise InputError(f"{where}: {error}") from None
            return path
    known = ", ".join(sorted(path.name for path in PICTURES.glob("*.svg")))
    raise InputError(f"{where}: no file {name!r} in {folder} nor among the bundled ones ({known})")


def _parse_tiles(table: Any, width: int, height: int, size: float) -> Tiles:
    if not isinstance(table, dict):
        raise InputError(f"tiles is {table!r}; expected a section [tiles]")
    check_keys(table, "tiles", {"rows"}, {"inset", "bounds", "aliases"})
    rows = table["rows"]
    if (
        not isinstance(rows, list)
        or not rows
        or not all(isinstance(row, list) and row for row in rows)
        or len({len(row) for row in rows}) != 1
    ):
        raise InputError(
            "tiles: rows must be a list of rows of equal length, from the north down, "
            'like [["red", "green"], ["blue", "pink"]]'
        )
    names = tuple(tuple(_name(name, "tiles: rows") for name in row) for row in rows)
    if "bounds" in table and "inset" in table:
        raise InputError("tiles: give either inset or bounds, not both")
    if "bounds" in table:
        box = pixel_box(table["bounds"], width, height, "tiles: bounds")
    else:
        inset = number(table.get("inset", 0), "tiles: inset")
        if not 0 <= inset < min(width, height) / 2:
            raise InputError(
                f"tiles: inset is {inset:g}; expected pixels from 0 to below half the map's width"
            )
        box = (inset, inset, width - inset, height - inset)
    flat = tuple(dict.fromkeys(name for row in names for name in row))
    aliases = parse_tile_aliases(table.get("aliases", {}), flat)
    return Tiles(names, pixel_box_to_scene(box, width / size, size), aliases)
