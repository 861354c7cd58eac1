"""Where a stage works until it is done: one place that opens and locks it, before anything goes.

Beside the final folder NAME lie, while a stage works, `.NAME.partial` (its output so far),
`.NAME.lock` (held by the process that works) and, for a moment, `.NAME.old` (what is replaced).
Where NAME is a link, to a larger disk say, all of them lie beside what it points to.
"""

import contextlib
import os
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from archive_tools.files import read_json, write_json
from archive_tools.run.manifest import MANIFEST, SCRIPTS, Parts, check_place, read_manifest
from envs.errors import InputError

BEGUN = ".fingerprint"


class _Begun(BaseModel):
    """What a partial folder says of the start that left it."""

    fingerprint: str
    parts: Parts


class Workplace:
    """The folders of one stage at work; `open` before anything is written or removed.

    Args:
        folder: the final one, of a run.
    """

    def __init__(self, folder: Path) -> None:
        self.folder, self.run = folder, folder.parent
        self.final = Path(os.path.realpath(folder)) if folder.is_symlink() else folder
        name = self.final.name
        self.partial, self.old, self.lock_file = (
            self.final.with_name(f".{name}.{what}") for what in ("partial", "old", "lock")
        )
        self._lock: int | None = None

    @property
    def unsettled(self) -> bool:
        """A replacement was killed halfway."""
        return (self.partial / MANIFEST).exists() or os.path.lexists(self.old)

    def open(self) -> None:
        """Take the lock. A lock that a dead process left counts for nothing.

        Raises:
            InputError: another process holds it; the folder is a file, a link to nowhere, or a
                link into another run.
            OSError: the run directory cannot be made or written.
        """
        check_place(self.run, f"--run {self.run}")
        check_place(self.folder, str(self.folder))
        if self.folder.is_symlink():
            self._check_link()
        self.run.mkdir(parents=True, exist_ok=True)
        self._lock = _locked(self.lock_file, self.folder)

    def close(self) -> None:
        """Release the lock."""
        if self._lock is not None:
            with contextlib.suppress(OSError):
                self.lock_file.unlink()
            os.close(self._lock)
            self._lock = None

    def _check_link(self) -> None:
        """A folder moved to another disk is replaced there; another run's own folder is not."""
        home = self.final.parent
        if home.resolve() != self.run.resolve() and any(
            (home / name / MANIFEST).exists() for name in SCRIPTS if name != self.final.name
        ):
            script = SCRIPTS.get(self.folder.name, "the stage")
            raise InputError(
                f"{self.folder}: a link into the run {home}, whose folder is not replaced from "
                f"here; run `python {script} --run {home}`, or remove the link"
            )

    def settle(self, fingerprint: str) -> None:
        """Complete a replacement that was killed between its two renames."""
        if self.final.exists():
            _remove(self.old)
        if (self.partial / MANIFEST).exists():
            with contextlib.suppress(InputError, KeyError, TypeError):
                whole = read_json(self.partial / MANIFEST)["fingerprint"]
                if not self.final.exists() or whole == fingerprint:
                    self.publish()
        if os.path.lexists(self.old) and not self.final.exists():
            os.replace(self.old, self.final)

    def begin(
        self, fingerprint: str, parts: Mapping[str, Any], *, redo: bool, update: bool
    ) -> None:
        """Make the partial folder, or go on in the one that a start with this fingerprint left.

        Args:
            fingerprint: of this start.
            parts: what it is the hash of.
            redo: discard what a start with other options or inputs left.
            update: discard it where only its inputs are others.

        Raises:
            InputError: such work is there, and it may not be discarded.
        """
        begun = self.partial / BEGUN
        check_place(self.partial, str(self.partial))
        if self.partial.exists():
            try:
                before = _Begun.model_validate(read_json(begun))
                known, changed = before.fingerprint, differences(before.parts, parts)
            except (InputError, ValidationError):
                known, changed = "", ["what it was begun with is not known"]
            if known != fingerprint:
                by_inputs = all(what.endswith("/") for what in changed)
                if self._holds_work() and not redo and not (update and by_inputs):
                    raise InputError(
                        f"{self.partial}: work of an interrupted start with other "
                        f"{'inputs' if by_inputs else 'options'}: {', '.join(changed)}; the "
                        "same as then go on from there, --redo or removing the folder discards it"
                    )
                if self._holds_work():
                    print(f"{self.partial}: left by other inputs or options, discarded",
                          file=sys.stderr)  # fmt: skip
                _remove(self.partial)
        self.partial.mkdir(exist_ok=True)
        write_json(begun, {"fingerprint": fingerprint, "parts": parts})

    def leave(self) -> None:
        """Take away what a failed start leaves, where it holds no work."""
        if self._lock is not None and self.partial.is_dir() and not self._holds_work():
            _remove(self.partial)

    def _holds_work(self) -> bool:
        return any(path.stat().st_size for path in self.written() if path.name != BEGUN)

    def written(self) -> Iterator[Path]:
        """The whole files of the partial folder, sorted."""
        for path in sorted(self.partial.rglob("*")):
            if path.is_file() and not path.name.endswith(".tmp"):
                yield path

    def publish(self) -> None:
        """Put the partial folder, whole by now, in the final one's place."""
        (self.partial / BEGUN).unlink(missing_ok=True)
        if self.final.exists():
            os.replace(self.final, self.old)
        os.replace(self.partial, self.final)
        with contextlib.suppress(OSError):
            _remove(self.old)


def take_over(
    run: Path, fill: Callable[[Path], Sequence[str]], *, redo: bool = False
) -> Sequence[str]:
    """Put finished stages that came from elsewhere into a run; their names.

    Args:
        run: the run directory; a stage that it has already, and that is the same, is left alone.
        fill: puts whole stages into an empty folder, and says which, the first of them first.
        redo: replace stages that differ.

    Raises:
        InputError: a stage differs, or another process is at work in the run.
    """
    new = not run.exists()
    guest = Workplace(run / "bundle")
    guest.open()
    places: list[Workplace] = []
    try:
        _remove(guest.partial)
        guest.partial.mkdir()
        stages = fill(guest.partial)
        for stage in stages:
            place = Workplace(run / stage)
            place.open()
            places.append(place)
            if redo or not place.folder.exists() or not any(place.folder.iterdir()):
                continue
            if (
                read_manifest(place.folder)["digest"]
                != read_manifest(guest.partial / stage)["digest"]
            ):
                raise InputError(
                    f"{place.folder}: holds another one; add --redo to replace it, or use another "
                    "--run"
                )
        for place in places:
            if redo or not (place.folder / MANIFEST).exists():
                _remove(place.partial)
                os.replace(guest.partial / place.folder.name, place.partial)
                place.publish()
    finally:
        _remove(guest.partial)
        for place in (*places, guest):
            place.close()
        if new:
            with contextlib.suppress(OSError):
                run.rmdir()  # where nothing was taken
    return stages


def differences(before: Parts, parts: Mapping[str, Any]) -> list[str]:
    """What a fingerprint's parts have become: inputs with a slash, then options with their old
    values, and further facts."""
    changed = [
        f"{name}/" for name, digest in parts["inputs"].items() if before.inputs.get(name) != digest
    ]
    for name, value in parts["options"].items():
        if name not in before.options or before.options[name] != value:
            changed.append(f"--{name.replace('_', '-')} ({before.options.get(name)})")
    changed += [key for key in parts["extra"] if before.extra.get(key) != parts["extra"][key]]
    if before.version != parts["version"]:
        changed.append(f"Wayword's version ({before.version})")
    return changed or ["an older layout"]


def _remove(path: Path) -> None:
    if path.is_symlink() or path.is_file():
        path.unlink()
    elif path.exists():
        shutil.rmtree(path)


def _locked(path: Path, folder: Path) -> int | None:
    """Hold a lock file; its descriptor. Systems and disks without locks go without."""
    try:
        import fcntl
    except ImportError:  # Windows
        return None
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            raise InputError(
                f"{folder}: another process is writing it; wait for it, or use another --run"
            ) from None
        except OSError:  # a network disk without locks
            return descriptor
        # Whoever held it before may have removed the file meanwhile: then this is no lock.
        with contextlib.suppress(FileNotFoundError):
            if os.stat(path).st_ino == os.fstat(descriptor).st_ino:
                return descriptor
        os.close(descriptor)
