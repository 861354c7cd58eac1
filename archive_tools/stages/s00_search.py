"""Stage 00: find an archive of controllers that reach as many places as possible, or import one."""

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
import pandas as pd
import tyro
from numpy.typing import NDArray
from tqdm import tqdm

from archive_tools.archive.algorithms import (
    Algorithm,
    Emitter,
    Settings,
    make_centroids,
    make_scheduler,
)
from archive_tools.archive.cells import Cells, write_centroids
from archive_tools.archive.elites import Archive
from archive_tools.archive.importing import check_fit, import_archive, source_digest
from archive_tools.archive.journal import Journal
from archive_tools.archive.plots import plot_archive, plot_history
from archive_tools.archive.readers import infer_layers, read_foreign
from archive_tools.run.stage import Stage, StageConfig
from archive_tools.run.tables import read_table, write_table
from archive_tools.tasks.registry import factory_digest, make_environment
from archive_tools.tasks.task import Environment
from envs import save_world
from envs.errors import InputError
from envs.worldfile import WORLDS

Floats = NDArray[np.float32]


@dataclass
class SearchConfig(StageConfig):
    """Search an archive of controllers, or import one."""

    world: str = "apartment"
    """Where the robot drives: the name of a bundled world, a .toml, or an .xml of libfastsim."""
    algorithm: Algorithm = "map-elites"
    """map-elites (a grid), cvt-map-elites (Voronoi cells of the reachable floor), or novelty."""
    evaluations: int = 100_000
    """Controllers to try."""
    cells: tuple[int, ...] = (96, 96)
    """Cells per BD dimension; for cvt-map-elites their product is the number of centroids; for
    novelty they only serve to count coverage."""
    batch: int = 500
    """Controllers tried between two updates of the archive (a generation)."""
    emitter: Emitter = "gaussian"
    """How new controllers come about: gaussian (an elite, mutated), iso-line (mutated towards
    another elite as well), evolution-strategy (CMA-ES with a diagonal covariance, towards
    improvement or, for novelty, towards novelty)."""
    emitters: int = 1
    """Emitters that share the batch; several matter for evolution-strategy."""
    sigma: float = 0.05
    """Standard deviation of a mutation of a weight; the first step size of evolution-strategy."""
    line_sigma: float = 0.05
    """Standard deviation along the line to another elite (iso-line)."""
    init_sigma: float = 1.0
    """Standard deviation of the first controllers' weights."""
    neighbours: int = 15
    """k of novelty search."""
    novelty_threshold: float = 0.02
    """Mean distance to the k nearest that a newcomer needs, in shares of the BD's range."""

    environment: str = "navigation"
    """navigation, a Gymnasium id, or package.module:function or path/file.py:function that makes
    an environment (see archive_tools/tasks/task.py)."""
    environment_options: str = "{}"
    """Its arguments as JSON, e.g. '{"bd_obs": [0, 1], "bd_names": ["position", "speed"]}'."""
    layers: tuple[int, ...] = ()
    """Layer sizes of the controllers, inputs first; by default three hidden layers of 10."""
    activation: Literal["tanh", "relu", "linear"] = "tanh"
    """Of the hidden layers."""
    output: Literal["tanh", "relu", "linear"] = "tanh"
    """Of the last layer."""
    raw_obs: bool = False
    """Feed observations to controllers as they are, not scaled by their range."""
    action_scale: float | None = None
    """Factor on the outputs; by default the bound of the actions."""
    action_decimals: int | None = None
    """Decimals that actions are rounded to; by default 1 for navigation and no rounding
    elsewhere. -1 turns rounding off."""

    import_file: Annotated[Path | None, tyro.conf.arg(name="import")] = None
    """Import this archive instead of searching: .csv or .parquet of pyribs, .npz, or a folder of
    QDax. Give --layers where they cannot be inferred."""
    tolerance: tuple[float, ...] = ()
    """How far from its BD an imported policy may end, in BD units, one number or one for each
    dimension; by default a 10⁻⁵ of the range."""

    presets: ClassVar[dict[str, dict[str, Any]]] = {
        "paper": {"evaluations": 200_000, "cells": (128, 128), "batch": 1000}
    }

    def check(self) -> None:
        """Raise InputError where an option is out of range."""
        for name in ("evaluations", "batch", "emitters", "neighbours"):
            if getattr(self, name) < 1:
                raise InputError(f"--{name} {getattr(self, name)}: must be at least 1")
        for name in ("sigma", "init_sigma", "novelty_threshold"):
            if not 0 < getattr(self, name) < np.inf:
                flag = name.replace("_", "-")
                raise InputError(f"--{flag} {getattr(self, name)}: must be above 0")
        if not 0 <= self.line_sigma < np.inf:
            raise InputError(f"--line-sigma {self.line_sigma}: must be 0 or more")
        if self.batch % self.emitters:
            raise InputError(
                f"--batch {self.batch}: must be a multiple of --emitters {self.emitters}"
            )
        if self.emitter == "evolution-strategy" and self.batch // self.emitters < 2:
            raise InputError(
                f"--batch {self.batch} --emitters {self.emitters}: evolution-strategy needs at "
                "least 2 controllers for each emitter"
            )
        if not self.cells or min(self.cells) < 1:
            raise InputError(f"--cells {' '.join(map(str, self.cells))}: must be at least 1 each")

    def settings(self) -> Settings:
        """What the algorithm needs to know."""
        return Settings(
            self.algorithm, self.emitter, self.emitters, self.batch, self.sigma, self.line_sigma,
            self.init_sigma, self.neighbours, self.novelty_threshold, self.seed,
        )  # fmt: skip

    def controller(self, layers: tuple[int, ...] | None = None) -> dict[str, Any]:
        """Fields of `ControllerSpec` that the options set."""
        found: dict[str, Any] = {"activation": self.activation, "output": self.output}
        if layers or self.layers:
            found["layers"] = list(layers or self.layers)
        if self.raw_obs:
            found["obs_scale"] = "none"
        if self.action_scale is not None:
            found["action_scale"] = self.action_scale
        if self.action_decimals is not None:
            found["action_decimals"] = None if self.action_decimals < 0 else self.action_decimals
        return found

    def options(self) -> dict[str, Any]:
        """Arguments of the environment.

        Raises:
            InputError: --environment-options is not a JSON object.
        """
        try:
            options = json.loads(self.environment_options)
        except json.JSONDecodeError as error:
            raise InputError(f"--environment-options: not valid JSON ({error})") from None
        if not isinstance(options, dict):
            raise InputError('--environment-options: expected a JSON object, {"name": value}')
        return {"world": self.world, **options} if self.environment == "navigation" else options


def make_cells(config: SearchConfig, environment: Environment) -> Cells:
    """The cells that the options name; for a CVT still without centroids.

    Raises:
        InputError: not one number for each dimension of the BD.
    """
    names = environment.measures.names
    cvt = config.algorithm == "cvt-map-elites" and config.import_file is None
    if len(config.cells) != len(names) and not (cvt and len(config.cells) == 1):
        raise InputError(
            f"--cells {' '.join(map(str, config.cells))}: expected {len(names)} numbers, one for "
            f"each of {', '.join(names)}"
        )
    shape = (int(np.prod(config.cells)),) if cvt else tuple(config.cells)
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
    config: SearchConfig, environment: Environment, cells: Cells, journal: Journal
) -> tuple[Archive, pd.DataFrame]:
    """Run the algorithm, taking from the journal what was evaluated before.

    Returns:
        the elites (info still empty), and the history: evaluations, elites, coverage, qd_score.

    Raises:
        InputError: the environment gave an objective or a BD that is not finite.
    """
    measures = environment.measures
    scheduler = make_scheduler(
        config.settings(), environment.controller.n_params, cells.shape, len(measures.names),
        cells.centroids,
    )  # fmt: skip
    batches = -(-config.evaluations // config.batch)
    told: list[tuple[Floats, Floats]] = []
    history: list[tuple[int, int, float, float]] = []
    total = batches * config.batch
    with tqdm(total=total, desc=config.algorithm, unit=" drives", unit_scale=True) as bar:
        for number in range(batches):
            solutions = np.ascontiguousarray(scheduler.ask(), dtype=np.float32)
            answer = journal.recall(solutions)
            if answer is None:
                info = environment.record(solutions, config.seed).info
                answer = info["objective"], info["bd"]
                _check_finite(environment, number * config.batch, *answer)
                journal.append(solutions, *answer)
            told.append(answer)
            first = number * config.batch
            scheduler.tell(
                answer[0].astype(np.float64),
                measures.unit(answer[1]),
                evaluation=np.arange(first, first + len(solutions)),
            )
            if (number + 1) % max(1, batches // 100) == 0 or number + 1 == batches:
                index = np.asarray(scheduler.archive.data("evaluation"))
                coverage, score = cells.score(*(part[index] for part in _joined(told)))
                history.append((first + len(solutions), len(index), coverage, score))
                bar.set_postfix_str(
                    f"{len(index):,} elites, coverage {100 * coverage:.1f} %, QD score {score:.0f}",
                    refresh=False,
                )
            bar.update(len(solutions))
    objective, reached = _joined(told)
    index = np.asarray(scheduler.archive.data("evaluation"))
    solutions = np.asarray(scheduler.archive.data("solution"))
    elites = Archive(index, objective[index], reached[index], solutions, {})
    columns = ["evaluations", "elites", "coverage", "qd_score"]
    return elites, pd.DataFrame(history, columns=columns)


def _joined(told: list[tuple[Floats, Floats]]) -> tuple[Floats, Floats]:
    """Objective [E] and measures [E, n_bd] of all evaluations so far."""
    if len(told) > 1:
        told[:] = [(np.concatenate([o for o, _ in told]), np.concatenate([m for _, m in told]))]
    return told[0]


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


def describe(
    config: SearchConfig, environment: Environment, cells: Cells, elites: Archive
) -> dict[str, Any]:
    """The content of archive.json."""
    coverage, score = cells.score(elites.objective, elites.measures)
    kwargs, options = dict(environment.kwargs), config.options()
    if config.environment == "navigation" and not (WORLDS / f"{config.world}.toml").is_file():
        # Not a bundled world: later stages find it in the archive, wherever it came from.
        kwargs["world"] = options["world"] = (config.run / "archive" / "world").as_posix()
    return {
        "environment": {"id": environment.id, "kwargs": kwargs},
        "task": {"name": config.environment, "options": options},
        "controller": environment.controller.to_json(),
        "measures": cells.measures.to_json(),
        "algorithm": "import" if config.import_file else config.algorithm,
        "partition": "grid" if cells.centroids is None else "cvt",
        "cells": list(cells.shape),
        "reachable_cells": None if cells.reachable_points is None else int(cells.reachable.sum()),
        "elites": len(elites),
        "coverage": coverage,
        "qd_score": score,
        "objective_mean": float(elites.objective.mean(dtype=np.float64)),
        "seed": config.seed,
    }


def run(config: SearchConfig) -> Path:
    """Stage 00: world (or a foreign archive) → `archive/`.

    Raises:
        InputError: an option is out of range, or what is imported cannot be read.
    """
    config.check()
    foreign, layers = None, None
    if config.import_file is not None:
        foreign = read_foreign(config.import_file)
    environment = make_environment(config.environment, config.controller(), **config.options())
    if foreign is not None and not config.layers:
        sizes = environment.controller.layers
        try:
            layers = infer_layers(foreign.solutions.shape[1], sizes[0], sizes[-1])
        except InputError as error:
            raise InputError(f"{config.import_file}: {error}") from None
        environment = make_environment(
            config.environment, config.controller(layers), **config.options()
        )
    if foreign is not None and config.import_file is not None:
        check_fit(config.import_file, foreign, environment)
    cells = make_cells(config, environment)
    extra: dict[str, Any] = {"environment file": factory_digest(config.environment)}
    if environment.world is not None:
        extra["world"] = environment.world.digest()
    if config.import_file is not None:
        extra["import"] = source_digest(config.import_file)
    with Stage(config, "archive", extra=extra) as stage:
        if stage.done:
            return stage.folder
        verdict = None
        if foreign is not None:
            assert config.import_file is not None
            elites, verdict = import_archive(
                config.import_file, foreign, environment, config.tolerance, config.seed,
                stage.path("replay_errors"),
            )  # fmt: skip
            coverage, score = cells.score(elites.objective, elites.measures)
            history = pd.DataFrame(
                [(len(elites), len(elites), coverage, score)],
                columns=["evaluations", "elites", "coverage", "qd_score"],
            )
        else:
            if config.algorithm == "cvt-map-elites":
                cells = with_centroids(cells, config.seed, stage.path("centroids.parquet"))
            n_bd = len(cells.measures.names)
            journal = Journal(stage.scratch("evaluations.journal"), config.batch, n_bd)
            try:
                elites, history = search(config, environment, cells, journal)
            finally:
                journal.close()
        info = describe(config, environment, cells, elites)
        if verdict is not None:
            info["import"] = verdict
        else:
            info["evaluations"] = int(history["evaluations"].iloc[-1])
        archive = Archive(
            elites.policy_ids, elites.objective, elites.measures, elites.solutions, info
        )
        archive.save(stage.path("elites.parquet").parent)
        write_table(stage.path("history.parquet"), history)
        if environment.world is not None:
            save_world(environment.world, stage.path("world"))
        known = info["reachable_cells"] is not None
        if verdict is None:
            what = "the reachable cells" if known else "all cells"
            plot_history(history, what, stage.path("coverage"))
        plot_archive(archive, cells, environment.world, stage.path("elites_map"))
        stage.rows["elites"] = len(archive)
        stage.facts.update(
            coverage=round(info["coverage"], 4),
            qd_score=round(info["qd_score"], 2),
            objective_mean=round(info["objective_mean"], 4),
        )
        if verdict is not None:
            stage.facts["replay_to_their_bd"] = verdict["replay_to_their_bd"]
        print(
            f"{len(archive):,} elites, {100 * info['coverage']:.1f} % of "
            f"{info['reachable_cells'] if known else cells.count:,} "
            f"{'reachable ' if known else ''}cells, mean objective {info['objective_mean']:.3f}",
            file=sys.stderr,
        )
    return stage.folder
