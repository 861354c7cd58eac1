"""Score the drives, sum them up with 95 % intervals, and write the report.

Reads rollouts/ and what led to it, writes evaluation/: metrics.json (one record per system and
metric), items.parquet (every metric of every drive), differences.json (the policy minus each other
system, item by item), metrics.csv and metrics.tex, and report/index.html, one page that opens from
disk, with report.md beside it.

Every drive is judged by rules that read its command; with --model a language model judges some of
them too, over any OpenAI-compatible server.

With --say, one sentence is driven instead: its events are printed and its picture is written.

Example: python scripts/09_evaluate.py --run runs/demo

Example: python scripts/09_evaluate.py --run runs/demo --say "Go to the plant." --bd 550 170
"""

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import nanodt
from archive_tools import evaluate, rollouts
from archive_tools.cli import main
from archive_tools.say import say


@dataclass
class Config(evaluate.EvaluateConfig):
    """Score the drives, and write the metrics and the report."""

    say: str | None = None
    """Drive this sentence instead of evaluating."""
    bd: tuple[float, ...] | None = None
    """With --say: where to end, in world units (x to the right, y down); without, as the text."""

    not_fingerprint: ClassVar[set[str]] = evaluate.EvaluateConfig.not_fingerprint | {"say", "bd"}


def load_drive(model: Path) -> rollouts.Drive:
    """The policy of a model folder, ready to drive batches of commands."""
    policy = nanodt.load(model)
    return lambda envs, text, bd, seed: nanodt.drive(policy, envs, text, bd, seed=seed)


def run(config: Config) -> Path:
    """Stage 09, or one drive: see `archive_tools.evaluate.run` and `archive_tools.say.say`."""
    if config.say is not None:
        return say(config.run, config.say, config.bd, load_drive, seed=config.seed)
    return evaluate.run(config)


if __name__ == "__main__":
    main(run, Config, __doc__, nanodt.InputError)
