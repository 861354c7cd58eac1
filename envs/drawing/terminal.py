"""A drive as a picture of characters, for the terminal: colours help, but it reads without them."""

import numpy as np
from numpy.typing import ArrayLike
from rich.text import Text

from envs.drawing.strokes import time_colours
from envs.world import World

WALL = "█"
TEXT_LEGEND = "0 to 9: the drive with time; S start, E end, X target; letters: objects"


def draw_text(
    world: World, path: ArrayLike, *, target: tuple[float, float] | None = None, columns: int = 64
) -> Text:
    """The world from above with a drive on it, half as many lines as columns.

    Walls are blocks, objects the first letter of their names in lower case, the drive the digits 0
    to 9 from its start to its end.

    Args:
        world: with or without a scene.
        path: [T, 2 or more] positions, world units.
        target: where the drive should have ended, world units.
        columns: characters across; a character counts as twice as high as wide.
    """
    rows = columns // 2
    walls = np.zeros((rows, columns), bool)
    height, width = world.occupied.shape
    across = np.minimum((np.arange(columns) + 0.5) * width / columns, width - 1).astype(int)
    down = np.minimum((np.arange(rows) + 0.5) * height / rows, height - 1).astype(int)
    walls[:] = world.occupied[np.ix_(down, across)]
    cells = [[(WALL, "grey50") if wall else (" ", "") for wall in line] for line in walls]

    def put(x: float, y: float, char: str, style: str) -> None:
        column, row = int(x / world.size * columns), int(y / world.size * rows)
        if 0 <= column < columns and 0 <= row < rows:
            cells[row][column] = (char, style)

    for thing in world.scene.objects if world.scene else ():
        (x0, y0, x1, y1), letter = thing.box, thing.name[:1].lower()
        for row in range(rows):
            for column in range(columns):
                x = (column + 0.5) / columns * world.size
                y = world.size - (row + 0.5) / rows * world.size
                if x0 <= x <= x1 and y0 <= y <= y1 and not walls[row, column]:
                    cells[row][column] = (letter, "dim")
    points = np.asarray(path, np.float64)[:, :2]
    colours = time_colours()
    for step, (x, y) in enumerate(points):
        share = step / max(len(points) - 1, 1)
        colour = colours[min(int(share * len(colours)), len(colours) - 1)]
        put(x, y, str(min(int(10 * share), 9)), f"bold {colour} on grey93")
    put(points[0, 0], points[0, 1], "S", "bold reverse")
    if target is not None:
        put(target[0], target[1], "X", "bold red reverse")
    put(points[-1, 0], points[-1, 1], "E", "bold reverse")
    drawn = Text()
    for line in cells:
        for char, style in line:
            drawn.append(char, style or None)
        drawn.append("\n")
    return drawn
