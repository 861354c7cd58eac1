"""Closed-loop driving: a policy and a batched Gymnasium environment."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from tqdm import tqdm

from nanodt.driving.policy import Policy
from nanodt.errors import InputError


@dataclass
class Drives:
    """N recorded drives of T steps; index 0 of obs and info is the state after reset.

    A drive that ended early holds its last state and zero actions from then on.
    """

    obs: np.ndarray  # [N, T + 1, n_obs] float32
    action: np.ndarray  # [N, T, n_act] float32
    reward: np.ndarray  # [N, T] float32
    length: np.ndarray  # [N] int64, steps driven
    info: dict[str, np.ndarray]  # [N, T + 1, ...], every array the environment reports


def drive(
    policy: Policy,
    vector_env: Any,
    text: Sequence[str] | None = None,
    bd: np.ndarray | None = None,
    *,
    steps: int | None = None,
    seed: int = 0,
    progress: bool = False,
) -> Drives:
    """Drive all robots of a Gymnasium `VectorEnv` once, each by its own text and bd [N, n_bd].

    `steps` defaults to the longest trajectory the model knows. The seed goes to the environment
    and to the policy's draws.
    """
    limit = policy.config.max_steps
    steps = limit if steps is None else min(steps, limit)
    n = vector_env.num_envs
    for name, given in (("text", text), ("bd", bd)):
        if given is not None and len(given) != n:
            raise InputError(f"{len(given)} {name}s for {n} environments: give one each")
    policy.reset(seed)
    obs, info = vector_env.reset(seed=seed)
    seen = [np.asarray(obs, np.float32)]
    reports = [arrays(info, n)]
    actions, rewards = [], []
    alive, length = np.ones(n, bool), np.zeros(n, np.int64)
    discrete = policy.config.head.kind == "discrete"
    for _ in tqdm(range(steps), desc="driving", unit="step", disable=not progress, leave=False):
        action = np.where(alive[:, None], policy.act(seen[-1], text, bd), 0).astype(np.float32)
        sent = action[:, 0].astype(np.int64) if discrete else action
        obs, reward, terminated, truncated, info = vector_env.step(sent)
        obs, report = true_end(np.asarray(obs, np.float32), info, n)
        # A finished environment may already have begun anew: hold the last state instead.
        seen.append(np.where(alive[:, None], obs, seen[-1]))
        reports.append({k: hold(alive, v, reports[-1].get(k)) for k, v in report.items()})
        actions.append(action)
        rewards.append(np.where(alive, np.asarray(reward, np.float32), 0))
        length += alive
        alive = alive & ~(np.asarray(terminated) | np.asarray(truncated))
        if not alive.any():
            break
    keys = [k for k in reports[0] if all(k in r for r in reports)]
    return Drives(
        obs=np.stack(seen, 1),
        action=np.stack(actions, 1),
        reward=np.stack(rewards, 1).astype(np.float32),
        length=length,
        info={k: np.stack([r[k] for r in reports], 1) for k in keys},
    )


def arrays(info: dict[str, Any], n: int) -> dict[str, np.ndarray]:
    """The numbers an environment reports for every robot; Gymnasium's masks begin with _."""
    found = {}
    for key, value in info.items():
        value = np.asarray(value)
        if not key.startswith("_") and value.ndim and len(value) == n and value.dtype != object:
            found[key] = value
    return found


def true_end(
    obs: np.ndarray, info: dict[str, Any], n: int
) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Undo an autoreset within the step: put back the last observation and info."""
    ended = np.asarray(info.get("_final_obs", np.zeros(n, bool)))
    if ended.any():
        obs = obs.copy()
        for i in np.flatnonzero(ended):
            obs[i] = info["final_obs"][i]
    return obs, true_report(info, n)


def true_report(info: dict[str, Any], n: int) -> dict[str, np.ndarray]:
    """What the environment reported of each robot, of those that just ended their last state."""
    report = arrays(info, n)
    ended = np.asarray(info.get("_final_obs", np.zeros(n, bool)))
    if ended.any():
        for key, value in arrays(info.get("final_info", {}), n).items():
            old = report.get(key, value)
            report[key] = np.where(ended.reshape(-1, *[1] * (value.ndim - 1)), value, old)
    return report


def hold(alive: np.ndarray, new: np.ndarray, old: np.ndarray | None) -> np.ndarray:
    """The new values of rows still alive, the old ones of others."""
    if old is None:
        return new
    return np.where(alive.reshape(-1, *[1] * (new.ndim - 1)), new, old)
