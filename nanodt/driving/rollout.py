"""Closed-loop driving: a policy and a batched Gymnasium environment."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from nanodt.errors import InputError


class Acts(Protocol):
    """What drives: a `Policy`, a planner, or a recording that is replayed."""

    def reset(self, seed: int | None = None) -> None: ...

    def act(self, obs: Any, text: Any, bd: Any, reward: np.ndarray) -> np.ndarray: ...


@dataclass
class Rollouts:
    """N closed-loop runs of at most T steps; index 0 of obs and info is the state after reset.

    A run that ended early holds its last state and zero actions from then on.
    """

    obs: np.ndarray
    """[N, T + 1, n_obs] float32; empty where observations are not arrays."""
    action: np.ndarray
    """[N, T, n_act] float32."""
    reward: np.ndarray
    """[N, T] float32."""
    length: np.ndarray
    """[N] int64, steps driven."""
    success: np.ndarray
    """[N] bool: the environment reported `success` at some step."""
    info: dict[str, np.ndarray]
    """[N, T + 1, ...], every array the environment reports at each step."""

    @property
    def returns(self) -> np.ndarray:
        """Sum of rewards [N]."""
        return self.reward.astype(np.float64).sum(1)


def drive(
    policy: Acts,
    vector_env: Any,
    text: Sequence[str] | None = None,
    bd: np.ndarray | None = None,
    *,
    steps: int | None = None,
    seed: int | list[int] = 0,
    see: Callable[[Any], Any] | None = None,
    send: Callable[[np.ndarray], Any] | None = None,
) -> Rollouts:
    """Drive all robots of a Gymnasium `VectorEnv` once, each by its own text and bd [N, n_bd].

    `steps` defaults to the longest episode the policy knows. The seed goes to the environment (a
    list: one for each robot) and, or the first of them, to the policy's draws. `see` turns the
    environment's observations into what the policy takes (by default float32 vectors), `send`
    actions [N, n_act] into what the environment takes (by default: numbers of a Discrete space,
    else the vectors).
    """
    limit = policy.config.layout.max_steps if hasattr(policy, "config") else 0  # type: ignore
    if steps is None and not limit:
        raise InputError("this policy knows no longest episode: give steps")
    steps = min(steps or limit, limit or steps)  # type: ignore[type-var]
    n = vector_env.num_envs
    for name, given in (("text", text), ("bd", bd)):
        if given is not None and len(given) != n:
            raise InputError(f"{len(given)} {name}s for {n} environments: give one each")
    see, send = see or float_vectors, send or sender(vector_env)
    policy.reset(seed if isinstance(seed, int) else seed[0])
    obs, info = vector_env.reset(seed=seed)
    seen, reports = [see(obs)], [arrays(info, n)]
    actions, rewards, reward = [], [], np.zeros(n, np.float32)
    alive, length, success = np.ones(n, bool), np.zeros(n, np.int64), np.zeros(n, bool)
    for _ in range(steps):
        action = policy.act(seen[-1], text, bd, reward)
        action = np.where(alive[:, None], action, 0).astype(np.float32)
        obs, reward, terminated, truncated, info = vector_env.step(send(action))
        obs, report = true_end(see(obs), info, n)
        # A finished environment may already have begun anew: hold the last state instead.
        array = isinstance(obs, np.ndarray)
        seen.append(np.where(alive[:, None], obs, seen[-1]) if array else obs)
        reports.append({k: hold(alive, v, reports[-1].get(k)) for k, v in report.items()})
        if "success" in report:
            success |= alive & (report["success"].astype(np.float64).reshape(n) > 0)
        reward = np.where(alive, np.asarray(reward, np.float32), 0).astype(np.float32)
        actions.append(action)
        rewards.append(reward)
        length += alive
        alive = alive & ~(np.asarray(terminated) | np.asarray(truncated))
        if not alive.any():
            break
    keys = [k for k in reports[0] if all(k in r for r in reports)]
    return Rollouts(
        obs=np.stack(seen, 1) if isinstance(seen[0], np.ndarray) else np.zeros((n, 0, 0)),
        action=np.stack(actions, 1),
        reward=np.stack(rewards, 1),
        length=length,
        success=success,
        info={k: np.stack([r[k] for r in reports], 1) for k in keys},
    )


def float_vectors(obs: Any) -> np.ndarray:
    return np.asarray(obs, np.float32)


def sender(vector_env: Any) -> Callable[[np.ndarray], Any]:
    """What turns actions [N, n_act] into those of an environment."""
    if hasattr(vector_env.single_action_space, "n"):
        return lambda action: action[:, 0].astype(np.int64)
    return lambda action: action


def arrays(info: dict[str, Any], n: int) -> dict[str, np.ndarray]:
    """The numbers an environment reports for every robot; Gymnasium's masks begin with _."""
    found = {}
    for key, value in info.items():
        value = np.asarray(value)
        if not key.startswith("_") and value.ndim and len(value) == n and value.dtype != object:
            found[key] = value
    return found


def true_end(obs: Any, info: dict[str, Any], n: int) -> tuple[Any, dict[str, np.ndarray]]:
    """Undo an autoreset within the step: put back the last observation and info."""
    report = arrays(info, n)
    ended = np.asarray(info.get("_final_obs", np.zeros(n, bool)))
    if not ended.any():
        return obs, report
    if isinstance(obs, np.ndarray):
        obs = obs.copy()
        for i in np.flatnonzero(ended):
            obs[i] = info["final_obs"][i]
    for key, value in arrays(info.get("final_info", {}), n).items():
        old = report.get(key, value)
        report[key] = np.where(ended.reshape(-1, *[1] * (value.ndim - 1)), value, old)
    return obs, report


def hold(alive: np.ndarray, new: np.ndarray, old: np.ndarray | None) -> np.ndarray:
    """The new values of rows still alive, the old ones of others."""
    if old is None:
        return new
    return np.where(alive.reshape(-1, *[1] * (new.ndim - 1)), new, old)
