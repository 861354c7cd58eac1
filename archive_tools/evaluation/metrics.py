"""What a drive is worth: final position, route, contrast pairs, and bootstrap intervals.

A route is the sequence of visited objects and tiles, merged in the order of the visits. All
functions take whole batches; sequences are compared in compiled kernels, so thousands of pairs take
milliseconds. Definitions: docs of each function; where a metric has no value it is NaN, and `n` of
its interval counts only the items that have one.
"""

from dataclasses import dataclass
from typing import Literal

import numba
import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]

SUCCESS = 5.0  # a drive succeeds when it ends within this % of the world's diagonal


@dataclass(frozen=True)
class Interval:
    """A statistic over items with its bootstrap interval; `n` items entered it."""

    mean: float
    ci_low: float
    ci_high: float
    n: int


def bd_error(reached: ArrayLike, target: ArrayLike, diagonal: float) -> Floats:
    """Distance of the reached BD to the target, in % of the diagonal.

    Args:
        reached, target: [N, n_bd], the same units.
        diagonal: length of the diagonal of the BD space, in those units.
    """
    gap = np.asarray(reached, np.float64) - np.asarray(target, np.float64)
    return 100.0 * np.linalg.norm(gap, axis=-1) / diagonal


def bd_success(error: ArrayLike) -> Floats:
    """1 where an error [N] of `bd_error` is at most 5 %, else 0; NaN stays NaN."""
    error = np.asarray(error, np.float64)
    return np.where(np.isnan(error), np.nan, error <= SUCCESS)


def bootstrap(
    values: ArrayLike,
    less: ArrayLike | None = None,
    *,
    statistic: Literal["mean", "median"] = "mean",
    resamples: int = 2000,
    level: float = 0.95,
    seed: int = 0,
) -> Interval:
    """A statistic of per-item values [N] with its percentile bootstrap interval (Efron 1979).

    With `less` [N], values of another system on the same items, the statistic of `values` minus
    that of `less`; items are resampled as pairs, so what makes an item hard for both cancels.
    Items with a NaN are left out. With nothing left, the figures are NaN and n is 0.
    """
    columns = [np.asarray(values, np.float64)]
    if less is not None:
        columns.append(np.asarray(less, np.float64))
    sample = np.stack(columns, axis=-1)
    sample = sample[~np.isnan(sample).any(axis=1)]
    n = len(sample)
    if n == 0:
        return Interval(float("nan"), float("nan"), float("nan"), 0)
    median = statistic == "median"
    centre = (np.median if median else np.mean)(sample, axis=0)
    sign = np.array([1.0, -1.0])[: len(columns)]
    state = int(np.random.SeedSequence(seed).generate_state(1)[0])
    draws = _resample(sample, np.argsort(sample, axis=0), sign, resamples, state, median)
    tail = 50.0 * (1.0 - level)
    low, high = np.percentile(draws, [tail, 100.0 - tail])
    return Interval(float(sign @ centre), float(low), float(high), n)


@numba.njit(cache=True)
def _resample(sample, order, sign, resamples, seed, median):
    """Statistics of resamples: per resample the signed sum over the columns' means or medians.

    sample, order: [n, k] values, and per column the rows in rising order. A resample is held as
    counts per row, so its median is found by walking along the order, without sorting anew.
    """
    np.random.seed(seed)
    n, columns = sample.shape
    result = np.zeros(resamples)
    counts = np.empty(n, np.int64)
    for r in range(resamples):
        counts[:] = 0
        for _ in range(n):
            counts[np.random.randint(0, n)] += 1
        for c in range(columns):
            value = 0.0
            if median:
                first, second, seen, i = (n - 1) // 2, n // 2, 0, 0
                while seen + counts[order[i, c]] <= first:
                    seen += counts[order[i, c]]
                    i += 1
                value = sample[order[i, c], c]
                while seen + counts[order[i, c]] <= second:
                    seen += counts[order[i, c]]
                    i += 1
                value = (value + sample[order[i, c], c]) / 2
            else:
                for i in range(n):
                    value += counts[i] * sample[i, c]
                value /= n
            result[r] += sign[c] * value
    return result
