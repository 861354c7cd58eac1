"""Stage 03: trajectories and scene → events and routes."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain
from pathlib import Path
from typing import ClassVar

from tqdm import tqdm

from archive_tools.annotations import Annotation, NearRule, annotate, write_annotations
from archive_tools.run import Stage, bounds, executor
from archive_tools.trajectories import (
    Sequences,
    Trajectories,
    load_trajectories,
    trajectory_parts,
)
from envs import load_world
from envs.errors import InputError
from envs.scene import Scene


@dataclass
class AnnotateConfig(executor.SpreadConfig):
    """Annotate recorded trajectories with the objects and tiles of the scene."""

    near: bounds.Positive = NearRule.near
    """Within this distance of its box, in units of the scene, an object is near."""
    persist: bounds.Count = NearRule.persist
    """A change must last this many steps to become an event."""
    chunk: bounds.Count = 500
    """Trajectories worked on at once; bounds the memory."""

    not_fingerprint: ClassVar[set[str]] = executor.SpreadConfig.not_fingerprint | {"chunk"}


def _annotate(scene: Scene, pose: Sequences, *, size: float, rule: NearRule) -> list[Annotation]:
    return annotate(scene, pose, size=size, rule=rule)


def _blocks(parts: Iterable[Trajectories], chunk: int) -> Iterator[Sequences]:
    """Poses of at most `chunk` trajectories at a time."""
    for part in parts:
        assert part.pose is not None
        for begin in range(0, len(part), chunk):
            yield part.pose[begin : begin + chunk]


def _numbered(
    ids: Sequence[int], blocks: Iterable[list[Annotation]], bar: tqdm
) -> Iterator[tuple[Sequence[int], list[Annotation]]]:
    """Annotations with the ids of their trajectories."""
    begin = 0
    for found in blocks:
        yield ids[begin : begin + len(found)], found
        begin += len(found)
        bar.update(len(found))


def run(config: AnnotateConfig) -> Path:
    """Stage 03: trajectories and scene → `annotations/events.parquet` and `routes.parquet`."""
    with Stage(config, "annotations", inputs=("archive", "trajectories")) as stage:
        if stage.done:
            return stage.folder
        folder = stage.input("archive") / "world"
        ids = load_trajectories(stage.input("trajectories"), columns=()).ids.tolist()
        parts = trajectory_parts(stage.input("trajectories"), ("pose",), len(ids))
        first = next(parts, None)
        if first is None or first.pose is None or not folder.exists():
            raise InputError(
                f"{stage.input('trajectories')}: recorded in an environment without a map, so "
                "positions in a scene are unknown; give it one with the option plane of "
                "--environment-options of scripts/00_search_archive.py (docs/environments.md), or "
                "imported drives with --world or --plane of scripts/02_record_trajectories.py"
            )
        world = load_world(folder)
        if world.scene is None:
            raise InputError(
                f"{folder}: the world has no scene (no [[object]] and no [tiles]), so there is "
                "nothing to annotate with; add them to the world's file and run "
                "scripts/00_search_archive.py again"
            )
        rule = NearRule(config.near, config.persist)
        blocks = _blocks(chain([first], parts), config.chunk)
        find = partial(_annotate, size=world.size, rule=rule)
        with (
            executor.open_executor(config.ray) as workers,
            tqdm(total=len(ids), desc="annotate", unit=" trajectories") as bar,
        ):
            found = _numbered(ids, workers.map(find, blocks, world.scene), bar)
            events, routes = write_annotations(stage.path("events.parquet").parent, found)
        visited = routes["visited"].to_pylist()
        stage.rows.update(events=len(events), routes=len(ids))
        stage.facts.update(
            events_per_trajectory=round(len(events) / len(ids), 2),
            visits_per_trajectory=round(sum(map(len, visited)) / len(ids), 2),
            distinct_routes=len(set(map(tuple, visited))),
        )
    return stage.folder
