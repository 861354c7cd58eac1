"""Publish a run: as datasets (Hugging Face, Minari, LeRobot), as a model, as a bundle of one file.

Writes a folder for each form that the run has the stages for, into published/ of the run or where
--to says, reads it again and holds it against the run, value by value. --to hub then sends them to
the Hugging Face Hub, with the token of the environment (HF_TOKEN): started again, it sends only
what lacks there. docs/publishing.md says what each holds and how it is read.

Examples:
  python scripts/10_publish.py --run runs/demo
  python scripts/10_publish.py --run runs/demo --to /tmp/demo --what hf-dataset hf-model
  python scripts/10_publish.py --run runs/demo --to hub --repo ada/apartment --license mit --dry-run
"""

from pathlib import Path

import nanodt
from archive_tools.run import main
from archive_tools.stages import s10_publish
from archive_tools.stages.s10_publish import PublishConfig as Config


def run(config: Config) -> Path:
    """Stage 10; models are opened by `nanodt.load`."""
    return s10_publish.run(config, nanodt.load)


if __name__ == "__main__":
    main(run, Config, __doc__, nanodt.InputError)
