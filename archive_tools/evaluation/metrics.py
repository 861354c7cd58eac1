"""What a drive is worth: final position, route, contrast pairs, and bootstrap intervals.

A route is the sequence of visited objects and tiles, merged in the order of the visits. All
functions take whole batches; sequences are compared in compiled kernels, so thousands of pairs take
milliseconds. Definitions: docs of each function; where a metric has no value it is NaN, and `n` of
its interval counts only the items that have one.
"""

from collections.abc import Sequence
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


def ndtw(
    driven: Sequence[ArrayLike],
    reference: Sequence[ArrayLike],
    *,
    spacing: float,
    threshold: float,
) -> Floats:
    """Normalised dynamic time warping of paths, pair by pair (Ilharco et al. 2019): [N].

    exp(−DTW(R, Q) / (|R| · threshold)), in which DTW is the least sum of distances between the
    points of the reference R and of the driven path Q over all ways to step through both; 1 where
    they are the same. Both are first cut into points `spacing` apart along the path, and its end,
    so that neither standing nor pace counts.

    Args:
        driven, reference: N paths each, [T, 2 or more] with x and y first.
        spacing: between the points, in the paths' units.
        threshold: d_th, the distance that is forgiven, in the same units.
    """
    paths = [
        [
            _evenly(np.ascontiguousarray(np.asarray(path)[:, :2], np.float64), spacing)
            for path in side
        ]
        for side in (driven, reference)
    ]
    return np.array(
        [np.exp(-_dtw(q, r) / (len(r) * threshold)) for q, r in zip(*paths, strict=True)]
    )


@numba.njit(cache=True)
def _evenly(path, spacing):
    """Points `spacing` apart along a path [T, 2], the first and the last of it among them."""
    length = 0.0
    for i in range(1, len(path)):
        length += np.hypot(path[i, 0] - path[i - 1, 0], path[i, 1] - path[i - 1, 1])
    points = np.empty((int(length / spacing) + 3, 2))
    points[0] = path[0]
    count, since = 1, 0.0  # since: how far along the path the last point lies behind
    for i in range(1, len(path)):
        start, step = path[i - 1], path[i] - path[i - 1]
        reach = np.hypot(step[0], step[1])
        at = spacing - since
        while at <= reach and reach > 0:
            points[count] = start + step * (at / reach)
            count += 1
            at += spacing
        since = reach - (at - spacing)
    if since > 1e-6 * spacing:
        points[count] = path[-1]
        count += 1
    return points[:count]


@numba.njit(cache=True)
def _dtw(a, b):
    """Least sum of distances over all monotone alignments of two sequences of points [n, 2]."""
    before = np.full(len(b) + 1, np.inf)
    row = np.empty(len(b) + 1)
    before[0] = 0.0
    for i in range(len(a)):
        row[0] = np.inf
        for j in range(len(b)):
            gap = np.hypot(a[i, 0] - b[j, 0], a[i, 1] - b[j, 1])
            row[j + 1] = gap + min(before[j], before[j + 1], row[j])
        before, row = row, before
    return before[len(b)]
