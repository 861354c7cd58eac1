"""Judges over the drives of an evaluation: by rules for every test drive, by a model for some."""

import difflib
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from tqdm import tqdm

from archive_tools.evaluation.judge_llm import Case, judge_llm, judge_prompt
from archive_tools.evaluation.judge_rules import judge_rules
from archive_tools.evaluation.probes import PROBES
from archive_tools.evaluation.scored import Scored
from archive_tools.llm import Ledger, LlmConfig, count_tokens, remedy_for
from archive_tools.rollouts import SYSTEMS
from archive_tools.run import bounds
from envs import World
from envs.errors import InputError
from envs.scene import Scene

REPLY_TOKENS = 150  # of a verdict, for the estimate of the cost


@dataclass
class JudgeConfig(LlmConfig):
    """Options of the judges; without --model there are only the rules."""

    judge_items: bounds.Whole = 32
    """Test items whose drives the model judges; 0 means all."""
    judge_systems: tuple[str, ...] = ("nanodt", "nanodt/text_off", "random_elite", "replay")
    """Systems whose drives the model judges."""
    judge_samples: bounds.Count = 3
    """Verdicts per drive; their mean counts."""
    probes: bounds.Whole = 16
    """Judged drives that the model judges again, told longer or rearranged; 0 means none."""

    presets: ClassVar[dict[str, dict[str, Any]]] = {}

    def check(self) -> None:
        """Raise InputError where an option is out of its bounds, or options do not go together."""
        super().check()
        if self.dry_run and not self.model:
            raise InputError("--dry-run needs --model")
        if not self.judge_systems:
            raise InputError("--judge-systems: names no system; leave it out for the usual ones")
        for name in self.judge_systems:
            if name not in SYSTEMS:
                near = difflib.get_close_matches(name, SYSTEMS, 1)
                raise InputError(
                    f"--judge-systems: there is no system {name}"
                    + (f"; did you mean {near[0]}?" if near else f"; found: {', '.join(SYSTEMS)}")
                )


def apply_rules(scored: Scored, world: World) -> None:
    """Fill `judge_rules` and `reasons` of the annotated drives, but for contrast pairs."""
    if world.scene is None:
        return
    frame = scored.frame
    rows = scored.annotated(pairs=False)
    marks, reasons = np.full(len(frame), np.nan), [""] * len(frame)
    for row in tqdm(rows, desc="judge", unit="drive"):
        driven = scored.driven[row]
        assert driven is not None
        reference = scored.references.get(frame["trajectory_id"].iat[row])
        verdict = judge_rules(frame["text"].iat[row], driven, reference, world.scene)
        marks[row], reasons[row] = verdict.score, verdict.reasons
    frame["judge_rules"], frame["reasons"] = marks, reasons


def cases(scored: Scored, rows: Sequence[int]) -> list[Case]:
    """Annotated drives as a judge is shown them."""
    shown = []
    for row in rows:
        record, driven = scored.frame.iloc[row], scored.driven[row]
        assert driven is not None
        target, reached = (tuple(float(v) for v in record[k]) for k in ("target", "reached"))
        shown.append(Case(record["text"], driven, target, reached))
    return shown


def _chosen(config: JudgeConfig, scored: Scored) -> list[int]:
    """Rows that the model judges: the first items, the first seed.

    Raises:
        InputError: there are none.
    """
    frame = scored.frame
    items = sorted(set(frame.loc[frame["set"] == "test", "item"]))
    known = set(items[: config.judge_items or len(items)])
    first = frame["seed"].min()
    rows = [
        row
        for row in scored.annotated(pairs=False)
        if frame["system"].iat[row] in config.judge_systems
        and frame["item"].iat[row] in known
        and frame["seed"].iat[row] == first
    ]
    if not rows:
        driven = ", ".join(dict.fromkeys(frame["system"]))
        raise InputError(
            f"--judge-systems {' '.join(config.judge_systems)}: none of their drives can be "
            f"judged; rollouts/ has drives of {driven}"
        )
    return rows


def _scene(world: World) -> Scene:
    if world.scene is None:
        raise InputError("--model: the world has no scene, so no model can judge its drives")
    return world.scene


def estimate(config: JudgeConfig, prompts: Sequence[str]) -> str:
    """One line on what judging by these prompts will cost."""
    step = max(1, len(prompts) // 100)
    counted = [count_tokens(prompt) for prompt in prompts[::step]]
    asked = len(prompts) * config.judge_samples
    tokens_in = float(np.mean(counted)) * asked if counted else 0.0
    tokens_out = REPLY_TOKENS * asked
    usd = config.price.of(tokens_in, tokens_out)
    price = f", about ${usd:.2f}" if usd else "; no prices given, so no cost"
    return (
        f"{asked:,} verdicts on {len(prompts):,} drives: about {tokens_in:,.0f} prompt tokens and "
        f"{tokens_out:,.0f} reply tokens{price}"
    )


def apply_model(config: JudgeConfig, scored: Scored, world: World) -> dict[str, Any]:
    """Fill `judge_llm` of the chosen drives by asking the model; returns facts for the manifest.

    Raises:
        InputError: the server cannot be used or the cap is reached (see archive_tools.llm.client);
            there is nothing to judge; no verdict could be used.
    """
    scene = _scene(world)
    rows = _chosen(config, scored)
    shown = cases(scored, rows)
    prompts = [judge_prompt(case, scene, world.size) for case in shown]
    print(estimate(config, prompts), file=sys.stderr)
    with Ledger(config.ledger_path()) as ledger:
        judgements = judge_llm(
            shown, scene, world.size, config, ledger, samples=config.judge_samples
        )
        spent = ledger.spent
    marks = np.full(len(scored.frame), np.nan)
    marks[rows] = [judgement.mean for judgement in judgements]
    scored.frame["judge_llm"] = marks
    problems = Counter(problem.split(":")[0] for j in judgements for problem in j.problems)
    if not any(j.verdicts for j in judgements):
        most, count = problems.most_common(1)[0]
        raise InputError(
            f"no verdict could be used: of {sum(problems.values()):,} replies of {config.model}, "
            f"{count:,} for: {most}; "
            f"{remedy_for(most) or 'try another --model'}; nothing was written or replaced"
        )
    spread = [j.spread for j in judgements if np.isfinite(j.spread)]
    return {
        "judge_model": config.model,
        "judge_unusable_replies": sum(problems.values()),
        "judge_problems": dict(problems.most_common(10)),
        "judge_spread": round(float(np.mean(spread)), 4) if spread else 0.0,
        "usd_in_ledger": round(spent, 6),
    }


def show_prompts(config: JudgeConfig, scored: Scored, world: World) -> None:
    """Print three prompts and the estimate; ask nothing."""
    scene = _scene(world)
    shown = cases(scored, _chosen(config, scored))
    prompts = [judge_prompt(case, scene, world.size) for case in shown]
    for number, prompt in enumerate(prompts[:: max(1, -(-len(prompts) // 3))], 1):
        print(f"--- verdict {number} ---\n{prompt}")
    print(estimate(config, prompts))
    again = config.probes * (len(PROBES) + 1) * config.judge_samples
    print(f"and at most {again:,} verdicts more to probe the judge (--probes {config.probes})")
