"""Which texts a run needs, and the narrator writing them: rows of a table of descriptions."""

from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pyarrow as pa
from tqdm import tqdm

from archive_tools.annotations import Annotation
from archive_tools.language import MAX_WORDS, check_text
from archive_tools.narrator import (
    DESCRIPTOR_SHARE,
    STYLE_SHARES,
    STYLES,
    Alternatives,
    Style,
    describe,
)
from archive_tools.run import executor
from envs.scene import Scene

TOGETHER = 100  # texts in one piece of work
REDRAWS = 20  # tries at a text that passes and that the trajectory does not have yet

SCHEMA = pa.schema(
    [
        ("trajectory_id", pa.int64()),
        ("sample", pa.int32()),
        ("style", pa.string()),
        ("text", pa.string()),
        ("source", pa.string()),
        ("status", pa.string()),
        ("reason", pa.string()),
    ]
)


@dataclass(frozen=True)
class Job:
    """One text to write."""

    trajectory_id: int
    sample: int
    style: Style
    descriptor: bool
    """A model is told to name the last place by `<DESCRIPTOR>`; the narrator draws for itself."""
    annotation: Annotation


def draw_style(rng: np.random.Generator, shares: Mapping[Style, float] = STYLE_SHARES) -> Style:
    """One style, by its share."""
    return STYLES[int(rng.choice(len(STYLES), p=[shares[style] for style in STYLES]))]


def jobs_of(
    annotations: Mapping[int, Annotation],
    seed: int,
    *,
    shares: Mapping[Style, float] = STYLE_SHARES,
    per_trajectory: int = 1,
    limit: int = 0,
) -> list[Job]:
    """All texts to write, by trajectory and sample; what is drawn depends on seed and ids alone.

    Args:
        annotations: by trajectory_id.
        seed: of every draw.
        shares: of the styles; they add up to 1.
        per_trajectory: texts for each trajectory.
        limit: only the first so many trajectories; 0 for all.
    """
    jobs = []
    for identity in sorted(annotations)[: limit or None]:
        for sample in range(per_trajectory):
            rng = np.random.default_rng([seed, 4, identity, sample])
            style = draw_style(rng, shares)
            descriptor = bool(rng.random() < DESCRIPTOR_SHARE)
            jobs.append(Job(identity, sample, style, descriptor, annotations[identity]))
    return jobs


def row_of(job: Job, source: str, text: str, reasons: Sequence[str]) -> dict[str, Any]:
    """A row of SCHEMA; with `reasons` it is a rejected one."""
    return {
        "trajectory_id": job.trajectory_id,
        "sample": job.sample,
        "style": job.style,
        "text": text,
        "source": source,
        "status": "rejected" if reasons else "accepted",
        "reason": "; ".join(reasons),
    }


def narrate(
    jobs: Sequence[Job],
    scene: Scene,
    seed: int,
    *,
    alternatives: Alternatives | None = None,
    vocabulary: Literal["train", "held_out"] = "train",
    max_words: int = MAX_WORDS,
    desc: str = "describe",
    workers: executor.Executor | None = None,
) -> list[dict[str, Any]]:
    """Rows written by the narrator; it draws anew where a text fails or repeats itself.

    What it says is true, but the reader may take words in another sense: then it says it in others.

    Args:
        jobs: one row each.
        scene: the objects and tiles that exist.
        seed: of every draw, with the job's trajectory_id and sample.
        alternatives: the drives among which each is told apart, see `narrator.describe`.
        vocabulary: see `archive_tools.narrator.narrator.describe`.
        max_words: longest text.
        desc: name of the progress bar.
        workers: who writes; this process where None.
    """
    options = {"alternatives": alternatives, "vocabulary": vocabulary, "max_words": max_words}
    rows: list[dict[str, Any]] = []
    with tqdm(total=len(jobs), desc=desc, unit=" texts") as bar:
        for some in (workers or executor.Executor()).map(
            _narrate, _together(jobs), (scene, seed, options)
        ):
            rows += some
            bar.update(len(some))
    return rows


def _together(jobs: Sequence[Job]) -> Iterator[list[Job]]:
    """Some hundred jobs at a time; those of one trajectory, which follow each other, stay so."""
    some: list[Job] = []
    for job in jobs:
        if len(some) >= TOGETHER and job.trajectory_id != some[-1].trajectory_id:
            yield some
            some = []
        some.append(job)
    if some:
        yield some


def _narrate(
    shared: tuple[Scene, int, dict[str, Any]], jobs: Sequence[Job]
) -> list[dict[str, Any]]:
    """The rows of some jobs, all of those of their trajectories."""
    scene, seed, options = shared
    source = "narrator" if options["vocabulary"] == "train" else "narrator/held_out"
    rows: list[dict[str, Any]] = []
    written: dict[int, set[str]] = {}
    for job in jobs:
        before = written.setdefault(job.trajectory_id, set())
        text, reasons = narrate_one(job, scene, seed, before, **options)
        before.add(text)
        rows.append(row_of(job, source, text, reasons))
    return rows


def narrate_one(
    job: Job,
    scene: Scene,
    seed: int,
    before: Set[str] = frozenset(),
    *,
    alternatives: Alternatives | None = None,
    vocabulary: Literal["train", "held_out"] = "train",
    max_words: int = MAX_WORDS,
) -> tuple[str, list[str]]:
    """A text of the narrator that passes and is not in `before`, and what is wrong with it where
    no draw gives one. Arguments as in `narrate`."""
    rng = np.random.default_rng([seed, 5, job.trajectory_id, job.sample])
    text, reasons = "", [""]
    for _ in range(REDRAWS):
        text = describe(
            job.annotation,
            scene,
            style=job.style,
            rng=rng,
            alternatives=alternatives,
            vocabulary=vocabulary,
        )
        reasons = check_text(text, job.annotation, scene, max_words=max_words)
        if not reasons and text not in before:
            break
    return text, reasons


def held_out_wording(
    annotations: Mapping[int, Annotation],
    scene: Scene,
    seed: int,
    alternatives: Alternatives | None = None,
) -> list[dict[str, Any]]:
    """One text per trajectory in words and sentences that no training text has."""
    jobs = jobs_of(annotations, seed)
    return narrate(
        jobs, scene, seed, alternatives=alternatives, vocabulary="held_out", desc="unseen wording"
    )
