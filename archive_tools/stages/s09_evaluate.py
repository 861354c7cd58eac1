"""Stage 09: from drives to metrics with intervals, paired differences, tables and the report."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from archive_tools.annotations.annotate import NearRule
from archive_tools.annotations.events import load_annotations
from archive_tools.evaluation.agreement import agreement_table, confusion, rater_scores
from archive_tools.evaluation.counterfactuals import apply_swaps, swap_records
from archive_tools.evaluation.judge_llm import Drive
from archive_tools.evaluation.judging import JudgeConfig, apply_model, apply_rules, show_prompts
from archive_tools.evaluation.probes import PROBES, place_confusion, probe_model, probe_rules
from archive_tools.evaluation.scoring import (
    ALL,
    COLUMNS,
    Scored,
    differences,
    score,
    summarise,
    told_order,
)
from archive_tools.llm.ledger import Ledger
from archive_tools.rating.ratings import ratings_digest, read_ratings
from archive_tools.report.page import write_report
from archive_tools.rollouts.items import TOLD_SCHEMA
from archive_tools.run import bounds
from archive_tools.run.siblings import collect, finished
from archive_tools.run.stage import Stage, check_folder, read_manifest
from archive_tools.run.tables import atomic_write, read_json, read_table, write_json, write_table
from envs import World, load_world


@dataclass
class EvaluateConfig(JudgeConfig):
    """Score the drives, and write the metrics and the report."""

    resamples: bounds.Count = 2000
    """Bootstrap resamples behind each 95 % interval."""
    gallery: bounds.Count = 6
    """Drives in each gallery of the report."""
    probes: bounds.Whole = 16
    """Judged drives that the model judges again, told longer or rearranged; 0 means none."""

    presets: ClassVar[dict[str, dict[str, Any]]] = {"paper": {"resamples": 10_000, "gallery": 12}}


def latex_table(records: Sequence[dict[str, Any]]) -> str:
    """A LaTeX table (booktabs): a row per system, a column per metric, intervals as ± each way."""
    names = [m for m in ALL if any(r["metric"] == m for r in records)]
    by_key = {(r["system"], r["metric"]): r for r in records}
    heads = " & ".join(name.replace("_", r"\_") for name in names)
    lines = [r"\begin{tabular}{l" + "r" * len(names) + "}", r"\toprule"]
    lines += [rf"system & {heads} \\", r"\midrule"]
    for system in dict.fromkeys(r["system"] for r in records):
        cells = [system.replace("_", r"\_")]
        for name in names:
            record = by_key.get((system, name))
            cells.append(
                "--"
                if record is None
                else "${:.3g}_{{{:+.2g}}}^{{{:+.2g}}}$".format(
                    record["mean"],
                    record["ci_low"] - record["mean"],
                    record["ci_high"] - record["mean"],
                )
            )
        lines.append(" & ".join(cells) + r" \\")
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}", ""])


def _items_table(scored: Scored) -> pa.Table:
    frame = scored.frame
    columns = {
        "system": pa.array(frame["system"], pa.string()),
        "set": pa.array(frame["set"], pa.string()),
        "pair": pa.array(frame["pair"], pa.int64(), from_pandas=True),
        "item": pa.array(frame["item"], pa.int64()),
        "seed": pa.array(frame["seed"], pa.int32()),
        "trajectory_id": pa.array(frame["trajectory_id"], pa.int64()),
    }
    columns |= {name: pa.array(frame[name], pa.float64(), from_pandas=True) for name in COLUMNS}
    columns["visited"] = pa.array(
        [None if a is None else a.visited for a in scored.driven], pa.list_(pa.string())
    )
    columns["reasons"] = pa.array(frame["reasons"], pa.string())
    return pa.table(columns)


def score_run(run: Path) -> Scored:
    """Score the drives of a run directory that has all stages up to rollouts/.

    Raises:
        InputError: a table is missing, truncated or lacks a column.
    """
    info = read_json(run / "dataset" / "dataset.json")
    items = ("item", "set", "pair", "trajectory_id", "rival_id", "text", "bd")
    drives = ("system", "item", "seed", "source_trajectory", "bd", "pose")
    scored = score(
        read_table(run / "rollouts" / "items.parquet", items),
        read_table(run / "rollouts" / "rollouts.parquet", drives),
        load_annotations(run / "annotations"),
        load_world(run / "archive" / "world"),
        float(np.linalg.norm(np.subtract(info["bd_high"], info["bd_low"]))),
        told=read_table(run / "rollouts" / "told.parquet", TOLD_SCHEMA.names),
        rule=NearRule.of(run / "annotations"),
    )
    wanted = set(scored.frame["trajectory_id"].tolist())
    recorded = read_table(run / "trajectories" / "trajectories.parquet", ("trajectory_id", "pose"))
    scored.reference_poses = {
        identity: np.asarray(flat, np.float32).reshape(-1, 3)
        for identity, flat in zip(recorded["trajectory_id"], recorded["pose"], strict=True)
        if identity in wanted and flat is not None
    }
    return scored


def _drives(scored: Scored, rows: Sequence[int]) -> list[Drive]:
    """Drives as a judge is told of them."""
    found = []
    for row in rows:
        record, driven = scored.frame.iloc[row], scored.driven[row]
        assert driven is not None
        target, reached = (tuple(float(v) for v in record[k]) for k in ("target", "reached"))
        found.append(Drive(record["text"], driven, target, reached))
    return found


def probe_judges(
    config: EvaluateConfig, scored: Scored, world: World
) -> tuple[list[dict[str, Any]], list[dict[str, Any]], float | None]:
    """Probe the rules on the policy's drives of the first seed, and the model on some that it
    judged.

    Returns:
        the records of `probes.json`; what the model says of places, for `confusion.json`; and the
        cost in the ledger, None where no model was asked.
    """
    frame, scene = scored.frame, world.scene
    if scene is None:
        return [], [], None
    options = {"resamples": config.resamples, "seed": config.seed}
    first = (frame["seed"] == frame["seed"].min()) & frame["judge_rules"].notna()
    rows = np.flatnonzero(first & (frame["system"] == "nanodt")).tolist()
    references = [scored.references[int(frame["trajectory_id"].iat[row])] for row in rows]
    records = probe_rules(_drives(scored, rows), references, scene, **options)
    judged = np.flatnonzero(frame["judge_llm"].notna())
    if not config.probes or not len(judged):
        return records, [], None
    spread = np.linspace(0, len(judged) - 1, min(config.probes, len(judged))).round().astype(int)
    drives = _drives(scored, judged[spread].tolist())
    with Ledger(config.ledger_path()) as ledger:
        samples = config.judge_samples
        found, judgements = probe_model(
            drives, scene, world.size, config, ledger, samples=samples, **options
        )
        spent = ledger.spent
    places = place_confusion(drives, judgements, scene)
    return records + found, [places] if places else [], spent


def confuse(
    scored: Scored, world: World, judges: Mapping[str, NDArray[np.float64]]
) -> list[dict[str, Any]]:
    """Each judge against the re-annotated drives: do they meet what the item's text names?"""
    if world.scene is None:
        return []
    where = [i for i, driven in enumerate(scored.driven) if driven is not None]
    routes = [driven.visited for driven in scored.driven if driven is not None]
    met = np.full(len(scored.frame), np.nan)
    met[where] = told_order(scored.frame["text"].iloc[where].tolist(), routes, world.scene)
    found = (confusion(name, scores, met) for name, scores in judges.items())
    return [record for record in found if record is not None]


def run(config: EvaluateConfig) -> Path:
    """Stage 09: rollouts → `evaluation/`: metrics, differences, tables and the report.

    Raises:
        InputError: an earlier stage is missing or stale, or an option is out of range.
    """
    config.check()
    run_folder = Path(config.run)
    needed = ["archive", "trajectories", "annotations", "dataset", "rollouts"]
    told = ["verification", "descriptions", "tokenizer", "model"]  # the report tells of them
    told = [name for name in told if (run_folder / name / "manifest.json").exists()]
    if config.dry_run:
        for name in needed:
            check_folder(run_folder / name)
        show_prompts(config, score_run(run_folder), load_world(run_folder / "archive" / "world"))
        again = config.probes * (len(PROBES) + 1) * config.judge_samples
        print(f"and at most {again:,} verdicts more to probe the judge (--probes {config.probes})")
        return run_folder / "evaluation"
    found = finished(run_folder)
    rollouts = read_manifest(run_folder / "rollouts")["digest"]
    extra = {
        "siblings": {name: read_manifest(path / "evaluation")["digest"]
                     for name, (_, path) in found.items()},
        "ratings": ratings_digest(run_folder / "ratings"),
    }  # fmt: skip
    with Stage(config, "evaluation", inputs=(*needed, *told), extra=extra) as stage:
        if stage.done:
            return stage.folder
        scored = score_run(run_folder)
        world = load_world(run_folder / "archive" / "world")
        options: dict[str, Any] = {"resamples": config.resamples, "seed": config.seed}
        exchanged = read_table(stage.input("rollouts") / "told.parquet", TOLD_SCHEMA.names)
        effects = apply_swaps(scored, exchanged, world.scene)
        apply_rules(scored, world)
        if config.model:
            stage.facts.update(apply_model(config, scored, world))
        people, stale = read_ratings(run_folder / "ratings", rollouts)
        raters = rater_scores(people, scored.frame)
        scored.frame["judge_people"] = raters.get("judge_people", np.nan)
        records = summarise(scored.frame, **options)
        paired = differences(scored.frame, **options)
        judges = {n: np.asarray(scored.frame[n], float) for n in ("judge_rules", "judge_llm")}
        judges = {n: v for n, v in {**judges, **raters}.items() if not np.isnan(v).all()}
        agree = agreement_table(judges)
        probes, confusions, spent = probe_judges(config, scored, world)
        if spent is not None:
            stage.facts["usd_in_ledger"] = round(spent, 6)
        confusions = [*confuse(scored, world, judges), *confusions]
        beside = collect(run_folder, found, records, paired)
        write_table(stage.path("items.parquet"), _items_table(scored))
        write_table(stage.path("swaps.parquet"), effects)
        for name, value in (
            ("metrics", records),
            ("differences", paired),
            ("agreement", agree),
            ("confusion", confusions),
            ("probes", probes),
            ("swaps", swap_records(effects, **options)),
            ("splits", beside.splits),
            ("curve", beside.curve),
            ("seeds", beside.seeds),
            ("settings", beside.settings),
            ("experiments", beside.differences),
        ):
            write_json(stage.path(f"{name}.json"), value)
        table = pd.DataFrame(records)
        atomic_write(stage.path("metrics.csv"), table.to_csv(index=False, lineterminator="\n"))
        atomic_write(stage.path("metrics.tex"), latex_table(records))
        write_report(
            stage.path("report"),
            run_folder,
            scored,
            records,
            paired,
            agree,
            gallery=config.gallery,
            stage={"config": asdict(config), "facts": stage.facts},
        )
        stage.rows.update(drives=len(scored.frame), records=len(records))
        if len(people) or stale:
            stage.facts.update(ratings=len(people), ratings_of_other_rollouts=stale)
        stage.facts.update({r["metric"]: r["mean"] for r in records if r["system"] == "nanodt"})
    return stage.folder
