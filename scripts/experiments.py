"""Train and evaluate a run's siblings: other splits, fewer training trajectories, other seeds.

From runs/NAME it makes runs/NAME-regions and runs/NAME-routes (whole regions, or ways to some
destinations, withheld from training) and runs/NAME-10 and runs/NAME-30 (a tenth and three tenths of
the training trajectories, the smaller within the larger; the test split stays). They link to the
run's archive, trajectories, annotations and descriptions, and take over every option with which its
later stages were made. At the end the run is evaluated again, with its siblings beside it:
evaluation/splits.json, curve.json, seeds.json and experiments.json, and in the report.

A finished stage is left alone and a killed one goes on, so the same command resumes.

Example: python scripts/experiments.py --run runs/paper --preset paper

Example: python scripts/experiments.py --run runs/demo --splits regions --fractions --seeds 1 2
"""

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import tyro
from pipeline import read_options, words
from rich.console import Console

from archive_tools.experiments import Sibling, inherited, link_stages, siblings
from archive_tools.stage import SCRIPTS, read_manifest
from envs.errors import InputError


@dataclass
class Config:
    """The siblings of a run."""

    run: Path = Path("runs/demo")
    """A run that has all stages up to model/."""
    preset: Literal["demo", "paper"] = "demo"
    """Defaults of stages that the run itself does not have yet."""
    splits: tuple[str, ...] = ("regions", "routes")
    """Splits to train and test on, beside the run's own."""
    fractions: tuple[float, ...] = (0.1, 0.3)
    """Shares of the training trajectories to train on."""
    seeds: tuple[int, ...] = ()
    """Further seeds of the training."""
    options: Path | None = None
    """TOML file with a table of options for each script, as for pipeline.py: for the siblings,
    over what they take from the run."""


def command(
    run: Path, source: Path, stage: str, preset: str, changed: dict[str, Any], extra: list[str]
) -> list[str]:
    """The command line of one stage of `run`, with the options that `source` has for it."""
    script = Path(__file__).parent / Path(SCRIPTS[stage]).name
    options = {"preset": preset, **inherited(source, stage), **changed}
    return [sys.executable, str(script), "--run", str(run), *words(options, stage), "--redo",
            *extra]  # fmt: skip


def run_stages(
    folder: Path, sibling: Sibling, config: Config, extra: dict[str, list[str]], console: Console
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
    extra = read_options(config.options)
    chosen = siblings(config.splits, config.fractions, config.seeds)
    read_manifest(config.run / "model")
    for sibling in chosen:
        run_stages(link_stages(config.run, sibling), sibling, config, extra, console)
    for stage in ("rollouts", "evaluation"):
        line = command(config.run, config.run, stage, config.preset, {}, [])
        call(line, f"{config.run}: {stage}", console)
    return config.run


def main() -> None:
    """The command line."""
    try:
        run(tyro.cli(Config, description=__doc__))
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        print("\ninterrupted; the same command goes on from here", file=sys.stderr)
        sys.exit(130)


if __name__ == "__main__":
    main()
