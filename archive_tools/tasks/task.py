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
from archive_tools.tasks.gymnasium import theirs
from archive_tools.tasks.measures import Measures
from archive_tools.tasks.navigation import Navigation
from archive_tools.tasks.recording import Rollouts
from envs.errors import InputError
from envs.plane import COMPLEX
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


def drives_of(environment: Environment, solutions: Floats, seed: int) -> Rollouts:
    """`environment.record`, where it may be a user's: what it raises is a line, what it gives is
    held against the shapes that it must have.

    Raises:
        InputError: it raises, or a shape is another one.
    """
    if isinstance(environment, Navigation):
        return environment.record(solutions, seed)
    id, count, n_bd = environment.id, len(solutions), len(environment.measures.names)
    drives = theirs(f"{id}: record raised", environment.record, solutions, seed)
    if not isinstance(drives, Rollouts):
        raise InputError(f"{id}: record gives {str(drives)[:60]}; expected Rollouts")
    steps = len(drives.action[0]) if np.ndim(drives.action) > 1 and count else environment.steps
    wanted = {
        "obs": (count, steps + 1, environment.controller.layers[0]),
        "action": (count, steps, len(environment.action_low)),
        "length": (count,),
        "bd": (count, n_bd),
        "objective": (count,),
        "pose": (count, steps + 1, 3),
    }
    for name, shape in wanted.items():
        array: Any = drives.info.get(name) if name not in vars(drives) else getattr(drives, name)
        if name == "pose" and array is None:
            continue
        if np.shape(array) != shape:
            raise InputError(
                f"{id}: record gives {name} of shape {np.shape(array)}; expected {shape}"
            )
        if np.iscomplexobj(array):
            raise InputError(f"{id}: record gives {name} of {COMPLEX}")
    return drives
