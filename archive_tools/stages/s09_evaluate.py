"""Stage 09: from drives to metrics with intervals, paired differences, tables and the report."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, ClassVar

import pandas as pd

from archive_tools.evaluation import (
    JudgeConfig,
    Results,
    Scored,
    items_table,
    judge_and_sum_up,
    score_run,
    show_prompts,
)
from archive_tools.files import atomic_write, write_json, write_table
from archive_tools.rating import ratings_digest, read_ratings
from archive_tools.report import write_report
from archive_tools.rollouts import command_files, read_instructions
from archive_tools.run import Stage, bounds, check_folder, read_manifest, siblings
from envs import load_world
from envs.errors import require_memory

NEEDED = ("archive", "trajectories", "annotations", "dataset", "rollouts")
SHOWN = ("verification", "descriptions", "tokenizer", "model")  # in the report, where there are any


@dataclass
class EvaluateConfig(JudgeConfig):
    """Score the drives, and write the metrics and the report."""

    resamples: bounds.Count = 2000
    """Bootstrap resamples behind each 95 % interval."""
    gallery: bounds.Count = 6
    """Drives in each gallery of the report."""

    presets: ClassVar[dict[str, dict[str, Any]]] = {"paper": {"resamples": 10_000, "gallery": 12}}


def write_records(
    stage: Stage, scored: Scored, results: Results, beside: siblings.Collected
) -> None:
    """Write all tables and records of an evaluation but for the report."""
    write_table(stage.path("items.parquet"), items_table(scored))
    write_table(stage.path("counterfactuals.parquet"), results.effects)
    for name, records in (
        ("metrics", results.metrics),
        ("differences", results.differences),
        ("agreement", results.agreement),
        ("confusion", results.confusion),
        ("probes", results.probes),
        ("counterfactuals", results.counterfactuals),
        ("splits", beside.splits),
        ("curve", beside.curve),
        ("seeds", beside.seeds),
        ("variants", beside.variants),
        ("experiments", beside.differences),
    ):
        write_json(stage.path(f"{name}.json"), records)
    table = pd.DataFrame(results.metrics)
    atomic_write(stage.path("metrics.csv"), table.to_csv(index=False, lineterminator="\n"))


def run(config: EvaluateConfig) -> Path:
    """Stage 09: rollouts → `evaluation/`: metrics, differences, tables and the report.

    Raises:
        InputError: an earlier stage is missing or stale, or an option is out of range.
    """
    config.check()
    folder = Path(config.run)
    require_memory(24.0 * config.resamples, f"--resamples {config.resamples}")
    if config.dry_run:
        for name in NEEDED:
            check_folder(folder / name)
        show_prompts(config, score_run(folder), load_world(folder / "archive" / "world"))
        return folder / "evaluation"
    evaluated = siblings.finished(folder)
    extra = {
        "siblings": {name: read_manifest(path / "evaluation")["digest"]
                     for name, (_, path) in evaluated.items()},
        "ratings": ratings_digest(folder / "ratings"),
    }  # fmt: skip
    shown = [name for name in SHOWN if (folder / name / "manifest.json").exists()]
    with Stage(config, "evaluation", inputs=(*NEEDED, *shown), extra=extra) as stage:
        if stage.done:
            return stage.folder
        if config.model:
            config.check_access()
        scored = score_run(folder)
        rollouts = read_manifest(folder / "rollouts")["digest"]
        ratings, stale = read_ratings(folder / "ratings", rollouts)
        results = judge_and_sum_up(
            scored,
            load_world(folder / "archive" / "world"),
            read_instructions(stage.input("rollouts")),
            ratings,
            config,
            resamples=config.resamples,
        )
        records = results.metrics
        stage.facts.update(results.facts)
        beside = siblings.collect(folder, evaluated, records, results.differences)
        write_records(stage, scored, results, beside)
        write_report(
            stage.path("report"),
            folder,
            scored,
            records,
            results.differences,
            results.agreement,
            gallery=config.gallery,
            stage={"config": asdict(config), "facts": stage.facts},
        )
        stage.rows.update(drives=len(scored.frame), records=len(records))
        if len(ratings) or stale:
            stage.facts.update(ratings=len(ratings), ratings_of_other_rollouts=stale)
        for r in records:
            if r["system"] == "nanodt":
                ending = "" if r["set"] == command_files.NARRATORS else f" ({r['set']})"
                stage.facts[r["metric"] + ending] = r["mean"]
    return stage.folder
