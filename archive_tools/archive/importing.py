"""Take a foreign archive into a run: replay it, and say how much of it holds."""

import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from archive_tools.archive.elites import Archive
from archive_tools.archive.plots import plot_errors
from archive_tools.archive.readers import Foreign, infer_layers, read_foreign
from archive_tools.archive.replay import replay, scaling_hint, tolerances
from archive_tools.files import file_digest
from archive_tools.tasks import Environment
from envs.errors import InputError


def prepare_import(
    source: Path, make: Callable[[tuple[int, ...] | None], Environment], *, infer: bool
) -> tuple[Environment, Foreign]:
    """Read a foreign archive, and make the environment in which its controllers can drive.

    Args:
        source: the file or folder.
        make: makes the environment for controllers with these layers; its own choice for None.
        infer: take the layers from the number of weights.

    Raises:
        InputError: the source cannot be read, or is no archive of this environment: BD or weights
            have another number of dimensions.
    """
    foreign, environment = read_foreign(source), make(None)
    if infer:
        sizes = environment.controller.layers
        try:
            layers = infer_layers(foreign.solutions.shape[1], sizes[0], sizes[-1])
        except InputError as error:
            raise InputError(f"{source}: {error}") from None
        environment = make(layers)
    names = environment.measures.names
    if foreign.measures.shape[1] != len(names):
        raise InputError(
            f"{source}: measures have {foreign.measures.shape[1]} dimensions; the "
            f"environment's BD has {len(names)} ({', '.join(names)})"
        )
    try:
        foreign.arranged(environment.controller.layers)
    except InputError as error:
        raise InputError(f"{source}: {error}") from None
    return environment, foreign


def import_archive(
    foreign: Foreign,
    environment: Environment,
    tolerance: Sequence[float],
    seed: int,
    picture: Path,
) -> tuple[Archive, dict[str, Any]]:
    """Replay a foreign archive and say how much of it does what it claims.

    Args:
        foreign: what was read; it fits, see `prepare_import`.
        environment: where it is said to have been made.
        tolerance: as for `tolerances`.
        seed: of the replays.
        picture: histogram of the errors, without suffix.

    Returns:
        the archive, all of it, and the verdict.
    """
    solutions = foreign.arranged(environment.controller.layers)
    archive = Archive(foreign.policy_ids, foreign.objective, foreign.measures, solutions, {})
    limits = tolerances(environment, tolerance)
    replays = replay(environment, archive, limits, seed=seed)
    good = int(replays.ok.sum())
    hint = scaling_hint(archive, replays)
    verdict = {
        "source": foreign.source.name,
        "format": foreign.kind,
        "empty_cells_left_out": foreign.empty,
        "policies": len(archive),
        "replay_to_their_bd": good,
        "tolerance": limits.tolist(),
        "median_error": float(np.median(replays.error)),
        "hint": hint,
        "notes": list(foreign.notes),
    }
    layers = "-".join(map(str, environment.controller.layers))
    print(
        f"{foreign.source}: {len(archive):,} controllers {layers} ({foreign.kind}); "
        f"{good:,} of {len(archive):,} replay to their BD (within "
        f"{', '.join(f'{t:g}' for t in limits)}; median error {verdict['median_error']:.3g})",
        file=sys.stderr,
    )
    for line in (*foreign.notes, *([hint] if hint else [])):
        print(f"  {line}", file=sys.stderr)
    plot_errors(replays.error, replays.ok, "BD units", picture)
    return archive, verdict


def source_digest(path: Path) -> str | dict[str, str]:
    """sha256 of a file, or of each array and table in a folder."""
    if path.is_dir():
        files = sorted(f for f in path.iterdir() if f.suffix in (".npy", ".parquet"))
        return {file.name: file_digest(file) for file in files}
    return file_digest(path)
