"""Routes and how alike they are: compiled kernels over whole batches of visited sequences."""

from collections.abc import Iterable, Sequence

import numba
import numpy as np
from numpy.typing import NDArray

from envs.errors import InputError

Route = Sequence[str]
Floats = NDArray[np.float64]


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


def lcs_ratio_of_pairs(routes: Sequence[Route], pairs: NDArray[np.int64]) -> Floats:
    """`lcs_ratio` of the routes numbered in each pair, [P, 2]: [P]."""
    coded = Routes(routes, {})
    first, second = (np.ascontiguousarray(side) for side in pairs.T)
    return _lcs_ratio(coded.flat, coded.offsets, coded.flat, coded.offsets, first, second)


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
