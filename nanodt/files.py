"""Files: written at once or not at all, weights as safetensors, configurations as JSON."""

from __future__ import annotations

import hashlib
import json
import tempfile
import time
import types
import typing
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar

import torch
from safetensors import safe_open
from safetensors.torch import load_file, save
from torch import Tensor

from nanodt.errors import InputError, require_file

CONFIG, WEIGHTS = "config.json", "model.safetensors"
TOKENIZER, WORDS = "tokenizer.json", "words.json"
C = TypeVar("C")


def require_place(out: Path) -> None:
    """Raise InputError, before any work, for an --out where no folder can be made."""
    place = next(p for p in (out.absolute(), *out.absolute().parents) if p.exists())
    try:
        tempfile.TemporaryFile(dir=place).close()  # what one may is not all that can be done
    except OSError as error:
        why = "cannot be written" if place.is_dir() else "is a file"
        why += f" ({error.strerror})" if place.is_dir() else ""
        raise InputError(f"--out {out}: {place} {why}; expected a folder of yours") from None


@contextmanager
def at_once(path: Path) -> Iterator[Path]:
    """A file to write that takes the place of `path` when all is well: it is there whole or not."""
    require_file(path)
    partial = path.with_name("." + path.name)
    try:
        yield partial
        partial.replace(path)
    except BaseException:  # a full disk, Ctrl-C: half a file is of no use, and takes room
        with suppress(OSError):
            partial.unlink()
        raise


def write_text(path: Path, text: str) -> None:
    """Write a file at once: it is there whole or not at all."""
    with at_once(path) as partial:
        partial.write_text(text, encoding="utf-8")


def write_json(path: Path, value: Any) -> None:
    write_text(path, json.dumps(value, indent=2) + "\n")


def read_json(path: Path, advice: str) -> dict[str, Any]:
    """A JSON object. Raises InputError, with some advice, where a file is none."""
    require_file(path)
    try:
        value = json.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror or error}): {advice}") from None
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path} is not JSON ({error}): {advice}") from None
    if not isinstance(value, dict):
        raise InputError(f"{path} holds {str(value)[:40]!r}, expected a JSON object: {advice}")
    return value


def save_weights(
    path: Path, tensors: dict[str, Tensor], metadata: dict[str, str], beside: Sequence[str] = ()
) -> None:
    """Write tensors as safetensors, at once. Same tensors, same bytes.

    Its metadata carries a digest of the tensors, and one of each JSON file or folder that
    `beside` names and that is there, against which `read_weights` and `check_beside` read.
    """
    tensors = {k: tensors[k].detach().cpu().contiguous() for k in sorted(tensors)}
    digests = {name: _digest_beside(path.parent / name) for name in beside}
    metadata = {**metadata, "sha256": digest_tensors(tensors)}
    metadata |= {f"sha256 of {name}": value for name, value in digests.items() if value}
    with at_once(path) as partial:
        data = save(tensors, metadata)
        # The library writes metadata in any order; sorted, the same tensors give the same bytes.
        end = 8 + int.from_bytes(data[:8], "little")
        header = json.dumps(json.loads(data[8:end]), sort_keys=True, separators=(",", ":")).encode()
        header += b" " * (-len(header) % 8)
        partial.write_bytes(len(header).to_bytes(8, "little") + header + data[end:])


def read_weights(path: Path, advice: str) -> dict[str, Tensor]:
    """The tensors of a safetensors file, held against the digest that it carries.

    Raises InputError, with some advice, where it is none, or a byte of it was changed.
    """
    try:
        tensors, metadata = load_file(path), _metadata(path)
    except Exception as error:  # the reader's own error type is not public
        raise InputError(f"{path} cannot be read ({error}): {advice}") from None
    if metadata.get("sha256", "") not in ("", digest_tensors(tensors)):
        raise InputError(f"{path} was changed since it was written (sha256 differs): {advice}")
    return tensors


def check_beside(folder: Path, names: Sequence[str]) -> None:
    """Hold files of a model's folder against the digests that its weights carry of them.

    Raises InputError for one that is missing, or another's.
    """
    try:
        metadata = _metadata(folder / WEIGHTS)
    except Exception:  # none, or damaged: whoever reads them says so
        return
    for name in names:
        known = metadata.get(f"sha256 of {name}")
        if known is not None and _digest_beside(folder / name) != known:
            found = "was changed" if (folder / name).exists() else "is missing"
            raise InputError(
                f"{folder / name} {found}; {folder / WEIGHTS} was trained with the one that lay "
                "beside it: copy the whole folder of the model again, or train it again"
            )


def _metadata(path: Path) -> dict[str, str]:
    with safe_open(path, "pt") as file:
        return file.metadata() or {}


def digest_tensors(tensors: dict[str, Tensor]) -> str:
    """sha256 of tensors: their names, kinds, shapes and numbers."""
    found = hashlib.sha256()
    for name in sorted(tensors):
        tensor = tensors[name]
        found.update(f"{name} {tensor.dtype} {list(tensor.shape)} ".encode())
        found.update(tensor.contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
    return found.hexdigest()


def _digest_beside(path: Path) -> str | None:
    """sha256 of what a JSON file holds, or of a folder's files; None where it is neither."""
    if path.is_dir():
        files = [p for p in sorted(path.rglob("*")) if p.is_file() and not p.name.startswith(".")]
        value = {p.relative_to(path).as_posix(): digest(p) for p in files}
        return hashlib.sha256(json.dumps(value).encode()).hexdigest()
    try:
        value = json.loads(path.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError, RecursionError):
        return None
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


def digest(path: Path) -> str:
    """sha256 of a file, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def from_json(kind: type[C], values: dict[str, Any]) -> C:
    """A dataclass from what `dataclasses.asdict` and JSON made of it, dataclasses within it too.

    Raises TypeError for a field it does not have.
    """
    hints = typing.get_type_hints(kind)
    known = {f.name for f in fields(kind)}  # type: ignore[arg-type]
    unknown = sorted(set(values) - known)
    if unknown:
        raise TypeError(f"{kind.__name__} has no field {unknown[0]!r}")
    return kind(**{name: _value(hints[name], value) for name, value in values.items()})


def _value(hint: Any, value: Any) -> Any:
    origin, inner = typing.get_origin(hint), typing.get_args(hint)
    if origin in (types.UnionType, typing.Union) and value is not None:
        return _value(next(h for h in inner if h is not type(None)), value)
    if origin is tuple and isinstance(value, list):
        return tuple(_value(inner[0], item) for item in value)
    if is_dataclass(hint) and isinstance(value, dict):
        return from_json(typing.cast(type, hint), value)
    return value


HUB_FILES = {
    "model": ["*.json", "*.safetensors", "reader/**"],
    "dataset": ["*.json", "data/*", "augmentation.parquet", "reader/**", "world/**", "tokenizer/*"],
}
"""What is fetched of a repository, by its kind."""
HUB_WAITS = (1, 2)
"""Seconds between tries where a connection breaks: its client asks for some things only once."""
HUB_SAYS = {
    401: "no such repository, or the token (HF_TOKEN) may not read it",
    403: "the token (HF_TOKEN) may not read it",
    404: "no such repository",
    429: "the Hub asks for fewer requests; try again later",
}


def is_hub_id(path: Path | str) -> bool:
    """Whether a path that is not here may be an id of the Hub, user/name."""
    name = Path(path).as_posix()
    return not Path(path).exists() and name.count("/") == 1 and not name.startswith((".", "/", "~"))


def hub_folder(path: Path | str, kind: Literal["model", "dataset"]) -> Path:
    """The folder of a model or dataset: the path itself, or where the Hub's of that id was put.

    Raises InputError where there is neither, or the Hub gives it not.
    """
    folder, name = Path(path), Path(path).as_posix()
    if folder.is_dir():
        return folder
    if not is_hub_id(path):
        raise InputError(f"{name} is neither a {kind} folder nor a Hub id like user/{kind}")
    try:
        return _snapshot(name, kind)
    except Exception as error:  # many kinds: no network, no such repository, no right to it
        cause = error if getattr(error, "response", None) is not None else error.__cause__
        status = getattr(getattr(cause, "response", None), "status_code", 0)
        reason = str(cause or error).splitlines()[0]
        if status:
            said = "the Hub is out of order; try again later" if status >= 500 else reason
            reason = f"{HUB_SAYS.get(status, said)}, HTTP {status}"
        raise InputError(f"{name} is no folder here and not on the Hub ({reason})") from error


def _snapshot(name: str, kind: Literal["model", "dataset"]) -> Path:
    from huggingface_hub import snapshot_download  # slow to import
    from huggingface_hub.errors import OfflineModeIsEnabled

    waits = list(HUB_WAITS)
    while True:
        try:
            return Path(snapshot_download(name, repo_type=kind, allow_patterns=HUB_FILES[kind]))
        except Exception as error:
            said = any(getattr(e, "response", None) is not None for e in (error, error.__cause__))
            offline = isinstance(error.__cause__, OfflineModeIsEnabled)
            if not waits or said or offline or getattr(error, "errno", None):
                raise
            time.sleep(waits.pop(0))
