"""The probe of averaged modes: half of the drives go round a table on its left, half on its right.

    python -m nanodt.family.recipes.modes --out docs/images/modes.png

Every drive begins at one place and ends at another, with the same sentence, so nothing says which
side to take. A head with squared error learns the mean of both first actions, which leads into the
table; a head with classes learns that there are two and takes one of them.
"""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch

from nanodt.driving.policy import load
from nanodt.errors import InputError
from nanodt.model.heads import HeadKind, Sampling
from nanodt.text.tokenizer import train_tokenizer
from nanodt.train import train
from nanodt.training.options import TrainConfig

STEPS, TABLE = 16, 0.45
GRID = 0.02
"""Recorded displacements are rounded to it, as a robot's would be."""
TEXT = "go round the table"
HEADS: tuple[HeadKind, ...] = ("mse", "clusters", "bins", "discrete")
DIRECTIONS = 24
"""Classes of the head discrete: headings of a step of fixed length."""


@dataclass
class Config:
    """Train each head on the same drives, let it drive, and draw where it went."""

    out: Path = Path("modes.png")
    """The figure."""
    drives: int = 400
    """Recorded drives, and driven ones."""
    steps: int = 600
    """Optimiser steps."""
    heads: tuple[HeadKind, ...] = HEADS
    """Which heads."""
    seed: int = 0
    """Of the drives, the weights and the draws."""


@dataclass
class Outcome:
    """How a head drove."""

    path: np.ndarray
    """[N, STEPS + 1, 2] places."""

    @property
    def through(self) -> float:
        """Share of the drives that ran through the table."""
        a, b = self.path[:, :-1], self.path[:, 1:]
        # Nearest point of each step to the table's middle, so that no step jumps across.
        along = ((-a) * (b - a)).sum(-1) / np.maximum(((b - a) ** 2).sum(-1), 1e-12)
        nearest = a + np.clip(along, 0, 1)[..., None] * (b - a)
        return float((np.linalg.norm(nearest, axis=-1).min(1) < TABLE).mean())

    @property
    def left(self) -> float:
        """Share that passed on the left."""
        return float((self.path[:, :, 0].min(1) < -TABLE).mean())

    @property
    def arrived(self) -> float:
        """Share that ended within a fifth of the way's length of the end."""
        return float((np.linalg.norm(self.path[:, -1] - [0, 1], axis=1) < 0.4).mean())


def record(n: int, rng: np.random.Generator) -> np.ndarray:
    """Paths [n, STEPS + 1, 2] from (0, -1) to (0, 1), round the table by either side."""
    angle = np.linspace(-np.pi / 2, np.pi / 2, STEPS + 1)
    side = np.where(rng.random(n) < 0.5, -1, 1) * rng.uniform(0.75, 0.95, n)
    path = np.stack([side[:, None] * np.cos(angle), np.tile(np.sin(angle), (n, 1))], axis=-1)
    return path.round(6)


def heading(step: np.ndarray) -> np.ndarray:
    """Class [..., 1] of displacements [..., 2]."""
    turn = np.arctan2(step[..., 1], step[..., 0]) / (2 * np.pi) * DIRECTIONS
    return np.round(turn).astype(int)[..., None] % DIRECTIONS


def write_dataset(folder: Path, paths: np.ndarray, discrete: bool) -> Path:
    """The dataset of recorded paths [N, STEPS + 1, 2]."""
    folder.mkdir(parents=True)
    moved = np.diff(paths, axis=1)
    action = heading(moved) if discrete else np.round(moved / GRID) * GRID
    rows = [
        {
            "trajectory_id": i,
            "split": "train",
            "length": STEPS,
            "bd": path[-1].tolist(),
            "obs": path.ravel().tolist(),
            "action": own.ravel().tolist(),
            "texts": [TEXT],
        }
        for i, (path, own) in enumerate(zip(paths, action, strict=True))
    ]
    pq.write_table(pa.Table.from_pylist(rows), folder / "trajectories.parquet")
    low, high = ([0], [DIRECTIONS - 1]) if discrete else ([-0.3, -0.3], [0.3, 0.3])
    info = {"n_obs": 2, "n_act": len(low), "n_bd": 2, "action_low": low, "action_high": high}
    info |= {"bd_low": [-1, -1], "bd_high": [1, 1]}
    (folder / "dataset.json").write_text(json.dumps(info), encoding="utf-8")
    return folder


def probe(head: HeadKind, config: Config, work: Path) -> Outcome:
    """Train one head and let it drive; `work` is a folder for its files."""
    rng = np.random.default_rng(config.seed)
    discrete = head == "discrete"
    paths = record(config.drives, rng)
    data = write_dataset(work / "dataset", paths, discrete)
    train_tokenizer([TEXT], 300).save(work)
    out = train(
        TrainConfig(
            data=data,
            out=work / "model",
            tokenizer=work,
            block_size=96,
            n_layer=1,
            n_head=2,
            n_embd=48,
            head=head,
            clusters=12,
            bins=31,
            steps=config.steps,
            batch_size=64,
            micro_batch=64,
            lr=3e-3,
            text_dropout=0.0,
            bd_dropout=0.0,
            score_items=0,
            log_every=100,
            seed=config.seed,
            device="cpu",
        )
    )
    how = "argmax" if head == "mse" else "temperature"
    policy = load(out, sampling=Sampling(how))
    policy.reset(config.seed)
    n = config.drives
    path = np.zeros((n, STEPS + 1, 2), np.float32)
    path[:, 0] = [0, -1]
    length = np.linalg.norm(np.diff(paths, axis=1), axis=-1).mean()
    for t in range(STEPS):
        action = policy.act(path[:, t], [TEXT] * n, np.tile([0.0, 1.0], (n, 1)))
        if discrete:
            turn = action[:, 0] / DIRECTIONS * 2 * np.pi
            action = length * np.stack([np.cos(turn), np.sin(turn)], axis=1)
        path[:, t + 1] = path[:, t] + action
    return Outcome(path)


def draw(outcomes: dict[str, Outcome], out: Path) -> None:
    """One panel per head: the table, and where its drives went."""
    from matplotlib.figure import Figure  # only the figure needs it
    from matplotlib.patches import Circle

    figure = Figure(figsize=(2.6 * len(outcomes), 3.2), layout="constrained")
    for axes, (head, outcome) in zip(
        figure.subplots(1, len(outcomes), squeeze=False)[0], outcomes.items(), strict=True
    ):
        axes.add_patch(Circle((0, 0), TABLE, color="#c9b79c"))
        axes.plot(*outcome.path[:80].T, color="#2a6f97", alpha=0.25, linewidth=1)
        axes.plot(0, -1, "o", color="#444")
        axes.plot(0, 1, "*", color="#444", markersize=10)
        axes.set(xlim=(-1.3, 1.3), ylim=(-1.35, 1.35), aspect="equal", xticks=[], yticks=[])
        axes.set_title(f"{head}: {100 * outcome.through:.0f} % through the table", fontsize=9)
    out.parent.mkdir(parents=True, exist_ok=True)
    partial = out.with_name("." + out.name)
    figure.savefig(partial, dpi=130, format=out.suffix[1:] or "png")
    partial.replace(out)


def run(config: Config) -> dict[str, Outcome]:
    """Probe all heads, print the table and draw the figure."""
    torch.manual_seed(config.seed)
    outcomes = {}
    with TemporaryDirectory() as folder:
        for head in config.heads:
            outcomes[head] = probe(head, config, Path(folder) / head)
    print("\n| head | through the table | on the left | arrived |\n|---|--:|--:|--:|")
    for head, o in outcomes.items():
        print(f"| `{head}` | {o.through:.0%} | {o.left:.0%} | {o.arrived:.0%} |".replace("%", " %"))
    draw(outcomes, config.out)
    print(config.out)
    return outcomes


def main() -> int:
    """The command line: options of `Config`."""
    import tyro

    try:
        run(tyro.cli(Config, description=__doc__))
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
