"""What comes next on the way, step by step: the targets of next-subgoal prediction."""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from archive_tools.annotations.events import Annotation
from envs.scene import Scene


def milestone_names(scene: Scene) -> list[str]:
    """The places that can come next on a way: tiles and objects, each once."""
    return list(dict.fromkeys([*scene.tile_names, *scene.object_names]))


def milestone_column(
    annotations: Sequence[Annotation], lengths: NDArray[np.integer], names: Sequence[str]
) -> pa.Array:
    """Which of `names` comes next at each step of N trajectories; their number where none does."""
    number = {name: i for i, name in enumerate(names)} | {"": len(names)}
    rows = [
        [number[name] for name in annotation.milestones(int(length))]
        for annotation, length in zip(annotations, lengths, strict=True)
    ]
    return pa.array(rows, pa.list_(pa.int16()))
