"""Whether a training fits into memory: said in a line before it starts."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import torch

from nanodt.data.folder import Dataset
from nanodt.errors import InputError
from nanodt.training.options import TrainConfig

CONTAINER = (
    ("memory.max", "memory.current"),
    ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes"),
)
"""Files in /sys/fs/cgroup: what a container is granted, and what it took (versions 2 and 1)."""


def available_memory(device: str = "cpu") -> int:
    """Bytes that may still be taken on a device."""
    if device.startswith("cuda"):
        return torch.cuda.mem_get_info(device)[0]
    try:
        free = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (ValueError, OSError, AttributeError):  # a system that does not tell
        return 2**62
    info = Path("/proc/meminfo")
    for line in info.read_text(encoding="ascii").splitlines() if info.exists() else ():
        if line.startswith("MemAvailable:"):
            free = int(line.split()[1]) * 1024
    for limit, used in CONTAINER:
        try:
            granted, taken = (
                int((Path("/sys/fs/cgroup") / name).read_text(encoding="ascii"))
                for name in (limit, used)
            )
        except (OSError, ValueError):  # no such limit
            continue
        free = min(free, max(granted - taken, 0))
    return free


def needed_memory(config: TrainConfig, longest: int) -> dict[str, float]:
    """Bytes that a training takes at least, by the options that they follow from.

    `longest`: steps of the longest episode.
    """
    c, steps = config.n_embd, min(config.window or longest, longest)
    numbers = 4 * 4  # a float32 weight, its gradient and AdamW's two moments
    rows = min(config.micro_batch, config.batch_size)
    tokens = rows * config.windows_per_text * steps * config.tokens_per_step
    wide = config.block_size + config.clusters + (config.bins or 0) + 2 * config.visitation_map**2
    wide += config.text_prefix * c if config.text_encoder != "tokens" else 0
    return {
        "--n-layer --n-embd": 12.0 * config.n_layer * c**2 * numbers,
        "--block-size --clusters --bins --visitation-map --text-prefix": float(wide) * c * numbers,
        "--batch-size --windows-per-text": config.batch_size * config.windows_per_text * 64.0,
        "--n-layer --n-embd --micro-batch --windows-per-text": 32.0 * tokens * c * config.n_layer,
    }


def check_memory(config: TrainConfig, dataset: Dataset, device: str) -> None:
    """Refuse a training that is sure not to fit, by the options that ask for most."""
    longest = max(int(split.length.max()) for split in dataset.splits.values())
    require_memory(needed_memory(config, longest), config, device)


def require_memory(needed: dict[str, float], options: Any, device: str = "cpu") -> None:
    """Refuse sizes that are sure not to fit, in a line that names the options that ask for most.

    `needed`: bytes, as a lower estimate, by the options that they follow from.
    """
    there = available_memory(device)
    if sum(needed.values()) > there:
        names = max(needed, key=lambda name: needed[name]).split()
        given = (f"{n} {getattr(options, n.removeprefix('--').replace('-', '_'))}" for n in names)
        raise InputError(
            f"{' '.join(given)}: training would take about {sum(needed.values()) / 1e9:,.1f} GB of "
            f"memory, {there / 1e9:,.1f} GB are free on {device}: choose less"
        )
