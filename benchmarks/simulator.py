"""Speed of the simulator, side by side with a plain-Python oracle in the same run.

A step is everything a recorded drive needs: the controller (5-10-10-10-2, tanh), the wheels, the
collision, the lasers, and writing observation, action, pose and collision. Prints three tables:

1. steps per second for 3 and 32 lasers, on one core and on all, for several numbers of policies,
   beside the oracle of tests/fastsim_oracle.py and LanguageGroundedQD's environment, and the time
   of a step in the largest batch over that in the smallest: as many drives in one batch and in
   many, in turn, the median of three;
2. the share of time of each part (the rest: wheels, walls and recording), on one core;
3. steps per second of gymnasium.make_vec's environment, actions given from outside.

    python benchmarks/simulator.py
    python benchmarks/simulator.py --policies 100 10000 --repeats 9

Steps per second are given twice: by the CPU time of all threads (times the cores), which holds on a
busy machine, and by the clock on the wall, which on a busy machine does not. Ratios go by CPU time.
Figures are the best of --repeats (fewer where four seconds do not hold them). Takes about two
minutes.
"""

import argparse
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import bounds
import gymnasium
import numba
import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

import fastsim_oracle as oracle  # noqa: E402

import envs  # noqa: E402
from archive_tools.tasks import ControllerSpec, rollout_controllers  # noqa: E402
from envs.errors import ArgumentParser  # noqa: E402

PEER = 7_500  # steps/s of LanguageGroundedQD's environment, one process: 50 drives in 2.65 s CPU


def seconds(
    work: Callable[[], object],
    repeats: int,
    budget: float = 4.0,
    clock: Callable[[], float] = time.perf_counter,
) -> float:
    """The best time of `work` in seconds, of so many repeats or as many as the budget holds.

    With two repeats or more, what the first one spends on compiling does not count.
    """
    best = float("inf")
    begin = time.perf_counter()
    for done in range(1, repeats + 1):
        start = clock()
        work()
        spent = clock() - start
        best = min(best, spent)
        if done > 1 and time.perf_counter() - begin + spent > budget:
            break
    return best


def on_cores(cores: int, work: Callable[[], object], repeats: int) -> tuple[float, float]:
    """The best times with so many threads: CPU time of all over their number, and wall time."""
    before = numba.get_num_threads()
    numba.set_num_threads(cores)
    try:
        walls: list[float] = []

        def timed() -> None:
            start = time.perf_counter()
            work()
            walls.append(time.perf_counter() - start)

        cpu = seconds(timed, repeats, clock=time.process_time)
        return cpu / cores, min(walls)
    finally:
        numba.set_num_threads(before)


def with_lasers(world: envs.World, count: int) -> envs.World:
    """The world with `count` lasers of range 100 spread over 270 degrees; 3 are its own."""
    if count == len(world.laser_angles):
        return world
    angles = np.linspace(np.radians(135), np.radians(-135), count)
    return replace(world, laser_angles=angles, laser_ranges=np.full(count, 100.0))


def controllers(world: envs.World, count: int) -> tuple[ControllerSpec, np.ndarray]:
    """Random controllers that fit the world, 100 of them over and over."""
    spec = ControllerSpec(layers=(world.n_obs, 10, 10, 10, 2))
    rng = np.random.default_rng(0)
    some = rng.standard_normal((100, spec.n_params)).astype(np.float32)
    return spec, np.ascontiguousarray(some[np.arange(count) % 100])


def oracle_rate(world: envs.World) -> float:
    """Steps per second of the oracle, actions given."""
    spec, solutions = controllers(world, 4)
    actions = rollout_controllers(world, spec, solutions, steps=100).action.astype(float)

    def work() -> None:
        robot = world.robot
        for n in range(len(actions)):
            state = oracle.reset(world, robot.x, robot.y, robot.theta)
            for t in range(actions.shape[1]):
                state = oracle.step(world, state, *actions[n, t])

    return actions.shape[0] * actions.shape[1] / seconds(work, 2, clock=time.process_time)


def throughput(world: envs.World, policies: list[int], lasers: list[int], repeats: int) -> None:
    """Print the first table."""
    cores = numba.get_num_threads()
    print(
        f"{'lasers':>6} {'policies':>9} {'cores':>6} {'steps/s, CPU':>13} {'wall':>12} "
        f"{'x oracle':>9} {'x peer':>7}"
    )
    for count in lasers:
        room = with_lasers(world, count)
        slow = oracle_rate(room)
        print(f"{count:>6} {'oracle':>9} {1:>6} {slow:>13,.0f} {'':>12} {1:>9} {slow / PEER:>7.2f}")
        for number in policies:
            spec, solutions = controllers(room, number)
            for threads in sorted({1, cores}):

                def work(room=room, spec=spec, solutions=solutions) -> object:
                    return rollout_controllers(room, spec, solutions)

                rate, wall = (number * room.steps / t for t in on_cores(threads, work, repeats))
                print(
                    f"{count:>6} {number:>9,} {threads:>6} {rate:>13,.0f} {wall:>12,.0f} "
                    f"{rate / slow:>9,.0f} {rate / PEER:>7,.0f}"
                )
        few, many = min(policies), max(policies)
        print(
            f"{count:>6} a step at {many:,} policies takes {batch_ratio(room, few, many):.2f} x as "
            f"long as at {few:,} (one core)"
        )


def batch_ratio(world: envs.World, few: int, many: int, steps: int = 100) -> float:
    """CPU time of one batch of `many` drives over that of the same drives in batches of `few`."""
    spec, solutions = controllers(world, many)
    begins = range(0, many - few + 1, few)

    def one() -> None:
        rollout_controllers(world, spec, solutions[: begins[-1] + few], steps=steps)

    def several() -> None:
        for begin in begins:
            rollout_controllers(world, spec, solutions[begin : begin + few], steps=steps)

    ratios = [on_cores(1, one, 1)[0] / on_cores(1, several, 1)[0] for _ in range(3)]
    return float(np.median(ratios))


def parts(world: envs.World, lasers: list[int], repeats: int, number: int = 2000) -> None:
    """Print the second table: what each part adds, found by leaving it out."""
    columns = ("controller", "lasers", "the rest")
    print(f"{'lasers':>6} {'ns/step':>8} " + " ".join(f"{name:>14}" for name in columns))
    for count in lasers:
        room = with_lasers(world, count)
        blind = with_lasers(world, 0)
        spec, solutions = controllers(room, number)
        actions = rollout_controllers(room, spec, solutions).action
        works = {
            "all": lambda: rollout_controllers(room, spec, solutions),  # noqa: B023
            "open loop": lambda: envs.simulate(room, actions),  # noqa: B023
            "blind": lambda: envs.simulate(blind, actions),  # noqa: B023
        }
        spent = {name: on_cores(1, work, repeats)[0] for name, work in works.items()}
        controller = spent["all"] - spent["open loop"]
        seeing = spent["open loop"] - spent["blind"]
        shares = (value / spent["all"] for value in (controller, seeing, spent["blind"]))
        print(
            f"{count:>6} {spent['all'] / (number * room.steps) * 1e9:>8.0f} "
            + " ".join(f"{max(share, 0):>14.0%}" for share in shares)
        )


def stepwise(world: envs.World, repeats: int) -> None:
    """Print the third table."""
    print(f"{'robots':>6} {'steps/s':>12}")
    for count in (1, 64, 256, 4096):
        env = gymnasium.make_vec(
            "wayword/Navigation-v0",
            num_envs=count,
            vectorization_mode="vector_entry_point",
            world=world,
        )
        actions = np.random.default_rng(0).uniform(-4, 4, (100, count, 2)).astype(np.float32)

        def work(env=env, actions=actions) -> None:
            env.reset()
            for action in actions:
                env.step(action)

        print(f"{count:>6} {count * len(actions) / seconds(work, repeats):>12,.0f}")


def main() -> None:
    parser = ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--world", default="apartment", help="name or file of the world")
    parser.add_argument(
        "--policies", type=bounds.count, nargs="+", default=[100, 1000, 10_000], help="batch sizes"
    )
    parser.add_argument(
        "--lasers", type=bounds.count, nargs="+", default=[3, 32], help="numbers of lasers"
    )
    parser.add_argument(
        "--repeats", type=bounds.count, default=5, help="timings, of which the best counts"
    )
    options = parser.parse_args()
    try:
        world = envs.load_world(options.world)
    except envs.InputError as error:
        parser.error(str(error))
    print(f"world {world.name}, {world.steps} steps a drive, {numba.get_num_threads()} cores\n")
    throughput(world, options.policies, options.lasers, options.repeats)
    print("\nshare of time on one core")
    parts(world, options.lasers, options.repeats)
    print("\nstep by step through gymnasium.make_vec")
    stepwise(world, options.repeats)


if __name__ == "__main__":
    main()
