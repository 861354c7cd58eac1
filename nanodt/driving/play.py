"""Closed-loop play of an `Actor` in a Gymnasium vector environment."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from nanodt.driving.rollout import arrays, hold, true_report


class Acts(Protocol):
    """What plays: an `Actor`, or a planner."""

    def reset(self, seed: int | None = None) -> None: ...

    def act(self, obs: Any, reward: np.ndarray | None = None) -> np.ndarray: ...


@dataclass
class Plays:
    """N drives of at most T steps; one that ended early holds its last observation."""

    returns: np.ndarray
    """Sum of rewards [N]."""
    length: np.ndarray
    """Steps [N] int64."""
    success: np.ndarray
    """[N] bool: `info["success"]` was set at some step."""
    obs: list[Any]
    """As the environment gave them, T + 1 of them; after a row's end they are not its own."""
    action: np.ndarray
    """[N, T, size]."""
    info: dict[str, np.ndarray]
    """What the environment reported last of each row, [N, ...]."""


def play(
    actor: Acts,
    env: Any,
    steps: int,
    seed: int = 0,
    *,
    see: Callable[[Any], Any] = np.asarray,
    send: Callable[[np.ndarray], Any] | None = None,
) -> Plays:
    """Let the actor drive all environments once, for at most `steps` steps.

    `see` turns the observations into what `actor.act` takes, `send` actions [N, size] into what
    the environment takes (by default: numbers of a Discrete space, else the vectors).
    """
    n = env.num_envs
    discrete = hasattr(env.single_action_space, "n")
    actor.reset(seed)
    obs, info = env.reset(seed=seed)
    seen, actions, last = [obs], [], arrays(info, n)
    alive, success = np.ones(n, bool), np.zeros(n, bool)
    returns, length, reward = np.zeros(n), np.zeros(n, np.int64), np.zeros(n, np.float32)
    for _ in range(steps):
        action = actor.act(see(obs), reward)
        actions.append(action)
        if send is not None:
            sent = send(action)
        else:
            sent = action[:, 0].astype(np.int64) if discrete else action
        obs, reward, terminated, truncated, info = env.step(sent)
        seen.append(obs)
        reward = np.where(alive, np.asarray(reward, np.float32), 0).astype(np.float32)
        returns += reward
        length += alive
        report = true_report(info, n)
        last |= {k: hold(alive, v, last.get(k)) for k, v in report.items()}
        if "success" in report:
            success |= alive & (report["success"].astype(np.float64).reshape(n) > 0)
        alive = alive & ~(np.asarray(terminated) | np.asarray(truncated))
        if not alive.any():
            break
    return Plays(returns, length, success, seen, np.stack(actions, 1), last)
