"""Stage 02: drive every elite once more and write down all that it sees and does."""

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from tqdm import tqdm

from archive_tools.archive.elites import load_archive
from archive_tools.archive.replay import tolerances
from archive_tools.run import bounds
from archive_tools.run.stage import Stage, StageConfig
from archive_tools.run.tables import read_json, read_table, write_json, write_table
from archive_tools.tasks.navigation import Navigation
from archive_tools.tasks.registry import environment_of
from archive_tools.trajectories.recording import record_chunk
from archive_tools.trajectories.table import make_info, write_trajectories


@dataclass
class RecordConfig(StageConfig):
    """Record one trajectory of every elite."""

    chunk: bounds.Count = 256
    """Trajectories recorded at once; what is done survives a kill chunk by chunk."""


def pruned_ids(run: Path) -> set[int] | None:
    """The policies that a pruning verification kept; None where there was none."""
    folder = run / "verification"
    if not (folder / "manifest.json").exists():
        return None
    if not read_json(folder / "verification.json").get("pruned"):
        return None
    table = read_table(folder / "replays.parquet", ("policy_id", "ok"))
    return set(table["policy_id"][table["ok"]].tolist())


def run(config: RecordConfig) -> Path:
    """Stage 02: archive (and verification, where it pruned) → `trajectories/`.

    Raises:
        InputError: an earlier stage is missing or stale, or a policy has NaN weights.
    """
    keep = pruned_ids(Path(config.run))
    inputs = ("archive",) if keep is None else ("archive", "verification")
    with Stage(config, "trajectories", inputs=inputs) as stage:
        if stage.done:
            return stage.folder
        folder = stage.input("archive")
        archive = load_archive(folder, allow_broken=keep is not None)
        if keep is not None:
            archive = archive.take([i in keep for i in archive.policy_ids.tolist()])
        environment = environment_of(folder, archive.info)
        # The seed of the search, so that a seeded environment repeats what the archive says.
        seed = int(archive.info.get("seed", 0))
        begins = range(0, len(archive), config.chunk)
        parts = stage.scratch("parts")
        with tqdm(total=len(archive), desc="record", unit=" trajectories") as bar:
            for begin in begins:
                rows = slice(begin, min(begin + config.chunk, len(archive)))
                part = parts / f"{begin:08d}.parquet"
                if not part.exists():
                    write_table(part, record_chunk(environment, archive, rows, seed))
                bar.update(rows.stop - rows.start)

        def chunks() -> Iterator[pa.Table]:
            for begin in begins:
                yield pq.read_table(parts / f"{begin:08d}.parquet")

        output = stage.path("trajectories.parquet")
        write_trajectories(output, chunks())
        spec, lengths, misses = environment.controller, [], 0
        tolerance = tolerances(environment, ())
        for begin, table in zip(begins, chunks(), strict=True):
            rows = slice(begin, begin + len(table))
            lengths.append(table["length"].to_numpy())
            reached = np.stack(table["bd"].to_numpy())
            misses += int((np.abs(reached - archive.measures[rows]) > tolerance).any(1).sum())
        length = np.concatenate(lengths)
        info = make_info(
            spec.layers[0],
            archive.info["environment"],
            environment.action_low,
            environment.action_high,
            spec.action_decimals,
            archive.info["measures"],
            int(length.max()),
        )
        if isinstance(environment, Navigation):
            info["odometry"] = environment.odometry()
        write_json(stage.path("trajectories.json"), info)
        if misses:
            print(
                f"{misses:,} of {len(archive):,} trajectories do not end at their archive's BD; "
                "scripts/01_verify_archive.py lists them",
                file=sys.stderr,
            )
        stage.rows["trajectories"] = len(archive)
        elites = (folder / "elites.parquet").stat().st_size
        stage.facts.update(
            steps=int(length.sum()),
            bd_differs_from_archive=misses,
            bytes_per_trajectory=round(output.stat().st_size / len(archive)),
            bytes_per_entry_with_archive=round((output.stat().st_size + elites) / len(archive)),
        )
    return stage.folder
