"""One sentence, one drive: what the policy makes of a command that somebody types."""

import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from archive_tools.annotate import annotate
from archive_tools.gallery import events
from archive_tools.rollouts import Drive as DrivePolicy
from archive_tools.rollouts import make_envs
from archive_tools.stage import check_folder
from archive_tools.tables import atomic_write, read_json
from envs import load_world
from envs.drawing import Drive, draw_scene
from envs.errors import InputError
from envs.svg import svg_to_png


def say(
    run: Path,
    text: str,
    bd: Sequence[float] | None,
    load_drive: Callable[[Path], DrivePolicy],
    *,
    seed: int = 0,
) -> Path:
    """Drive one command, print its events, and write `said.svg` and `said.png` into the run.

    Args:
        run: a run with model/, dataset/ and archive/.
        text: the command; `<DESCRIPTOR>` in it stands for the place.
        bd: [n_bd] where to end, in the environment's units; None leaves it to the text.
        load_drive: given the model's folder, loads the policy.

    Returns:
        The path of the picture, said.png.

    Raises:
        InputError: a stage is missing, or `bd` has the wrong number of values.
    """
    for name in ("archive", "dataset", "model"):
        check_folder(run / name)
    info = read_json(run / "dataset" / "dataset.json")
    if bd is not None and len(bd) != info["n_bd"]:
        raise InputError(f"--bd: found {len(bd)} values, expected {info['n_bd']}")
    world = load_world(run / "archive" / "world")
    envs = make_envs(info["environment"], 1)
    try:
        place = None if bd is None else np.asarray([bd], np.float32)
        drives = load_drive(run / "model")(envs, [text], place, seed)
    finally:
        envs.close()
    if "pose" not in drives.info:
        raise InputError(f"{info['environment']['id']}: reports no pose, so there is no picture")
    pose = np.asarray(drives.info["pose"][0], np.float32)
    target = None if bd is None else (float(bd[0]), float(bd[1]))
    picture = draw_scene(world, [Drive(pose, None, "time", "solid", target)], caption=text)
    atomic_write(run / "said.svg", picture)
    svg_to_png(picture, run / "said.png")

    console = Console(file=sys.stdout)
    if world.scene is not None:
        table = Table(title=text, title_justify="left")
        table.add_column("step", justify="right")
        table.add_column("tile")
        table.add_column("near")
        for row in events(annotate(world.scene, [pose], size=world.size)[0]):
            table.add_row(str(row["timestep"]), row["tile"], row["near"])
        console.print(table)
    reached = np.asarray(drives.info["bd"][0, -1], np.float64)
    console.print(f"ended at ({', '.join(f'{value:.1f}' for value in reached)})", highlight=False)
    if bd is not None:
        error = (
            100
            * np.linalg.norm(reached - bd)
            / np.linalg.norm(np.subtract(info["bd_high"], info["bd_low"]))
        )
        console.print(f"{error:.1f} % of the diagonal from the target", highlight=False)
    console.print(f"picture: {run / 'said.png'}", highlight=False)
    return run / "said.png"
