"""Search an archive: an algorithm asks, controllers drive, and the best of each cell stay."""

import math
from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from tqdm import tqdm

from archive_tools.archive.algorithms import SearchOptions, make_centroids, make_scheduler
from archive_tools.archive.cells import Cells, write_centroids
from archive_tools.archive.elites import Archive
from archive_tools.archive.journal import Journal
from archive_tools.archive.replay import Answer, drive
from archive_tools.files import read_table
from archive_tools.run import executor
from archive_tools.tasks import Environment
from envs.errors import InputError

Floats = NDArray[np.float32]
HISTORY = ["evaluations", "elites", "coverage", "qd_score"]
"""Columns of history.parquet."""


def make_cells(environment: Environment, shape: Sequence[int], *, cvt: bool) -> Cells:
    """The cells of a BD space; for a CVT still without centroids.

    Args:
        environment: whose BD it is.
        shape: cells per dimension; of a CVT their product is the number of centroids.
        cvt: Voronoi cells instead of a grid.

    Raises:
        InputError: not one number for each dimension of the BD.
    """
    names = environment.measures.names
    if len(shape) != len(names) and not (cvt and len(shape) == 1):
        raise InputError(
            f"--cells {' '.join(map(str, shape))}: expected {len(names)} numbers, one for "
            f"each of {', '.join(names)}"
        )
    shape = (math.prod(shape),) if cvt else tuple(shape)
    return Cells(environment.measures, shape, None, environment.reachable())


def with_centroids(cells: Cells, seed: int, path: Path) -> Cells:
    """The cells of a CVT, with centroids made anew or read from an interrupted search."""
    if not path.exists():
        points = cells.reachable_points
        unit = None if points is None else cells.measures.unit(points)
        n_bd = len(cells.measures.names)
        write_centroids(path, make_centroids(cells.count, n_bd, unit, seed))
    centroids = read_table(path).to_numpy(dtype=np.float64)
    return Cells(cells.measures, cells.shape, centroids, cells.reachable_points)


def search(
    options: SearchOptions,
    environment: Environment,
    cells: Cells,
    path: Path,
    workers: executor.Executor | None = None,
) -> tuple[Archive, pd.DataFrame]:
    """Run the algorithm, taking from the journal at `path` what was evaluated before.

    Args:
        options: of the algorithm.
        environment: where controllers drive.
        cells: of the archive.
        path: of the journal.
        workers: who drives; this process where None.

    Returns:
        the elites (info still empty), and the history: evaluations, elites, coverage, qd_score.

    Raises:
        InputError: the environment gave an objective or a BD that is not finite.
    """
    journal = Journal(path, options.batch, len(environment.measures.names))
    with closing(journal):
        return _search(options, environment, cells, journal, workers or executor.Executor())


def _search(
    options: SearchOptions,
    environment: Environment,
    cells: Cells,
    journal: Journal,
    workers: executor.Executor,
) -> tuple[Archive, pd.DataFrame]:
    measures, batch = environment.measures, options.batch
    scheduler = make_scheduler(
        options, environment.controller.n_params, cells.shape, len(measures.names), cells.centroids
    )
    batches = -(-options.evaluations // batch)
    answers: list[Answer] = []
    history: list[tuple[int, int, float, float]] = []
    with tqdm(
        total=batches * batch, desc=options.algorithm, unit=" drives", unit_scale=True
    ) as bar:
        for number in range(batches):
            solutions = np.ascontiguousarray(scheduler.ask(), dtype=np.float32)
            first = number * batch
            answer = journal.recall(solutions)
            if answer is None:
                answer = drive(workers, environment, solutions, options.seed)
                _check_finite(environment, first, *answer)
                journal.append(solutions, *answer)
            objective, reached = answer
            answers.append((objective, reached))
            scheduler.tell(
                objective.astype(np.float64),
                measures.unit(reached),
                evaluation=np.arange(first, first + len(solutions)),
            )
            if (number + 1) % max(1, batches // 100) == 0 or number + 1 == batches:
                index = np.asarray(scheduler.archive.data("evaluation"))
                coverage, score = cells.score(*(part[index] for part in _joined(answers)))
                history.append((first + len(solutions), len(index), coverage, score))
                bar.set_postfix_str(
                    f"{len(index):,} elites, coverage {100 * coverage:.1f} %, QD score {score:.0f}",
                    refresh=False,
                )
            bar.update(len(solutions))
    objective, reached = _joined(answers)
    index = np.asarray(scheduler.archive.data("evaluation"))
    solutions = np.asarray(scheduler.archive.data("solution"))
    elites = Archive(index, objective[index], reached[index], solutions, {})
    return elites, pd.DataFrame(history, columns=HISTORY)


def _joined(answers: list[Answer]) -> Answer:
    """Objective [E] and measures [E, n_bd] of all evaluations so far."""
    if len(answers) > 1:
        answers[:] = [
            (np.concatenate([o for o, _ in answers]), np.concatenate([m for _, m in answers]))
        ]
    return answers[0]


def _check_finite(
    environment: Environment, first: int, objective: Floats, measures: Floats
) -> None:
    bad = ~(np.isfinite(objective) & np.isfinite(measures).all(axis=1))
    if bad.any():
        row = int(np.flatnonzero(bad)[0])
        raise InputError(
            f"{environment.id}: evaluation {first + row} has objective {objective[row]} and BD "
            f"{measures[row].tolist()}; expected finite numbers"
        )


def one_step(cells: Cells, elites: Archive) -> pd.DataFrame:
    """The history of an archive that was not searched here: its last state alone."""
    score = cells.score(elites.objective, elites.measures)
    return pd.DataFrame([(len(elites), len(elites), *score)], columns=HISTORY)


def archive_info(
    environment: Environment,
    cells: Cells,
    elites: Archive,
    *,
    task: Mapping[str, Any],
    algorithm: str,
    seed: int,
) -> dict[str, Any]:
    """The content of archive.json.

    Args:
        environment: where the elites drove.
        cells: in which coverage is counted.
        elites: their info is not read.
        task: {"name", "options"}, from which `make_environment` makes the environment again.
        algorithm: map-elites, cvt-map-elites, novelty, or import.
        seed: of the search.
    """
    coverage, score = cells.score(elites.objective, elites.measures)
    kwargs = dict(environment.kwargs)
    if "world" in kwargs and "world" in task["options"]:
        kwargs["world"] = task["options"]["world"]
    return {
        "environment": {"id": environment.id, "kwargs": kwargs},
        "task": dict(task),
        "controller": environment.controller.to_json(),
        "measures": cells.measures.to_json(),
        "algorithm": algorithm,
        "partition": "grid" if cells.centroids is None else "cvt",
        "cells": list(cells.shape),
        "reachable_cells": None if cells.reachable_points is None else int(cells.reachable.sum()),
        "elites": len(elites),
        "coverage": coverage,
        "qd_score": score,
        "objective_mean": float(elites.objective.mean(dtype=np.float64)),
        "seed": seed,
    }
