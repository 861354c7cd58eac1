"""Hold the simulator against recordings of libfastsim, and say how far apart they are.

    python -m envs.compare apartment recordings.npz
    python -m envs.compare maze.xml recordings.npz --start recorded

The .npz holds what `envs.simulate` takes and gives: actions [N, T, 2], poses [N, T + 1, 3],
obs [N, T + 1, n_obs] (`World.sensors`) and collisions [N, T + 1]; index 0 is the state after
reset. Exit status 1 where bumpers or collisions differ anywhere, or where a pose or a laser is more
than 0.001 units (radians) off.
"""

import argparse
import sys
import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from envs.errors import ArgumentParser, InputError
from envs.geometry import wrap_angle
from envs.simulator import simulate
from envs.world import World
from envs.worldfile import load_world

TOLERANCE = 1e-3


@dataclass(frozen=True)
class Comparison:
    """How far the simulator is from recorded runs."""

    runs: int
    steps: int
    """In all runs together, resets included."""
    bumpers: int
    """Steps at which a bumper differs."""
    collisions: int
    """Steps at which the collision differs."""
    position: float
    """Largest difference of x or y, world units."""
    heading: float
    """Largest difference of the heading, radians, the short way round."""
    lasers: float
    """Largest difference of a laser's reading, world units."""
    identical: bool
    """Every number has the same bits."""

    @property
    def passed(self) -> bool:
        """Bumpers and collisions equal, the rest within the tolerance."""
        return not (self.bumpers or self.collisions) and (
            max(self.position, self.heading, self.lasers) <= TOLERANCE
        )


def compare(world: World, recording: Path | str, start: str = "world") -> Comparison:
    """Drive the recorded actions and compare every step.

    Args:
        world: where the runs were recorded.
        recording: .npz, see the module.
        start: "world" for its own start, "recorded" for the first recorded poses.

    Raises:
        InputError: the file is missing or unreadable, lacks an array, or shapes do not fit.
    """
    path = Path(recording)
    try:
        with np.load(path, allow_pickle=False) as bundle:
            arrays = {name: bundle[name] for name in bundle.files}
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None
    except (ValueError, OSError, EOFError, AttributeError, zipfile.BadZipFile):
        raise InputError(f"{path}: not a readable .npz of plain arrays") from None
    wanted = ("actions", "poses", "obs", "collisions")
    for name in wanted:
        if name not in arrays:
            raise InputError(f"{path}: no array {name!r}; expected {', '.join(wanted)}")
    actions, poses, obs, collisions = (arrays[name] for name in wanted)
    runs = simulate(world, actions, poses[:, 0] if start == "recorded" else None)
    for name, ours, theirs in (
        ("poses", runs.pose, poses), ("obs", runs.obs, obs), ("collisions", runs.collision,
        collisions),
    ):  # fmt: skip
        if ours.shape != theirs.shape:
            raise InputError(
                f"{path}: {name} have shape {list(theirs.shape)}; expected {list(ours.shape)} "
                f"for these actions and what {world.name!r} observes ({', '.join(world.obs_names)})"
            )
    gap = np.abs(runs.pose.astype(np.float64) - poses)
    turn = np.abs(wrap_angle(gap[..., 2]))
    lasers, bumpers = world.obs_columns("laser"), world.obs_columns("bumper")
    laser = np.abs(runs.obs[..., lasers].astype(np.float64) - obs[..., lasers])
    return Comparison(
        runs=len(actions),
        steps=collisions.size,
        bumpers=int((runs.obs[..., bumpers] != obs[..., bumpers]).any(axis=-1).sum()),
        collisions=int((runs.collision != collisions.astype(bool)).sum()),
        position=float(gap[..., :2].max(initial=0)),
        heading=float(turn.max(initial=0)),
        lasers=float(laser.max(initial=0)),
        identical=bool((runs.pose == poses).all() and (runs.obs == obs).all()),
    )


def main() -> None:
    """The command line."""
    parser = ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("world", help="name or file of the world")
    parser.add_argument("recording", type=Path, help=".npz of recorded runs")
    parser.add_argument("--start", choices=("world", "recorded"), default="world",
                        help="where the runs begin")  # fmt: skip
    options = parser.parse_args()
    try:
        result = compare(load_world(options.world), options.recording, options.start)
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    print(
        f"{result.runs} runs, {result.steps:,} steps: {result.bumpers} mismatches of bumpers, "
        f"{result.collisions} of collisions; largest difference: position {result.position:.3g}, "
        f"heading {result.heading:.3g}, lasers {result.lasers:.3g}"
        + ("; identical to the bit" if result.identical else "")
    )
    sys.exit(0 if result.passed else 1)


if __name__ == "__main__":
    main()
