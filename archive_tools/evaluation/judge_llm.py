"""Does a drive obey its command? By rules from the words of the command, or by a language model.

The rules read the command with the parser of the checks (which places, in which order, where to
stop) and look at what was driven. A model gets the facts of the scene, the command and the drive,
and returns the same structured verdict; it is asked several times, and mean and spread are kept.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

import prompts
from archive_tools.annotations import Annotation
from archive_tools.descriptions import drive_facts, scene_facts
from archive_tools.evaluation.judge_rules import Verdict
from archive_tools.language import fill_descriptor
from archive_tools.llm import Asker, Ledger, LlmConfig, ask_all
from envs.scene import Scene


@dataclass(frozen=True)
class Case:
    """A drive to be judged by a model."""

    text: str
    """The command; `<DESCRIPTOR>` is filled with `target`."""
    driven: Annotation
    target: tuple[float, ...]
    """The BD that was asked for, in world units."""
    reached: tuple[float, ...]
    """The BD where the drive ended."""


@dataclass(frozen=True)
class Judgement:
    """A model's verdicts on one drive."""

    mean: float
    """Of the scores; NaN when no verdict could be used."""
    spread: float
    """Standard deviation of the scores; NaN for fewer than two."""
    verdicts: tuple[Verdict, ...]
    problems: tuple[str, ...]
    """One per reply that could not be used."""


def judge_prompt(case: Case, scene: Scene, size: float) -> str:
    """The rendered prompt for a drive in a world of side `size`."""
    has_target = len(case.target) == 2
    return prompts.render(
        "judge",
        **scene_facts(scene),
        **drive_facts(case.driven, scene),
        command=fill_descriptor(case.text, case.target),
        target=_point(case.target) if has_target else "",
        reached=_point(case.reached),
        size=f"{size:.0f}",
    )


def _point(bd: Sequence[float]) -> str:
    return fill_descriptor("<DESCRIPTOR>", bd)


async def _judge_one(
    config: LlmConfig, scene: Scene, size: float, samples: int, asker: Asker, case: Case
) -> Judgement:
    prompt = judge_prompt(case, scene, size)
    verdicts, problems = [], []
    for sample in range(samples):
        answer = await asker.ask(prompt, Verdict, f"judge.{sample}")
        if answer.value is not None:
            verdicts.append(answer.value)
        else:
            problems.append(answer.problem)
            if answer.final:
                break
    scores = [verdict.score for verdict in verdicts]
    return Judgement(
        mean=float(np.mean(scores)) if scores else math.nan,
        spread=float(np.std(scores, ddof=1)) if len(scores) > 1 else math.nan,
        verdicts=tuple(verdicts),
        problems=tuple(problems),
    )


def judge_llm(
    cases: Sequence[Case],
    scene: Scene,
    size: float,
    config: LlmConfig,
    ledger: Ledger,
    *,
    samples: int = 3,
) -> list[Judgement]:
    """Have a model judge drives, each `samples` times.

    Args:
        cases: drives in any order.
        scene: the objects and tiles that exist.
        size: the world's side, in world units.
        config: which model, where, and the caps (see LlmConfig).
        ledger: open; verdicts already paid for are taken from it.
        samples: verdicts per drive.

    Returns:
        one judgement per case, in their order.

    Raises:
        Stop: the server cannot be used or the cap is reached (see archive_tools.llm.client).
    """
    work = partial(_judge_one, config, scene, size, samples)
    return ask_all(cases, work, config, ledger, desc="judge")
