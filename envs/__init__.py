"""Worlds, their simulator and their Gymnasium environments."""

from envs.errors import InputError
from envs.scene import Scene, SceneObject, Tiles
from envs.simulator import Simulation, simulate
from envs.world import Goal, Robot, World
from envs.worldfile import load_world

__all__ = [
    "Goal",
    "InputError",
    "Robot",
    "Scene",
    "SceneObject",
    "Simulation",
    "Tiles",
    "World",
    "load_world",
    "simulate",
]
