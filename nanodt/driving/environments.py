"""Gymnasium environments by what a dataset or a user names."""

from __future__ import annotations

import importlib
import warnings
from typing import Any

from nanodt.errors import InputError


def make_vector_env(environment: dict[str, Any], n: int, otherwise: str) -> Any:
    """N copies of an environment {"id", "kwargs"} as one vector environment, its own kind where it
    has one.

    An id "module:Name-v0" imports its module. Raises InputError when it cannot be made; `otherwise`
    ends the message: what else to do.
    """
    import gymnasium  # only where an environment is asked for

    name, kwargs = environment.get("id"), environment.get("kwargs") or {}
    if not isinstance(name, str) or not name:
        raise InputError(f"the dataset's environment has no id: name it, or {otherwise}")
    try:
        module, _, bare = name.rpartition(":")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of simulators about their own parts
            if module:
                importlib.import_module(module)
            mode = "vector_entry_point" if gymnasium.spec(bare).vector_entry_point else "sync"
            return gymnasium.make_vec(bare, num_envs=n, vectorization_mode=mode, **kwargs)
    except (gymnasium.error.Error, ImportError, TypeError, ValueError, OSError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise InputError(
            f"the environment {name!r} cannot be made ({reason}): install it, or {otherwise}"
        ) from error
