"""Do judges agree: with each other, with people, and with what was driven?

People's ratings lie in `RUN/ratings/*.jsonl`, one line each: item, system, seed (0 where missing),
rater, score (0 to 10), time, and, where it is known, the digest of the `rollouts/` that was rated.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy import stats
from sklearn.metrics import cohen_kappa_score

from archive_tools.evaluation.metrics import Floats
from envs.errors import InputError


@dataclass(frozen=True)
class Agreement:
    """Agreement of two judges over the `n` drives that both have scored; NaN where undefined."""

    kendall_tau: float
    spearman: float
    pearson: float
    weighted_kappa: float
    n: int


def weighted_kappa(a: ArrayLike, b: ArrayLike, *, levels: int = 11) -> float:
    """Cohen's kappa with quadratic weights (Cohen 1968) of two score vectors [N] in [0, 1].

    Scores are rounded to `levels` equal steps (11: the marks 0 to 10). NaN when both judges always
    give one and the same mark: chance agreement is then complete.
    """
    marks = [np.rint(np.clip(_scores(x), 0, 1) * (levels - 1)).astype(np.int64) for x in (a, b)]
    if np.ptp(np.concatenate(marks)) == 0:
        return float("nan")
    return float(cohen_kappa_score(*marks, weights="quadratic", labels=range(levels)))


def agreement(a: ArrayLike, b: ArrayLike) -> Agreement:
    """Kendall's tau-b, Spearman, Pearson and weighted kappa of two score vectors [N] in [0, 1].

    Drives that one of the two has not scored (NaN) are left out. The correlations are NaN when a
    judge gives a single mark to all, or with fewer than two drives.

    Raises:
        InputError: the vectors differ in length.
    """
    a, b = (_scores(x) for x in (a, b))
    if a.shape != b.shape:
        raise InputError(f"judge scores: {len(a)} of one against {len(b)} of the other")
    both = ~(np.isnan(a) | np.isnan(b))
    a, b = a[both], b[both]
    nan = float("nan")
    if len(a) < 2:
        return Agreement(nan, nan, nan, nan, len(a))
    kappa = weighted_kappa(a, b)
    if np.ptp(a) == 0 or np.ptp(b) == 0:
        return Agreement(nan, nan, nan, kappa, len(a))
    tau, rho, r = (
        float(np.asarray(f(a, b))[0]) for f in (stats.kendalltau, stats.spearmanr, stats.pearsonr)
    )
    return Agreement(tau, rho, r, kappa, len(a))


def _scores(values: ArrayLike) -> Floats:
    return np.asarray(values, np.float64).reshape(-1)


def agreement_table(judges: Mapping[str, ArrayLike]) -> list[dict[str, str | float | int | None]]:
    """One record per pair of judges: their names and the figures of `agreement` (None for NaN).

    People's mean is not compared with a single rater ("people:NAME"), who is part of it.
    """
    records = []
    for first, second in combinations(judges, 2):
        if first == "judge_people" and second.startswith("people:"):
            continue
        figures = asdict(agreement(judges[first], judges[second]))
        records.append(
            {"first": first, "second": second}
            | {key: None if np.isnan(value) else value for key, value in figures.items()}
        )
    return records


LEVELS = ("disobeyed", "partly", "obeyed")
LEVEL_EDGES = (1 / 3, 2 / 3)
"""Scores below the first are "disobeyed", from the second on "obeyed"."""


def level(scores: ArrayLike) -> NDArray[np.int64]:
    """Index into LEVELS of scores [N] in [0, 1]."""
    # Rounded, or a third that comes from a sum would fall on either side of its edge.
    return np.digitize(np.round(_scores(scores), 9), np.round(LEVEL_EDGES, 9)).astype(np.int64)


def confusion(judge: str, scores: ArrayLike, driven: ArrayLike) -> dict[str, Any] | None:
    """A judge against the re-annotated drives, in three levels.

    Args:
        judge: its name.
        scores: [N] in [0, 1]; NaN where it gave none.
        driven: [N] share of the command's places that the drive met in order, of the annotation of
            the drive; NaN where the command names none.

    Returns:
        record: judge, against, levels, matrix (rows: the annotation's level, columns: the judge's),
        agreement (share on the diagonal), weighted_kappa of the levels, n. None where n is 0.
    """
    scores, driven = _scores(scores), _scores(driven)
    both = ~(np.isnan(scores) | np.isnan(driven))
    if not both.any():
        return None
    rows, columns = level(driven[both]), level(scores[both])
    matrix = np.zeros((len(LEVELS), len(LEVELS)), np.int64)
    np.add.at(matrix, (rows, columns), 1)
    kappa = weighted_kappa(rows / 2, columns / 2, levels=len(LEVELS))
    return {
        "judge": judge,
        "against": "re-annotation",
        "levels": list(LEVELS),
        "matrix": matrix.tolist(),
        "agreement": float(np.trace(matrix) / matrix.sum()),
        "weighted_kappa": None if np.isnan(kappa) else kappa,
        "n": int(matrix.sum()),
    }


def rater_scores(ratings: pd.DataFrame, drives: pd.DataFrame) -> dict[str, Floats]:
    """Scores of each rater and of all (their mean, "judge_people") over the rows of `drives`.

    Args:
        ratings: of `read_ratings`.
        drives: rows with system, item, seed.

    Returns:
        name → [N], NaN where unrated; "judge_people" first, then "people:NAME" for each of several
        raters; {} without ratings.
    """
    if ratings.empty:
        return {}
    keys = ["system", "item", "seed"]
    index = pd.MultiIndex.from_arrays([drives[key] for key in keys])

    def over(rows: pd.DataFrame) -> Floats:
        mean: Any = rows.groupby(keys)["score"].mean()
        return np.asarray(mean.reindex(index), np.float64)

    raters: Sequence[str] = sorted(set(ratings["rater"]))
    scores = {"judge_people": over(ratings)}
    if len(raters) > 1:
        scores |= {
            f"people:{name}": over(ratings.loc[ratings["rater"] == name, :]) for name in raters
        }
    return scores
