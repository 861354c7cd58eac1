"""An environment of somebody else's, from search to report and playground.

It has what the robot's world has not: drives that end early, numbered actions, a Dict observation,
its position in info, starts left to chance, no wheels. Real ones are tried by `make environments`.
"""

import importlib
import json
import sys
from pathlib import Path

import gymnasium
import numpy as np
import pytest
from odd_worlds import Ferry
from play_factory import drive, path_of, playing

import nanodt
from archive_tools.files.tables import read_json, read_table, write_json, write_table
from archive_tools.run.options import parse
from archive_tools.stages import s02_record, s03_annotate, s04_describe, s05_dataset
from archive_tools.stages.s00_search import SearchConfig
from archive_tools.stages.s00_search import run as search
from archive_tools.stages.s01_verify import VerifyConfig
from archive_tools.stages.s01_verify import run as verify
from archive_tools.tasks.registry import environment_of, make_environment
from archive_tools.trajectories.table import load_trajectories
from envs import InputError
from nanodt.data.folder import load_dataset
from nanodt.training.options import parse as parse_training

sys.path.insert(0, str(Path(__file__).parents[1] / "scripts"))
PLANE = {
    "name": "river",
    "x": {"info": "position", "range": [0, 1]},
    "y": {"info": "position", "obs": 1, "range": [0, 1]},
    "tiles": {"rows": [["green", "blue"], ["red", "white"]]},
    "object": [
        {"name": "mill", "box": [0.4, 0.75, 0.55, 0.9]},
        {"name": "bank", "box": [0.93, 0.0, 1.0, 1.0]},
        {"name": "reeds", "box": [0.4, 0.1, 0.55, 0.25]},
    ],
    "map": ["....", "....", "....", "...."],
}
OPTIONS = {"plane": PLANE, "obs_key": "sonar", "reset_options": {"quay": [0.1, 0.45]}}
SMALL = {
    "06_train_tokenizer": "--vocab-size 400 --patience 0.01",
    "07_train": "--steps 30 --n-layer 1 --n-head 2 --n-embd 32 --batch-size 8 "
    "--windows-per-text 4 --score-every 30 --score-items 4",
    "08_rollout": "--items 8 --pairs 2 --batch 5 "
    "--systems nanodt nanodt/text_off random_elite replay",
    "09_evaluate": "--gallery 2 --resamples 50",
}


def perform(run, stage, words):
    """A script's stage with options as on its command line."""
    script, words = importlib.import_module(stage), ["--run", str(run), *words.split()]
    if stage == "07_train":
        return script.run(parse_training(script.Config, words, ""))
    return script.run(parse(script.Config, "", words))


@pytest.fixture(scope="module")
def ferry(tmp_path_factory):
    """A finished run of all stages."""
    run = tmp_path_factory.mktemp("ferry") / "run"
    search(SearchConfig(
        run=run, environment="odd_worlds:Ferry-v0", environment_options=json.dumps(OPTIONS),
        layers=(4, 8, 4), evaluations=240, batch=60, cells=(12, 12),
    ))  # fmt: skip
    verify(VerifyConfig(run=run))
    s02_record.run(s02_record.RecordConfig(run=run))
    s03_annotate.run(s03_annotate.AnnotateConfig(run=run))
    s04_describe.run(s04_describe.DescribeConfig(run=run))
    s05_dataset.run(s05_dataset.DatasetConfig(run=run, test=0.2, validation=0.1))
    for stage, words in SMALL.items():
        perform(run, stage, words)
    return run


def test_records_are_what_the_environment_does(ferry):
    """Replayed by Gymnasium's own calls, number by number."""
    recorded = load_trajectories(ferry / "trajectories")
    assert len(set(recorded.lengths.tolist())) > 3 and recorded.info["action_classes"] == 4
    assert recorded.info["n_act"] == 1 and recorded.info["n_obs"] == 4
    env = Ferry()
    ended = 0
    for n in range(0, len(recorded), 5):
        obs, info = env.reset(seed=0, options=OPTIONS["reset_options"])
        for t, action in enumerate(recorded.action[n]):
            np.testing.assert_allclose(obs["sonar"].ravel(), recorded.obs[n][t], atol=1e-6)
            x, y = info["position"]
            np.testing.assert_allclose(recorded.pose[n][t, :2], [600 * x, 600 * (1 - y)], atol=1e-3)
            obs, _, over, _, info = env.step(int(action[0]) + 3)
        assert over == (len(recorded.action[n]) < 24)
        ended += over
        np.testing.assert_array_equal(recorded.bd[n], recorded.pose[n][-1, :2])
    assert ended


def test_dataset_keeps_each_length(ferry):
    recorded = load_trajectories(ferry / "trajectories")
    table = read_table(ferry / "dataset" / "trajectories.parquet").set_index("trajectory_id")
    for identity, obs, action in zip(recorded.ids, recorded.obs, recorded.action, strict=True):
        row = table.loc[identity]
        assert row["length"] == len(action) == len(row["next_subgoal"])
        np.testing.assert_array_equal(row["obs"], obs.ravel())
        np.testing.assert_array_equal(row["action"], action.ravel())
    assert not (ferry / "dataset" / "augmentation.parquet").exists()
    with pytest.raises(InputError, match=r"--fixed-length: \d+ of \d+ trajectories are shorter.*"):
        s05_dataset.run(s05_dataset.DatasetConfig(run=ferry, fixed_length=True, redo=True))
    assert (ferry / "dataset" / "manifest.json").exists()


def test_drives_end_where_the_environment_ends_them(ferry):
    """What a copy does after its automatic reset is in no drive; replay is the reference."""
    rollouts = read_table(ferry / "rollouts" / "rollouts.parquet")
    items = read_table(ferry / "rollouts" / "items.parquet").set_index("item")
    recorded = load_trajectories(ferry / "trajectories")
    row_of = {identity: n for n, identity in enumerate(recorded.ids.tolist())}
    for row in rollouts.itertuples():
        pose = row.pose.reshape(-1, 3)
        assert np.abs(np.diff(pose[:, :2], axis=0)).max() < 50  # no jump back to the start
        np.testing.assert_allclose(row.bd, pose[-1, :2])
        if row.action is not None:
            assert len(row.action) == len(pose) - 1 and set(row.action) <= {0, 1, 2, 3}
            assert len(pose) == 25 or pose[-1, 0] > 0.95 * 600 - 1e-3
        if row.system == "replay":
            n = row_of[int(items.at[row.item, "trajectory_id"])]
            np.testing.assert_array_equal(pose, recorded.pose[n])
    metrics = {(r["system"], r["metric"]): r["mean"] for r in read_json(
        ferry / "evaluation" / "metrics.json")}  # fmt: skip
    assert metrics["replay", "bd_error_median"] == 0 and metrics["replay", "route_lcs"] == 1
    assert {"nanodt", "nanodt/text_off", "random_elite"} <= {system for system, _ in metrics}
    assert "bank" in (ferry / "evaluation" / "report" / "index.html").read_text()


def test_model_chooses_by_number(ferry):
    policy = nanodt.load(ferry / "model")
    assert policy.slots["action"].head.kind == "discrete"
    envs = gymnasium.make_vec(
        "envs:wayword/Plane-v0", num_envs=3, vectorization_mode="sync",
        **read_json(ferry / "dataset" / "dataset.json")["environment"]["kwargs"],
    )  # fmt: skip
    driven = nanodt.drive(policy, envs, text=["Go to the mill."] * 3, bd=[[300, 100]] * 3,
                          seed=[4, 4, 5])  # fmt: skip
    assert set(np.unique(driven.action)) <= {0, 1, 2, 3}
    np.testing.assert_array_equal(driven.obs[0], driven.obs[1])
    assert (driven.obs[0, 0] != driven.obs[2, 0]).any()


def test_a_number_that_is_no_action_is_refused(ferry, tmp_path):
    table = read_table(ferry / "dataset" / "trajectories.parquet")
    table.at[3, "action"] = table.at[3, "action"] + 0.5
    write_table(tmp_path / "trajectories.parquet", table)
    write_json(tmp_path / "dataset.json", read_json(ferry / "dataset" / "dataset.json"))
    with pytest.raises(nanodt.InputError, match=r"action of trajectory \d+ holds .*from 0 to 3"):
        load_dataset(tmp_path)


def test_playground_drives_it(ferry):
    def load(folder):
        network = nanodt.load(folder).network
        return lambda: nanodt.Policy(network)

    with playing(ferry, load) as (address, playground):
        answer, heard = drive(address, text="Go to the bank.", bd=[500, 300],
                              robots=["policy", "nearest_elite"])  # fmt: skip
        assert answer["steps"] == 24 and heard[-1][0] == "over"
        for robot in (0, 1):
            path = path_of(heard, robot)
            assert len(path) <= 25 and np.abs(np.diff(path[:, :2], axis=0)).max() < 50
            assert sum(kind == "verdict" and d["robot"] == robot for kind, d in heard) == 1
        with pytest.raises(AssertionError, match="start and walls of its own"):
            drive(address, text="Go.", start=[50, 50, 0])
        assert not playground.facts()["movable"]


def river(**changes):
    return {"plane": {**PLANE, **changes.pop("plane", {})}, "obs_key": "sonar", **changes}


@pytest.mark.parametrize(
    ("id", "options", "match"),
    [
        ("Ferry", river(obs_key=None), "a Dict; choose.*obs_key: lights, sonar"),
        ("Ferry", river(obs_key="radar"), "no 'radar'; they have lights, sonar"),
        ("Ferry", river(plane={"x": {"info": "place", "range": [0, 1]}}),
         "plane's x is 'place' of info, which is not there; info has position, depth"),
        ("Ferry", river(plane={"x": {"info": "position", "obs": 2, "range": [0, 1]}}),
         "position has 2 numbers; there is none at place 2"),
        ("Ferry", river(plane={"x": {"key": "radar", "obs": 0, "range": [0, 1]}}),
         "no 'radar'; they have lights, sonar"),
        ("Ferry", river(plane={"x": {"key": "sonar", "info": "position", "range": [0, 1]}}),
         "expected one name, key or info"),
        ("Ferry", river(plane={"map": ["##", "#"]}), "rows of text of one length"),
        ("Ferry", river(bd_names=["x", "y"]), "with a plane the BD is the position"),
        ("Fog", river(), "plane's x is nan; a position must be finite"),
        ("Levers", river(), "actions MultiDiscrete; expected Box, and Box or Discrete actions"),
        ("Ferry", {"obs_key": "sonar", "steps": 4, "bd_obs": [9]}, "from 0 to 3"),
    ],
)  # fmt: skip
def test_what_cannot_be_driven_gets_one_clear_line(id, options, match):
    with pytest.raises(InputError, match=match) as caught:
        task = make_environment(f"odd_worlds:{id}-v0", {"layers": [4, 4]}, **options)
        task.record(np.ones((2, 20), np.float32), 0)
    assert "\n" not in str(caught.value)


def test_dict_without_a_plane_is_searched_and_recorded():
    task = make_environment("odd_worlds:Ferry-v0", None, obs_key="sonar", bd_obs=[0, 1])
    driven = task.record(np.zeros((70, task.controller.n_params), np.float32), 0)
    assert driven.obs.shape == (70, 25, 4) and "pose" not in driven.info


def test_search_and_later_stages_make_the_same_environment(ferry):
    info = read_json(ferry / "archive" / "archive.json")
    assert environment_of(ferry / "archive", info).world.name == "river"
