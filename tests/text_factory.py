"""Scenes and random drives through them, for the tests of everything that writes or reads texts."""

from itertools import pairwise
from pathlib import Path

import numpy as np

from archive_tools.annotations.annotate import annotate
from archive_tools.annotations.events import Annotation, events_table
from archive_tools.files.tables import write_table
from archive_tools.run.stage import Stage, StageConfig
from envs import load_world, save_world
from envs.scene import Scene, SceneObject, Tiles

APARTMENT = load_world("apartment").scene
assert APARTMENT is not None

# Names that are hard to say: vowels, plurals, several words, colours, two words for one thing.
ODD = Scene(
    objects=(
        SceneObject("armchair", (20.0, 20.0, 60.0, 60.0)),
        SceneObject("stairs", (150.0, 20.0, 190.0, 60.0)),
        SceneObject("dining_table", (270.0, 20.0, 330.0, 60.0)),
        SceneObject("chest of drawers", (20.0, 160.0, 60.0, 190.0)),
        SceneObject("red ball", (160.0, 160.0, 180.0, 180.0)),
        SceneObject("sofa", (280.0, 160.0, 330.0, 190.0)),
        SceneObject("couch", (20.0, 270.0, 80.0, 300.0)),
        SceneObject("TV", (150.0, 270.0, 180.0, 300.0)),
        SceneObject("chair 2", (280.0, 270.0, 310.0, 300.0)),
    ),
    tiles=Tiles(
        (("kitchen", "grey", "blue"), ("purple", "red", "orange")), (0.0, 0.0, 360.0, 330.0)
    ),
)
BARE = Scene(objects=(SceneObject("fan", (100.0, 100.0, 120.0, 120.0)),))


def drives(scene: Scene, count: int, seed: int = 0, size: float = 600.0) -> list[Annotation]:
    """Annotations of straight lines between random points: short, long, looping, standing still."""
    rng = np.random.default_rng(seed)
    paths = []
    for _ in range(count):
        corners = rng.uniform(0.02 * size, 0.98 * size, (rng.integers(1, 11), 2))
        if len(corners) > 3 and rng.random() < 0.5:
            corners[-1] = corners[rng.integers(len(corners) - 1)] + 3  # ends where it has been
        pieces = [corners[:1]]
        for a, b in pairwise(corners):
            steps = max(2, int(np.linalg.norm(b - a) / 4))
            pieces.append(a + (b - a) * np.linspace(0, 1, steps)[1:, None])
        path = np.concatenate(pieces)
        paths.append(np.concatenate([path, path[-1:] + 0.1]).astype(np.float32))
    return annotate(scene, paths, size=None)


def annotated_run(folder: Path, count: int = 300) -> list[Annotation]:
    """Write a run that has come as far as annotations; the annotations of its trajectories."""
    annotations = drives(APARTMENT, count, seed=11)
    config = StageConfig(run=folder)
    with Stage(config, "archive") as stage:
        save_world(load_world("apartment"), stage.path("world"))
    with Stage(config, "annotations", inputs=("archive",)) as stage:
        write_table(stage.path("events.parquet"), events_table(range(count), annotations))
    return annotations
