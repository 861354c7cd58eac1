"""The page of results: goals, the policy beside its rivals, its siblings, and pictures.

Everything comes from the files of an evaluated run, so that the page can be made again from them.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from archive_tools.evaluation import METRICS, Metric
from archive_tools.files import atomic_write, read_json, template
from archive_tools.report.tables import Figures, of_set, set_title, span
from archive_tools.rollouts import SYSTEMS, command_files, system_of
from archive_tools.run import check_folder, read_manifest, siblings
from envs.errors import InputError

Record = dict[str, Any]
PICTURES = {
    "drives": "The best obeyed of the test commands that name a way, and their reference elites",
    "drive-1-0": "A drive of middling obedience",
    "drive-2-0": "One of the least obeyed commands",
    "contrast-0": "Two ways to one place",
    "curves-1": "Training: distance to the target of the driven validation commands",
    "curve-0": "Fewer training trajectories: distance to the target",
    "curve-2": "Fewer training trajectories: route",
}
"""Figures of the report that the page shows, where they are there, and what they show."""


@dataclass(frozen=True)
class Goal:
    """A figure that is asked for, and what was found."""

    what: str
    asked: str
    found: str
    met: bool | None
    """None where it was not measured."""


def share(record: Record | None) -> str:
    """A figure and its interval; shares in per cent, scores finely, as one decides by them."""
    if record is None:
        return "–"
    metric = METRICS[record["metric"]]
    if not metric.percent and not metric.unit:
        return "{mean:.3f} [{ci_low:.3f}, {ci_high:.3f}]".format(**record)
    mean, interval = span(record, percent=True)
    return f"{mean} {'%' if metric.percent else metric.unit} {interval}"


def headlines(records: Sequence[Record]) -> list[Metric]:
    """The metrics that the page's tables show: the headline ones of which there is a record."""
    known = {record["metric"] for record in records}
    return [metric for metric in METRICS.values() if metric.headline and metric.name in known]


def table(records: Sequence[Record], key: str, metrics: Sequence[Metric]) -> list[list[str]]:
    """Rows of a table: a name (field `key`) and the metrics, in the order of the records."""
    known = {(r[key], r["metric"]): r for r in records}
    names = list(dict.fromkeys(r[key] for r in records))
    return [[name, *(share(known.get((name, m.name))) for m in metrics)] for name in names]


def training(run: Path) -> Record:
    """How a run's policy was trained: time, steps and size."""
    manifest = read_manifest(run / "model")
    return {
        "run": run.name,
        "minutes": siblings.training_seconds(run) / 60,
        "steps": manifest["rows"]["steps"],
        "parameters": manifest["facts"]["parameters"],
        "seed": manifest["seed"],
    }


def _copy_pictures(figures: Path, page: Path) -> list[tuple[str, str]]:
    """Copy what there is of PICTURES beside the page: address and what it shows."""
    pictures = []
    for name, what in PICTURES.items():
        source = figures / f"{name}.png"
        if source.exists():
            folder = page.parent / "images" / page.stem
            folder.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, folder / source.name)
            pictures.append((f"images/{page.stem}/{source.name}", what))
    return pictures


def _named(records: Sequence[Record], *, run: bool = False) -> list[Record]:
    """Records with the `name` of their system, after that of their run if asked."""
    labels = [system_of(record["system"]).label for record in records]
    return [
        {**record, "name": f"{record['name']}: {label}" if run else label}
        for record, label in zip(records, labels, strict=True)
    ]


def write_results(
    run: Path,
    page: Path,
    command: str,
    title: str = "Results",
    note: str = "",
    goals: Callable[[Figures, Figures, Sequence[Record]], Sequence[Goal]] | None = None,
    condition: str = "",
) -> Path:
    """Write the page of an evaluated run; its pictures go into `images/` beside it, in a folder
    of the page's name.

    Args:
        run: the run directory.
        page: the Markdown file to write.
        command: what the page says it was made by.
        title: of the page.
        note: a sentence for its head.
        goals: from the run's figures on the narrator's and on people's commands, and the
            differences of its siblings (experiments.json), to
            what was aimed at; None leaves that part out.
        condition: a sentence on the conditions of the goals.

    Raises:
        InputError: the run has no evaluation, or one that cannot be read.
    """
    evaluation = run / "evaluation"
    for folder in (evaluation, run / "dataset"):
        check_folder(folder)
    if not (evaluation / "variants.json").exists():
        raise InputError(
            f"{evaluation}: no variants.json, so an earlier version made it: run "
            f"scripts/09_evaluate.py --run {run} --redo"
        )
    names = ("metrics", "differences", "experiments", "splits", "curve", "seeds", "variants")
    records, paired, beside, splits, curve, seeds, variants = (
        read_json(evaluation / f"{name}.json") for name in names
    )
    figures = Figures(records, paired)
    people = Figures(records, paired, command_files.PEOPLE)
    shown = [system.name for system in SYSTEMS.values() if "results" in system.shown_in]
    of_siblings = [r for r in of_set([*splits, *curve, *seeds]) if r["system"] in shown]
    ours = [r for r in of_set(variants) if r["system"] == "nanodt"]
    metrics = headlines(records)
    text = template(__package__, "results.md.jinja").render(
        run=run.name,
        command=command,
        title=title,
        note=note,
        dataset={"augmentation_rollouts": 0, **read_json(run / "dataset" / "dataset.json")},
        trained={
            name: training(run if name == "ours" else run.with_name(f"{run.name}-{name}"))
            for name in dict.fromkeys(("ours", *(r["name"] for r in ours)))
        },
        goals=goals(figures, people, of_set(beside)) if goals is not None else [],
        condition=condition,
        headings=[m.short + (", median" if m.statistic == "median" else "") for m in metrics],
        sets=[
            (set_title(name), table(_named(of_set(records, name)), "name", metrics))
            for name in dict.fromkeys(r["set"] for r in records)
        ],
        variants=table(ours, "name", metrics),
        siblings=table(_named(of_siblings, run=True), "name", metrics),
        pictures=_copy_pictures(evaluation / "report" / "figures", page),
    )
    page.parent.mkdir(parents=True, exist_ok=True)
    atomic_write(page, text)
    return page
