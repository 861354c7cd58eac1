"""Stage 03: trajectories and scene → events and routes."""

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import ClassVar

import numpy as np
from tqdm import tqdm

from archive_tools.annotations import Annotation, NearRule, annotate, write_annotations
from archive_tools.run import Stage, bounds, executor
from archive_tools.trajectories import Sequences, load_trajectories
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


def run(config: AnnotateConfig) -> Path:
    """Stage 03: trajectories and scene → `annotations/events.parquet` and `routes.parquet`."""
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
        ids = trajectories.ids.tolist()
        annotations: list[Annotation] = []
        rule = NearRule(config.near, config.persist)
        blocks = (pose[begin : begin + config.chunk] for begin in range(0, len(ids), config.chunk))
        find = partial(_annotate, size=world.size, rule=rule)
        with (
            executor.open_executor(config.ray) as workers,
            tqdm(total=len(ids), desc="annotate", unit=" trajectories") as bar,
        ):
            for found in workers.map(find, blocks, world.scene):
                annotations += found
                bar.update(len(found))
        events = write_annotations(stage.path("events.parquet").parent, ids, annotations)
        stage.rows.update(events=len(events), routes=len(ids))
        lengths = [len(a.visited) for a in annotations]
        stage.facts.update(
            events_per_trajectory=round(len(events) / max(len(ids), 1), 2),
            visits_per_trajectory=round(float(np.mean(lengths)), 2) if lengths else 0.0,
            distinct_routes=len({tuple(a.visited) for a in annotations}),
        )
    return stage.folder
