"""Worlds, their simulator and their Gymnasium environments.

Importing this registers "wayword/Navigation-v0" (see `envs.navigation`) and "wayword/Plane-v0"
(see `envs.plane`).

Letters in shapes, in all of envs: N robots, T steps, L lasers, P weights of a controller, H and W
pixels down and across (of the map or a picture); n_obs numbers in an observation (`World.sensors`).
Small letters count whatever their line speaks of.
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
