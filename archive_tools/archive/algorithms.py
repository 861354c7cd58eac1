"""The quality-diversity algorithms, all of them ribs': archives, emitters, schedulers.

- MAP-Elites (Mouret & Clune 2015): the best policy of each cell of a grid over the BD space.
- CVT-MAP-Elites (Vassiliades et al. 2018): the same over Voronoi cells of k-means centroids, here
  of the reachable part of the BD space where that is known.
- Novelty search (Lehman & Stanley 2011; k = 15 as in Salehi & Doncieux 2023): a policy enters the
  archive when its BD is far from its k nearest neighbours in it; the objective plays no part.

ribs works in units in which the BD's bounds are 0 and 1.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import KDTree

from envs.errors import InputError

if TYPE_CHECKING:  # ribs brings torch and scikit-learn: seconds that only a search should pay
    from ribs.archives import ArchiveBase
    from ribs.emitters import EmitterBase
    from ribs.schedulers import Scheduler

Algorithm = Literal["map-elites", "cvt-map-elites", "novelty"]
Emitter = Literal["gaussian", "iso-line", "evolution-strategy"]


@dataclass(frozen=True)
class SearchOptions:
    """What an algorithm needs to know; the options of stage 00 explain each."""

    algorithm: Algorithm
    evaluations: int
    emitter: Emitter
    emitters: int
    batch: int
    sigma: float
    line_sigma: float
    init_sigma: float
    neighbours: int
    novelty_threshold: float
    seed: int


def make_centroids(
    count: int, n_bd: int, points: NDArray[np.floating] | None, seed: int
) -> NDArray[np.float64]:
    """Centroids [count, n_bd] of a CVT by k-means (Lloyd's algorithm, 25 rounds).

    A tree finds the nearest centroid of a point, so that ten thousand of them take seconds.

    Args:
        count: how many.
        n_bd: dimensions.
        points: [M, n_bd], a sample of what can be reached, in [0, 1]; uniform where None.
        seed: of the sample and of k-means.

    Raises:
        InputError: fewer points than centroids.
    """
    rng = np.random.default_rng(seed)
    size = max(20_000, 25 * count)
    if points is None:
        samples = rng.uniform(size=(size, n_bd))
    else:
        samples = points[np.sort(rng.choice(len(points), min(size, len(points)), replace=False))]
    samples = np.unique(samples.astype(np.float64), axis=0)
    if len(samples) < count:
        raise InputError(
            f"--cells: {count:,} centroids for {len(samples):,} points of the reachable BDs; "
            "expected fewer"
        )
    centroids = samples[np.sort(rng.choice(len(samples), count, replace=False))]
    for _ in range(25):
        nearest = KDTree(centroids).query(samples)[1]
        members = np.bincount(nearest, minlength=count)
        sums = [np.bincount(nearest, column, minlength=count) for column in samples.T]
        means = np.stack(sums, axis=1) / np.maximum(members, 1)[:, None]
        moved = np.where(members[:, None] > 0, means, centroids)
        if (moved == centroids).all():
            break
        centroids = moved
    return centroids


def make_scheduler(
    options: SearchOptions,
    n_params: int,
    shape: Sequence[int],
    n_bd: int,
    centroids: NDArray[np.float64] | None,
) -> "Scheduler":
    """A ribs scheduler; `ask` gives float32 [emitters · (batch // emitters), n_params].

    The archive has a field "evaluation": the number of the evaluation that found an elite.
    """
    from ribs.archives import CVTArchive, GridArchive, ProximityArchive
    from ribs.schedulers import Scheduler

    words = np.random.SeedSequence(options.seed).generate_state(options.emitters + 2)
    seeds = [int(word) for word in words]
    common: dict[str, Any] = {
        "solution_dim": n_params,
        "seed": seeds[0],
        "solution_dtype": np.float32,
        "objective_dtype": np.float64,
        "measures_dtype": np.float64,
        "extra_fields": {"evaluation": ((), np.int64)},
    }
    unit = [(0.0, 1.0)] * n_bd
    archive: ArchiveBase
    if options.algorithm == "novelty":
        archive = ProximityArchive(
            measure_dim=n_bd,
            k_neighbors=options.neighbours,
            novelty_threshold=options.novelty_threshold,
            initial_capacity=1024,
            **common,
        )
    elif options.algorithm == "cvt-map-elites":
        assert centroids is not None
        archive = CVTArchive(centroids=centroids, ranges=unit, **common)
    else:
        archive = GridArchive(dims=list(shape), ranges=unit, **common)
    rng = np.random.default_rng(seeds[1])
    emitters = [_emitter(options, archive, n_params, rng, seed) for seed in seeds[2:]]
    return Scheduler(archive, emitters)


def _emitter(
    options: SearchOptions,
    archive: "ArchiveBase",
    n_params: int,
    rng: np.random.Generator,
    seed: int,
) -> "EmitterBase":
    from ribs.emitters import EvolutionStrategyEmitter, GaussianEmitter, IsoLineEmitter

    batch = options.batch // options.emitters
    first = rng.normal(scale=options.init_sigma, size=(batch, n_params)).astype(np.float32)
    if options.emitter == "evolution-strategy":
        # CMA-ES with a diagonal covariance: full ones of hundreds of weights cost more than
        # the robots.
        return EvolutionStrategyEmitter(
            archive,
            x0=first[0],
            sigma0=options.sigma,
            ranker="nov" if options.algorithm == "novelty" else "2imp",
            es="sep_cma_es",
            batch_size=batch,
            seed=seed,
        )
    if options.emitter == "iso-line":
        return IsoLineEmitter(
            archive,
            iso_sigma=options.sigma,
            line_sigma=options.line_sigma,
            initial_solutions=first,
            batch_size=batch,
            seed=seed,
        )
    return GaussianEmitter(
        archive, sigma=options.sigma, initial_solutions=first, batch_size=batch, seed=seed
    )
