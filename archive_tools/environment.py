"""Where controllers are tried: the protocol that stages 00 to 02 work over.

`Navigation` is the robot in a world, in one compiled kernel; `archive_tools.gymnasium_task` drives
any Gymnasium environment with Box spaces. For anything else (another BD, another simulator) write a
function that returns an object with the members of `Environment`, and name it:

    python scripts/00_search_archive.py --run runs/mine --environment tasks/mine.py:make

It is called as make(controller=dict, **options), where controller holds the fields of
`ControllerSpec` given on the command line, and options those of --environment-options. The later
stages call it again with the same arguments, so it must be a pure function of them. Most of the
time it ends in `return GymnasiumTask(..., bd=my_function)`.
"""

import hashlib
import importlib
import importlib.util
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from archive_tools.cells import Measures
from archive_tools.controllers import ControllerSpec, rollout_controllers
from envs import load_world
from envs.errors import InputError
from envs.world import MAX_WHEEL, World

Floats = NDArray[np.float32]
HIDDEN = (10, 10, 10)
"""Hidden layers where none are asked for: those of the paper's controllers."""


@dataclass(frozen=True)
class Recording:
    """Closed-loop drives of N policies; shorter ones are padded with their last values."""

    obs: Floats
    """[N, T + 1, n_obs]; index 0 is what reset returned."""
    action: Floats
    """[N, T, n_act], as applied."""
    lengths: NDArray[np.int32]
    """[N], steps of each drive, at most T."""
    measures: Floats
    """[N, n_bd], the BDs reached."""
    objective: Floats
    """[N], higher is better."""
    pose: Floats | None = None
    """[N, T + 1, 3]: x, y (world units, y down), heading (radians)."""


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

    def record(self, solutions: Floats, seed: int) -> Recording:
        """Drive N policies, [N, n_params], all with the same seed."""
        ...

    def reachable(self) -> Floats | None:
        """A dense sample [M, n_bd] of the BDs that can be reached; None when unknown."""
        ...


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
        sensors = len(self._world.laser_angles) + 2
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
        robot, sensors = self._world.robot, self.controller.layers[0]
        return {
            "axle": 2 * robot.radius,
            "start": [robot.x, robot.y, robot.theta],
            "contact": [sensors - 2, sensors - 1],
        }

    def record(self, solutions: Floats, seed: int = 0) -> Recording:
        """Drive N policies; nothing is random, so the seed changes nothing."""
        drive = rollout_controllers(self._world, self.controller, solutions)
        turning = np.abs(drive.action[:, :, 0] - drive.action[:, :, 1]).mean(axis=1)
        bumping = drive.collision[:, 1:].mean(axis=1)
        return Recording(
            obs=drive.obs,
            action=drive.action,
            lengths=np.full(len(solutions), self.steps, dtype=np.int32),
            measures=drive.pose[:, -1, :2].copy(),
            objective=(1 - bumping / 2 - turning / (4 * MAX_WHEEL)).astype(np.float32),
            pose=drive.pose,
        )

    def reachable(self) -> Floats:
        """Points of the floor that the robot's centre can reach, 5 × 5 for each pixel."""
        row, column = np.nonzero(self._world.reachable())
        fine = (np.arange(5) + 0.5) / 5 - 0.5  # a pixel reaches half its width to either side
        x = column[:, None, None] + fine[None, :, None]
        y = row[:, None, None] + fine[None, None, :]
        points = np.stack(np.broadcast_arrays(x, y), axis=-1).reshape(-1, 2) / self._world.scale
        inside = ((points >= 0) & (points <= self._world.size)).all(axis=1)
        return points[inside].astype(np.float32)


def _factory(name: str) -> Callable[..., Environment]:
    """The function that a name like package.module:function or file.py:function means."""
    source, _, function = name.rpartition(":")
    try:
        if source.endswith(".py"):
            stem = hashlib.sha256(source.encode()).hexdigest()[:12]
            spec = importlib.util.spec_from_file_location(f"task_{stem}", source)
            assert spec is not None and spec.loader is not None
            module = importlib.util.module_from_spec(spec)
            spec.loader.exec_module(module)
        else:
            module = importlib.import_module(source)
        return getattr(module, function)
    except (ImportError, FileNotFoundError, AttributeError, SyntaxError) as error:
        raise InputError(
            f"--environment {name}: {error}; expected module:function or path/file.py:function"
        ) from None


def factory_digest(name: str) -> str | None:
    """SHA-256 of the file of a custom environment, which is part of a stage's fingerprint."""
    source, _, _ = name.rpartition(":")
    if not source.endswith(".py") or not Path(source).exists():
        return None
    return hashlib.sha256(Path(source).read_bytes()).hexdigest()


def make_environment(
    name: str, controller: Mapping[str, Any] | None = None, **options: Any
) -> Environment:
    """The environment that --environment names.

    Args:
        name: "navigation" (option world), a Gymnasium id (options of `gymnasium_task`), or
            module:function or path/file.py:function.
        controller: fields of `ControllerSpec` that differ from the environment's own choice.
        options: arguments, JSON values.

    Raises:
        InputError: no such environment, options that it does not take, or its own errors.
    """
    from archive_tools.gymnasium_task import gymnasium_task

    function: Callable[..., Environment]
    if name == "navigation":
        function = Navigation
    elif ":" in name:
        function = _factory(name)
    else:
        function, options = gymnasium_task, {"id": name, **options}
    parameters = inspect.signature(function).parameters
    free = any(p.kind is p.VAR_KEYWORD for p in parameters.values())
    for option in options:
        if option not in parameters and not free:
            known = ", ".join(p for p in parameters if p not in ("controller", "id", "self"))
            raise InputError(
                f"--environment-options: {name} takes no {option!r}; known are {known}"
            )
    return function(controller=dict(controller or {}), **options)


def environment_of(folder: Path, info: Mapping[str, Any]) -> Environment:
    """The environment that an archive was made in; a world comes from the archive's own copy.

    Args:
        folder: the archive's folder.
        info: its archive.json.

    Raises:
        InputError: archive.json does not say, or what it says cannot be made any more.
    """
    if "task" not in info or "controller" not in info:
        raise InputError(
            f"{folder / 'archive.json'}: fields 'task' and 'controller' are missing, so nobody can "
            "tell what drives these policies; import the archive with "
            "scripts/00_search_archive.py --import"
        )
    options = dict(info["task"].get("options", {}))
    if info["task"]["name"] == "navigation":
        options["world"] = folder / "world"
    if "plane" in options:
        options["plane"] = info["environment"]["kwargs"]["plane"]
    return make_environment(info["task"]["name"], info["controller"], **options)
