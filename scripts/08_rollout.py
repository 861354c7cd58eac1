"""Drive the commands of the test split in closed loop.

Reads dataset/, annotations/, trajectories/ and model/, writes rollouts/: items.parquet (the
commands: a text, a BD, the reference trajectory), instructions.parquet (what controls are given
instead) and rollouts.parquet (one row per drive: system, item, seed, the BD reached, poses,
actions). Beside the policy drive its controls (text off, BD off, both off, texts shuffled among the
items, an object or a direction exchanged in the text, a phrasing that training never saw), four
ways to look an elite up in the training split, and the reference's own actions.

Example: python scripts/08_rollout.py --run runs/demo --items 256

Example: python scripts/08_rollout.py --run runs/bins --sampling nucleus --seeds 5
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import nanodt
from archive_tools.rollouts import driving
from archive_tools.run import bounds, main
from archive_tools.stages import s08_rollout as rollouts


@dataclass
class Config(rollouts.RolloutConfig):
    """Drive the test commands with the policy, its controls and the baselines."""

    sampling: Literal["argmax", "temperature", "nucleus"] = "argmax"
    """How heads with classes choose; all but argmax draw, so use more than one of --seeds."""
    temperature: bounds.Positive = 1.0
    """With temperature and nucleus: above 0; below 1 sharpens the choice."""
    top_p: bounds.PositiveShare = 0.9
    """With nucleus: the likeliest classes that together reach this probability are kept."""


def run(config: Config) -> Path:
    """Stage 08: see `archive_tools.stages.s08_rollout.run`."""

    def load_drive(model: Path) -> driving.DrivePolicy:
        sampling = nanodt.Sampling(config.sampling, config.temperature, config.top_p)
        policy = nanodt.load(model, sampling=sampling)
        return lambda envs, text, bd, seed: nanodt.drive(policy, envs, text, bd, seed=seed)

    return rollouts.run(config, load_drive)


if __name__ == "__main__":
    main(run, Config, __doc__, nanodt.InputError)
