"""Gymnasium environments by what a dataset or a user names."""

from __future__ import annotations

import importlib
import warnings
from typing import Any

from nanodt.errors import InputError


def make_environment(environment: dict[str, Any], n: int | None, otherwise: str) -> Any:
    """N copies of an environment {"id", "kwargs"} as one vector environment, its own kind where it
    has one; of n None, the environment by itself.

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
            if n is None:
                return gymnasium.make(bare, **kwargs)
            mode = "vector_entry_point" if gymnasium.spec(bare).vector_entry_point else "sync"
            return gymnasium.make_vec(bare, num_envs=n, vectorization_mode=mode, **kwargs)
    except Exception as error:  # a constructor of someone else's
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise InputError(
            f"the environment {name!r} cannot be made ({reason}): install it, or {otherwise}"
        ) from error
