"""What the report shows of the experiments beside the main evaluation: tables and charts of the
files that stage 09 writes for them. A file that is missing or empty leaves its part out.
"""

from collections.abc import Sequence
from dataclasses import replace
from itertools import cycle, groupby
from pathlib import Path
from typing import Any

from archive_tools.evaluation import METRICS, judge_label, shown_metrics
from archive_tools.files import read_json
from archive_tools.report.charts import Curve, Dot, dot_chart, line_chart
from archive_tools.report.figures import metric_chart
from archive_tools.report.formatting import fixed
from archive_tools.report.tables import of_set
from archive_tools.rollouts import SYSTEMS, system_of

Record = dict[str, Any]
COLOURS = ("policy", "ceiling", "control", "baseline")


def read_records(folder: Path, name: str) -> list[Record]:
    """The records of `folder/NAME.json` on the narrator's commands; none without such a file."""
    path = folder / f"{name}.json"
    return of_set([r for r in read_json(path) if isinstance(r, dict)]) if path.exists() else []


def interval_cell(record: Record, decimals: int = 2, *, signed: bool = False) -> Record:
    """A mean with its interval and n as text."""
    low, high = (fixed(record[key], decimals) for key in ("ci_low", "ci_high"))
    mean = fixed(record["mean"], decimals, signed=signed)
    return {"mean": mean, "interval": f"[{low}, {high}]", "n": record["n"]}


def _pivot(
    title: str, records: Sequence[Record], heads: Sequence[str], key: str, *, signed: bool = False
) -> Record:
    """Records as a table: one row per `heads`, one column per metric."""
    metrics = [m.name for m in shown_metrics() if any(r[key] == m.name for r in records)]
    metrics += sorted({r[key] for r in records} - set(metrics))
    rows: dict[tuple[str, ...], Record] = {}
    for record in records:
        head = tuple(_word(name, record[name]) for name in heads)
        metric = METRICS.get(record[key])
        shown = interval_cell(record, metric.decimals if metric else 2, signed=signed)
        rows.setdefault(head, {})[record[key]] = shown
    return {
        "title": title,
        "heads": list(heads),
        "columns": [METRICS[m].title if m in METRICS else m.replace("_", " ") for m in metrics],
        "rows": [{"heads": head, "cells": [cells.get(m) for m in metrics]}
                 for head, cells in rows.items()],
    }  # fmt: skip


def _word(name: str, value: Any) -> str:
    if name == "judge":
        return judge_label(str(value))
    if name in ("system", "minus", "control"):
        return system_of(value).label
    return str(value).replace("_", " ")


def _counterfactuals(records: Sequence[Record]) -> Record | None:
    if not records:
        return None
    charts = []
    metric = METRICS["follows_counterfactual"]
    for control, group in groupby(
        [r for r in records if r["metric"] == metric.name], lambda r: r["control"]
    ):
        rows = [
            Dot(
                f"{_word('', r['kind'])}, {'exchanged' if exchanged else 'as written'}",
                r["mean"], r["ci_low"], r["ci_high"],
                "policy" if exchanged else "baseline",
                r["kind"],
            )
            for r in group
            if r["drive"] != "difference"
            for exchanged in [r["drive"] == "counterfactual"]
        ]  # fmt: skip
        if rows:
            title = system_of(control).label.capitalize()
            note = "share that drives by the word put in"
            named = replace(metric, title=title, note=note)
            charts.append(metric_chart(named, rows, left=150))
    table = _pivot("Counterfactual instructions", records, ("control", "kind", "drive"), "metric")
    return {
        "key": "counterfactuals",
        "title": "One word exchanged",
        "note": "The text names another object, tile or direction than the item’s; the policy is "
        "driven with either text. One that reads follows the word that was put in.",
        "charts": charts,
        "tables": [table],
    }


def _curve(records: Sequence[Record], differences: Sequence[Record]) -> Record | None:
    records = [r for r in records if r.get("x") is not None]
    if not records:
        return None
    charts = []
    shown = [system.name for system in SYSTEMS.values() if "curve" in system.shown_in]
    for metric in (m for m in shown_metrics() if m.headline):
        curves = []
        for system, colour in zip(shown, cycle(COLOURS)):
            points = sorted(
                (r for r in records if (r["system"], r["metric"]) == (system, metric.name)),
                key=lambda r: r["x"],
            )
            if points:
                x, y, low, high = (
                    [r[key] for r in points] for key in ("x", "mean", "ci_low", "ci_high")
                )
                name = system_of(system).label
                curves.append(Curve(name, x, y, colour, dots=True, low=low, high=high))
        if curves:
            charts.append(
                line_chart(metric.title, metric.note, curves, x_label="training trajectories")
            )
    tables = [_pivot("By the share of the training data", records, ("name", "system"), "metric")]
    tables += _apart(differences, "On less data: policy minus the others")
    return {
        "key": "curve",
        "title": "With fewer elites",
        "note": "The policy trained, and the lookups made, on a part of the training trajectories. "
        "Lines up and down are 95 % intervals.",
        "charts": charts,
        "tables": tables,
    }


def _siblings(
    key: str, title: str, note: str, records: Sequence[Record], differences: Sequence[Record]
) -> Record | None:
    """Runs side by side, by the `name` of each: other splits, other seeds."""
    if not records:
        return None
    charts = []
    shown = [system.name for system in SYSTEMS.values() if "runs" in system.shown_in]
    for metric in (m for m in shown_metrics() if m.headline):
        rows = [
            Dot(f"{r['name']}: {system.label}", r["mean"], r["ci_low"], r["ci_high"],
                system.kind, r["name"])
            for r in records
            if r["metric"] == metric.name and r["system"] in shown
            for system in [system_of(r["system"])]
        ]  # fmt: skip
        if rows:
            charts.append(metric_chart(metric, rows, left=150))
    names = {r["name"] for r in records}
    apart = [r for r in differences if r["name"] in names]
    return {
        "key": key,
        "title": title,
        "note": note,
        "charts": charts,
        "tables": [
            _pivot("Run by run", records, ("name", "system"), "metric"),
            *_apart(apart, "Run by run: policy minus the others"),
        ],
    }


def _apart(records: Sequence[Record], title: str) -> list[Record]:
    return [_pivot(title, records, ("name", "minus"), "metric", signed=True)] if records else []


def _probes(records: Sequence[Record], confusions: Sequence[Record]) -> Record | None:
    shifts = [r for r in records if r.get("ci_low") is not None]
    matrices = [r for r in confusions if isinstance(r.get("matrix"), list)]
    if not shifts and not confusions:
        return None
    charts = []
    if shifts:
        rows = [
            Dot(
                f"{judge_label(r['judge'])}: {_word('', r['probe'])}",
                r["shift"], r["ci_low"], r["ci_high"],
                "policy" if r["judge"] == "rules" else "control",
                r["judge"],
            )
            for r in shifts
        ]  # fmt: skip
        reach = max(0.05, *(1.1 * abs(v) for row in rows for v in (row.low, row.high)))
        charts.append(
            dot_chart("Shift of the judge’s score", "0 is right: the drive is the same", rows,
                      limits=(-reach, reach), chance=0.0, left=170)
        )  # fmt: skip
    others = [r for r in confusions if r not in matrices]
    tables = [_plain("Probes of the judges", records)] if records else []
    tables += [_plain("Places the judge says were reached", others)] if others else []
    return {
        "key": "probes",
        "title": "Can the judges be trusted?",
        "note": "The same drive in longer words, or its facts in another order, should score the "
        "same; and a judge’s scores should agree with the route taken from the driven path anew.",
        "charts": charts,
        "tables": tables,
        "matrices": [_matrix(r) for r in matrices],
    }


def _plain(title: str, records: Sequence[Record]) -> Record:
    columns = list(dict.fromkeys(key for r in records for key in r))

    def shown(column: str, value: Any) -> str:
        if value is None:
            return "–"
        return fixed(value, 3) if isinstance(value, float) else _word(column, value)

    return {
        "title": title,
        "heads": [],
        "columns": [column.replace("_", " ") for column in columns],
        "rows": [{"heads": (), "cells": [
            {"mean": shown(c, r.get(c)), "interval": "", "n": None} for c in columns
        ]} for r in records],
    }  # fmt: skip


def _matrix(record: Record) -> Record:
    """A confusion matrix: rows the route taken anew, columns the judge."""
    matrix = record["matrix"]
    names = record.get("levels") or [str(number) for number in range(len(matrix))]
    total = max(sum(map(sum, matrix)), 1)
    name = judge_label(record["judge"])
    if not record["judge"].startswith("people:"):
        name = name[0].upper() + name[1:]
    return {
        "title": f"{name} against {record.get('against', 're-annotation')}",
        "levels": [str(name) for name in names],
        "rows": [
            {"name": str(name), "cells": [{"count": n, "share": n / total} for n in row]}
            for name, row in zip(names, matrix, strict=True)
        ],
        "agreement": record.get("agreement"),
        "kappa": record.get("weighted_kappa"),
        "n": record.get("n"),
    }


def experiments(folder: Path) -> list[Record]:
    """The parts of the report on experiments: key, title, note, charts (SVG), tables, matrices.

    Args:
        folder: evaluation/, with some of counterfactuals.json, splits.json, seeds.json,
            variants.json, curve.json, experiments.json, probes.json and confusion.json.
    """
    differences = read_records(folder, "experiments")
    by_size = [r for r in differences if r.get("x") is not None]
    by_run = [r for r in differences if r.get("x") is None]
    parts = [
        _counterfactuals(read_records(folder, "counterfactuals")),
        _siblings(
            "splits",
            "Beyond the archive",
            "In the split “regions” whole blocks of places are withheld from training, in “routes” "
            "one of the ways to some places: a lookup cannot know them.",
            read_records(folder, "splits"),
            by_run,
        ),
        _siblings(
            "seeds",
            "Trained again",
            "The same training from other seeds: what of the figures is luck.",
            read_records(folder, "seeds"),
            by_run,
        ),
        _siblings(
            "variants",
            "Other ways to train",
            "The plain layout of nanodt.train, and the one that was published before, trained for "
            "as long on the same archive.",
            read_records(folder, "variants"),
            by_run,
        ),
        _curve(read_records(folder, "curve"), by_size),
        _probes(read_records(folder, "probes"), read_records(folder, "confusion")),
    ]
    return [{"matrices": [], **part} for part in parts if part]
