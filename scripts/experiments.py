"""Train and evaluate a run's siblings: other splits, fewer trajectories, other seeds and variants.

From runs/NAME it makes runs/NAME-regions and runs/NAME-routes (whole regions, or ways to some
destinations, withheld from training) and runs/NAME-10 and runs/NAME-30 (a tenth and three tenths of
the training trajectories, the smaller within the larger; the test split stays); and runs/NAME-plain
and runs/NAME-published, trained on the same data for as long as the run was, in the plain layout
(--block-size 350, squared error) and in the one that LanguageGroundedQD published (4 x 4 clusters,
whole drives as context). They link to the run's archive, trajectories, annotations and
descriptions, and take over every option with which its later stages were made. At the end the run
is evaluated again, with its siblings beside it: evaluation/splits.json, curve.json, seeds.json,
variants.json and experiments.json, and in the report.

A finished stage is left alone and a killed one goes on, so the same command resumes.

Example: python scripts/experiments.py --run runs/paper --preset paper

Example: python scripts/experiments.py --run runs/demo --splits regions --fractions --seeds 1 2
"""

import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from pipeline import read_options, words
from rich.console import Console

import nanodt
from archive_tools.files import read_json, write_json
from archive_tools.run import SCRIPTS, Preset, bounds, main, read_manifest, siblings
from nanodt.data.folder import load_dataset
from nanodt.data.windows import Windows
from nanodt.training.build import build
from nanodt.training.options import LAYOUTS, TrainConfig, TrainOptions
from nanodt.training.trainer import Trainer, pick_device


@dataclass
class Config:
    """The siblings of a run."""

    run: Path = Path("runs/demo")
    """A run that has all stages up to model/."""
    preset: Preset = "demo"
    """Defaults of stages that the run itself does not have yet."""
    splits: tuple[str, ...] = ("regions", "routes")
    """Splits to train and test on, beside the run's own."""
    fractions: bounds.Shares = (0.1, 0.3)
    """Shares of the training trajectories to train on."""
    seeds: bounds.Wholes = ()
    """Further seeds of the training."""
    variants: tuple[Literal["plain", "published"], ...] = ("plain", "published")
    """Other layouts, trained for as long as the run's own model was."""
    options: Path | None = None
    """TOML file with a table of options for each script, as for pipeline.py: for the siblings,
    over what they take from the run."""


PLAIN: dict[str, Any] = {"layout": "plain", **LAYOUTS["plain"]}
PUBLISHED: dict[str, Any] = {
    **PLAIN,
    "head": "clusters",
    "clusters": 4,
    "joint": False,
    "block_size": 1360,  # a text of up to 160 tokens and 400 steps
    "batch_size": 16,
    "micro_batch": 4,
    "checkpoint_every": 25,  # its steps take seconds
}
BUDGET = "budget.json"  # in a sibling's folder: the steps that its time allows


def variants_of(config: Config) -> dict[str, dict[str, Any]]:
    """Training options of the wanted layouts: nanodt's defaults but for what makes the layout.

    The number of steps is what the run's own training time allows on this machine. It is measured
    once, and kept beside the sibling, so that the same command goes on where it was.
    """
    plain = asdict(TrainOptions())
    for name in ("device", "tracker", "log_every"):
        del plain[name]
    run = siblings.inherited(config.run, "model")
    plain["score_items"] = run.get("score_items", plain["score_items"])
    model, seconds = read_manifest(config.run / "model"), siblings.training_seconds(config.run)
    found = {}
    for name in config.variants:
        options = {**plain, **{"plain": PLAIN, "published": PUBLISHED}[name]}
        kept = config.run.with_name(f"{config.run.name}-{name}") / BUDGET
        budget = read_json(kept, dict) if kept.exists() else {}
        if budget.get("model") != model["fingerprint"]:
            steps = max(1, round(seconds / seconds_per_step(config.run, options)))
            budget = {"model": model["fingerprint"], "seconds": seconds, "steps": steps}
            kept.parent.mkdir(parents=True, exist_ok=True)
            write_json(kept, budget)
        steps = budget["steps"]
        found[name] = {**options, "steps": steps, "score_every": max(1, steps // 4)}
    return found


def seconds_per_step(run: Path, options: dict[str, Any], least: float = 10.0) -> float:
    """Time of an optimiser step with these options on this machine, over `least` seconds."""
    folder = run / "dataset"
    config = TrainConfig(data=folder, tokenizer=run / "tokenizer", out=run, **options)
    dataset = load_dataset(folder, config.augmentation_share)
    config, network, _ = build(config, dataset, pick_device(config.device))
    trainer = Trainer(network, Windows(dataset.split("train"), network), config)
    network.train()
    trainer.step(0)  # the first one also takes memory
    began, steps = time.perf_counter(), 0
    while steps < 3 or time.perf_counter() - began < least:
        trainer.step(steps)
        steps += 1
    return (time.perf_counter() - began) / steps


def command(
    run: Path, source: Path, stage: str, preset: str, changed: dict[str, Any], extra: list[str]
) -> list[str]:
    """The command line of one stage of `run`, with the options that `source` has for it."""
    script = Path(__file__).parent / Path(SCRIPTS[stage]).name
    options = {"preset": preset, **siblings.inherited(source, stage), **changed}
    return [sys.executable, str(script), "--run", str(run), *words(options, stage),
            "--redo-changed", *extra]  # fmt: skip


def run_stages(
    folder: Path,
    sibling: siblings.Sibling,
    config: Config,
    extra: dict[str, list[str]],
    console: Console,
) -> None:
    """Do what the sibling does not share with the run.

    Raises:
        SystemExit: a stage failed; its own message was printed.
    """
    own = list(SCRIPTS)[list(SCRIPTS).index(sibling.first) :]
    for stage in own:
        stem = Path(SCRIPTS[stage]).stem
        changed = sibling.options if stem == sibling.script else {}
        call(
            command(folder, config.run, stage, config.preset, changed, extra.get(stem, [])),
            f"{folder}: {stem[3:].replace('_', ' ')}",
            console,
        )


def call(line: list[str], title: str, console: Console) -> None:
    """Run one command; ends this process with its status if that is not 0."""
    console.rule(f"[bold]{title}")
    status = subprocess.run(line).returncode
    if status != 0:
        console.print(f"stopped: {Path(line[1]).name} ended with status {status}")
        sys.exit(status)


def run(config: Config) -> Path:
    """Make all siblings, then evaluate the run beside them; returns the run directory.

    Raises:
        InputError: the run has no model yet, or an option is wrong.
        SystemExit: a stage failed.
    """
    console = Console(stderr=True)
    extra = read_options(config.options, ["--run", str(config.run), "--preset", config.preset])
    read_manifest(config.run / "model")
    chosen = siblings.siblings(config.splits, config.fractions, config.seeds)
    chosen += siblings.siblings(variants=variants_of(config))
    for sibling in chosen:
        run_stages(siblings.link_stages(config.run, sibling), sibling, config, extra, console)
    for stage in ("rollouts", "evaluation"):
        line = command(config.run, config.run, stage, config.preset, {}, [])
        call(line, f"{config.run}: {stage}", console)
    return config.run


if __name__ == "__main__":
    main(run, Config, __doc__, nanodt.InputError)
