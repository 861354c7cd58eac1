"""What a trajectory passes: events where its surroundings change, and the route they make.

An event says which coloured tile the robot is on and which objects it is near, each with the side
it is on. "Near" is within a set distance of the object's box. A change must last `persist` steps to
count (hysteresis), so that driving along a border does not chatter. All steps of all trajectories
are judged at once; only the events, a few per hundred steps, become Python objects.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from copy import copy
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

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
    folder: Path, parts: Iterable[tuple[Sequence[int], Sequence[Annotation]]]
) -> tuple[pa.Table, pa.Table]:
    """Write `events.parquet` and `routes.parquet` into a folder; returns both tables.

    Args:
        folder: where.
        parts: ids and annotations of some trajectories; of each only its rows are kept.
    """
    tables = [[EVENT_SCHEMA.empty_table()], [ROUTE_SCHEMA.empty_table()]]
    for ids, annotations in parts:
        tables[0].append(events_table(ids, annotations))
        tables[1].append(routes_table(ids, annotations))
    events, routes = (pa.concat_tables(some).combine_chunks() for some in tables)
    write_table(folder / "events.parquet", events)
    write_table(folder / "routes.parquet", routes)
    return events, routes


class Annotations(Mapping[int, Annotation]):
    """trajectory_id → annotation, made of columns when it is asked for: held as objects, the events
    of all trajectories would take ten times the memory.

    Args:
        table: with the columns of EVENT_SCHEMA.
    """

    def __init__(self, table: pa.Table) -> None:
        self._more: dict[int, Annotation] = {}
        ids, time = (table[name].to_numpy() for name in ("trajectory_id", "timestep"))
        order = np.lexsort((time, ids))
        known, begin, size = np.unique(ids[order], return_index=True, return_counts=True)
        appears = np.argsort(np.unique(ids, return_index=True)[1])
        spans = np.stack([known, begin, begin + size], axis=1)[appears].tolist()
        self._rows = {identity: (begin, end) for identity, begin, end in spans}
        lists = table["near"].combine_chunks()
        struct = lists.flatten()
        count = lists.value_lengths().to_numpy()
        ends = np.cumsum(count)
        self._near = struct.field("distance").to_numpy()
        self._coded = [_coded(struct.field(name)) for name in ("object", "relation")]
        tiles, self._tiles = _coded(table["tile"].combine_chunks())
        x, y = (table[name].to_numpy() for name in ("x", "y"))
        self._events = [c[order] for c in (time, x, y, tiles, ends - count, ends)]
        self._made = lru_cache(2**12)(self._make)

    def __len__(self) -> int:
        return len(self._rows.keys() | self._more.keys())

    def __iter__(self) -> Iterator[int]:
        yield from self._rows
        yield from (identity for identity in self._more if identity not in self._rows)

    def __getitem__(self, identity: int) -> Annotation:
        found = self._more.get(identity)
        return self._made(*self._rows[identity]) if found is None else found

    def __contains__(self, identity: object) -> bool:
        return identity in self._rows or identity in self._more

    def __or__(self, other: Mapping[int, Annotation]) -> "Annotations":
        joined = copy(self)
        joined._more = {**self._more, **other}
        return joined

    def _make(self, begin: int, end: int) -> Annotation:
        columns = (column[begin:end].tolist() for column in self._events)
        return Annotation(
            tuple(
                Event(time, (x, y), self._nears(first, last), self._tiles[tile])
                for time, x, y, tile, first, last in zip(*columns, strict=True)
            )
        )

    def _nears(self, begin: int, end: int) -> tuple[Near, ...]:
        (objects, names), (relations, sides) = self._coded
        columns = (column[begin:end].tolist() for column in (objects, relations, self._near))
        return tuple(Near(names[o], sides[r], far) for o, r, far in zip(*columns, strict=True))


def load_annotations(folder: Path) -> Annotations:
    """Read an `annotations/` folder back: trajectory_id → annotation.

    Raises:
        InputError: the table is missing, truncated or lacks a column.
    """
    return Annotations(read_arrow(Path(folder) / "events.parquet", EVENT_SCHEMA.names))


def _coded(column: pa.Array) -> tuple[NDArray[np.integer], list[Any]]:
    """Numbers of the strings of a column, of which there are few, and these strings."""
    coded = column.dictionary_encode()
    names = coded.dictionary.to_pylist()
    return coded.indices.fill_null(len(names)).to_numpy(), [*names, None]
