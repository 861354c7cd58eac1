"""Where a controller is tried: the robot in a world, any Gymnasium environment, functions of a
user.

Imports envs, run and files. `Environment` in task.py is what every task offers.
"""

from archive_tools.tasks import registry
from archive_tools.tasks.controllers import ControllerSpec, rollout_controllers
from archive_tools.tasks.gymnasium import make_gymnasium, theirs
from archive_tools.tasks.measures import Measures, cell_index, cell_places
from archive_tools.tasks.navigation import Navigation
from archive_tools.tasks.recording import Rollouts
from archive_tools.tasks.task import Environment, drives_of

__all__ = [
    "ControllerSpec",
    "Environment",
    "Measures",
    "Navigation",
    "Rollouts",
    "cell_index",
    "cell_places",
    "drives_of",
    "make_gymnasium",
    "registry",
    "rollout_controllers",
    "theirs",
]
