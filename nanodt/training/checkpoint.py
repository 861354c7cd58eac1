"""Checkpoints of a training run: one safetensors file, replaced at once.

The file holds weights and optimiser moments; its metadata holds the rest as JSON. Random draws
need no state: those of step s follow from (seed, s) alone.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from safetensors import safe_open

from nanodt.errors import InputError
from nanodt.files import read_weights, save_weights
from nanodt.training.trainer import Trainer

ADVICE = "it is not a whole checkpoint: delete it"


def save_checkpoint(path: Path, trainer: Trainer, state: dict[str, Any]) -> None:
    """Write where a trainer stands, and `state`, which is JSON."""
    if trainer.scaler.is_enabled():
        state["scaler"] = trainer.scaler.state_dict()
    tensors = {f"model.{k}": v for k, v in trainer.network.state_dict().items()}
    tensors |= {f"optimizer.{k}": v for k, v in trainer.optimizer.moments().items()}
    save_weights(path, tensors, {"state": json.dumps(state)})


def load_checkpoint(path: Path, trainer: Trainer, state: dict[str, Any]) -> None:
    """Put a trainer back to where it stood; `state` is what `read_state` gave of the same file.

    Raises InputError for a file that is not whole.
    """
    kinds: dict[str, dict[str, Any]] = {"model": {}, "optimizer": {}}
    for name, value in read_weights(path, ADVICE).items():
        kind, rest = name.split(".", 1)
        kinds[kind][rest] = value
    trainer.network.load_state_dict(kinds["model"])
    trainer.optimizer.restore(kinds["optimizer"])
    if trainer.scaler.is_enabled():
        trainer.scaler.load_state_dict(state["scaler"])


def read_state(path: Path) -> dict[str, Any]:
    """The state that was saved with a checkpoint, `made` in it.

    Raises InputError for a file that is not whole.
    """
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
