"""The optimiser: Muon for the transformer's matrices, AdamW for all else; or AdamW for everything.

Muon (Jordan et al. 2024, kellerjordan.github.io/posts/muon) makes the momentum of a matrix
orthogonal before it is added, so that no direction of it is learnt much faster than another. Its
updates are scaled to the size of AdamW's (Liu et al. 2025, arXiv 2502.16982), so both share one
learning rate. docs/policy.md has what it brings here.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

TABLES = {"position", "text_position", "time", "local", "table", "null"}
"""Parts of the names of parameters whose rows are embeddings: not decayed."""


class Optimizer:
    """One or two optimisers of torch that are stepped as one."""

    def __init__(self, model: nn.Module, config: Any) -> None:
        """`config` has lr, betas, weight_decay and, where Muon may be used, optimizer."""
        muon = getattr(config, "optimizer", "adamw") == "muon"
        blocks, decayed, free = [], [], []
        for name, p in model.named_parameters():
            if p.dim() != 2 or TABLES & set(name.split(".")):
                free.append(p)
            else:
                (blocks if muon and name.startswith("trunk.") else decayed).append(p)
        groups = [
            {"params": decayed, "weight_decay": config.weight_decay},
            {"params": free, "weight_decay": 0.0},
        ]
        self.parts: list[torch.optim.Optimizer] = [
            torch.optim.AdamW(groups, lr=config.lr, betas=config.betas, fused=True)
        ]
        if blocks:
            decay = config.weight_decay
            self.parts.append(
                torch.optim.Muon(
                    blocks, lr=config.lr, weight_decay=decay, adjust_lr_fn="match_rms_adamw"
                )
            )

    def set_lr(self, lr: float) -> None:
        """The learning rate of the steps from now on."""
        for part in self.parts:
            for group in part.param_groups:
                group["lr"] = lr

    def zero_grad(self) -> None:
        """Set all gradients to zero; they stay in place."""
        for part in self.parts:
            part.zero_grad(set_to_none=False)

    def step(self, scaler: torch.amp.GradScaler) -> None:
        """Make a step with gradients that `scaler` has unscaled."""
        for part in self.parts:
            scaler.step(part)
        scaler.update()

    def unscale(self, scaler: torch.amp.GradScaler) -> None:
        """Undo the scaling of the gradients."""
        for part in self.parts:
            scaler.unscale_(part)

    def moments(self) -> dict[str, torch.Tensor]:
        """What it remembers, by "part.parameter.name"."""
        return {
            f"{k}.{i}.{name}": torch.as_tensor(value)
            for k, part in enumerate(self.parts)
            for i, state in part.state_dict()["state"].items()
            for name, value in state.items()
        }

    def restore(self, moments: dict[str, torch.Tensor]) -> None:
        """Take back what `moments` gave."""
        for k, part in enumerate(self.parts):
            state: dict[int, dict[str, torch.Tensor]] = {}
            for key, value in moments.items():
                number, i, name = key.split(".", 2)
                if int(number) == k:
                    state.setdefault(int(i), {})[name] = value
            part.load_state_dict(
                {"state": state, "param_groups": part.state_dict()["param_groups"]}
            )
