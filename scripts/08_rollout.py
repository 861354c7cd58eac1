"""Drive the commands of the test split in closed loop.

Reads dataset/, annotations/, trajectories/ and model/, writes rollouts/: items.parquet (the
commands: a text, a BD, the reference trajectory) and rollouts.parquet (one row per drive: system,
item, seed, the BD reached, poses, actions). Beside the policy drive its controls (text off, BD off,
both off, texts shuffled among the items), four ways to look an elite up in the training split, and
the reference's own actions.

Example: python scripts/08_rollout.py --run runs/demo --items 256
"""

from pathlib import Path

import nanodt
from archive_tools import rollouts
from archive_tools.cli import main
from archive_tools.rollouts import RolloutConfig as Config


def load_drive(model: Path) -> rollouts.Drive:
    """The policy of a model folder, ready to drive batches of commands."""
    policy = nanodt.load(model)
    return lambda envs, text, bd, seed: nanodt.drive(policy, envs, text, bd, seed=seed)


def run(config: Config) -> Path:
    """Stage 08: see `archive_tools.rollouts.run`."""
    return rollouts.run(config, load_drive)


if __name__ == "__main__":
    main(run, Config, __doc__, nanodt.InputError)
