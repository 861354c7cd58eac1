"""A policy that cannot learn eight trajectories by heart, and then drive them, has a bug."""

import numpy as np
import pandas as pd
import pytest

import nanodt
from archive_tools.annotations.annotate import annotate
from archive_tools.annotations.similarity import lcs_ratio
from archive_tools.evaluation.metrics import bd_error
from archive_tools.files.tables import read_json, write_json, write_table
from archive_tools.rollouts.driving import make_envs
from archive_tools.stages import s00_search as search
from archive_tools.stages import s02_record as record
from archive_tools.stages import s03_annotate
from archive_tools.stages import s04_describe as describe
from archive_tools.stages import s05_dataset as dataset
from archive_tools.tasks.registry import run_environment
from envs import load_world
from nanodt.train import train
from nanodt.training.options import LAYOUTS, TrainConfig


@pytest.fixture(scope="module")
def eight(tmp_path_factory):
    """A dataset folder with eight elites of the apartment, their ends as far apart as can be."""
    folder = tmp_path_factory.mktemp("sanity")
    run = folder / "run"
    search.run(search.SearchConfig(run=run, evaluations=3000, cells=(16, 16), batch=250))
    record.run(record.RecordConfig(run=run))
    s03_annotate.run(s03_annotate.AnnotateConfig(run=run))
    describe.run(describe.DescribeConfig(run=run))
    source = dataset.run(dataset.DatasetConfig(run=run, plans=False))
    table = pd.read_parquet(source / "trajectories.parquet")
    ends = np.stack(table["bd"].tolist())
    chosen = [0]
    while len(chosen) < 8:
        gaps = np.linalg.norm(ends[:, None] - ends[chosen], axis=2).min(axis=1)
        chosen.append(int(gaps.argmax()))
    table = table.iloc[chosen].assign(split="train", weight=np.float32(1))
    write_table(folder / "data" / "trajectories.parquet", table)
    write_json(folder / "data" / "dataset.json", read_json(source / "dataset.json"))
    return folder, table


def test_overfits_eight_trajectories_and_drives_them(eight):
    folder, table = eight
    texts = [row[0] for row in table["texts"]]
    nanodt.train_tokenizer(texts).save(folder / "tokenizer.json")
    fields = {**LAYOUTS["plain"], "n_layer": 2, "batch_size": 8, "lr": 3e-3}
    fields |= {"hide_actions": True, "odometry": True}
    model = train(
        TrainConfig(
            data=folder / "data",
            tokenizer=folder / "tokenizer.json",
            out=folder / "model",
            n_embd=96,
            block_size=250,
            steps=1200,
            warmup=30,
            weight_decay=0.0,
            text_dropout=0.0,
            bd_dropout=0.0,
            **fields,
        )
    )
    bd = np.stack(table["bd"].tolist())
    envs = make_envs(
        run_environment(folder / "run", read_json(folder / "data" / "dataset.json")), len(bd)
    )
    rollouts = nanodt.drive(nanodt.load(model), envs, texts, bd)
    world = load_world("apartment")
    error = bd_error(rollouts.info["bd"][:, -1], bd, world.diagonal)
    assert np.median(error) < 2, error

    recorded = pd.read_parquet(folder / "run" / "trajectories" / "trajectories.parquet")
    recorded = recorded.set_index("trajectory_id").loc[table["trajectory_id"], "pose"]
    reference = [pose.reshape(-1, 3) for pose in recorded]
    routes = [
        [a.visited for a in annotate(world.scene, poses, size=world.size)]
        for poses in (rollouts.info["pose"], reference)
    ]
    assert lcs_ratio(*routes).mean() > 0.7
