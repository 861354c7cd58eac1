"""The words and tables of the report, from the records of an evaluation and the run's manifests."""

import hashlib
from collections.abc import Mapping, Sequence
from importlib.resources import files
from typing import Any

from archive_tools.evaluation import METRICS, judge_label, shown_metrics
from archive_tools.report import formatting
from archive_tools.rollouts import SYSTEMS, command_files, system_of

Record = dict[str, Any]


def of_set(records: Sequence[Record], name: str = command_files.NARRATORS) -> list[Record]:
    """The records of one set of commands: the narrator's, the people's, or that of a file."""
    return [r for r in records if r.get("set", command_files.NARRATORS) == name]


def set_title(name: str) -> str:
    """A set of commands, for people."""
    known = {
        command_files.NARRATORS: "Commands of the narrator",
        command_files.PEOPLE: "Commands of people",
    }
    return known.get(name, f"Commands of {name}")


class Figures:
    """Records of one set of commands by (system, metric), and how they read in a sentence."""

    def __init__(
        self,
        records: Sequence[Record],
        paired: Sequence[Record],
        name: str = command_files.NARRATORS,
    ) -> None:
        self.name = name
        self.records = {(r["system"], r["metric"]): r for r in of_set(records, name)}
        self.paired = {(r["minus"], r["metric"]): r for r in of_set(paired, name)}

    def get(self, system: str, metric: str) -> Record | None:
        return self.records.get((system, metric))

    def minus(self, system: str, metric: str) -> Record | None:
        return self.paired.get((system, metric))


def span(record: Record, *, percent: bool = False, signed: bool = False) -> tuple[str, str]:
    """A figure and its interval as text: ("0.61", "[0.57, 0.65]"); a share in per cent if asked."""
    metric = METRICS[record["metric"]]
    factor, decimals = (100.0, 0) if percent and metric.percent else (1.0, metric.decimals)
    mean, low, high = (factor * record[key] for key in ("mean", "ci_low", "ci_high"))
    shown = formatting.fixed(mean, decimals, signed=signed)
    return shown, f"[{formatting.fixed(low, decimals)}, {formatting.fixed(high, decimals)}]"


def said(record: Record, unit: str = "", **how: bool) -> str:
    """A figure with its interval in a sentence."""
    mean, interval = span(record, **how)
    return f"{mean}{unit} {interval}"


def obedience(figures: Figures) -> list[str]:
    """How a set of commands is obeyed, in a sentence; none where it was not driven."""
    route, full = figures.get("nanodt", "route_lcs"), figures.get("nanodt", "obeyed")
    whom = {command_files.PEOPLE: "people in their own words"}.get(figures.name, "the narrator")
    parts = []
    if route is not None:
        part = f"keeps to the route that they describe by {said(route)}"
        if off := figures.get("nanodt/text_off", "route_lcs"):
            part += f", without the text by {said(off)}"
        parts.append(part)
    if full is not None:
        share = said(full, " %", percent=True)
        parts.append(f"obeys {share} of {full['n']} commands in full")
    return [f"Told by {whom}, the policy {', and '.join(parts)}."] if parts else []


def lede(figures: Figures, people: Figures | None = None) -> list[str]:
    """What the figures say, in sentences that the intervals bear out; people's commands first."""
    error, success = figures.get("nanodt", "bd_error_median"), figures.get("nanodt", "bd_success")
    if error is None or success is None:
        return ["The policy was not driven in this run: there are only baselines to see."]

    sentences = [
        *(obedience(people) if people is not None else obedience(figures)),
        f"On {error['n']} of the narrator’s commands from the test split the policy ends a median "
        f"{said(error, ' %')} of the world’s diagonal from the place it was told, and within 5 % "
        f"in {said(success, ' %', percent=True)} of the drives.",
    ]
    if text_off := figures.minus("nanodt/text_off", "route_lcs"):
        gain = f"{said(text_off, signed=True)} in route score over the same policy without it"
        if text_off["ci_low"] > 0:
            sentences.append(f"It reads the text: {gain}.")
        elif text_off["ci_high"] < 0:
            sentences.append(f"The text misleads it: {gain}.")
        else:
            sentences.append(f"There is no sign that it reads the text: {gain}.")
    if contrast := figures.get("nanodt", "contrast"):
        verdict = "." if contrast["ci_low"] > 0.5 else ", no better than guessing."
        share = said(contrast, " %", percent=True)
        sentences.append(
            f"Told of two ways to one place, it takes the one it was told in {share} "
            f"of the cases{verdict}"
        )
    if rival := figures.minus("nearest_elite_both", "route_lcs"):
        verdict = (
            "It beats a lookup in the archive" if rival["ci_low"] > 0
            else "A lookup in the archive still beats it" if rival["ci_high"] < 0
            else "It is level with a lookup in the archive"
        )  # fmt: skip
        sentences.append(
            f"{verdict}: {said(rival, signed=True)} in route score against the elite that is "
            "nearest by text and place."
        )
    return sentences


def tiles(figures: Figures) -> list[Record]:
    """The headline figures: value, interval, and where random, lookup and ceiling lie."""
    shown = [system.name for system in SYSTEMS.values() if "tiles" in system.shown_in]
    result = []
    for metric in shown_metrics():
        record = figures.get("nanodt", metric.name)
        if record is None or not metric.headline:
            continue
        mean, interval = span(record, percent=True)
        beside = [
            (system_of(system).label, span(other, percent=True)[0])
            for system in shown
            if (other := figures.get(system, metric.name))
        ]
        result.append({
            "name": metric.title + (", median" if metric.statistic == "median" else ""),
            "note": metric.note, "mean": mean, "unit": "%" if metric.percent else metric.unit,
            "interval": interval, "n": record["n"], "beside": beside,
        })  # fmt: skip
    return result


def metric_table(figures: Figures) -> Record:
    """Every system by every metric: mean, interval and n as text."""
    metrics = [m for m in shown_metrics() if any(key[1] == m.name for key in figures.records)]
    rows = []
    for system in map(system_of, dict.fromkeys(system for system, _ in figures.records)):
        cells = []
        for metric in metrics:
            record = figures.get(system.name, metric.name)
            mean, interval = span(record) if record else ("–", "")
            cells.append({"mean": mean, "interval": interval, "n": record["n"] if record else 0})
        rows.append({"label": system.label, "system": system.name, "kind": system.kind,
                     "cells": cells})  # fmt: skip
    return {"names": [m.title for m in metrics], "keys_shown": [m.name for m in metrics],
            "rows": rows}  # fmt: skip


def difference_table(figures: Figures) -> Record:
    """The policy minus every other system, item by item, with a verdict where 0 is excluded."""
    metrics = [m for m in shown_metrics() if any(key[1] == m.name for key in figures.paired)]
    rows = []
    for system in dict.fromkeys(system for system, _ in figures.paired):
        cells = []
        for metric in metrics:
            record = figures.minus(system, metric.name)
            if record is None:
                cells.append({"mean": "–", "interval": "", "verdict": ""})
                continue
            mean, interval = span(record, signed=True)
            better = (record["mean"] < 0) == metric.lower
            sure = record["ci_low"] * record["ci_high"] > 0
            verdict = ("better" if better else "worse") if sure else ""
            cells.append({"mean": mean, "interval": interval, "verdict": verdict})
        rows.append({"label": system_of(system).label, "cells": cells})
    return {"names": [metric.title for metric in metrics], "rows": rows}


def plain_table(value: Any) -> Record | None:
    """A JSON value as a table, when it is (or holds) a list of records."""
    if isinstance(value, dict):
        lists = [v for v in value.values() if isinstance(v, list) and v and isinstance(v[0], dict)]
        value = lists[0] if lists else None
    if not isinstance(value, list) or not value or not isinstance(value[0], dict):
        return None
    columns = list(dict.fromkeys(key for row in value for key in row))
    rows = [[as_cell(row.get(column)) for column in columns] for row in value]
    for column in zip(*rows, strict=True):
        numbers = any(cell["number"] for cell in column)
        for cell in column:
            cell["number"] = numbers
    return {"columns": [column.replace("_", " ") for column in columns], "rows": rows}


def as_cell(value: Any) -> Record:
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if value is None:
        shown = "–"
    elif isinstance(value, bool):
        shown = "yes" if value else "no"
    elif isinstance(value, int):
        shown = f"{value:,}"
    else:
        shown = formatting.figure(value) if number else str(value)
    return {"text": shown, "number": number}


def scalars(facts: Record) -> list[tuple[str, str]]:
    """The plain values of a manifest's facts, with their names."""
    return [
        (name.replace("_", " "), as_cell(value)["text"])
        for name, value in facts.items()
        if isinstance(value, (int, float, str))
    ]


def replayed(verification: Record | None) -> list[tuple[str, str]]:
    """What the replay of the archive found, of its manifest."""
    return [] if verification is None else [
        *scalars(verification["rows"]), *scalars(verification["facts"]),
    ]  # fmt: skip


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


def prompt_digests() -> list[tuple[str, str]]:
    """The installed prompt templates, each with the sha256 of its text."""
    folder = files("prompts")
    return [
        (path.name, hashlib.sha256(path.read_bytes()).hexdigest())
        for path in sorted(folder.iterdir(), key=lambda path: path.name)
        if path.name.endswith(".jinja")
    ]


def models(manifests: Mapping[str, Record]) -> list[tuple[str, str]]:
    """Who wrote the texts and judged the drives, and what the language models cost."""
    facts = []
    if "descriptions" in manifests:
        config, facts_of = (manifests["descriptions"][key] for key in ("config", "facts"))
        facts.append(("descriptions by", _model(config, "the built-in narrator, no model")))
        facts.append(("paid for descriptions", f"${facts_of.get('usd_in_ledger', 0.0):.2f}"))
    if "evaluation" in manifests:
        config, facts_of = (manifests["evaluation"][key] for key in ("config", "facts"))
        facts.append(("judged by", _model(config, "rules, no model")))
        facts.append(("paid for verdicts", f"${facts_of.get('usd_in_ledger', 0.0):.2f}"))
    if "model" in manifests:
        size = manifests["model"]["facts"].get("parameters")
        if isinstance(size, int):
            facts.append(("parameters of the policy", f"{size:,}"))
    return facts


def _model(config: Record, without: str) -> str:
    name = config.get("model")
    return f"{name} at {config.get('base_url', '?')}" if name else without


def _intervals(title: str, table: Record) -> Record:
    return {
        "title": title,
        "columns": ["system", *table["names"]],
        "rows": [
            [row["label"], *(f"{c['mean']} {c['interval']}".strip() for c in row["cells"])]
            for row in table["rows"]
        ],
        "left": 1,
    }


def paper_tables(facts: Record) -> dict[str, Record]:
    """Tables of the page as plain texts for papers: file name → title, columns, rows, left."""
    tables = {}
    for part in facts["sets"]:
        ending = "" if part["key"] == command_files.NARRATORS else f"-{part['key']}"
        for name, title in (
            ("metrics", "every system by every metric"),
            ("differences", "the policy minus each other system"),
        ):
            tables[name + ending] = _intervals(f"{part['title']}: {title}", part[name])
    for part in facts["experiments"]:
        for number, table in enumerate(part["tables"]):
            rows = [
                [*row["heads"],
                 *(f"{c['mean']} {c['interval']}".strip() if c else "–" for c in row["cells"])]
                for row in table["rows"]
            ]  # fmt: skip
            tables[f"{part['key']}-{number}"] = {
                "title": table["title"],
                "columns": [*table["heads"], *table["columns"]],
                "rows": rows,
                "left": max(1, len(table["heads"])),
            }
        for number, matrix in enumerate(part["matrices"]):
            tables[f"{part['key']}-matrix-{number}"] = {
                "title": matrix["title"],
                "columns": ["", *matrix["levels"]],
                "rows": [
                    [row["name"], *(str(c["count"]) for c in row["cells"])]
                    for row in matrix["rows"]
                ],
                "left": 1,
            }
    if facts["agreement"]:
        keys = ("kendall_tau", "spearman", "pearson", "weighted_kappa")
        tables["agreement"] = {
            "title": "Agreement of the judges",
            "columns": ["judges", "Kendall τ", "Spearman", "Pearson", "weighted κ", "n"],
            "rows": [
                [
                    f"{judge_label(r['first'])}, {judge_label(r['second'])}",
                    *(formatting.figure(r[key]) for key in keys),
                    str(r["n"]),
                ]
                for r in facts["agreement"]
            ],
            "left": 1,
        }
    if facts["tokenizer"]:
        tables["tokenizers"] = {
            "title": "Tokenizers",
            "columns": facts["tokenizer"]["columns"],
            "rows": [[cell["text"] for cell in row] for row in facts["tokenizer"]["rows"]],
            "left": 1,
        }
    return {name: table for name, table in tables.items() if table["rows"]}
