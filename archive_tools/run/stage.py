"""A stage of the pipeline: one folder of a run, its manifest, and what guards it.

A run is one directory. A stage reads folders that earlier stages wrote and writes its own. It
works in a hidden partial folder, renamed to its final name only when all is done, so a folder that
can be seen is whole. `manifest.json` in it says from what and how it was made. The fingerprint of a
stage is the hash of its options, of the content of its inputs and of the project's version: with
the same fingerprint a finished stage is left alone and an interrupted one goes on; with another it
refuses to mix. Nothing that took work is removed without --redo.
"""

import platform
import shlex
import shutil
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, ClassVar, Literal, Self

from archive_tools.files import file_digest, write_json
from archive_tools.run import bounds
from archive_tools.run.manifest import (
    MANIFEST,
    SCRIPTS,
    Parts,
    check_folder,
    check_place,
    digest_of,
    read_manifest,
    version_of,
)
from archive_tools.run.workplace import BEGUN, Workplace, differences
from envs.errors import InputError

__all__ = ["SCRIPTS", "Preset", "Stage", "StageConfig", "check_folder", "read_manifest"]
PACKAGES = ("wayword", "torch", "numpy", "numba", "ribs", "gymnasium", "tokenizers", "pyarrow")


Preset = Literal["demo", "paper"]


@dataclass
class StageConfig:
    """Options that every stage has."""

    run: Path = Path("runs/demo")
    """The run directory: all stages of one run share it."""
    preset: Preset = "demo"
    """Which defaults the options have: demo (minutes on a laptop) or paper (the full size)."""
    seed: bounds.Whole = 0
    """Seed of every random choice. Same seed, same result."""
    redo: bool = False
    """Make the result anew. It replaces a finished one, and discards what an interrupted start from
    other inputs or with other options left; what the same start left is gone on with."""
    redo_changed: bool = False
    """Replace a finished result only where its inputs or options changed."""

    presets: ClassVar[dict[str, dict[str, Any]]] = {}
    """Defaults that differ from the fields' own, by preset."""
    not_fingerprint: ClassVar[set[str]] = set()
    """Options that cannot change the result (concurrency, say), so they do not force a redo."""

    def check(self) -> None:
        """Hold the options against their bounds; stages add what must hold between options.

        Raises:
            InputError: an option is out of its bounds, or --run is no folder.
        """
        bounds.check_options(self)
        check_place(Path(self.run), f"--run {self.run}")


def _plain(value: Any) -> Any:
    """Options as JSON: paths as text, tuples as lists."""
    if isinstance(value, Path):
        return value.as_posix()
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return value


class Stage:
    """The output folder of one stage, as a context manager.

    ```python
    with Stage(config, "annotations", inputs=("trajectories",)) as stage:
        if stage.done:
            return stage.folder
        source = stage.input("trajectories") / "trajectories.parquet"
        write_table(stage.path("events.parquet"), table)
        stage.rows["events"] = len(table)
    ```

    Args:
        config: the stage's options; they are written to the manifest and enter the fingerprint.
        name: the folder's name under `config.run`.
        inputs: folders of the run that the stage reads.
        extra: further facts that the result depends on (say, a digest of a file outside the run);
            JSON values, part of the fingerprint and of the manifest.
        folder: where the output goes, if not to the folder `name` of the run.

    Attributes:
        done: the stage was finished before, with the same fingerprint.
        rows: row counts for the manifest.
        facts: headline figures for the manifest and the summary.

    Raises:
        InputError: an option is out of its bounds; an input is missing, damaged or stale; the
            finished folder was made from other inputs or options and `config.redo` is off; another
            process is writing the folder.
    """

    def __init__(
        self,
        config: StageConfig,
        name: str,
        inputs: Sequence[str] = (),
        extra: Mapping[str, Any] | None = None,
        folder: Path | None = None,
    ) -> None:
        config.check()
        self.config, self.name = config, name
        self.folder = folder or Path(config.run) / name
        self._place = Workplace(self.folder)
        self.partial = self._place.partial
        self.done = False
        self.rows: dict[str, int] = {}
        self.facts: dict[str, Any] = {}
        self._scratch: set[str] = set()
        self._inputs = {i: check_folder(Path(config.run) / i)["digest"] for i in inputs}
        skip = {"run", "redo", "redo_changed", *config.not_fingerprint}
        self._options = {f.name: _plain(getattr(config, f.name)) for f in fields(config)}
        self._extra = _plain(extra or {})
        self._parts = {
            "options": {k: v for k, v in self._options.items() if k not in skip},
            "inputs": self._inputs,
            "extra": self._extra,
            "version": version_of("wayword"),
        }
        self.fingerprint = digest_of({"stage": name, **self._parts})

    def __enter__(self) -> Self:
        self._start = time.perf_counter()
        # What is done is read without a lock, so that a run may lie on a disk that is read only.
        if not self._place.unsettled and self._is_done():
            return self
        try:
            self._place.open()
            self._place.settle(self.fingerprint)
            if self._is_done():  # by another process, before this one had the lock
                self._place.close()
            else:
                config = self.config
                self._place.begin(
                    self.fingerprint, self._parts, redo=config.redo, update=config.redo_changed
                )
        except BaseException:
            self._place.leave()
            self._place.close()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if self.done:
            return
        try:
            if kind is None:
                self._finish()
            else:
                self._place.leave()
        finally:
            self._place.close()

    def _is_done(self) -> bool:
        """Whether the folder holds this very result; another one is refused, unless it may go."""
        config = self.config
        check_place(self.folder, str(self.folder))
        if not (self.folder / MANIFEST).exists():
            if self.folder.exists() and any(self.folder.iterdir()) and not config.redo:
                raise InputError(
                    f"{self.folder}: holds files but no {MANIFEST}, so it is not what a finished "
                    "stage leaves; move it away, or add --redo to replace it"
                )
            return False
        if config.redo:
            return False
        manifest = read_manifest(self.folder)
        if manifest["fingerprint"] == self.fingerprint:
            check_folder(self.folder)
            self.done = True
            self.rows, self.facts = manifest["rows"], manifest["facts"]
            print(f"{self.folder}: up to date (--redo makes it anew)", file=sys.stderr)
            return True
        if not config.redo_changed:
            changed = differences(Parts.model_validate(manifest["parts"]), self._parts)
            kind = "inputs" if changed[0].endswith("/") else "options"
            raise InputError(
                f"{self.folder}: made from other {kind}: {', '.join(changed)}; "
                "add --redo to replace it, or use another --run"
            )
        return False

    def input(self, name: str) -> Path:
        """The folder of an input named at the start (already checked)."""
        if name not in self._inputs:
            raise KeyError(f"{name} was not declared as an input of {self.name}")
        return Path(self.config.run) / name

    def path(self, name: str) -> Path:
        """Where to write an output file; it appears in the final folder when the stage is done."""
        path = self.partial / name
        path.parent.mkdir(parents=True, exist_ok=True)
        return path

    def scratch(self, name: str) -> Path:
        """Like `path`, for a file or folder that only serves resuming: deleted when done."""
        self._scratch.add(name)
        return self.path(name)

    def _finish(self) -> None:
        for name in self._scratch:
            path = self.partial / name
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)
        for leftover in self.partial.rglob("*.tmp"):  # of a write that was killed
            leftover.unlink()
        outputs = {
            path.relative_to(self.partial).as_posix(): {
                "bytes": path.stat().st_size,
                "sha256": file_digest(path),
            }
            for path in self._place.written()
            if path.name not in (BEGUN, MANIFEST)
        }
        manifest = {
            "stage": self.name,
            "command": shlex.join(["python", *sys.argv]),
            "config": self._options,
            "seed": self.config.seed,
            "versions": {"python": platform.python_version()}
            | {package: version_of(package) for package in PACKAGES},
            "inputs": self._inputs,
            "extra": self._extra,
            "rows": self.rows,
            "facts": self.facts,
            "outputs": outputs,
            "digest": digest_of({name: entry["sha256"] for name, entry in outputs.items()}),
            "fingerprint": self.fingerprint,
            "parts": self._parts,
            "wall_time_s": round(time.perf_counter() - self._start, 3),
        }
        write_json(self.partial / MANIFEST, manifest)
        self._place.publish()
