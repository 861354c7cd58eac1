"""The folders of a run, and what the manifest of a finished one says."""

import hashlib
import importlib.metadata
import json
import os
import shlex
import unicodedata
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from archive_tools.files import file_digest, read_json
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
MANIFEST = "manifest.json"


class _Output(BaseModel):
    bytes: int
    sha256: str


class Parts(BaseModel):
    """What the fingerprint of a stage is the hash of."""

    options: dict[str, Any]
    inputs: dict[str, str]
    extra: dict[str, Any]
    version: str = "unknown"
    """Of this project; folders of versions before 0.2 do not say."""


class _Manifest(BaseModel):
    """What others read of a manifest; there is more in it (docs/formats.md)."""

    config: dict[str, Any]
    seed: int
    inputs: dict[str, str]
    rows: dict[str, int]
    facts: dict[str, Any]
    outputs: dict[str, _Output]
    digest: str
    fingerprint: str
    parts: Parts
    wall_time_s: float


def digest_of(value: Any) -> str:
    """SHA-256 of a JSON value, in hex."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


def version_of(package: str) -> str:
    """The installed version of a package."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"


def again(folder: Path) -> str:
    """What to run to make a folder anew."""
    return f"run `python {SCRIPTS.get(folder.name, '…')} --run {folder.parent} --redo`"


def check_place(folder: Path, what: str) -> None:
    """Refuse what cannot become a folder.

    Raises:
        InputError: a file, or a link to what is not there.
    """
    if folder.is_symlink() and not folder.exists():
        raise InputError(
            f"{what}: a link to {os.readlink(folder)}, which is not there; mount its disk, or "
            "remove the link"
        )
    if folder.exists() and not folder.is_dir():
        raise InputError(f"{what}: is a file; expected a folder")


def read_manifest(folder: Path) -> dict[str, Any]:
    """The manifest of a finished stage's folder.

    Raises:
        InputError: the stage has not been run (names the script that runs it), or its manifest
            cannot be read or says not what a manifest says.
    """
    check_place(folder, str(folder))
    path = folder / MANIFEST
    if not path.exists():
        script = SCRIPTS.get(folder.name, "the stage that writes it")
        alike = _alike(folder.parent)
        raise InputError(
            f"{folder}: not there or not finished; "
            f"run `python {script} --run {shlex.quote(str(folder.parent))}` first"
            + (f", or give the run that is there: --run {shlex.quote(str(alike))}" if alike else "")
        )
    try:
        manifest = read_json(path)
        _Manifest.model_validate(manifest)
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(map(str, first["loc"]))
        problem = f"field {field!r}: {first['msg']}" if field else first["msg"]
        raise InputError(f"{path}: not a manifest ({problem}); {again(folder)}") from None
    except InputError as error:
        raise InputError(f"{error}; {again(folder)}") from None
    return manifest


def _alike(run: Path) -> Path | None:
    """A run beside one that is not there, whose name looks the same: blanks, accents by parts."""

    def shown(name: str) -> str:
        return unicodedata.normalize("NFKC", name).strip().casefold()

    if run.exists() or not run.parent.is_dir():
        return None
    return next((p for p in run.parent.iterdir() if shown(p.name) == shown(run.name)), None)


def check_folder(folder: Path) -> dict[str, Any]:
    """The manifest of a finished folder, after checking that its files are the ones it lists.

    Raises:
        InputError: a file is missing, truncated or changed, or the folder is stale: made from a
            state of an earlier stage that has been replaced since.
    """
    manifest = read_manifest(folder)
    for name, entry in manifest["outputs"].items():
        path = folder / name
        if not path.is_file():
            raise InputError(f"{path}: missing, though its manifest lists it; {again(folder)}")
        size = path.stat().st_size
        if size != entry["bytes"]:
            raise InputError(
                f"{path}: {size} bytes, its manifest says {entry['bytes']}: truncated or changed; "
                f"{again(folder)}"
            )
        if file_digest(path) != entry["sha256"]:
            raise InputError(
                f"{path}: changed since it was written (sha256 differs); {again(folder)}"
            )
    _check_fresh(folder, manifest)
    return manifest


def _check_fresh(folder: Path, manifest: dict[str, Any]) -> None:
    for name, digest in manifest["inputs"].items():
        earlier = folder.parent / name
        if not (earlier / MANIFEST).exists():
            continue  # a run that was trimmed of early stages is still usable
        current = read_manifest(earlier)
        if current["digest"] != digest:
            raise InputError(
                f"{folder}: stale, {earlier.name}/ was replaced since it was made; {again(folder)}"
            )
        _check_fresh(earlier, current)
