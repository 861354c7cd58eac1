"""The robot in a world as the stages' task: controllers drive in one compiled kernel."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from archive_tools.tasks.controllers import ControllerSpec, rollout_controllers
from archive_tools.tasks.measures import Measures
from archive_tools.tasks.recording import Rollouts
from envs import load_world
from envs.errors import InputError, require_memory
from envs.world import MAX_WHEEL, World

Floats = NDArray[np.float32]
HIDDEN = (10, 10, 10)
"""Hidden layers where none are asked for: those of the paper's controllers."""


class Navigation:
    """The robot in a world; BD = final (x, y) in world units, y down.

    The objective, in [0, 1], asks for calm driving: 1 − ½ · (share of steps that ran into a wall)
    − ½ · (mean |left − right| / 8). Of two policies with the same goal the one stays that neither
    leans on walls nor spins.
    """

    id: str = "envs:wayword/Navigation-v0"
    stochastic: bool = False

    def __init__(
        self, world: World | str | Path = "apartment", controller: Mapping[str, Any] | None = None
    ) -> None:
        """Prepare the world.

        Args:
            world: a `World`, or what `envs.load_world` takes.
            controller: fields of `ControllerSpec`.

        Raises:
            InputError: no such world, or controllers that do not fit it.
        """
        self.world: World | None = world if isinstance(world, World) else load_world(world)
        self._world = self.world
        sensors = self._world.n_obs
        spec = {"layers": (sensors, *HIDDEN, 2), "action_decimals": 1, **(controller or {})}
        self.controller = ControllerSpec.from_json(spec)
        if self.controller.layers[0] != sensors or self.controller.layers[-1] != 2:
            raise InputError(
                f"--layers {' '.join(map(str, self.controller.layers))}: the world "
                f"{self._world.name!r} has {sensors} sensors and 2 wheels; "
                f"expected {sensors} … 2"
            )
        name = self._world.name if isinstance(world, World) else Path(world).as_posix()
        self.kwargs: dict[str, Any] = {
            "world": name,
            "action_decimals": self.controller.action_decimals,
        }
        size = float(self._world.size)
        self.measures = Measures(("x", "y"), (0.0, 0.0), (size, size))
        self.steps = self._world.steps
        self.action_low, self.action_high = [-MAX_WHEEL] * 2, [MAX_WHEEL] * 2

    def odometry(self) -> dict[str, Any]:
        """How a policy can reckon its pose from what it did and felt (see nanodt's odometry)."""
        robot = self._world.robot
        return {
            "axle": 2 * robot.radius,
            "start": [robot.x, robot.y, robot.theta],
            "contact": self._world.obs_columns("bumper"),
        }

    def record(self, solutions: Floats, seed: int = 0) -> Rollouts:
        """Drive N policies; nothing is random, so the seed changes nothing."""
        rollouts = rollout_controllers(self._world, self.controller, solutions)
        action, pose = rollouts.action, rollouts.info["pose"]
        turning = np.abs(action[:, :, 0] - action[:, :, 1]).mean(axis=1)
        bumping = rollouts.info["collision"][:, 1:].mean(axis=1)
        objective = (1 - bumping / 2 - turning / (4 * MAX_WHEEL)).astype(np.float32)
        rollouts.info.update(bd=pose[:, -1, :2].copy(), objective=objective)
        return rollouts

    def reachable(self) -> Floats:
        """Points of the floor that the robot's centre can reach, 5 × 5 for each pixel."""
        wide = self._world.width
        pixels = float(np.count_nonzero(~self._world.occupied))
        require_memory(25 * 2 * 12 * pixels, f"all places of a map of {wide} x {wide} pixels")
        row, column = np.nonzero(self._world.reachable())
        fine = (np.arange(5) + 0.5) / 5 - 0.5  # a pixel reaches half its width to either side
        x = column[:, None, None] + fine[None, :, None]
        y = row[:, None, None] + fine[None, None, :]
        points = np.stack(np.broadcast_arrays(x, y), axis=-1).reshape(-1, 2) / self._world.scale
        inside = ((points >= 0) & (points <= self._world.size)).all(axis=1)
        return points[inside].astype(np.float32)
