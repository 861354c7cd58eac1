"""Pictures of drives: a world's floor plan, seen from above, with the routes of robots on it.

    svg = draw_scene(world, [Route(pose, "driven", target=(450, 95))], caption="Go to the sofa.")
    svg_to_png(svg, "drive.png")

Everything is SVG text, the same bytes each time. Paths are in world units (y down), as poses are.
Colours tell by lightness alone: routes run from dark to light with time (plasma), floors are pale,
and every line has a white casing.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from envs.drawing.floorplan import floor_plan
from envs.drawing.labels import Label, place_labels
from envs.drawing.page import Look, Page
from envs.drawing.strokes import (
    Pen,
    Stroke,
    colours_of,
    end_mark,
    heading,
    start_mark,
    target_mark,
)
from envs.drawing.svg import INK, PAPER, escape, num
from envs.errors import InputError
from envs.world import World

REFERENCE = "#4a4642"
SHADES = 32
"""Colours of a map of cells."""
PALETTE = ("#0b5fa5", "#c2410c", "#0a7d5a", "#9b2a86", "#7a5b00", "#4a4642")


@dataclass(frozen=True)
class Route:
    """A driven path to draw.

    `colour` is "time" (dark to light from start to end) or an SVG colour; without one, a dashed
    route is grey, a single solid route gets "time" and several get one colour each.
    """

    path: ArrayLike
    """[T, 2] positions or [T, 3] poses, world units (y down), radians."""
    label: str | None = None
    """Name in the legend; routes without one are not in it."""
    colour: str | None = None
    style: str = "solid"
    """"solid" or "dashed" (a reference, drawn thinner and below)."""
    target: tuple[float, float] | None = None
    """Where the robot should have ended, world units (y down); marked with cross-hairs."""


def draw_scene(
    world: World,
    routes: Sequence[Route] = (),
    *,
    title: str | None = None,
    caption: str | None = None,
    width: int = 600,
    labels: bool = True,
    legend: bool = True,
    background: str = "inline",
) -> str:
    """Draw a world with routes on it.

    Args:
        title: one bold line or more above the scene.
        caption: text below, wrapped to the width.
        width: SVG pixels; 300 to 900 read well.
        labels: whether objects and tiles are named.
        legend: whether labelled routes are explained below.
        background: "inline" makes the picture self-contained; "use" refers to the floor plan that
            `scene_symbols(world)` puts once into the same HTML page.

    Returns:
        SVG text.

    Raises:
        InputError: a route's path is not [T, 2] or [T, 3] of finite numbers, or an option is
            unknown.
    """
    if background not in ("inline", "use"):
        raise InputError(f'background is {background!r}; expected "inline" or "use"')
    strokes = _strokes(routes)
    look = Look(width)
    plan = floor_plan(world)
    floor = plan.markup if background == "inline" else _use(plan.symbol, world)
    page = Page(width)
    page.text(title, look.text * 1.15, bold=True)
    page.scene(_scene(world, strokes, look, floor, labels=labels), world.size, width)
    page.text(caption, look.text)
    if legend:
        page.legend(_entries(strokes), look)
    return page.svg(title or caption or world.name)


def draw_scenes(
    world: World,
    panels: Sequence[tuple[Sequence[Route], str | None]],
    *,
    columns: int = 3,
    title: str | None = None,
    width: int = 900,
    labels: bool = True,
    legend: bool = True,
) -> str:
    """Draw several scenes of one world side by side, each with its sentence below.

    Args:
        panels: (routes, caption) of each scene, row by row.
        columns: scenes in a row.
        title, labels, legend: as for `draw_scene`; routes of the same label share a legend entry.
        width: of the whole, SVG pixels.

    Returns:
        SVG text, self-contained.
    """
    if columns < 1:
        raise InputError(f"columns is {columns}; expected 1 or more")
    columns = max(1, min(columns, len(panels)))
    gap = max(14.0, width / 40)
    side = (width - gap * (columns - 1)) / columns
    look = Look(side)
    plan = floor_plan(world)
    page = Page(width)
    page.parts.append(f"<defs>{_symbol(world)}</defs>")
    page.text(title, Look(width).text * 1.15, bold=True)
    everything: list[Stroke] = []
    for first in range(0, len(panels), columns):
        if first:
            page.y += gap * 0.8
        top = bottom = page.y
        for index, (routes, caption) in enumerate(panels[first : first + columns]):
            strokes = _strokes(routes)
            everything += strokes
            page.x, page.y = index * (side + gap), top
            inside = _scene(world, strokes, look, _use(plan.symbol, world), labels=labels)
            page.scene(inside, world.size, side)
            page.text(caption, look.text, width=side)
            bottom = max(bottom, page.y)
        page.x, page.y = 0.0, bottom
    if legend:
        page.legend(_entries(everything), look)
    return page.svg(title or world.name)


def draw_cells(
    world: World,
    values: ArrayLike,
    *,
    label: str,
    colourmap: str = "viridis",
    limits: tuple[float, float] | None = None,
    title: str | None = None,
    caption: str | None = None,
    width: int = 600,
    labels: bool = True,
) -> str:
    """Draw a map of values over the floor plan, with a colour bar: coverage, error, ….

    Args:
        values: [rows, columns] that cover the whole world, row 0 at the top (north), column 0 at
            the left (west); NaN where there is nothing. (A pyribs grid over (x, y) with y down is
            its transpose.)
        label: what the colours mean, with the unit.
        colourmap: a name that matplotlib knows.
        limits: values of the colour bar's ends; from the data by default.
        title, caption, width, labels: as for `draw_scene`.

    Returns:
        SVG text, self-contained.

    Raises:
        InputError: values is not a matrix, or the colour map is unknown.
    """
    cells = np.asarray(values, dtype=np.float64)
    if cells.ndim != 2 or cells.size == 0:
        raise InputError(f"values has shape {cells.shape}; expected [rows, columns]")
    known = cells[np.isfinite(cells)]
    low, high = limits or ((known.min(), known.max()) if known.size else (0.0, 1.0))
    if low == high:
        low, high = low - 0.5, high + 0.5
    colours = colours_of(colourmap, SHADES, 0.0, 1.0)
    overlay = _cells((cells - low) / (high - low), colours, world.size)
    look = Look(width)
    plan = floor_plan(world)
    # Tiles and furniture step back behind a veil: here the colours of the cells speak.
    veil = f'<rect width="100%" height="100%" fill="{PAPER}" opacity=".72"/>'
    floor = plan.floor + plan.furniture + veil + overlay + plan.walls
    page = Page(width)
    page.text(title, look.text * 1.15, bold=True)
    inside = _scene(world, [], look, floor, labels=labels, tiles=False)
    page.scene(inside, world.size, width)
    page.colour_bar(colours, low, high, label, look)
    page.text(caption, look.text)
    return page.svg(title or label)


def scene_symbols(world: World) -> str:
    """The floor plan as a hidden block of symbols, once per HTML page, for background="use"."""
    return (
        '<svg xmlns="http://www.w3.org/2000/svg" width="0" height="0" '
        f'aria-hidden="true"><defs>{_symbol(world)}</defs></svg>'
    )


def _symbol(world: World) -> str:
    plan = floor_plan(world)
    side = num(world.size)
    return f'<symbol id="{plan.symbol}" viewBox="0 0 {side} {side}">{plan.markup}</symbol>'


def _use(symbol: str, world: World) -> str:
    return f'<use href="#{symbol}" width="{num(world.size)}" height="{num(world.size)}"/>'


def _strokes(routes: Sequence[Route]) -> list[Stroke]:
    """Check routes and settle their colours."""
    solid = sum(route.style == "solid" for route in routes)
    strokes: list[Stroke] = []
    coloured = 0
    for index, route in enumerate(routes):
        pose = np.asarray(route.path, dtype=np.float64)
        where = f"route {index + 1}" + (f" ({route.label!r})" if route.label else "")
        if pose.ndim != 2 or pose.shape[1] not in (2, 3) or len(pose) == 0:
            raise InputError(f"{where}: path has shape {pose.shape}; expected [T, 2] or [T, 3]")
        if not np.isfinite(pose).all():
            raise InputError(f"{where}: path holds values that are not finite; cut them off")
        if route.style not in ("solid", "dashed"):
            raise InputError(f'{where}: style is {route.style!r}; expected "solid" or "dashed"')
        colour = route.colour
        if colour is None and route.style == "dashed":
            colour = REFERENCE
        elif colour is None:
            colour = "time" if solid == 1 else PALETTE[coloured % len(PALETTE)]
            coloured += 1
        target = None if route.target is None else (float(route.target[0]), float(route.target[1]))
        dashed = route.style == "dashed"
        strokes.append(Stroke(pose, escape(colour), dashed, route.label, target))
    return sorted(strokes, key=lambda stroke: not stroke.dashed)


def _scene(
    world: World,
    strokes: Sequence[Stroke],
    look: Look,
    floor: str,
    *,
    labels: bool,
    tiles: bool = True,
) -> str:
    """Floor, strokes, names and marks, in world units."""
    unit = world.size / look.width  # world units per SVG pixel
    pen = Pen(world.size, look.line * unit)
    parts = [floor, pen.group("".join(part for stroke in strokes for part in pen.stroke(stroke)))]
    starts = _starts(world, strokes)
    mark = max(world.robot.radius * 0.9, 5 * unit)
    dot = 3.6 * unit + mark * 0.25
    targets = list(dict.fromkeys(stroke.target for stroke in strokes if stroke.target))
    if labels:
        marks = [_square(x, y, mark * 1.4) for x, y, *_ in [*starts, *targets]]
        marks += [_square(*stroke.end, dot) for stroke in strokes]
        paths = [stroke.pose[:, :2] for stroke in strokes]
        names = place_labels(world, look.label * unit, paths, marks)
        parts += _names(*names, look.label * unit, tiles=tiles)
    parts += [start_mark(x, y, theta, mark) for x, y, theta in starts]
    for stroke in strokes:
        share, ring = (0.7, 1.2) if stroke.dashed else (1.0, 1.8)
        parts.append(end_mark(*stroke.end, dot * share, stroke.end_colour, ring * unit))
    parts += [target_mark(x, y, mark * 1.05, unit) for x, y in targets]
    return "".join(parts)


def _square(x: float, y: float, reach: float) -> tuple[float, float, float, float]:
    return (x - reach, y - reach, x + reach, y + reach)


def _starts(world: World, strokes: Sequence[Stroke]) -> list[tuple[float, float, float]]:
    """Each place where a stroke begins, once, with a heading; the world's own if there is none."""
    if not strokes:
        return [(world.robot.x, world.robot.y, world.robot.theta)]
    starts: dict[tuple[float, float], float] = {}
    for stroke in strokes:
        x, y, *theta = stroke.pose[0].tolist()
        starts.setdefault((round(x, 1), round(y, 1)), theta[0] if theta else heading(stroke.pose))
    return [(x, y, theta) for (x, y), theta in starts.items()]


def _names(
    objects: Sequence[Label], floors: Sequence[Label], font: float, *, tiles: bool
) -> Iterable[str]:
    """Names of objects on a soft halo, names of tiles in italics."""
    if tiles and floors:
        yield f'<g font-size="{num(font * 0.84)}" font-style="italic" text-anchor="middle">'
        for label in floors:
            yield f'<text x="{num(label.x, 1)}" y="{num(label.y, 1)}" fill="{label.colour}">'
            yield f"{escape(label.text)}</text>"
        yield "</g>"
    yield (
        f'<g font-size="{num(font)}" text-anchor="middle" fill="{INK}" stroke="#fff" '
        f'stroke-opacity=".8" stroke-width="{num(font * 0.26)}" stroke-linejoin="round" '
        'paint-order="stroke">'
    )
    for label in objects:
        yield f'<text x="{num(label.x, 1)}" y="{num(label.y, 1)}">{escape(label.text)}</text>'
    yield "</g>"


def _cells(share: np.ndarray, colours: Sequence[str], size: float) -> str:
    """Coloured cells in world units: share [rows, columns] along the colours; none where NaN."""
    shades = len(colours)
    level = np.full(share.shape, -1)
    there = np.isfinite(share)
    level[there] = np.minimum(np.clip(share[there], 0, 1) * shades, shades - 1)
    rows, columns = share.shape
    paths = "".join(
        f'<path fill="{colours[shade]}" d="{_runs(level == shade)}"/>'
        for shade in range(shades)
        if (level == shade).any()
    )
    return (
        f'<g transform="scale({num(size / columns, 6)} {num(size / rows, 6)})" '
        f'opacity=".9" shape-rendering="crispEdges">{paths}</g>'
    )


def _runs(mask: np.ndarray) -> str:
    """Path data of unit cells, horizontal neighbours joined."""
    parts = []
    edges = np.diff(np.pad(mask, ((0, 0), (1, 1))).astype(np.int8), axis=1)
    for row, column in np.argwhere(edges == 1).tolist():
        length = int(np.flatnonzero(edges[row, column:] == -1)[0])
        parts.append(f"M{column} {row}h{length}v1h-{length}z")
    return "".join(parts)


def _entries(strokes: Sequence[Stroke]) -> list[tuple[str, str]]:
    """Legend entries (kind or colour, text): labelled routes, each label once, and markers."""
    entries: dict[str, str] = {}
    for stroke in sorted(strokes, key=lambda stroke: stroke.dashed):
        if stroke.label:
            entries.setdefault(stroke.label, ("dashed " * stroke.dashed) + stroke.colour)
    if entries and any(stroke.target for stroke in strokes):
        entries.setdefault("target", "target")
    if entries:
        entries = {"start": "start", **entries}
    return [(kind, text) for text, kind in entries.items()]
