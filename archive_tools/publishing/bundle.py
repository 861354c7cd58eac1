"""The described archive as one file: NAME.tar.gz, whose SHA256SUMS lists what is in it.

Same run, same bytes. `unpack_bundle` takes one of a stranger's into a run: it holds only tables,
JSON, worlds and pictures below the folders of stages, all of them listed, and no more of them than
a packed file of its size can be. Nothing of it is run or unpickled.
"""

import gzip
import hashlib
import io
import os
import re
import shutil
import tarfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import IO, Any

from archive_tools.files import atomic_path, atomic_write, file_digest
from archive_tools.publishing.contents import Contents
from archive_tools.run import check_folder, take_over
from envs.errors import InputError

STAGES = ("archive", "verification", "trajectories", "annotations", "descriptions")
SUMS, CARD, MANIFEST = "SHA256SUMS", "README.md", "manifest.json"
ENDINGS = {".json", ".parquet", ".csv", ".png", ".svg", ".toml", ".pbm", ".xml", ".md"}
MOST = 20_000
"""Files in a bundle."""
GROWTH, ROOM = 40, 64 << 20
"""A bundle unpacks to at most its size × GROWTH + ROOM bytes: its tables are packed already."""
LINE = re.compile(r"([0-9a-f]{64}) [ *](.+)")


def write(contents: Contents, folder: Path) -> dict[str, int]:
    """Write NAME.tar.gz, its checksum and a card into an empty folder, and read it again.

    Raises:
        InputError: what was read again is not what the run holds.
    """
    card = contents.card("bundle.md.jinja")
    names = [f"{stage}/{name}" for stage in contents.stages for name in contents.files(stage)]
    names = sorted([*names, *(f"{stage}/{MANIFEST}" for stage in contents.stages)])
    sums = {CARD: hashlib.sha256(card.encode()).hexdigest()}
    sums |= {name: file_digest(contents.run / name) for name in names}
    listing = "".join(f"{sums[name]}  {name}\n" for name in (CARD, *names))
    path = folder / f"{contents.name}.tar.gz"
    with (
        atomic_path(path) as temporary,
        open(temporary, "wb") as file,
        # Neither the time nor the name of the file stands in it.
        gzip.GzipFile(filename="", mode="wb", compresslevel=6, fileobj=file, mtime=0) as packed,
        tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as tar,
    ):
        for name, text in ((SUMS, listing), (CARD, card)):
            data = text.encode()
            _add(tar, f"{contents.name}/{name}", len(data), io.BytesIO(data))
        for name in names:
            with open(contents.run / name, "rb") as source:
                size = (contents.run / name).stat().st_size
                _add(tar, f"{contents.name}/{name}", size, source)
    read = dict(_members(path, None))
    if {name: read.get(name) for name in sums} != sums or read.keys() != {SUMS, *sums}:
        raise InputError(f"{path}: read again, it is not what the run holds; publish again")
    atomic_write(folder / f"{path.name}.sha256", f"{file_digest(path)}  {path.name}\n")
    atomic_write(folder / CARD, card)
    return {"files": len(sums)}


def _add(tar: tarfile.TarFile, name: str, size: int, source: IO[bytes]) -> None:
    info = tarfile.TarInfo(name)
    info.size, info.mode = size, 0o644
    tar.addfile(info, source)


def is_bundle(path: Path) -> bool:
    """Whether a file is a tar, packed with gzip or not."""
    try:
        with open(path, "rb") as file:
            packed = file.read(2) == b"\x1f\x8b"
            file.seek(0)
            with gzip.GzipFile(fileobj=file) if packed else file as inner:
                return inner.read(512)[257:262] == b"ustar"
    except (OSError, EOFError, zlib.error):
        return False


def unpack_bundle(path: Path, run: Path, *, redo: bool = False) -> list[str]:
    """Put the stages of a bundle into a run; their names.

    A stage that the run has already is left alone where it is the same.

    Args:
        path: the bundle.
        run: the run directory, new or not.
        redo: replace stages that differ.

    Raises:
        InputError: it is damaged, holds what a bundle does not hold, or its files are not those
            that SHA256SUMS lists; the run has another stage of that name.
    """
    beside = path.with_name(f"{path.name}.sha256")
    if beside.is_file():
        line = LINE.match(beside.read_text(encoding="utf-8", errors="replace"))
        if line is None or line[1] != file_digest(path):
            raise InputError(f"{path}: not the file that {beside} is of; fetch both again")

    def fill(folder: Path) -> list[str]:
        _check_sums(path, folder, dict(_members(path, folder)))
        stages = [stage for stage in STAGES if (folder / stage / MANIFEST).exists()]
        if "archive" not in stages:
            raise InputError(f"{path}: no archive/{MANIFEST} in it; not a bundle of a run")
        for stage in stages:
            check_folder(folder / stage)
        return stages

    return list(take_over(run, fill, redo=redo))


def _check_sums(path: Path, partial: Path, found: dict[str, str]) -> None:
    """Hold what was unpacked against the list that the bundle brings."""
    if SUMS not in found:
        raise InputError(f"{path}: no {SUMS} in it; not a bundle of scripts/10_publish.py")
    listed: dict[str, str] = {}
    for line in (partial / SUMS).read_text(encoding="utf-8", errors="replace").splitlines():
        match = LINE.fullmatch(line)
        if match is None:
            raise InputError(f"{path}: {SUMS} holds {line[:60]!r}; expected a sum and a name")
        listed[match[2]] = match[1]
    for name in sorted(listed.keys() | (found.keys() - {SUMS})):
        if listed.get(name) != found.get(name):
            what = "differs from" if name in listed and name in found else (
                "is missing, though listed in" if name in listed else "is not listed in"
            )  # fmt: skip
            raise InputError(f"{path}: {name} {what} {SUMS}; fetch the bundle again")


def _members(path: Path, target: Path | None) -> Iterator[tuple[str, str]]:
    """Name and sha256 of each file of a bundle, unpacked into `target` if given."""
    most = path.stat().st_size * GROWTH + ROOM
    seen: set[str] = set()
    with _reading(path, most) as tar:
        for member in tar:
            name = _safe_name(path, member)
            if name is None:
                continue
            if name.casefold() in seen or len(seen) >= MOST:
                raise InputError(
                    f"{path}: {name} stands in it twice, or it has over {MOST:,} files"
                )
            seen.add(name.casefold())
            _check_room(path, member.size, target)
            source = tar.extractfile(member)
            assert source is not None
            digest = hashlib.sha256()
            place = Path(os.devnull) if target is None else target / name
            place.parent.mkdir(parents=True, exist_ok=True)
            with open(place, "wb") as sink:
                while block := source.read(1 << 20):
                    digest.update(block)
                    sink.write(block)
            yield name, digest.hexdigest()


def _safe_name(path: Path, member: tarfile.TarInfo) -> str | None:
    """The name of a file below the bundle's own folder; None for a folder.

    Raises:
        InputError: no plain file, or a name that leads elsewhere or ends in what no bundle holds.
    """
    parts = PurePosixPath(member.name).parts
    if member.name.startswith("/") or any(
        part in ("..", ".") or re.search(r'[\\:*?"<>|\0-\x1f]', part) for part in parts
    ):
        raise InputError(
            f"{path}: {member.name[:100]!r} leads out of its folder; nothing was taken"
        )
    if member.isdir():
        return None
    if not member.isreg() or member.issparse():
        raise InputError(f"{path}: {member.name[:100]!r} is no plain file; nothing was taken")
    inner = parts[1:]
    if inner in ((SUMS,), (CARD,)):
        return inner[0]
    if len(inner) < 2 or inner[0] not in STAGES or Path(inner[-1]).suffix.lower() not in ENDINGS:
        raise InputError(
            f"{path}: {member.name[:100]!r} is nothing that a bundle holds (tables, JSON, worlds "
            f"and pictures in {', '.join(STAGES)}); nothing was taken"
        )
    return "/".join(inner)


def _check_room(path: Path, size: int, target: Path | None) -> None:
    if target is not None:
        target.mkdir(parents=True, exist_ok=True)
        free = shutil.disk_usage(target).free
        if size > free:
            raise InputError(f"{path}: needs {size:,} bytes more, {free:,} are free; make room")


class _Bounded(io.RawIOBase):
    """A stream that gives at most so many bytes."""

    def __init__(self, inner: IO[bytes], most: int, path: Path) -> None:
        self._inner, self._left, self._path = inner, most, path

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        data = self._inner.read(len(buffer))
        self._left -= len(data)
        if self._left < 0:
            raise InputError(
                f"{self._path}: unpacks to far more than a bundle of its size; nothing was taken"
            )
        buffer[: len(data)] = data
        return len(data)


@contextmanager
def _reading(path: Path, most: int) -> Iterator[tarfile.TarFile]:
    """A bundle as a tar that is read once, from its beginning to its end."""
    try:
        with open(path, "rb") as file:
            packed = file.read(2) == b"\x1f\x8b"
            file.seek(0)
            inner: Any = gzip.GzipFile(fileobj=file) if packed else file
            stream = io.BufferedReader(_Bounded(inner, most, path))
            with tarfile.open(fileobj=stream, mode="r|") as tar:
                yield tar
    except (tarfile.TarError, gzip.BadGzipFile, EOFError, zlib.error, ValueError) as error:
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise InputError(f"{path}: not a whole bundle ({reason[:200]}); fetch it again") from None
