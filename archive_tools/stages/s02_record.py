"""Stage 02: drive every elite once more and write down all that it sees and does."""

import sys
from dataclasses import dataclass
from pathlib import Path

from archive_tools.archive import load_archive
from archive_tools.files import read_json, read_table, write_json
from archive_tools.run import Stage, bounds, executor
from archive_tools.tasks import registry
from archive_tools.trajectories import Recorder, write_trajectories


@dataclass
class RecordConfig(executor.SpreadConfig):
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
        environment = registry.environment_of(folder, archive.info)
        recorder = Recorder(environment, archive, config.chunk, stage.scratch("parts"))
        with executor.open_executor(config.ray) as workers:
            recorder.record(workers)
        output = stage.path("trajectories.parquet")
        write_trajectories(output, recorder.chunks())
        write_json(stage.path("trajectories.json"), recorder.info())
        misses = recorder.misses()
        if misses:
            print(
                f"{misses:,} of {len(archive):,} trajectories do not end at their archive's BD; "
                "scripts/01_verify_archive.py lists them",
                file=sys.stderr,
            )
        stage.rows["trajectories"] = len(archive)
        elites = (folder / "elites.parquet").stat().st_size
        stage.facts.update(
            steps=int(recorder.lengths().sum()),
            bd_differs_from_archive=misses,
            bytes_per_trajectory=round(output.stat().st_size / len(archive)),
            bytes_per_entry_with_archive=round((output.stat().st_size + elites) / len(archive)),
        )
    return stage.folder
