"""Stage 09: from drives to metrics with intervals, paired differences, tables and the report."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pandas as pd
import pyarrow as pa

from archive_tools.agreement import agreement_table
from archive_tools.annotate import load_annotations
from archive_tools.judging import JudgeConfig, apply_model, apply_rules, show_prompts
from archive_tools.report import write_report
from archive_tools.scoring import COLUMNS, METRICS, Scored, differences, score, summarise
from archive_tools.stage import Stage, check_folder, read_manifest
from archive_tools.tables import atomic_write, read_json, read_table, write_json, write_table
from envs import load_world
from envs.errors import InputError


@dataclass
class EvaluateConfig(JudgeConfig):
    """Score the drives, and write the metrics and the report."""

    resamples: int = 2000
    """Bootstrap resamples behind each 95 % interval."""
    gallery: int = 6
    """Drives in each gallery of the report."""

    presets: ClassVar[dict[str, dict[str, Any]]] = {"paper": {"resamples": 10_000, "gallery": 12}}

    def check(self) -> None:
        """Raise InputError where an option is out of range."""
        if self.resamples < 1 or self.gallery < 1:
            raise InputError(
                f"--resamples {self.resamples}, --gallery {self.gallery}: must be at least 1"
            )
        self.check_judge()


def latex_table(records: Sequence[dict[str, Any]]) -> str:
    """A LaTeX table (booktabs): a row per system, a column per metric, intervals as ± each way."""
    names = [m for m in METRICS if any(r["metric"] == m for r in records)]
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
    rules = read_manifest(run / "annotations")["config"]
    items = ("item", "set", "pair", "trajectory_id", "rival_id", "text", "bd")
    drives = ("system", "item", "seed", "source_trajectory", "bd", "pose")
    scored = score(
        read_table(run / "rollouts" / "items.parquet", items),
        read_table(run / "rollouts" / "rollouts.parquet", drives),
        load_annotations(run / "annotations"),
        load_world(run / "archive" / "world"),
        float(np.linalg.norm(np.subtract(info["bd_high"], info["bd_low"]))),
        near=rules["near"],
        persist=rules["persist"],
    )
    wanted = set(scored.frame["trajectory_id"].tolist())
    recorded = read_table(run / "trajectories" / "trajectories.parquet", ("trajectory_id", "pose"))
    scored.reference_poses = {
        identity: np.asarray(flat, np.float32).reshape(-1, 3)
        for identity, flat in zip(recorded["trajectory_id"], recorded["pose"], strict=True)
        if identity in wanted and flat is not None
    }
    return scored


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
        return run_folder / "evaluation"
    with Stage(config, "evaluation", inputs=(*needed, *told)) as stage:
        if stage.done:
            return stage.folder
        scored = score_run(run_folder)
        world = load_world(run_folder / "archive" / "world")
        apply_rules(scored, world)
        if config.model:
            stage.facts.update(apply_model(config, scored, world))
        records = summarise(scored.frame, resamples=config.resamples, seed=config.seed)
        paired = differences(scored.frame, resamples=config.resamples, seed=config.seed)
        judged = {n: np.asarray(scored.frame[n], float) for n in ("judge_rules", "judge_llm")}
        agree = agreement_table({n: v for n, v in judged.items() if not np.isnan(v).all()})
        write_table(stage.path("items.parquet"), _items_table(scored))
        write_json(stage.path("metrics.json"), records)
        write_json(stage.path("differences.json"), paired)
        write_json(stage.path("agreement.json"), agree)
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
        )
        stage.rows.update(drives=len(scored.frame), records=len(records))
        stage.facts.update({r["metric"]: r["mean"] for r in records if r["system"] == "nanodt"})
    return stage.folder
