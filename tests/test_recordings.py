"""Recorded drives of others come into a run: read, replayed, refused in a line; ours come back."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from run_factory import STEPS, wander
from test_minari import MOVES, STATE, STATES, write

import envs
from archive_tools.annotations.events import load_annotations
from archive_tools.archive.elites import load_archive
from archive_tools.files.tables import read_json
from archive_tools.recordings import read_recording
from archive_tools.report.explorer import elites
from archive_tools.stages import s01_verify, s03_annotate, s04_describe, s05_dataset
from archive_tools.stages.s02_record import RecordConfig
from archive_tools.stages.s02_record import run as record
from archive_tools.trajectories.table import load_trajectories
from envs import InputError

N = 40
APARTMENT = {"environment": "navigation", "world": "apartment"}


@pytest.fixture(scope="module")
def apartment():
    """Real drives of the apartment: obs, action, pose, ids."""
    action = wander(N, 0)
    driven = envs.simulate(envs.load_world("apartment"), action)
    return {"obs": driven.obs, "action": action, "pose": driven.pose, "ids": np.arange(N) + 100}


@pytest.fixture(scope="module")
def reference(apartment, tmp_path_factory):
    """A run of these drives."""
    folder = tmp_path_factory.mktemp("recorded")
    np.savez(folder / "drives.npz", **bundle(apartment))
    run = folder / "run"
    record(RecordConfig(run=run, import_source=str(folder / "drives.npz"), **APARTMENT))
    return run


def bundle(drives):
    """By episodes, as docs/recordings.md says."""
    flat = {k: np.concatenate(list(drives[k])) for k in ("obs", "action", "pose")}
    return {"observations": flat["obs"], "actions": flat["action"], "pose": flat["pose"],
            "lengths": np.full(N, STEPS), "trajectory_id": drives["ids"]}  # fmt: skip


def minari(root, name, episodes, *, kind="hdf5", env=None, spaces=None):
    """Written by Minari itself; an episode is observations, actions, infos and a seed."""
    pytest.importorskip("minari")
    pytest.importorskip("h5py")
    from gymnasium import spaces as gym_spaces
    from gymnasium.envs.registration import EnvSpec
    from minari.data_collector import EpisodeBuffer
    from minari.dataset.minari_storage import MinariStorage

    folder = root / name / "data"
    folder.mkdir(parents=True)
    first = episodes[0]
    box = gym_spaces.Box(-np.inf, np.inf, first["obs"].shape[1:], first["obs"].dtype)
    act = gym_spaces.Box(-4, 4, first["action"].shape[1:], np.float32)
    storage = MinariStorage.new(folder, box, act, env and EnvSpec(env), data_format=kind)
    storage.update_episodes(
        EpisodeBuffer(
            id=k, seed=one.get("seed"), observations=one["obs"], actions=one["action"],
            rewards=np.zeros(len(one["action"])), infos=one.get("infos"),
            terminations=np.zeros(len(one["action"]), bool),
            truncations=np.arange(len(one["action"])) == len(one["action"]) - 1,
        )
        for k, one in enumerate(episodes)
    )  # fmt: skip
    return root / name


def lerobot(folder, drives, tasks=("drive on",), version="v3.0"):
    """By LeRobot's documented schema: frames end to end, the last action of each repeated."""
    frames = {"observation.state": [], "action": [], "observation.pose": [], "trajectory_id": [],
              "episode_index": [], "frame_index": [], "task_index": []}  # fmt: skip
    for k in range(len(drives["ids"])):
        t = len(drives["obs"][k])
        action = drives["action"][k]
        frames["observation.state"] += list(drives["obs"][k])
        frames["action"] += [*action, action[-1]]
        frames["observation.pose"] += list(drives["pose"][k])
        frames["trajectory_id"] += [drives["ids"][k]] * t
        frames["episode_index"] += [k] * t
        frames["frame_index"] += range(t)
        frames["task_index"] += [k % len(tasks)] * t
    shapes = {k: list(np.shape(v[0])) or [1] for k, v in frames.items()}
    features = {k: {"dtype": "float32" if isinstance(v[0], np.ndarray) else "int64",
                    "shape": shapes[k], "names": None} for k, v in frames.items()}  # fmt: skip
    info = {"codebase_version": version, "fps": 10, "total_episodes": len(drives["ids"]),
            "features": {**features, "observation.images.top": {"dtype": "video"}}}  # fmt: skip
    (folder / "meta").mkdir(parents=True)
    (folder / "meta" / "info.json").write_text(json.dumps(info))
    pd.DataFrame({"task_index": range(len(tasks))}, index=list(tasks)).to_parquet(
        folder / "meta" / "tasks.parquet"
    )
    half = len(frames["action"]) // 2
    for number, part in enumerate((slice(None, half), slice(half, None))):
        path = folder / "data" / "chunk-000" / f"file-{number:03d}.parquet"
        path.parent.mkdir(parents=True, exist_ok=True)
        columns = {}
        for key, values in frames.items():
            kind = pa.float32() if features[key]["dtype"] == "float32" else pa.int64()
            kind = pa.list_(kind) if shapes[key] != [1] else kind
            columns[key] = pa.array([v.tolist() if hasattr(v, "tolist") else v
                                     for v in values[part]], kind)  # fmt: skip
        pq.write_table(pa.table(columns), path)
    return folder


def brought(run, source, **options):
    record(RecordConfig(run=run, import_source=str(source), **options))
    return load_trajectories(run / "trajectories")


def digests(run):
    """Of what stages 03 to 05 make of a run."""
    s03_annotate.run(s03_annotate.AnnotateConfig(run=run))
    s04_describe.run(s04_describe.DescribeConfig(run=run))
    s05_dataset.run(s05_dataset.DatasetConfig(run=run, augmentation=0, composed=0))
    names = ("annotations", "descriptions", "dataset")
    return [read_json(run / name / "manifest.json")["digest"] for name in names]


def test_published_drives_come_back_with_the_same_bytes(reference, apartment, tmp_path, capsys):
    """From our own Parquet, Minari's three storages and LeRobot; also what 03 to 05 make of it."""
    ours = read_json(reference / "trajectories" / "manifest.json")["outputs"]
    infos = [
        {"pose": pose, "trajectory_id": np.full(STEPS + 1, i)}
        for pose, i in zip(apartment["pose"], apartment["ids"], strict=True)
    ]
    episodes = [{"obs": o, "action": a, "infos": i} for o, a, i in
                zip(apartment["obs"], apartment["action"], infos, strict=True)]  # fmt: skip
    published = tmp_path / "published"
    for name, to in (("trajectories/trajectories.parquet", "data/trajectories-000.parquet"),
                     ("trajectories/trajectories.json", "trajectories.json")):  # fmt: skip
        (published / to).parent.mkdir(parents=True, exist_ok=True)
        (published / to).write_bytes((reference / name).read_bytes())
    envs.save_world(envs.load_world("apartment"), published / "world")
    sources = {
        "run": (reference, {}),
        "published": (published, {}),
        "hdf5": (minari(tmp_path, "a-v0", episodes), APARTMENT),
        "arrow": (minari(tmp_path, "b-v0", episodes, kind="arrow"), APARTMENT),
        "parquet": (minari(tmp_path, "c-v0", episodes, kind="parquet"), APARTMENT),
        "lerobot": (lerobot(tmp_path / "robot", apartment), APARTMENT),
    }
    expected = digests(reference)
    for name, (source, options) in sources.items():
        run = tmp_path / "runs" / name
        record(RecordConfig(run=run, import_source=str(source), **options))
        told = capsys.readouterr().err
        assert f"{N} of {N} drives repeat" in told, name
        found = read_json(run / "trajectories" / "manifest.json")["outputs"]
        assert found["trajectories.parquet"] == ours["trajectories.parquet"], name
        assert found["trajectories.json"] == ours["trajectories.json"], name
        if name in ("published", "lerobot"):
            assert digests(run) == expected, name


def test_the_report_shows_imported_drives_where_there_are_no_elites(reference):
    s03_annotate.run(s03_annotate.AnnotateConfig(run=reference))
    s04_describe.run(s04_describe.DescribeConfig(run=reference))
    s05_dataset.run(s05_dataset.DatasetConfig(run=reference, augmentation=0, composed=0))
    annotations = load_annotations(reference / "annotations")
    shown = elites(reference, envs.load_world(reference / "archive" / "world"), annotations)
    assert shown["shown"] == shown["total"] == N and shown["paths"]


@pytest.mark.parametrize("kind", ["hdf5", "arrow"])
def test_parts_of_a_dict_observation_are_chosen_by_path(tmp_path, kind):
    """As PointMaze's: an observation, and the goal that it achieved."""
    pytest.importorskip("h5py")
    goal = {"type": "Box", "dtype": "float32", "shape": [2], "low": [-9] * 2, "high": [9] * 2}
    space = {"type": "Dict", "subspaces": {"observation": STATE, "achieved_goal": goal}}
    kept = write(tmp_path, lambda n: {"observation": STATES(n), "achieved_goal": MOVES(n)},
                 space=space, kind=kind)  # fmt: skip
    where = ("observations/achieved_goal",)
    options = {"observations": "observations/observation", "position": where}
    found = brought(tmp_path / "run", tmp_path / "mine-v0", **options)
    np.testing.assert_array_equal(found.obs, [k["observations"]["observation"] for k in kept])
    np.testing.assert_array_equal(
        found.pose[:, :, :2], [k["observations"]["achieved_goal"] for k in kept]
    )
    with pytest.raises(InputError, match=r"choose one of observations/.*--observations"):
        brought(tmp_path / "other", tmp_path / "mine-v0", position=where)


def test_a_run_without_elites_says_so_where_policies_are_wanted(reference, tmp_path, capsys):
    assert read_json(reference / "archive" / "archive.json")["elites"] == 0
    s01_verify.run_or_fail(s01_verify.VerifyConfig(run=reference))
    assert "no policies to replay" in capsys.readouterr().err
    for refused in (
        lambda: load_archive(reference),
        lambda: record(RecordConfig(run=reference, redo=True)),
    ):
        with pytest.raises(InputError, match="imported drives, no elites"):
            refused()


def hill(seed, steps=80):
    """A drive of MountainCarContinuous that swings itself up, or does not get there in time."""
    import gymnasium

    env = gymnasium.make("MountainCarContinuous-v0")
    seen, _ = env.reset(seed=seed)
    obs, action, done = [seen], [], False
    while not done and len(action) < steps:
        push = np.array([np.sign(seen[1]) or 1.0], np.float32)
        seen, _, done, cut, _ = env.step(push)
        done = done or cut
        obs.append(seen)
        action.append(push)
    env.close()
    return {"obs": np.array(obs, np.float32), "action": np.array(action), "seed": seed}


PLANE = """
x = {obs = 0, range = [-1.2, 0.6]}
y = {obs = 1, range = [-0.07, 0.07]}
[tiles]
rows = [["green"], ["white"], ["red"]]
[[object]]
name = "flag"
box = [0.45, -0.07, 0.6, 0.07]
"""


def test_another_environments_drives_of_unequal_length_are_replayed(tmp_path, monkeypatch, capsys):
    """A Minari dataset by its id, in HDF5: own seeds, BD on the plane, texts of the events."""
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path))
    drives = [hill(k, 60 + 10 * k) for k in range(5)]
    minari(tmp_path, "hill/expert-v0", drives, env="MountainCarContinuous-v0")
    (tmp_path / "car.toml").write_text(PLANE)
    car = {"environment": "MountainCarContinuous-v0", "plane": str(tmp_path / "car.toml")}
    car["environment_options"] = '{"bd_obs": [0, 1]}'  # else its BD is the place on the plane
    found = brought(tmp_path / "run", "hill/expert-v0", bd="observations:0,1", **car)
    assert "5 of 5 drives repeat in MountainCarContinuous-v0" in capsys.readouterr().err
    assert found.lengths.tolist() == [len(d["action"]) for d in drives]
    assert found.bd == pytest.approx(np.stack([d["obs"][-1] for d in drives]))
    assert found.pose[0][0, 0] == pytest.approx(600 * (drives[0]["obs"][0, 0] + 1.2) / 1.8, abs=0.1)
    s03_annotate.run(s03_annotate.AnnotateConfig(run=tmp_path / "run"))
    # Nobody's environment: the same map, and told that nothing was driven again.
    found = brought(tmp_path / "plain", "hill/expert-v0", plane=car["plane"])
    told = capsys.readouterr().err
    assert "not replayed: recorded in MountainCarContinuous-v0" in told
    assert found.info["environment"] == {"id": "", "kwargs": {}}
    assert found.info["bd_high"] == [600, 600] and found.bd[0] == pytest.approx(
        found.pose[0][-1, :2]
    )
    # Other starts than the recorded ones: kept as recorded, and counted.
    for one in drives:
        one.pop("seed")
    minari(tmp_path, "hill/unseeded-v0", drives, env="MountainCarContinuous-v0")
    again = brought(tmp_path / "other", "hill/unseeded-v0", bd="observations:0,1", seed=77, **car)
    assert "0 of 5 drives repeat" in capsys.readouterr().err
    np.testing.assert_array_equal(again.obs[0], drives[0]["obs"])
    other = r"recorded in MountainCarContinuous-v0, but --environment is Pendulum-v1; give --envir"
    with pytest.raises(InputError, match=other):
        brought(tmp_path / "wrong", "hill/expert-v0", environment="Pendulum-v1")
    with pytest.raises(InputError, match=r"episode_0: 60 steps; expected at least 80 \(--steps 80"):
        brought(tmp_path / "short", "hill/expert-v0", steps=80, **car)


def test_steps_with_terminals_and_timeouts(tmp_path):
    """As D4RL's: with next_observations each drive is whole, without it loses its last action."""
    drives = [hill(k, 20 + k) for k in range(3)]
    steps = {
        "observations": np.concatenate([d["obs"][:-1] for d in drives]).astype("f8"),
        "actions": np.concatenate([d["action"] for d in drives]),
        "rewards": np.zeros(63),
        "timeouts": np.concatenate([np.arange(20 + k) == 19 + k for k in range(3)]),
        "terminals": np.zeros(63, bool),
    }
    after = np.concatenate([d["obs"][1:] for d in drives])
    np.savez(tmp_path / "whole.npz", **steps, next_observations=after)
    np.savez(tmp_path / "frames.npz", **steps)
    options = {"position": ("observations:0,1",)}
    whole = brought(tmp_path / "a", tmp_path / "whole.npz", **options)
    assert whole.lengths.tolist() == [20, 21, 22]
    assert all((w == d["obs"]).all() for w, d in zip(whole.obs, drives, strict=True))
    frames = brought(tmp_path / "b", tmp_path / "frames.npz", **options)
    assert frames.lengths.tolist() == [19, 20, 21]
    assert (frames.action[1] == drives[1]["action"][:-1]).all()
    assert frames.info["action_low"] == pytest.approx([1 - 1e-3])  # every push is 1


def test_positions_come_from_a_replay_that_repeats(apartment, tmp_path):
    arrays = {k: v for k, v in bundle(apartment).items() if k != "pose"}
    np.savez(tmp_path / "a.npz", **arrays)
    found = brought(tmp_path / "a", tmp_path / "a.npz", **APARTMENT)
    np.testing.assert_array_equal(found.pose, apartment["pose"])
    arrays["observations"] = arrays["observations"] + np.float32(0.5)
    np.savez(tmp_path / "b.npz", **arrays)
    with pytest.raises(InputError, match=r"no position is recorded.*not all drives repeat"):
        brought(tmp_path / "b", tmp_path / "b.npz", **APARTMENT)


def test_tasks_of_lerobot_become_texts_on_request(apartment, tmp_path, capsys):
    few = {k: v[:4] for k, v in apartment.items()}
    source = lerobot(tmp_path / "robot", few, ("Drive on.", "Go somewhere."))
    run = tmp_path / "run"
    brought(run, source, **APARTMENT)
    assert "4 texts came along; scripts/04_describe.py --texts" in capsys.readouterr().err
    s03_annotate.run(s03_annotate.AnnotateConfig(run=run))
    texts = run / "trajectories" / "texts.parquet"
    s04_describe.run(s04_describe.DescribeConfig(run=run, texts=(texts,)))
    rows = pd.read_parquet(run / "descriptions" / "descriptions.parquet")
    given = rows[rows["source"] == "LeRobot"]
    assert given["text"].tolist() == ["Drive on.", "Go somewhere."] * 2


def short(**changed):
    """An npz of two drives of three steps, some of it changed."""
    arrays = {
        "observations": np.zeros((8, 2)), "actions": np.zeros((6, 1)), "lengths": np.array([3, 3]),
        "positions": np.arange(16.0).reshape(8, 2),
    }  # fmt: skip
    return {k: v for k, v in {**arrays, **changed}.items() if v is not None}


def spoilt(values, place):
    values = values.copy()
    values[place] = np.nan
    return values


BAD = {
    "NaN": (short(observations=spoilt(np.zeros((8, 2)), (6, 0))), {}, "episode 1, step 2: obs"),
    "complex numbers": (short(observations=np.zeros((8, 2)) + 1j), {}, "expected real numbers"),
    "T observations": (short(observations=np.zeros((6, 2))), {},
                       "episode 0: 3 rows of observations for 3 actions; expected 4"),
    "rows that do not add up": (short(positions=np.zeros((5, 2))), {}, "positions has 5 rows"),
    "no position": (short(positions=None), {}, "no position is recorded"),
    "a position of another name": (short(), {"position": ("xy",)}, "no array 'xy'"),
    "a place that is not there": (short(), {"position": ("observations:0,2",)}, "none at place 2"),
    "one number": (short(positions=np.zeros((8, 1))), {}, "expected x and y"),
    "unequal lengths": (short(lengths=np.array([2, 4])), {"steps": 3},
                        "episode 0: 2 steps; expected at least 3 (--steps 3)"),
    "no lengths": (short(lengths=None), {}, "nothing says where episodes end"),
    "no observations": (short(observations=None), {}, "no array 'observations'"),
    "pickles": (short(note=np.array([{}], object)), {}, "pickles"),
    "nothing": (short(observations=np.zeros((0, 2)), actions=np.zeros((0, 1)),
                      positions=np.zeros((0, 2)), lengths=np.zeros(0, int)), {},
                "holds no episode with steps"),
    "beyond the world": (short(), {"world": "apartment", "position": ("far",)}, "no array 'far'"),
    "beyond the bounds": (short(), {"bd_low": (0.0, 0.0), "bd_high": (7.0, 7.0)},
                          "episode 1 ends at (14, 15), beyond the bounds of the BD"),
    "three names": (short(), {"bd_names": ("a", "b", "c")}, "--bd-names"),
    "ids twice": (short(trajectory_id=np.array([7, 7])), {}, "trajectory_id 7 appears more"),
    "the wrong robot": (short(), APARTMENT, "observations, the recording 2"),
    "no such option": (short(), {"position": ("a:b",)}, "expected the name of an array"),
    "no world": (short(), {"environment": "navigation"}, "name it with --world"),
}  # fmt: skip


@pytest.mark.parametrize("kind", BAD)
def test_bad_recordings_get_one_line_and_leave_nothing(tmp_path, kind):
    arrays, options, expected = BAD[kind]
    np.savez(tmp_path / "bad.npz", **arrays)
    with pytest.raises(InputError) as caught:
        brought(tmp_path / "run", tmp_path / "bad.npz", **options)
    text = str(caught.value)
    assert expected in text and "\n" not in text
    assert not (tmp_path / "run" / "archive").exists()
    assert not (tmp_path / "run" / "trajectories").exists()


def test_a_frame_less_by_option(tmp_path):
    arrays = short(observations=np.zeros((6, 2)), positions=np.ones((8, 2)))
    np.savez(tmp_path / "t.npz", **arrays)
    found = brought(tmp_path / "run", tmp_path / "t.npz", drop_last_action=True)
    assert found.lengths.tolist() == [2, 2] and found.pose.shape == (2, 3, 3)


def test_what_is_no_recording_gets_one_line(tmp_path, monkeypatch, apartment):
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path / "minari"))
    h5py = pytest.importorskip("h5py")
    with h5py.File(tmp_path / "robomimic.hdf5", "w") as file:
        file["data/demo_0/actions"] = np.zeros(3)
    foreign = tmp_path / "minari" / "foreign-v0" / "data"
    foreign.mkdir(parents=True)
    (foreign / "main_data.hdf5").write_bytes((tmp_path / "robomimic.hdf5").read_bytes())
    (tmp_path / "drives.pkl").write_bytes(b"\x80\x04cos\nsystem\n.")
    (tmp_path / "empty").mkdir()
    few = {k: v[:2] for k, v in apartment.items()}
    lerobot(tmp_path / "old", few, version="v2.1")
    torn = lerobot(tmp_path / "torn", few)
    next((torn / "data").rglob("file-001.parquet")).unlink()
    for source, expected in (
        (tmp_path / "robomimic.hdf5", "not main_data.hdf5 of a Minari dataset"),
        ("foreign-v0", "an HDF5 file without episodes of Minari (found data)"),
        (tmp_path / "drives.pkl", "a pickle"),
        (tmp_path / "empty", "no recorded drives in it (found nothing)"),
        ("no/such-v0", "no Minari dataset of that id"),
        (tmp_path / "old", "codebase_version is 'v2.1'; expected v3.0"),
        (torn, "1 episodes, meta/info.json says 2"),
    ):
        with pytest.raises(InputError) as caught:
            read_recording(str(source))
        assert expected in str(caught.value) and "\n" not in str(caught.value)


def test_an_archive_that_is_there_is_kept(tmp_path):
    run = tmp_path / "run"
    (run / "archive").mkdir(parents=True)
    (run / "archive" / "elites.parquet").write_bytes(b"")
    np.savez(tmp_path / "a.npz", **short())
    with pytest.raises(InputError, match="the run has an archive, whose environment and world"):
        brought(run, tmp_path / "a.npz", world="apartment")
    with pytest.raises(InputError, match="--world: goes with --import only"):
        record(RecordConfig(run=Path(tmp_path / "b"), world="apartment"))


@pytest.mark.parametrize("damage", ["{", "[]", "environment"])
def test_a_damaged_archive_that_is_there_is_told(damage, tmp_path):
    run = tmp_path / "run"
    (run / "archive").mkdir(parents=True)
    (run / "archive" / "elites.parquet").write_bytes(b"")
    info = {"task": {"name": "CartPole-v1"}, "controller": {}}
    content = json.dumps(info) if damage == "environment" else damage
    (run / "archive" / "archive.json").write_text(content, encoding="utf-8")
    np.savez(tmp_path / "a.npz", **short())
    with pytest.raises(InputError, match=r"archive\.json"):
        brought(run, tmp_path / "a.npz")
