"""Stage 04: annotations → texts, by the narrator or by a language model, each one checked."""

import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import pyarrow as pa

from archive_tools.annotations.events import Annotation, load_annotations
from archive_tools.files.tables import write_table
from archive_tools.language.checks import MAX_WORDS, route_told
from archive_tools.language.jobs import SCHEMA, Job, jobs_of, narrate
from archive_tools.language.llm_writer import LlmWriter
from archive_tools.language.styles import STYLE_SHARES, Style
from archive_tools.llm import batch_api as batch
from archive_tools.llm.client import ask_all
from archive_tools.llm.config import LlmConfig
from archive_tools.llm.ledger import Ledger
from archive_tools.run import bounds
from archive_tools.run.stage import Stage, check_folder
from envs import load_world
from envs.errors import InputError
from envs.scene import Scene


@dataclass
class DescribeConfig(LlmConfig):
    """Describe every trajectory: by the built-in narrator, or with --model by a language model."""

    per_trajectory: bounds.Count = 1
    """Descriptions per trajectory."""
    instruction: bounds.Share = STYLE_SHARES["instruction"]
    """Share of step-by-step instructions."""
    narrative: bounds.Share = STYLE_SHARES["narrative"]
    """Share of narratives; the rest are requests."""
    vocabulary: Literal["train", "held_out"] = "train"
    """The narrator's wording; held_out has words and sentences that training texts never have."""
    max_words: bounds.Count = MAX_WORDS
    """Longest text."""
    reasks: bounds.Whole = 2
    """How often a model is asked again, with the reason, when a text fails its checks."""
    batch_export: Path | None = None
    """Write the requests that are still to be paid as files for OpenAI's Batch API into this
    folder, and end."""
    batch_import: tuple[Path, ...] = ()
    """Result files of the Batch API to take into the ledger first."""

    not_fingerprint: ClassVar[set[str]] = LlmConfig.not_fingerprint | {
        "batch_export",
        "batch_import",
    }

    def check(self) -> None:
        """Raise InputError where an option is out of its bounds, or options do not go together."""
        super().check()
        if self.instruction + self.narrative > 1:
            raise InputError(
                f"--instruction {self.instruction} --narrative {self.narrative}: expected shares "
                "that add up to at most 1; the rest are requests"
            )
        wants_model = self.dry_run or self.batch_export is not None or bool(self.batch_import)
        if wants_model and not self.model:
            raise InputError("--dry-run, --batch-export and --batch-import need --model")


def _inputs(
    config: DescribeConfig, archive: Path, annotations: Path
) -> tuple[LlmWriter, list[Job]]:
    """The writer (of the run's scene, for the narrator too) and the texts to write."""
    scene = load_world(archive / "world").scene
    if scene is None:
        raise InputError(
            f"{archive / 'world'}: the world has no scene, so nothing can be described"
        )
    shares: dict[Style, float] = {
        "request": 1 - config.instruction - config.narrative,
        "instruction": config.instruction,
        "narrative": config.narrative,
    }
    jobs = jobs_of(
        load_annotations(annotations),
        config.seed,
        shares=shares,
        per_trajectory=config.per_trajectory,
    )
    return LlmWriter(config.model, scene, config.max_words, config.reasks), jobs


def _prepare_only(config: DescribeConfig) -> Path:
    """--dry-run and --batch-export: nothing is asked and the stage is not finished."""
    folders = [Path(config.run) / name for name in ("archive", "annotations")]
    for folder in folders:
        check_folder(folder)
    writer, jobs = _inputs(config, *folders)
    if config.dry_run:
        for job in jobs[:: max(1, -(-len(jobs) // 3))]:
            title = f"trajectory {job.trajectory_id}, sample {job.sample}, {job.style}"
            print(f"--- {title} ---\n{writer.prompt_of(job)}")
        print(writer.estimate(jobs, config.price))
        return Path(config.run) / "descriptions"
    assert config.batch_export is not None
    with Ledger(config.ledger_path()) as ledger:
        batch.take_in(config.batch_import, config, ledger)
        requests = batch.missing(jobs, writer.ask_for_text, config, ledger)
    files = batch.export(config.batch_export, requests)
    print(f"{len(requests):,} requests in {len(files)} files in {config.batch_export}")
    return config.batch_export


def _ask_model(
    config: DescribeConfig, writer: LlmWriter, jobs: Sequence[Job], stage: Stage
) -> list[dict[str, Any]]:
    with Ledger(config.ledger_path()) as ledger:
        batch.take_in(config.batch_import, config, ledger)
        print(writer.estimate(jobs, config.price), file=sys.stderr)
        rows = ask_all(jobs, writer.ask_for_text, config, ledger, desc="describe")
        stage.facts["usd_in_ledger"] = round(ledger.spent, 6)
    return rows


def run(config: DescribeConfig) -> Path:
    """Stage 04: archive (its world) and annotations → `descriptions/descriptions.parquet`.

    Raises:
        InputError: an option is out of range; the server cannot be used (see archive_tools.llm).
    """
    config.check()
    if config.dry_run or config.batch_export is not None:
        return _prepare_only(config)
    with Stage(config, "descriptions", inputs=("archive", "annotations")) as stage:
        if stage.done:
            return stage.folder
        writer, jobs = _inputs(config, stage.input("archive"), stage.input("annotations"))
        scene = writer.scene
        if config.model:
            rows = _ask_model(config, writer, jobs, stage)
        else:
            rows = narrate(
                jobs,
                scene,
                config.seed,
                vocabulary=config.vocabulary,
                max_words=config.max_words,
            )
        rows.sort(key=lambda row: (row["trajectory_id"], row["sample"]))
        table = pa.Table.from_pylist(rows, schema=SCHEMA)
        write_table(stage.path("descriptions.parquet"), table)
        accepted = [row for row in rows if row["status"] == "accepted"]
        words = [len(row["text"].split()) for row in accepted]
        stage.rows.update(
            descriptions=len(rows), accepted=len(accepted), rejected=len(rows) - len(accepted)
        )
        stage.facts.update(
            distinct_share=round(len({r["text"] for r in accepted}) / max(len(accepted), 1), 4),
            words_mean=round(float(np.mean(words)), 1) if words else 0.0,
            words_max=max(words, default=0),
            styles=dict(sorted(Counter(row["style"] for row in rows).items())),
            rejected_for=_reasons(rows),
            **_told(accepted, {job.trajectory_id: job.annotation for job in jobs}, scene),
        )
        if len(accepted) < len(rows):
            print(
                f"{len(rows) - len(accepted):,} of {len(rows):,} texts were rejected, mostly: "
                f"{next(iter(_reasons(rows)))}",
                file=sys.stderr,
            )
    return stage.folder


def _told(
    rows: Sequence[dict[str, Any]], annotations: dict[int, Annotation], scene: Scene
) -> dict[str, Any]:
    """By style, how much of the route the texts tell; and how many name where the drive ends."""
    told: dict[str, list[float]] = {}
    ends = []
    for row in rows:
        share, end = route_told(row["text"], annotations[row["trajectory_id"]], scene)
        told.setdefault(row["style"], []).append(share)
        ends.append(end)
    return {
        "route_told": {style: round(float(np.mean(told[style])), 3) for style in sorted(told)},
        "end_told": round(float(np.mean(ends)), 4) if ends else 0.0,
    }


def _reasons(rows: Sequence[dict[str, Any]]) -> dict[str, int]:
    """The ten most frequent reasons of rejection, without what was quoted in them."""
    heads = (row["reason"].split(":")[0].split(";")[0] for row in rows if row["reason"])
    counted = Counter(head[:80] for head in heads)
    return dict(sorted(counted.items(), key=lambda pair: (-pair[1], pair[0]))[:10])
