"""Controllers on any Gymnasium environment, as the stages' `Environment` wants it.

An environment whose info has "pose" (x, y, heading) has it recorded as well; with a world that has
a scene such trajectories can be annotated. "wayword/Plane-v0" gives both to any environment: see
`envs.plane` and the option `plane`. Of numbered actions the controller's largest output is taken.
"""

import contextlib
import re
import sys
import traceback
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import gymnasium
import numpy as np
from annotated_types import Ge
from gymnasium.spaces import Box, Discrete

from archive_tools.tasks.controllers import ControllerSpec
from archive_tools.tasks.measures import Measures
from archive_tools.tasks.navigation import HIDDEN
from archive_tools.tasks.recording import Floats, Rollouts
from envs.errors import InputError, require_memory
from envs.plane import COMPLEX, driven_spaces, load_plane, reals
from envs.world import World

OLD_GYM = (
    "this is the interface of OpenAI Gym before 0.26, where reset takes no seed and gives no info, "
    "and step gives 4 values; mend it by Gymnasium's migration guide "
    "(https://gymnasium.farama.org/introduction/migration_guide/), or wrap it with shimmy's "
    "GymV21CompatibilityV0"
)
BD = Callable[[Floats, Floats, Mapping[str, Any]], Sequence[float] | Floats]
"""bd(obs [T + 1, n_obs], action [T, n_act], last info) -> n_bd numbers."""


COPIES = 64
"""Copies of an environment that drive side by side; some take a tenth of a second to make."""


def theirs(what: str, call: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """Call what a user wrote, and turn what it raises into a line that says where.

    Raises:
        InputError: it raised; an interface of the time of OpenAI Gym is named as such.
    """
    try:
        with contextlib.redirect_stdout(sys.stderr):  # what it prints is no output of a stage
            return call(*args, **kwargs)
    except InputError:
        raise
    except (Exception, SystemExit) as error:
        reason = (str(error) or type(error).__name__).strip().splitlines()[0][:300]
        if isinstance(error, gymnasium.error.Error):
            raise InputError(f"{what}: {reason}") from None
        if re.search(r"unexpected keyword argument '(seed|options)'|values? to unpack", reason):
            raise InputError(f"{what}: {reason}; {OLD_GYM}") from None
        frame = traceback.extract_tb(error.__traceback__)[-1]
        raise InputError(
            f"{what}: {type(error).__name__}: {reason} ({Path(frame.filename).name}, line "
            f"{frame.lineno})"
        ) from error


def make_gymnasium(id: str, **kwargs: Any) -> gymnasium.Env[Any, Any]:
    """A Gymnasium environment by its id; "module:Name-v0" imports its module first.

    Raises:
        InputError: it is not registered, needs more packages, or its constructor raises.
    """
    env = theirs(f"environment {id!r} cannot be made", gymnasium.make, id,
                 disable_env_checker=True, **kwargs)  # fmt: skip
    for name in ("reset", "step", "observation_space", "action_space"):
        if not hasattr(env, name):
            raise InputError(f"environment {id!r} has no {name}; {OLD_GYM}")
    return env


class GymnasiumTask:
    """Controllers on any Gymnasium environment that observes a Box, and acts in one or by number;
    objective = sum of rewards."""

    stochastic: bool = True

    def __init__(
        self,
        id: str,
        bd: BD,
        measures: Measures,
        *,
        kwargs: Mapping[str, Any] | None = None,
        controller: Mapping[str, Any] | None = None,
        steps: int | None = None,
        world: World | None = None,
    ) -> None:
        """Prepare the environment.

        Args:
            id: Gymnasium id.
            bd: the behaviour descriptor of a finished drive.
            measures: names and bounds of the BD's dimensions.
            kwargs: arguments of `gymnasium.make`.
            controller: fields of `ControllerSpec`. Its obs_scale here: "laser_range" (the default)
                maps bounded observations to [-1, 1], "none" leaves them as they are.
            steps: the environment's own time limit where None.
            world: the floor and the scene that poses are in, where there is one.

        Raises:
            InputError: no such environment, no time limit, spaces of another kind.
        """
        self.id, self.kwargs, self.measures, self._bd = id, dict(kwargs or {}), measures, bd
        self.world: World | None = world
        self._envs: list[gymnasium.Env[Any, Any]] = []
        env = self._env(0)
        obs, act = driven_spaces(env, id)
        limit = steps or (env.spec.max_episode_steps if env.spec else None)
        if not limit:
            raise InputError(f"{id}: has no time limit; give the number of steps in the options")
        self.steps = int(limit)
        self._act, n_obs = act, int(np.prod(obs.shape))
        self.action_classes: int | None = None
        """How many numbered actions there are; None where they are continuous."""
        if isinstance(act, Discrete):
            self.action_classes = outputs = int(act.n)
            self.action_low, self.action_high, reach = [0.0], [outputs - 1.0], 1.0
        else:
            self.action_low = act.low.reshape(-1).astype(float).tolist()
            self.action_high = act.high.reshape(-1).astype(float).tolist()
            outputs = len(self.action_low)
            reach = float(np.abs([self.action_low, self.action_high]).max(initial=0.0))
        if not outputs:
            raise InputError(f"{id}: its action_space {act} has no numbers; nothing can be driven")
        if not np.isfinite(reach):
            raise InputError(f"{id}: actions have no bounds; wrap it with a bounded action space")
        spec = {
            "layers": (n_obs, *HIDDEN, outputs),
            "action_scale": reach,
            "action_decimals": None,
            **(controller or {}),
        }
        self.controller = ControllerSpec.from_json(spec)
        if (self.controller.layers[0], self.controller.layers[-1]) != (n_obs, outputs):
            raise InputError(
                f"--layers {' '.join(map(str, self.controller.layers))}: {id} has {n_obs} "
                f"observations and {outputs} actions; expected {n_obs} … {outputs}"
            )
        low, high = obs.low.reshape(-1), obs.high.reshape(-1)
        bounded = np.isfinite(low) & np.isfinite(high) & (high > low) & (high - low < 1e6)
        bounded &= self.controller.obs_scale != "none"
        with np.errstate(invalid="ignore"):  # of what has no bounds
            self._centre = np.where(bounded, (low + high) / 2, 0).astype(np.float32)
        self._gain = np.where(bounded, 2 / np.where(bounded, high - low, 1), 1).astype(np.float32)
        self._reset(0, 0)  # says at once what a search would meet later

    def __getstate__(self) -> dict[str, Any]:
        """What other processes need; they make copies of the environment for themselves."""
        return {**vars(self), "_envs": []}

    def _env(self, number: int) -> gymnasium.Env[Any, Any]:
        while len(self._envs) <= number:
            self._envs.append(make_gymnasium(self.id, **self.kwargs))
        return self._envs[number]

    def record(self, solutions: Floats, seed: int = 0) -> Rollouts:
        """Drive N policies, each in a copy of its own, all reset with the same seed."""
        count, steps, n_act = len(solutions), self.steps, len(self.action_low)
        n_obs = self.controller.layers[0]
        require_memory(
            4.0 * count * (steps + 1) * (n_obs + n_act + 3), f"{count:,} drives of {steps:,} steps"
        )
        blocks = [
            self._drive(solutions[begin : begin + COPIES], seed)
            for begin in range(0, max(count, 1), COPIES)
        ]
        names = [name for name in blocks[0].info if all(name in b.info for b in blocks)]
        return Rollouts(
            np.concatenate([block.obs for block in blocks]),
            np.concatenate([block.action for block in blocks]),
            np.concatenate([block.length for block in blocks]),
            {name: np.concatenate([block.info[name] for block in blocks]) for name in names},
        )

    def _drive(self, solutions: Floats, seed: int) -> Rollouts:
        """`record` of at most COPIES policies, side by side."""
        count, steps, n_act = len(solutions), self.steps, len(self.action_low)
        obs = np.zeros((count, steps + 1, self.controller.layers[0]), dtype=np.float32)
        action = np.zeros((count, steps, n_act), dtype=np.float32)
        pose = np.zeros((count, steps + 1, 3), dtype=np.float32)
        length = np.full(count, steps, dtype=np.int32)
        reward = np.zeros(count)
        infos: list[Mapping[str, Any]] = []
        for n in range(count):
            obs[n, 0], info = self._reset(n, seed)
            infos.append(info)
        has_pose = all("pose" in info for info in infos)
        if has_pose:
            pose[:, 0] = [self._pose(info) for info in infos]
        active = np.arange(count)
        for t in range(steps):
            inputs = (obs[active, t] - self._centre) * self._gain
            chosen = self.controller.act(solutions[active], inputs)
            if self.action_classes is not None:
                chosen = chosen.argmax(axis=1)[:, None]
            action[active, t] = np.clip(chosen, self.action_low, self.action_high)
            done = np.zeros(len(active), dtype=bool)
            for place, n in enumerate(active.tolist()):
                seen, gain, done[place], infos[n] = self._step(n, action[n, t])
                obs[n, t + 1] = seen
                reward[n] += gain
                if has_pose:
                    pose[n, t + 1] = self._pose(infos[n])
                if done[place] or t + 1 == steps:
                    length[n] = t + 1
                    # Padding: the state holds.
                    obs[n, t + 2 :], pose[n, t + 2 :] = obs[n, t + 1], pose[n, t + 1]
            active = active[~done]
            if len(active) == 0:
                break
        rollouts = Rollouts(obs, action, length, {"objective": reward.astype(np.float32)})
        rollouts.info["bd"] = self._measured(rollouts, infos)
        if has_pose:
            rollouts.info["pose"] = pose
        return rollouts

    def _step(self, n: int, action: Floats) -> tuple[Floats, float, bool, Mapping[str, Any]]:
        """Observation [n_obs], reward, whether it ended, and info of one environment."""
        act = self._act
        if isinstance(act, Discrete):
            taken: Any = int(act.start) + int(action[0])
        else:
            taken = action.reshape(act.shape).astype(act.dtype)
        result = theirs(f"{self.id}: step raised", self._env(n).step, taken)
        if not isinstance(result, tuple) or len(result) != 5 or not isinstance(result[4], Mapping):
            count = len(result) if isinstance(result, tuple) else 1
            raise InputError(f"{self.id}: step gives {count} values, expected 5; {OLD_GYM}")
        obs, reward, terminated, truncated, info = result
        try:
            gain = float(reals(reward, None))
            ends = [np.asarray(end).item() for end in (terminated, truncated)]
            if not all(end in (0, 1) for end in ends):  # "no" is true to Python
                raise ValueError
        except (TypeError, ValueError):
            raise InputError(
                f"{self.id}: step's reward is {reward!r}, terminated {terminated!r}, truncated "
                f"{truncated!r}; expected a number, true or false, and true or false"
            ) from None
        return self._flat(obs, "step"), gain, any(ends), info

    def first_info(self) -> Mapping[str, Any]:
        """What reset reports with seed 0."""
        return self._reset(0, 0)[1]

    def _reset(self, n: int, seed: int) -> tuple[Floats, Mapping[str, Any]]:
        """First observation [n_obs] and info of one environment."""
        result = theirs(f"{self.id}: reset raised", self._env(n).reset, seed=seed)
        pair = isinstance(result, tuple) and len(result) == 2
        if not pair or not isinstance(result[1], Mapping):
            raise InputError(f"{self.id}: reset gives no info beside the observation; {OLD_GYM}")
        return self._flat(result[0], "reset"), result[1]

    def _pose(self, info: Mapping[str, Any]) -> Floats:
        """The pose [3] that info reports."""
        try:
            pose = reals(info.get("pose"))
        except (TypeError, ValueError):
            pose = np.empty(0, np.float32)
        if pose.shape != (3,) or not np.isfinite(pose).all():
            raise InputError(
                f"{self.id}: the pose in info is {str(info.get('pose'))[:60]}; expected 3 finite "
                "numbers, x, y and heading, from every reset and step, or no pose at all"
            )
        return pose

    def _flat(self, obs: Any, where: str) -> Floats:
        """An observation as [n_obs]."""
        try:
            flat = reals(obs).reshape(-1)
        except (TypeError, ValueError):
            if np.iscomplexobj(obs):
                raise InputError(f"{self.id}: {where} observes {COMPLEX}") from None
            flat = np.empty(0, np.float32)
        if len(flat) != self.controller.layers[0] or not np.isfinite(flat).all():
            raise InputError(
                f"{self.id}: {where} observes {np.array2string(flat[:6])}, {len(flat)} numbers; "
                f"expected {self.controller.layers[0]} finite numbers, as its observation_space "
                "says"
            )
        return flat

    def _measured(self, rollouts: Rollouts, infos: Sequence[Mapping[str, Any]]) -> Floats:
        """The BDs reached, [N, n_bd]."""
        length = rollouts.length.tolist()
        reached = [
            self._bd(rollouts.obs[n, : steps + 1], rollouts.action[n, :steps], infos[n])
            for n, steps in enumerate(length)
        ]
        measures = reals(reached).reshape(len(length), -1)
        if measures.shape[1] != len(self.measures.names):
            raise InputError(
                f"{self.id}: the BD has {measures.shape[1]} dimensions; expected "
                f"{len(self.measures.names)} ({', '.join(self.measures.names)})"
            )
        return measures

    def reachable(self) -> None:
        """Unknown: coverage counts all cells."""
        return None


def gymnasium_task(
    id: str,
    controller: Mapping[str, Any] | None = None,
    bd_obs: Sequence[int] | None = None,
    bd_names: Sequence[str] | None = None,
    bd_low: Sequence[float] | None = None,
    bd_high: Sequence[float] | None = None,
    steps: Annotated[int, Ge(1)] | None = None,
    kwargs: Mapping[str, Any] | None = None,
    plane: str | Path | Mapping[str, Any] | None = None,
    obs_key: str | None = None,
    reset_options: Mapping[str, Any] | None = None,
) -> GymnasiumTask:
    """A Gymnasium environment whose BD is where it ends: on a plane, or in the observation.

    Args:
        id: Gymnasium id, e.g. MountainCarContinuous-v0.
        controller: fields of `ControllerSpec`.
        bd_obs: which numbers of the final observation are the BD; where None, the position on the
            plane, without a plane all of them.
        bd_names, bd_low, bd_high: of these; the bounds are the observation space's where None.
        steps: instead of the environment's own time limit.
        kwargs: arguments of `gymnasium.make`.
        plane: a TOML file (or its content) that makes a map of two numbers, so that drives can be
            annotated, asked for and evaluated; see `envs.plane`.
        obs_key: the entry of a Dict observation that is driven by.
        reset_options: what every reset is given as its options.

    Raises:
        InputError: as `GymnasiumTask`, or a BD without bounds.
    """
    env = make_gymnasium(id, **(kwargs or {}))
    space, act = driven_spaces(env, id, obs_key)
    limit = steps or (env.spec.max_episode_steps if env.spec else None)
    floor = None if plane is None else load_plane(plane)
    placed = floor is not None and bd_obs is None
    if placed and (bd_names or bd_low or bd_high):
        raise InputError(
            f"{id}: with a plane the BD is the position there (x, y); bd_names, bd_low and bd_high "
            "are for a BD of the numbers that bd_obs lists"
        )
    places = list(range(int(np.prod(space.shape)))) if bd_obs is None else [int(i) for i in bd_obs]
    measures = (
        Measures(("x", "y"), (0.0, 0.0), (floor.world.size, floor.world.size))
        if floor is not None and placed
        else _obs_measures(id, space, places, bd_names, bd_low, bd_high)
    )

    def final(obs: Floats, action: Floats, info: Mapping[str, Any]) -> Floats:
        return info["bd"] if placed else obs[-1, places]

    options = {"kwargs": kwargs, "obs_key": obs_key, "reset_options": reset_options}
    given = {name: value for name, value in options.items() if value}
    if floor is None and not {"obs_key", "reset_options"} & set(given) and isinstance(act, Box):
        return GymnasiumTask(id, final, measures, kwargs=kwargs, controller=controller, steps=steps)
    wrapped = {"env": id, "steps": limit, **given}
    wrapped |= {} if placed else {"bd_obs": places}
    wrapped |= {} if floor is None else {"plane": floor.table}
    task = GymnasiumTask(
        "envs:wayword/Plane-v0", final, measures, controller=controller, steps=limit, kwargs=wrapped
    )
    if floor is not None:  # drives begin where a reset puts them, and pictures say so
        task.world = floor.starting(task.first_info()["pose"])
    return task


def _obs_measures(
    id: str,
    space: Box,
    places: Sequence[int],
    names: Sequence[str] | None,
    low: Sequence[float] | None,
    high: Sequence[float] | None,
) -> Measures:
    """The measures of a BD that is some numbers of the final observation."""
    width = int(np.prod(space.shape))
    if not places or min(places) < 0 or max(places) >= width:
        raise InputError(f"{id}: bd_obs is {list(places)}; expected numbers from 0 to {width - 1}")
    own = list(places)
    low = [float(v) for v in (space.low.reshape(-1)[own] if low is None else low)]
    high = [float(v) for v in (space.high.reshape(-1)[own] if high is None else high)]
    names = tuple(names or (f"obs_{i}" for i in places))
    if not len(names) == len(low) == len(high) == len(places):
        raise InputError(
            f"{id}: bd_names, bd_low, bd_high must have {len(places)} values, as bd_obs does"
        )
    if not np.isfinite([low, high]).all() or (np.array(high) - low > 1e6).any():
        raise InputError(f"{id}: the BD {list(names)} has no bounds; give bd_low and bd_high")
    return Measures(names, tuple(low), tuple(high))
