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

import numpy as np
import pyarrow as pa

from archive_tools.files import read_arrow, write_table


@dataclass(frozen=True, slots=True)
class Near:
    """An object that the robot is near: on which side of it, and how far from its box."""

    object: str
    relation: str
    """One of the 8 compass directions, of the robot as seen from the box's centre, or "on"."""
    distance: float
    """From the robot's centre to the box, in scene units; 0 inside."""


@dataclass(frozen=True, slots=True)
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

    def next_subgoals(self, steps: int) -> list[str]:
        """For each of the steps 0 .. steps-1, what comes next on the path; "" when nothing does."""
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
    collapsed: list[str] = []
    for name in names:
        if name and (not collapsed or collapsed[-1] != name):
            collapsed.append(name)
    return collapsed


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
    counts = [len(annotation.events) for annotation in annotations]
    events = [event for annotation in annotations for event in annotation.events]
    nears = [near for event in events for near in event.near]
    ends = np.cumsum([0, *(len(event.near) for event in events)])
    fields = list(EVENT_SCHEMA.field("near").type.value_type)
    columns = [[getattr(near, field.name) for near in nears] for field in fields]
    arrays = [pa.array(c, field.type) for c, field in zip(columns, fields, strict=True)]
    near = pa.StructArray.from_arrays(arrays, fields=fields)
    return pa.table(
        {
            "trajectory_id": np.repeat(np.asarray(ids, np.int64), counts),
            "event": [number for count in counts for number in range(count)],
            "timestep": [event.timestep for event in events],
            "x": [event.position[0] for event in events],
            "y": [event.position[1] for event in events],
            "near": pa.ListArray.from_arrays(pa.array(ends, pa.int32()), near),
            "tile": [event.tile for event in events],
        },
        schema=EVENT_SCHEMA,
    )


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


def write_annotations(
    folder: Path, ids: Sequence[int], annotations: Sequence[Annotation]
) -> pa.Table:
    """Write `events.parquet` and `routes.parquet` into a folder; returns the events."""
    events = events_table(ids, annotations)
    write_table(folder / "events.parquet", events)
    write_table(folder / "routes.parquet", routes_table(ids, annotations))
    return events


def load_annotations(folder: Path) -> dict[int, Annotation]:
    """Read an `annotations/` folder back: trajectory_id → annotation.

    Raises:
        InputError: the table is missing, truncated or lacks a column.
    """
    table = read_arrow(Path(folder) / "events.parquet", EVENT_SCHEMA.names)
    lists = table["near"].combine_chunks()
    struct = lists.flatten()
    objects, relations = (_shared(struct.field(name)) for name in ("object", "relation"))
    nears = list(map(Near, objects, relations, struct.field("distance").to_numpy().tolist()))
    numbers = (table[name].to_numpy().tolist() for name in ("trajectory_id", "timestep", "x", "y"))
    end = 0
    grouped: dict[int, list[Event]] = {}
    for identity, timestep, x, y, size, tile in zip(
        *numbers, lists.value_lengths().to_numpy().tolist(), _shared(table["tile"]), strict=True
    ):
        near, end = tuple(nears[end : end + size]), end + size
        grouped.setdefault(identity, []).append(Event(timestep, (x, y), near, tile))
    return {
        identity: Annotation(tuple(sorted(events, key=lambda e: e.timestep)))
        for identity, events in grouped.items()
    }


def _shared(column: pa.Array | pa.ChunkedArray) -> list[str]:
    """The strings of a column, of which there are few: each is one object, however often it
    stands there."""
    known: dict[str, str] = {}
    return [known.setdefault(text, text) for text in column.to_pylist()]
