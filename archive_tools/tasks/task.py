"""Where controllers are tried: the protocol that stages 00 to 02 work over.

`Navigation` is the robot in a world, in one compiled kernel; `archive_tools.tasks.gymnasium` drives
any Gymnasium environment with Box spaces. For anything else (another BD, another simulator) write a
function that returns an object with the members of `Environment`, and name it:

    python scripts/00_search_archive.py --run runs/mine --environment tasks/mine.py:make

It is called as make(controller=dict, **options), where controller holds the fields of
`ControllerSpec` given on the command line, and options those of --environment-options. The later
stages call it again with the same arguments, so it must be a pure function of them. Most of the
time it ends in `return GymnasiumTask(..., bd=my_function)`.
"""

from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from archive_tools.tasks.controllers import ControllerSpec
from archive_tools.tasks.measures import Measures
from archive_tools.tasks.recording import Rollouts
from envs.world import World

Floats = NDArray[np.float32]


class Environment(Protocol):
    """What the stages need to know of a task: spaces, BD, and how policies fare in it."""

    id: str
    """Gymnasium id of the environment that a trained policy will drive in."""
    kwargs: dict[str, Any]
    """JSON arguments of `gymnasium.make` for it."""
    controller: ControllerSpec
    measures: Measures
    steps: int
    """Steps of the longest drive."""
    action_low: list[float]
    action_high: list[float]
    stochastic: bool
    """Whether another seed gives another drive."""
    world: World | None
    """The world with its scene, where there is one: copied into the archive, for annotation."""

    def record(self, solutions: Floats, seed: int) -> Rollouts:
        """Drive N policies, [N, n_params], all with the same seed; info has bd and objective."""
        ...

    def reachable(self) -> Floats | None:
        """A dense sample [M, n_bd] of the BDs that can be reached; None when unknown."""
        ...
