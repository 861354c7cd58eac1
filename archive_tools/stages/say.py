"""One sentence, one drive: what the policy makes of a command that somebody types."""

import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table
from rich.text import Text

from archive_tools.annotations import Annotation, NearRule, annotate
from archive_tools.evaluation import judge_rules
from archive_tools.files import atomic_write, read_json, read_table
from archive_tools.language import PLACEHOLDER, fill_descriptor, parse
from archive_tools.report import events
from archive_tools.rollouts import driving, listener
from archive_tools.run import check_folder
from archive_tools.tasks import Measures, registry
from envs import World, load_world
from envs.drawing import TEXT_LEGEND, Route, draw_scene, draw_text, svg_to_png
from envs.errors import InputError

WORD = re.compile(r"[^\W\d_]+(?:['’-][^\W\d_]+)*")


def say(
    run: Path,
    text: str,
    bd: Sequence[float] | None,
    load_drive: Callable[[Path], driving.DrivePolicy],
    *,
    seed: int = 0,
) -> Path:
    """Drive one command, print its events, and write `said.svg` and `said.png` into the run.

    Args:
        run: a run with model/, dataset/, annotations/ and archive/.
        text: the command; `<DESCRIPTOR>` in it stands for the place.
        bd: [n_bd] where to end, in the environment's units; None leaves it to the text: a model
            with a reader then ends where drives of the archive did that fit it.
        load_drive: given the model's folder, loads the policy.

    Returns:
        The path of the picture, said.png.

    Raises:
        InputError: a stage is missing, the text is empty, or `bd` is no
            point of the BD space.
    """
    if not text.strip():
        raise InputError("--say: the sentence is empty; say where to go and how")
    for name in ("archive", "dataset", "model"):
        check_folder(run / name)
    info = read_json(run / "dataset" / "dataset.json")
    if bd is not None:
        check_place(bd, info)
    world = load_world(run / "archive" / "world")
    rule = NearRule() if world.scene is None else NearRule.of(run / "annotations")
    console = Console(file=sys.stdout)
    positions = Measures.of_dataset(info).are_positions(world.size)
    reader = run / "model" / listener.FOLDER
    reads = listener.load_listener(reader) if reader.is_dir() else None
    found = _understand(console, text, world, reads)
    bd = found if bd is None else bd
    for line in hints(text, bd, world, run, positions=positions, read=reads is not None):
        console.print(f"hint: {line}", style="yellow", highlight=False, markup=False)
    envs = driving.make_envs(registry.run_environment(run, info), 1)
    try:
        place = None if bd is None else np.asarray([bd], np.float32)
        drives = load_drive(run / "model")(envs, [text], place, seed)
    finally:
        envs.close()
    if "pose" not in drives.info:
        raise InputError(f"{info['environment']['id']}: reports no pose, so there is no picture")
    pose = np.asarray(drives.info["pose"][0], np.float32)
    target = (float(bd[0]), float(bd[1])) if bd is not None and positions else None
    caption = text if bd is None else fill_descriptor(text, bd)
    _show_plan(console, world, pose, target)
    if world.scene is not None:
        driven = annotate(world.scene, [pose], size=world.size, rule=rule)[0]
        _show_events(console, caption, driven)
        verdict = judge_rules(text, driven, None, world.scene)
        console.print(f"by its words: {verdict.score:.2f} ({verdict.reasons})", highlight=False)
    _show_end(console, np.asarray(drives.info["bd"][0, -1], np.float64), bd, info)
    # Last: on a disk that is read-only or full the answer is told all the same.
    picture = draw_scene(world, [Route(pose, None, "time", "solid", target)], caption=caption)
    atomic_write(run / "said.svg", picture)
    svg_to_png(picture, run / "said.png")
    console.print(f"picture: {run / 'said.png'}", highlight=False, soft_wrap=True)
    return run / "said.png"


def _understand(
    console: Console, text: str, world: World, reads: listener.Listener | None
) -> list[float] | None:
    """Print what was understood of a command; where it ends, as far as the reader finds that."""
    if world.scene is None:
        return None
    instruction = parse(text, world.scene)
    for line in str(instruction).splitlines():
        console.print(line, highlight=False, markup=False)
    if reads is None:
        return None
    console.print(f"told: {instruction.plan or 'nothing'}", highlight=False, markup=False)
    target = reads.target(instruction)
    if target is not None:
        place = ", ".join(f"{value:.1f}" for value in target)
        console.print(f"read from the text: end at ({place})", highlight=False)
    return None if target is None else target.tolist()


def _show_end(
    console: Console, reached: NDArray[np.float64], bd: Sequence[float] | None, info: dict[str, Any]
) -> None:
    """Where the drive ended, [n_bd], and how far that is from `bd`."""
    console.print(f"ended at ({', '.join(f'{value:.1f}' for value in reached)})", highlight=False)
    if bd is not None:
        span = np.linalg.norm(np.subtract(info["bd_high"], info["bd_low"]))
        error = 100 * np.linalg.norm(reached - bd) / span
        console.print(f"{error:.1f} % of the diagonal from the target", highlight=False)


def _show_plan(
    console: Console, world: World, pose: NDArray[np.float32], target: tuple[float, float] | None
) -> None:
    """The drive's path [T + 1, 3] over the world's plan, in characters."""
    wide = max(16, min(64, console.width))
    console.print(draw_text(world, pose, target=target, columns=wide), end="", highlight=False)
    console.print(TEXT_LEGEND, style="dim", highlight=False)


def _show_events(console: Console, caption: str, driven: Annotation) -> None:
    table = Table(title=Text(caption), title_justify="left")
    table.add_column("step", justify="right")
    table.add_column("tile")
    table.add_column("near")
    for row in events(driven):
        table.add_row(str(row["timestep"]), row["tile"], row["near"])
    console.print(table)


def check_place(bd: Sequence[float], info: dict[str, Any]) -> None:
    """Raise InputError where `bd` is not a point of the BD space that `info` describes."""
    if len(bd) != info["n_bd"]:
        raise InputError(f"--bd: found {len(bd)} values, expected {info['n_bd']}")
    names = info.get("bd_names") or [f"value {number}" for number in range(1, len(bd) + 1)]
    for name, value, low, high in zip(names, bd, info["bd_low"], info["bd_high"], strict=True):
        if not low <= value <= high:  # also where the value is not a number
            raise InputError(f"--bd: {name} is {value:g}, expected {low:g} to {high:g}")


def hints(
    text: str,
    bd: Sequence[float] | None,
    world: World,
    run: Path,
    *,
    positions: bool = True,
    read: bool = False,
) -> list[str]:
    """What about a command makes it hard to obey: one line each.

    Args:
        text: the command.
        bd: the place asked for; None leaves it to the text.
        world: with or without a scene.
        run: with dataset/, whose training texts are what the policy has read.
        positions: BDs are positions in the world.
        read: a reader puts texts into words that the policy knows.
    """
    found = []
    if world.scene is not None:
        parsed = parse(text, world.scene)
        objects, tiles = (", ".join(sorted(set(names))) for names in (
            world.scene.object_names, world.scene.tile_names
        ))  # fmt: skip
        if strange := parsed.unknown:
            found.append(
                f"the scene has no {', no '.join(strange)}; objects: {objects}; tiles: {tiles}"
            )
        elif not parsed.places and PLACEHOLDER not in text:
            found.append(f"no place is named; objects: {objects}; tiles: {tiles}")
    unread = [] if read else _unread(text, run)
    if unread:
        found.append(f"no training text has the words: {', '.join(unread)}")
    if PLACEHOLDER in text and bd is None:
        found.append(f"{PLACEHOLDER} stands for the place, but no --bd says where that is")
    if bd is not None and positions and not _free(world, bd):
        found.append("no robot can stand at that place: it lies in a wall or out of reach")
    return found


def _unread(text: str, run: Path) -> list[str]:
    """The words of a command that no training text has."""
    table = read_table(run / "dataset" / "trajectories.parquet", ("split", "texts"))
    known: set[str] = set()
    for texts in table.loc[table["split"] == "train", "texts"]:
        for one in texts:
            known.update(WORD.findall(one.lower()))
    return list(dict.fromkeys(w for w in WORD.findall(text.lower()) if w not in known))


def _free(world: World, bd: Sequence[float]) -> bool:
    column, row = (int(min(v * world.width / world.size, world.width - 1)) for v in bd)
    return bool(world.reachable()[row, column])
