"""Speed of driving: hundreds of robots at once with a cache, against one at a time without.

    python benchmarks/drive.py [--robots 256] [--steps 400] [--singles 2]
    python benchmarks/drive.py --tokens-per-step 1 --window 4

The model is nanodt's default size with random weights (speed does not depend on them); the second
line is the layout of the pipeline's presets, without the robot's wheels. The environment is left
out: observations are random numbers, the same for both modes, so that their actions can be
compared. One at a time computes the whole context anew at every step; it may be measured for fewer
robots and is said to be so. Times are medians where repeated; on a shared machine only ratios
within one run count.
"""

from __future__ import annotations

import time

import bounds
import numpy as np
import torch
from train import build, synthetic

from envs.errors import ArgumentParser
from nanodt.driving.policy import Policy
from nanodt.model.trunk import TrunkConfig


def drive(
    policy: Policy, obs: np.ndarray, texts: list[str], bd: np.ndarray
) -> tuple[np.ndarray, float]:
    """Act on obs [steps, N, n_obs]: (actions [steps, N, n_act], seconds)."""
    policy.reset()
    began = time.perf_counter()
    actions = [policy.act(seen, texts, bd) for seen in obs]
    return np.stack(actions), time.perf_counter() - began


def main() -> None:
    parser = ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--robots", type=bounds.count, default=256)
    parser.add_argument("--steps", type=bounds.count, default=400)
    parser.add_argument(
        "--singles", type=bounds.count, default=2, help="robots driven one at a time"
    )
    parser.add_argument("--block-size", type=bounds.count, default=350)
    parser.add_argument("--tokens-per-step", type=bounds.count, default=3, choices=(1, 3))
    parser.add_argument("--window", type=bounds.count, help="steps in a context at most")
    options = parser.parse_args()

    n, steps = options.robots, options.steps
    data = synthetic(n, steps)
    layout = {"tokens_per_step": options.tokens_per_step}
    layout["hide_actions"] = options.tokens_per_step == 1
    model = build(options.block_size, TrunkConfig(), data, window=options.window, **layout)
    rng = np.random.default_rng(0)
    obs = rng.normal(size=(steps, n, 5)).astype(np.float32)
    texts, bd = [own[0] for own in data.texts or []], data.each["bd"]

    slow_s, worst = [], 0.0
    together, fast_s = drive(Policy(model), obs, texts, bd)
    for i in range(options.singles):
        alone, seconds = drive(
            Policy(model, cache=False), obs[:, i : i + 1], texts[i : i + 1], bd[i : i + 1]
        )
        slow_s.append(seconds)
        worst = max(worst, float(np.abs(alone[:, 0] - together[:, i]).max()))
    slow = float(np.median(slow_s))
    fast = fast_s / n
    print(
        f"{steps} steps, block {options.block_size}, window {options.window}, "
        f"{options.tokens_per_step} tokens a step, float32, {torch.get_num_threads()} threads; "
        f"one at a time measured on {options.singles} robots\n"
    )
    print("| mode | per trajectory | per step |")
    print("|---|--:|--:|")
    print(f"| one at a time, no cache | {slow:.2f} s | {1e3 * slow / steps:.1f} ms |")
    print(f"| {n} at once, cache | {fast:.4f} s | {1e3 * fast_s / steps:.1f} ms for all |")
    print(f"| ratio | {slow / fast:.0f} × | |")
    print(f"\nlargest difference of an action between the modes: {worst:.1e}")


if __name__ == "__main__":
    main()
