"""An environment of somebody else's, from search to report and playground: docs/your-own.md.

It has what the robot's world has not: drives that end early, numbered actions, a Dict observation,
its position in info, starts left to chance, no wheels. Real ones are tried by `make environments`.
"""

import importlib
import re
import sys
import tomllib

import gymnasium
import numpy as np
import pytest
from play_factory import drive, path_of, playing
from source_tree import ROOT

import nanodt
from archive_tools.annotations import annotate
from archive_tools.files.tables import read_json, read_table, write_json, write_table
from archive_tools.run.options import parse
from archive_tools.stages import s05_dataset
from archive_tools.tasks.registry import environment_of, make_environment
from archive_tools.trajectories.table import load_trajectories
from envs import InputError
from envs.plane import load_plane
from nanodt.data.folder import load_dataset
from nanodt.training.options import parse as parse_training

sys.path.insert(0, str(ROOT / "scripts"))
# Instead of what the page says, for seconds.
SMALLER = {
    "00_search_archive": "--layers 4 8 4 --evaluations 240 --batch 60 --cells 12 12",
    "05_verify_dataset": "--validation 0.1",
    "06_train_tokenizer": "--vocab-size 400 --patience 0.01",
    "07_train": "--steps 30 --n-layer 1 --n-head 2 --n-embd 32 --batch-size 8 "
    "--windows-per-text 4 --score-every 30 --score-items 4",
    "08_rollout": "--items 8 --pairs 2 --batch 5 "
    "--systems nanodt nanodt/text_off random_elite replay",
    "09_evaluate": "--gallery 2 --resamples 50",
}
SCRIPTS = (
    *("00_search_archive", "01_verify_archive", "02_record_trajectories", "03_annotate"),
    *("04_describe", "05_verify_dataset", "06_train_tokenizer", "07_train", "08_rollout"),
    "09_evaluate",
)


def perform(run, stage, words):
    """A script's stage with options as on its command line."""
    script = importlib.import_module(stage)
    words = ["--run", str(run), *words, *SMALLER.get(stage, "").split()]
    if stage == "07_train":
        return script.run(parse_training(script.Config, words, ""))
    run_stage = getattr(script, "run", None) or script.run_or_fail
    return run_stage(parse(script.Config, "", words))


@pytest.fixture(scope="module")
def ferry(tmp_path_factory):
    """A finished run of all stages, and its files beside it."""
    folder = tmp_path_factory.mktemp("ferry")
    page = (ROOT / "docs" / "your-own.md").read_text(encoding="utf-8")
    blocks = re.findall(r"```(?:python|toml)\n(.*?)```", page, re.DOTALL)
    for name, text in zip(("ferry.py", "river.toml", "ferry_options.toml"), blocks, strict=True):
        (folder / name).write_text(text, encoding="utf-8")
    options = importlib.import_module("pipeline").read_options(folder / "ferry_options.toml", [])
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.syspath_prepend(folder)
        for stage in SCRIPTS:
            perform(folder / "run", stage, options.get(stage, []))
        yield folder / "run"


def test_records_are_what_the_environment_does(ferry):
    """Replayed by Gymnasium's own calls, number by number."""
    recorded = load_trajectories(ferry / "trajectories")
    assert len(set(recorded.lengths.tolist())) > 3 and recorded.info["action_classes"] == 4
    assert recorded.info["n_act"] == 1 and recorded.info["n_obs"] == 4
    made = environment_of(ferry / "archive", read_json(ferry / "archive" / "archive.json"))
    env, options = gymnasium.make("ferry:Ferry-v0").unwrapped, made.kwargs["reset_options"]
    ended = 0
    for n in range(len(recorded)):
        obs, info = env.reset(seed=0, options=options)
        for t, action in enumerate(recorded.action[n]):
            np.testing.assert_allclose(obs["sonar"].ravel(), recorded.obs[n][t], atol=1e-6)
            x, y = info["position"]
            np.testing.assert_allclose(recorded.pose[n][t, :2], [600 * x, 600 * (1 - y)], atol=1e-3)
            obs, _, over, _, info = env.step(int(action[0]) + 3)
        assert over or len(recorded.action[n]) == 24
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


def at(**fields):
    """An axis of a plane."""
    return {"range": [0, 1], **fields}


@pytest.mark.parametrize(
    ("id", "plane", "options", "match"),
    [
        ("ferry:Ferry", {}, {"obs_key": None}, "a Dict; choose.*obs_key: lights, sonar"),
        ("ferry:Ferry", {}, {"obs_key": "radar"}, "no 'radar'; they have lights, sonar"),
        ("ferry:Ferry", {"x": at(info="place")}, {},
         "plane's x is 'place' of info, which is not there; info has position, depth"),
        ("ferry:Ferry", {"x": at(info="position", obs=2)}, {},
         "position has 2 numbers; there is none at place 2"),
        ("ferry:Ferry", {"y": at(key="radar", obs=0)}, {}, "no 'radar'; they have lights, sonar"),
        ("ferry:Ferry", {"x": at(key="sonar", info="position")}, {}, "one name, key or info"),
        ("ferry:Ferry", {"map": ["##", "#"]}, {}, "rows of text of one length"),
        ("ferry:Ferry", {}, {"bd_names": ["x", "y"]}, "with a plane the BD is the position"),
        ("ferry:Ferry", {}, {"bd_obs": [9]}, "from 0 to 3"),
        ("odd_worlds:Fog", {}, {}, "plane's x is nan; a position must be finite"),
        ("odd_worlds:Levers", {}, {}, "actions MultiDiscrete; expected Box, and Box or Discrete"),
    ],
)  # fmt: skip
def test_what_cannot_be_driven_gets_one_clear_line(ferry, id, plane, options, match):
    river = tomllib.loads((ferry.parent / "river.toml").read_text()) | plane
    with pytest.raises(InputError, match=match) as caught:
        task = make_environment(
            f"{id}-v0", {"layers": [4, 4]}, **{"plane": river, "obs_key": "sonar", **options}
        )
        task.record(np.ones((2, 20), np.float32), 0)
    assert "\n" not in str(caught.value)


def test_dict_without_a_plane_is_searched_and_recorded(ferry):
    task = make_environment("ferry:Ferry-v0", None, obs_key="sonar", bd_obs=[0, 1])
    driven = task.record(np.zeros((70, task.controller.n_params), np.float32), 0)
    assert driven.obs.shape == (70, 25, 4) and "pose" not in driven.info


def test_point_maze_stays_between_its_walls():
    """The real one of `make environments`: its own files, two elites, a hundred steps."""
    pytest.importorskip("gymnasium_robotics", reason="needs gymnasium-robotics (the extra gym)")
    words = importlib.import_module("pipeline").read_options(
        ROOT / "docs" / "examples" / "point_maze_options.toml", []
    )["00_search_archive"]
    config = parse(importlib.import_module("00_search_archive").Config, "", words)
    options = config.options() | {
        "steps": 100,
        "plane": ROOT / "docs" / "examples" / "point_maze.toml",
    }
    task = make_environment(config.environment, config.controller(), **options)
    solutions = np.random.default_rng(0).normal(size=(2, task.controller.n_params))
    driven = task.record(solutions.astype(np.float32), 0)
    world = load_plane(options["plane"]).world
    for pose in driven.info["pose"].reshape(-1, 3):
        column, row = (pose[:2] * world.scale).astype(int)
        assert not world.occupied[row, column]
    for pose, length in zip(driven.info["pose"], driven.length, strict=True):
        found = annotate(world.scene, [pose[: length + 1]], size=world.size)[0]
        assert found.visited and found.tiles[0] == "gray"
