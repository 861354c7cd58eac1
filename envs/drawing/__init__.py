"""Pictures of a world, its scene and drives in it: SVG text, PNG, or characters in a terminal.

It knows worlds and scenes of `envs`, and nothing of runs, policies or commands.
"""

from envs.drawing import floorplan, svg
from envs.drawing.labels import place_labels
from envs.drawing.scenes import Route, draw_cells, draw_scene, draw_scenes, scene_symbols
from envs.drawing.strokes import time_colours
from envs.drawing.svg import svg_to_png
from envs.drawing.terminal import TEXT_LEGEND, draw_text

__all__ = [
    "TEXT_LEGEND",
    "Route",
    "draw_cells",
    "draw_scene",
    "draw_scenes",
    "draw_text",
    "floorplan",
    "place_labels",
    "scene_symbols",
    "svg",
    "svg_to_png",
    "time_colours",
]
