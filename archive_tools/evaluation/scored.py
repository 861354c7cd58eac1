"""The drives of an evaluation, row by row: what was asked, what was driven, and every metric."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from archive_tools.annotations import Annotation, similarity
from archive_tools.rollouts import command_files
from envs import World
from envs.scene import Scene


@dataclass
class Scored:
    """Everything known about the drives, row by row.

    Attributes:
        frame: one row per drive: system, set, pair, item, seed, trajectory_id (NaN without a
            reference), rival_id, text, target [n_bd] (NaN where the command has none), must, avoid,
            end, reached [n_bd], and the columns of METRICS. Those of the judges, and
            `reasons`, are filled by `judging`. `instruction` is the text that the system was
            given: the item's, another one, or None.
        poses: per drive [T+1, 3] world units, or None where the environment has no pose.
        driven: per drive its annotation, or None.
        references: trajectory_id → annotation.
        world: of the run.
        diagonal: of the BD space, in its units.
        reference_poses: trajectory_id → [T+1, 3], of the items' references; for pictures.
    """

    frame: pd.DataFrame
    poses: list[NDArray[np.float32] | None]
    driven: list[Annotation | None]
    references: Mapping[int, Annotation]
    world: World
    diagonal: float = float("nan")
    reference_poses: dict[int, NDArray[np.float32]] = field(default_factory=dict)

    @property
    def scene(self) -> Scene | None:
        """With the tiles; None where the environment has none."""
        return self.world.scene

    def annotated(self, *, pairs: bool | None = None, reference: bool = False) -> list[int]:
        """Rows with an annotation.

        Args:
            pairs: only those of contrast pairs, or only the others; None for both.
            reference: only those whose item has a reference.
        """
        known = self.frame["trajectory_id"].notna().tolist()
        paired = [name != command_files.set_of(name) for name in self.frame["set"]]
        return [
            row
            for row, driven in enumerate(self.driven)
            if driven is not None and pairs in (None, paired[row]) and (known[row] or not reference)
        ]

    def routes(self, rows: Sequence[int]) -> list[similarity.Route]:
        """What the drives of annotated rows visited."""
        chosen = (self.driven[row] for row in rows)
        return [driven.visited for driven in chosen if driven is not None]

    def reference_routes(
        self, rows: Sequence[int], column: str = "trajectory_id"
    ) -> list[similarity.Route]:
        """What the references of rows visited, or with "rival_id" the other ones of the pairs."""
        return [self.references[int(i)].visited for i in self.frame[column].iloc[rows]]
