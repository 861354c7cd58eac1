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
from pydantic import BaseModel, Field

import prompts
from archive_tools.annotate import Annotation
from archive_tools.checks import fill_descriptor, say
from archive_tools.facts import drive_facts, scene_facts
from archive_tools.ledger import Ledger
from archive_tools.llm import Asker, ask_all
from archive_tools.llm_config import LlmConfig
from archive_tools.mentions import Mention, parse
from archive_tools.metrics import lcs_ratio
from envs.scene import Scene


class Verdict(BaseModel):
    """What a judge says about one drive."""

    score: float = Field(ge=0, le=1)
    """0: ignores the command; 1: obeys it fully."""
    reached: list[str]
    """Places of the command that were met."""
    missed: list[str]
    """Places of the command that were not."""
    extra: list[str]
    """Places met that do not fit the command."""
    in_order: bool
    """The places that were reached were reached in the order of the command."""
    reasons: str


def judge_rules(
    text: str, driven: Annotation, reference: Annotation | None, scene: Scene
) -> Verdict:
    """Judge a drive by the words of its command.

    The score is the mean of what can be judged: the share of the mentioned places that were met in
    order (counted twice); that places not to be met were left alone, and that the drive ends where
    the command has it stop; and, with a reference, the LCS ratio of both visited sequences.

    Args:
        text: the command.
        driven: annotation of the drive.
        reference: annotation of the trajectory that the command describes; None to judge by the
            words alone.
        scene: the objects and tiles that exist.
    """
    parsed = parse(text, scene)
    visits, visited = parsed.visits, driven.visited
    met = [any(name in visited for name in m.names) for m in visits]
    kept = _longest_common(visits, visited)
    parts: list[float] = []
    reasons: list[str] = []
    if visits:
        parts += [kept / len(visits)] * 2
        reasons.append(f"{kept} of {len(visits)} places met in order")
    avoided = [m for m in parsed.mentions if m.role == "negated"]
    if avoided:
        hit = [m for m in avoided if any(name in visited for name in m.names)]
        parts.append(1 - len(hit) / len(avoided))
        reasons += [f"{say(m)} was to be left alone" for m in hit]
    if parsed.stop:
        last = driven.events[-1]
        there = {last.tile, *(near.object for near in last.near)}
        right = [bool(there & set(m.names)) for m in parsed.stop]
        parts.append(sum(right) / len(right))
        reasons.append("stops where it should" if all(right) else "stops elsewhere")
    extra: list[str] = []
    if reference is not None:
        ratio = float(lcs_ratio([visited], [reference.visited])[0])
        parts.append(ratio)
        reasons.append(f"the route agrees with the reference to {ratio:.0%}")
        extra = [n for n in dict.fromkeys(visited) if n not in reference.visited]
    if not parts:
        reasons.append("the command names no place, so any way there obeys it")
    return Verdict(
        score=min(1.0, sum(parts) / len(parts)) if parts else 1.0,
        reached=[m.words for m, yes in zip(visits, met, strict=True) if yes],
        missed=[m.words for m, yes in zip(visits, met, strict=True) if not yes],
        extra=extra,
        in_order=kept >= sum(met),
        reasons="; ".join(reasons),
    )


def _longest_common(visits: Sequence[Mention], visited: Sequence[str]) -> int:
    """Length of the longest common subsequence of mentions and visited names."""
    row = [0] * (len(visited) + 1)
    for mention in visits:
        diagonal = 0
        for k, name in enumerate(visited, 1):
            above = row[k]
            row[k] = diagonal + 1 if name in mention.names else max(above, row[k - 1])
            diagonal = above
    return row[-1]


@dataclass(frozen=True)
class Drive:
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


def judge_prompt(drive: Drive, scene: Scene, size: float) -> str:
    """The rendered prompt for a drive in a world of side `size`."""
    has_target = len(drive.target) == 2
    return prompts.render(
        "judge",
        **scene_facts(scene),
        **drive_facts(drive.driven, scene),
        command=fill_descriptor(drive.text, drive.target),
        target=_point(drive.target) if has_target else "",
        reached=_point(drive.reached),
        size=f"{size:.0f}",
    )


def _point(bd: Sequence[float]) -> str:
    return fill_descriptor("<DESCRIPTOR>", bd)


async def _judge_one(
    config: LlmConfig, scene: Scene, size: float, samples: int, asker: Asker, drive: Drive
) -> Judgement:
    prompt = judge_prompt(drive, scene, size)
    verdicts, problems = [], []
    for sample in range(samples):
        answer = await asker.ask(prompt, Verdict, f"judge.{sample}")
        if answer.value is not None:
            verdicts.append(answer.value)
        else:
            problems.append(answer.problem)
            if answer.refused:
                break
    scores = [verdict.score for verdict in verdicts]
    return Judgement(
        mean=float(np.mean(scores)) if scores else math.nan,
        spread=float(np.std(scores, ddof=1)) if len(scores) > 1 else math.nan,
        verdicts=tuple(verdicts),
        problems=tuple(problems),
    )


def judge_llm(
    drives: Sequence[Drive],
    scene: Scene,
    size: float,
    config: LlmConfig,
    ledger: Ledger,
    *,
    samples: int = 3,
) -> list[Judgement]:
    """Have a model judge drives, each `samples` times.

    Args:
        drives: in any order.
        scene: the objects and tiles that exist.
        size: the world's side, in world units.
        config: which model, where, and the caps (see LlmConfig).
        ledger: open; verdicts already paid for are taken from it.
        samples: verdicts per drive.

    Returns:
        one judgement per drive, in their order.

    Raises:
        Stop: the server cannot be used or the cap is reached (see archive_tools.llm).
    """
    work = partial(_judge_one, config, scene, size, samples)
    return ask_all(drives, work, config, ledger, desc="judge")
