"""Checkpoints of a training run: one safetensors file, replaced at once, and the log beside it.

The file holds weights and optimiser moments; its metadata holds the rest as JSON. Random draws
need no state: those of step s follow from (seed, s) alone.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from nanodt.errors import InputError


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
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def save_checkpoint(
    path: Path, model: nn.Module, optimizer: torch.optim.Optimizer, state: dict[str, Any]
) -> None:
    tensors = {f"model.{k}": v for k, v in model.state_dict().items()}
    for i, moments in optimizer.state_dict()["state"].items():
        tensors |= {f"optimizer.{i}.{k}": torch.as_tensor(v) for k, v in moments.items()}
    save_weights(path, tensors, {"state": json.dumps(state)})


def load_checkpoint(
    path: Path, model: nn.Module, optimizer: torch.optim.Optimizer, settings: dict[str, Any]
) -> dict[str, Any]:
    """Put model and optimiser back as they were; return the state saved with them.

    Raises InputError when the checkpoint was made with other settings, naming the first.
    """
    try:
        with safe_open(path, "pt") as file:
            state = json.loads((file.metadata() or {})["state"])
            check_settings(path, state["settings"], settings)
            tensors = {k: file.get_tensor(k) for k in file.keys()}  # noqa: SIM118
    except InputError:
        raise
    except Exception as error:  # the reader's own error type is not public
        raise InputError(f"{path} is not a whole checkpoint ({error}): delete it") from None
    weights, moments = {}, {}
    for name, value in tensors.items():
        kind, rest = name.split(".", 1)
        if kind == "model":
            weights[rest] = value
        else:
            index, key = rest.split(".")
            moments.setdefault(int(index), {})[key] = value
    model.load_state_dict(weights)
    optimizer.load_state_dict(
        {"state": moments, "param_groups": optimizer.state_dict()["param_groups"]}
    )
    return state


def check_settings(path: Path, old: dict[str, Any], new: dict[str, Any]) -> None:
    """Refuse to go on from a run made with other settings."""
    for key in new:
        if old.get(key) != new[key]:
            raise InputError(
                f"{path.parent} was made with {key}={old.get(key)!r}, now {key}={new[key]!r}: "
                "give another --out, or --redo to replace it"
            )


class Log:
    """A JSONL file: one record per line; on resume it is cut back to the checkpoint's step."""

    def __init__(self, path: Path, step: int) -> None:
        kept = []
        if path.exists() and step:
            for line in path.read_text(encoding="utf-8").splitlines():
                try:
                    record = json.loads(line)
                except ValueError:
                    break  # the line a kill cut short
                if record["step"] <= step:
                    kept.append(line + "\n")
        write_text(path, "".join(kept))
        self.path = path

    def write(self, record: dict[str, Any]) -> None:
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(record) + "\n")
