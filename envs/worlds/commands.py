"""Commands of people that come with a bundled world: texts of drives, and the drives.

`envs/worlds/NAME-commands.parquet`, one row per text: `text`; `part`, train or dev, which share no
route; `persona`, 1 to 10, whose voice it is; `bd` [2] in world units; `action` [2 x steps] int8,
tenths of a unit per wheel and step. docs/formats.md says who wrote them.
"""

from pathlib import Path

import numpy as np

from envs.world import World
from envs.worldfile import WORLDS, load_world

UNIT = 0.1
"""World units that 1 in the column `action` stands for."""


def bundled_commands(world: World) -> Path | None:
    """The file of commands for a world; None where there is none, or the world is another by now.

    Actions lead elsewhere when a wall has moved, and texts lie when an object has.
    """
    path = WORLDS / f"{world.name}-commands.parquet"
    if not path.is_file():
        return None
    ours = load_world(world.name)
    same = (
        np.array_equal(ours.occupied, world.occupied)
        and (ours.size, ours.steps, ours.robot) == (world.size, world.steps, world.robot)
        and _named(ours) == _named(world)
    )
    return path if same else None


def _named(world: World) -> object:
    """What the scene names, and where it lies; pictures may be anywhere."""
    if world.scene is None:
        return None
    objects = [(thing.name, thing.box, thing.aliases) for thing in world.scene.objects]
    return objects, world.scene.tiles, world.scene.rooms
