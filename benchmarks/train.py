"""Speed of training, side by side in one run.

    python benchmarks/train.py [--steps 3] [--batch-size 64] [--block-size 350]

Measures, in float32 on this machine's CPU threads:
- FLOP/s of a plain large matrix product: the ceiling;
- tokens/s and FLOP/s of nanodt's training step (data loading and optimiser included), the share
  of data loading and the peak memory of the process;
- tokens/s of a minimal GPT of the same trunk (token embedding, language-model head over 512
  tokens, cross-entropy) in a plain loop: the whole batch at once, as small GPT trainers do, and
  in the same micro-batches as ours.

The measurements take turns, round after round, and each reports its median: on a shared machine
the speed drifts, and only ratios within a run count.
"""

from __future__ import annotations

import resource
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import bounds
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from envs.errors import ArgumentParser
from nanodt.data.episodes import Episodes
from nanodt.data.windows import Windows
from nanodt.model.heads import HeadConfig
from nanodt.model.layout import policy_layout
from nanodt.model.network import Network, NetworkConfig
from nanodt.model.trunk import Trunk, TrunkConfig
from nanodt.text.encoders import TextConfig
from nanodt.text.tokenizer import train_tokenizer
from nanodt.training.options import LAYOUTS, TrainConfig
from nanodt.training.trainer import Trainer

MATRIX, VOCABULARY = 2048, 512
WORDS = "go drive past the bed sofa table by red blue tile then stop at kitchen door"


INFO = {
    "n_obs": 5,
    "n_act": 2,
    "n_bd": 2,
    "action_low": [-4.0, -4.0],
    "action_high": [4.0, 4.0],
    "action_decimals": 1,
}


def synthetic(n: int, steps: int, seed: int = 0) -> Episodes:
    """n random episodes in the sizes of the apartment's, with a text of about 40 tokens."""
    rng = np.random.default_rng(seed)
    obs = rng.normal(size=(n * steps, 5)).astype(np.float32)
    action = rng.uniform(-4, 4, (n * steps, 2)).astype(np.float32)
    bd = rng.normal(size=(n, 2)).astype(np.float32)
    texts = [[" ".join(rng.choice(WORDS.split(), rng.integers(30, 50)))] for _ in range(n)]
    return Episodes(np.full(n, steps), {"obs": obs, "action": action}, {"bd": bd}, texts)


def build(
    block_size: int, trunk: TrunkConfig, data: Episodes, window: int | None = None, **layout: Any
) -> Network:
    """A fresh network for the synthetic episodes; `layout` are arguments of `policy_layout`."""
    tokenizer = train_tokenizer([t for own in data.texts or [] for t in own])
    text = TextConfig(vocabulary=tokenizer.vocabulary)
    longest = int(data.length.max())
    torch.manual_seed(0)
    network = Network(
        NetworkConfig(
            policy_layout(INFO, longest, block_size, text, HeadConfig(), **layout),
            trunk,
            block_size=block_size,
            window=window,
        )
    )
    network.text.source = tokenizer
    return network


class PlainGPT(nn.Module):
    """The same trunk as a language model."""

    def __init__(self, config: TrunkConfig, block_size: int) -> None:
        super().__init__()
        self.token = nn.Embedding(VOCABULARY, config.n_embd)
        self.position = nn.Embedding(block_size, config.n_embd)
        self.trunk = Trunk(config)
        self.out = nn.Linear(config.n_embd, VOCABULARY, bias=False)

    def forward(self, ids: Tensor, targets: Tensor) -> Tensor:
        x = self.token(ids) + self.position.weight[: ids.shape[1]]
        return F.cross_entropy(self.out(self.trunk(x)).flatten(0, 1), targets.flatten())


def matmul_step() -> Callable[[], float]:
    a, b = torch.randn(MATRIX, MATRIX), torch.randn(MATRIX, MATRIX)

    def step() -> float:
        for _ in range(4):
            a @ b
        return 4 * 2.0 * MATRIX**3

    return step


def gpt_step(config: TrunkConfig, block_size: int, rows: int, micro: int) -> Callable[[], float]:
    model = PlainGPT(config, block_size)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, fused=True)
    ids = torch.randint(VOCABULARY, (rows, block_size + 1))

    def step() -> float:
        optimizer.zero_grad()
        for part in ids.split(micro):
            (model(part[:, :-1], part[:, 1:]) * len(part) / rows).backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        return float(rows * block_size)

    return step


def main() -> None:
    parser = ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=bounds.count, default=3, help="rounds to measure")
    parser.add_argument("--batch-size", type=bounds.count, default=64)
    parser.add_argument("--block-size", type=bounds.count, default=350)
    parser.add_argument("--n-layer", type=bounds.count, default=4)
    parser.add_argument("--n-head", type=bounds.count, default=4)
    parser.add_argument("--n-embd", type=bounds.count, default=128)
    options = parser.parse_args()

    trunk = TrunkConfig(options.n_layer, options.n_head, options.n_embd)
    data = synthetic(400, 400)
    model = build(options.block_size, trunk, data)
    with TemporaryDirectory() as folder:
        config = TrainConfig(
            data=Path(folder),
            out=Path(folder),
            **{**LAYOUTS["plain"], "batch_size": options.batch_size},
        )
    trainer = Trainer(model, Windows(data, model), config)
    numbers = iter(range(10**6))

    def ours() -> float:
        return float(trainer.step(next(numbers))[2])

    rows, micro = options.batch_size, config.micro_batch
    work: dict[str, Callable[[], float]] = {
        "plain matmul": matmul_step(),
        "nanodt": ours,
        "plain GPT, whole batch": gpt_step(trunk, options.block_size, rows, rows),
        "plain GPT, micro-batches": gpt_step(trunk, options.block_size, rows, micro),
    }
    rates: dict[str, list[float]] = {name: [] for name in work}
    memory = 0
    for turn in range(options.steps + 1):  # the first turn warms up
        for name, step in work.items():
            if name == "nanodt" and turn == 1:
                trainer.data_s, ours_s = 0.0, 0.0
            began = time.perf_counter()
            amount = step()
            seconds = time.perf_counter() - began
            if turn:
                rates[name].append(amount / seconds)
                if name == "nanodt":
                    ours_s += seconds
            elif name == "nanodt":
                memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    rate = {name: statistics.median(values) for name, values in rates.items()}
    flops = model.flops_per_token(options.block_size) * rate["nanodt"]
    print(
        f"n_layer {trunk.n_layer}, n_head {trunk.n_head}, n_embd {trunk.n_embd}, block "
        f"{options.block_size}, batch {rows} in parts of {micro}, float32, "
        f"{torch.get_num_threads()} threads, median of {options.steps} rounds\n"
    )
    print("| work | measured | of |")
    print("|---|--:|--:|")
    ceiling = rate["plain matmul"]
    print(f"| plain matmul of {MATRIX}² | {ceiling / 1e9:.1f} GFLOP/s | |")
    share = 100 * flops / ceiling
    print(f"| nanodt, training | {flops / 1e9:.1f} GFLOP/s | {share:.0f} % of the matmul |")
    print(f"| nanodt, training | {rate['nanodt']:,.0f} tokens/s | |")
    for name in ("plain GPT, whole batch", "plain GPT, micro-batches"):
        ratio = rate["nanodt"] / rate[name]
        print(f"| {name} | {rate[name]:,.0f} tokens/s | nanodt: {ratio:.2f} × |")
    print(f"| data loading | {100 * trainer.data_s / ours_s:.2f} % of the time | |")
    print(f"| peak memory, nanodt | {memory / 2**20:.2f} GiB | |")


if __name__ == "__main__":
    main()
