"""Files: written at once or not at all, weights as safetensors, configurations as JSON."""

from __future__ import annotations

import hashlib
import json
import types
import typing
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any, TypeVar

from safetensors.torch import load_file, save_file
from torch import Tensor

from nanodt.errors import InputError

CONFIG, WEIGHTS = "config.json", "model.safetensors"
C = TypeVar("C")


def write_text(path: Path, text: str) -> None:
    """Write a file at once: it is there whole or not at all."""
    partial = path.with_name("." + path.name)
    partial.write_text(text, encoding="utf-8")
    partial.replace(path)


def write_json(path: Path, value: Any) -> None:
    write_text(path, json.dumps(value, indent=2) + "\n")


def save_weights(path: Path, tensors: dict[str, Tensor], metadata: dict[str, str]) -> None:
    """Write tensors as safetensors, at once. Same tensors, same bytes."""
    partial = path.with_name("." + path.name)
    tensors = {k: tensors[k].detach().cpu().contiguous() for k in sorted(tensors)}
    save_file(tensors, partial, metadata)
    partial.replace(path)


def read_weights(path: Path, advice: str) -> dict[str, Tensor]:
    """The tensors of a safetensors file. Raises InputError, with some advice, where it is none."""
    try:
        return load_file(path)
    except Exception as error:  # the reader's own error type is not public
        raise InputError(f"{path} cannot be read ({error}): {advice}") from None


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


def model_folder(path: Path | str) -> Path:
    """The folder of a model: the path itself, or where the Hub's model of that id was put."""
    folder, name = Path(path), str(path)
    if folder.is_dir():
        return folder
    if name.count("/") != 1 or name.startswith((".", "/", "~")):
        raise InputError(f"{name} is neither a model folder nor a Hub id like user/model")
    from huggingface_hub import snapshot_download  # slow to import

    try:
        return Path(
            snapshot_download(name, allow_patterns=["*.json", "*.safetensors", "reader/**"])
        )
    except Exception as error:  # many kinds: no network, no such repository, no right to it
        reason = str(error).splitlines()[0]
        raise InputError(f"{name} is no folder here and not on the Hub ({reason})") from error
