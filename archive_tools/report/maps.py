"""Maps over the floor plan: where elites end, and where the policy misses its targets."""

import re
from collections.abc import Iterable, Sequence
from itertools import groupby, pairwise

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.patches import Patch, PathPatch, Rectangle
from matplotlib.path import Path
from numpy.typing import ArrayLike, NDArray

from archive_tools.report.canvas import LIGHT, Canvas
from archive_tools.tasks.measures import cell_places
from envs import World
from envs.drawing.floorplan import drawn_walls, to_rect, wall_path

ERROR_STEPS = (5.0, 10.0, 20.0, 40.0)  # % of the diagonal, between the five colours of the map
WIDTH = 340.0


def _map(title: str, note: str, size: float, key: Sequence[tuple[str, str]]) -> tuple[Canvas, Axes]:
    """A square map in world units under a title, with a key of (colour, text) below."""
    canvas = Canvas(title, note, WIDTH, 44 + WIDTH + 26)
    axes = canvas.axes(0, 44, WIDTH, 44 + WIDTH)
    axes.set(xlim=(0, size), ylim=(size, 0), xticks=[], yticks=[])
    handles = [Patch(color=LIGHT[colour], label=name) for colour, name in key]
    canvas.figure.legend(
        handles=handles, loc="lower left", bbox_to_anchor=(0, 0), ncols=len(key), frameon=False,
        fontsize=11.5, labelcolor=LIGHT["muted"], handlelength=0.9, handleheight=0.9,
        handletextpad=0.5, columnspacing=1.1, borderaxespad=0, borderpad=0.2,
    )  # fmt: skip
    return canvas, axes


def _draw_plan(axes: Axes, world: World) -> None:
    """Walls and furniture as quiet outlines."""
    for item in world.scene.objects if world.scene else ():
        x0, y0, x1, y1 = to_rect(item.box, world.size)
        outline = Rectangle((x0, y0), x1 - x0, y1 - y0, fill=False)
        axes.add_patch(outline).set(edgecolor=LIGHT["muted"], linewidth=0.6, alpha=0.55)
    walls = _outline(wall_path(drawn_walls(world)), world.size / world.width)
    axes.add_patch(PathPatch(walls, facecolor=LIGHT["muted"], linewidth=0, alpha=0.55))


def _outline(data: str, scale: float) -> Path:
    """SVG path data of closed outlines (M, h, v, z) as a path of matplotlib."""
    parts = []
    for outline in data.split("M")[1:]:
        start, *steps = re.findall(r"^[^hvz]+|[hv][^hvz]+", outline)
        points = [np.array(start.replace(",", " ").split(), np.float64)]
        for step in steps:
            points.append(points[-1] + float(step[1:]) * np.array([step[0] == "h", step[0] == "v"]))
        parts.append(Path(scale * np.array([*points, points[0]]), closed=True))
    return Path.make_compound_path(*parts)


def _runs(cells: Iterable[tuple[int, int]], side: NDArray[np.float64]) -> Path:
    """Cells (column, row) as one path: a rectangle per run of neighbours in a row."""
    unit, parts = Path.unit_rectangle(), []
    corners = np.asarray(unit.vertices)
    by_row = sorted((row, column) for column, row in cells)
    for row, columns in groupby(by_row, key=lambda cell: cell[0]):
        numbered = enumerate(column for _, column in columns)
        for _, run in groupby(numbered, key=lambda pair: pair[1] - pair[0]):
            run = [column for _, column in run]
            corner = np.array([run[0], row]) * side
            extent = np.array([len(run), 1]) * side
            parts.append(Path(corners * extent + corner, unit.codes))
    return Path.make_compound_path(*parts)


def coverage_map(
    elites: ArrayLike,
    split: Sequence[str],
    low: ArrayLike,
    high: ArrayLike,
    cells: Sequence[int],
    world: World,
    over_plan: bool,
) -> str:
    """Which cells of a two-dimensional archive are filled, and which of them are for testing only.

    Args:
        elites: [N, 2] measures.
        split: per elite "train", "validation", "test" or "".
        low, high: [2] bounds of the measures.
        cells: of the archive, per dimension.
        over_plan: the measures are positions in the world, so its walls are drawn too.
    """
    points = np.asarray(elites, np.float64)
    low, high = np.asarray(low, np.float64), np.asarray(high, np.float64)
    count = np.asarray(cells)
    index = cell_places((points - low) / (high - low), cells)
    withheld = np.array([name == "test" for name in split])
    tested = {tuple(cell) for cell in index[withheld].tolist()}
    known = {tuple(cell) for cell in index[~withheld].tolist()}
    total = int(np.prod(count))
    note = f"{len(known | tested):,} of {total:,} cells hold an elite"
    key = [("policy", "elites to learn from"), ("control", "only test elites")]
    canvas, axes = _map("Where the elites end", note, world.size, key)
    for colour, filled in (("policy", known), ("control", tested - known)):
        if filled:
            path = _runs(filled, world.size / count)
            axes.add_patch(PathPatch(path, facecolor=LIGHT[colour], linewidth=0, alpha=0.75))
    if over_plan:
        _draw_plan(axes, world)
    return canvas.to_svg()


def error_map(
    target: NDArray[np.floating], reached: NDArray[np.floating], error: ArrayLike, world: World
) -> str:
    """The targets [N, 2] of the drives (world units), coloured by BD error, each with a thin line
    to where its drive ended; the worst are drawn last."""
    error = np.asarray(error, np.float64)
    order = np.argsort(error, kind="stable")
    target, reached = target[order], reached[order]
    colours = [LIGHT[f"seq{step}"] for step in np.searchsorted(ERROR_STEPS, error[order])]
    steps = [f"{a:g}–{b:g}" for a, b in pairwise(ERROR_STEPS)]
    names = [f"≤ {ERROR_STEPS[0]:g}", *steps, f"> {ERROR_STEPS[-1]:g} %"]
    key = [(f"seq{number}", name) for number, name in enumerate(names)]
    note = "targets by BD error; lines lead to where the drive ended"
    canvas, axes = _map("Where it goes wrong", note, world.size, key)
    _draw_plan(axes, world)
    lines = np.stack([target, reached], axis=1).round().tolist()
    axes.add_collection(LineCollection(lines, colors=colours, linewidths=0.7, alpha=0.28))
    axes.scatter(*target.round().T, s=64, c=colours, edgecolors=LIGHT["ink"], linewidths=0.4,
                 zorder=3)  # fmt: skip
    return canvas.to_svg()
