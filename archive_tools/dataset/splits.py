"""Which trajectories the policy may learn from and which it is tested on.

Near-duplicates always land on one side: an archive holds many elites that drive almost the same
path, and a test item whose twin was trained on measures memory only.
"""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from scipy.spatial import KDTree

from archive_tools.tasks import cell_index

SPLITS = ("train", "validation", "test")
FEW = 4
"""Steps of which those of near-duplicates are looked up."""
BLOCK = 2**16
"""Pairs that are compared at once."""
Recipe = Literal["random", "regions", "routes"]


@dataclass(frozen=True)
class Shares:
    """Share of the trajectories in validation and test; the rest is for training."""

    validation: float
    test: float


@dataclass(frozen=True)
class SplitRule:
    """How trajectories are split; its fields stand in dataset.json."""

    recipe: Recipe
    """random: near-duplicate groups at random; regions: whole blocks of the BD space are withheld;
    routes: for some destinations one of the paths there is withheld."""
    seed: int
    validation: float
    """Share of the trajectories."""
    test: float
    """Share of the trajectories."""
    duplicate_tolerance: float
    """Of near-duplicates, in shares of the world's side."""
    train_fraction: float
    """Share of the training trajectories that keep their side; the others get ""."""

    def whole(
        self,
        groups: NDArray[np.int64],
        bd: NDArray[np.float32],
        low: NDArray[np.floating],
        high: NDArray[np.floating],
        tiles: Sequence[tuple[str, ...]],
    ) -> list[Hashable]:
        """What each of N trajectories must share its side with: those of an equal key.

        Args:
            groups: [N], of near-duplicates.
            bd: [N, n_bd] reached BD.
            low, high: [n_bd] bounds of the BD space.
            tiles: of each trajectory, in the order in which they were entered.
        """
        if self.recipe == "routes":
            return list(tiles)
        return (region_blocks(bd, low, high) if self.recipe == "regions" else groups).tolist()

    def split(
        self,
        groups: NDArray[np.int64],
        bd: NDArray[np.float32],
        low: NDArray[np.floating],
        high: NDArray[np.floating],
        tiles: Sequence[tuple[str, ...]],
        elites: int,
    ) -> NDArray[np.str_]:
        """The side of each of N trajectories: one of SPLITS, or "" where it is left out.

        Only the first `elites` trajectories are validated and tested on. The others, which were
        given with their texts, are for training, but for those that share with a tested one what
        the recipe withholds: its group of near-duplicates, its block of the BD space, its route.

        Args:
            groups, bd, low, high, tiles: as for `whole`.
            elites: how many trajectories the archive has.
        """
        rng = np.random.default_rng([self.seed, 5])
        shares = Shares(self.validation, self.test)
        if self.recipe == "regions":
            split = region_split(bd[:elites], low, high, shares, rng)
        elif self.recipe == "routes":
            split = route_split(tiles[:elites], shares, rng)
        else:
            split = random_split(groups[:elites], shares, rng)
        if self.train_fraction < 1:
            train = np.flatnonzero(split == "train")
            count = max(1, round(self.train_fraction * len(train)))
            split[np.setdiff1d(train, rng.permutation(train)[:count])] = ""
        keys = self.whole(groups, bd, low, high, tiles)
        pairs = zip(keys[:elites], split, strict=True)
        withheld = {key for key, side in pairs if side not in ("train", "")}
        given = ["" if key in withheld else "train" for key in keys[elites:]]
        return np.concatenate([split, np.array(given, dtype=split.dtype)])


def held(pose: Sequence[NDArray[np.float32]] | NDArray[np.float32]) -> NDArray[np.float32]:
    """Poses [N, T+1, 3] of drives of any lengths: one that ended early stays where it is."""
    if not isinstance(pose, list):
        return np.asarray(pose)
    longest = max(len(one) for one in pose)
    return np.stack([np.pad(one, ((0, longest - len(one)), (0, 0)), "edge") for one in pose])


def near_duplicates(
    pose: NDArray[np.float32], tolerance: float, points: int = 41
) -> NDArray[np.int64]:
    """Group trajectories that keep within `tolerance` of each other all along.

    Args:
        pose: [N, T+1, >=2] float32, x and y in world units.
        tolerance: largest difference in x or in y, at any of the compared steps, in world units.
        points: how many evenly spaced steps are compared.

    Returns:
        [N] int64 group of each trajectory, numbered by first appearance. Groups are transitive: a
        chain of near-duplicates is one group.
    """
    number, steps = pose.shape[:2]
    if number == 0:
        return np.zeros(0, dtype=np.int64)
    chosen = np.linspace(0, steps - 1, min(points, steps)).round().astype(int)
    paths = pose[:, chosen, :2].astype(np.float64)
    # A tree of all steps would compare nearly every two; few steps leave few pairs to compare.
    few = np.linspace(0, len(chosen) - 1, FEW + 1).round().astype(int)[1:]
    tree = KDTree(paths[:, few].reshape(number, -1))
    pairs = tree.query_pairs(tolerance, p=np.inf, output_type="ndarray")
    blocks = [pairs[begin : begin + BLOCK] for begin in range(0, len(pairs), BLOCK)]
    apart = [np.abs(paths[b[:, 0]] - paths[b[:, 1]]).max(axis=(1, 2)) for b in blocks]
    pairs = pairs[np.concatenate([np.zeros(0), *apart]) <= tolerance]
    ones = np.ones(len(pairs), dtype=bool)
    graph = coo_array((ones, (pairs[:, 0], pairs[:, 1])), shape=(number, number))
    _, labels = connected_components(graph, directed=False)
    _, first, inverse = np.unique(labels, return_index=True, return_inverse=True)
    return np.argsort(np.argsort(first))[inverse].astype(np.int64)


def _places(shares: Shares, number: int) -> dict[str, int]:
    """How many of `number` trajectories test and validation still take."""
    return {"test": round(shares.test * number), "validation": round(shares.validation * number)}


def random_split(
    groups: NDArray[np.int64], shares: Shares, rng: np.random.Generator
) -> NDArray[np.str_]:
    """Deal whole groups out at random until test and validation have their shares.

    Args:
        groups: [N] group of each trajectory.
        shares: what test and validation should get.
        rng: source of the order.

    Returns:
        [N] one of SPLITS per trajectory. A group that would overfill its side goes to training.
    """
    number = len(groups)
    members = np.bincount(groups) if number else np.zeros(0, dtype=int)
    side = np.full(len(members), "train", dtype="<U10")
    remaining = {
        "test": round(shares.test * number),
        "validation": round(shares.validation * number),
    }
    for group in rng.permutation(len(members)).tolist():
        for name in remaining:
            if members[group] <= remaining[name]:
                side[group] = name
                remaining[name] -= int(members[group])
                break
    return side[groups] if number else np.zeros(0, dtype="<U10")


def region_blocks(
    bd: NDArray[np.float32],
    low: NDArray[np.floating],
    high: NDArray[np.floating],
    blocks: int = 8,
) -> NDArray[np.int64]:
    """Block [N] of the BD space, `blocks` along each dimension, that each BD [N, n_bd] lies in."""
    unit = (bd - low) / (high - low)
    return cell_index(unit, (blocks,) * bd.shape[1])


def region_split(
    bd: NDArray[np.float32],
    low: NDArray[np.floating],
    high: NDArray[np.floating],
    shares: Shares,
    rng: np.random.Generator,
    blocks: int = 8,
) -> NDArray[np.str_]:
    """Withhold whole blocks of the BD space: no elite that was trained on ends there.

    Args:
        bd: [N, n_bd] reached BD.
        low: [n_bd] lower bounds of the BD space.
        high: [n_bd] upper bounds.
        shares: how much of the trajectories the withheld blocks should hold.
        rng: source of the order in which blocks are withheld.
        blocks: blocks along each dimension.

    Returns:
        [N] one of SPLITS per trajectory.
    """
    _, groups = np.unique(region_blocks(bd, low, high, blocks), return_inverse=True)
    return random_split(groups.astype(np.int64), shares, rng)


def route_split(
    routes: Sequence[tuple[str, ...]], shares: Shares, rng: np.random.Generator, least: int = 8
) -> NDArray[np.str_]:
    """Withhold, for some destinations, one of the paths there.

    A destination is the last tile of a route, a path is the sequence of tiles before it. A (path,
    destination) pair may be withheld only while other paths to that destination and that path's
    last leg to other destinations stay in training, so that each half of what is asked was seen.

    Args:
        routes: tiles of each trajectory in the order in which they were entered.
        shares: how much of the trajectories to withhold for test and validation.
        rng: source of the order in which pairs are tried.
        least: a pair, and what must remain of its parts in training, holds at least this many.

    Returns:
        [N] one of SPLITS per trajectory.
    """
    side = np.full(len(routes), "train", dtype="<U10")
    pairs: dict[tuple[tuple[str, ...], str], list[int]] = {}
    for index, route in enumerate(routes):
        if len(route) >= 2:
            pairs.setdefault((route[:-1], route[-1]), []).append(index)
    to_place: dict[str, int] = {}
    by_path: dict[tuple[str, ...], int] = {}
    for (path, place), members in pairs.items():
        to_place[place] = to_place.get(place, 0) + len(members)
        by_path[path] = by_path.get(path, 0) + len(members)
    remaining = _places(shares, len(routes))
    keys = sorted(pairs)
    for position in rng.permutation(len(keys)):
        path, place = keys[position]
        members = pairs[keys[position]]
        size = len(members)
        if size < least or to_place[place] - size < least or by_path[path] - size < least:
            continue
        for name in remaining:
            if size <= remaining[name]:
                side[members] = name
                remaining[name] -= size
                to_place[place] -= size
                by_path[path] -= size
                break
    return side
