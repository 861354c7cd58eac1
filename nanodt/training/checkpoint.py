"""Checkpoints of a training run: one safetensors file, replaced at once.

The file holds weights and optimiser moments; its metadata holds the rest as JSON. Random draws
need no state: those of step s follow from (seed, s) alone.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from safetensors import safe_open
from torch import nn

from nanodt.errors import InputError
from nanodt.files import read_weights, save_weights
from nanodt.training.optimizer import Optimizer

ADVICE = "it is not a whole checkpoint: delete it"


def save_checkpoint(
    path: Path, model: nn.Module, optimizer: Optimizer, state: dict[str, Any]
) -> None:
    tensors = {f"model.{k}": v for k, v in model.state_dict().items()}
    tensors |= {f"optimizer.{k}": v for k, v in optimizer.moments().items()}
    save_weights(path, tensors, {"state": json.dumps(state)})


def load_checkpoint(
    path: Path, model: nn.Module, optimizer: Optimizer, made: dict[str, Any]
) -> dict[str, Any]:
    """Put model and optimiser back as they were; return the state saved with them.

    Raises InputError when the checkpoint was made with other options or data, naming the first, or
    is not whole.
    """
    state = read_state(path)
    check_same(path.parent, state["made"], made)
    tensors = read_weights(path, ADVICE)
    kinds: dict[str, dict[str, Any]] = {"model": {}, "optimizer": {}}
    for name, value in tensors.items():
        kind, rest = name.split(".", 1)
        kinds[kind][rest] = value
    model.load_state_dict(kinds["model"])
    optimizer.restore(kinds["optimizer"])
    return state


def read_state(path: Path) -> dict[str, Any]:
    """The state that was saved with a checkpoint, `made` in it."""
    try:
        with safe_open(path, "pt") as file:
            state = json.loads((file.metadata() or {})["state"])
            state["made"].items()
            return state
    except Exception as error:  # the reader's own error type is not public
        raise InputError(f"{path} cannot be read ({error}): {ADVICE}") from None


def check_same(path: Path, old: dict[str, Any], new: dict[str, Any]) -> None:
    """Refuse to go on from what was made with other options or data."""
    for key in new:
        if old.get(key) != new[key]:
            raise InputError(
                f"{path} was made with {key}={old.get(key)!r}, now {key}={new[key]!r}: "
                "give another --out, or --redo to replace it"
            )
