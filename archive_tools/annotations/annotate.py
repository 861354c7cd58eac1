"""Where the surroundings of a drive change: all steps of all trajectories at once."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import shapely
from numpy.typing import NDArray

from archive_tools.annotations.events import Annotation, Event, Near
from archive_tools.run import read_manifest
from envs.geometry import COMPASS, compass_index, world_to_scene
from envs.scene import Scene

ON = len(COMPASS)  # relation code of "inside the object's box", after the 8 compass codes
RELATIONS = (*COMPASS, "on")
FAR = -1


@dataclass(frozen=True)
class NearRule:
    """When an object counts as near, and how long a change must last to become an event."""

    near: float = 24.0
    """Within this distance of its box, in units of the scene, an object is near."""
    persist: int = 3
    """A change must last this many steps."""

    @classmethod
    def of(cls, folder: Path) -> Self:
        """The rule by which the trajectories of a run were annotated; drives are judged by it too.

        Args:
            folder: the run's `annotations/`.

        Raises:
            InputError: the stage has not been run.
        """
        options = read_manifest(folder)["config"]
        return cls(options["near"], options["persist"])


def settle(codes: NDArray[np.integer], persist: int) -> NDArray[np.integer]:
    """Drop changes that last fewer than `persist` steps.

    Args:
        codes: [N, T, ...] state per step. The first counts as settled, the last as lasting.
        persist: how many equal steps in a row make a change count.

    Returns:
        [N, T, ...] the settled state: at every step the latest value that lasted.
    """
    steps = codes.shape[1]
    index = np.arange(steps).reshape((1, -1) + (1,) * (codes.ndim - 2))
    changes = np.zeros(codes.shape, dtype=bool)
    changes[:, 1:] = codes[:, 1:] != codes[:, :-1]
    # Step of the next change after each step; beyond the end for a state that lasts to the end.
    upcoming = np.where(changes, index, steps + persist)
    upcoming = np.minimum.accumulate(upcoming[:, ::-1], axis=1)[:, ::-1]
    following = np.full(codes.shape, steps + persist, dtype=upcoming.dtype)
    following[:, :-1] = upcoming[:, 1:]
    accepted = (following - index >= persist) | (index == 0)
    source = np.maximum.accumulate(np.where(accepted, index, 0), axis=1)
    return np.take_along_axis(codes, source, axis=1)


def annotate(
    scene: Scene,
    pose: NDArray[np.float32] | Sequence[NDArray[np.float32]],
    *,
    size: float | None,
    rule: NearRule = NearRule(),
) -> list[Annotation]:
    """Annotate trajectories with what they pass.

    Args:
        scene: objects and tiles, in scene units (y up).
        pose: [N, T+1, >=2] float32, or N arrays [T_i+1, >=2]: x, y in world units, y down.
        size: the world's side in world units, for turning y up; None when `pose` is already in
            scene units.
        rule: when an object is near, and how long a change must last.

    Returns:
        N annotations, in the order of `pose`.
    """
    annotations: list[Annotation | None] = [None] * len(pose)
    by_length: dict[int, list[int]] = {}
    for position, track in enumerate(pose):
        by_length.setdefault(len(track), []).append(position)
    for positions in by_length.values():
        tracks = np.stack([np.asarray(pose[i])[:, :2] for i in positions])
        points = tracks if size is None else world_to_scene(tracks, size)
        for position, annotation in zip(
            positions, _annotate_equal(scene, points, rule), strict=True
        ):
            annotations[position] = annotation
    return [annotation for annotation in annotations if annotation is not None]


def _annotate_equal(scene: Scene, points: NDArray[np.floating], rule: NearRule) -> list[Annotation]:
    """Annotate [N, T, 2] scene points of trajectories of one length."""
    number, steps, _ = points.shape
    low_x, low_y, high_x, high_y = scene.boxes.T
    boxes = np.asarray(shapely.box(low_x, low_y, high_x, high_y))
    relations = settle(_relations(scene, boxes, points, rule.near), rule.persist)
    tiles = settle(np.asarray(scene.tile_at(points), dtype=np.int16), rule.persist)

    begins = np.zeros((number, steps), dtype=bool)
    begins[:, 0] = begins[:, -1] = True
    begins[:, 1:] |= (relations[:, 1:] != relations[:, :-1]).any(axis=2)
    begins[:, 1:] |= tiles[:, 1:] != tiles[:, :-1]

    events: list[list[Event]] = [[] for _ in range(number)]
    who, when = np.nonzero(begins)
    xy = points[who, when].astype(float)
    distances = shapely.distance(np.asarray(shapely.points(xy))[:, None], boxes[None, :])
    tile_names = [*scene.tile_names, ""]  # index -1, outside the tiling, reads the last
    objects = [o.name for o in scene.objects]
    for trajectory, step, (x, y), distance, codes in zip(
        who.tolist(), when.tolist(), xy.tolist(), distances, relations[who, when], strict=True
    ):
        present = sorted((distance[k], k) for k in np.nonzero(codes != FAR)[0])
        event = Event(
            timestep=step,
            position=(x, y),
            near=tuple(Near(objects[k], RELATIONS[codes[k]], float(d)) for d, k in present),
            tile=tile_names[tiles[trajectory, step]],
        )
        events[trajectory].append(event)
    return [Annotation(tuple(rows)) for rows in events]


def _relations(
    scene: Scene, boxes: NDArray[Any], points: NDArray[np.floating], near: float
) -> NDArray[np.int8]:
    """[N, T, objects] relation code where an object is near, FAR elsewhere."""
    number, steps, _ = points.shape
    codes = np.full((number * steps, len(boxes)), FAR, dtype=np.int8)
    if len(boxes):
        flat = points.reshape(-1, 2).astype(float)
        tree = shapely.STRtree(boxes)
        who, what = tree.query(shapely.points(flat), predicate="dwithin", distance=near)
        low_x, low_y, high_x, high_y = shapely.bounds(boxes)[what].T
        x, y = flat[who].T
        side = compass_index(x - (low_x + high_x) / 2, y - (low_y + high_y) / 2)
        inside = (low_x <= x) & (x <= high_x) & (low_y <= y) & (y <= high_y)
        codes[who, what] = np.where(inside, ON, side)
    return codes.reshape(number, steps, len(boxes))
