"""What a drive is worth: final position, route, contrast pairs, and bootstrap intervals.

A route is the sequence of visited objects and tiles, merged in the order of the visits. All
functions take whole batches; sequences are compared in compiled kernels, so thousands of pairs take
milliseconds. Definitions: docs of each function; where a metric has no value it is NaN, and `n` of
its interval counts only the items that have one.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

import numba
import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.spatial import KDTree

from envs.errors import InputError

Route = Sequence[str]
Floats = NDArray[np.float64]

SUCCESS = 5.0  # a drive succeeds when it ends within this % of the world's diagonal
CONTRAST_DISTANCE = 0.05  # of the diagonal: how near two BDs are in a contrast pair
CONTRAST_OVERLAP = 0.5  # LCS ratio: how alike two routes may be in a contrast pair


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


class Routes:
    """Routes as one flat integer array, for the kernels.

    Args:
        routes: N sequences of names.
        names: name → code; shared between the two sides of a comparison and grown here.
    """

    def __init__(self, routes: Iterable[Route], names: dict[str, int]) -> None:
        codes = [[names.setdefault(name, len(names)) for name in route] for route in routes]
        self.offsets = np.concatenate([[0], np.cumsum([len(c) for c in codes])]).astype(np.int64)
        self.flat = np.array([code for row in codes for code in row], np.int32)


@numba.njit(cache=True)
def _lcs_ratio(a, a_off, b, b_off, left, right):
    result = np.empty(len(left))
    for k in range(len(left)):
        x = a[a_off[left[k]] : a_off[left[k] + 1]]
        y = b[b_off[right[k]] : b_off[right[k] + 1]]
        longer = max(len(x), len(y))
        if longer == 0:
            result[k] = 1.0
            continue
        row = np.zeros(len(y) + 1, np.int32)  # lengths for the prefixes of x seen so far
        for i in range(len(x)):
            diagonal = 0
            for j in range(len(y)):
                above = row[j + 1]
                if x[i] == y[j]:
                    row[j + 1] = diagonal + 1
                elif row[j] > above:
                    row[j + 1] = row[j]
                diagonal = above
        result[k] = row[len(y)] / longer
    return result


@numba.njit(cache=True)
def _set_f1(a, a_off, b, b_off, size):
    result = np.empty(len(a_off) - 1)
    seen = np.zeros(size, np.int64)  # 1: in a, 2: in b, 3: in both; wiped per pair
    for k in range(len(result)):
        seen[:] = 0
        for i in range(a_off[k], a_off[k + 1]):
            seen[a[i]] |= 1
        for j in range(b_off[k], b_off[k + 1]):
            seen[b[j]] |= 2
        both, total = 0, 0
        for s in seen:
            both += s == 3
            total += (s & 1) + (s >> 1)
        result[k] = 1.0 if total == 0 else 2.0 * both / total
    return result


@numba.njit(cache=True)
def _order_tau(a, a_off, b, b_off, size):
    result = np.empty(len(a_off) - 1)
    place = np.empty(size, np.int64)  # first visit in b
    for k in range(len(result)):
        place[:] = -1
        for j in range(b_off[k + 1] - 1, b_off[k] - 1, -1):
            place[b[j]] = j
        taken = np.zeros(size, np.bool_)
        order = np.empty(size, np.int64)
        n = 0
        for i in range(a_off[k], a_off[k + 1]):
            if place[a[i]] >= 0 and not taken[a[i]]:
                taken[a[i]] = True
                order[n] = place[a[i]]
                n += 1
        score = 0
        for i in range(n):
            for j in range(i):
                score += 1 if order[j] < order[i] else -1
        result[k] = score / (n * (n - 1) / 2) if n > 1 else np.nan
    return result


def _sides(driven: Sequence[Route], reference: Sequence[Route]) -> tuple[Routes, Routes, int]:
    if len(driven) != len(reference):
        raise InputError(f"routes: {len(driven)} driven against {len(reference)} references")
    names: dict[str, int] = {}
    return Routes(driven, names), Routes(reference, names), max(len(names), 1)


def lcs_ratio(driven: Sequence[Route], reference: Sequence[Route]) -> Floats:
    """Length of the longest common subsequence over the longer route's length, pair by pair: [N].

    Two empty routes agree (1); an empty one against any other does not (0).
    """
    a, b, _ = _sides(driven, reference)
    index = np.arange(len(driven))
    return _lcs_ratio(a.flat, a.offsets, b.flat, b.offsets, index, index)


def lcs_length(driven: Sequence[Route], reference: Sequence[Route]) -> Floats:
    """Length of the longest common subsequence, pair by pair: [N]."""
    longer = [max(len(a), len(b)) for a, b in zip(driven, reference, strict=True)]
    return np.rint(lcs_ratio(driven, reference) * np.array(longer))


def set_f1(driven: Sequence[Route], reference: Sequence[Route]) -> Floats:
    """F1 of the sets of visited names, pair by pair: [N]. Order and repeats do not count."""
    a, b, size = _sides(driven, reference)
    return _set_f1(a.flat, a.offsets, b.flat, b.offsets, size)


def order_tau(driven: Sequence[Route], reference: Sequence[Route]) -> Floats:
    """Kendall's tau between the orders in which the names common to both were first visited: [N].

    NaN with fewer than two names in common: there is no order to compare.
    """
    a, b, size = _sides(driven, reference)
    return _order_tau(a.flat, a.offsets, b.flat, b.offsets, size)


def contrast_pairs(
    bd: ArrayLike,
    routes: Sequence[Route],
    diagonal: float,
    *,
    seed: int = 0,
    limit: int | None = None,
) -> NDArray[np.int64]:
    """Pairs of items that end at one place but get there by different ways: [P, 2], indices.

    The BDs of a pair lie within 5 % of the diagonal, the LCS ratio of its routes is at most 0.5. An
    item is in one pair at most, so pairs are independent draws for the bootstrap. Candidates are
    taken in a seeded order until none, or `limit` pairs, are left.

    Args:
        bd: [N, n_bd].
        routes: N routes.
        diagonal: of the BD space, in units of `bd`.
    """
    bd = np.asarray(bd, np.float64)
    if len(bd) < 2:
        return np.empty((0, 2), np.int64)
    near = KDTree(bd).query_pairs(CONTRAST_DISTANCE * diagonal, output_type="ndarray")
    near = near[np.lexsort(near.T[::-1])].astype(np.int64)
    coded = Routes(routes, {})
    ratio = _lcs_ratio(
        coded.flat, coded.offsets, coded.flat, coded.offsets, near[:, 0].copy(), near[:, 1].copy()
    )
    near = np.random.default_rng(seed).permutation(near[ratio <= CONTRAST_OVERLAP])
    used: set[int] = set()
    pairs: list[tuple[int, int]] = []
    for i, j in near.tolist():
        if limit is not None and len(pairs) >= limit:
            break
        if i not in used and j not in used:
            used.update((i, j))
            pairs.append((i, j))
    return np.array(pairs, np.int64).reshape(-1, 2)


def contrast_score(driven: Sequence[Route], own: Sequence[Route], other: Sequence[Route]) -> Floats:
    """1 where the driven route is nearer (LCS ratio) to its own text's reference than to the other
    text's, 0 where it is farther, 0.5 in a tie: [N]. Ignoring the text gives 0.5 in the mean.
    """
    return 0.5 + 0.5 * np.sign(lcs_ratio(driven, own) - lcs_ratio(driven, other))


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
    found = (np.median if median else np.mean)(sample, axis=0)
    sign = np.array([1.0, -1.0])[: len(columns)]
    state = int(np.random.SeedSequence(seed).generate_state(1)[0])
    draws = _resample(sample, np.argsort(sample, axis=0), sign, resamples, state, median)
    tail = 50.0 * (1.0 - level)
    low, high = np.percentile(draws, [tail, 100.0 - tail])
    return Interval(float(sign @ found), float(low), float(high), n)


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
