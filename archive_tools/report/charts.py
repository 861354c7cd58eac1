"""The report's charts, as small self-contained SVGs.

Colours are CSS variables (`var(--ink)`), so a page can show a chart light or dark; `resolve` puts
fixed colours in for a PNG. Marks differ in shape as well as in colour, and the colours are of Okabe
and Ito's palette, which colour-blind people can tell apart. All sizes are in CSS pixels.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from html import escape
from itertools import pairwise

import numpy as np
from numpy.typing import ArrayLike, NDArray

FONT = "-apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, 'DejaVu Sans', sans-serif"
LIGHT = {
    "paper": "#ffffff", "panel": "#f6f4ef", "ink": "#1c1b19", "muted": "#6b675f",
    "faint": "#e3dfd6", "policy": "#0072b2", "control": "#c65102", "baseline": "#6b675f",
    "ceiling": "#00795c",
    "seq0": "#fde9a9", "seq1": "#f5b557", "seq2": "#d9743f", "seq3": "#a13d4f", "seq4": "#50205a",
}  # fmt: skip
DARK = {
    "paper": "#161514", "panel": "#1f1e1c", "ink": "#ece8df", "muted": "#a19c91",
    "faint": "#35332f", "policy": "#56b4e9", "control": "#f0944d", "baseline": "#a8a399",
    "ceiling": "#35c79f",
    "seq0": "#5b4a78", "seq1": "#9a4f80", "seq2": "#d9685f", "seq3": "#f5a04f", "seq4": "#fde48f",
}  # fmt: skip


def resolve(picture: str, palette: dict[str, str] = LIGHT) -> str:
    """The SVG with the colours of `palette` in place of the variables, on the paper's colour."""
    for name, colour in palette.items():
        picture = picture.replace(f"var(--{name})", colour)
    head, _, body = picture.partition(">")
    return f'{head}><rect width="100%" height="100%" fill="{palette["paper"]}"/>{body}'


def svg(width: float, height: float, body: Sequence[str], label: str) -> str:
    """A picture of the given size from parts of markup; `label` is for screen readers."""
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:g} {height:g}" '
        f'width="{width:g}" height="{height:g}" role="img" aria-label="{escape(label)}" '
        f'style="font-family:{escape(FONT)};font-size:12px">' + "".join(body) + "</svg>"
    )


def text(
    x: float,
    y: float,
    words: str,
    *,
    anchor: str = "start",
    colour: str = "ink",
    size: float = 12,
    weight: int = 400,
) -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" '
        f'style="fill:var(--{colour});font-size:{size:g}px;font-weight:{weight}">'
        f"{escape(words)}</text>"
    )


def _line(
    x0: float, y0: float, x1: float, y1: float, colour: str, width: float = 1, dash: str = ""
) -> str:
    dashes = f";stroke-dasharray:{dash}" if dash else ""
    return (
        f'<line x1="{x0:.1f}" y1="{y0:.1f}" x2="{x1:.1f}" y2="{y1:.1f}" '
        f'style="stroke:var(--{colour});stroke-width:{width:g}{dashes}"/>'
    )


def ticks(low: float, high: float, most: int = 5) -> list[float]:
    """Round numbers from `low` to `high`, at most about `most` of them."""
    span = high - low
    if not (math.isfinite(span) and span > 0):
        return [low]
    raw = span / max(most - 1, 1)
    unit = 10.0 ** math.floor(math.log10(raw))
    step = next(unit * k for k in (1, 2, 2.5, 5, 10) if unit * k >= raw * 0.999)
    first = math.ceil(low / step - 1e-9)
    last = math.floor(high / step + 1e-9)
    return [round(k * step, 12) for k in range(first, last + 1)]


def _tick(value: float) -> str:
    return f"{value:g}".replace("-", "−")


def figure(value: float | None, digits: int = 3) -> str:
    """A number for people: three significant digits, a true minus, a dash for none."""
    if value is None or not math.isfinite(value):
        return "–"
    if value == 0:
        return "0"
    decimals = max(0, digits - 1 - math.floor(math.log10(abs(value))))
    return f"{value:.{min(decimals, digits)}f}".replace("-", "−")


def fixed(value: float, decimals: int, *, signed: bool = False) -> str:
    """A number with a set count of decimals, for columns: a true minus, no sign on a zero."""
    shown = f"{value:{'+' if signed else ''}.{decimals}f}"
    if float(shown) == 0:
        shown = shown.lstrip("+-")
    return shown.replace("-", "−")


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


def _mark(kind: str, x: float, y: float) -> str:
    fill = f'style="fill:var(--{kind})"'
    hollow = f'style="fill:var(--paper);stroke:var(--{kind});stroke-width:2"'
    if kind == "policy":
        return f'<circle cx="{x:.1f}" cy="{y:.1f}" r="5.2" {fill}/>'
    if kind == "control":
        return f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4.1" {hollow}/>'
    if kind == "ceiling":
        return f'<path d="M{x:.1f} {y - 5.5:.1f}l5.5 5.5-5.5 5.5-5.5-5.5z" {fill}/>'
    return f'<rect x="{x - 3.8:.1f}" y="{y - 3.8:.1f}" width="7.6" height="7.6" {fill}/>'


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
    places, y = [], top + 12
    for number, row in enumerate(rows):
        if number and (row.group or row.kind) != (rows[number - 1].group or rows[number - 1].kind):
            y += gap
        places.append(y)
        y += step
    bottom = y - step + 15
    low, high = limits
    scale = (width - left - right) / (high - low)

    def at(value: float) -> float:
        return left + (min(max(value, low), high) - low) * scale

    body = [
        text(0, 14, title, weight=650, size=13.5),
        text(0, 31, note, colour="muted", size=11.5),
    ]
    body += [
        f'<rect x="{at(row.low):.1f}" y="{top:.1f}" height="{bottom - top:.1f}" '
        f'width="{max(at(row.high) - at(row.low), 1):.1f}" style="fill:var(--policy);opacity:.13"/>'
        for row in rows
        if row.kind == "policy" and sum(other.kind == "policy" for other in rows) == 1
    ]
    for tick in ticks(low, high, max(4, min(5, int((width - left - right) / 34)))):
        body.append(_line(at(tick), top, at(tick), bottom, "faint"))
        body.append(
            text(at(tick), bottom + 15, _tick(tick), anchor="middle", colour="muted", size=11)
        )
    if chance is not None:
        body.append(_line(at(chance), top, at(chance), bottom, "muted", dash="3 3"))
    for row, y in zip(rows, places, strict=True):
        policy = row.kind == "policy"
        body.append(text(0, y + 4, row.label, weight=650 if policy else 400))
        body.append(_line(at(row.low), y, at(row.high), y, row.kind, 2.2 if policy else 1.6))
        body.append(_mark(row.kind, at(row.mean), y))
        body.append(
            text(
                width, y + 4, fixed(row.mean, decimals), anchor="end", weight=650 if policy else 400
            )
        )
    return svg(width, bottom + 20, body, f"{title}: {note}")


@dataclass(frozen=True)
class Curve:
    """A line of `line_chart`: x and y of equal length; NaN values are left out.

    With `low` and `high`, of the same length, each point has its interval.
    """

    label: str
    x: ArrayLike
    y: ArrayLike
    colour: str = "policy"
    dash: str = ""
    dots: bool = field(default=False)
    low: ArrayLike | None = None
    high: ArrayLike | None = None


def _spread(wanted: Sequence[float], gap: float) -> list[float]:
    """Positions near the wanted ones, at least `gap` apart, in the same order."""
    order = sorted(range(len(wanted)), key=lambda i: wanted[i])
    placed = list(wanted)
    for before, after in pairwise(order):
        placed[after] = max(placed[after], placed[before] + gap)
    excess = max((placed[i] - wanted[i] for i in order), default=0.0) / 2
    return [y - excess for y in placed]


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
    kept: list[tuple[Curve, NDArray[np.float64], NDArray[np.float64]]] = []
    for curve in curves:
        x, y = np.asarray(curve.x, np.float64), np.asarray(curve.y, np.float64)
        good = np.isfinite(x) & np.isfinite(y) & ((y > 0) | (not log))
        if good.any():
            kept.append((curve, x[good], y[good]))
    longest = max((len(curve.label) for curve, _, _ in kept), default=0)
    left, right, top, bottom = 44.0, 14.0 + 6.6 * longest, 46.0, height - 34
    body = [
        text(0, 14, title, weight=650, size=13.5),
        text(0, 31, note, colour="muted", size=11.5),
    ]
    if not kept:
        body.append(text(0, top + 20, "no record", colour="muted"))
        return svg(width, height, body, title)
    xs, ys = (np.concatenate(part) for part in zip(*((x, y) for _, x, y in kept), strict=True))
    ends = [np.asarray(e, np.float64) for c, _, _ in kept for e in (c.low, c.high) if e is not None]
    ys = np.concatenate([ys, *ends])
    ys = ys[np.isfinite(ys) & ((ys > 0) | (not log))]
    values = np.log10(ys) if log else ys
    low, high = float(values.min()), float(values.max())
    pad = (high - low) * 0.06 or 0.5
    low, high = low - pad, high + pad
    x_high = float(xs.max()) or 1.0
    x_low = min(float(xs.min()), 0.0 if xs.min() < 0.1 * x_high else float(xs.min()))
    span = (x_high - x_low) or 1.0

    def at_x(value: float) -> float:
        return left + (value - x_low) / span * (width - left - right)

    def at_y(value: float) -> float:
        value = math.log10(value) if log else value
        return bottom - (value - low) / (high - low) * (bottom - top)

    marks = _log_ticks(low, high) if log else ticks(low, high)
    for tick in marks:
        body.append(_line(left, at_y(tick), width - right, at_y(tick), "faint"))
        body.append(
            text(left - 6, at_y(tick) + 4, _tick(tick), anchor="end", colour="muted", size=11)
        )
    for tick in ticks(x_low, x_high, 4):
        name = f"{tick:,.0f}" if span > 4 else f"{tick:g}"
        body.append(text(at_x(tick), bottom + 16, name, anchor="middle", colour="muted", size=11))
    middle = (left + width - right) / 2
    body.append(text(middle, height - 3, x_label, anchor="middle", colour="muted", size=11))
    names = _spread([at_y(y[-1]) for _, _, y in kept], 14)
    for (curve, x, y), end in zip(kept, names, strict=True):
        if curve.low is not None and curve.high is not None:
            spans = np.broadcast_arrays(curve.x, curve.low, curve.high)
            body += [
                _line(at_x(a), at_y(least), at_x(a), at_y(most), curve.colour, 1.4)
                for a, least, most in zip(*(part.tolist() for part in spans), strict=True)
                if math.isfinite(least) and math.isfinite(most)
            ]
        x, y = _thin(x, y)
        path = " ".join(f"{at_x(a):.1f},{at_y(b):.1f}" for a, b in zip(x, y, strict=True))
        body.append(
            f'<polyline points="{path}" style="fill:none;stroke:var(--{curve.colour});'
            f'stroke-width:1.8;stroke-linejoin:round;stroke-dasharray:{curve.dash or "none"}"/>'
        )
        if curve.dots or len(x) == 1:
            body += [
                f'<circle cx="{at_x(a):.1f}" cy="{at_y(b):.1f}" r="2.6" '
                f'style="fill:var(--{curve.colour})"/>'
                for a, b in zip(x, y, strict=True)
            ]
        body.append(text(width - right + 6, end + 4, curve.label, colour=curve.colour))
    return svg(width, height, body, f"{title}: {note}")


def _log_ticks(low: float, high: float) -> list[float]:
    """Round values between 10^low and 10^high: 1, 2, 5 of each decade, or decades only."""
    decades = range(math.floor(low), math.ceil(high) + 1)
    steps = (1, 2, 5) if high - low < 2 else (1,)
    found = [k * 10.0**d for d in decades for k in steps]
    found = [value for value in found if low <= math.log10(value) <= high]
    return found if len(found) > 1 else ticks(10**low, 10**high, 4)


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
    left, right, top, step = 118.0, 84.0, 44.0, 21.0
    high = max((row.value for row in rows), default=0.0) or 1.0
    body = [text(0, 14, title, weight=650, size=13.5), text(0, 31, note, colour="muted", size=11.5)]
    for number, row in enumerate(rows):
        y = top + number * step
        length = max(row.value / high * (width - left - right), 1.0)
        body.append(text(0, y + 12, row.label))
        body.append(
            f'<rect x="{left}" y="{y + 2:.1f}" width="{length:.1f}" height="13" rx="1.5" '
            'style="fill:var(--policy);opacity:.75"/>'
        )
        body.append(text(left + length + 6, y + 12.5, row.shown, colour="muted", size=11.5))
    return svg(width, top + step * len(rows) + 4, body, f"{title}: {note}")
