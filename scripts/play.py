"""The playground: type a sentence, click a place, watch the robot drive, in a browser.

Reads archive/, annotations/, dataset/ and model/ of a run, writes nothing but the scores of the
rating page, which is served beside the playground where the run has rollouts/ (as --rate of
stage 09 does). Prints the page's address and serves it until Ctrl-C.

Example: python scripts/play.py --run runs/demo

Example: python scripts/play.py --run runs/demo --others runs/other/model --port 0

Example: python scripts/play.py --run runs/demo --host 0.0.0.0 --no-browser
"""

import os
import sys
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import torch

import nanodt
from archive_tools.playground import Begin, play
from archive_tools.run import bounds, main


@dataclass
class Config:
    """Type a sentence, click a place, watch it drive."""

    run: Path = Path("runs/demo")
    """The run directory."""
    others: tuple[Path, ...] = ()
    """Folders of further models to compare with; those of sibling runs are found by themselves."""
    host: str = "127.0.0.1"
    """Where to listen: this machine alone, or an address by which others reach it (0.0.0.0: any).
    Then the printed address holds a token, and whoever has it may drive and rate."""
    port: bounds.Port = 8719
    """Port of the page; 0 takes a free one."""
    rater: str = "me"
    """Who rates on the rating page; letters, digits, - and _."""
    browser: bool = True
    """Open the page in the desktop's browser."""


def load_policy(model: Path) -> Begin:
    """What drives a batch of robots, from a model's folder."""
    torch.set_num_threads(1)  # so few robots only wait for a second one, and pages want it
    loaded = nanodt.load(model)
    return lambda: nanodt.Policy(loaded.network, reader=loaded.reader)


def run(config: Config) -> None:
    """Serve the page until Ctrl-C."""
    with suppress(KeyboardInterrupt):
        play(
            config.run,
            load_policy,
            others=config.others,
            rater=config.rater,
            host=config.host,
            port=config.port,
            browser=config.browser,
        )
    print()
    # Every score is on disk; taking torch down module by module may last longer than Ctrl-C may.
    sys.stdout.flush()
    os._exit(0)


if __name__ == "__main__":
    main(run, Config, __doc__, nanodt.InputError)
