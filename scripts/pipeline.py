"""Run the whole way, scripts 00 to 09, over one run directory, and sum it up.

Every stage is its own process and can be run alone. A finished stage whose inputs and options are
unchanged is left alone; one whose inputs or options changed is done again, and so is what follows.
What an interrupted stage with other options left is kept, and the pipeline stops there.
Where stage 02 imports recorded drives, stages 00 and 01 are left out.
A TOML file given with --options sets options by script, named as on the command line:

    [00_search_archive]
    evaluations = 20000
    [07_train]
    block-size = 350

Example: python scripts/pipeline.py --run runs/demo --preset demo
"""

import importlib
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table

from archive_tools.evaluation import METRICS, Metric
from archive_tools.files import read_json
from archive_tools.report import of_set, set_title
from archive_tools.rollouts import system_of
from archive_tools.run import SCRIPTS, Preset, bounds, main, read_manifest
from envs.errors import InputError
from envs.worldfile import read_toml


@dataclass
class Config:
    """The whole pipeline over one run directory."""

    run: Path = Path("runs/demo")
    """The run directory."""
    preset: Preset = "demo"
    """Size of the run: demo takes minutes on a laptop, paper is the full size."""
    seed: bounds.Whole = 0
    """Seed of every stage."""
    options: Path | None = None
    """TOML file with a table of options for each script that should differ from the preset."""


def words(options: dict[str, Any], where: str) -> list[str]:
    """Options of a TOML table as command-line words."""
    found: list[str] = []
    for name, value in options.items():
        flag = name.replace("_", "-")
        if isinstance(value, bool):
            found.append(f"--{flag}" if value else f"--no-{flag}")
        elif isinstance(value, (list, tuple)):
            found += [f"--{flag}", *map(str, value)]
        elif value is None or isinstance(value, (str, int, float)):
            found += [f"--{flag}", str(value)]
        else:
            raise InputError(f"{where}.{name}: found {value!r}, expected a number, text or list")
    return found


def check_words(stem: str, given: list[str]) -> None:
    """Hold a script's options against its bounds now, and not when its turn comes.

    Raises:
        SystemExit: they are wrong; the script's own message was printed.
    """
    script: Any = importlib.import_module(stem)
    parse = getattr(script, "parse", None)
    extra = {"parse": lambda kind, doc: parse(kind, sys.argv[1:], doc)} if parse else {}
    errors = [script.nanodt.InputError] if hasattr(script, "nanodt") else []
    before, sys.argv = sys.argv, [f"{stem}.py", *given]
    try:
        main(script.Config.check, script.Config, script.__doc__, *errors, **extra)
    finally:
        sys.argv = before


def read_options(path: Path | None, common: list[str]) -> dict[str, list[str]]:
    """The options file as command-line words by script name; `common` are those of all scripts.

    Raises:
        InputError: not there, not TOML, or a table that names no script.
        SystemExit: an option of a script is wrong; a line says so.
    """
    if path is None:
        return {}
    tables = read_toml(path)
    known = {Path(script).stem for script in SCRIPTS.values()}
    for name, table in tables.items():
        if name not in known or not isinstance(table, dict):
            raise InputError(
                f"{path}: [{name}] is not a table of a script's options; expected one of "
                f"{', '.join(sorted(known))}"
            )
    found = {name: words(table, f"{path}: {name}") for name, table in tables.items()}
    for name, given in found.items():
        check_words(name, [*common, *given])
    return found


def folder_bytes(folder: Path) -> int:
    """Bytes of all files below a folder."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def interval(record: dict[str, Any] | None, metric: Metric) -> str:
    """A figure with its interval, in few characters."""
    if record is None:
        return "–"
    factor, decimals = (100, 0) if metric.percent else (1, metric.decimals)
    mean, low, high = (f"{factor * record[k]:.{decimals}f}" for k in ("mean", "ci_low", "ci_high"))
    return f"{mean} ({low}–{high})"


def summary(run: Path, seconds: dict[str, float], console: Console) -> None:
    """Print time, size and rows per stage, the headline metrics, and where the report is."""
    table = Table(title=f"{run}: done in {sum(seconds.values()) / 60:.1f} minutes", box=SIMPLE)
    table.add_column("stage")
    for heading in ("this time", "its work", "size"):
        table.add_column(heading, justify="right")
    table.add_column("rows")
    for name in SCRIPTS:
        if name not in seconds:
            continue
        manifest = read_manifest(run / name)
        rows = ", ".join(f"{value:,} {key}" for key, value in manifest["rows"].items())
        size = folder_bytes(run / name) / 1e6
        work = f"{manifest['wall_time_s']:.1f} s"
        table.add_row(name, f"{seconds[name]:.1f} s", work, f"{size:.1f} MB", rows)
    console.print(table)

    records = read_json(run / "evaluation" / "metrics.json")
    headlines = [metric for metric in METRICS.values() if metric.headline]
    for name in dict.fromkeys(record["set"] for record in records):
        part = of_set(records, name)
        by_key = {(record["system"], record["metric"]): record for record in part}
        title = f"{set_title(name)}: mean or median, and 95 % interval (shares in %)"
        metrics = Table(title=title, box=None, padding=(0, 1, 0, 0))
        metrics.add_column("system", no_wrap=True)
        for metric in headlines:
            heading = f"{metric.short}, {metric.unit}" if metric.unit else metric.short
            metrics.add_column(heading, justify="right", no_wrap=True)
        for system in dict.fromkeys(record["system"] for record in part):
            cells = (interval(by_key.get((system, metric.name)), metric) for metric in headlines)
            metrics.add_row(system_of(system).label, *cells)
        console.print(metrics)
    console.print(f"Report: {(run / 'evaluation' / 'report' / 'index.html').resolve()}")


def run(config: Config) -> Path:
    """Run all stages; returns the run directory.

    Raises:
        InputError: the options file is wrong.
        SystemExit: a stage failed; its own message was printed.
    """
    console = Console(stderr=True)
    here = Path(__file__).parent
    common = ["--run", str(config.run), "--preset", config.preset, "--seed", str(config.seed)]
    extra = read_options(config.options, common)
    seconds: dict[str, float] = {}
    imports = "--import" in extra.get("02_record_trajectories", ())
    for number, (name, script) in enumerate(SCRIPTS.items()):
        stem = Path(script).stem
        if imports and name in ("archive", "verification"):
            continue  # the drives come from elsewhere, and no policies stand behind them
        console.rule(f"[bold]{number:02d} {stem[3:].replace('_', ' ')}")
        begin = time.perf_counter()
        command = [sys.executable, str(here / f"{stem}.py"), *common, "--redo-changed"]
        status = subprocess.run([*command, *extra.get(stem, [])]).returncode
        if status != 0:
            console.print(f"stopped: scripts/{stem}.py ended with status {status}")
            sys.exit(status)
        seconds[name] = time.perf_counter() - begin
    summary(config.run, seconds, console)
    return config.run


if __name__ == "__main__":
    main(run, Config, __doc__)
