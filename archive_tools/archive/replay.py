"""Replay policies and compare where they end with what their archive says."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from archive_tools.archive.elites import Archive
from archive_tools.run import executor
from archive_tools.tasks import Environment, drives_of
from envs.errors import InputError, require_memory

Floats = NDArray[np.float32]
CHUNK = 256


Answer = tuple[Floats, Floats]
"""Objective [N] and measures [N, n_bd] of policies that drove."""


def drive(
    workers: executor.Executor, environment: Environment, solutions: Floats, seed: int
) -> Answer:
    """What N policies [N, n_params] reach, all driven with the same seed."""
    pieces = workers.pieces(0, len(solutions))
    jobs = ((solutions[piece], seed) for piece in pieces)
    objective, reached = zip(*workers.map(_drive, jobs, environment), strict=True)
    return np.concatenate(objective), np.concatenate(reached)


def _drive(environment: Environment, job: tuple[Floats, int]) -> Answer:
    info = drives_of(environment, *job).info
    return info["objective"], info["bd"]


@dataclass(frozen=True)
class Replays:
    """K replays of N policies. A policy with NaN weights has NaN everywhere and is not ok."""

    measures: Floats
    """float32 [N, n_bd], mean of the BDs reached."""
    objective: Floats
    """float32 [N], mean."""
    spread: Floats
    """float32 [N], mean distance of single replays from their mean BD; 0 for one replay."""
    error: Floats
    """float32 [N], distance of `measures` from the archive's, in BD units."""
    ok: NDArray[np.bool_]
    """bool [N]: within the tolerance in each dimension."""


def tolerances(environment: Environment, given: Sequence[float]) -> NDArray[np.float64]:
    """The tolerance of each BD dimension: given for each, one for all, or a 10⁻⁵ of the range.

    Raises:
        InputError: a wrong number of values, or one that is not a number from 0 up.
    """
    measures = environment.measures
    if not given:
        return 1e-5 * (np.asarray(measures.high) - np.asarray(measures.low))
    if len(given) not in (1, len(measures.names)) or not all(0 <= t < np.inf for t in given):
        raise InputError(
            f"--tolerance {' '.join(map(str, given))}: expected one number from 0 up, or one for "
            f"each of {', '.join(measures.names)}"
        )
    return np.broadcast_to(np.asarray(given, dtype=np.float64), len(measures.names)).copy()


def replay(
    environment: Environment,
    archive: Archive,
    tolerance: NDArray[np.float64],
    *,
    replays: int = 1,
    seed: int = 0,
    chunk: int = CHUNK,
    workers: executor.Executor | None = None,
) -> Replays:
    """Drive every policy again.

    Args:
        environment: where the archive was made.
        archive: what it says.
        tolerance: [n_bd].
        replays: K. One replay uses the seed of the search, so that it repeats it exactly; several
            use other seeds, and ask whether the BD holds on average.
        seed: the seed of the search.
        chunk: policies driven at once.
        workers: who drives; this process where None.
    """
    count, n_bd = archive.measures.shape
    require_memory(8.0 * replays * count * (n_bd + 1), f"{replays:,} replays of {count:,} policies")
    whole = np.isfinite(archive.solutions).all(axis=1)
    rows = np.flatnonzero(whole)
    seeds = [seed] if replays == 1 else [seed + 1 + k for k in range(replays)]
    reached = np.full((len(seeds), count, n_bd), np.nan, dtype=np.float32)
    objective = np.full((len(seeds), count), np.nan, dtype=np.float32)
    with tqdm(total=len(rows) * len(seeds), desc="replay", unit=" drives") as bar:
        workers = workers or executor.Executor()
        pieces = [
            rows[begin : begin + chunk][piece]
            for begin in range(0, len(rows), chunk)
            for piece in workers.pieces(0, min(chunk, len(rows) - begin))
        ]
        jobs = [(k, block) for block in pieces for k in range(len(seeds))]
        drives = ((archive.solutions[block], seeds[k]) for k, block in jobs)
        answers = workers.map(_drive, drives, environment)
        for (k, block), (gained, ended) in zip(jobs, answers, strict=True):
            reached[k, block], objective[k, block] = ended, gained
            bar.update(len(block))
    mean = reached.mean(axis=0, dtype=np.float64)
    offset = mean - archive.measures
    ok = (np.abs(offset) <= tolerance).all(axis=1)  # NaN is never within
    return Replays(
        measures=mean.astype(np.float32),
        objective=objective.mean(axis=0, dtype=np.float64).astype(np.float32),
        spread=np.linalg.norm(reached - mean, axis=2).mean(axis=0).astype(np.float32),
        error=np.linalg.norm(offset, axis=1).astype(np.float32),
        ok=ok,
    )


def scaling_hint(archive: Archive, replays: Replays) -> str:
    """A remark when the archive's BDs are the replayed ones in other units; else ""."""
    if len(archive) < 10 or replays.ok.mean() > 0.5 or not np.isfinite(replays.measures).all():
        return ""
    remarks = []
    for i in range(archive.measures.shape[1]):
        stated = archive.measures[:, i].astype(float)
        reached = replays.measures[:, i].astype(float)
        if stated.std() == 0 or reached.std() == 0:
            return ""
        if np.corrcoef(stated, reached)[0, 1] ** 2 < 0.99:
            return ""
        slope, base = np.polyfit(stated, reached, 1)
        if np.isclose(slope, 1, atol=1e-3) and abs(base) < 1e-3 * reached.std():
            continue
        remarks.append(f"dimension {i}: replayed ≈ {slope:.5g} × archived {base:+.5g}")
    if not remarks:
        return ""
    return f"the BDs look like the same in other units ({'; '.join(remarks)}); rescale them"
