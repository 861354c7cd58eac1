"""Stage 04: annotations → texts, by the narrator, a language model or people, each one checked."""

import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import pyarrow as pa

from archive_tools.annotations import Annotation, load_annotations
from archive_tools.descriptions import (
    SCHEMA,
    Job,
    LlmWriter,
    given_drives,
    given_rows,
    jobs_of,
    narrate,
    refusals,
)
from archive_tools.files import read_table, user_tables, write_table
from archive_tools.language import MAX_WORDS, route_told
from archive_tools.llm import Ledger, LlmConfig, ask_all, remedy_for
from archive_tools.llm import batch_api as batch
from archive_tools.narrator import Alternatives, read_shares
from archive_tools.run import Stage, bounds, check_folder, executor, read_manifest
from envs import load_world
from envs.errors import InputError, require_memory
from envs.scene import Scene
from envs.worlds.commands import bundled_commands


@dataclass
class DescribeConfig(LlmConfig, executor.SpreadConfig):
    """Describe every trajectory: by the built-in narrator, or with --model by a language model."""

    per_trajectory: bounds.Count = 1
    """Descriptions per trajectory."""
    styles: tuple[str, ...] = ()
    """Styles and their weights, like everyday=3 hasty=1; none: the shares of docs/narrator.md."""
    vocabulary: Literal["train", "held_out"] = "train"
    """The narrator's vocabulary; held_out has words and plans that training texts never have."""
    max_words: bounds.Words = MAX_WORDS
    """Longest text."""
    texts: tuple[Path, ...] = ()
    """Files of your own descriptions (CSV, JSONL, Parquet: docs/formats.md), put beside the
    others."""
    texts_where: tuple[str, ...] = ()
    """Only rows of --texts with these values, like part=train."""
    texts_unit: Literal["auto", "units", "tenths"] = "auto"
    """Unit of the actions in --texts; auto: tenths where they are whole numbers and too large for
    units, or a Parquet column of integers."""
    people: bool = False
    """Add the commands of people that come with the bundled world, and their drives: the part
    train. The presets do."""
    limit: bounds.Whole = 0
    """Describe only the first so many trajectories, to try; the same command without it goes on.
    0: all."""
    show_refused: bounds.Whole = 0
    """Print so many refused texts with their reasons."""
    from_draft: bool = False
    """A model gets a text of the narrator to say in other words, not the facts of the drive: for
    small models."""
    reasks: bounds.Whole = 2
    """How often a model is asked again, with the reason, when a text fails its checks."""
    batch_export: Path | None = None
    """Write the requests that are still to be paid as files for OpenAI's Batch API into this
    folder, and end."""
    batch_import: tuple[Path, ...] = ()
    """Result files of the Batch API to take into the ledger first."""

    presets: ClassVar[dict[str, dict[str, Any]]] = {
        "demo": {"people": True},
        "paper": {"people": True},
    }
    not_fingerprint: ClassVar[set[str]] = LlmConfig.not_fingerprint | {
        "ray",
        "batch_export",
        "batch_import",
        "show_refused",
        "texts",
    }

    def check(self) -> None:
        """Raise InputError where an option is out of its bounds, or options do not go together."""
        super().check()
        read_shares(self.styles)
        self.given().conditions()
        wants_model = self.dry_run or self.batch_export is not None or bool(self.batch_import)
        if (wants_model or self.from_draft) and not self.model:
            raise InputError(
                "--dry-run, --from-draft, --batch-export and --batch-import need --model"
            )

    def given(self) -> given_rows.GivenOptions:
        """The options of --texts."""
        return given_rows.GivenOptions(
            self.texts, self.texts_where, self.texts_unit, self.max_words
        )

    def sources(self) -> list[given_rows.GivenOptions]:
        """All that is given: --texts, and with --people what comes with the run's world."""
        sources = [self.given()] if self.texts else []
        world = Path(self.run) / "archive" / "world"
        drives = (Path(self.run) / "trajectories" / "manifest.json").exists()
        if self.people and drives and world.is_dir() and self.limit == 0:
            path = bundled_commands(load_world(world))
            if path is not None:
                options = given_rows.GivenOptions
                sources.append(options([path], ["part=train"], "tenths", self.max_words))
        return sources


def _inputs(
    config: DescribeConfig, archive: Path, annotations: Path
) -> tuple[LlmWriter, list[Job]]:
    """The writer (of the run's scene, for the narrator too) and the texts to write."""
    scene = load_world(archive / "world").scene
    if scene is None:
        raise InputError(
            f"{archive / 'world'}: the world has no scene, so nothing can be described"
        )
    found = load_annotations(annotations)
    texts = float(len(found)) * config.per_trajectory
    require_memory(1000 * texts, f"--per-trajectory {config.per_trajectory} ({texts:,.0f} texts)")
    jobs = jobs_of(
        found,
        config.seed,
        shares=read_shares(config.styles),
        per_trajectory=config.per_trajectory,
        limit=config.limit,
    )
    others = Alternatives(found[identity] for identity in sorted(found))
    seed = config.seed if config.from_draft else None
    return LlmWriter(config.model, scene, config.max_words, config.reasks, others, seed), jobs


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
        requests = batch.missing(jobs, writer.ask_for_text, config, ledger, config.batch_import)
    files = batch.export(config.batch_export, requests)
    print(f"{len(requests):,} requests in {len(files)} files in {config.batch_export}")
    return config.batch_export


def _ask_model(
    config: DescribeConfig, writer: LlmWriter, jobs: Sequence[Job], stage: Stage
) -> list[dict[str, Any]]:
    with Ledger(config.ledger_path()) as ledger:
        if config.batch_import:
            batch.missing(jobs, writer.ask_for_text, config, ledger, config.batch_import)
        print(writer.estimate(jobs, config.price), file=sys.stderr)
        rows = ask_all(
            jobs, writer.ask_for_text, config, ledger, desc="describe", problem_of=refusals.of_row
        )
        stage.facts["usd_in_ledger"] = round(ledger.spent, 6)
    return rows


def _goes_on(config: DescribeConfig) -> DescribeConfig:
    """The options, with --redo-changed where what is there is a trial of the same run (--limit)."""
    folder = Path(config.run) / "descriptions"
    if not (folder / "manifest.json").exists():
        return config
    before = read_manifest(folder)["config"]
    limit = before.get("limit", 0)
    larger = limit and (config.limit == 0 or config.limit > limit)
    same = all(
        before.get(name) == (list(value) if isinstance(value, tuple) else value)
        for name, value in vars(config).items()
        if name not in {"run", "redo", "redo_changed", "limit", *config.not_fingerprint}
    )
    return replace(config, redo_changed=True) if larger and same else config


def run(config: DescribeConfig) -> Path:
    """Stage 04: archive (its world) and annotations → `descriptions/descriptions.parquet`.

    Raises:
        InputError: an option is out of range; a file of --texts cannot be used (see
            descriptions.given_texts); the server cannot be used (see archive_tools.llm); no text
            was accepted.
    """
    config.check()
    if config.dry_run or config.batch_export is not None:
        return _prepare_only(config)
    config = _goes_on(config)
    inputs = ["archive", "annotations"]
    sources = config.sources()
    if sources and (Path(config.run) / "trajectories" / "manifest.json").exists():
        inputs.append("trajectories")
    digests = user_tables.digests([file for source in sources for file in source.files], "texts")
    with Stage(config, "descriptions", inputs, extra=digests) as stage:
        if not stage.done:
            _describe(config, stage, sources)
    if config.show_refused:
        rows = read_table(stage.folder / "descriptions.parquet").to_dict("records")
        _show_refused([{str(k): v for k, v in row.items()} for row in rows], config)
    return stage.folder


def _describe(
    config: DescribeConfig, stage: Stage, sources: Sequence[given_rows.GivenOptions]
) -> None:
    """Write the tables of the stage."""
    writer, jobs = _inputs(config, stage.input("archive"), stage.input("annotations"))
    # A file that cannot be used is told before a server is paid; its drives are replayed later.
    given = given_rows.read_sources(sources, stage)
    if config.model:
        rows = _ask_model(config, writer, jobs, stage)
    else:
        with executor.open_executor(config.ray) as workers:
            rows = narrate(
                jobs,
                writer.scene,
                config.seed,
                alternatives=writer.alternatives,
                vocabulary=config.vocabulary,
                max_words=config.max_words,
                workers=workers,
            )
    annotations = {job.trajectory_id: job.annotation for job in jobs}
    if sources:
        more, drives = given_rows.add_given(sources, given, stage, config.per_trajectory)
        rows += more
        annotations = load_annotations(stage.input("annotations"))
        if drives is not None:
            annotations |= drives.annotations
            given_drives.write_given(stage.path(given_drives.FOLDER), drives)
            stage.rows["given_drives"] = len(drives.annotations)
    rows.sort(key=lambda row: (row["trajectory_id"], row["sample"]))
    _refuse_without_text(config, rows)
    write_table(stage.path("descriptions.parquet"), pa.Table.from_pylist(rows, schema=SCHEMA))
    _sum_up(rows, annotations, writer.scene, stage)


def _refuse_without_text(config: DescribeConfig, rows: Sequence[dict[str, Any]]) -> None:
    """Raise InputError where no text was accepted: that replaces no earlier result."""
    if any(row["status"] == "accepted" for row in rows):
        return
    if not rows:
        raise InputError("no text was accepted: there is no trajectory to describe")
    if config.show_refused:
        _show_refused(rows, config)
    kind, count = next(iter(refusals.by_kind(rows).items()))
    reason = next(row["reason"] for row in rows if refusals.of_row(row) == kind)
    remedy = remedy_for(reason) or "--show-refused 10 shows some; nothing was written or replaced"
    raise InputError(
        f"no text was accepted: all {len(rows):,} were refused, {count:,} of them for {kind} "
        f"({reason[:200]}); {remedy}"
    )


def _show_refused(rows: Sequence[dict[str, Any]], config: DescribeConfig) -> None:
    print(refusals.shown(rows, config.show_refused))


def _sum_up(
    rows: Sequence[dict[str, Any]],
    annotations: Mapping[int, Annotation],
    scene: Scene,
    stage: Stage,
) -> None:
    """Rows and facts of the manifest."""
    accepted = [row for row in rows if row["status"] == "accepted"]
    words = [len(row["text"].split()) for row in accepted]
    refused = refusals.by_kind(rows)
    stage.rows.update(
        descriptions=len(rows), accepted=len(accepted), rejected=len(rows) - len(accepted)
    )
    stage.facts.update(
        distinct_share=round(len({r["text"] for r in accepted}) / max(len(accepted), 1), 4),
        words_mean=round(float(np.mean(words)), 1) if words else 0.0,
        words_max=max(words, default=0),
        styles=dict(sorted(Counter(row["style"] for row in rows).items())),
        sources={
            source: dict(Counter(r["status"] for r in rows if r["source"] == source))
            for source in sorted({row["source"] for row in rows})
        },
        rejected_for=refused,
        **_told(accepted, annotations, scene),
    )
    if len(accepted) < len(rows):
        print(
            f"{len(rows) - len(accepted):,} of {len(rows):,} texts were refused, mostly for "
            f"{next(iter(refused))}; --show-refused 10 shows some",
            file=sys.stderr,
        )


def _told(
    rows: Sequence[dict[str, Any]], annotations: Mapping[int, Annotation], scene: Scene
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
