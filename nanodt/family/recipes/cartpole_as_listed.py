"""The CartPole listing of the notes taken literally, to show what its mistakes cost.

    python -m nanodt.family.recipes.cartpole_as_listed --out runs/recipes

It trains on the trajectories of recipe `cartpole` (OUT/cartpole/data.npz), as listed and then with
two of its four mistakes mended in turn, and drives each. nanodt/recipes/cartpole.py says what the
mistakes are; it is the listing with all four mended.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from tqdm import tqdm

from nanodt.data.episodes import Collection
from nanodt.driving.play import play
from nanodt.errors import InputError
from nanodt.family.recipes.cartpole import ENV, LONGEST, RECIPE
from nanodt.family.sources import make_envs

LENGTH, WIDTH = 50, 64  # the listing's windows; its width is 128, the recipe's small preset 64


class Listed(nn.Module):
    """State, action, return and timestep summed into one token; a(t+1) is predicted at token t."""

    def __init__(self, scale: float, causal: bool) -> None:
        super().__init__()
        self.scale, self.causal = scale, causal
        self.state, self.ret = nn.Linear(4, WIDTH), nn.Linear(1, WIDTH)
        self.action, self.time = nn.Embedding(2, WIDTH), nn.Embedding(1000, WIDTH)
        layer = nn.TransformerEncoderLayer(WIDTH, 4, 4 * WIDTH, batch_first=True)
        self.blocks = nn.TransformerEncoder(layer, 3, enable_nested_tensor=False)
        self.head = nn.Linear(WIDTH, 2)

    def forward(self, obs: Tensor, action: Tensor, rtg: Tensor, time: Tensor) -> Tensor:
        """Logits [N, T, 2] of the next step's action."""
        x = self.state(obs) + self.action(action) + self.ret(rtg / self.scale) + self.time(time)
        t = x.shape[1]
        mask = nn.Transformer.generate_square_subsequent_mask(t) if self.causal else None
        return self.head(self.blocks(x, mask=mask))


def train(data: Collection, model: Listed, steps: int, seed: int) -> float:
    """Train as listed, on windows of 50 steps (shorter trajectories are dropped); the last loss."""
    data = data.take(np.flatnonzero(data.length > LENGTH))
    values = {k: torch.from_numpy(v) for k, v in data.steps.items()}
    optimizer = torch.optim.AdamW(model.parameters(), 3e-4)
    rng, losses = np.random.default_rng(seed), []
    for _ in tqdm(range(steps), desc="as listed", unit="step", leave=False):
        which = rng.choice(len(data.length), 64, p=data.length / data.length.sum())
        start = (rng.random(64) * (data.length[which] - LENGTH)).astype(np.int64)
        time = torch.from_numpy(start[:, None] + np.arange(LENGTH))
        index = torch.from_numpy(data.first[which])[:, None] + time
        action = values["action"][index][..., 0].long()
        window = (values["obs"][index], action, values["rtg"][index], time)
        logits = model(*(x[:, :-1] for x in window))
        loss = F.cross_entropy(logits.flatten(0, 1), action[:, 1:].flatten())
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        losses.append(float(loss.detach()))
    return float(np.mean(losses[-20:]))


class Driver:
    """Acts as the listing predicts: the next action from all that came before its state."""

    def __init__(self, model: Listed, rows: int) -> None:
        self.model, self.rows = model.eval(), rows

    def reset(self, seed: int | None = None) -> None:
        self.obs: list[np.ndarray] = []
        self.action = [np.zeros(self.rows, np.int64)]
        self.rtg = [np.full(self.rows, float(LONGEST), np.float32)]

    @torch.no_grad()
    def act(self, obs: np.ndarray, reward: np.ndarray | None = None) -> np.ndarray:
        if self.obs:
            last = slice(-LENGTH, None)
            t = len(self.obs)
            time = torch.arange(t)[last].expand(self.rows, -1)
            logits = self.model(
                torch.from_numpy(np.stack(self.obs[last], 1)),
                torch.from_numpy(np.stack(self.action[last], 1)),
                torch.from_numpy(np.stack(self.rtg[last], 1))[..., None],
                time,
            )
            self.action.append(logits[:, -1].argmax(1).numpy())
            self.rtg.append(self.rtg[-1] - (0 if reward is None else reward))
        self.obs.append(np.asarray(obs, np.float32))
        return self.action[-1][:, None].astype(np.float32)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("runs/recipes"))
    parser.add_argument("--steps", type=int, default=500)
    parser.add_argument("--drives", type=int, default=30)
    options = parser.parse_args()
    try:
        data = RECIPE.trajectories(RECIPE.settings(out=options.out))
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print("| variant | loss | mean return |\n|---|--:|--:|")
    variants = (
        ("as listed", 1.0, False),
        ("+ returns divided by 500", 500.0, False),
        ("+ causal mask", 500.0, True),
    )
    for name, scale, causal in variants:
        torch.manual_seed(0)
        model = Listed(scale, causal)
        loss = train(data, model, options.steps, 0)
        driver = Driver(model, options.drives)
        returns = play(driver, make_envs(ENV, options.drives), LONGEST, 10_000).returns
        print(f"| {name} | {loss:.3f} | {returns.mean():.1f} |", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
