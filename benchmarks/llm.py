"""Asking a language model: how near to the ideal time, and whether a killed stage pays twice.

    python benchmarks/llm.py [--items 2000] [--delay 0.2] [--concurrency 32] [--repeats 3]

Stage 04 describes `items` trajectories (straight random drives) by a stand-in for a server, which
runs in another process of this machine and answers after `delay` seconds.

1. Throughput: the whole stage (prompts, requests, ledger, checks, table) against the ideal time,
   items / concurrency × delay. On a shared machine the best of the repeats counts; all are shown.
2. Kill: with a server that drops connections, answers 429, 500 and 503, and returns empty, cut-off,
   untrue and wordy replies, the stage gets SIGKILL when it has half of its replies, and is run
   again. The server counts the replies that it gave to each request; bytes are compared with those
   of a run that nobody disturbed. The exit status is 1 if anything was paid twice or differs.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import bounds

from envs.errors import ArgumentParser

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT / "tests"))

from llm_server import Server, serving  # noqa: E402
from text_factory import annotated_run  # noqa: E402

from archive_tools.files import read_json  # noqa: E402
from archive_tools.llm import Ledger  # noqa: E402

TABLE = "descriptions/descriptions.parquet"


def stage(run: Path, server: Server, concurrency: int) -> subprocess.Popen[bytes]:
    """Start stage 04 of `run` in a process of its own."""
    command = [
        *(sys.executable, "scripts/04_describe.py", "--run", str(run), "--model", "m"),
        *("--base-url", server.base_url, "--concurrency", str(concurrency)),
    ]
    return subprocess.Popen(command, cwd=ROOT, stderr=subprocess.DEVNULL)


def finish(process: subprocess.Popen[bytes]) -> None:
    """Wait for a stage; it must end well."""
    if process.wait() != 0:
        sys.exit(f"stage 04 ended with status {process.returncode}")


def throughput(folder: Path, items: int, delay: float, concurrency: int, repeats: int) -> None:
    """Print seconds and their ratio to the ideal for each repeat."""
    ideal = items / concurrency * delay
    print(
        f"{items:,} items, replies after {delay:g} s, {concurrency} at once: ideal {ideal:.1f} s\n"
    )
    print("| repeat | stage 04 | whole process | stage / ideal |")
    print("|--:|--:|--:|--:|")
    ratios = []
    for repeat in range(repeats):
        run = folder / f"speed-{repeat}"
        annotated_run(run, items)
        with serving(delay=delay) as server:
            began = time.perf_counter()
            finish(stage(run, server, concurrency))
            whole = time.perf_counter() - began
        # The manifest's wall time leaves out what Python needs to start and to import packages.
        seconds = read_json(run / "descriptions" / "manifest.json")["wall_time_s"]
        ratios.append(seconds / ideal)
        print(f"| {repeat + 1} | {seconds:.1f} s | {whole:.1f} s | {ratios[-1]:.2f} |", flush=True)
    print(f"\nbest: {min(ratios):.2f} × the ideal time")


def kill(folder: Path, items: int, concurrency: int) -> bool:
    """Kill a stage in the middle, run it again, compare; whether all is as it should be."""
    killed, whole = folder / "killed", folder / "whole"
    annotated_run(killed, items)
    annotated_run(whole, items)
    with serving(delay=0.01, faults=True) as server:
        process = stage(killed, server, concurrency)
        while server.answered().total() < items // 2 and process.poll() is None:
            time.sleep(0.05)
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        time.sleep(1.0)  # the server still finishes what had reached it
        given = server.answered()
        with Ledger(killed / "ledger.sqlite") as ledger:
            stored = len(ledger)
        finish(stage(killed, server, concurrency))
        after = server.answered()
    with serving(faults=True) as server:
        finish(stage(whole, server, concurrency))
        undisturbed = server.answered()
    lost = given.total() - stored
    twice = (after - undisturbed).total()
    equal = (killed / TABLE).read_bytes() == (whole / TABLE).read_bytes()
    print(f"\nkill -9 after {given.total():,} replies, {stored:,} of them stored:")
    print(f"- {lost} replies were on their way and are lost (at most {concurrency})")
    print(f"- replies paid in all: {after.total():,}, undisturbed: {undisturbed.total():,}")
    print(f"- stored replies that were asked for again: {twice - lost}")
    print(f"- {TABLE} equals that of an undisturbed run: {'yes' if equal else 'NO'}")
    return equal and twice == lost <= concurrency and not undisturbed - after


def main() -> None:
    assert __doc__ is not None
    parser = ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--items", type=bounds.count, default=2000)
    parser.add_argument("--delay", type=bounds.seconds, default=0.2)
    parser.add_argument("--concurrency", type=bounds.count, default=32)
    parser.add_argument("--repeats", type=bounds.count, default=3)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        throughput(folder, options.items, options.delay, options.concurrency, options.repeats)
        sys.exit(0 if kill(folder, options.items, options.concurrency) else 1)


if __name__ == "__main__":
    main()
