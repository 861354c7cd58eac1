"""What the report shows of the experiments beside the main evaluation: tables and charts of the
files that stage 09 writes for them. A file that is missing or empty leaves its part out.
"""

from collections.abc import Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

from archive_tools.report.charts import Curve, Dot, dot_chart, fixed, line_chart
from archive_tools.report.figures import DECIMALS, PANELS, judge, kind, label
from archive_tools.run.tables import read_json

Record = dict[str, Any]
CURVES = ("nanodt", "nearest_elite_both", "nearest_elite_text", "nearest_elite_bd")
COLOURS = ("policy", "baseline", "control", "ceiling")
COMPARED = ("nanodt", "nanodt/text_off", "nearest_elite_bd", "nearest_elite_both")
HEADLINES = ("bd_error_median", "bd_success", "route_lcs", "contrast")


def read_records(folder: Path, name: str) -> list[Record]:
    """The records of `folder/NAME.json`; none where there is no such file."""
    path = folder / f"{name}.json"
    return [r for r in read_json(path) if isinstance(r, dict)] if path.exists() else []


def told(record: Record, decimals: int = 2, *, signed: bool = False) -> Record:
    """A mean with its interval and n as text."""
    low, high = (fixed(record[key], decimals) for key in ("ci_low", "ci_high"))
    mean = fixed(record["mean"], decimals, signed=signed)
    return {"mean": mean, "interval": f"[{low}, {high}]", "n": record["n"]}


def _pivot(
    title: str, records: Sequence[Record], heads: Sequence[str], key: str, *, signed: bool = False
) -> Record:
    """Records as a table: one row per `heads`, one column per metric."""
    metrics = [m for m in PANELS if any(r[key] == m for r in records)]
    metrics += sorted({r[key] for r in records} - set(metrics))
    rows: dict[tuple[str, ...], Record] = {}
    for record in records:
        head = tuple(_word(name, record[name]) for name in heads)
        shown = told(record, DECIMALS.get(record[key], 2), signed=signed)
        rows.setdefault(head, {})[record[key]] = shown
    return {
        "title": title,
        "heads": list(heads),
        "columns": [PANELS[m][0] if m in PANELS else m.replace("_", " ") for m in metrics],
        "rows": [{"heads": head, "cells": [cells.get(m) for m in metrics]}
                 for head, cells in rows.items()],
    }  # fmt: skip


def _word(name: str, value: Any) -> str:
    if name == "judge":
        return judge(str(value))
    return label(value) if name in ("system", "minus", "control") else str(value).replace("_", " ")


def _limits(metric: str, rows: Sequence[Dot]) -> tuple[float, float]:
    fitting = PANELS[metric][2] if metric in PANELS else None
    low, high = min(row.low for row in rows), max(row.high for row in rows)
    if fitting and fitting[0] <= low and high <= fitting[1]:
        return (0.0, fitting[1]) if low >= 0 else fitting
    return (min(0.0, 1.1 * low), max(1.05 * high, 1e-9))


def _swaps(records: Sequence[Record]) -> Record | None:
    if not records:
        return None
    charts = []
    for control, group in groupby(
        [r for r in records if r["metric"] == "follows_swap"], lambda r: r["control"]
    ):
        rows = [
            Dot(
                f"{_word('', r['kind'])}, {'swapped' if r['drive'] == 'swapped' else 'as written'}",
                r["mean"], r["ci_low"], r["ci_high"],
                "policy" if r["drive"] == "swapped" else "baseline",
                r["kind"],
            )
            for r in group
            if r["drive"] in ("swapped", "unswapped")
        ]  # fmt: skip
        if rows:
            note = "share that drives by the word put in"
            limits = _limits("follows_swap", rows)
            charts.append(dot_chart(label(control).capitalize(), note, rows, limits=limits))
    table = _pivot("Words swapped", records, ("control", "kind", "drive"), "metric")
    return {
        "key": "swaps",
        "title": "One word swapped",
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
    for metric in (m for m in PANELS if m in HEADLINES):
        curves = []
        for system, colour in zip(CURVES, COLOURS, strict=True):
            found = sorted(
                (r for r in records if (r["system"], r["metric"]) == (system, metric)),
                key=lambda r: r["x"],
            )
            if found:
                x, y, low, high = (
                    [r[key] for r in found] for key in ("x", "mean", "ci_low", "ci_high")
                )
                curves.append(Curve(label(system), x, y, colour, dots=True, low=low, high=high))
        if curves:
            title, note, _, _ = PANELS[metric]
            charts.append(line_chart(title, note, curves, x_label="training trajectories"))
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
    for metric in (m for m in PANELS if m in HEADLINES):
        rows = [
            Dot(f"{r['name']}: {label(r['system'])}", r["mean"], r["ci_low"], r["ci_high"],
                kind(r["system"]), r["name"])
            for r in records
            if r["metric"] == metric and r["system"] in COMPARED
        ]  # fmt: skip
        if rows:
            head, unit, _, chance = PANELS[metric]
            charts.append(
                dot_chart(head, unit, rows, limits=_limits(metric, rows), chance=chance,
                          decimals=DECIMALS.get(metric, 2), left=150)
            )  # fmt: skip
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
                f"{judge(r['judge'])}: {_word('', r['probe'])}",
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
        "note": "The same drive told longer, or its facts in another order, should score the same; "
        "and a judge’s scores should agree with the route taken from the driven path anew.",
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
    name = judge(record["judge"])
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
        folder: evaluation/, with some of swaps.json, splits.json, seeds.json,
            settings.json, curve.json, experiments.json, probes.json and confusion.json.
    """
    differences = read_records(folder, "experiments")
    by_size = [r for r in differences if r.get("x") is not None]
    by_run = [r for r in differences if r.get("x") is None]
    parts = [
        _swaps(read_records(folder, "swaps")),
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
            "settings",
            "Other ways to train",
            "The plain layout of nanodt.train, and the one that was published before, trained for "
            "as long on the same archive.",
            read_records(folder, "settings"),
            by_run,
        ),
        _curve(read_records(folder, "curve"), by_size),
        _probes(read_records(folder, "probes"), read_records(folder, "confusion")),
    ]
    return [{"matrices": [], **part} for part in parts if part]
