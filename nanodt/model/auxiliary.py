"""What else a policy learns to tell while it trains: where it will be, and what it meets next.

An action says little about why it was taken: to turn left by 0.3 fits many sentences. Where the
robot will stand in a while, and which place it will come to next, are said by the sentence and the
target nearly alone, and follow from the trajectory itself. So two more heads read the hidden state
that predicts the action; they are left aside when the policy drives. (Auxiliary tasks: Jaderberg
et al. 2016, arXiv 1611.05397.)
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

HORIZONS = (8, 24, 60)
"""Steps ahead of which the robot's place is foretold."""


@dataclass(frozen=True)
class AuxiliaryConfig:
    """Weights of the losses beside that of the action; 0 leaves a task out."""

    foresight: float = 0.0
    """Of foretelling the place after 8, 24 and 60 steps, in the robot's own frame."""
    milestone: float = 0.0
    """Of naming the next place on the way."""
    milestones: int = 0
    """Places there are."""
    reach: float = 1.0
    """Farthest that the robot gets in one step."""


class Auxiliary(nn.Module):
    """The heads of both tasks."""

    def __init__(self, config: AuxiliaryConfig, width: int) -> None:
        super().__init__()
        self.config = config
        self.foresight = nn.Linear(width, 2 * len(HORIZONS)) if config.foresight else None
        self.milestone = nn.Linear(width, config.milestones + 1) if config.milestone else None

    def loss(self, hidden: Tensor, values: Mapping[str, Tensor]) -> Tensor:
        """Weighted loss [M] at hidden states [M, C].

        `values` holds `pose` [M, 3], `later` [M, horizons, 2] (places after HORIZONS steps) and
        `milestone` [M] (class of what comes next).
        """
        total = hidden.new_zeros(len(hidden))
        if self.foresight is not None:
            seen = relative(values["pose"], values["later"], self.config.reach)
            error = (self.foresight(hidden) - seen.flatten(1)) ** 2
            total = total + self.config.foresight * error.sum(1)
        if self.milestone is not None:
            logits = self.milestone(hidden)
            named = F.cross_entropy(logits, values["milestone"].long(), reduction="none")
            total = total + self.config.milestone * named
        return total


def relative(pose: Tensor, later: Tensor, reach: float) -> Tensor:
    """Places [M, H, 2] as seen from poses [M, 3], as shares of the farthest that can be reached."""
    to = later - pose[:, None, :2]
    cos, sin = pose[:, 2:].cos(), pose[:, 2:].sin()
    seen = torch.stack(
        [cos * to[..., 0] + sin * to[..., 1], cos * to[..., 1] - sin * to[..., 0]], dim=-1
    )
    farthest = reach * torch.tensor(HORIZONS, dtype=pose.dtype, device=pose.device)
    return seen / farthest[:, None]
