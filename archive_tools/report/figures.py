"""The figures of the report: metrics against baselines, curves, and maps over the floor plan."""

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from archive_tools.evaluation.registry import Metric, shown_metrics
from archive_tools.report.charts import Bar, Curve, Dot, bar_chart, dot_chart, line_chart, svg, text
from archive_tools.rollouts.systems import system_of
from archive_tools.run.tables import read_table
from archive_tools.run.training_log import read_log
from envs import World
from envs.drawing.floorplan import drawn_walls, to_rect, wall_path

ERROR_STEPS = (5.0, 10.0, 20.0, 40.0)  # % of the diagonal, between the five colours of the map


def metric_panels(records: Sequence[dict[str, Any]]) -> list[str]:
    """One dot chart per metric that has records, systems in the order of the records."""
    panels = []
    for metric in shown_metrics():
        rows = [
            Dot(system.label, r["mean"], r["ci_low"], r["ci_high"], system.kind)
            for r in records
            if r["metric"] == metric.name
            for system in [system_of(r["system"])]
        ]
        if rows:
            panels.append(metric_chart(metric, rows))
    return panels


def metric_chart(metric: Metric, rows: Sequence[Dot], *, left: float = 118) -> str:
    """Rows of one metric, on its axis as far as the data fit in it."""
    low, high = min(row.low for row in rows), max(row.high for row in rows)
    limits = metric.limits
    if limits is None:
        limits = (min(0.0, 1.1 * low), max(5.0, 1.05 * high))
    elif low < limits[0] or high > limits[1]:
        limits = (min(0.0, 1.1 * low), max(1.05 * high, 1e-9))
    elif low >= 0:
        limits = (0.0, limits[1])
    return dot_chart(metric.title, metric.note, rows, limits=limits, chance=metric.chance,
                     decimals=metric.decimals, left=left)  # fmt: skip


def training_panels(log: Path) -> list[str]:
    """Losses, and closed-loop scores where the log has them, over the training steps."""
    series: dict[str, tuple[list[float], list[float]]] = {}
    for record in read_log(log):
        for name, value in record.items():
            if isinstance(value, (int, float)) and not isinstance(value, bool) and name != "step":
                steps, values = series.setdefault(name, ([], []))
                steps.append(record["step"])
                values.append(value)
    losses = {n: s for n, s in series.items() if "loss" in n}
    driven = {n: s for n, s in series.items() if n in ("bd_error_median", "bd_error_mean")}
    panels = []
    for title, note, found, log_scale in (
        ("Loss", "logarithmic scale", losses, True),
        ("Closed loop while training", "BD error, % of the diagonal", driven, False),
    ):
        if found:
            curves = [
                Curve(_series_name(name), *pair, colour=colour, dots=len(pair[0]) <= 24)
                for (name, pair), colour in zip(
                    sorted(found.items()),
                    ("policy", "control", "ceiling", "baseline"),
                    strict=False,
                )
            ]
            panels.append(line_chart(title, note, curves, x_label="training step", log=log_scale))
    return panels


def _series_name(name: str) -> str:
    last = name.replace(".", "/").split("/")[-1]
    return {"val": "validation", "loss": "training", "train": "training", "val_loss": "validation",
            "loss_val": "validation", "train_loss": "training",
            "validation_loss": "validation", "bd_error_median": "median",
            "bd_error_mean": "mean"}.get(last, last.replace("_", " "))  # fmt: skip


def history_panel(path: Path) -> list[str]:
    """Share of the archive's cells that are filled, over the evaluations of the search."""
    if not path.exists():
        return []
    history = read_table(path, ("evaluations", "coverage"))
    curve = Curve("", np.asarray(history["evaluations"]), 100 * np.asarray(history["coverage"]))
    return [line_chart("Coverage", "% of the archive’s cells", [curve], x_label="evaluations")]


def time_panel(manifests: dict[str, dict[str, Any]]) -> str:
    """Wall time per stage."""
    rows = [
        Bar(name, m["wall_time_s"], duration(m["wall_time_s"])) for name, m in manifests.items()
    ]
    total = sum(row.value for row in rows)
    return bar_chart("Time per stage", f"{duration(total)} in all", rows)


def duration(seconds: float) -> str:
    """Seconds for people."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    return f"{seconds // 60:.0f} min {seconds % 60:02.0f} s"


def _plan(world: World) -> list[str]:
    """Walls and furniture as quiet outlines, in world units."""
    scale = world.size / world.width
    parts = []
    for item in world.scene.objects if world.scene else ():
        x0, y0, x1, y1 = to_rect(item.box, world.size)
        parts.append(
            f'<rect x="{x0:.1f}" y="{y0:.1f}" width="{x1 - x0:.1f}" height="{y1 - y0:.1f}" '
            f'style="fill:none;stroke:var(--muted);stroke-width:1;opacity:.55"/>'
        )
    parts.append(
        f'<path transform="scale({scale:.6g})" d="{wall_path(drawn_walls(world))}" '
        'fill-rule="evenodd" style="fill:var(--muted);opacity:.55"/>'
    )
    return parts


def _map(
    title: str,
    note: str,
    size: float,
    inside: Sequence[str],
    key: Sequence[tuple[str, str]],
    width: float = 340,
) -> str:
    """A square map in world units under a title, with a key of (colour, text) below."""
    top, side = 44.0, width
    body = [text(0, 14, title, weight=650, size=13.5), text(0, 31, note, colour="muted", size=11.5)]
    body.append(
        f'<svg x="0" y="{top}" width="{side:g}" height="{side:g}" '
        f'viewBox="0 0 {size:g} {size:g}">{"".join(inside)}</svg>'
    )
    x, y = 0.0, top + side + 18
    for colour, name in key:
        wide = 20 + 6.8 * len(name)
        if x + wide > width + 8:
            x, y = 0.0, y + 18
        body.append(
            f'<rect x="{x:.1f}" y="{y - 9:.1f}" width="10" height="10" rx="2" '
            f'style="fill:var(--{colour})"/>'
        )
        body.append(text(x + 15, y, name, colour="muted", size=11.5))
        x += wide + 8
    return svg(width, y + 8, body, f"{title}: {note}")


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
    index = np.clip(((points - low) / (high - low) * count).astype(int), 0, count - 1)
    withheld = np.array([name == "test" for name in split])
    tested = {tuple(cell) for cell in index[withheld].tolist()}
    known = {tuple(cell) for cell in index[~withheld].tolist()}
    side = world.size / count
    inside = []
    for colour, filled in (("policy", known), ("control", tested - known)):
        path = "".join(f"M{x * side[0]:.4g} {y * side[1]:.4g}h{side[0]:.4g}v{side[1]:.4g}"
                       f"h-{side[0]:.4g}z" for x, y in sorted(filled))  # fmt: skip
        inside.append(f'<path d="{path}" style="fill:var(--{colour});opacity:.75"/>')
    plan = _plan(world) if over_plan else []
    total = int(np.prod(count))
    note = f"{len(known | tested):,} of {total:,} cells hold an elite"
    key = [("policy", "elites to learn from"), ("control", "only test elites")]
    return _map("Where the elites end", note, world.size, [*inside, *plan], key)


def error_map(
    target: NDArray[np.floating], reached: NDArray[np.floating], error: ArrayLike, world: World
) -> str:
    """The targets [N, 2] of the drives (world units), coloured by BD error, each with a thin line
    to where its drive ended; the worst are drawn last."""
    error = np.asarray(error, np.float64)
    step = np.searchsorted(ERROR_STEPS, error)
    inside = _plan(world)
    radius = world.size / 85
    order = np.argsort(error, kind="stable")
    for i in order:
        (x0, y0), (x1, y1) = target[i], reached[i]
        inside.append(
            f'<path d="M{x0:.0f} {y0:.0f}L{x1:.0f} {y1:.0f}" style="stroke:var(--seq{step[i]});'
            f'stroke-width:{world.size / 500:g};opacity:.28"/>'
        )
    inside += [
        f'<circle cx="{target[i][0]:.0f}" cy="{target[i][1]:.0f}" r="{radius:.1f}" '
        f'style="fill:var(--seq{step[i]});stroke:var(--ink);stroke-width:.7"/>'
        for i in order
    ]
    steps = [f"{a:g}–{b:g}" for a, b in pairwise(ERROR_STEPS)]
    names = [f"≤ {ERROR_STEPS[0]:g}", *steps, f"> {ERROR_STEPS[-1]:g} %"]
    key = [(f"seq{number}", name) for number, name in enumerate(names)]
    note = "targets by BD error; lines lead to where the drive ended"
    return _map("Where it goes wrong", note, world.size, inside, key)
