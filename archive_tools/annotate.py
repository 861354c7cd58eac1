"""What a trajectory passes: events where its surroundings change, and the route they make.

An event says which coloured tile the robot is on and which objects it is near, each with the side
it is on. "Near" is within a set distance of the object's box. A change must last `persist` steps to
count (hysteresis), so that driving along a border does not chatter. All steps of all trajectories
are judged at once; only the events, a few per hundred steps, become Python objects.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
import shapely
from numpy.typing import NDArray
from tqdm import tqdm

from archive_tools.stage import Stage, StageConfig
from archive_tools.tables import read_arrow, write_table
from archive_tools.trajectories import load_trajectories
from envs import load_world
from envs.errors import InputError
from envs.geometry import COMPASS, compass_index, world_to_scene
from envs.scene import Scene

ON = len(COMPASS)  # relation code of "inside the object's box", after the 8 compass codes
RELATIONS = (*COMPASS, "on")
FAR = -1


@dataclass(frozen=True)
class Near:
    """An object that the robot is near: on which side of it, and how far from its box."""

    object: str
    relation: str
    """One of the 8 compass directions, of the robot as seen from the box's centre, or "on"."""
    distance: float
    """From the robot's centre to the box, in scene units; 0 inside."""


@dataclass(frozen=True)
class Event:
    """The surroundings from `timestep` on, until the next event."""

    timestep: int
    position: tuple[float, float]
    """x, y in scene units, y up."""
    near: tuple[Near, ...]
    """Nearest first."""
    tile: str
    """Name of the tile under the robot, "" outside the tiling."""


@dataclass(frozen=True)
class Annotation:
    """The events of one trajectory, sorted by timestep; the first and last step always have one."""

    events: tuple[Event, ...]

    @cached_property
    def tiles(self) -> list[str]:
        """Tiles in the order in which they are entered, the one of the start first."""
        return _collapse(event.tile for event in self.events)

    @cached_property
    def objects(self) -> list[str]:
        """Objects in the order in which they come near; one left and met again counts again."""
        return [name for _, _, name in self._arrivals() if name]

    @cached_property
    def visited(self) -> list[str]:
        """Tiles and objects merged into one sequence: the route that the metrics compare."""
        return _collapse(tile or name for _, tile, name in self._arrivals())

    def milestones(self, steps: int) -> list[str]:
        """For each of the steps 0 .. steps-1, what comes next on the way; "" when nothing does."""
        ahead = [""] * steps
        begin, last = 0, ""
        for timestep, tile, name in self._arrivals():
            if (tile or name) == last:
                continue
            last = tile or name
            end = min(max(timestep, begin), steps)
            ahead[begin:end] = [last] * (end - begin)
            begin = end
        return ahead

    def _arrivals(self) -> list[tuple[int, str, str]]:
        """(step, tile, "") for each tile entered, (step, "", object) for each object met."""
        arrivals: list[tuple[int, str, str]] = []
        tile, present, before = "", set[str](), ""
        for event in self.events:
            if event.tile and event.tile != tile:
                tile, before = event.tile, ""
                arrivals.append((event.timestep, tile, ""))
            for near in event.near:
                # An object left and met again with nothing in between is one visit.
                if near.object not in present and near.object != before:
                    before = near.object
                    arrivals.append((event.timestep, "", near.object))
            present = {near.object for near in event.near}
        return arrivals


def _collapse(names: Iterable[str]) -> list[str]:
    kept: list[str] = []
    for name in names:
        if name and (not kept or kept[-1] != name):
            kept.append(name)
    return kept


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
    near: float = 24.0,
    persist: int = 3,
) -> list[Annotation]:
    """Annotate trajectories with what they pass.

    Args:
        scene: objects and tiles, in scene units (y up).
        pose: [N, T+1, >=2] float32, or N arrays [T_i+1, >=2]: x, y in world units, y down.
        size: the world's side in world units, for turning y up; None when `pose` is already in
            scene units.
        near: within this distance of its box, in units, an object is near.
        persist: a change counts when it lasts this many steps.

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
            positions, _annotate_equal(scene, points, near, persist), strict=True
        ):
            annotations[position] = annotation
    return [annotation for annotation in annotations if annotation is not None]


def _annotate_equal(
    scene: Scene, points: NDArray[np.floating], near: float, persist: int
) -> list[Annotation]:
    """Annotate [N, T, 2] scene points of trajectories of one length."""
    number, steps, _ = points.shape
    low_x, low_y, high_x, high_y = scene.boxes.T
    boxes = np.asarray(shapely.box(low_x, low_y, high_x, high_y))
    relations = settle(_relations(scene, boxes, points, near), persist)
    tiles = settle(np.asarray(scene.tile_at(points), dtype=np.int16), persist)

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


EVENT_SCHEMA = pa.schema(
    [
        ("trajectory_id", pa.int64()),
        ("event", pa.int32()),
        ("timestep", pa.int32()),
        ("x", pa.float32()),
        ("y", pa.float32()),
        (
            "near",
            pa.list_(
                pa.struct(
                    [
                        ("object", pa.string()),
                        ("relation", pa.string()),
                        ("distance", pa.float32()),
                    ]
                )
            ),
        ),
        ("tile", pa.string()),
    ]
)
ROUTE_SCHEMA = pa.schema(
    [("trajectory_id", pa.int64())]
    + [(name, pa.list_(pa.string())) for name in ("objects", "tiles", "visited")]
)


def events_table(ids: Sequence[int], annotations: Sequence[Annotation]) -> pa.Table:
    """One row per event, in the order of `ids` and time (schema: EVENT_SCHEMA)."""
    rows = [
        {
            "trajectory_id": identity,
            "event": number,
            "timestep": event.timestep,
            "x": event.position[0],
            "y": event.position[1],
            "near": [vars(near) for near in event.near],
            "tile": event.tile,
        }
        for identity, annotation in zip(ids, annotations, strict=True)
        for number, event in enumerate(annotation.events)
    ]
    return pa.Table.from_pylist(rows, schema=EVENT_SCHEMA)


def routes_table(ids: Sequence[int], annotations: Sequence[Annotation]) -> pa.Table:
    """One row per trajectory: objects, tiles and both merged, in the order of the visits."""
    return pa.table(
        {
            "trajectory_id": list(ids),
            "objects": [a.objects for a in annotations],
            "tiles": [a.tiles for a in annotations],
            "visited": [a.visited for a in annotations],
        },
        schema=ROUTE_SCHEMA,
    )


def load_annotations(folder: Path) -> dict[int, Annotation]:
    """Read an `annotations/` folder back: trajectory_id → annotation.

    Raises:
        InputError: the table is missing, truncated or lacks a column.
    """
    table = read_arrow(Path(folder) / "events.parquet", EVENT_SCHEMA.names)
    grouped: dict[int, list[Event]] = {}
    for row in table.to_pylist():
        near = tuple(Near(n["object"], n["relation"], n["distance"]) for n in row["near"])
        event = Event(row["timestep"], (row["x"], row["y"]), near, row["tile"])
        grouped.setdefault(row["trajectory_id"], []).append(event)
    return {
        identity: Annotation(tuple(sorted(events, key=lambda e: e.timestep)))
        for identity, events in grouped.items()
    }


@dataclass
class AnnotateConfig(StageConfig):
    """Annotate recorded trajectories with the objects and tiles of the scene."""

    near: float = 24.0
    """Within this distance of its box, in units of the scene, an object is near."""
    persist: int = 3
    """A change must last this many steps to become an event."""
    chunk: int = 500
    """Trajectories worked on at once; bounds the memory."""

    not_fingerprint: ClassVar[set[str]] = {"chunk"}


def run(config: AnnotateConfig) -> Path:
    """Stage 03: trajectories and scene → `annotations/events.parquet` and `routes.parquet`."""
    if config.near <= 0 or config.persist < 1 or config.chunk < 1:
        raise InputError(
            f"--near {config.near}, --persist {config.persist}, --chunk {config.chunk}: "
            "near must be above 0, persist and chunk at least 1"
        )
    with Stage(config, "annotations", inputs=("archive", "trajectories")) as stage:
        if stage.done:
            return stage.folder
        folder = stage.input("archive") / "world"
        trajectories = load_trajectories(stage.input("trajectories"), columns=("pose",))
        pose = trajectories.pose
        if pose is None or not folder.exists():
            raise InputError(
                f"{stage.input('trajectories')}: recorded in an environment without a map, so "
                "positions in a scene are unknown; give it one with the option plane of "
                "--environment-options of scripts/00_search_archive.py (docs/environments.md)"
            )
        world = load_world(folder)
        if world.scene is None:
            raise InputError(
                f"{folder}: the world has no scene (no [[object]] and no [tiles]), so there is "
                "nothing to annotate with; add them to the world's file and run "
                "scripts/00_search_archive.py again"
            )
        ids = trajectories.ids.tolist()
        annotations: list[Annotation] = []
        with tqdm(total=len(ids), desc="annotate", unit=" trajectories") as bar:
            for begin in range(0, len(ids), config.chunk):
                block = pose[begin : begin + config.chunk]
                annotations += annotate(
                    world.scene, block, size=world.size, near=config.near, persist=config.persist
                )
                bar.update(len(block))
        events = events_table(ids, annotations)
        write_table(stage.path("events.parquet"), events)
        write_table(stage.path("routes.parquet"), routes_table(ids, annotations))
        stage.rows.update(events=len(events), routes=len(ids))
        lengths = [len(a.visited) for a in annotations]
        stage.facts.update(
            events_per_trajectory=round(len(events) / max(len(ids), 1), 2),
            visits_per_trajectory=round(float(np.mean(lengths)), 2) if lengths else 0.0,
            distinct_routes=len({tuple(a.visited) for a in annotations}),
        )
    return stage.folder
