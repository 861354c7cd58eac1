"""Contrast pairs: commands that end at one place and go there by different paths."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.spatial import KDTree

from archive_tools.annotations import similarity
from archive_tools.annotations import similarity

Floats = NDArray[np.float64]
CONTRAST_DISTANCE = 0.05  # of the diagonal: how near two BDs are in a contrast pair
CONTRAST_OVERLAP = 0.5  # LCS ratio: how alike two routes may be in a contrast pair


def contrast_pairs(
    bd: ArrayLike,
    routes: Sequence[similarity.Route],
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
    alike = similarity.lcs_ratio_of_pairs(routes, near)
    near = np.random.default_rng(seed).permutation(near[alike <= CONTRAST_OVERLAP])
    used: set[int] = set()
    pairs: list[tuple[int, int]] = []
    for i, j in near.tolist():
        if limit is not None and len(pairs) >= limit:
            break
        if i not in used and j not in used:
            used.update((i, j))
            pairs.append((i, j))
    return np.array(pairs, np.int64).reshape(-1, 2)


def contrast_score(
    driven: Sequence[similarity.Route],
    own: Sequence[similarity.Route],
    other: Sequence[similarity.Route],
) -> Floats:
    """1 where the driven route is nearer (LCS ratio) to its own text's reference than to the other
    text's, 0 where it is farther, 0.5 in a tie: [N]. Ignoring the text gives 0.5 in the mean.
    """
    return 0.5 + 0.5 * np.sign(similarity.lcs_ratio(driven, own) - similarity.lcs_ratio(driven, other))
