"""From scored drives to the files of `evaluation/`: judges, intervals, agreement, probes."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from archive_tools.evaluation import counterfactuals
from archive_tools.evaluation.agreement import agreement_table, confusion, rater_scores
from archive_tools.evaluation.judging import JudgeConfig, apply_model, apply_rules, cases
from archive_tools.evaluation.measures import instruction_order
from archive_tools.evaluation.probes import place_confusion, probe_model, probe_rules
from archive_tools.evaluation.registry import METRICS
from archive_tools.evaluation.scored import Scored
from archive_tools.evaluation.summary import differences, summarise
from archive_tools.llm import Ledger
from archive_tools.rollouts import command_files
from envs import World

Record = dict[str, Any]


@dataclass
class Results:
    """What an evaluation found, as records; docs/evaluation.md has their fields."""

    metrics: list[Record]
    differences: list[Record]
    agreement: list[Record]
    confusion: list[Record]
    probes: list[Record]
    counterfactuals: list[Record]
    effects: pd.DataFrame
    """Of the counterfactual instructions: one row per pair of drives."""
    facts: Record = field(default_factory=dict)
    """Of the judges, for the manifest."""


def judge_and_sum_up(
    scored: Scored,
    world: World,
    instructions: pd.DataFrame,
    ratings: pd.DataFrame,
    config: JudgeConfig,
    *,
    resamples: int,
) -> Results:
    """Fill the judges' columns of the drives, and sum everything up.

    Args:
        scored: of `score_run`; its frame gets the columns of judges and counterfactuals.
        world: of the run.
        instructions: the table of `rollouts/`.
        ratings: people's, with columns item, system, seed, rater, score in [0, 1].
        config: options of the judges.
        resamples: of the bootstrap.

    Raises:
        InputError: the server cannot be used or the cap is reached (see archive_tools.llm.client).
    """
    options: dict[str, Any] = {"resamples": resamples, "seed": config.seed}
    effects = counterfactuals.compare(scored, instructions)
    apply_rules(scored, world)
    facts = apply_model(config, scored, world) if config.model else {}
    raters = rater_scores(ratings, scored.frame)
    scored.frame["judge_people"] = raters.get("judge_people", np.nan)
    judges = {
        m.name: np.asarray(scored.frame[m.column], float) for m in METRICS.values() if m.judge
    }
    judges = {n: v for n, v in {**judges, **raters}.items() if not np.isnan(v).all()}
    probes, places = probe_judges(config, scored, world, facts, **options)
    return Results(
        metrics=summarise(scored.frame, **options),
        differences=differences(scored.frame, **options),
        agreement=agreement_table(judges),
        confusion=[*confusions(scored, judges), *places],
        probes=probes,
        counterfactuals=counterfactuals.effect_records(effects, **options),
        effects=effects,
        facts=facts,
    )


def probe_judges(
    config: JudgeConfig, scored: Scored, world: World, facts: Record, **options: Any
) -> tuple[list[Record], list[Record]]:
    """Probe the rules on the policy's drives of the first seed, and the model on some that it
    judged; `facts` gets the cost in the ledger where a model was asked.

    Returns:
        the records of `probes.json`; and what the model says of places, for `confusion.json`.
    """
    frame, scene = scored.frame, world.scene
    if scene is None:
        return [], []
    first = (frame["seed"] == frame["seed"].min()) & (frame["set"] == command_files.NARRATORS)
    first &= frame["judge_rules"].notna()
    rows = np.flatnonzero(first & (frame["system"] == "nanodt")).tolist()
    references = [scored.references[int(frame["trajectory_id"].iat[row])] for row in rows]
    records = probe_rules(cases(scored, rows), references, scene, **options)
    judged = np.flatnonzero(frame["judge_llm"].notna())
    if not config.probes or not len(judged):
        return records, []
    spread = np.linspace(0, len(judged) - 1, min(config.probes, len(judged))).round().astype(int)
    probed = cases(scored, judged[spread].tolist())
    with Ledger(config.ledger_path()) as ledger:
        of_model, judgements = probe_model(
            probed, scene, world.size, config, ledger, samples=config.judge_samples, **options
        )
        facts["usd_in_ledger"] = round(ledger.spent, 6)
    places = place_confusion(probed, judgements, scene)
    return records + of_model, [places] if places else []


def confusions(scored: Scored, judges: Mapping[str, NDArray[np.float64]]) -> list[Record]:
    """Each judge against the re-annotated drives: do they meet what the item's text names?"""
    if scored.scene is None:
        return []
    met, rows = np.full(len(scored.frame), np.nan), scored.annotated()
    texts = scored.frame["text"].iloc[rows].tolist()
    met[rows] = instruction_order(texts, scored.routes(rows), scored.scene)
    records = (confusion(name, scores, met) for name, scores in judges.items())
    return [record for record in records if record is not None]
