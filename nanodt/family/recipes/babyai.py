"""BabyAI's "go to" levels for the recipes: what the agent sees as objects, words, and its bot.

The agent sees 7 x 7 cells before it, itself at the middle of the near edge. What matters there
are few objects, so an observation becomes pairs (kind, cell), nearest first: at most `seen`
objects, then the wall ahead.
"""

from __future__ import annotations

import contextlib
import io
from collections.abc import Callable
from typing import Any

import numpy as np

from nanodt.errors import InputError
from nanodt.family.sources import Behaviour, collect, make_env, need
from nanodt.family.trajectories import Trajectories

COLOURS = ("red", "green", "blue", "purple", "yellow", "grey")  # in MiniGrid's order
OBJECTS = ("key", "ball", "box")
WORDS = ("go", "to", "a", "the", *COLOURS, *OBJECTS)
FIRST_OBJECT, WALL = 5, 2  # MiniGrid's numbers of a key and a wall
VIEW, AGENT = 7, (3, 6)  # cells a side, and the agent's own
NOTHING, AHEAD, NOWHERE = 0, 1 + len(COLOURS) * len(OBJECTS), VIEW * VIEW
ACTIONS = 7

X, Y = np.divmod(np.arange(VIEW * VIEW), VIEW)
ORDER = np.argsort(abs(X - AGENT[0]) + abs(Y - AGENT[1]), kind="stable")
"""The view's cells by their distance from the agent."""


def look(image: np.ndarray, seen: int) -> np.ndarray:
    """Images [N, 7, 7, 3] as pairs [N, seen + 1, 2] of kind and cell."""
    flat = image.reshape(-1, VIEW * VIEW, image.shape[-1]).astype(np.int64)
    thing, colour = flat[:, ORDER, 0], flat[:, ORDER, 1]
    known = (thing >= FIRST_OBJECT) & (thing < FIRST_OBJECT + len(OBJECTS))
    kind = np.where(known, 1 + (thing - FIRST_OBJECT) * len(COLOURS) + colour, NOTHING)
    first = np.argsort(~known, axis=1, kind="stable")[:, :seen]
    kind = np.take_along_axis(kind, first, 1)
    cell = np.where(kind > NOTHING, ORDER[first], NOWHERE)
    column = image[..., AGENT[0], AGENT[1] - 1 :: -1, 0].reshape(len(flat), -1) == WALL
    far = AGENT[0] * VIEW + AGENT[1] - 1 - column.argmax(1)
    ahead = np.where(column.any(1), far, NOWHERE)
    wall = np.stack([np.full(len(flat), AHEAD), ahead], 1)
    return np.concatenate([np.stack([kind, cell], 2), wall[:, None]], 1)


QUIET = contextlib.redirect_stdout(io.StringIO())
"""The levels tell what layouts they discard."""
PARTS = {"thing": len(OBJECTS) + 2, "colour": len(COLOURS) + 1, "x": VIEW + 1, "y": VIEW + 1}


def parts(pairs: np.ndarray) -> dict[str, np.ndarray]:
    """Pairs [..., 2] of `look` taken apart: thing and colour of the kind, x and y of the cell.

    Classes of `PARTS`; 0 is no thing (the wall the last) and no colour, 7 is nowhere.
    """
    kind, cell = np.asarray(pairs, np.int64)[..., 0], np.asarray(pairs, np.int64)[..., 1]
    known = (kind > NOTHING) & (kind < AHEAD)
    thing, colour = np.divmod(kind - 1, len(COLOURS))
    x, y = np.divmod(cell, VIEW)
    return {
        "thing": np.select([known, kind == AHEAD], [thing + 1, len(OBJECTS) + 1], 0),
        "colour": np.where(known, colour + 1, 0),
        "x": np.where(cell == NOWHERE, VIEW, x),
        "y": np.where(cell == NOWHERE, VIEW, y),
    }


def word_ids(text: str) -> np.ndarray:
    """The numbers of a mission's words."""
    words = text.split()
    unknown = sorted(set(words) - set(WORDS))
    if unknown:
        raise InputError(f"unknown words {', '.join(unknown)}: missions use {', '.join(WORDS)}")
    return np.array([WORDS.index(w) for w in words], np.int64)


def bot(env: Any) -> Behaviour:
    """BabyAI's own solver, for the trajectory that begins next."""
    solver, action = None, None
    make = need("minigrid.utils.baby_ai_bot").BabyAIBot

    def act(obs: Any, rng: np.random.Generator) -> int:
        nonlocal solver, action
        solver = solver or make(env.unwrapped)
        action = solver.replan(action)
        return int(action)

    return act


def collect_missions(
    level: str,
    trajectories: int,
    seed: int,
    seen: int,
    *,
    behaviour: Callable[[Any], Behaviour] = bot,
    keep: Callable[[str], bool] = lambda mission: True,
) -> Trajectories:
    """Trajectories of a level: obs [2 * (seen + 1)], the pairs of `look`; texts, the missions."""
    with QUIET:
        env = make_env(level)
        return collect(
            env,
            lambda i: behaviour(env),
            trajectories,
            seed,
            see=lambda obs: look(obs["image"], seen),
            each=lambda i, info: {"text": env.unwrapped.mission},
            keep=lambda info: keep(env.unwrapped.mission),
            name=level,
        )


def missions(envs: Any, seed: int) -> list[str]:
    """The missions that vector environments give when reset with a seed."""
    with QUIET:
        return [str(m) for m in envs.reset(seed=seed)[0]["mission"]]
