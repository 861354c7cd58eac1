"""What else a policy predicts: where it will be, and which place it comes to next.

An action says little about why it was taken: to turn left by 0.3 fits many sentences. Where the
robot will stand in a while, and which place it will come to next, are said by the sentence and the
target nearly alone, and follow from the trajectory itself. So two more heads read the hidden state
that predicts the action. (Auxiliary tasks: Jaderberg et al. 2016, arXiv 1611.05397.)

Where two ways are right, squared error takes the mean of both and leads into the wall between them.
So the next place is chosen first, and the action is predicted for it: in training for the one that
came, in driving for the likeliest. The choice is made anew at every step. (A plan in subgoals
before actions: Sutton, Precup & Singh 1999; here one network makes both.)
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

HORIZONS = (8, 24, 60)
"""Steps ahead for which the robot's place is predicted."""


@dataclass(frozen=True)
class AuxiliaryConfig:
    """Weights of the losses beside that of the action; 0 leaves a task out."""

    future_position: float = 0.0
    """Of predicting the place after 8, 24 and 60 steps, in the robot's own frame."""
    next_subgoal: float = 0.0
    """Of naming the next place on the way."""
    subgoals: int = 0
    """Places there are."""
    reach: float = 1.0
    """Farthest that the robot gets in one step."""
    subgoal_first: bool = False
    """Choose the next place, then the action for it; needs next_subgoal."""


class Auxiliary(nn.Module):
    """The heads of both tasks."""

    def __init__(self, config: AuxiliaryConfig, width: int) -> None:
        super().__init__()
        self.config = config
        future, subgoal = config.future_position, config.next_subgoal
        self.future_position = nn.Linear(width, 2 * len(HORIZONS)) if future else None
        self.next_subgoal = nn.Linear(width, config.subgoals + 1) if subgoal else None
        self.subgoal_first = bool(subgoal) and config.subgoal_first
        if self.subgoal_first:
            self.subgoal = nn.Embedding(config.subgoals + 1, width)
            nn.init.normal_(self.subgoal.weight, std=0.5)
            self.join = nn.Sequential(
                nn.Linear(2 * width, 2 * width), nn.GELU(), nn.Linear(2 * width, width)
            )

    def choose(self, hidden: Tensor, barred: Tensor | None = None) -> Tensor:
        """The likeliest next place [M] int64 at hidden states [M, C].

        `barred` [M, subgoals + 1] bool: places that are not chosen.
        """
        assert self.next_subgoal is not None
        logits = self.next_subgoal(hidden)
        if barred is not None:
            logits = logits.masked_fill(barred, -torch.inf)
        return logits.argmax(-1)

    def towards(self, hidden: Tensor, subgoal: Tensor) -> Tensor:
        """Hidden states [M, C] from which the action towards places [M] int64 is predicted."""
        return hidden + self.join(torch.cat([hidden, self.subgoal(subgoal)], dim=-1))

    def loss(self, hidden: Tensor, towards: Tensor, values: Mapping[str, Tensor]) -> Tensor:
        """Weighted loss [M] at hidden states [M, C], and at those for the next place, `towards`.

        `values` holds `pose` [M, 3], `later` [M, horizons, 2] (places after HORIZONS steps) and
        `next_subgoal` [M, 1] (class of what comes next).
        """
        total = hidden.new_zeros(len(hidden))
        if self.future_position is not None:
            seen = relative(values["pose"], values["later"], self.config.reach)
            error = (self.future_position(towards) - seen.flatten(1)) ** 2
            total = total + self.config.future_position * error.sum(1)
        if self.next_subgoal is not None:
            logits, named = self.next_subgoal(hidden), values["next_subgoal"][:, 0].long()
            loss = F.cross_entropy(logits, named, reduction="none")
            total = total + self.config.next_subgoal * loss
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
