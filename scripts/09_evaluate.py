"""Score the drives, sum them up with 95 % intervals, and write the report.

Reads rollouts/ and what led to it, writes evaluation/: metrics.json (one record per system and
metric), items.parquet (every metric of every drive), differences.json (the policy minus each other
system, item by item), metrics.csv, and report/index.html, one page that opens from
disk, with report.md beside it.

Every drive is judged by rules that read its command; with --model a language model judges some of
them too, over any OpenAI-compatible server.

With --say, one sentence is driven instead: its events are printed and its picture is written.

With --rate, a page on this machine lets people score drives from 0 to 10, without telling which
system drove: those of --judge-items and --judge-systems, the ones a language model judges too. The
scores are kept in ratings/RATER.jsonl, and the table of agreement uses them.

Example: python scripts/09_evaluate.py --run runs/demo

Example: python scripts/09_evaluate.py --run runs/demo --say "Go to the plant." --bd 550 170

Example: python scripts/09_evaluate.py --run runs/demo --rate --rater ada
"""

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import nanodt
from archive_tools.playground import rate
from archive_tools.rollouts import driving
from archive_tools.run import bounds, main
from archive_tools.stages import s09_evaluate as evaluate
from archive_tools.stages.say import say
from envs.errors import InputError


@dataclass
class Config(evaluate.EvaluateConfig):
    """Score the drives, and write the metrics and the report."""

    say: str | None = None
    """Drive this sentence instead of evaluating."""
    bd: bounds.Place | None = None
    """With --say: where to end, in world units (x to the right, y down); without, as the text."""

    rate: bool = False
    """Let people rate drives on a local page instead of evaluating."""
    rater: str = "me"
    """With --rate: who rates; letters, digits, - and _."""
    port: bounds.Port = 0
    """With --rate: port of the page on 127.0.0.1; 0 takes a free one."""

    not_fingerprint: ClassVar[set[str]] = evaluate.EvaluateConfig.not_fingerprint | {
        "say", "bd", "rate", "rater", "port",
    }  # fmt: skip


def load_drive(model: Path) -> driving.DrivePolicy:
    """The policy of a model folder, ready to drive batches of commands."""
    policy = nanodt.load(model)
    return lambda envs, text, bd, seed: nanodt.drive(policy, envs, text, bd, seed=seed)


def run(config: Config) -> Path:
    """Stage 09, one drive, or the rating page: `evaluate.run`, `say.say`, `playground.rate`."""
    if config.say is not None:
        return say(config.run, config.say, config.bd, load_drive, seed=config.seed)
    if config.bd is not None:
        raise InputError("--bd says where --say shall end; give it a sentence with --say")
    if config.rate:
        return rate(
            config.run,
            config.rater,
            items=config.judge_items,
            systems=config.judge_systems,
            seed=config.seed,
            port=config.port,
        )
    return evaluate.run(config)


if __name__ == "__main__":
    main(run, Config, __doc__, nanodt.InputError)
