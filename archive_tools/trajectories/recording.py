"""Drive elites once more and keep all that they see and do."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray
from tqdm import tqdm

from archive_tools.archive import Archive, tolerances
from archive_tools.files import write_table
from archive_tools.run import executor
from archive_tools.tasks import Environment, Navigation, drives_of
from archive_tools.trajectories.table import Floats, make_info, make_table
from envs.errors import InputError


def record_drives(environment: Environment, job: tuple[Floats, NDArray[np.int64], int]) -> pa.Table:
    """Trajectories of elites (weights [N, n_params], ids [N], seed) as rows of the table.

    Raises:
        InputError: the environment recorded numbers that are not finite.
    """
    solutions, ids, seed = job
    rollouts = drives_of(environment, solutions, seed)
    pose, bd = rollouts.info.get("pose"), rollouts.info["bd"]
    arrays = {"obs": rollouts.obs, "action": rollouts.action, "pose": pose, "measures": bd}
    for name, array in arrays.items():
        if array is not None and not np.isfinite(array).all():
            bad = ~np.isfinite(array).reshape(len(ids), -1).all(axis=1)
            raise InputError(
                f"{environment.id}: policy {ids[bad][0]} recorded NaN or infinite {name}; "
                "leave it out with scripts/01_verify_archive.py --prune, or mend the environment"
            )
    return make_table(ids, rollouts.length, bd, rollouts.obs, rollouts.action, pose)


@dataclass(frozen=True)
class Recorder:
    """Records every elite of an archive, chunk by chunk: what is done survives a kill."""

    environment: Environment
    archive: Archive
    chunk: int
    """Trajectories recorded at once."""
    folder: Path
    """Where each chunk leaves a file; one that is there is not recorded again."""

    @property
    def rows(self) -> list[slice]:
        """Of the archive, per chunk."""
        count = len(self.archive)
        return [slice(b, min(b + self.chunk, count)) for b in range(0, count, self.chunk)]

    def _file(self, rows: slice) -> Path:
        return self.folder / f"{rows.start:08d}.parquet"

    @property
    def seed(self) -> int:
        """That of the search, so that a seeded environment repeats what the archive says."""
        return int(self.archive.info.get("seed", 0))

    def record(self, workers: executor.Executor) -> None:
        """Write the chunks that are not there yet, driven by `workers`.

        Raises:
            InputError: the environment recorded numbers that are not finite.
        """
        solutions, ids = self.archive.solutions, self.archive.policy_ids
        with tqdm(total=len(self.archive), desc="record", unit=" trajectories") as bar:
            missing = [rows for rows in self.rows if not self._file(rows).exists()]
            bar.update(len(self.archive) - sum(rows.stop - rows.start for rows in missing))
            pieces = [workers.pieces(rows.start, rows.stop) for rows in missing]
            jobs = ((solutions[p], ids[p], self.seed) for parts in pieces for p in parts)
            tables = workers.map(record_drives, jobs, self.environment)
            for rows, parts in zip(missing, pieces, strict=True):
                table = pa.concat_tables(next(tables) for _ in parts).combine_chunks()
                write_table(self._file(rows), table)
                bar.update(rows.stop - rows.start)

    def chunks(self, *columns: str) -> Iterator[pa.Table]:
        """The tables of all chunks, in order; only `columns` where some are named."""
        for rows in self.rows:
            yield pq.read_table(self._file(rows).absolute(), columns=list(columns) or None)

    def lengths(self) -> NDArray[np.int32]:
        """Steps [N] of each trajectory."""
        return np.concatenate([table["length"].to_numpy() for table in self.chunks("length")])

    def misses(self) -> int:
        """How many trajectories do not end at their archive's BD."""
        tolerance, misses = tolerances(self.environment, ()), 0
        for rows, table in zip(self.rows, self.chunks("bd"), strict=True):
            offset = np.abs(np.stack(table["bd"].to_numpy()) - self.archive.measures[rows])
            misses += int((offset > tolerance).any(1).sum())
        return misses

    def info(self) -> dict[str, Any]:
        """The content of trajectories.json."""
        environment, archive = self.environment, self.archive
        info = make_info(
            environment.controller.layers[0],
            archive.info["environment"],
            environment.action_low,
            environment.action_high,
            environment.controller.action_decimals,
            archive.info["measures"],
            int(self.lengths().max()),
        )
        if isinstance(environment, Navigation):
            info["odometry"] = environment.odometry()
        if getattr(environment, "action_classes", None):
            info["action_classes"] = environment.action_classes  # type: ignore[attr-defined]
        if environment.stochastic:
            info["seed"] = self.seed
        return info
