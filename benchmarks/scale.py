"""What the stages cost by the size of the archive: seconds and peak memory of each, in a table.

    python benchmarks/scale.py --elites 1000 10000 --folder runs/scale [--stages 00 02 05]

Archives of any size are made of those of a searched run (--source): its elites, mutated a little,
each driven once and taken for what it reached, and imported. Every stage is a process of its own,
with the demo's options but for a training of one step, and fixed numbers of commands to drive.
Seconds are those of all its threads on the processor, which hold on a machine that does other
things too; the peak is its largest resident set. A stage that is done is not run again, and its
figures stay, so sizes and stages can be added. They lie in FOLDER/scale.json; docs/scale.md and
docs/images/scale.png show them (--figure).
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from io import BytesIO
from itertools import pairwise
from pathlib import Path

import bounds
import matplotlib
import numpy as np
from PIL import Image

from archive_tools.archive import load_archive
from archive_tools.files import write_json
from archive_tools.tasks import registry
from envs.errors import ArgumentParser

ROOT = Path(__file__).parent.parent
STAGES = {
    "00": ("00_search_archive.py", ["--layers", "5", "10", "10", "10", "2"]),
    "01": ("01_verify_archive.py", []),
    "02": ("02_record_trajectories.py", []),
    "03": ("03_annotate.py", []),
    "04": ("04_describe.py", ["--no-people"]),
    "05": ("05_verify_dataset.py", []),
    "06": ("06_train_tokenizer.py", []),
    "07": ("07_train.py", ["--steps", "1", "--warmup", "0", "--score-items", "0"]),
    "08": ("08_rollout.py", ["--no-people", "--items", "32", "--pairs", "4"]),
    "09": ("09_evaluate.py", ["--resamples", "200"]),
}
BLOCK = 5000
Found = Mapping[int, Mapping[str, Sequence[float]]]
"""Elites → stage → seconds and peak MB."""
BEFORE: Found = {
    681: {"00": (8, 640), "03": (2, 341), "04": (3, 320), "05": (8, 477), "07": (7, 699),
          "09": (10, 621)},
    10_786: {"00": (47, 682), "03": (18, 656), "04": (15, 495), "05": (124, 1822),
             "07": (19, 1845), "09": (16, 1048)},
    58_604: {"00": (125, 932), "03": (93, 2211), "04": (65, 1515), "05": (747, 8302),
             "07": (54, 7501), "09": (45, 3112)},
}  # fmt: skip
"""Recorded before stages worked in parts, of searched runs, on a busy machine."""


def make_elites(source: Path, count: int, path: Path) -> None:
    """An archive of `count` elites: those of a run, mutated and driven, as an .npz."""
    archive = load_archive(source)
    environment = registry.environment_of(source, archive.info)
    rng = np.random.default_rng(0)
    parents = archive.solutions[rng.integers(len(archive), size=count)]
    solutions = (parents + rng.normal(0, 0.05, parents.shape)).astype(np.float32)
    infos = [environment.record(solutions[b : b + BLOCK], 0).info for b in range(0, count, BLOCK)]
    objective, measures = (np.concatenate([i[k] for i in infos]) for k in ("objective", "bd"))
    np.savez(path, solutions=solutions, objective=objective, measures=measures)


WATCHED = """
import atexit, runpy, sys
from pathlib import Path
report, sys.argv = Path(sys.argv[1]), sys.argv[2:]
atexit.register(lambda: report.write_text(Path("/proc/self/status").read_text()))
runpy.run_path(sys.argv[0], run_name="__main__")
"""
"""A script that leaves behind how much memory it had: what the system tells its parent is at least
what that had itself."""


def measured(script: str, words: list[str], report: Path) -> tuple[float, float]:
    """Seconds on the processor and peak MB of a script."""
    process = subprocess.Popen(
        [sys.executable, "-c", WATCHED, str(report), f"scripts/{script}", *words],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )
    assert process.stderr is not None
    said = process.stderr.read().decode(errors="replace")
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        sys.exit(f"{script} {' '.join(words)} ended with status {status}:\n{said[-2000:]}")
    peak = re.search(r"VmHWM:\s+(\d+) kB", report.read_text())
    assert peak is not None
    return usage.ru_utime + usage.ru_stime, int(peak[1]) / 1024


def draw(found: Found, path: Path) -> None:
    """Seconds and peak memory by the number of elites; dashed what was recorded before."""
    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(1, 2, figsize=(9, 3.8), layout="constrained")
    for colour, stage in enumerate(STAGES):
        for figures, style, label in ((BEFORE, "--", None), (found, "o-", stage)):
            some = [n for n in sorted(figures) if stage in figures[n]]
            for axis, number in zip(axes, (0, 1), strict=True):
                values = [figures[n][stage][number] for n in some]
                axis.plot(some, values, style, ms=3, lw=1, color=f"C{colour}", label=label)
    for axis, label in zip(axes, ("seconds on the processor", "peak memory, MB"), strict=True):
        axis.set(xscale="log", yscale="log", xlabel="elites", ylabel=label)
        axis.spines[["top", "right"]].set_visible(False)
    axes[1].axhline(4096, color="#8a857e", lw=0.8, ls=":")
    axes[1].annotate("4 GB", (700, 4096), fontsize=7, color="#6b665f", va="bottom")
    axes[0].legend(ncols=2, fontsize=7, frameon=False, title="stage", title_fontsize=7)
    picture = BytesIO()
    figure.savefig(picture, dpi=100)
    few = Image.open(picture).convert("P", palette=Image.Palette.ADAPTIVE, colors=64)
    few.save(path, optimize=True)


def table(found: Found) -> Iterator[str]:
    """Markdown: of each stage seconds and peak at each size, and what an elite more takes between
    one size and the next."""
    sizes = sorted(found)
    steps = list(pairwise(sizes))
    heads = [f"{n:,}: s, MB" for n in sizes]
    heads += [f"an elite more, {a:,} to {b:,}: ms, KB" for a, b in steps]
    yield "| stage | " + " | ".join(heads) + " |"
    yield "|---|" + "--:|" * len(heads)
    for stage in STAGES:
        cells = [found[n].get(stage) for n in sizes]
        shown = ["" if c is None else f"{c[0]:,.0f}, {c[1]:,.0f}" for c in cells]
        for (a, b), first, last in zip(steps, cells, cells[1:], strict=False):
            more = None if first is None or last is None else np.subtract(last, first) / (b - a)
            shown.append("" if more is None else f"{1e3 * more[0]:.1f}, {1e3 * more[1]:.0f}")
        yield f"| {stage} | " + " | ".join(shown) + " |"


def main() -> None:
    parser = ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--source", type=Path, default=Path("runs/demo"), help="a searched run")
    parser.add_argument("--folder", type=Path, default=Path("runs/scale"), help="where runs go")
    parser.add_argument("--elites", type=bounds.count, nargs="+", default=[1000, 10_000])
    parser.add_argument("--stages", nargs="+", choices=STAGES, default=list(STAGES))
    parser.add_argument("--figure", type=Path, help="a file for the figure")
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    file, report = options.folder / "scale.json", options.folder.resolve() / "status"
    found = json.loads(file.read_text()) if file.exists() else {}
    for count in options.elites:
        archive = options.folder / f"{count}.npz"
        if not archive.exists():
            make_elites(options.source / "archive", count, archive)
        rows = found.setdefault(str(count), {})
        for stage in options.stages:
            if stage in rows:
                continue
            script, words = STAGES[stage]
            words = [*words, "--import", str(archive)] if stage == "00" else words
            run = ["--run", str((options.folder / str(count)).resolve())]
            rows[stage] = measured(script, [*run, *words], report)
            write_json(file, found)
            print(f"{count:>9,} elites  stage {stage}  {rows[stage][0]:8.1f} s  "
                  f"{rows[stage][1]:8.0f} MB", flush=True)  # fmt: skip
    measured_sizes = {int(n): rows for n, rows in found.items()}
    print("", *table(BEFORE), "", *table(measured_sizes), sep="\n")
    for count in sorted(measured_sizes):
        page = options.folder / str(count) / "evaluation" / "report" / "index.html"
        if page.exists():
            print(f"report at {count:,} elites: {page.stat().st_size / 1e6:.1f} MB")
    if options.figure is not None:
        draw(measured_sizes, options.figure)


if __name__ == "__main__":
    main()
