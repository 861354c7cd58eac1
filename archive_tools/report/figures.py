"""The charts of a run: metrics of every system, curves of training and search, time."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from archive_tools.evaluation.registry import Metric, shown_metrics
from archive_tools.files.tables import read_table
from archive_tools.report import formatting
from archive_tools.report.charts import Bar, Curve, Dot, bar_chart, dot_chart, line_chart
from archive_tools.rollouts.systems import system_of
from archive_tools.run.training_log import read_log


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
    for title, note, shown, log_scale in (
        ("Loss", "logarithmic scale", losses, True),
        ("Closed loop while training", "BD error, % of the diagonal", driven, False),
    ):
        if shown:
            curves = [
                Curve(_series_name(name), *pair, colour=colour, dots=len(pair[0]) <= 24)
                for (name, pair), colour in zip(
                    sorted(shown.items()),
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
    seconds = {name: manifest["wall_time_s"] for name, manifest in manifests.items()}
    rows = [Bar(name, time, formatting.duration(time)) for name, time in seconds.items()]
    total = sum(seconds.values())
    return bar_chart("Time per stage", f"{formatting.duration(total)} in all", rows)
