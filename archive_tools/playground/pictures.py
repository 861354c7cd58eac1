"""A drive to keep: as SVG, PNG, or a GIF in which it drives again."""

import io
from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageColor, ImageDraw

from archive_tools.language import fill_descriptor
from archive_tools.playground.drives import Drive
from envs.drawing import Route, draw_scene, svg, svg_to_png, time_colours
from envs.errors import InputError

WIDTH = 600
FINE = 2
"""Frames are drawn so many times as large and then made small, for smooth lines."""
EDGE = 8
FRAMES = 40
HOLD = 1500
"""Milliseconds that the last frame of an animation stays."""
KINDS = {"svg": "image/svg+xml", "png": "image/png", "gif": "image/gif"}


def caption_of(drive: Drive) -> str:
    """The command as people read it."""
    return drive.text if drive.target is None else fill_descriptor(drive.text, drive.target)


def draw(drive: Drive) -> str:
    """The drive's picture as SVG text.

    Raises:
        InputError: nothing was driven yet.
    """
    tracks = [track for track in drive.tracks if len(track.poses) > 1]
    if not tracks:
        raise InputError("this drive has not begun")
    alone = len(drive.tracks) == 1
    routes = [
        Route(np.stack(track.poses), None if alone else track.robot.label,
              "time" if alone else track.robot.colour, "solid", drive.target)
        for track in tracks
    ]  # fmt: skip
    return draw_scene(drive.world, routes, caption=caption_of(drive), width=WIDTH)


def animate(drive: Drive) -> bytes:
    """The drive as a GIF: the picture's own floor, names and caption, and the lines growing."""
    draw(drive)
    target = drive.target
    still = draw_scene(
        drive.world, [Route([drive.start[:2]], None, "#00000000", "solid", target)],
        caption=caption_of(drive), width=WIDTH,
    )  # fmt: skip
    floor = Image.open(io.BytesIO(svg_to_png(still, scale=FINE))).convert("RGB")
    paths = [np.stack(track.poses) for track in drive.tracks if len(track.poses) > 1]
    inks = [track.robot.colour for track in drive.tracks if len(track.poses) > 1]
    length = max(len(path) for path in paths)
    frames = [
        _frame(floor, paths, inks, int(step), length, drive.world.size, drive.world.robot.radius)
        for step in np.linspace(1, length - 1, FRAMES)
    ]
    palette = _palette(floor, inks if len(inks) > 1 else time_colours())
    flat = [frame.quantize(palette=palette, dither=Image.Dither.NONE) for frame in frames]
    out = io.BytesIO()
    flat[0].save(
        out, "GIF", save_all=True, append_images=flat[1:], loop=0, optimize=True,
        duration=[80] * (FRAMES - 1) + [HOLD],
    )  # fmt: skip
    return out.getvalue()


def _palette(floor: Image.Image, inks: Sequence[str]) -> Image.Image:
    """The 256 colours of an animation: those that the lines need, and the floor's most telling."""
    needed = (*inks, svg.INK, svg.PAPER, "#ffffff")
    exact = [channel for ink in needed for channel in ImageColor.getrgb(ink)[:3]]
    rest = floor.reduce(FINE).quantize(256 - len(needed), Image.Quantize.MAXCOVERAGE).getpalette()
    image = Image.new("P", (1, 1))
    image.putpalette((exact + (rest or []))[:768])
    return image


def _frame(
    floor: Image.Image,
    paths: list[np.ndarray],
    inks: list[str],
    step: int,
    length: int,
    size: float,
    radius: float,
) -> Image.Image:
    """The drive up to a step, on a copy of the floor.

    The scene of a picture begins EDGE pixels from its edges and is WIDTH pixels wide.
    """
    scale, sheet = WIDTH / size, floor.copy()
    pen = ImageDraw.Draw(sheet)
    colours = time_colours()
    for path, ink in zip(paths, inks, strict=True):
        points = (path[: step + 1, :2] * scale + EDGE) * FINE
        line = [tuple(point) for point in points.tolist()]
        pen.line(line, "#ffffff", 13, joint="curve")
        if len(paths) > 1:
            pen.line(line, ink, 7, joint="curve")
        else:
            for at in range(len(line) - 1):
                shade = colours[min(at * len(colours) // length, len(colours) - 1)]
                pen.line(line[at : at + 2], shade, 7)
        x, y = points[-1]
        heading = path[min(step, len(path) - 1), 2]
        r = radius * scale * FINE * 0.9
        angles = heading + np.linspace(0.94, 2 * np.pi - 0.94, 24)
        disc = [(x + r * np.cos(a), y + r * np.sin(a)) for a in angles]
        nose = (x + 1.7 * r * np.cos(heading), y + 1.7 * r * np.sin(heading))
        pen.polygon([*disc, nose], ink if len(paths) > 1 else svg.INK, "#ffffff", 3)
    return sheet.reduce(FINE)


def render(drive: Drive, kind: str) -> bytes:
    """The drive as `svg`, `png` or `gif`.

    Raises:
        InputError: nothing was driven yet.
    """
    if kind == "gif":
        return animate(drive)
    picture = draw(drive)
    return picture.encode() if kind == "svg" else svg_to_png(picture)
