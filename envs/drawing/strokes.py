"""Lines on a floor plan: routes with casing and arrowheads, and the marks at their ends."""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache

import numpy as np

from envs.drawing.svg import INK, num, polyline
from envs.errors import InputError

TIME_STEPS = 20


@dataclass(frozen=True)
class Stroke:
    """A route made ready to draw: checked, with its colour settled and safe in an attribute."""

    pose: np.ndarray
    """float64 [T, 2 or 3], world units (y down), radians."""
    colour: str
    """"time" or an SVG colour."""
    dashed: bool
    label: str | None
    target: tuple[float, float] | None

    @property
    def end(self) -> tuple[float, float]:
        x, y = self.pose[-1, :2].tolist()
        return x, y

    @property
    def end_colour(self) -> str:
        return time_colours()[-1] if self.colour == "time" else self.colour


@cache
def colours_of(name: str, count: int, first: float, last: float) -> tuple[str, ...]:
    """`count` colours #rrggbb of a matplotlib colour map, evenly from `first` to `last` of it."""
    from matplotlib import colormaps
    from matplotlib.colors import to_hex

    if name not in colormaps:
        raise InputError(f"colour map {name!r} is unknown; try viridis, cividis or magma")
    return tuple(to_hex(colormaps[name](x)) for x in np.linspace(first, last, count))


def time_colours() -> tuple[str, ...]:
    # The lightest fifth of plasma is left out: yellow would sink into the floor.
    return colours_of("plasma", TIME_STEPS, 0.0, 0.78)


class Pen:
    """Draws strokes on a grid of whole numbers, 1/2400 of the world, which keeps paths short."""

    def __init__(self, size: float, line: float) -> None:
        """Args: the world's size and the width of lines, both in world units."""
        self.grid = 2400 / size  # grid steps per world unit
        self.line = line

    def group(self, markup: str) -> str:
        """Bring what `stroke` returns to world units."""
        return (
            f'<g transform="scale({num(1 / self.grid, 6)})" fill="none" stroke-linecap="round" '
            f'stroke-linejoin="round" stroke-width="{num(self.line * self.grid, 1)}">{markup}</g>'
        )

    def _points(self, xy: np.ndarray) -> list[tuple[int, int]]:
        points = np.round(simplify(xy, 1.2 / self.grid) * self.grid).astype(int)
        moves = np.any(np.diff(points, axis=0) != 0, axis=1)
        return [(x, y) for x, y in points[np.concatenate(([True], moves))].tolist()]

    def stroke(self, stroke: Stroke) -> Iterable[str]:
        xy = stroke.pose[:, :2]
        if stroke.dashed:
            yield from self._dashed(stroke, xy)
            return
        timed = stroke.colour == "time"
        count = min(TIME_STEPS, len(xy) - 1)
        cuts = np.linspace(0, len(xy) - 1, count + 1).astype(int)
        colours = time_colours()
        casing = num((self.line + 2 * self.line * 0.55) * self.grid, 1)
        # Casing and colour take turns, so that a later stretch bridges an earlier one.
        for first in range(0, count, 5):
            last = min(first + 5, count)
            chunk = self._points(xy[cuts[first] : cuts[last] + 1])
            if len(chunk) < 2:
                continue
            cap = ' stroke-linecap="butt"' if first else ""
            yield f'<path d="{polyline(chunk)}" stroke="#fff" stroke-width="{casing}"{cap}/>'
            if not timed:
                yield f'<path d="{polyline(chunk)}" stroke="{stroke.colour}"/>'
                continue
            for part in range(first, last):
                points = self._points(xy[cuts[part] : cuts[part + 1] + 1])
                if len(points) > 1:
                    shade = colours[round(part * (TIME_STEPS - 1) / max(count - 1, 1))]
                    yield f'<path d="{polyline(points)}" stroke="{shade}"/>'
        heads = arrows(xy, self.line)
        if heads:
            yield f'<g stroke="#fff" stroke-width="{num(self.line * self.grid * 0.45, 1)}">'
            for index, x, y, angle in heads:
                shade = colours[round(index / (len(xy) - 1) * (TIME_STEPS - 1))]
                yield self._arrow(x, y, angle, shade if timed else stroke.colour)
            yield "</g>"

    def _arrow(self, x: float, y: float, angle: float, colour: str) -> str:
        size = self.line * self.grid
        a, b, c = num(2.1 * size, 0), num(1.9 * size, 0), num(1.1 * size, 0)
        return (
            f'<path d="M{a} 0L-{b} {b}L-{c} 0L-{b}-{b}z" fill="{colour}" '
            f'transform="translate({x * self.grid:.0f} {y * self.grid:.0f})'
            f'rotate({math.degrees(angle):.0f})"/>'
        )

    def _dashed(self, stroke: Stroke, xy: np.ndarray) -> Iterable[str]:
        points = self._points(xy)
        if len(points) < 2:
            return
        data = polyline(points)
        size = self.line * self.grid
        dashes = f"{num(size * 2, 0)} {num(size * 1.5, 0)}"
        yield (
            f'<path d="{data}" stroke="#fff" stroke-opacity=".75" stroke-width="{num(size, 1)}"/>'
            f'<path d="{data}" stroke="{stroke.colour}" stroke-width="{num(size * 0.5, 1)}" '
            f'stroke-dasharray="{dashes}" stroke-linecap="butt"/>'
        )


def simplify(xy: np.ndarray, tolerance: float) -> np.ndarray:
    """Leave out points of a path [T, 2] that lie within `tolerance` of the line without them.

    Douglas and Peucker 1973. The first and the last point stay.
    """
    keep = np.zeros(len(xy), dtype=bool)
    keep[[0, -1]] = True
    spans = [(0, len(xy) - 1)]
    while spans:
        first, last = spans.pop()
        if last - first < 2:
            continue
        start, line = xy[first], xy[last] - xy[first]
        offset = xy[first + 1 : last] - start
        length = float(line @ line)
        along = np.clip(offset @ line / length, 0, 1) if length else np.zeros(len(offset))
        distance = np.hypot(*(offset - along[:, None] * line).T)
        worst = int(distance.argmax())
        if distance[worst] > tolerance:
            middle = first + 1 + worst
            keep[middle] = True
            spans += [(first, middle), (middle, last)]
    return xy[keep]


def arrows(xy: np.ndarray, line: float) -> list[tuple[int, float, float, float]]:
    """Where arrowheads sit well on a path: spread over its length, on straight stretches.

    Args:
        xy: [T, 2] world units.
        line: width of the line, world units; arrowheads are in proportion to it.

    Returns:
        (timestep, x, y, angle in radians, clockwise as y is down), one to five of them; none on a
        path too short for any.
    """
    steps = np.hypot(*np.diff(xy, axis=0).T)
    travelled = np.concatenate(([0.0], np.cumsum(steps)))
    total = float(travelled[-1])
    clear = 9 * line  # of both ends, where markers sit
    count = min(5, int((total - 2 * clear) // (32 * line)))
    if total > 2.5 * clear:
        count = max(count, 1)
    heads: list[tuple[int, float, float, float]] = []
    for part in range(count):
        centre = clear + (total - 2 * clear) * (part + 0.6) / count
        reach = (total - 2 * clear) / count * 0.35
        best: tuple[float, int, float, float, float] | None = None
        for where in np.linspace(centre - reach, centre + reach, 15).tolist():
            behind, middle, ahead = (
                np.array([np.interp(s, travelled, xy[:, k]) for k in (0, 1)])
                for s in (where - 3 * line, where, where + 3 * line)
            )
            straight = float(np.hypot(*(ahead - behind))) / (6 * line)
            nearest = min((math.dist((x, y), middle) for _, x, y, _ in heads), default=math.inf)
            at_end = min(math.dist(middle, xy[0]), math.dist(middle, xy[-1]))
            if nearest < 8 * line or at_end < 6 * line:
                straight -= 1
            if best is None or straight > best[0] + 1e-3:
                angle = math.atan2(*(ahead - behind)[::-1])
                index = int(np.searchsorted(travelled, where))
                best = (straight, index, float(middle[0]), float(middle[1]), angle)
        if best is not None and best[0] > 0.6:
            heads.append(best[1:])
    return heads


def heading(pose: np.ndarray) -> float:
    moved = pose[:, :2] - pose[0, :2]
    far = np.flatnonzero(np.hypot(*moved.T) > 1e-6)
    return float(np.arctan2(moved[far[0], 1], moved[far[0], 0])) if len(far) else 0.0


def start_mark(x: float, y: float, theta: float, r: float) -> str:
    """The robot seen from above: a disc of radius r drawn out to a nose."""
    side_x, side_y = num(r * 0.588), num(r * 0.809)  # where lines from 1.7 r touch the disc
    disc = num(r)
    return (
        f'<g transform="translate({num(x, 1)} {num(y, 1)})rotate({math.degrees(theta):.0f})">'
        f'<path d="M{num(r * 1.7)} 0L{side_x} {side_y}A{disc} {disc} 0 1 1 {side_x}-{side_y}z" '
        f'fill="{INK}" stroke="#fff" stroke-width="{num(r * 0.3)}" stroke-linejoin="round"/>'
        f'<circle r="{num(r * 0.4)}" fill="#fff"/></g>'
    )


def end_mark(x: float, y: float, r: float, colour: str, ring: float) -> str:
    """A dot in a white ring."""
    return (
        f'<circle cx="{num(x, 1)}" cy="{num(y, 1)}" r="{num(r)}" fill="{colour}" '
        f'stroke="#fff" stroke-width="{num(ring)}"/>'
    )


def target_mark(x: float, y: float, r: float, unit: float) -> str:
    """Cross-hairs: a ring with four ticks, dark on white."""
    tick = f"M{num(r * 0.6)} 0H{num(r * 1.6)}M0 {num(r * 0.6)}V{num(r * 1.6)}"
    tick += f"M{num(-r * 0.6)} 0H{num(-r * 1.6)}M0 {num(-r * 0.6)}V{num(-r * 1.6)}"
    shape = f'<circle r="{num(r)}"/><path d="{tick}"/>'
    return (
        f'<g transform="translate({num(x, 1)} {num(y, 1)})" fill="none" stroke-linecap="round">'
        f'<g stroke="#fff" stroke-width="{num(4 * unit)}">{shape}</g>'
        f'<g stroke="#111" stroke-width="{num(1.6 * unit)}">{shape}</g></g>'
    )
