"""How good a model is while it trains: loss on unseen windows, and driving in closed loop."""

from __future__ import annotations

import importlib
from typing import Any

import numpy as np
import torch

from nanodt.data.folder import Trajectories, Windows
from nanodt.driving.policy import Policy
from nanodt.driving.rollout import drive
from nanodt.errors import InputError
from nanodt.model.heads import Sampling
from nanodt.model.network import Model


def make_vector_env(environment: dict[str, Any], n: int) -> Any:
    """N copies of the environment a dataset names, {"id", "kwargs"}, as one vector environment.

    An id "module:Name-v0" imports its module. Raises InputError when it cannot be made.
    """
    import gymnasium  # only where an environment is asked for

    name, kwargs = environment.get("id"), environment.get("kwargs") or {}
    if not isinstance(name, str):
        raise InputError("the dataset's environment has no id: name it, or train without the score")
    try:
        module, _, bare = name.rpartition(":")
        if module:
            importlib.import_module(module)
        mode = "vector_entry_point" if gymnasium.spec(bare).vector_entry_point else "sync"
        return gymnasium.make_vec(bare, num_envs=n, vectorization_mode=mode, **kwargs)
    except (gymnasium.error.Error, ImportError, TypeError, ValueError, OSError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise InputError(
            f"the dataset's environment {name!r} cannot be made ({reason}): install it, or train "
            "without the closed-loop score: --score-items 0"
        ) from error


class ClosedLoop:
    """Drives a fixed handful of trajectories' commands and measures where they end."""

    def __init__(self, data: Trajectories, info: dict[str, Any], items: int) -> None:
        if "bd_low" not in info or "bd_high" not in info:
            raise InputError("dataset.json has no bd_low and bd_high, which the score divides by")
        # Evenly spread over the split, so that the same few are driven every time.
        chosen = np.unique(np.linspace(0, len(data.ids) - 1, items).round().astype(int))
        self.texts = [data.texts[i][0] if data.texts[i] else None for i in chosen]
        self.bd = data.bd[torch.from_numpy(chosen)].numpy()
        self.diagonal = float(np.linalg.norm(np.subtract(info["bd_high"], info["bd_low"])))
        self.env = make_vector_env(info["environment"], len(chosen))

    def __call__(self, model: Model) -> dict[str, float]:
        """Distance from the reached to the asked-for bd, in % of the bd's range (diagonal)."""
        texts = [t for t in self.texts if t is not None]
        command = texts if len(texts) == len(self.texts) else None
        drives = drive(Policy(model, sampling=Sampling()), self.env, command, self.bd)
        model.train()
        if "bd" not in drives.info:
            raise InputError("the environment's info has no 'bd', which the score compares")
        error = np.linalg.norm(drives.info["bd"][:, -1] - self.bd, axis=1) / self.diagonal * 100
        return {
            "bd_error_median": float(np.median(error)),
            "bd_error_mean": float(error.mean()),
            "bd_error_se": float(error.std() / np.sqrt(len(error))),
            "bd_success": float((error <= 5).mean()),
        }


def keep(record: dict[str, float], best: dict[str, Any] | None) -> dict[str, Any] | None:
    """The record to keep beside the weights, if those of `record` replace the best so far.

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


class ValidationLoss:
    """Mean loss over a fixed set of windows, with texts and BDs on."""

    def __init__(self, windows: Windows, seed: int, rows: int, micro: int) -> None:
        self.windows, self.micro = windows, micro
        self.plan = windows.plan(np.random.default_rng([seed, 1]), rows, 0.0, 0.0)

    @torch.no_grad()
    def __call__(self, model: Model) -> float:
        model.eval()
        total = 0.0
        for i in range(0, len(self.plan.steps), self.micro):
            batch = self.windows.batch(self.plan.rows(slice(i, i + self.micro)))
            total += float(model.loss(batch).double().sum())
        model.train()
        return total / float(self.plan.steps.sum())
