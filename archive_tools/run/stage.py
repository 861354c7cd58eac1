"""A stage of the pipeline: one folder of a run, its manifest, and what guards it.

A run is one directory. A stage reads folders that earlier stages wrote and writes its own. It
works in a hidden partial folder, renamed to its final name only when all is done, so a folder that
can be seen is whole. `manifest.json` in it says from what and how it was made. The fingerprint of a
stage is the hash of its options and of the content of its inputs: with the same fingerprint a
finished stage is left alone and an interrupted one goes on; with another it refuses to mix.
"""

import hashlib
import importlib.metadata
import json
import os
import platform
import shlex
import shutil
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, ClassVar, Literal, Self

from archive_tools.files.tables import file_digest, read_json, write_json
from archive_tools.run import bounds
from envs.errors import InputError

# folder of a run -> the script that writes it
SCRIPTS = {
    "archive": "scripts/00_search_archive.py",
    "verification": "scripts/01_verify_archive.py",
    "trajectories": "scripts/02_record_trajectories.py",
    "annotations": "scripts/03_annotate.py",
    "descriptions": "scripts/04_describe.py",
    "dataset": "scripts/05_verify_dataset.py",
    "tokenizer": "scripts/06_train_tokenizer.py",
    "model": "scripts/07_train.py",
    "rollouts": "scripts/08_rollout.py",
    "evaluation": "scripts/09_evaluate.py",
}
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
    """Replace a finished result that was made from other inputs or with other options."""

    presets: ClassVar[dict[str, dict[str, Any]]] = {}
    """Defaults that differ from the fields' own, by preset."""
    not_fingerprint: ClassVar[set[str]] = set()
    """Options that cannot change the result (concurrency, say), so they do not force a redo."""

    def check(self) -> None:
        """Hold the options against their bounds; stages add what must hold between options.

        Raises:
            InputError: an option is out of its bounds.
        """
        bounds.check_options(self)


def _digest(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


def _plain(value: Any) -> Any:
    """Options as JSON: paths as text, tuples as lists."""
    if isinstance(value, Path):
        return value.as_posix()
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return value


def _versions() -> dict[str, str]:
    versions = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            versions[name] = "not installed"
    return versions


def read_manifest(folder: Path) -> dict[str, Any]:
    """The manifest of a finished stage's folder.

    Raises:
        InputError: the stage has not been run (names the script that runs it).
    """
    if not (folder / "manifest.json").exists():
        script = SCRIPTS.get(folder.name, "the stage that writes it")
        raise InputError(
            f"{folder}: not there or not finished; "
            f"run `python {script} --run {folder.parent}` first"
        )
    return read_json(folder / "manifest.json")


def check_folder(folder: Path) -> dict[str, Any]:
    """The manifest of a finished folder, after checking that its files are the ones it lists.

    Raises:
        InputError: a file is missing, truncated or changed, or the folder is stale: made from a
            state of an earlier stage that has been replaced since.
    """
    manifest = read_manifest(folder)
    again = f"run `python {SCRIPTS.get(folder.name, '…')} --run {folder.parent} --redo`"
    for name, entry in manifest["outputs"].items():
        path = folder / name
        if not path.exists():
            raise InputError(f"{path}: missing, though its manifest lists it; {again}")
        size = path.stat().st_size
        if size != entry["bytes"]:
            raise InputError(
                f"{path}: {size} bytes, its manifest says {entry['bytes']}: "
                f"truncated or changed; {again}"
            )
        if file_digest(path) != entry["sha256"]:
            raise InputError(f"{path}: changed since it was written (sha256 differs); {again}")
    _check_fresh(folder, manifest)
    return manifest


def _check_fresh(folder: Path, manifest: Mapping[str, Any]) -> None:
    for name, digest in manifest["inputs"].items():
        earlier = folder.parent / name
        if not (earlier / "manifest.json").exists():
            continue  # a run that was trimmed of early stages is still usable
        current = read_manifest(earlier)
        if current["digest"] != digest:
            raise InputError(
                f"{folder}: stale, {earlier.name}/ was replaced since it was made; "
                f"run `python {SCRIPTS.get(folder.name, '…')} --run {folder.parent} --redo`"
            )
        _check_fresh(earlier, current)


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
    ) -> None:
        config.check()
        self.config, self.name = config, name
        self.folder = Path(config.run) / name
        self.partial = self.folder.with_name(f".{name}.partial")
        self.done = False
        self.rows: dict[str, int] = {}
        self.facts: dict[str, Any] = {}
        self._scratch: set[str] = set()
        self._inputs = {i: check_folder(self.folder.parent / i)["digest"] for i in inputs}
        skip = {"run", "redo", *config.not_fingerprint}
        self._options = {f.name: _plain(getattr(config, f.name)) for f in fields(config)}
        self._extra = _plain(extra or {})
        self._parts = {
            "options": {k: v for k, v in self._options.items() if k not in skip},
            "inputs": self._inputs,
            "extra": self._extra,
        }
        self.fingerprint = _digest({"stage": name, **self._parts})
        self._lock: int | None = None

    def __enter__(self) -> Self:
        self._start = time.perf_counter()
        self._recover()
        if (self.folder / "manifest.json").exists():
            manifest = read_manifest(self.folder)
            if manifest["fingerprint"] == self.fingerprint:
                check_folder(self.folder)
                self.done = True
                self.rows, self.facts = manifest["rows"], manifest["facts"]
                print(f"{self.folder}: up to date", file=sys.stderr)
                return self
            if not self.config.redo:
                raise InputError(
                    f"{self.folder}: made from other {self._difference(manifest)}; "
                    "add --redo to replace it, or use another --run"
                )
        self._open_partial()
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            if kind is None and not self.done:
                self._finish()
        finally:
            if self._lock is not None:
                os.close(self._lock)

    def input(self, name: str) -> Path:
        """The folder of an input named at the start (already checked)."""
        if name not in self._inputs:
            raise KeyError(f"{name} was not declared as an input of {self.name}")
        return self.folder.parent / name

    def path(self, name: str) -> Path:
        """Where to write an output file; it appears in the final folder when the stage is done."""
        path = self.partial / name
        path.parent.mkdir(parents=True, exist_ok=True)
        return path

    def scratch(self, name: str) -> Path:
        """Like `path`, for a file or folder that only serves resuming: deleted when done."""
        self._scratch.add(name)
        return self.path(name)

    def _recover(self) -> None:
        """Complete a replacement that was killed between its two renames."""
        old = self.folder.with_name(f".{self.name}.old")
        if (self.partial / "manifest.json").exists():
            whole = read_json(self.partial / "manifest.json")
            if not self.folder.exists() or whole["fingerprint"] == self.fingerprint:
                self._publish()
        if old.exists():
            if self.folder.exists():
                shutil.rmtree(old)
            else:
                os.replace(old, self.folder)

    def _difference(self, manifest: Mapping[str, Any]) -> str:
        before, changed = manifest["parts"], []
        for name, digest in self._inputs.items():
            if before["inputs"].get(name) != digest:
                changed.append(f"{name}/")
        for name, value in self._parts["options"].items():
            if name not in before["options"] or before["options"][name] != value:
                changed.append(f"--{name.replace('_', '-')} ({before['options'].get(name)})")
        changed += [key for key in self._extra if before["extra"].get(key) != self._extra[key]]
        kind = "inputs" if changed and changed[0].endswith("/") else "options"
        return f"{kind}: {', '.join(changed) or 'an older layout'}"

    def _open_partial(self) -> None:
        begun = self.partial / ".fingerprint"
        if self.partial.exists() and (
            not begun.exists() or begun.read_text().strip() != self.fingerprint
        ):
            print(f"{self.partial}: left by other inputs or options, discarded", file=sys.stderr)
            shutil.rmtree(self.partial)
        self.partial.mkdir(parents=True, exist_ok=True)
        self._take_lock()
        begun.write_text(self.fingerprint + "\n")

    def _take_lock(self) -> None:
        """Two processes in one partial folder would mix their files; Windows goes without."""
        try:
            import fcntl
        except ImportError:
            return
        self._lock = os.open(self.partial, os.O_RDONLY)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise InputError(
                f"{self.folder}: another process is writing it; wait for it, or use another --run"
            ) from None

    def _finish(self) -> None:
        for name in self._scratch:
            path = self.partial / name
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)
        (self.partial / ".fingerprint").unlink(missing_ok=True)
        outputs = {
            path.relative_to(self.partial).as_posix(): {
                "bytes": path.stat().st_size,
                "sha256": file_digest(path),
            }
            for path in sorted(self.partial.rglob("*"))
            if path.is_file() and not path.name.endswith(".tmp")
        }
        manifest = {
            "stage": self.name,
            "command": shlex.join(["python", *sys.argv]),
            "config": self._options,
            "seed": self.config.seed,
            "versions": _versions(),
            "inputs": self._inputs,
            "extra": self._extra,
            "rows": self.rows,
            "facts": self.facts,
            "outputs": outputs,
            "digest": _digest({name: entry["sha256"] for name, entry in outputs.items()}),
            "fingerprint": self.fingerprint,
            "parts": self._parts,
            "wall_time_s": round(time.perf_counter() - self._start, 3),
        }
        write_json(self.partial / "manifest.json", manifest)
        self._publish()

    def _publish(self) -> None:
        """Put the partial folder, whole by now, in the final one's place."""
        old = self.folder.with_name(f".{self.name}.old")
        if self.folder.exists():
            os.replace(self.folder, old)
        os.replace(self.partial, self.folder)
        shutil.rmtree(old, ignore_errors=True)
