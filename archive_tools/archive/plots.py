"""Pictures of an archive: coverage over evaluations, its cells over the scene, replay errors."""

import io
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from archive_tools.archive.cells import Cells
from archive_tools.archive.elites import Archive
from archive_tools.files.tables import atomic_write
from envs.drawing import draw_cells, svg_to_png
from envs.world import World

BLUE, ORANGE, INK = "#0b5fa5", "#c2410c", "#4a4642"


def _figure(width: float = 6.4, height: float = 3.8) -> tuple[Figure, Any]:
    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="y", color="#e5e2dd", linewidth=0.8)
    axes.set_axisbelow(True)
    return figure, axes


def _save(figure: Figure, path: Path) -> None:
    """Write path.svg and path.png, the same bytes each time."""
    for suffix, metadata in ((".svg", {"Date": None}), (".png", {"Software": None})):
        buffer = io.BytesIO()
        with matplotlib.rc_context({"svg.hashsalt": "wayword", "svg.fonttype": "none"}):
            figure.savefig(buffer, format=suffix[1:], dpi=150, metadata=metadata)
        atomic_write(path.with_suffix(suffix), buffer.getvalue())


def plot_history(history: pd.DataFrame, cells: str, path: Path) -> None:
    """Coverage and number of elites over evaluations, to path.svg and path.png."""
    figure, axes = _figure()
    axes.plot(history["evaluations"], 100 * history["coverage"], color=BLUE, linewidth=2)
    axes.set(xlabel="evaluations", ylabel=f"coverage (% of {cells})", ylim=(0, 100))
    axes.set_xlim(0, history["evaluations"].max())
    axes.xaxis.set_major_locator(MaxNLocator(5))
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
    axes.yaxis.label.set_color(BLUE)
    other = axes.twinx()
    other.plot(history["evaluations"], history["elites"], color=ORANGE, linewidth=1.5, ls="--")
    other.set_ylabel("elites (dashed)", color=ORANGE)
    other.set_ylim(0, None)
    other.yaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
    other.spines[["top"]].set_visible(False)
    _save(figure, path)


def plot_archive(archive: Archive, cells: Cells, world: World | None, path: Path) -> None:
    """The objective of each elite at its BD, to path.svg and path.png; nothing unless n_bd = 2.

    Over the scene where the BD is a position in a world, else over plain axes.
    """
    if len(cells.measures.names) != 2:
        return
    low, high = cells.measures.low, cells.measures.high
    if world is not None and cells.measures.are_positions(world.size):
        best = np.full(cells.count, -np.inf)
        np.maximum.at(best, cells.index(archive.measures), archive.objective)
        best[~np.isfinite(best)] = np.nan
        if cells.centroids is None:
            values = best.reshape(cells.shape).T
        else:  # each pixel of the floor in the colour of the Voronoi cell that it is in
            column, row = np.meshgrid(np.arange(world.width), np.arange(world.width))
            place = np.stack([column, row], axis=-1).reshape(-1, 2) / world.scale
            values = best[cells.index(place)].reshape(column.shape)
            values = np.where(world.reachable(), values, np.nan)
        svg = draw_cells(world, values, label="objective", title=f"{len(archive):,} elites")
        atomic_write(path.with_suffix(".svg"), svg)
        svg_to_png(svg, path.with_suffix(".png"))
        return
    figure, axes = _figure(5.6, 4.6)
    dots = axes.scatter(*archive.measures.T, c=archive.objective, s=9, cmap="viridis")
    axes.set(xlabel=cells.measures.names[0], ylabel=cells.measures.names[1])
    axes.set(xlim=(low[0], high[0]), ylim=(low[1], high[1]))
    figure.colorbar(dots, ax=axes, label="objective")
    _save(figure, path)


def plot_errors(error: NDArray[np.floating], ok: NDArray[np.bool_], unit: str, path: Path) -> None:
    """Histogram of replay errors on log axes, exact replays in a bar of their own at the left.

    Args:
        error: [N], distances in BD units; NaN where there was nothing to replay.
        ok: bool [N].
        unit: of the distance, for the axis.
        path: picture, without suffix; .svg and .png are written.
    """
    figure, axes = _figure()
    decades = (-6, max(1, int(np.ceil(np.log10(max(np.nanmax(error, initial=0), 1e-6))))))
    edges = np.logspace(*decades, 5 * (decades[1] - decades[0]) + 1)
    exact = edges[0] / 8
    for group, colour, name in ((ok, BLUE, "ok"), (~ok, ORANGE, "offenders")):
        values = error[group & np.isfinite(error)].astype(np.float64)
        count, _ = np.histogram(np.clip(values, edges[0], edges[-1]), edges)
        zero = int((values <= edges[0]).sum())
        count[0] -= zero
        style = {"color": colour, "alpha": 0.85, "linewidth": 0}
        label = f"{name}: {int(group.sum()):,}"
        axes.bar(edges[:-1], count, np.diff(edges), align="edge", label=label, **style)
        axes.bar(exact / 1.5, zero, exact * 1.5 - exact / 1.5, align="edge", **style)
    axes.set_xscale("log")
    axes.set_yscale("symlog", linthresh=1)
    axes.set_ylim(0, None)
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
    ticks = [10.0**d for d in range(decades[0], decades[1] + 1)]
    axes.set_xticks([exact, *ticks], ["exact", *(f"{tick:g}" for tick in ticks)])
    axes.minorticks_off()
    axes.set(xlabel=f"distance from the archive's BD ({unit})", ylabel="policies")
    axes.legend(frameon=False)
    _save(figure, path)
