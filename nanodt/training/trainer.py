"""One optimiser step: gradients over the global batch, on one process or several."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor

from nanodt.data.windows import Windows
from nanodt.errors import InputError
from nanodt.model.network import Network
from nanodt.training.optimizer import Optimizer


def pick_device(name: str) -> str:
    """The device that an option names; auto is a GPU where there is one.

    Raises InputError for a device that is not here.
    """
    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        torch.zeros(1, device=name)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise InputError(f"--device {name} cannot be used ({reason}): give cpu or auto") from None
    return name


@dataclass
class Processes:
    """This process among those of torchrun; alone, it is number 0 of 1."""

    rank: int = 0
    world: int = 1
    local: int = 0

    @property
    def lead(self) -> bool:
        """Whether this is the process that speaks, and writes files."""
        return self.rank == 0

    def say(self, *lines: str) -> None:
        """Print lines, once for all processes."""
        if self.lead:
            print("\n".join(lines))


def leave_together(pause: float = 0.5) -> None:
    """Wait for all processes of the group: gloo aborts one whose peer leaves in mid-message.

    Who is first out of the barrier waits a moment, for others may still read its last message.
    """
    dist.barrier()
    time.sleep(pause)


@contextmanager
def processes(device: str) -> Iterator[Processes]:
    """Join the process group of torchrun, if there is one."""
    if "WORLD_SIZE" not in os.environ:
        yield Processes()
        return
    dist.init_process_group("nccl" if device.startswith("cuda") else "gloo")
    try:
        local = int(os.environ.get("LOCAL_RANK", 0))
        yield Processes(dist.get_rank(), dist.get_world_size(), local)
        leave_together()
    finally:
        dist.destroy_process_group()


def learning_rate(step: int, config: Any) -> float:
    """Linear warm-up, then half a cosine down to min_lr * lr at the last step."""
    if step < config.warmup:
        return config.lr * (step + 1) / config.warmup
    done = (step - config.warmup) / max(1, config.steps - config.warmup)
    cosine = 0.5 * (1 + math.cos(math.pi * min(done, 1.0)))
    return config.lr * (config.min_lr + (1 - config.min_lr) * cosine)


class Trainer:
    """A network, its optimiser and its windows; `step` makes one optimiser step.

    `options` are `TrainOptions` or a recipe's own. Where there are several sources of windows, a
    step takes a batch of each and follows the mean of their gradients.
    """

    def __init__(
        self,
        network: Network,
        windows: Windows | list[Windows],
        options: Any,
        group: Processes | None = None,
    ) -> None:
        self.network, self.options = network, options
        self.sources = windows if isinstance(windows, list) else [windows]
        if options.windows_per_text > 1 and any(
            (network.stream.reads[name] < 0).any() for name in network.taught
        ):
            raise InputError("a layout that reads at the step before takes one window per text")
        self.group = group or Processes()
        self.device = network.device
        self.optimizer = Optimizer(network, options)
        self.scaler = torch.amp.GradScaler(self.device.type, enabled=options.amp == "float16")
        # Only here: driving, with its ever new shapes, would be compiled again and again.
        self.trunk = torch.compile(network.trunk) if options.compile else None
        self.data_s = 0.0
        # Gradients always exist: a parameter no window used has a gradient of zero, whether one
        # process saw no use for it or all of them.
        for p in network.parameters():
            p.grad = torch.zeros_like(p)

    def gradients(self, step: int) -> tuple[Tensor, int]:
        """Gradient of the mean loss over all targets of the global batch; (loss, tokens).

        The windows follow from (seed, step). Each process takes every world-th of them.
        """
        options, group = self.options, self.group
        if options.dropout:
            torch.manual_seed((options.seed * 1_000_003 + step) * group.world + group.rank)
        self.optimizer.zero_grad()
        loss, tokens = torch.zeros((), device=self.device), 0
        rng = np.random.default_rng([options.seed, 0, step])
        for windows in self.sources:
            part, some = self._accumulate(windows, rng)
            loss, tokens = loss + part, tokens + some
        if group.world > 1:
            # The model is small: one sum over all gradients costs less than it would to overlap.
            grads = [p.grad for p in self.network.parameters() if p.grad is not None]
            flat = torch.cat([g.flatten() for g in grads] + [loss[None]])
            dist.all_reduce(flat)
            parts = flat.split([g.numel() for g in grads] + [1])
            for g, part in zip(grads, parts, strict=False):
                g.copy_(part.view_as(g))
            loss, tokens = parts[-1][0], tokens * group.world
        return loss, tokens

    def _accumulate(self, windows: Windows, rng: np.random.Generator) -> tuple[Tensor, int]:
        """Add the gradients of one source's batch, in micro-batches; (loss, tokens)."""
        options, group = self.options, self.group
        began = time.perf_counter()
        plan = windows.plan(
            rng,
            options.batch_size,
            options.text_dropout,
            options.bd_dropout,
            options.windows_per_text,
            options.token_corruption,
        )
        targets = windows.targets(plan) * len(self.sources)
        plan = plan.rows(slice(group.rank, None, group.world))
        self.data_s += time.perf_counter() - began
        loss, tokens = torch.zeros((), device=self.device), 0
        dtype = getattr(torch, options.amp) if options.amp != "none" else None
        for i in range(0, len(plan.steps), options.micro_batch):
            began = time.perf_counter()
            batch = windows.batch(plan.rows(slice(i, i + options.micro_batch)))
            self.data_s += time.perf_counter() - began
            with torch.autocast(self.device.type, dtype, enabled=dtype is not None):
                part = self.network.total(batch, self.trunk) / targets
            self.scaler.scale(part).backward()
            loss += part.detach()
            tokens += batch.tokens
        return loss, tokens

    def step(self, step: int) -> tuple[float, float, int]:
        """One optimiser step; (loss, gradient norm before clipping, tokens)."""
        self.optimizer.set_lr(learning_rate(step, self.options))
        loss, tokens = self.gradients(step)
        self.optimizer.unscale(self.scaler)
        norm = torch.nn.utils.clip_grad_norm_(self.network.parameters(), self.options.clip)
        # The scaler leaves such a step out; without it, the weights would be lost.
        if not self.scaler.is_enabled() and not torch.isfinite(norm):
            raise InputError(
                f"the gradient is {float(norm)} at step {step + 1}: try a smaller --lr"
            )
        self.optimizer.step(self.scaler)
        if not math.isfinite(loss):
            raise InputError(f"the loss is {float(loss)} at step {step + 1}: try a smaller --lr")
        return float(loss), float(norm), tokens
