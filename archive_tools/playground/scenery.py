"""The world as both pages show it, and copies of it with what people put in the robot's way."""

from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from envs import Robot, World, load_world
from envs.drawing import floorplan, place_labels, svg, time_colours

Wall = tuple[float, float, float, float]
"""x0, y0, x1, y1 in world units: a wall from one end to the other; one shorter than itself is thick
is a crate."""
WALL = 0.02
"""How thick a wall is, as a share of the world's side."""
CRATE = 0.06
"""How wide a crate is."""
LABEL = 1 / 46
"""The font size of names."""


class Scenery:
    """A run's world, for pages: a picture without names or robot, and the facts to draw the rest.

    Args:
        run: with archive/world.
    """

    def __init__(self, run: Path) -> None:
        self.name = run.resolve().name
        self.world = load_world(run / "archive" / "world")
        self.built = lru_cache(maxsize=16)(self._build)

    def _build(self, walls: tuple[Wall, ...], start: tuple[float, float, float]) -> World:
        robot = Robot(*start, self.world.robot.radius)
        occupied = rasterise(walls, self.world) | self.world.occupied if walls else None
        return replace(
            self.world, robot=robot, **({} if occupied is None else {"occupied": occupied})
        )

    @property
    def start(self) -> tuple[float, float, float]:
        """Where the robot stands by itself: x, y, heading."""
        robot = self.world.robot
        return (robot.x, robot.y, robot.theta)

    @property
    def floors(self) -> tuple[str, ...]:
        """Names of the tiles."""
        return self.world.scene.tile_names if self.world.scene else ()

    @cached_property
    def picture(self) -> str:
        """The floor plan as a picture of its own, which no page lets run anything."""
        side = svg.num(self.world.size)
        return (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {side} {side}" '
            f'width="1200" height="1200">{floorplan.floor_plan(self.world).markup}</svg>'
        )

    @cached_property
    def facts(self) -> dict[str, Any]:
        """What a page draws over the picture: names, robot, colours, sizes."""
        font = self.world.size * LABEL
        objects, tiles = place_labels(self.world, font)
        return {
            "size": self.world.size,
            "radius": self.world.robot.radius,
            "start": [round(v, 4) for v in self.start],
            "font": font,
            "objects": [[label.text, round(label.x, 1), round(label.y, 1)] for label in objects],
            "tiles": [
                [label.text, round(label.x, 1), round(label.y, 1), label.colour] for label in tiles
            ],
            "floors": {name: floorplan.tile_colour(name) for name in self.floors},
            "time": time_colours(),
            "wall": WALL * self.world.size,
            "crate": CRATE * self.world.size,
        }

    def routes(self) -> list[BaseRoute]:
        """The picture and the facts."""

        def picture(request: Request) -> Response:
            return Response(self.picture, media_type="image/svg+xml")

        def facts(request: Request) -> Response:
            return JSONResponse(self.facts)

        return [Route("/scene.svg", picture), Route("/scene.json", facts)]


def rasterise(walls: Sequence[Wall], world: World) -> np.ndarray:
    """The pixels that walls and crates cover: bool [H, W]."""
    pixel = np.arange(world.width) / world.scale
    x, y = np.meshgrid(pixel, pixel)
    covered = np.zeros(x.shape, bool)
    thick = WALL * world.size
    for x0, y0, x1, y1 in walls:
        along = np.array([x1 - x0, y1 - y0])
        length = float(along @ along)
        if length < thick**2:
            half = CRATE * world.size / 2
            covered |= (abs(x - x0) <= half) & (abs(y - y0) <= half)
            continue
        share = np.clip(((x - x0) * along[0] + (y - y0) * along[1]) / length, 0, 1)
        distance = np.hypot(x - x0 - share * along[0], y - y0 - share * along[1])
        covered |= distance <= thick / 2
    return covered
