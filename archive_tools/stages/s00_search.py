"""Stage 00: find an archive of controllers that reach as many places as possible, or import one."""

import json
import math
import sys
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

import pandas as pd
import tyro

from archive_tools.archive import Archive, Cells, algorithms, importing, plots, search
from archive_tools.files import write_table
from archive_tools.language import lexicon
from archive_tools.publishing import is_bundle, unpack_bundle
from archive_tools.run import Stage, bounds, executor
from archive_tools.tasks import Environment, registry
from envs import save_world
from envs.errors import InputError, require_memory
from envs.worldfile import WORLDS


@dataclass
class SearchConfig(executor.SpreadConfig):
    """Search an archive of controllers, or import one."""

    world: str = "apartment"
    """Where the robot drives: the name of a bundled world, a .toml, or an .xml of libfastsim."""
    algorithm: algorithms.Algorithm = "map-elites"
    """map-elites (a grid), cvt-map-elites (Voronoi cells of the reachable floor), or novelty."""
    evaluations: bounds.Count = 100_000
    """Controllers to try."""
    cells: bounds.Counts = (96, 96)
    """Cells per BD dimension; for cvt-map-elites their product is the number of centroids; for
    novelty they only serve to count coverage."""
    batch: bounds.Count = 500
    """Controllers tried between two updates of the archive (a generation)."""
    emitter: algorithms.Emitter = "gaussian"
    """How new controllers come about: gaussian (an elite, mutated), iso-line (mutated towards
    another elite as well), evolution-strategy (CMA-ES with a diagonal covariance, towards
    improvement or, for novelty, towards novelty)."""
    emitters: bounds.Count = 1
    """Emitters that share the batch; several matter for evolution-strategy."""
    sigma: bounds.Positive = 0.05
    """Standard deviation of a mutation of a weight; the first step size of evolution-strategy."""
    line_sigma: bounds.NonNegative = 0.05
    """Standard deviation along the line to another elite (iso-line)."""
    init_sigma: bounds.Positive = 1.0
    """Standard deviation of the first controllers' weights."""
    neighbours: bounds.Count = 15
    """k of novelty search."""
    novelty_threshold: bounds.Positive = 0.02
    """Mean distance to the k nearest that a newcomer needs, in shares of the BD's range."""

    environment: str = "navigation"
    """navigation, a Gymnasium id (module:Name-v0 imports its module), or package.module:function
    or path/file.py:function that makes an environment (see archive_tools/tasks/task.py)."""
    environment_options: str = "{}"
    """Its arguments as JSON, e.g. '{"bd_obs": [0, 1], "bd_names": ["position", "speed"]}'."""
    layers: bounds.Counts = ()
    """Layer sizes of the controllers, inputs first; by default three hidden layers of 10."""
    activation: Literal["tanh", "relu", "linear"] = "tanh"
    """Of the hidden layers."""
    output: Literal["tanh", "relu", "linear"] = "tanh"
    """Of the last layer."""
    raw_obs: bool = False
    """Feed observations to controllers as they are, not scaled by their range."""
    action_scale: bounds.Positive | None = None
    """Factor on the outputs; by default the bound of the actions."""
    action_decimals: bounds.Decimals | None = None
    """Decimals that actions are rounded to; by default 1 for navigation and no rounding
    elsewhere. -1 turns rounding off."""

    import_file: Annotated[Path | None, tyro.conf.arg(name="import")] = None
    """Import this archive instead of searching: .csv or .parquet of pyribs, .npz, or a folder of
    QDax. Give --layers where they cannot be inferred. Or a bundle (.tar.gz) of
    scripts/10_publish.py, whose stages go into the run as they are."""
    tolerance: bounds.NonNegatives = ()
    """How far from its BD an imported policy may end, in BD units, one number or one for each
    dimension; by default a 10⁻⁵ of the range."""

    presets: ClassVar[dict[str, dict[str, Any]]] = {
        "paper": {"evaluations": 200_000, "cells": (128, 128), "batch": 1000}
    }
    # Of files the content counts, wherever a command names them from.
    not_fingerprint: ClassVar[set[str]] = executor.SpreadConfig.not_fingerprint | {
        *("world", "import_file")
    }

    def check(self) -> None:
        """Raise InputError where an option is out of its bounds, or options do not go together."""
        super().check()
        if self.batch % self.emitters:
            raise InputError(
                f"--batch {self.batch}: must be a multiple of --emitters {self.emitters}"
            )
        if self.emitter == "evolution-strategy" and self.batch // self.emitters < 2:
            raise InputError(
                f"--batch {self.batch} --emitters {self.emitters}: evolution-strategy needs at "
                "least 2 controllers for each emitter"
            )

    def search_options(self) -> algorithms.SearchOptions:
        """What the algorithm needs to know."""
        names = (field.name for field in fields(algorithms.SearchOptions))
        return algorithms.SearchOptions(**{name: getattr(self, name) for name in names})

    def controller(self, layers: tuple[int, ...] | None = None) -> dict[str, Any]:
        """Fields of `ControllerSpec` that the options set."""
        spec: dict[str, Any] = {"activation": self.activation, "output": self.output}
        if layers or self.layers:
            spec["layers"] = list(layers or self.layers)
        if self.raw_obs:
            spec["obs_scale"] = "none"
        if self.action_scale is not None:
            spec["action_scale"] = self.action_scale
        if self.action_decimals is not None:
            spec["action_decimals"] = None if self.action_decimals < 0 else self.action_decimals
        return spec

    def options(self) -> dict[str, Any]:
        """Arguments of the environment.

        Raises:
            InputError: --environment-options is not a JSON object.
        """
        try:
            options = json.loads(self.environment_options)
        except (ValueError, RecursionError) as error:
            raise InputError(f"--environment-options: not valid JSON ({error})") from None
        if not isinstance(options, dict):
            raise InputError('--environment-options: expected a JSON object, {"name": value}')
        return {"world": self.world, **options} if self.environment == "navigation" else options

    def task(self) -> dict[str, Any]:
        """Name and options from which later stages make the environment again.

        A world that is not bundled is found in the archive, wherever it came from.
        """
        options = self.options()
        if self.environment == "navigation" and not (WORLDS / f"{options['world']}.toml").is_file():
            options["world"] = (Path(self.run) / "archive" / "world").as_posix()
        return {"name": self.environment, "options": options}


def prepare(config: SearchConfig) -> tuple[Environment, importing.Foreign | None]:
    """The environment, and what is imported into it.

    Raises:
        InputError: no such environment, or what is imported cannot be read or does not fit it.
    """

    def make(layers: tuple[int, ...] | None = None) -> Environment:
        return registry.make_environment(
            config.environment, config.controller(layers), **config.options()
        )

    if config.import_file is None:
        return make(), None
    return importing.prepare_import(config.import_file, make, infer=not config.layers)


def check_memory(config: SearchConfig, environment: Environment, *, searched: bool) -> None:
    """Refuse sizes that are sure not to fit, before anything starts.

    Raises:
        InputError: which options, what they would need and what is there.
    """
    n_bd, n_params = len(environment.measures.names), environment.controller.n_params
    cells, layers = math.prod(config.cells), environment.controller.layers
    of_cell = 18.0  # in which coverage is counted: whether it is filled and reachable, its best
    if searched and config.algorithm != "novelty":
        of_cell += 4 * n_params + 8 * n_bd + 32  # ribs keeps room for an elite in each
    if config.algorithm == "cvt-map-elites":
        of_cell += 25 * 8 * n_bd * 2  # points from which the centroids are found
    weights = f"controllers of {n_params:,} weights"
    needed = {f"--cells {' '.join(map(str, config.cells))} ({weights})": cells * of_cell}
    if searched:
        steps = environment.steps * (layers[0] + layers[-1] + 3)
        needed |= {
            f"--batch {config.batch} ({weights} for {environment.steps:,} steps)": 4.0
            * config.batch
            * (3 * n_params + steps),
            f"--evaluations {config.evaluations}": 4.0 * config.evaluations * (1 + n_bd),
        }
    most = max(needed, key=lambda what: needed[what])
    require_memory(sum(needed.values()), most)


def run(config: SearchConfig) -> Path:
    """Stage 00: world (or a foreign archive) → `archive/`.

    Raises:
        InputError: an option is out of range, or what is imported cannot be read.
    """
    config.check()
    if config.import_file is not None and is_bundle(config.import_file):
        stages = unpack_bundle(config.import_file, Path(config.run), redo=config.redo)
        print(f"{config.run}: took {', '.join(stages)} of {config.import_file}", file=sys.stderr)
        return Path(config.run) / "archive"
    environment, foreign = prepare(config)
    if environment.world is not None and environment.world.scene is not None:
        lexicon(environment.world.scene)  # names that no text could use, before the search
    cvt = config.algorithm == "cvt-map-elites" and foreign is None
    check_memory(config, environment, searched=foreign is None)
    cells = search.make_cells(environment, config.cells, cvt=cvt)
    extra: dict[str, Any] = {"environment file": registry.factory_digest(config.environment)}
    if environment.world is not None:
        extra["world"] = environment.world.digest()
    if config.import_file is not None:
        extra["import"] = importing.source_digest(config.import_file)
    with Stage(config, "archive", extra=extra) as stage:
        if stage.done:
            return stage.folder
        if foreign is None:
            if cvt:
                cells = search.with_centroids(cells, config.seed, stage.path("centroids.parquet"))
            journal = stage.scratch("evaluations.journal")
            with executor.open_executor(config.ray) as workers:
                elites, history = search.search(
                    config.search_options(), environment, cells, journal, workers
                )
            origin: dict[str, Any] = {"evaluations": int(history["evaluations"].iloc[-1])}
        else:
            elites, verdict = importing.import_archive(
                foreign, environment, config.tolerance, config.seed, stage.path("replay_errors")
            )
            history, origin = search.one_step(cells, elites), {"import": verdict}
            stage.facts["replay_to_their_bd"] = verdict["replay_to_their_bd"]
        info = search.archive_info(
            environment, cells, elites, task=config.task(), seed=config.seed,
            algorithm="import" if foreign else config.algorithm,
        )  # fmt: skip
        archive = replace(elites, info=info | origin)
        archive.save(stage.path("elites.parquet").parent)
        write_table(stage.path("history.parquet"), history)
        if environment.world is not None:
            save_world(environment.world, stage.path("world"))
        show(stage, archive, cells, environment, None if foreign else history)
    return stage.folder


def show(
    stage: Stage,
    archive: Archive,
    cells: Cells,
    environment: Environment,
    history: pd.DataFrame | None,
) -> None:
    """Write the pictures and the manifest's figures, and print a line; no history, no curve."""
    info = archive.info
    known = info["reachable_cells"] is not None
    if history is not None:
        what = "the reachable cells" if known else "all cells"
        plots.plot_history(history, what, stage.path("coverage"))
    plots.plot_archive(archive, cells, environment.world, stage.path("elites_map"))
    stage.rows["elites"] = len(archive)
    stage.facts |= {
        "coverage": round(info["coverage"], 4),
        "qd_score": round(info["qd_score"], 2),
        "objective_mean": round(info["objective_mean"], 4),
    }
    print(
        f"{len(archive):,} elites, {100 * info['coverage']:.1f} % of "
        f"{info['reachable_cells'] if known else cells.count:,} "
        f"{'reachable ' if known else ''}cells, mean objective {info['objective_mean']:.3f}",
        file=sys.stderr,
    )
