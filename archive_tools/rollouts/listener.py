"""What a policy is told for a text, and where the text asks it to end.

A folder `reader/` holds all that this needs: the world with its scene, and where the training
drives ended. A dataset has one, a model takes it over, and nanodt finds `load_listener` by the name
that stands in its reader.json (see `nanodt.text.reader`).
"""

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from archive_tools.files import list_column, read_table, write_json, write_table
from archive_tools.language import Instruction, contradictions, parse
from archive_tools.rollouts.targets import Ends, Targets
from envs import World, load_world, save_world
from envs.errors import InputError
from envs.scene import Scene

FOLDER, NAME = "reader", "wayword"
_LISTS = ("visited", "over")


class Listener:
    """Reads texts for a policy that was told plans.

    Args:
        scene: with the places that texts may name.
        ends: where drives ended.
    """

    def __init__(self, scene: Scene, ends: Ends) -> None:
        self.scene, self.ends = scene, ends

    @cached_property
    def targets(self) -> Targets:
        """Where instructions end."""
        return Targets(self.scene, self.ends)

    def read(self, texts: Sequence[str]) -> tuple[list[str], NDArray[np.float32], list[list[str]]]:
        """What a policy needs to know of N texts.

        Returns:
            the plans, "" where nothing was understood; the BDs [N, n_bd] float32 that the texts
            ask for, NaN where one names no end; and the places that each forbids.
        """
        instructions = [parse(text, self.scene) for text in texts]
        targets = np.full((len(texts), self.ends.bd.shape[1]), np.nan, np.float32)
        for row, instruction in enumerate(instructions):
            found = self.target(instruction)
            if found is not None:
                targets[row] = found
        return (
            [i.plan for i in instructions],
            targets,
            [barred(i, self.scene) for i in instructions],
        )

    def target(self, instruction: Instruction) -> NDArray[np.float32] | None:
        """The BD [n_bd] that an instruction asks for; None where it names no end."""
        return self.targets.find(instruction)


def barred(instruction: Instruction, scene: Scene) -> list[str]:
    """Places that must not come next: the forbidden ones, and objects that stand on such tiles.

    An object that is only not to be touched is not made for either. What the text wants met stays.
    """
    names = {name for ban in contradictions.enforced(instruction) for name in ban.names}
    tiles = scene.tile_at([item.centre for item in scene.objects]) if scene.objects else ()
    for item, tile in zip(scene.objects, tiles, strict=True):
        if tile >= 0 and scene.tile_names[tile] in names:
            names.add(item.name)
    return sorted(names - {name for place in instruction.route for name in place.names})


def write_listener(folder: Path, world: World, ends: Ends) -> None:
    """Write `folder`/reader/."""
    inside = folder / FOLDER
    inside.mkdir(parents=True, exist_ok=True)
    save_world(world, inside / "world")
    columns = {
        "bd": list_column(list(ends.bd)),
        "last": list_column(list(ends.last.astype(np.float32))),
        "tile": pa.array(ends.tile.tolist(), pa.string()),
    }
    columns |= {n: pa.array(getattr(ends, n), pa.list_(pa.string())) for n in _LISTS}
    write_table(inside / "ends.parquet", pa.table(columns))
    write_json(inside / "reader.json", {"name": NAME})


def load_listener(inside: Path) -> Listener:
    """The listener of a folder `reader/`.

    Raises:
        InputError: a file is missing or damaged.
    """
    scene = load_world(inside / "world").scene
    if scene is None:
        raise InputError(f"{inside / 'world'}: it has no scene, so no text can be read")
    table = read_table(inside / "ends.parquet", ("bd", "last", "tile", *_LISTS))
    ends = Ends(
        np.stack(table["bd"].tolist()).astype(np.float32),
        np.stack(table["last"].tolist()).astype(np.float64),
        np.asarray(table["tile"].tolist(), np.str_),
        *([list(row) for row in table[name]] for name in _LISTS),
    )
    return Listener(scene, ends)
