"""Heads: from a hidden state to an action, and the loss that teaches it.

| head       | predicts                               | choose it when                         |
|------------|----------------------------------------|----------------------------------------|
| `mse`      | one action, mean squared error         | one good action per situation          |
| `clusters` | a k-means centre and an offset from it | several ways are right; fine actions   |
| `bins`     | per dimension one of a grid of values  | several ways; actions on a coarse grid |
| `discrete` | one of n actions                       | the environment's actions are numbered |
| `tanh`     | one action within its bounds, MSE      | as Decision Transformer does           |

Squared error averages two valid ways round a table into one through it; the other heads do not.
Where recorded actions lie on a grid, `bins` repeats them exactly: no small error feeds back while
driving. Overfitted to 8 recorded drives of 400 steps, it repeated every one to the place, where
squared error at a loss of 4e-4 still ended 3 % of the diagonal away (median).
Each head turns actions into its own code and back (`encode`, `decode`), and samples whole batches.
"""

from __future__ import annotations

import warnings
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
from scipy.cluster.vq import kmeans2
from torch import Generator, Tensor, nn

from nanodt.errors import InputError

HeadKind = Literal["mse", "clusters", "bins", "discrete", "tanh"]
FIT_SAMPLE = 20_000  # actions k-means looks at: enough for a few dozen centres


@dataclass(frozen=True)
class HeadConfig:
    """Which head, and its size."""

    kind: HeadKind = "mse"
    clusters: int = 16
    """Centres: in all (joint) or for each dimension."""
    joint: bool = True
    """Cluster whole actions (Behavior Transformers), or each dimension by itself."""
    focal_gamma: float = 2.0
    offset_weight: float = 1.0
    """Weight of the offset's squared error beside the focal loss."""
    bins: int = 81
    """Values per dimension, the first and the last being the action's bounds."""


@dataclass(frozen=True)
class Sampling:
    """How a class is drawn from logits."""

    mode: Literal["argmax", "temperature", "nucleus"] = "argmax"
    temperature: float = 1.0
    top_p: float = 0.9
    """Nucleus: the likeliest classes that together reach this probability (Holtzman 2020)."""


def pick(logits: Tensor, sampling: Sampling, rng: Generator | None = None) -> Tensor:
    """Draw classes [...] int64 from logits [..., k]."""
    if sampling.mode == "argmax":
        return logits.argmax(-1)
    p = (logits / sampling.temperature).softmax(-1)
    if sampling.mode == "nucleus":
        ordered, order = p.sort(-1, descending=True)
        before = ordered.cumsum(-1) - ordered  # what the likelier ones already cover
        p = torch.zeros_like(p).scatter(-1, order, ordered * (before < sampling.top_p))
    return torch.multinomial(p.flatten(0, -2), 1, generator=rng).view(p.shape[:-1])


class Head(nn.Module, ABC):
    """What every head offers. Actions are in the environment's units, float32 [M, A]."""

    def fit(self, actions: Tensor, seed: int = 0) -> None:
        """Take statistics from training actions, before training."""

    @abstractmethod
    def loss(self, hidden: Tensor, action: Tensor) -> Tensor:
        """Loss [M] of hidden states [M, C] against actions [M, A]."""

    @abstractmethod
    def sample(self, hidden: Tensor, sampling: Sampling, rng: Generator | None = None) -> Tensor:
        """Actions [M, A] for hidden states [M, C]."""


class Standardised(Head):
    """A head that works in standardised actions (mean 0, spread 1 over the training set)."""

    mean: Tensor
    std: Tensor

    def __init__(self, n_act: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(n_act))
        self.register_buffer("std", torch.ones(n_act))

    def fit(self, actions: Tensor, seed: int = 0) -> None:
        std = actions.std(0, correction=0)
        self.mean.copy_(actions.mean(0))
        self.std.copy_(torch.where(std > 1e-6, std, 1.0))

    def standard(self, action: Tensor) -> Tensor:
        return (action - self.mean) / self.std

    def restore(self, action: Tensor) -> Tensor:
        return action * self.std + self.mean


class MSE(Standardised):
    """One action, taught by mean squared error in standardised units."""

    def __init__(self, width: int, n_act: int) -> None:
        super().__init__(n_act)
        self.out = nn.Linear(width, n_act)

    def loss(self, hidden: Tensor, action: Tensor) -> Tensor:
        return (self.out(hidden) - self.standard(action)).square().mean(-1)

    def sample(self, hidden: Tensor, sampling: Sampling, rng: Generator | None = None) -> Tensor:
        return self.restore(self.out(hidden))


class Tanh(Head):
    """One action, squashed into its bounds; mean squared error with the bounds at -1 and 1."""

    low: Tensor
    high: Tensor

    def __init__(self, width: int, low: Tensor, high: Tensor) -> None:
        super().__init__()
        self.register_buffer("low", low)
        self.register_buffer("high", high)
        self.out = nn.Linear(width, len(low))

    def loss(self, hidden: Tensor, action: Tensor) -> Tensor:
        target = (action - self.low) / (self.high - self.low) * 2 - 1
        return (self.out(hidden).tanh() - target).square().mean(-1)

    def sample(self, hidden: Tensor, sampling: Sampling, rng: Generator | None = None) -> Tensor:
        return self.low + (self.out(hidden).tanh() + 1) / 2 * (self.high - self.low)


class Clusters(Standardised):
    """A k-means centre and an offset from it (Behavior Transformers, Shafiullah et al. 2022).

    The centre is taught by focal loss (Lin et al. 2017), the offset of the true centre by squared
    error. Joint: one choice among k whole actions. Otherwise one choice per dimension.
    """

    centres: Tensor  # [groups, k, dims of a group], standardised units

    def __init__(self, width: int, n_act: int, config: HeadConfig) -> None:
        super().__init__(n_act)
        self.config = config
        self.groups, self.dims = (1, n_act) if config.joint else (n_act, 1)
        self.register_buffer("centres", torch.zeros(self.groups, config.clusters, self.dims))
        self.out = nn.Linear(width, self.groups * config.clusters * (1 + self.dims))

    def fit(self, actions: Tensor, seed: int = 0) -> None:
        super().fit(actions, seed)
        rng = np.random.default_rng(seed)
        rows = rng.choice(len(actions), min(len(actions), FIT_SAMPLE), replace=False)
        values = self.standard(actions[torch.from_numpy(np.sort(rows))])
        values = values.view(-1, self.groups, self.dims).double().numpy()
        for group in range(self.groups):
            self.centres[group] = torch.from_numpy(
                _k_means(values[:, group], self.config.clusters, rng)
            ).float()

    def encode(self, action: Tensor) -> tuple[Tensor, Tensor]:
        """Actions [M, A] -> (nearest centre [M, groups] int64, offset [M, groups, dims])."""
        a = self.standard(action).view(-1, self.groups, self.dims)
        near = (a[:, :, None] - self.centres).square().sum(-1).argmin(-1)
        return near, a - self._centre(near)

    def decode(self, centre: Tensor, offset: Tensor) -> Tensor:
        """The inverse of `encode`."""
        return self.restore((self._centre(centre) + offset).flatten(1))

    def _centre(self, index: Tensor) -> Tensor:
        return self.centres[torch.arange(self.groups, device=index.device), index]

    def _predict(self, hidden: Tensor) -> tuple[Tensor, Tensor]:
        """(logits [M, groups, k], offsets [M, groups, k, dims])."""
        out = self.out(hidden).view(-1, self.groups, self.config.clusters, 1 + self.dims)
        return out[..., 0], out[..., 1:]

    def loss(self, hidden: Tensor, action: Tensor) -> Tensor:
        logits, offsets = self._predict(hidden)
        centre, offset = self.encode(action)
        log_p = logits.log_softmax(-1).gather(-1, centre[..., None])[..., 0]
        focal = -((1 - log_p.exp()).clamp_min(0) ** self.config.focal_gamma) * log_p
        own = _of_centre(offsets, centre)
        squared = (own - offset).square().mean((1, 2))
        return focal.mean(1) + self.config.offset_weight * squared

    def sample(self, hidden: Tensor, sampling: Sampling, rng: Generator | None = None) -> Tensor:
        logits, offsets = self._predict(hidden)
        centre = pick(logits, sampling, rng)
        return self.decode(centre, _of_centre(offsets, centre))


def _of_centre(offsets: Tensor, centre: Tensor) -> Tensor:
    """Offsets [M, groups, k, dims] of the chosen centres [M, groups] -> [M, groups, dims]."""
    index = centre[..., None, None].expand(-1, -1, 1, offsets.shape[-1])
    return offsets.gather(2, index)[:, :, 0]


def _k_means(values: np.ndarray, k: int, rng: np.random.Generator) -> np.ndarray:
    """Centres [k, d] of values [M, d], from k-means++ (Arthur & Vassilvitskii 2007); with at most k
    different values, those values."""
    different = np.unique(values, axis=0)
    if len(different) <= k:
        return different[np.minimum(np.arange(k), len(different) - 1)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # a centre without members just stays
        return kmeans2(values, k, iter=30, minit="++", rng=rng)[0]


class Bins(Head):
    """Per dimension one value of an even grid from the lower to the upper bound; cross-entropy."""

    low: Tensor
    step: Tensor

    def __init__(self, width: int, low: Tensor, high: Tensor, bins: int) -> None:
        super().__init__()
        if bins < 2:
            raise InputError(f"head bins needs at least 2 bins, found {bins}")
        self.n_act, self.bins = len(low), bins
        self.register_buffer("low", low)
        self.register_buffer("step", (high - low) / (bins - 1))
        self.out = nn.Linear(width, self.n_act * bins)

    def encode(self, action: Tensor) -> Tensor:
        """Actions [M, A] -> nearest grid value [M, A] int64."""
        return ((action - self.low) / self.step).round().long().clamp(0, self.bins - 1)

    def decode(self, index: Tensor) -> Tensor:
        return self.low + self.step * index

    def loss(self, hidden: Tensor, action: Tensor) -> Tensor:
        logits = self.out(hidden).view(-1, self.bins)
        target = self.encode(action).flatten()
        return F.cross_entropy(logits, target, reduction="none").view(-1, self.n_act).mean(1)

    def sample(self, hidden: Tensor, sampling: Sampling, rng: Generator | None = None) -> Tensor:
        logits = self.out(hidden).view(-1, self.n_act, self.bins)
        return self.decode(pick(logits, sampling, rng))


class Discrete(Head):
    """One of n numbered actions; cross-entropy. Actions are [M, 1], the number as a float."""

    def __init__(self, width: int, classes: int) -> None:
        super().__init__()
        self.out = nn.Linear(width, classes)

    def loss(self, hidden: Tensor, action: Tensor) -> Tensor:
        return F.cross_entropy(self.out(hidden), action[:, 0].long(), reduction="none")

    def sample(self, hidden: Tensor, sampling: Sampling, rng: Generator | None = None) -> Tensor:
        return pick(self.out(hidden), sampling, rng)[:, None].to(hidden.dtype)


class Scalars(nn.Module):
    """One class for each of D numbers, each from a hidden state of its own; cross-entropy.

    Each number has its own matrix, or all share one. Classes are int64 [M, D].
    """

    def __init__(self, width: int, size: int, bins: int, shared: bool) -> None:
        super().__init__()
        self.size, self.bins, self.shared = size, bins, shared
        self.out = nn.Linear(width, bins * (1 if shared else size))

    def logits(self, hidden: Tensor, first: int = 0) -> Tensor:
        """Logits [..., D, bins] of hidden states [..., D, C]; the first is that of number `first`.

        Fewer than `size` may be given: acting asks for one number after the other.
        """
        if self.shared:
            return self.out(hidden)
        own = slice(first, first + hidden.shape[-2])
        weight = self.out.weight.view(self.size, self.bins, -1)[own]
        bias = self.out.bias.view(self.size, self.bins)[own]
        return torch.einsum("...dc,dkc->...dk", hidden, weight) + bias

    def loss(self, hidden: Tensor, classes: Tensor) -> Tensor:
        """Loss [M, D] of hidden states [M, D, C]."""
        return F.cross_entropy(self.logits(hidden).movedim(-1, 1), classes, reduction="none")


def build_head(
    config: HeadConfig, width: int, low: tuple[float, ...], high: tuple[float, ...]
) -> Head:
    """The head a configuration names, for actions within [low, high]."""
    if config.kind == "mse":
        return MSE(width, len(low))
    if config.kind == "clusters":
        return Clusters(width, len(low), config)
    if config.kind == "bins":
        return Bins(width, torch.tensor(low), torch.tensor(high), config.bins)
    if config.kind == "discrete":
        return Discrete(width, int(high[0]) + 1)
    if config.kind == "tanh":
        return Tanh(width, torch.tensor(low), torch.tensor(high))
    raise InputError(
        f"unknown head {config.kind!r}: expected mse, clusters, bins, discrete or tanh"
    )
