"""What comes next on the path, step by step: the classes of next-subgoal prediction."""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from archive_tools.annotations import Annotation
from envs.scene import Scene


def subgoal_names(scene: Scene) -> list[str]:
    """The places that can come next on a path: tiles and objects, each once."""
    return list(dict.fromkeys([*scene.tile_names, *scene.object_names]))


def subgoal_column(
    annotations: Sequence[Annotation], lengths: NDArray[np.integer], names: Sequence[str]
) -> pa.Array:
    """Which of `names` comes next at each step of N trajectories; their number where none does."""
    number = {name: i for i, name in enumerate(names)} | {"": len(names)}
    rows = [
        [number[name] for name in annotation.next_subgoals(int(length))]
        for annotation, length in zip(annotations, lengths, strict=True)
    ]
    return pa.array(rows, pa.list_(pa.int16()))
