"""Packages that only some need: the `gym` extra."""

import importlib
import warnings
from typing import Any

from nanodt.errors import InputError

EXTRA = "pip install 'wayword[gym]'"


def need(module: str) -> Any:
    """Import a module of the `gym` extra, or say how to install it."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of simulators about their own parts
            return importlib.import_module(module)
    except ImportError as error:
        raise InputError(f"{module} is needed ({error}): {EXTRA}") from error
