"""Are the judges moved by what should not move them? The same drive, told longer or rearranged.

Each probe changes how a drive or its command is told and nothing of what it says. A judge that is
worth trusting gives the same score. How far a score moves when a model is merely asked again is
measured too: no probe can be told apart from less.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from archive_tools.annotations.events import Annotation, Event
from archive_tools.evaluation.judge_llm import Drive, Judgement, judge_llm, judge_prompt
from archive_tools.evaluation.judge_rules import Verdict, judge_rules
from archive_tools.evaluation.metrics import bootstrap
from archive_tools.language.mentions import parse
from archive_tools.language.prompt_facts import drive_facts
from archive_tools.llm.client import Asker, ask_all
from archive_tools.llm.config import LlmConfig
from archive_tools.llm.ledger import Ledger
from envs.scene import Scene

BEFORE = (
    "I hope that this finds you well. ",
    "Here is what I would like to see today, if that is all right with you. ",
    "There is no hurry at all, so take all the time that you need for what follows. ",
)
AFTER = (
    " Thank you very much indeed for your help with this.",
    " That is really all there is to it, and I am sure that you will do it well.",
    " I would be most grateful, and so would everybody else around here.",
)
FILLER = (
    "without any haste or hesitation, and much as one would expect, it {}, which is worth noting",
    "after that, and for all that can be told from here quite smoothly, it {}, as described",
    "going on in its own steady way, and with nothing else to report, it {}, and so it went",
)
MOVED = 0.05  # a larger change of a score counts as a move


@dataclass(frozen=True)
class Telling:
    """A drive as it is told to a judge."""

    drive: Drive
    scene: Scene
    lines: tuple[tuple[str, str], ...] = ()
    """(line of the drive, the line that stands for it), for a model's prompt."""


def longer_command(drive: Drive, scene: Scene, rng: np.random.Generator) -> Telling:
    """The command with a polite sentence before and after it."""
    text = BEFORE[rng.integers(len(BEFORE))] + drive.text + AFTER[rng.integers(len(AFTER))]
    return Telling(replace(drive, text=text), scene)


def longer_drive(drive: Drive, scene: Scene, rng: np.random.Generator) -> Telling:
    """The drive with every line padded, and with events at which nothing changes."""
    lines = tuple(
        (line, FILLER[rng.integers(len(FILLER))].format(line))
        for line in drive_facts(drive.driven, scene)["drive"]
    )
    events: list[Event] = []
    for event in drive.driven.events:
        if events:
            between = (events[-1].timestep + event.timestep) // 2
            if between > events[-1].timestep:
                events.append(replace(events[-1], timestep=between))
        events.append(event)
    return Telling(replace(drive, driven=Annotation(tuple(events))), scene, lines)


def facts_reordered(drive: Drive, scene: Scene, rng: np.random.Generator) -> Telling:
    """Objects of the scene, and what is near at each event, named in another order."""
    objects = tuple(scene.objects[i] for i in rng.permutation(len(scene.objects)))
    events = tuple(replace(e, near=e.near[::-1]) for e in drive.driven.events)
    return Telling(replace(drive, driven=Annotation(events)), replace(scene, objects=objects))


PROBES: dict[str, Callable[[Drive, Scene, np.random.Generator], Telling]] = {
    "longer_command": longer_command,
    "longer_drive": longer_drive,
    "facts_reordered": facts_reordered,
}
AGAIN = "again"  # the same prompt once more: the noise of a judge that samples


def _record(
    judge: str, probe: str, shift: NDArray[np.float64], resamples: int, seed: int
) -> dict[str, Any]:
    """How far the scores moved, over the drives that have both."""
    shift = shift[~np.isnan(shift)]
    found = bootstrap(shift, resamples=resamples, seed=seed)
    return {
        "judge": judge,
        "probe": probe,
        "shift": found.mean,
        "ci_low": found.ci_low,
        "ci_high": found.ci_high,
        "sd": float(np.std(shift, ddof=1)) if len(shift) > 1 else 0.0,
        "largest": float(np.abs(shift).max()),
        "moved": float((np.abs(shift) > MOVED).mean()),
        "n": found.n,
    }


def probe_rules(
    drives: Sequence[Drive],
    references: Sequence[Annotation],
    scene: Scene,
    *,
    resamples: int,
    seed: int,
) -> list[dict[str, Any]]:
    """Probe the judge by rules: one record per probe.

    Args:
        drives: to judge.
        references: of each, the annotation of the trajectory that its command describes.
        scene: the objects and tiles that exist.
        resamples, seed: of the bootstrap; the seed is also that of the probes' draws.

    Returns:
        records: judge, probe, shift (mean change of the score) with ci_low and ci_high, sd,
        largest (absolute change), moved (share of drives that moved by more than 0.05), n.
    """

    def score(telling: Telling, reference: Annotation) -> float:
        return judge_rules(telling.drive.text, telling.drive.driven, reference, telling.scene).score

    if not drives:
        return []
    base = [score(Telling(d, scene), r) for d, r in zip(drives, references, strict=True)]
    records = []
    for number, (name, tell) in enumerate(PROBES.items()):
        rng = np.random.default_rng([seed, 20 + number])
        found = [score(tell(d, scene, rng), r) for d, r in zip(drives, references, strict=True)]
        shift = np.subtract(found, base)
        records.append(_record("rules", name, shift, resamples, seed))
    return records


def prompt_of(telling: Telling, size: float) -> str:
    """A model's prompt for a drive that is told so."""
    prompt = judge_prompt(telling.drive, telling.scene, size)
    for line, padded in dict(telling.lines).items():
        prompt = prompt.replace(f"- {line}\n", f"- {padded}\n")
    return prompt


def probe_model(
    drives: Sequence[Drive],
    scene: Scene,
    size: float,
    config: LlmConfig,
    ledger: Ledger,
    *,
    samples: int,
    resamples: int,
    seed: int,
) -> tuple[list[dict[str, Any]], list[Judgement]]:
    """Probe a model as judge.

    Args:
        drives, scene, size, config, ledger, samples: as in `judge_llm`; verdicts on the drives as
            they are come from the ledger where they were paid for.
        resamples, seed: of the bootstrap; the seed is also that of the probes' draws.

    Returns:
        records as of `probe_rules`, one more (`again`) for the same prompts asked once more; and
        the judgements of the drives as they are.

    Raises:
        Stop: the server cannot be used or the cap is reached (see archive_tools.llm.client).
    """
    if not drives:
        return [], []
    found = judge_llm(drives, scene, size, config, ledger, samples=samples)
    base = np.array([judgement.mean for judgement in found])
    asked: dict[str, list[tuple[str, int]]] = {
        AGAIN: [(judge_prompt(drive, scene, size), samples) for drive in drives]
    }
    for number, (name, tell) in enumerate(PROBES.items()):
        rng = np.random.default_rng([seed, 20 + number])
        asked[name] = [(prompt_of(tell(drive, scene, rng), size), 0) for drive in drives]

    async def work(asker: Asker, item: tuple[str, int]) -> float:
        prompt, first = item
        answers = [
            await asker.ask(prompt, Verdict, f"judge.{sample}")
            for sample in range(first, first + samples)
        ]
        scores = [answer.value.score for answer in answers if answer.value is not None]
        return float(np.mean(scores)) if scores else float("nan")

    questions = [item for items in asked.values() for item in items]
    scores = np.array(ask_all(questions, work, config, ledger, desc="probes"))
    shifts = scores.reshape(len(asked), len(drives)) - base
    records = [
        _record("llm", name, shift, resamples, seed)
        for name, shift in zip(asked, shifts, strict=True)
        if not np.isnan(shift).all()
    ]
    return records, found


def place_confusion(
    drives: Sequence[Drive], judgements: Sequence[Judgement], scene: Scene
) -> dict[str, Any] | None:
    """What a model says was reached and missed, against the re-annotated drive, place by place.

    Every place that a command names counts once per verdict. Places that a verdict lists neither as
    reached nor as missed are `unsaid`. None where no verdict said anything of a named place.

    Returns:
        record: judge, kind "places", true_positive (said to be reached, and met), false_positive,
        false_negative, true_negative, unsaid, precision, recall, n (places with a verdict).
    """
    counts = {(said, met): 0 for said in (True, False, None) for met in (True, False)}
    for drive, judgement in zip(drives, judgements, strict=True):
        asked = {name for m in parse(drive.text, scene).visits for name in m.names}
        visited = set(drive.driven.visited)
        for verdict in judgement.verdicts:
            reached, missed = (_names(said, scene) for said in (verdict.reached, verdict.missed))
            for name in sorted(asked):
                said = True if name in reached else False if name in missed else None
                counts[said, name in visited] += 1
    yes, wrong = counts[True, True], counts[True, False]
    lost, no = counts[False, True], counts[False, False]
    total = yes + wrong + lost + no
    if not total:
        return None
    return {
        "judge": "judge_llm",
        "against": "re-annotation",
        "kind": "places",
        "true_positive": yes,
        "false_positive": wrong,
        "false_negative": lost,
        "true_negative": no,
        "unsaid": counts[None, True] + counts[None, False],
        "precision": yes / (yes + wrong) if yes + wrong else None,
        "recall": yes / (yes + lost) if yes + lost else None,
        "n": total,
    }


def _names(words: Sequence[str], scene: Scene) -> set[str]:
    return {n for word in words for m in parse(word, scene).mentions for n in m.names}
