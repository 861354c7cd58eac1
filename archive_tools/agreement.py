"""Do judges agree: with each other, and with people."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from itertools import combinations

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

from archive_tools.metrics import Floats
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
    marks = [np.rint(np.clip(np.asarray(x, np.float64), 0, 1) * (levels - 1)) for x in (a, b)]
    observed = np.mean((marks[0] - marks[1]) ** 2)
    expected = np.mean((marks[0][:, None] - marks[1][None, :]) ** 2)
    return float(1.0 - observed / expected) if expected > 0 else float("nan")


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
    """One record per pair of judges: their names and the figures of `agreement` (None for NaN)."""
    records = []
    for first, second in combinations(judges, 2):
        figures = asdict(agreement(judges[first], judges[second]))
        records.append(
            {"first": first, "second": second}
            | {key: None if np.isnan(value) else value for key, value in figures.items()}
        )
    return records
