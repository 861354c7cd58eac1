"""Are the judges moved by what should not move them? The same drive, told longer or rearranged.

Each probe changes how a drive or its command is put and nothing of what it says. A judge that is
worth trusting gives the same score. How far a score moves when a model is merely asked again is
measured too: no probe can be told apart from less.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from archive_tools.annotations import Annotation, Event
from archive_tools.descriptions import drive_facts
from archive_tools.evaluation.judge_llm import Case, Judgement, judge_llm, judge_prompt
from archive_tools.evaluation.judge_rules import Verdict, judge_rules
from archive_tools.evaluation.metrics import bootstrap
from archive_tools.language import parse
from archive_tools.llm import Asker, Ledger, LlmConfig, ask_all
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
class Presentation:
    """A drive as it is put before a judge."""

    case: Case
    scene: Scene
    lines: tuple[tuple[str, str], ...] = ()
    """(line of the drive, the line that stands for it), for a model's prompt."""


def longer_command(case: Case, scene: Scene, rng: np.random.Generator) -> Presentation:
    """The command with a polite sentence before and after it."""
    text = BEFORE[rng.integers(len(BEFORE))] + case.text + AFTER[rng.integers(len(AFTER))]
    return Presentation(replace(case, text=text), scene)


def longer_drive(case: Case, scene: Scene, rng: np.random.Generator) -> Presentation:
    """The drive with every line padded, and with events at which nothing changes."""
    lines = tuple(
        (line, FILLER[rng.integers(len(FILLER))].format(line))
        for line in drive_facts(case.driven, scene)["drive"]
    )
    events: list[Event] = []
    for event in case.driven.events:
        if events:
            between = (events[-1].timestep + event.timestep) // 2
            if between > events[-1].timestep:
                events.append(replace(events[-1], timestep=between))
        events.append(event)
    return Presentation(replace(case, driven=Annotation(tuple(events))), scene, lines)


def facts_reordered(case: Case, scene: Scene, rng: np.random.Generator) -> Presentation:
    """Objects of the scene, and what is near at each event, named in another order."""
    objects = tuple(scene.objects[i] for i in rng.permutation(len(scene.objects)))
    events = tuple(replace(e, near=e.near[::-1]) for e in case.driven.events)
    return Presentation(replace(case, driven=Annotation(events)), replace(scene, objects=objects))


PROBES: dict[str, Callable[[Case, Scene, np.random.Generator], Presentation]] = {
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
    interval = bootstrap(shift, resamples=resamples, seed=seed)
    return {
        "judge": judge,
        "probe": probe,
        "shift": interval.mean,
        "ci_low": interval.ci_low,
        "ci_high": interval.ci_high,
        "sd": float(np.std(shift, ddof=1)) if len(shift) > 1 else 0.0,
        "largest": float(np.abs(shift).max()),
        "moved": float((np.abs(shift) > MOVED).mean()),
        "n": interval.n,
    }


def probe_rules(
    cases: Sequence[Case],
    references: Sequence[Annotation],
    scene: Scene,
    *,
    resamples: int,
    seed: int,
) -> list[dict[str, Any]]:
    """Probe the judge by rules: one record per probe.

    Args:
        cases: drives to judge.
        references: of each, the annotation of the trajectory that its command describes.
        scene: the objects and tiles that exist.
        resamples, seed: of the bootstrap; the seed is also that of the probes' draws.

    Returns:
        records: judge, probe, shift (mean change of the score) with ci_low and ci_high, sd,
        largest (absolute change), moved (share of drives that moved by more than 0.05), n.
    """

    def score(presentation: Presentation, reference: Annotation) -> float:
        return judge_rules(
            presentation.case.text, presentation.case.driven, reference, presentation.scene
        ).score

    if not cases:
        return []
    base = [score(Presentation(c, scene), r) for c, r in zip(cases, references, strict=True)]
    records = []
    for number, (name, present) in enumerate(PROBES.items()):
        rng = np.random.default_rng([seed, 20 + number])
        scores = [score(present(c, scene, rng), r) for c, r in zip(cases, references, strict=True)]
        shift = np.subtract(scores, base)
        records.append(_record("rules", name, shift, resamples, seed))
    return records


def prompt_of(presentation: Presentation, size: float) -> str:
    """A model's prompt for a drive that is put so."""
    prompt = judge_prompt(presentation.case, presentation.scene, size)
    for line, padded in dict(presentation.lines).items():
        prompt = prompt.replace(f"- {line}\n", f"- {padded}\n")
    return prompt


def probe_model(
    cases: Sequence[Case],
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
        cases, scene, size, config, ledger, samples: as in `judge_llm`; verdicts on the drives as
            they are come from the ledger where they were paid for.
        resamples, seed: of the bootstrap; the seed is also that of the probes' draws.

    Returns:
        records as of `probe_rules`, one more (`again`) for the same prompts asked once more; and
        the judgements of the drives as they are.

    Raises:
        Stop: the server cannot be used or the cap is reached (see archive_tools.llm.client).
    """
    if not cases:
        return [], []
    judgements = judge_llm(cases, scene, size, config, ledger, samples=samples)
    base = np.array([judgement.mean for judgement in judgements])
    asked: dict[str, list[tuple[str, int]]] = {
        AGAIN: [(judge_prompt(case, scene, size), samples) for case in cases]
    }
    for number, (name, present) in enumerate(PROBES.items()):
        rng = np.random.default_rng([seed, 20 + number])
        asked[name] = [(prompt_of(present(case, scene, rng), size), 0) for case in cases]

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
    shifts = scores.reshape(len(asked), len(cases)) - base
    records = [
        _record("llm", name, shift, resamples, seed)
        for name, shift in zip(asked, shifts, strict=True)
        if not np.isnan(shift).all()
    ]
    return records, judgements


def place_confusion(
    cases: Sequence[Case], judgements: Sequence[Judgement], scene: Scene
) -> dict[str, Any] | None:
    """What a model says was reached and missed, against the re-annotated drive, place by place.

    Every place that a command names counts once per verdict. Places that a verdict lists neither as
    reached nor as missed are `unsaid`. None where no verdict said anything of a named place.

    Returns:
        record: judge, kind "places", true_positive (said to be reached, and met), false_positive,
        false_negative, true_negative, unsaid, precision, recall, n (places with a verdict).
    """
    counts = {(said, met): 0 for said in (True, False, None) for met in (True, False)}
    for case, judgement in zip(cases, judgements, strict=True):
        asked = {name for m in parse(case.text, scene).route for name in m.names}
        visited = set(case.driven.visited)
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
    return {n for word in words for m in parse(word, scene).places for n in m.names}
