"""Checkpoints of a training run: one safetensors file, replaced at once.

The file holds weights and optimiser moments; its metadata holds the rest as JSON. Random draws
need no state: those of step s follow from (seed, s) alone.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from torch import nn

from nanodt.errors import InputError
from nanodt.files import save_weights


def save_checkpoint(
    path: Path, model: nn.Module, optimizer: torch.optim.Optimizer, state: dict[str, Any]
) -> None:
    tensors = {f"model.{k}": v for k, v in model.state_dict().items()}
    for i, moments in optimizer.state_dict()["state"].items():
        tensors |= {f"optimizer.{i}.{k}": torch.as_tensor(v) for k, v in moments.items()}
    save_weights(path, tensors, {"state": json.dumps(state)})


def load_checkpoint(
    path: Path, model: nn.Module, optimizer: torch.optim.Optimizer, made: dict[str, Any]
) -> dict[str, Any]:
    """Put model and optimiser back as they were; return the state saved with them.

    Raises InputError when the checkpoint was made with other options or data, naming the first.
    """
    try:
        with safe_open(path, "pt") as file:
            state = json.loads((file.metadata() or {})["state"])
            check_same(path, state["made"], made)
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


def check_same(path: Path, old: dict[str, Any], new: dict[str, Any]) -> None:
    """Refuse to go on from a run made with other options or data."""
    for key in new:
        if old.get(key) != new[key]:
            raise InputError(
                f"{path.parent} was made with {key}={old.get(key)!r}, now {key}={new[key]!r}: "
                "give another --out, or --redo to replace it"
            )
