"""Stage 02: drive every elite once more and write down all that it sees and does, or take in what
others recorded."""

import sys
from dataclasses import dataclass, fields, replace
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import pyarrow as pa
import tyro

from archive_tools.archive import load_archive
from archive_tools.files import read_json, read_table, write_json, write_table
from archive_tools.recordings import (
    Choice,
    Drives,
    importing,
    read_recording,
    recording_digest,
    replay_drives,
    setting,
    take_drives,
)
from archive_tools.run import Stage, bounds, executor
from archive_tools.tasks import registry
from archive_tools.trajectories import Recorder, write_trajectories
from envs import save_world
from envs.errors import InputError


@dataclass
class RecordConfig(executor.SpreadConfig):
    """Record one trajectory of every elite, or import recorded drives."""

    chunk: bounds.Count = 256
    """Trajectories recorded at once; what is done survives a kill chunk by chunk."""

    import_source: Annotated[str, tyro.conf.arg(name="import")] = ""
    """Take these drives instead: a Minari dataset (its id or folder), a LeRobot v3 folder, an .npz
    of arrays, or a run or folder with trajectories.json and Parquet (docs/recordings.md). What
    follows goes with it."""
    environment: str = ""
    """Where they were driven: navigation, a Gymnasium id, or a function of yours; the recorded
    actions are driven there once more and compared."""
    environment_options: str = ""
    """Its arguments as JSON, as for scripts/00_search_archive.py."""
    replay: bool = True
    """Drive the recorded actions once more, where there is an environment."""
    tolerance: bounds.NonNegative = 1e-3
    """A drive repeats if no observation is further off than this share of its range."""
    world: str = ""
    """The world that positions are in, x, y in its units with y down: as for
    scripts/00_search_archive.py."""
    plane: str = ""
    """Or the plane (TOML, docs/environments.md) that makes a map of two recorded numbers."""
    observations: str = ""
    """The array of observations, where it is not observations or observation.state; NAME:0,1 takes
    places of its rows."""
    position: tuple[str, ...] = ()
    """The array that says where the robot is, like positions or observations:0,1, or two arrays
    for x and y; by default pose, positions, or the two numbers of the plane."""
    bd: str = ""
    """The array whose last row is the BD, like observations:0,1; by default bd, or the last
    position."""
    bd_names: tuple[str, ...] = ()
    """Names of the BD's numbers."""
    bd_low: bounds.Place = ()
    """Lower bounds of the BD; by default the environment's or the world's, else from the data."""
    bd_high: bounds.Place = ()
    """Upper bounds of the BD."""
    drop_last_action: bool = False
    """Leave the last action out of episodes that end without an observation after it. (Formats
    whose rows are frames, as LeRobot's, always do.)"""
    steps: bounds.Whole = 0
    """Take the first so many steps of each episode, which every one must have; 0: all steps."""

    def check(self) -> None:
        """Raise InputError where an option is out of its bounds, or options do not go together."""
        super().check()
        known = {field.name for field in fields(executor.SpreadConfig)} | {"chunk", "import_source"}
        for field in fields(self):
            if self.import_source or field.name in known:
                continue
            if getattr(self, field.name) != field.default:
                raise InputError(f"--{field.name.replace('_', '-')}: goes with --import only")
        self.choice()
        if self.environment_options and not self.environment:
            raise InputError("--environment-options: of which --environment?")

    def choice(self) -> Choice:
        """Which arrays of a recording are what."""
        return Choice.of(
            self.observations, self.position, self.bd, drop=self.drop_last_action, steps=self.steps
        )


def pruned_ids(run: Path) -> set[int] | None:
    """The policies that a pruning verification kept; None where there was none."""
    folder = run / "verification"
    if not (folder / "manifest.json").exists():
        return None
    if not read_json(folder / "verification.json").get("pruned"):
        return None
    table = read_table(folder / "replays.parquet", ("policy_id", "ok"))
    return set(table["policy_id"][table["ok"]].tolist())


class Import:
    """Recorded drives of others, on their way into a run."""

    def __init__(self, config: RecordConfig) -> None:
        self.config, self.run = config, Path(config.run)
        self.recording = read_recording(config.import_source)
        self.setting = setting.make_setting(
            self.recording,
            self.run / "archive",
            environment=config.environment,
            options=config.environment_options,
            world=config.world,
            plane=config.plane,
        )
        self.gym: dict[str, Any] = dict(self.setting.gym or setting.NOWHERE)

    @cached_property
    def drives(self) -> Drives:
        """What was recorded."""
        choice, plane = self.config.choice(), self.setting.plane
        recorded = {"pose", "infos/pose", "observation.pose"} & set(self.recording.names)
        if plane is not None and not choice.position and not recorded:
            place = setting.plane_position(plane, self.recording)
            choice = replace(choice, position=place)
        return take_drives(self.recording, choice)

    @cached_property
    def taken(self) -> importing.Taken:
        """As the stage writes them."""
        config, replayed = self.config, None
        if self.gym["id"] and config.replay:
            replayed = replay_drives(self.drives, self.gym, self.setting.world, config.seed)
        given = (config.bd_names, config.bd_low, config.bd_high)
        found = importing.take_in(
            self.recording, self.drives, self.setting, self.gym, replayed, given,
            config.tolerance, config.seed,
        )  # fmt: skip
        count, recording = len(self.drives.ids), self.recording
        if replayed is None:
            line = setting.told(recording) if not self.gym["id"] else "not replayed (--no-replay)"
        else:
            good = int(replayed.ok(config.tolerance).sum())
            finite = replayed.error[np.isfinite(replayed.error)]
            worst = f"{finite.max():.3g}" if len(finite) else "–"
            line = (
                f"{good:,} of {count:,} drives repeat in {self.setting.id or self.gym['id']} (no "
                f"observation off by more than {config.tolerance:g} of its range; largest {worst})"
            )
        print(f"{recording.source}: {count:,} drives ({recording.kind}); {line}", file=sys.stderr)
        for note in found.notes:
            print(f"  {note}", file=sys.stderr)
        return found

    def write_archive(self, stage: Stage) -> None:
        """An archive without elites: where the drives were driven, and what their BD is."""
        world, task = self.setting.world, self.setting.environment
        measures = self.taken.measures.to_json()
        info = {"environment": self.gym, "task": self.setting.task, "measures": measures}
        if task is not None:
            info["controller"] = task.controller.to_json()
        info |= {"algorithm": "recorded", "elites": 0, "seed": self.config.seed}
        write_json(stage.path("archive.json"), info | {"import": self.taken.verdict})
        if world is not None:
            save_world(world, stage.path("world"))
        stage.rows["elites"] = 0

    def write_trajectories(self, stage: Stage) -> None:
        """The drives, what describes them, and the texts that came along."""
        count, chunk, drives = len(self.drives.ids), self.config.chunk, self.drives
        blocks = (slice(begin, min(begin + chunk, count)) for begin in range(0, count, chunk))
        tables = (importing.table_of(drives, self.taken.poses, self.taken.bd, b) for b in blocks)
        write_trajectories(stage.path("trajectories.parquet"), tables)
        write_json(stage.path("trajectories.json"), self.taken.info)
        if drives.texts:
            ids, texts = zip(*drives.texts, strict=True)
            source = [self.recording.kind.split()[0].rstrip(",")] * len(ids)
            columns = {"trajectory_id": pa.array(ids, pa.int64()), "text": texts, "source": source}
            write_table(stage.path("texts.parquet"), pa.table(columns))
            print(
                f"{len(texts):,} texts came along; scripts/04_describe.py --texts "
                f"{stage.folder / 'texts.parquet'} puts them beside the others",
                file=sys.stderr,
            )
        stage.rows["trajectories"] = count
        stage.facts.update(
            steps=int(drives.lengths.sum()),
            imported=self.recording.kind,
            replayed=self.taken.verdict["replayed"],
            texts=len(drives.texts),
        )


def import_drives(config: RecordConfig) -> Path:
    """Take recorded drives into the run: an archive without elites where it has none, and
    `trajectories/`."""
    digest = {"import": recording_digest(config.import_source)}
    taken = Import(config)
    if not (Path(config.run) / "archive" / "elites.parquet").exists():
        world = taken.setting.world
        made = {"environment file": registry.factory_digest(config.environment),
                "world": None if world is None else world.digest()}  # fmt: skip
        with Stage(config, "archive", extra=digest | made) as stage:
            if not stage.done:
                taken.write_archive(stage)
    with Stage(config, "trajectories", inputs=("archive",), extra=digest) as stage:
        if not stage.done:
            taken.write_trajectories(stage)
    return stage.folder


def run(config: RecordConfig) -> Path:
    """Stage 02: archive (and verification, where it pruned) → `trajectories/`.

    With --import: recorded drives → `trajectories/`, and `archive/` where there is none.

    Raises:
        InputError: an earlier stage is missing or stale, a policy has NaN weights, or what is
            imported cannot be used.
    """
    config.check()
    if config.import_source:
        return import_drives(config)
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
