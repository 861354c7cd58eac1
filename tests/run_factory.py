"""A complete small run without search, language model or training, and policies planted in it.

Trajectories are real drives of the apartment under smooth random wheel speeds, annotated for real;
each text names its trajectory's route, so a planted policy can look up what it is asked for.
"""

import zlib
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pyarrow as pa

import envs
from archive_tools.annotations.annotate import annotate
from archive_tools.annotations.events import (
    Annotation,
    events_table,
    load_annotations,
    routes_table,
)
from archive_tools.files.tables import read_arrow, read_json, write_json, write_table
from archive_tools.language.reader import parse
from archive_tools.run.stage import Stage, StageConfig
from envs.geometry import COMPASS, scene_to_world
from envs.places import tile_centres

STEPS = 400
ENVIRONMENT = {"id": "envs:wayword/Navigation-v0", "kwargs": {"world": "apartment"}}


@dataclass
class Plan(StageConfig):
    """Options of a made-up stage."""


def wander(n: int, seed: int) -> np.ndarray:
    """Smooth random wheel speeds [n, STEPS, 2], one decimal, mostly forward."""
    rng = np.random.default_rng(seed)
    turn = np.zeros(n)
    action = np.empty((n, STEPS, 2), np.float32)
    bias = rng.normal(0, 0.04, n)
    for step in range(STEPS):
        turn = 0.96 * turn + rng.normal(0, 0.16, n)
        action[:, step] = np.stack([3.4 + turn + bias, 3.4 - turn - bias], axis=1)
    return np.round(np.clip(action, -4, 4), 1)


def make_run(
    run: Path, *, n: int = 120, seed: int = 0, world: str = "apartment", sides: bool = False
) -> Path:
    """Write archive/, trajectories/, annotations/, dataset/, tokenizer/ and model/ of a run.

    With `sides` the texts say on which side objects are passed.
    """
    make_records(run, n=n, seed=seed, world=world)
    make_learnt(run, seed=seed, sides=sides)
    return run


def make_records(run: Path, *, n: int, seed: int = 0, world: str = "apartment") -> None:
    """Write archive/, verification/, trajectories/ and annotations/ of a run."""
    config, apartment = Plan(run=run, seed=seed), envs.load_world(world)
    action = wander(n, seed)
    simulation = envs.simulate(apartment, action)
    pose, ids = simulation.pose, np.arange(n) + 100
    bd = pose[:, -1, :2]
    flat = {
        "trajectory_id": pa.array(ids, pa.int64()),
        "policy_id": pa.array(ids, pa.int64()),
        "length": pa.array([STEPS] * n, pa.int32()),
        "bd": pa.array(bd.tolist(), pa.list_(pa.float32())),
        "obs": pa.array([o.ravel() for o in simulation.obs], pa.list_(pa.float32())),
        "action": pa.array([a.ravel() for a in action], pa.list_(pa.float32())),
    }
    info = {
        "n_obs": apartment.n_obs, "n_act": 2, "n_bd": 2, "steps": STEPS, "action_low": [-4, -4],
        "action_high": [4, 4], "action_decimals": 1, "bd_names": ["x", "y"],
        "bd_low": [0, 0],
        "bd_high": [apartment.size] * 2, "environment": ENVIRONMENT,
    }  # fmt: skip
    with Stage(config, "archive") as stage:
        envs.save_world(apartment, stage.path("world"))
        elites = pd.DataFrame({"policy_id": ids, "objective": 0.0, "measures": bd.tolist()})
        write_table(stage.path("elites.parquet"), elites)
        measures = {"names": ["x", "y"], "low": [0, 0], "high": [apartment.size] * 2}
        write_json(stage.path("archive.json"), {"measures": measures, "cells": [64, 64],
                                                "environment": ENVIRONMENT})  # fmt: skip
        steps = np.arange(1, 30)
        history = {"evaluations": steps * 2000, "coverage": 0.6 * (1 - np.exp(-steps / 8))}
        write_table(stage.path("history.parquet"), pd.DataFrame(history))
    with Stage(config, "verification", inputs=("archive",)) as stage:
        write_json(stage.path("verification.json"), {"tolerance": 0.1})
        stage.facts.update(replayed=n, largest_error=0.0, offenders=0)
    with Stage(config, "trajectories", inputs=("archive",)) as stage:
        poses = pa.array([p.ravel() for p in pose], pa.list_(pa.float32()))
        write_table(stage.path("trajectories.parquet"), pa.table({**flat, "pose": poses}))
        write_json(stage.path("trajectories.json"), info)
    annotations = annotate(apartment.scene, pose, size=apartment.size)
    with Stage(config, "annotations", inputs=("archive", "trajectories")) as stage:
        write_table(stage.path("events.parquet"), events_table(ids.tolist(), annotations))
        write_table(stage.path("routes.parquet"), routes_table(ids.tolist(), annotations))
        manifest_of_rules(stage)


def make_learnt(
    run: Path, *, seed: int = 0, sides: bool = False, fraction: float = 1.0, recipe: str = "random"
) -> None:
    """Write dataset/, tokenizer/ and model/ of a run; `fraction` of the training split is kept."""
    config = Plan(run=run, seed=seed)
    info = read_json(run / "trajectories" / "trajectories.json")
    flat = read_arrow(run / "trajectories" / "trajectories.parquet").drop_columns(
        ["pose", "policy_id"]
    )
    annotations = load_annotations(run / "annotations")
    ids, n = flat["trajectory_id"].to_pylist(), len(flat)
    rng = np.random.default_rng(seed + 1)
    split = rng.permutation(["test"] * (n // 3) + ["train"] * (n - n // 3)).astype("<U10")
    train = rng.permutation(np.flatnonzero(split == "train"))
    split[train[round(fraction * len(train)) :]] = "none"
    tell = describe_sides if sides else lambda annotation, k: describe(annotation.visited, k)
    texts = [[tell(annotations[i], number)] for number, i in enumerate(ids)]
    with Stage(config, "dataset", inputs=("trajectories", "annotations")) as stage:
        table = flat.append_column("split", pa.array(split.tolist()))
        table = table.append_column("texts", pa.array(texts, pa.list_(pa.string())))
        write_table(stage.path("trajectories.parquet"), table.filter(pa.array(split != "none")))
        counts = {name: int((split == name).sum()) for name in ("train", "validation", "test")}
        rules = [{"rule": "texts agree with their annotations", "checked": n, "broken": 0}]
        write_json(stage.path("dataset.json"), {
            **info, "trajectories": counts, "texts": n, "verification": rules,
            "split": {"recipe": recipe, "train_fraction": fraction},
        })  # fmt: skip
    with Stage(config, "tokenizer", inputs=("dataset",)) as stage:
        write_json(stage.path("comparison.json"), [
            {"tokenizer": "byte-level BPE", "vocabulary": 512, "mean_tokens": 21.4, "note": ""},
            {"tokenizer": "GPT-2", "vocabulary": 50257, "mean_tokens": 26.0, "note": None},
        ])  # fmt: skip
    make_model(run, seed)


def make_model(run: Path, seed: int = 0) -> None:
    """Write model/ of a run: its log, and no weights."""
    config = Plan(run=run, seed=seed)
    with Stage(config, "model", inputs=("dataset", "tokenizer")) as stage:
        stage.rows["steps"] = 1500
        stage.facts["parameters"] = 12_345
        lines = [
            f'{{"step": {s}, "loss": {0.9 * 2.7 ** (-s / 400) + 0.1:.4f}, "lr": 0.001}}'
            for s in range(0, 1500, 10)
        ]
        lines += [f'{{"step": {s}, "val_loss": {0.2 + 0.8 * 2.7 ** (-s / 400):.4f}, '
                  f'"bd_error_median": {5 + 30 * 2.7 ** (-s / 500):.3f}}}'
                  for s in range(100, 1500, 200)]  # fmt: skip
        stage.path("log.jsonl").write_text("\n".join(lines) + '\n{"step": 15')


def manifest_of_rules(stage: Stage) -> None:
    """What the evaluation reads of the annotation's options."""
    stage._options.update(near=24.0, persist=3)


def describe(route: list[str], number: int) -> str:
    """A sentence that names the route; the number makes it unlike all others."""
    stops = ", then by the ".join(route)
    return f"Go by the {stops}, and stop at <DESCRIPTOR> (drive {number})."


def describe_sides(annotation: Annotation, number: int) -> str:
    """The same, with the sides on which objects are passed."""
    first: dict[str, str] = {}
    for event in annotation.events:
        for near in event.near:
            first.setdefault(near.object, near.relation)
    words = [
        name if first.get(name, "on") == "on" else f"{name} on its {first[name]} side"
        for name in annotation.visited[:-1]
    ]
    stops = ", then by the ".join(words) or "start"
    return f"Go by the {stops}, and stop at <DESCRIPTOR> (drive {number})."


class Planted:
    """A policy that looks up recorded trajectories, as obedient as it is told to be.

    Args:
        run: the run directory.
        kind: "perfect" drives what the text was written for, whatever the BD, and jumps from place
            to place by a text that is not of the dataset; "deaf" takes the training elite that
            ended nearest to the BD, whatever the text; "blind" takes what the text says and drives
            it backwards in time, so that it ends elsewhere; "random" does anything.
        noise: standard deviation added to the wheel speeds, a different share of it for each drive.
    """

    def __init__(self, run: Path, kind: str = "perfect", noise: float = 0.0) -> None:
        table = pd.read_parquet(run / "dataset" / "trajectories.parquet")
        self.kind, self.noise = kind, noise
        self.bd = np.stack(table["bd"].tolist())
        self.action = np.stack([a.reshape(-1, 2) for a in table["action"]])
        self.row = {text: row for row, texts in enumerate(table["texts"]) for text in texts}
        self.train = np.flatnonzero(table["split"] == "train")
        world = envs.load_world(run / "archive" / "world")
        self.scene, self.size = world.scene, world.size

    def obedient(self, text: str, start: np.ndarray, bd: np.ndarray | None) -> np.ndarray:
        """Poses [STEPS+1, 3] that jump to each place of a text in turn, on the side it says, and
        end at the BD: nobody can drive like this, but nobody obeys better."""
        stops = [start[:2]]
        for mention in parse(text, self.scene).route:
            name = mention.names[0]
            if mention.kind != "object":
                stops.append(scene_to_world(tile_centres(self.scene)[name][0], self.size))
                continue
            x0, y0, x1, y1 = next(o.box for o in self.scene.objects if o.name == name)
            point = np.array([x0 + x1, y0 + y1]) / 2
            if mention.side is not None:
                angle = COMPASS.index(mention.side) * np.pi / 4
                way = np.array([np.sin(angle), np.cos(angle)])
                half = np.array([x1 - x0, y1 - y0]) / 2
                reach = min(h / abs(w) for h, w in zip(half, way, strict=True) if abs(w) > 1e-6)
                point = point + way * (reach + 8)
            stops.append(scene_to_world(point, self.size))
        if bd is not None:
            stops.append(bd)
        turn = np.minimum(np.arange(STEPS + 1) // 8, len(stops) - 1)
        pose = np.zeros((STEPS + 1, 3), np.float32)
        pose[:, :2] = np.array(stops)[turn]
        return pose

    def __call__(self, vector_env, text, bd, seed):
        n = vector_env.num_envs
        command = zlib.crc32(repr((text, None if bd is None else bd.tolist())).encode())
        rng = np.random.default_rng([seed, n, command])
        if self.kind == "random" or ((text is None or self.kind == "deaf") and bd is None):
            rows = rng.choice(self.train, n)
        elif self.kind == "deaf" or text is None:
            gap = np.linalg.norm(self.bd[None, self.train] - bd[:, None], axis=2)
            rows = self.train[gap.argmin(axis=1)]
        else:
            rows = np.array([self.row.get(t, 0) for t in text])
        action = self.action[rows].copy()
        if self.kind == "blind":
            action = action[:, ::-1]
        scale = self.noise * rng.uniform(0, 1, (n, 1, 1)) ** 2
        action += rng.normal(0, 1, action.shape).cumsum(axis=1) * scale
        _, info = vector_env.reset(seed=seed)
        track = [info]
        for step in range(action.shape[1]):
            track.append(vector_env.step(action[:, step])[4])
        stacked = {key: np.stack([i[key] for i in track], axis=1) for key in ("pose", "bd")}
        for k, told in enumerate(text or []):
            if self.kind == "perfect" and told not in self.row:
                place = None if bd is None else bd[k]
                stacked["pose"][k] = self.obedient(told, stacked["pose"][k, 0], place)
                stacked["bd"][k] = stacked["pose"][k, :, :2]
        length = np.full(len(action), action.shape[1])
        return SimpleNamespace(action=action.astype(np.float32), length=length, info=stacked)
