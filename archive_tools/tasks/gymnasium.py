"""Controllers on any Gymnasium environment, as the stages' `Environment` wants it.

An environment whose info has "pose" (x, y, heading) has it recorded as well; with a world that has
a scene such trajectories can be annotated. "wayword/Plane-v0" gives both to any environment: see
`envs.plane` and the option `plane`.
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
from gymnasium.spaces import Box

from archive_tools.tasks.controllers import ControllerSpec
from archive_tools.tasks.measures import Measures
from archive_tools.tasks.navigation import HIDDEN
from archive_tools.tasks.recording import Floats, Rollouts
from envs.errors import InputError, require_memory
from envs.plane import load_plane
from envs.world import World

OLD_GYM = (
    "this is the interface of OpenAI Gym before 0.26, where reset takes no seed and gives no info, "
    "and step gives 4 values; mend it by Gymnasium's migration guide "
    "(https://gymnasium.farama.org/introduction/migration_guide/), or wrap it with shimmy's "
    "GymV21CompatibilityV0"
)
BD = Callable[[Floats, Floats, Mapping[str, Any]], Sequence[float] | Floats]
"""bd(obs [T + 1, n_obs], action [T, n_act], last info) -> n_bd numbers."""


def _boxes(env: gymnasium.Env[Any, Any], id: str) -> tuple[Box, Box]:
    """Observation and action space; InputError unless both are Box."""
    obs, act = env.observation_space, env.action_space
    if not isinstance(obs, Box) or not isinstance(act, Box):
        raise InputError(
            f"{id}: observations are {type(obs).__name__}, actions {type(act).__name__}; "
            "expected Box for both (wrap the environment)"
        )
    return obs, act


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
    except Exception as error:
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
    """Controllers on any Gymnasium environment with Box spaces; objective = sum of rewards."""

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
            InputError: no such environment, no time limit, spaces that are not Box.
        """
        self.id, self.kwargs, self.measures, self._bd = id, dict(kwargs or {}), measures, bd
        self.world: World | None = world
        self._envs: list[gymnasium.Env[Any, Any]] = []
        env = self._env(0)
        obs, act = _boxes(env, id)
        limit = steps or (env.spec.max_episode_steps if env.spec else None)
        if not limit:
            raise InputError(f"{id}: has no time limit; give the number of steps in the options")
        self.steps = int(limit)
        n_obs, n_act = int(np.prod(obs.shape)), int(np.prod(act.shape))
        self.action_low = act.low.reshape(-1).astype(float).tolist()
        self.action_high = act.high.reshape(-1).astype(float).tolist()
        reach = float(np.abs([self.action_low, self.action_high]).max())
        if not np.isfinite(reach):
            raise InputError(f"{id}: actions have no bounds; wrap it with a bounded action space")
        spec = {
            "layers": (n_obs, *HIDDEN, n_act),
            "action_scale": reach,
            "action_decimals": None,
            **(controller or {}),
        }
        self.controller = ControllerSpec.from_json(spec)
        if (self.controller.layers[0], self.controller.layers[-1]) != (n_obs, n_act):
            raise InputError(
                f"--layers {' '.join(map(str, self.controller.layers))}: {id} has {n_obs} "
                f"observations and {n_act} actions; expected {n_obs} … {n_act}"
            )
        low, high = obs.low.reshape(-1), obs.high.reshape(-1)
        bounded = np.isfinite(low) & np.isfinite(high) & (high > low) & (high - low < 1e6)
        bounded &= self.controller.obs_scale != "none"
        self._centre = np.where(bounded, (low + high) / 2, 0).astype(np.float32)
        self._gain = np.where(bounded, 2 / np.where(bounded, high - low, 1), 1).astype(np.float32)
        self._action_shape, self._action_dtype = act.shape, act.dtype
        self._reset(0, 0)  # says at once what a search would meet later

    def __getstate__(self) -> dict[str, Any]:
        """What other processes need; they make copies of the environment for themselves."""
        return {**vars(self), "_envs": []}

    def _env(self, number: int) -> gymnasium.Env[Any, Any]:
        while len(self._envs) <= number:
            self._envs.append(make_gymnasium(self.id, **self.kwargs))
        return self._envs[number]

    def record(self, solutions: Floats, seed: int = 0) -> Rollouts:
        """Drive N policies side by side, each in its own copy, all reset with the same seed."""
        count, steps = len(solutions), self.steps
        n_obs, n_act = self.controller.layers[0], self.controller.layers[-1]
        require_memory(
            4.0 * count * (steps + 1) * (n_obs + n_act + 3), f"{count:,} drives of {steps:,} steps"
        )
        obs = np.zeros((count, steps + 1, n_obs), dtype=np.float32)
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
            pose[:, 0] = [info["pose"] for info in infos]
        active = np.arange(count)
        for t in range(steps):
            inputs = (obs[active, t] - self._centre) * self._gain
            chosen = self.controller.act(solutions[active], inputs)
            action[active, t] = np.clip(chosen, self.action_low, self.action_high)
            done = np.zeros(len(active), dtype=bool)
            for place, n in enumerate(active.tolist()):
                seen, gain, done[place], infos[n] = self._step(n, action[n, t])
                obs[n, t + 1] = seen
                reward[n] += gain
                if has_pose:
                    pose[n, t + 1] = infos[n]["pose"]
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
        shaped = action.reshape(self._action_shape).astype(self._action_dtype)
        result = theirs(f"{self.id}: step raised", self._env(n).step, shaped)
        if not isinstance(result, tuple) or len(result) != 5 or not isinstance(result[4], Mapping):
            count = len(result) if isinstance(result, tuple) else 1
            raise InputError(f"{self.id}: step gives {count} values, expected 5; {OLD_GYM}")
        obs, reward, terminated, truncated, info = result
        try:
            gain = float(reward)
        except (TypeError, ValueError):
            raise InputError(f"{self.id}: step's reward is {reward!r}; expected a number") from None
        return self._flat(obs, "step"), gain, bool(terminated or truncated), info

    def _reset(self, n: int, seed: int) -> tuple[Floats, Mapping[str, Any]]:
        """First observation [n_obs] and info of one environment."""
        result = theirs(f"{self.id}: reset raised", self._env(n).reset, seed=seed)
        pair = isinstance(result, tuple) and len(result) == 2
        if not pair or not isinstance(result[1], Mapping):
            raise InputError(f"{self.id}: reset gives no info beside the observation; {OLD_GYM}")
        return self._flat(result[0], "reset"), result[1]

    def _flat(self, obs: Any, where: str) -> Floats:
        """An observation as [n_obs]."""
        try:
            flat = np.asarray(obs, dtype=np.float32).reshape(-1)
        except (TypeError, ValueError):
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
        measures = np.asarray(reached, dtype=np.float32).reshape(len(length), -1)
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
) -> GymnasiumTask:
    """A Gymnasium environment whose BD is some numbers of the final observation.

    Args:
        id: Gymnasium id, e.g. MountainCarContinuous-v0.
        controller: fields of `ControllerSpec`.
        bd_obs: which numbers of the final observation; all of them where None.
        bd_names, bd_low, bd_high: of these; the bounds are the observation space's where None.
        steps: instead of the environment's own time limit.
        kwargs: arguments of `gymnasium.make`.
        plane: a TOML file (or its content) that makes a map of two numbers of the observation, so
            that drives can be annotated; see `envs.plane`.

    Raises:
        InputError: as `GymnasiumTask`, or a BD without bounds.
    """
    env = make_gymnasium(id, **(kwargs or {}))
    space, _ = _boxes(env, id)
    width = int(np.prod(space.shape))
    places = list(range(width)) if bd_obs is None else [int(i) for i in bd_obs]
    if not places or min(places) < 0 or max(places) >= width:
        raise InputError(f"{id}: bd_obs is {places}; expected numbers from 0 to {width - 1}")
    low = [float(v) for v in (space.low.reshape(-1)[places] if bd_low is None else bd_low)]
    high = [float(v) for v in (space.high.reshape(-1)[places] if bd_high is None else bd_high)]
    names = tuple(bd_names or (f"obs_{i}" for i in places))
    if not len(names) == len(low) == len(high) == len(places):
        raise InputError(
            f"{id}: bd_names, bd_low, bd_high must have {len(places)} values, as bd_obs does"
        )
    if not np.isfinite([low, high]).all() or (np.array(high) - low > 1e6).any():
        raise InputError(f"{id}: the BD {list(names)} has no bounds; give bd_low and bd_high")

    def final(obs: Floats, action: Floats, info: Mapping[str, Any]) -> Floats:
        return obs[-1, places]

    measures = Measures(names, tuple(low), tuple(high))
    if plane is None:
        return GymnasiumTask(id, final, measures, kwargs=kwargs, controller=controller, steps=steps)
    floor = load_plane(plane)
    limit = steps or (env.spec.max_episode_steps if env.spec else None)
    wrapped = {"env": id, "plane": floor.table, "bd_obs": places, "steps": limit}
    return GymnasiumTask(
        "envs:wayword/Plane-v0", final, measures, controller=controller, steps=limit,
        kwargs=wrapped | ({"kwargs": dict(kwargs)} if kwargs else {}), world=floor.world,
    )  # fmt: skip
