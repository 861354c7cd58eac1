"""Codecs: numbers to class numbers and back, for streams whose tokens are single numbers.

| codec      | classes of one dimension                       | used by                |
|------------|------------------------------------------------|------------------------|
| `uniform`  | equal steps from the lower to the upper bound  | MDDT, Multi-Game DT    |
| `quantile` | equally many training values in each           | Trajectory Transformer |
| `mulaw`    | equal steps of log(1 + mu |x|), sign kept      | Gato                   |

All take [..., D] and give [..., D]; each dimension has its own bounds. A class decodes to its
centre: the left edge, which some published code decodes to, is off by half a step on average and
can never reach the upper bound.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from nanodt.errors import InputError


@dataclass(frozen=True)
class CodecConfig:
    """Which codec, and how fine."""

    kind: Literal["uniform", "quantile", "mulaw"] = "uniform"
    bins: int = 64
    low: tuple[float, ...] = ()
    """uniform: bounds of each dimension; empty = those of the training values."""
    high: tuple[float, ...] = ()
    mu: float = 100.0
    """mulaw: mu and M of Gato (Reed et al. 2022, section 2.1 and appendix B)."""
    largest: float = 256.0

    def __post_init__(self) -> None:
        if self.bins < 2:
            raise InputError(f"codec {self.kind} needs at least 2 bins, found {self.bins}")
        if len(self.low) != len(self.high):
            raise InputError(f"{len(self.low)} lower bounds, {len(self.high)} upper ones")


class Codec(nn.Module):
    """Class edges of D dimensions, `edges` [D, bins + 1] ascending."""

    edges: Tensor

    def __init__(self, config: CodecConfig, size: int) -> None:
        super().__init__()
        self.config = config
        if config.low and len(config.low) != size:
            raise InputError(f"codec bounds of {len(config.low)} numbers for {size} dimensions")
        low = torch.tensor(config.low or (-1.0,) * size, dtype=torch.float64)
        high = torch.tensor(config.high or (1.0,) * size, dtype=torch.float64)
        if config.kind == "mulaw":
            low, high = low.fill_(-1), high.fill_(1)
        self.register_buffer("edges", _even(low, high, config.bins))

    def fit(self, values: Tensor) -> None:
        """Take the edges from training values [M, D], where the codec takes any."""
        values, bins = values.double(), self.config.bins
        if self.config.kind == "quantile":
            # Whole sorted columns: torch.quantile refuses more than 16 million values.
            ordered = values.sort(0).values
            place = torch.linspace(0, len(values) - 1, bins + 1).round().long()
            self.edges.copy_(ordered[place].t())
        elif self.config.kind == "uniform" and not self.config.low:
            low, high = values.amin(0), values.amax(0)
            self.edges.copy_(_even(low, torch.where(high > low, high, low + 1), bins))

    def squash(self, values: Tensor) -> Tensor:
        """The mu-law of values, clipped to [-1, 1]; other codecs leave values as they are."""
        if self.config.kind != "mulaw":
            return values
        mu, largest = self.config.mu, self.config.largest
        y = torch.log1p(mu * values.abs()) / math.log1p(mu * largest)
        return (values.sign() * y).clamp(-1, 1)

    def encode(self, values: Tensor) -> Tensor:
        """Numbers [..., D] -> classes [..., D] int64; what lies outside takes the last class."""
        x = self.squash(values.double())
        flat = x.reshape(-1, x.shape[-1]).t().contiguous()
        # A value on an edge belongs to the class above it. Where many quantiles are equal, the
        # classes between them are never used.
        inner = self.edges[:, 1:-1].contiguous()
        return torch.searchsorted(inner, flat, right=True).t().reshape(x.shape)

    def decode(self, index: Tensor) -> Tensor:
        """Classes [..., D] -> their centres [..., D] float32."""
        dim = torch.arange(index.shape[-1], device=index.device).expand_as(index)
        return self.centres[dim, index].float()

    @property
    def centres(self) -> Tensor:
        """[D, bins]; the centre of a class in the numbers' own units."""
        middle = (self.edges[:, 1:] + self.edges[:, :-1]) / 2
        if self.config.kind != "mulaw":
            return middle
        mu, largest = self.config.mu, self.config.largest
        return middle.sign() * torch.expm1(middle.abs() * math.log1p(mu * largest)) / mu


def _even(low: Tensor, high: Tensor, bins: int) -> Tensor:
    share = torch.linspace(0, 1, bins + 1, dtype=torch.float64, device=low.device)
    return low[:, None] + (high - low)[:, None] * share
