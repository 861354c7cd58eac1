"""The report of a run: one HTML page that needs nothing else, and the same in Markdown.

Every figure on the page comes from files of the run; what a run does not have is left out.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from archive_tools import charts, figures
from archive_tools.gallery import contrast_cards, galleries, overview, showcase
from archive_tools.scoring import METRICS, Scored
from archive_tools.stage import SCRIPTS, read_manifest
from archive_tools.tables import atomic_write, read_json, read_table
from envs import World, load_world
from envs.drawing import scene_symbols
from envs.errors import InputError
from envs.svg import svg_to_png

LIMIT = 10_000_000  # bytes of index.html
SHARES = ("bd_success", "contrast")  # metrics that read well in per cent
Record = dict[str, Any]


class Figures:
    """Records by (system, metric), and how they read in a sentence."""

    def __init__(self, records: Sequence[Record], paired: Sequence[Record]) -> None:
        self.records = {(r["system"], r["metric"]): r for r in records}
        self.paired = {(r["minus"], r["metric"]): r for r in paired}

    def get(self, system: str, metric: str) -> Record | None:
        return self.records.get((system, metric))

    def minus(self, system: str, metric: str) -> Record | None:
        return self.paired.get((system, metric))


def span(record: Record, *, percent: bool = False, signed: bool = False) -> tuple[str, str]:
    """A figure and its interval as text: ("0.61", "[0.57, 0.65]"); a share in per cent if asked."""
    factor, decimals = 1.0, figures.DECIMALS.get(record["metric"], 2)
    if percent and record["metric"] in SHARES:
        factor, decimals = 100.0, 0
    mean, low, high = (factor * record[key] for key in ("mean", "ci_low", "ci_high"))
    shown = charts.fixed(mean, decimals, signed=signed)
    return shown, f"[{charts.fixed(low, decimals)}, {charts.fixed(high, decimals)}]"


def lede(found: Figures) -> list[str]:
    """What the figures say, in sentences that the intervals bear out."""
    error, success = found.get("nanodt", "bd_error_median"), found.get("nanodt", "bd_success")
    if error is None or success is None:
        return ["The policy was not driven in this run: there are only baselines to see."]

    def told(record: Record, unit: str = "", **how: bool) -> str:
        mean, interval = span(record, **how)
        return f"{mean}{unit} {interval}"

    sentences = [
        f"On {error['n']} commands of the test split the policy ends a median "
        f"{told(error, ' %')} of the world’s diagonal from the place it was told, and within 5 % "
        f"in {told(success, ' %', percent=True)} of the drives."
    ]
    if text_off := found.minus("nanodt/text_off", "route_lcs"):
        gain = f"{told(text_off, signed=True)} in route score over the same policy without it"
        if text_off["ci_low"] > 0:
            sentences.append(f"It reads the text: {gain}.")
        elif text_off["ci_high"] < 0:
            sentences.append(f"The text misleads it: {gain}.")
        else:
            sentences.append(f"There is no sign that it reads the text: {gain}.")
    if contrast := found.get("nanodt", "contrast"):
        verdict = "." if contrast["ci_low"] > 0.5 else ", no better than guessing."
        share = told(contrast, " %", percent=True)
        sentences.append(
            f"Told of two ways to one place, it takes the one it was told in {share} "
            f"of the cases{verdict}"
        )
    if rival := found.minus("nearest_elite_both", "route_lcs"):
        verdict = (
            "It beats a lookup in the archive" if rival["ci_low"] > 0
            else "A lookup in the archive still beats it" if rival["ci_high"] < 0
            else "It is level with a lookup in the archive"
        )  # fmt: skip
        sentences.append(
            f"{verdict}: {told(rival, signed=True)} in route score against the elite that is "
            "nearest by text and place."
        )
    return sentences


def tiles(found: Figures) -> list[Record]:
    """The headline figures: value, interval, and where random, lookup and ceiling lie."""
    chosen = (
        ("bd_error_median", "median distance to the target"),
        ("bd_success", "targets reached within 5 %"),
        ("route_lcs", "route obeyed"),
        ("contrast", "contrast pairs told apart"),
    )
    result = []
    for metric, name in chosen:
        record = found.get("nanodt", metric)
        if record is None:
            continue
        mean, interval = span(record, percent=True)
        beside = [
            (figures.label(system), span(other, percent=True)[0])
            for system in ("random_elite", "nearest_elite_both", "replay")
            if (other := found.get(system, metric))
        ]
        unit = "%" if metric in SHARES or metric == "bd_error_median" else ""
        result.append({"name": name, "mean": mean, "unit": unit, "interval": interval,
                       "n": record["n"], "beside": beside})  # fmt: skip
    return result


def metric_table(found: Figures) -> Record:
    """Every system by every metric: mean, interval and n as text."""
    names = [m for m in METRICS if any(key[1] == m for key in found.records)]
    systems = list(dict.fromkeys(system for system, _ in found.records))
    rows = []
    for system in systems:
        cells = []
        for name in names:
            record = found.get(system, name)
            mean, interval = span(record) if record else ("–", "")
            cells.append({"mean": mean, "interval": interval, "n": record["n"] if record else 0})
        rows.append({"label": figures.label(system), "system": system,
                     "kind": figures.kind(system), "cells": cells})  # fmt: skip
    return {"names": [figures.PANELS[name][0] for name in names], "keys": names, "rows": rows}


def difference_table(found: Figures) -> Record:
    """The policy minus every other system, item by item, with a verdict where 0 is excluded."""
    names = [m for m in METRICS if any(key[1] == m for key in found.paired)]
    rows = []
    for system in dict.fromkeys(system for system, _ in found.paired):
        cells = []
        for name in names:
            record = found.minus(system, name)
            if record is None:
                cells.append({"mean": "–", "interval": "", "verdict": ""})
                continue
            mean, interval = span(record, signed=True)
            better = (record["mean"] < 0) == (name == "bd_error_median")
            sure = record["ci_low"] * record["ci_high"] > 0
            verdict = ("better" if better else "worse") if sure else ""
            cells.append({"mean": mean, "interval": interval, "verdict": verdict})
        rows.append({"label": figures.label(system), "cells": cells})
    return {"names": [figures.PANELS[name][0] for name in names], "rows": rows}


def _plain_table(value: Any) -> Record | None:
    """A JSON value as a table, when it is (or holds) a list of records."""
    if isinstance(value, dict):
        lists = [v for v in value.values() if isinstance(v, list) and v and isinstance(v[0], dict)]
        value = lists[0] if lists else None
    if not isinstance(value, list) or not value or not isinstance(value[0], dict):
        return None
    columns = list(dict.fromkeys(key for row in value for key in row))
    rows = [[_cell(row.get(column)) for column in columns] for row in value]
    return {"columns": [column.replace("_", " ") for column in columns], "rows": rows}


def _cell(value: Any) -> Record:
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if value is None:
        shown = "–"
    elif isinstance(value, bool):
        shown = "yes" if value else "no"
    elif isinstance(value, int):
        shown = f"{value:,}"
    else:
        shown = charts.figure(value) if number else str(value)
    return {"text": shown, "number": number}


def _scalars(facts: Record) -> list[tuple[str, str]]:
    """The plain values of a manifest's facts, with their names."""
    return [
        (name.replace("_", " "), _cell(value)["text"])
        for name, value in facts.items()
        if isinstance(value, (int, float, str))
    ]


def dataset_facts(info: Record) -> Record:
    """Counts and checks of dataset.json."""
    counts = info.get("trajectories", {})
    facts = [(f"{name} trajectories", f"{n:,}") for name, n in counts.items()]
    for key, name in (
        ("texts", "accepted texts"),
        ("distinct_texts", "distinct texts"),
        ("test_texts_seen_in_training", "test texts also seen in training"),
        ("near_duplicate_groups", "groups of near-duplicates"),
        ("largest_group", "trajectories in the largest group"),
        ("without_accepted_text", "trajectories without an accepted text"),
    ):
        if key in info:
            facts.append((name, f"{info[key]:,}"))
    return {"facts": facts, "rules": info.get("verification", []),
            "recipe": info.get("split", {}).get("recipe", "random")}  # fmt: skip


def _coverage(run: Path, world: World) -> str | None:
    archive = read_json(run / "archive" / "archive.json")
    measures, cells = archive.get("measures", {}), archive.get("cells")
    if len(measures.get("names", ())) != 2 or not cells or len(cells) != 2:
        return None
    elites = read_table(run / "archive" / "elites.parquet", ("policy_id", "measures"))
    dataset = read_table(run / "dataset" / "trajectories.parquet", ("trajectory_id", "split"))
    side = dict(zip(dataset["trajectory_id"], dataset["split"], strict=True))
    whole = (list(measures["low"]), list(measures["high"])) == ([0, 0], [world.size, world.size])
    return figures.coverage_map(
        np.stack(elites["measures"].tolist()),
        [side.get(i, "") for i in elites["policy_id"]],
        measures["low"],
        measures["high"],
        cells,
        world,
        measures["names"] == ["x", "y"] and whole,
    )


def _error_map(scored: Scored, world: World) -> str | None:
    frame = scored.frame
    rows = frame[(frame["system"] == "nanodt") & (frame["set"] == "test")]
    if rows.empty or all(pose is None for pose in scored.poses):
        return None
    target, reached = (np.stack(rows[name].tolist()) for name in ("target", "reached"))
    if target.shape[1] != 2:
        return None
    return figures.error_map(target, reached, np.asarray(rows["bd_error"]), world)


def collect(
    run: Path, scored: Scored, records: Sequence[Record], paired: Sequence[Record], gallery: int
) -> Record:
    """Everything the templates show."""
    found = Figures(records, paired)
    world = load_world(run / "archive" / "world")
    manifests = {
        name: read_manifest(run / name)
        for name in SCRIPTS
        if name != "evaluation" and (run / name / "manifest.json").exists()
    }
    tokenizer = run / "tokenizer" / "comparison.json"
    has_poses = any(pose is not None for pose in scored.poses)
    maps = [m for m in (_error_map(scored, world), _coverage(run, world)) if m]
    return {
        "name": run.resolve().name,
        "world": world.name,
        "lede": lede(found),
        "overview": overview(scored, world) if has_poses else None,
        "tiles": tiles(found),
        "panels": figures.metric_panels(records),
        "table": metric_table(found),
        "differences": difference_table(found),
        "showcase": showcase(scored, world) if has_poses else None,
        "galleries": galleries(scored, world, gallery) if has_poses else [],
        "contrasts": contrast_cards(scored, world, max(2, gallery // 2)) if has_poses else [],
        "maps": maps,
        "curves": [
            *figures.training_panels(run / "model" / "log.jsonl"),
            *figures.history_panel(run / "archive" / "history.parquet"),
            figures.time_panel(manifests),
        ],
        "tokenizer": _plain_table(read_json(tokenizer)) if tokenizer.exists() else None,
        "dataset": dataset_facts(read_json(run / "dataset" / "dataset.json")),
        "replayed": _scalars(manifests["verification"]["facts"])
        if "verification" in manifests
        else [],
        "manifests": manifests,
        "versions": manifests["rollouts"]["versions"],
        "symbols": Markup(scene_symbols(world)) if has_poses else "",
    }


def write_report(
    folder: Path,
    run: Path,
    scored: Scored,
    records: Sequence[Record],
    paired: Sequence[Record],
    agreement: Sequence[Record] = (),
    *,
    gallery: int = 6,
) -> None:
    """Write index.html, report.md and figures/*.png.

    Args:
        folder: where to.
        run: the run directory.
        scored: the drives.
        records, paired: of `metrics.json` and `differences.json`.
        agreement: of `agreement.json`.
        gallery: drives per gallery.

    Raises:
        InputError: the page would be larger than 10 MB.
    """
    facts = {**collect(run, scored, records, paired, gallery), "agreement": agreement}
    environment = Environment(
        loader=PackageLoader("archive_tools"),
        autoescape=lambda name: name is not None and ".html" in name,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["figure"] = charts.figure
    environment.filters["fixed"] = charts.fixed
    environment.filters["duration"] = figures.duration
    environment.filters["svg"] = Markup
    environment.filters["cell"] = lambda value: str(value).replace("|", r"\|").replace("<", "&lt;")
    page = environment.get_template("report.html.jinja").render(
        facts, light=charts.LIGHT, dark=charts.DARK
    )
    size = len(page.encode())
    if size > LIMIT:
        raise InputError(
            f"{folder / 'index.html'}: {size / 1e6:.1f} MB, more than {LIMIT / 1e6:.0f}; "
            f"show fewer drives with --gallery (now {gallery})"
        )
    atomic_write(folder / "index.html", page)
    pictures: dict[str, str] = {"drives": facts["showcase"]} if facts["showcase"] else {}
    for group in ("panels", "maps", "curves"):
        for number, picture in enumerate(facts[group]):
            pictures[f"{group}-{number}"] = charts.resolve(picture)
    for gallery_number, shown in enumerate(facts["galleries"]):
        for number, card in enumerate(shown["cards"][:2]):
            pictures[f"drive-{gallery_number}-{number}"] = card["alone"]()
    for number, card in enumerate(facts["contrasts"][:2]):
        pictures[f"contrast-{number}"] = card["alone"]()
    for name, picture in pictures.items():
        path = folder / "figures" / f"{name}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        svg_to_png(picture, path)
    text = environment.get_template("report.md.jinja").render(facts)
    atomic_write(folder / "report.md", text)
