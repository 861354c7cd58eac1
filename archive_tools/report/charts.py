"""The report's charts: dots with intervals, lines with their names, bars.

Marks differ in shape as well as in colour. All sizes are in CSS pixels.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import LogLocator, MaxNLocator, NullLocator
from numpy.typing import ArrayLike, NDArray

from archive_tools.report.canvas import LIGHT, Canvas
from archive_tools.report.formatting import fixed

STEPS = (1, 2, 2.5, 5, 10)  # between ticks, times a power of ten
MARKS: dict[str, dict[str, Any]] = {
    "policy": {"marker": "o", "markersize": 10.4},
    "control": {"marker": "o", "markersize": 8.2, "markerfacecolor": LIGHT["paper"],
                "markeredgewidth": 2},
    "baseline": {"marker": "s", "markersize": 7.6},
    "ceiling": {"marker": "D", "markersize": 7.6},
}  # fmt: skip


@dataclass(frozen=True)
class Dot:
    """One row of `dot_chart`: a value with its interval; `kind` gives shape and colour."""

    label: str
    mean: float
    low: float
    high: float
    kind: str
    """policy, control, baseline or ceiling."""
    group: str = ""
    """Rows of different groups are set apart; without groups, rows of different kinds."""


def dot_chart(
    title: str,
    note: str,
    rows: Sequence[Dot],
    *,
    limits: tuple[float, float],
    chance: float | None = None,
    decimals: int = 2,
    width: float = 340,
    left: float = 118,
) -> str:
    """Dots with their intervals, one row each, a gap between groups; the interval of the policy,
    where there is one, is shaded behind all rows, so that what lies outside it is seen at once.

    Args:
        title, note: above the panel; the note says the unit and which way is better.
        limits: of the axis.
        chance: where guessing lies, a dashed line.
        decimals: of the values at the right.
        left: room for the labels.
    """
    right, top, step, gap = 44.0, 44.0, 21.0, 9.0
    names = [row.group or row.kind for row in rows]
    gaps = np.cumsum([0, *(gap * (a != b) for a, b in pairwise(names))])
    places = (top + 12 + step * np.arange(len(rows)) + gaps).tolist()
    bottom = places[-1] + 15
    canvas = Canvas(title, note, width, bottom + 20)
    axes = canvas.axes(left, top, width - right, bottom)
    axes.set(xlim=limits, ylim=(bottom, top), yticks=[])
    ticks = max(3, min(4, int((width - left - right) / 34) - 1))
    axes.xaxis.set_major_locator(MaxNLocator(ticks, steps=STEPS))
    axes.grid(axis="x", color=LIGHT["faint"], linewidth=1)
    policies = [row for row in rows if row.kind == "policy"]
    if len(policies) == 1:
        axes.axvspan(policies[0].low, policies[0].high, color=LIGHT["policy"], alpha=0.13, lw=0)
    if chance is not None:
        axes.axvline(chance, color=LIGHT["muted"], linewidth=1, linestyle=(0, (3, 3)))
    for row, y in zip(rows, places, strict=True):
        colour, policy = LIGHT[row.kind], row.kind == "policy"
        mean, *ends = np.clip([row.mean, row.low, row.high], *limits).tolist()
        axes.plot(ends, [y, y], color=colour, linewidth=2.2 if policy else 1.6, clip_on=False,
                  solid_capstyle="butt")  # fmt: skip
        axes.plot([mean], [y], color=colour, clip_on=False, zorder=3, **MARKS[row.kind])
        canvas.text(0, y + 4, row.label, bold=policy)
        canvas.text(width, y + 4, fixed(row.mean, decimals), anchor="right", bold=policy)
    return canvas.to_svg()


@dataclass(frozen=True)
class Curve:
    """A line of `line_chart`: x and y of equal length; NaN values are left out.

    With `low` and `high`, of the same length, each point has its interval.
    """

    label: str
    x: ArrayLike
    y: ArrayLike
    colour: str = "policy"
    dots: bool = False
    low: ArrayLike | None = None
    high: ArrayLike | None = None


def line_chart(
    title: str,
    note: str,
    curves: Sequence[Curve],
    *,
    x_label: str,
    log: bool = False,
    width: float = 340,
    height: float = 230,
) -> str:
    """Lines with their names at their ends, in place of a legend."""
    canvas = Canvas(title, note, width, height)
    lines: list[tuple[Curve, NDArray[np.float64], NDArray[np.float64]]] = []
    for curve in curves:
        x, y = np.asarray(curve.x, np.float64), np.asarray(curve.y, np.float64)
        good = np.isfinite(x) & np.isfinite(y) & ((y > 0) | (not log))
        if good.any():
            lines.append((curve, *_thin(x[good], y[good])))
    if not lines:
        canvas.text(0, 66, "no record", colour="muted")
        return canvas.to_svg()
    right = width - 14 - 6.6 * max(len(curve.label) for curve, _, _ in lines)
    axes = canvas.axes(44, 46, right, height - 34)
    axes.margins(x=0, y=0.06)
    axes.grid(axis="y", color=LIGHT["faint"], linewidth=1)
    for curve, x, y in lines:
        colour = LIGHT[curve.colour]
        marks = {"marker": "o", "markersize": 5.2} if curve.dots or len(x) == 1 else {}
        axes.plot(x, y, color=colour, linewidth=1.8, clip_on=False, **marks)
        if curve.low is not None and curve.high is not None:
            axes.vlines(curve.x, curve.low, curve.high, color=colour, linewidth=1.4, clip_on=False)
    _scale(axes, log)
    canvas.text((44 + right) / 2, height - 3, x_label, anchor="center", colour="muted", size=11)
    ends = _spread([canvas.down(axes, x[-1], y[-1]) for _, x, y in lines], 14)
    for (curve, _, _), y in zip(lines, ends, strict=True):
        canvas.text(right + 6, y + 4, curve.label, colour=curve.colour)
    return canvas.to_svg()


def _scale(axes: Axes, log: bool) -> None:
    """Round ticks; x from 0 where the data begin near it, y logarithmic if asked."""
    low, high = axes.get_xlim()
    axes.set_xlim(min(low, 0.0) if low < 0.1 * high else low, high if high > low else low + 1)
    axes.xaxis.set_major_locator(MaxNLocator(3, steps=STEPS))
    if high - low > 4:
        axes.xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
    axes.yaxis.set_major_locator(MaxNLocator(4, steps=STEPS))
    if log:
        formatter, (low, high) = axes.yaxis.get_major_formatter(), axes.get_ylim()
        axes.set_yscale("log")
        low, high = axes.get_ylim()
        if high / low > 5:
            locator = LogLocator(subs=(1, 2, 5) if high / low < 100 else (1,))
        else:
            locator = MaxNLocator(4, steps=STEPS)
        axes.yaxis.set(major_locator=locator, minor_locator=NullLocator())
        axes.yaxis.set_major_formatter(formatter)


def _spread(wanted: Sequence[float], gap: float) -> list[float]:
    """Positions near the wanted ones, at least `gap` apart, in the same order."""
    order = sorted(range(len(wanted)), key=lambda i: wanted[i])
    placed = list(wanted)
    for before, after in pairwise(order):
        placed[after] = max(placed[after], placed[before] + gap)
    excess = max((placed[i] - wanted[i] for i in order), default=0.0) / 2
    return [y - excess for y in placed]


def _thin(
    x: NDArray[np.float64], y: NDArray[np.float64], most: int = 300
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """At most `most` points: means of neighbouring ones."""
    if len(x) <= most:
        return x, y
    parts = [np.array_split(values, most) for values in (x, y)]
    means = [np.array([part.mean() for part in group]) for group in parts]
    return means[0], means[1]


@dataclass(frozen=True)
class Bar:
    """One row of `bar_chart`; `shown` is the value as text."""

    label: str
    value: float
    shown: str


def bar_chart(title: str, note: str, rows: Sequence[Bar], *, width: float = 340) -> str:
    """Horizontal bars from zero."""
    left, right, top, step = 118.0, width - 84.0, 44.0, 21.0
    bottom = top + step * len(rows)
    high = max((row.value for row in rows), default=0.0) or 1.0
    canvas = Canvas(title, note, width, bottom + 4)
    axes = canvas.axes(left, top, right, bottom)
    axes.set(xlim=(0, high), ylim=(bottom, top), xticks=[], yticks=[])
    places = [top + number * step + 8.5 for number in range(len(rows))]
    lengths = [max(row.value, high / (right - left)) for row in rows]
    axes.barh(places, lengths, 13, color=LIGHT["policy"], alpha=0.75)
    for row, y, length in zip(rows, places, lengths, strict=True):
        canvas.text(0, y + 3.5, row.label)
        end = left + length / high * (right - left)
        canvas.text(end + 6, y + 4, row.shown, colour="muted", size=11.5)
    return canvas.to_svg()
