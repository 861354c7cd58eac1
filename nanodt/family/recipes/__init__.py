"""The systems of the family, one file each, found by their names.

python -m nanodt.train --recipe cartpole          # the same as
python -m nanodt.family.recipes cartpole
"""

from __future__ import annotations

import importlib

from nanodt.errors import InputError
from nanodt.family.recipes.recipe import Recipe

NAMES = ("dt", "cartpole", "bet", "qdt", "tt", "mgdt", "mddt", "gato", "tdt")


def get_recipe(name: str) -> Recipe:
    """The recipe of that name: `RECIPE` of NAME.py in this folder."""
    if name not in NAMES:
        raise InputError(f"no recipe {name!r}: there are {', '.join(NAMES)}")
    return importlib.import_module(f"nanodt.family.recipes.{name}").RECIPE


def main(arguments: list[str]) -> int:
    """The command line; exit status 2 on a user's mistake, 1 when a figure misses its mark."""
    from nanodt.family.recipes.command import run

    return run(arguments)
