"""A trained policy as a model of the Hugging Face Hub: its folder, with a card of its figures."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import load_file

from archive_tools.files import atomic_write, read_json
from archive_tools.publishing.contents import Contents
from envs.errors import InputError


def write(contents: Contents, folder: Path, open_model: Callable[[Path], Any]) -> dict[str, int]:
    """Write the model into an empty folder, open it and hold it against the run's.

    Args:
        contents: with the stage model.
        folder: empty.
        open_model: opens a model's folder, and raises where it is none.

    Returns:
        how many tensors it has, and numbers in them.

    Raises:
        InputError: a tensor differs.
    """
    source = contents.run / "model"
    for name in contents.files("model"):
        contents.copy("model", name, folder / name)
    own, copied = (load_file(place / "model.safetensors") for place in (source, folder))
    for name in sorted(own.keys() | copied.keys()):
        if name not in own or name not in copied or not np.array_equal(own[name], copied[name]):
            raise InputError(f"{folder}: tensor {name} is not the run's; publish again")
    open_model(folder)
    count = {"tensors": len(own), "numbers": int(sum(t.size for t in own.values()))}
    config = read_json(folder / "config.json")
    atomic_write(folder / "README.md", contents.card("model.md.jinja", count=count, config=config))
    return count
