"""The visitation map: where a robot has been, the memory that a short window lacks.

"Past the fan and back to the bed" cannot be followed by one who does not know whether it has been
at the fan. A window that holds the whole drive would tell, at the price of its length. So the `o`
tokens may carry the reckoned way so far, as a map: the square of the BD's bounds is cut into cells,
and each says whether the robot has been there and how long ago. No sensor is added: the cells
follow from the reckoned poses (`nanodt/place/odometry.py`).
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

FADE = 40.0
"""Steps after which the freshness of a visit has fallen to 1/e."""


def cells_of(place: np.ndarray, low: np.ndarray, high: np.ndarray, side: int) -> np.ndarray:
    """Number of the cell [...] int64 of places [..., 2]; beyond the bounds, the nearest one."""
    share = (np.asarray(place, np.float64) - low) / (np.asarray(high, np.float64) - low)
    column = np.clip((share * side).astype(np.int64), 0, side - 1)
    return column[..., 1] * side + column[..., 0]


class RecordedVisits:
    """The cells that recorded episodes came through, as stays from one step to another."""

    def __init__(
        self,
        cells: np.ndarray,
        length: np.ndarray,
        first: np.ndarray,
        side: int,
        device: str = "cpu",
    ) -> None:
        """Take cells [steps] of episodes laid end to end, each `length` [N] from `first` on."""
        self.size = side * side
        begins = np.ones(len(cells), bool)
        begins[1:] = cells[1:] != cells[:-1]
        begins[first] = True
        begin = np.flatnonzero(begins)
        end = np.append(begin[1:], len(cells)) - 1
        owner = np.searchsorted(first, begin, side="right") - 1
        self.count = np.bincount(owner, minlength=len(length))
        self.first = np.cumsum(self.count) - self.count
        self.cell = torch.from_numpy(cells[begin].astype(np.int64)).to(device)
        self.begin = torch.from_numpy(begin - first[owner]).to(device)
        self.end = torch.from_numpy(end - first[owner]).to(device)
        self.device = device

    def at(self, episode: np.ndarray, time: np.ndarray) -> Tensor:
        """What the `o` tokens carry [M, 2 * side * side] float32 at steps of episodes [M]."""
        count = self.count[episode]
        row = np.repeat(np.arange(len(count)), count)
        stay = np.arange(len(row)) + np.repeat(
            self.first[episode] - np.cumsum(count) + count, count
        )
        now = torch.from_numpy(time[row]).to(self.device)
        rows, stays = (torch.from_numpy(a).to(self.device) for a in (row, stay))
        past = self.begin[stays] <= now
        rows, stays, now = rows[past], stays[past], now[past]
        age = (now - self.end[stays]).clamp(min=0).float()
        out = torch.zeros(len(count), 2 * self.size, device=self.device)
        place = rows * (2 * self.size) + self.cell[stays]
        out.view(-1).scatter_reduce_(0, place, torch.exp(-age / FADE), "amax")
        out.view(-1)[place + self.size] = 1.0
        return out


class VisitationMap:
    """The same for N robots while they drive."""

    def __init__(self, robots: int, side: int) -> None:
        self.rows = np.arange(robots)
        self.last = np.full((robots, side * side), -1, np.int64)

    def visit(self, cells: np.ndarray, step: int) -> Tensor:
        """Be in cells [N] at a step; what the `o` tokens carry now [N, 2 * side * side]."""
        self.last[self.rows, cells] = step
        seen = self.last >= 0
        fresh = np.where(seen, np.exp((self.last - step) / FADE), 0.0)
        return torch.from_numpy(np.concatenate([fresh, seen], axis=1, dtype=np.float32))
