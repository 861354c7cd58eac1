"""Worlds, their simulator and their Gymnasium environments.

Importing this registers "wayword/Navigation-v0" (see `envs.navigation`) and "wayword/Plane-v0"
(see `envs.plane`).
"""

import gymnasium

from envs.errors import InputError
from envs.scene import Scene, SceneObject, Tiles
from envs.simulator import Simulation, simulate
from envs.world import Goal, Robot, World
from envs.worldfile import load_world, save_world

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
    "save_world",
    "simulate",
]

gymnasium.register(
    id="wayword/Navigation-v0",
    entry_point="envs.navigation:NavigationEnv",
    vector_entry_point="envs.navigation:NavigationVectorEnv",
)
gymnasium.register(id="wayword/Plane-v0", entry_point="envs.plane:PlaneEnv")
