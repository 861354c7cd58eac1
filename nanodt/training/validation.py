"""How good a model is while it trains: loss on unseen windows, and driving in closed loop."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from nanodt.data.episodes import Episodes
from nanodt.data.folder import Dataset, located
from nanodt.data.windows import Windows
from nanodt.driving.environments import make_environment
from nanodt.driving.policy import Policy
from nanodt.driving.rollout import drive
from nanodt.errors import InputError
from nanodt.model.network import Network


class ClosedLoop:
    """Drives a fixed handful of instructions and measures where they end."""

    def __init__(self, episodes: Episodes, dataset: Dataset, items: int) -> None:
        info = dataset.info
        if "bd_low" not in info or "bd_high" not in info:
            raise InputError("dataset.json has no bd_low and bd_high, which the score divides by")
        # Evenly spread over the split, so that the same few are driven every time.
        chosen = np.unique(
            np.linspace(0, len(episodes.ids) - 1, min(items, len(episodes.ids))).round().astype(int)
        )
        texts = episodes.texts or [[] for _ in episodes.ids]
        self.texts = [texts[i][0] if texts[i] else None for i in chosen]
        self.bd = episodes.each["bd"][chosen]
        # Where chance has a part, recorded episodes say with which seed they began.
        self.seed = [int(info["seed"])] * len(chosen) if "seed" in info else 0
        self.diagonal = float(np.linalg.norm(np.subtract(info["bd_high"], info["bd_low"])))
        without = "train without the closed-loop score: --score-items 0"
        self.env = make_environment(
            located(info["environment"], dataset.folder), len(chosen), without
        )

    def __call__(self, network: Network) -> dict[str, float]:
        """Distance from the reached to the asked-for bd, in % of the bd's range (diagonal)."""
        texts = [t for t in self.texts if t is not None]
        instruction = texts if len(texts) == len(self.texts) else None
        rollouts = drive(Policy(network), self.env, instruction, self.bd, seed=self.seed)
        network.train()
        if "bd" not in rollouts.info:
            raise InputError("the environment's info has no 'bd', which the score compares")
        error = np.linalg.norm(rollouts.info["bd"][:, -1] - self.bd, axis=1) / self.diagonal * 100
        return {
            "bd_error_median": float(np.median(error)),
            "bd_error_mean": float(error.mean()),
            "bd_error_se": float(error.std() / np.sqrt(len(error))),
            "bd_success": float((error <= 5).mean()),
        }


def better(record: dict[str, float], best: dict[str, Any] | None) -> dict[str, Any] | None:
    """The record to store beside the weights, if those of `record` replace the best so far.

    A model is as good as its drives end near their targets, in the mean: the median says nothing
    of the drives that go astray. A later model, which has learned for longer, is kept unless it is
    worse than an earlier one by more than that one's standard error (the one-standard-error rule:
    Breiman et al. 1984, Classification and Regression Trees). Without drives, the smaller
    validation loss is the better; without that, the later model.
    """
    if "bd_error_mean" in record:
        value, slack = record["bd_error_mean"], record["bd_error_se"]
    else:
        value, slack = record.get("val_loss", 0.0), 0.0
    if best is None:
        return {**record, "limit": value + slack}
    if not value <= best["limit"]:
        return None
    return {**record, "limit": min(value + slack, best["limit"])}


class Validation:
    """What is measured of a network on unseen episodes while it trains: the mean loss over a fixed
    set of windows with texts and BDs, and drives in closed loop."""

    def __init__(
        self, dataset: Dataset, network: Network, items: int, seed: int, micro_batch: int
    ) -> None:
        """`items`: instructions driven in closed loop, where the dataset names an environment."""
        self.windows: Windows | None = None
        self.closed_loop: ClosedLoop | None = None
        self.micro_batch = micro_batch
        if "validation" not in dataset.splits:
            return
        episodes = dataset.split("validation")
        self.windows = Windows(episodes, network)
        self.plan = self.windows.plan(np.random.default_rng([seed, 1]), 256)
        if items and dataset.info.get("environment"):
            self.closed_loop = ClosedLoop(episodes, dataset, items)

    def __call__(self, network: Network) -> dict[str, float]:
        record = {} if self.windows is None else {"val_loss": self.loss(network, self.windows)}
        return record if self.closed_loop is None else record | self.closed_loop(network)

    @torch.no_grad()
    def loss(self, network: Network, windows: Windows) -> float:
        network.eval()
        total = 0.0
        for i in range(0, len(self.plan.steps), self.micro_batch):
            batch = windows.batch(self.plan.rows(slice(i, i + self.micro_batch)))
            for loss, weight in network.losses(batch).values():
                total += float((loss if weight is None else loss * weight).double().sum())
        network.train()
        return total / windows.targets(self.plan)


def in_words(record: dict[str, Any]) -> str:
    """A validation record as a sentence."""
    parts = []
    if "val_loss" in record:
        parts.append(f"validation loss {record['val_loss']:.4f}")
    if "bd_error_median" in record:
        parts.append(
            f"robots end {record['bd_error_median']:.1f} % of the diagonal from the target "
            f"(median), {100 * record['bd_success']:.0f} % within 5 %"
        )
    return ", ".join(parts)
