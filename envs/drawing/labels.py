"""Where the names of objects and tiles go on a floor plan."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from scipy import ndimage

from envs.drawing.floorplan import Rect, drawn_walls, mix, tile_colour, to_rect
from envs.drawing.svg import INK, text_width
from envs.rooms import Room
from envs.world import World


@dataclass(frozen=True)
class Label:
    """A name on the plan: the middle of its baseline in world units, its area and its colour."""

    text: str
    x: float
    y: float
    rect: Rect
    colour: str


@dataclass(frozen=True)
class _Places:
    """Places where one name could go; lower costs are better."""

    text: str
    font: float
    colour: str
    costs: np.ndarray
    """[n]"""
    rects: np.ndarray
    """[n, 4] world units."""

    def best(self, penalties: np.ndarray, taken: np.ndarray) -> Rect | None:
        """The cheapest place that covers none of taken [m, 4]; None when there is none."""
        costs = self.costs + penalties
        if len(taken):
            costs = np.where((_shares(self.rects, taken) > 0).any(axis=1), np.inf, costs)
        choice = int(costs.argmin()) if len(costs) else 0
        if not len(costs) or np.isinf(costs[choice]):
            return None
        x0, y0, x1, y1 = self.rects[choice].tolist()
        return (x0, y0, x1, y1)


def place_labels(
    world: World,
    font: float,
    paths: Sequence[np.ndarray] = (),
    marks: Sequence[Rect] = (),
) -> tuple[list[Label], list[Label]]:
    """Find places for the names of objects and tiles where they cover no wall and no other name.

    Args:
        world: with or without a scene.
        font: font size of object names in world units; tile names are a little smaller.
        paths: [T, 2] positions in world units that names had better not cover.
        marks: areas that names had better not cover either.

    Returns:
        Labels of objects and of tiles. A name that finds no free place is left out.
    """
    objects, tiles = _places(world, font, world.scene.rooms if world.scene else ())
    names = objects + tiles
    driven = np.zeros(world.occupied.shape, dtype=bool)
    for path in paths:
        column, row = np.clip(path * (world.width / world.size), 0, world.width - 1).astype(int).T
        driven[row, column] = True
    counts = _sums(ndimage.binary_dilation(driven, iterations=max(1, world.width // 100)))
    marked = np.array(marks).reshape(-1, 4)
    penalties = []
    for places in names:
        crossed = _count(counts, places.rects, world.width / world.size) > 0
        hidden = (_shares(places.rects, marked) > 0).any(axis=1)
        penalties.append(0.9 * crossed + 2.0 * hidden)
    rects: list[Rect | None] = [None] * len(names)
    # Objects come twice: a name placed late may leave an earlier one a better place.
    for index in [*range(len(objects)), *range(len(objects)), *range(len(objects), len(names))]:
        others = [rect for other, rect in enumerate(rects) if rect and other != index]
        rects[index] = names[index].best(penalties[index], np.array(others).reshape(-1, 4))
    labels = [
        [
            # Letters without descenders sit in the middle with the baseline 0.36 em below it.
            Label(
                name.text, (r[0] + r[2]) / 2, (r[1] + r[3]) / 2 + 0.36 * name.font, r, name.colour
            )
            for name, r in zip(names[part], rects[part], strict=True)
            if r
        ]
        for part in (slice(len(objects)), slice(len(objects), None))
    ]
    return labels[0], labels[1]


@lru_cache(maxsize=32)
def _places(
    world: World, font: float, rooms: tuple[Room, ...]
) -> tuple[list[_Places], list[_Places]]:
    """Places for all names that lie on the map and on no wall, with costs for covered objects.

    Rooms are given apart: worlds that differ in them alone are equal.
    """
    if world.scene is None:
        return [], []
    scale = world.width / world.size
    walls = _sums(drawn_walls(world))
    boxes = [to_rect(item.box, world.size) for item in world.scene.objects]
    robot, reach = world.robot, world.robot.radius * 1.6
    start = (robot.x - reach, robot.y - reach, robot.x + reach, robot.y + reach)

    def free(
        text: str, size: float, colour: str, places: list[tuple[float, Rect]], avoid: list[Rect]
    ) -> _Places:
        rects = np.array([rect for _, rect in places])
        costs = np.array([cost for cost, _ in places])
        costs += 8 * _shares(rects, np.array(avoid)).sum(axis=1)
        good = (rects >= 0).all(axis=1) & (rects <= world.size).all(axis=1)
        good &= _count(walls, rects, scale) == 0
        return _Places(text, size, colour, costs[good], rects[good])

    objects = [
        free(
            item.name,
            font,
            INK,
            _around(box, text_width(item.name, font), font, inside=item.picture is None),
            [start, *(other for other in boxes if other is not box)],
        )
        for item, box in zip(world.scene.objects, boxes, strict=True)
    ]
    if world.scene.tiles is None:
        return objects, []
    small = 0.84 * font
    called = {t: f"{t} · {r.name}" for r in rooms for t in world.scene.room_tiles(r)[:1]}
    tiles = [
        free(
            called.get(name, name),
            small,
            mix(tile_colour(name), INK, 0.66),
            _within(
                to_rect(world.scene.tiles.box(row, column), world.size),
                text_width(called.get(name, name), small),
                small,
            ),
            [start, *boxes],
        )
        for row, names in enumerate(world.scene.tiles.names)
        for column, name in enumerate(names)
    ]
    return objects, tiles


def _around(box: Rect, width: float, font: float, *, inside: bool) -> list[tuple[float, Rect]]:
    """Places for a name at its object, each with a cost; inside it for boxes without a picture."""
    x0, y0, x1, y1 = box
    w, h = width / 2 + 0.25 * font, 0.6 * font
    middle_x, middle_y = (x0 + x1) / 2, (y0 + y1) / 2
    places = []
    if inside:
        fits = x1 - x0 > 2 * w and y1 - y0 > 2 * h
        places.append((-3.0 if fits else 1.0, middle_x, middle_y))
    for gap in (0.1 * font, 0.35 * font, 0.8 * font, 1.6 * font):
        far = gap / font * 0.3
        for slide in np.linspace(-1, 1, 9).tolist():
            x = middle_x + slide * ((x1 - x0) / 2 + w) * 0.9
            off = abs(slide) * 0.5 + far
            places += [(off, x, y1 + gap + h), (off + 0.15, x, y0 - gap - h)]
            y = middle_y + slide * ((y1 - y0) / 2)
            places += [(off + 0.3, x1 + gap + w, y), (off + 0.35, x0 - gap - w, y)]
    for y in np.linspace(y0 + h, y1 - h, 5).tolist() if y1 - y0 > 2 * h else [middle_y]:
        places.append((1.2, middle_x, y))
    return [(cost, (x - w, y - h, x + w, y + h)) for cost, x, y in places]


def _within(box: Rect, width: float, font: float) -> list[tuple[float, Rect]]:
    """Places for a tile's name in it, the lower left corner first."""
    x0, y0, x1, y1 = box
    w, h = width / 2 + 0.45 * font, 0.9 * font
    places = []
    for u in np.linspace(0, 1, 25).tolist():
        for v in np.linspace(0, 1, 25).tolist():
            x, y = x0 + w + u * (x1 - x0 - 2 * w), y0 + h + v * (y1 - y0 - 2 * h)
            places.append((2 * u + 2 * (1 - v), (x - w, y - h, x + w, y + h)))
    return places


def _sums(mask: np.ndarray) -> np.ndarray:
    """Counts of a mask [H, W] above and left of each corner, [H + 1, W + 1]."""
    return np.pad(np.cumsum(np.cumsum(mask, axis=0), axis=1), ((1, 0), (1, 0)))


def _count(sums: np.ndarray, rects: np.ndarray, scale: float) -> np.ndarray:
    """Marked pixels in each of rects [n, 4], with `scale` pixels per world unit."""
    low = np.clip(np.floor(rects[:, :2] * scale + 1e-6), 0, len(sums) - 1).astype(int)
    high = np.clip(np.ceil(rects[:, 2:] * scale - 1e-6), 0, len(sums) - 1).astype(int)
    (x0, y0), (x1, y1) = low.T, high.T
    return sums[y1, x1] - sums[y0, x1] - sums[y1, x0] + sums[y0, x0]


def _shares(rects: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Share of each of rects [n, 4] that each of others [m, 4] covers, [n, m]."""
    low = np.maximum(rects[:, None, :2], others[None, :, :2])
    high = np.minimum(rects[:, None, 2:], others[None, :, 2:])
    area = (rects[:, 2:] - rects[:, :2]).prod(axis=1, keepdims=True)
    return np.clip(high - low, 0, None).prod(axis=2) / area
