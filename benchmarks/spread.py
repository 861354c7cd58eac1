"""Drives of a MuJoCo environment on one worker of Ray and on two, beside plain processes.

    python benchmarks/spread.py [--drives 128] [--steps 200] [--rounds 3]

Extras [gym] and [ray]. The same policies drive HalfCheetah in this process, in two processes of
which each drives half of them (the best that two can do here), and by `archive_tools.run.executor`
on a cluster of one worker and on one of two nodes with one worker each, on this machine. They run
in turn, round by round, and what counts is the median of the ratios within a round: what else the
machine does then slows both alike. Its load is told.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import time
from collections.abc import Callable
from typing import Any

import bounds
import numpy as np

from archive_tools.archive.replay import drive
from archive_tools.run import executor
from archive_tools.tasks import Environment, registry
from envs.errors import ArgumentParser


def make(steps: int) -> Environment:
    """The environment."""
    options: dict[str, Any] = {"bd_obs": [0, 1], "bd_low": [-10, -10], "bd_high": [10, 10]}
    return registry.make_environment("HalfCheetah-v5", {}, steps=steps, **options)


def half(pipe: Any, steps: int, solutions: np.ndarray) -> None:
    """Drive whenever the other side of a pipe says so."""
    environment = make(steps)
    while pipe.recv():
        pipe.send(drive(executor.Executor(), environment, solutions, 0))


def main() -> None:
    parser = ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--drives", type=bounds.count, default=128)
    parser.add_argument("--steps", type=bounds.count, default=200)
    parser.add_argument("--rounds", type=bounds.count, default=3)
    options = parser.parse_args()
    # Ray's workers would give way to whatever else runs, and plain processes do not.
    os.environ.setdefault("RAY_worker_niceness", "0")
    from ray.cluster_utils import Cluster  # an extra

    environment = make(options.steps)
    rng = np.random.default_rng(0)
    shape = (options.drives, environment.controller.n_params)
    solutions = rng.normal(size=shape).astype(np.float32)
    context = multiprocessing.get_context("spawn")
    pipes, processes = [], []
    for part in np.array_split(solutions, 2):
        ours, theirs = context.Pipe()
        pipes.append(ours)
        processes.append(context.Process(target=half, args=(theirs, options.steps, part)))
        processes[-1].start()

    def in_two() -> Any:
        for pipe in pipes:
            pipe.send(True)
        found = [pipe.recv() for pipe in pipes]
        return tuple(np.concatenate(parts) for parts in zip(*found, strict=True))

    def in_one() -> Any:
        return drive(executor.Executor(), environment, solutions, 0)

    took: dict[str, list[float]] = {}
    answers = []

    def timed(name: str, work: Callable[[], Any]) -> None:
        begin = time.perf_counter()
        answers.append(work())
        seconds = time.perf_counter() - begin
        took.setdefault(name, []).append(seconds)
        print(f"{name:<22}{seconds:8.2f} s   load {os.getloadavg()[0]:.1f}", flush=True)

    in_two()  # copies of the environment are made once
    in_one()
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
    for workers in (1, 2):
        if workers == 2:
            cluster.add_node(num_cpus=1)
        with executor.open_executor(str(cluster.address)) as spread:
            drive(spread, environment, solutions, 0)
            for _ in range(options.rounds):
                timed("one process", in_one)
                timed("two processes", in_two)
                timed(f"Ray, {workers} workers", lambda: drive(spread, environment, solutions, 0))
    cluster.shutdown()
    for pipe in pipes:
        pipe.send(False)
    assert all(
        np.array_equal(a, b) for one in answers for a, b in zip(one, answers[0], strict=True)
    )
    one, two, alone, both = (np.array(times) for times in took.values())
    rounds = len(alone)
    # The plain processes ran beside both clusters: the first half beside one worker.
    speedup = float(np.median(one / two))
    kept = [float(np.median(a / b)) for a, b in ((one[:rounds], alone), (two[rounds:], both))]
    print("\n| | |\n|---|--:|")
    for name, times in took.items():
        print(f"| {name}, median | {np.median(times):.2f} s |")
    print(f"| two processes against one | {speedup:.2f} × |")
    print(f"| one worker of Ray, of the pace of one process | {kept[0]:.0%} |")
    print(f"| two nodes of Ray, of the pace of two processes | {kept[1]:.0%} |")
    print(f"| two nodes of Ray against one worker | {speedup * kept[1] / kept[0]:.2f} × |")
    print(f"| the same as a share of two processes against one | {kept[1] / kept[0]:.0%} |")


if __name__ == "__main__":
    main()
