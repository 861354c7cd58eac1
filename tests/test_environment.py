"""Other environments go the same way, with their own observations, actions and BDs."""

import re
import shlex
import shutil
import sys
import textwrap
from pathlib import Path

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

from archive_tools.annotations.events import load_annotations
from archive_tools.archive.elites import load_archive
from archive_tools.files.tables import read_json, read_table
from archive_tools.run.options import parse
from archive_tools.stages import s03_annotate
from archive_tools.stages import s04_describe as describe
from archive_tools.stages.s00_search import SearchConfig
from archive_tools.stages.s00_search import run as search
from archive_tools.stages.s01_verify import VerifyConfig
from archive_tools.stages.s01_verify import run as verify
from archive_tools.stages.s02_record import RecordConfig
from archive_tools.stages.s02_record import run as record
from archive_tools.stages.s03_annotate import AnnotateConfig
from archive_tools.stages.s04_describe import DescribeConfig
from archive_tools.tasks.navigation import Navigation
from archive_tools.tasks.registry import environment_of, make_environment
from archive_tools.tasks.task import drives_of
from archive_tools.trajectories.table import load_trajectories
from envs.errors import InputError
from envs.plane import load_plane

CAR = "MountainCarContinuous-v0"
DOCS = Path(__file__).parent.parent / "docs" / "environments.md"


def example(kind: str) -> str:
    """The first block of this kind in the docs."""
    found = re.search(rf"```{kind}\n(.*?)```", DOCS.read_text(encoding="utf-8"), re.DOTALL)
    assert found is not None
    return found[1]


@pytest.fixture(scope="module")
def car(tmp_path_factory):
    """The worked example of the docs: its file and its commands, from search to texts."""
    folder = tmp_path_factory.mktemp("car")
    (folder / "car.toml").write_text(example("toml"), encoding="utf-8")
    stages = {
        "00": (search, SearchConfig), "01": (verify, VerifyConfig), "02": (record, RecordConfig),
        "03": (s03_annotate.run, AnnotateConfig), "04": (describe.run, DescribeConfig),
    }  # fmt: skip
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        commands = example("sh").replace("\\\n", " ").splitlines()
        assert len(commands) == len(stages)
        for command in commands:
            _, script, *words = shlex.split(command)
            run, config = stages[Path(script).name[:2]]
            run(parse(config, "", words))
            if run is search:
                (folder / "car.toml").unlink()  # later stages have it in the archive
    return folder / "runs" / "car"


def test_mountain_car_is_searched_verified_and_recorded(car):
    archive = load_archive(car)
    assert archive.info["measures"]["names"] == ["x", "y"]
    assert archive.info["reachable_cells"] is None and len(archive) > 20
    assert read_json(car / "verification" / "verification.json")["offenders"] == 0
    trajectories = load_trajectories(car / "trajectories")
    assert trajectories.info["n_obs"] == 2
    # Gymnasium itself, driven by the recorded actions, sees what was recorded.
    env = gymnasium.make(CAR)
    for n in (0, len(archive) // 2, len(archive) - 1):
        obs, action = trajectories.obs[n], trajectories.action[n]
        first, _ = env.reset(seed=0)
        seen = [first, *(env.step(word)[0] for word in action)]
        np.testing.assert_array_equal(np.array(seen), obs)
        np.testing.assert_array_equal(trajectories.bd[n], trajectories.pose[n][-1, :2])


def test_mountain_car_is_annotated_and_described(car):
    """Events against a plain reading of position and speed."""
    trajectories, found = load_trajectories(car / "trajectories"), load_annotations(
        car / "annotations"
    )  # fmt: skip
    seen = set()
    for identity, obs, pose in zip(
        trajectories.ids.tolist(), trajectories.obs, trajectories.pose, strict=True
    ):
        np.testing.assert_allclose(pose[:, 0], (obs[:, 0] + 1.2) / 1.8 * 600, atol=1e-3)
        np.testing.assert_allclose(pose[:, 1], 300 - obs[:, 1] / 0.14 * 600, atol=1e-3)
        for event in (found[identity].events[0], found[identity].events[-1]):
            position, speed = obs[event.timestep]
            band = "white" if abs(speed) < 0.07 / 3 else "green" if speed > 0 else "red"
            assert event.tile == band
            near = {item.object: item.relation for item in event.near}
            assert (near.get("flag") == "on") == (position >= 0.45)
            assert (near.get("valley") == "on") == (
                -0.62 <= position <= -0.42 and abs(speed) <= 0.012
            )
            seen |= set(near) | {event.tile}
        first = found[identity].visited
        assert first[0] == "white" and "valley" in first
    assert seen >= {"valley", "wall", "flag", "white"}
    texts = read_table(car / "descriptions" / "descriptions.parquet")
    assert (texts["status"] == "accepted").all()
    assert texts["text"].str.contains("valley").any() and texts["text"].str.contains("flag").any()


def test_plane_environment_reports_where_it_is(car):
    made = load_archive(car).info["environment"]
    env = gymnasium.make(made["id"], **made["kwargs"])
    check_env(env.unwrapped, skip_render_check=True)
    obs, info = env.reset(seed=3)
    np.testing.assert_array_equal(info["bd"], info["pose"][:2])
    assert info["pose"].shape == (3,) and info["pose"][1] == 300
    for step in range(120):
        obs, _, terminated, truncated, info = env.step(np.float32([1.0]))
        assert truncated == (step == 119) and not terminated
    np.testing.assert_array_equal(info["pose"], load_plane(made["kwargs"]["plane"]).pose(obs))


@pytest.mark.parametrize(
    ("old", "new", "match"),
    [
        ("obs = 0", "obs = 7", "the observation has 2 numbers; there is none at place 7"),
        ("obs = 0", "obs = -1", "obs is -1"),
        ("[-1.2, 0.6]}", "[0.6, -1.2]}", "with low < high"),
        ("0.45, -0.07, 0.6", "0.45, -0.07, 0.7", r"object 3: box is .* within x -1.2 to 0.6"),
        ('name = "flag"', 'name = "valley"', "defined twice"),
        ("[tiles]", "[tyles]", "unknown key 'tyles'"),
    ],
)
def test_wrong_planes_get_one_clear_line(tmp_path, old, new, match):
    path = tmp_path / "car.toml"
    path.write_text(example("toml").replace(old, new), encoding="utf-8")
    with pytest.raises(InputError, match=match) as caught:
        task = make_environment(CAR, {"layers": [2, 1]}, plane=str(path))
        task.record(np.zeros((1, 3), np.float32), 0)
    assert "\n" not in str(caught.value)


def test_car_that_arrives_early_has_a_shorter_trajectory(car):
    task = environment_of(car / "archive", load_archive(car).info)
    rng = np.random.default_rng(1)
    solutions = rng.normal(size=(200, task.controller.n_params)).astype(np.float32) * 2
    recording = task.record(solutions, 0)
    arrived = recording.length < 120
    assert arrived.any() and not arrived.all()
    assert (recording.info["bd"][arrived, 0] >= 0.45 / 1.8 * 600 + 400 - 1e-3).all()
    n = int(np.flatnonzero(arrived)[0])
    last = load_plane(task.kwargs["plane"]).pose(recording.obs[n, recording.length[n]])
    np.testing.assert_array_equal(last[:2], recording.info["bd"][n])


def test_replays_with_other_seeds_show_what_is_luck(car, tmp_path):
    shutil.copytree(car / "archive", tmp_path / "archive")
    config = VerifyConfig(run=tmp_path, replays=3, tolerance=(6.0, 20.0))
    result = read_json(verify(config) / "verification.json")
    assert 0 < result["offenders"] <= result["policies"]
    assert result["spread_mean"] > 0


def test_custom_environment_from_a_file(tmp_path):
    source = tmp_path / "tasks" / "reach.py"
    source.parent.mkdir()
    source.write_text(
        textwrap.dedent(
            """
            import numpy as np
            from archive_tools.tasks.measures import Measures
            from archive_tools.tasks.gymnasium import GymnasiumTask

            def make(controller, steps=50):
                def bd(obs, action, info):
                    return obs[:, 0].max(), np.abs(action).mean(), len(action)
                names = ("highest", "effort", "steps")
                measures = Measures(names, (-1.2, 0, 0), (0.6, 1, steps + 1))
                return GymnasiumTask(
                    "MountainCarContinuous-v0", bd, measures, controller=controller, steps=steps
                )
            """
        )
    )
    options = dict(environment=f"{source}:make", evaluations=80, batch=40, cells=(4, 4, 2))
    path = tmp_path / "run"
    archive = load_archive(search(SearchConfig(run=path, **options)))
    assert archive.measures.shape[1] == 3
    assert (archive.measures[:, 2] == 50).all()
    assert read_json(verify(VerifyConfig(run=path)) / "verification.json")["offenders"] == 0
    assert load_trajectories(record(RecordConfig(run=path))).info["n_bd"] == 3
    with pytest.raises(InputError, match=r"without a map.*plane"):
        s03_annotate.run(AnnotateConfig(run=path))
    source.write_text(source.read_text().replace("steps=50", "steps=40"))
    with pytest.raises(InputError, match="environment file"):
        search(SearchConfig(run=path, **options))


def test_navigation_through_gymnasium_is_navigation():
    """The kernel's drives and those of the registered environment are the same, pose included."""
    fast = Navigation()
    slow = make_environment(
        "wayword/Navigation-v0", fast.controller.to_json() | {"obs_scale": "none"},
        bd_obs=[0], bd_low=[0], bd_high=[600], steps=400,
    )  # fmt: skip
    solutions = np.random.default_rng(0).normal(size=(3, 302)).astype(np.float32)
    there = slow.record(solutions, 0)
    raw = Navigation(controller={"obs_scale": "none"}).record(solutions)
    np.testing.assert_array_equal(there.action, raw.action)
    np.testing.assert_array_equal(there.info["pose"], raw.info["pose"])
    np.testing.assert_array_equal(there.obs, raw.obs)


def test_calm_driving_is_worth_more():
    navigation = Navigation(controller={"layers": [5, 2]})
    still, spin, wall = np.zeros((3, 12), dtype=np.float32)
    spin[-2:] = 9, -9  # the wheels' biases
    wall[-2:] = 9, 9
    objective = navigation.record(np.stack([still, spin, wall])).info["objective"]
    assert objective[0] == 1 and objective[1] == pytest.approx(0.5)
    assert 0.5 < objective[2] < 0.9


@pytest.mark.parametrize(
    ("name", "options", "match"),
    [
        ("CartPole-v1", {}, "has no bounds"),
        ("FrozenLake-v1", {}, "observations are Discrete, actions Discrete; expected Box"),
        (CAR, {"obs_key": "state"}, "no entry 'state', observations are no Dict"),
        (CAR, {"bd_obs": [5]}, "bd_obs"),
        ("Pendulum-v1", {"bd_names": ["x"]}, "must have 3 values"),
        (CAR, {"colour": 1}, "takes no 'colour'"),
        ("nowhere.py:make", {}, "nowhere"),
        ("os.path:jump", {}, "jump"),
    ],
)
def test_mistakes_get_one_clear_line(name, options, match):
    with pytest.raises(InputError, match=match) as caught:
        make_environment(name, None, **options)
    assert "\n" not in str(caught.value)


OTHERS = """
import gymnasium
import numpy as np

BOX = gymnasium.spaces.Box(-1, 1, (2,), np.float32)

class Good(gymnasium.Env):
    observation_space = BOX
    action_space = gymnasium.spaces.Box(-1, 1, (1,), np.float32)
    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.x = np.zeros(2, np.float32)
        return self.x, {}
    def step(self, action):
        self.x = np.clip(self.x + 0.1 * np.array([action[0], action[0] ** 2], np.float32), -1, 1)
        return self.x, 0.0, False, False, {}

class OldReset(Good):
    def reset(self):
        return self.x

class NoInfo(Good):
    def reset(self, seed=None, options=None):
        return np.zeros(2, np.float32)  # two numbers that would pass for a pair

class OldStep(Good):
    def step(self, action):
        return np.zeros(2, np.float32), 0.0, False, {}

class OldSeed(Good):
    def reset(self, options=None):
        return np.zeros(2, np.float32), {}

class Loud(Good):
    def __init__(self):
        print("hello from the constructor")

class Breaks(Good):
    def __init__(self):
        raise RuntimeError("no display\\nat all")

class StepBreaks(Good):
    def step(self, action):
        return 1 / 0

class WrongShape(Good):
    def reset(self, *, seed=None, options=None):
        return np.zeros(3, np.float32), {}

class NotANumber(Good):
    def step(self, action):
        return self.x * np.nan, 0.0, False, False, {}

class NoReward(Good):
    def step(self, action):
        return self.x, None, False, False, {}

class NoSpaces:
    def reset(self, seed=None, options=None):
        return np.zeros(2), {}

class DoneArray(Good):
    def step(self, action):
        return self.x, 0.0, np.array([False, True]), False, {}

class DoneInWords(Good):
    def step(self, action):
        return self.x, 0.0, "no", False, {}

class NoActions(Good):
    action_space = gymnasium.spaces.Box(-1, 1, (0,), np.float32)

class Exits(Good):
    def step(self, action):
        raise SystemExit(3)

class PoseOnce(Good):
    def reset(self, seed=None, options=None):
        return np.zeros(2, np.float32), {"pose": np.zeros(3)}
    def step(self, action):
        return np.zeros(2, np.float32), 0.0, False, False, {}

class PoseOfTwo(PoseOnce):
    def reset(self, seed=None, options=None):
        return np.zeros(2, np.float32), {"pose": np.zeros(2)}

class PoseInWords(PoseOnce):
    def reset(self, seed=None, options=None):
        return np.zeros(2, np.float32), {"pose": "here"}

class ComplexObs(Good):
    def step(self, action):
        return self.x + 1j, 0.0, False, False, {}

class ComplexReward(Good):
    def step(self, action):
        return self.x, np.complex64(1 + 1j), False, False, {}

class ComplexPose(PoseOnce):
    def reset(self, seed=None, options=None):
        return np.zeros(2, np.float32), {"pose": np.zeros(3) + 1j}

for kind in (ComplexObs, ComplexReward, ComplexPose, Good, OldReset, NoInfo, OldStep, OldSeed,
             Loud, Breaks, StepBreaks, WrongShape, NotANumber, NoReward, NoSpaces, DoneArray,
             DoneInWords, NoActions, Exits, PoseOnce, PoseOfTwo, PoseInWords):
    gymnasium.register(f"{kind.__name__}-v0", entry_point=kind, max_episode_steps=5)
gymnasium.register("my/Good-v0", entry_point=Good, max_episode_steps=5)

def made(controller):
    raise KeyError("what")

def other(controller):
    return 7

def leaves(controller):
    raise SystemExit("bye")

def task(bd, low=(-1, -1)):
    from archive_tools.tasks import Measures
    from archive_tools.tasks.gymnasium import GymnasiumTask
    measures = Measures(("a", "b"), low, (1, 1))
    return lambda controller: GymnasiumTask("Good-v0", bd, measures, controller=controller)

def bd_raises(controller):
    return task(lambda obs, action, info: info["goal"])(controller)

def bd_in_words(controller):
    return task(lambda obs, action, info: ["x", "y"])(controller)

def bd_of_one(controller):
    return task(lambda obs, action, info: obs[-1])(controller)

def bd_complex(controller):
    return task(lambda obs, action, info: obs[-1] + 1j)(controller)

def swapped(controller):
    return task(lambda obs, action, info: obs[-1], low=(1, 1))(controller)

def gives(what):
    def make(controller):
        made = bd_of_one(controller)
        made.record = lambda solutions, seed: what
        return made
    return make

def nothing_recorded(controller):
    return gives(None)(controller)

def recorded_too_few(controller):
    from archive_tools.tasks import Rollouts
    return gives(Rollouts(np.zeros((1, 6, 2)), np.zeros((1, 5, 1)), np.zeros(1)))(controller)
"""
OLD = "interface of OpenAI Gym before 0.26.*migration guide"
ODD_CASES = {
    "odd_envs:Good-v0": None,
    "odd_envs:Good": None,
    "odd_envs:my/Good-v0": None,
    "odd_envs:Loud-v0": None,
    "odd_envs:OldReset-v0": OLD,
    "odd_envs:OldSeed-v0": OLD,
    "odd_envs:NoInfo-v0": f"reset gives no info.*{OLD}",
    "odd_envs:OldStep-v0": OLD,
    "odd_envs:Breaks-v0": r"cannot be made: RuntimeError: no display \(odd_envs.py, line \d+\)",
    "odd_envs:StepBreaks-v0": r"step raised: ZeroDivisionError.*odd_envs.py, line",
    "odd_envs:WrongShape-v0": "3 numbers; expected 2 finite numbers",
    "odd_envs:NotANumber-v0": "nan.*expected 2 finite numbers",
    "odd_envs:NoReward-v0": "reward is None",
    "odd_envs:DoneArray-v0": r"terminated array\(\[False,  True\]\).*true or false",
    "odd_envs:DoneInWords-v0": "terminated 'no', truncated False; expected .* true or false",
    "odd_envs:NoActions-v0": "action_space .* has no numbers",
    "odd_envs:Exits-v0": r"step raised: SystemExit: 3 \(odd_envs.py, line",
    "odd_envs:PoseOnce-v0": "the pose in info is None; expected 3 finite numbers",
    "odd_envs:PoseOfTwo-v0": r"the pose in info is \[0\. 0\.\]; expected 3",
    "odd_envs:PoseInWords-v0": "the pose in info is here; expected 3",
    "odd_envs:ComplexObs-v0": "step observes complex numbers; expected real ones",
    "odd_envs:ComplexReward-v0": "step's reward is .*1j.*; expected a number",
    "odd_envs:ComplexPose-v0": "the pose in info is .*j.*; expected 3 finite numbers",
    "odd_envs:bd_complex": "record raised: ValueError: complex numbers; expected real ones",
    "odd_envs:leaves": r"raised: SystemExit: bye \(odd_envs.py, line",
    "odd_envs:bd_raises": r"record raised: KeyError: 'goal' \(odd_envs.py, line",
    "odd_envs:bd_in_words": "record raised: ValueError: could not convert string",
    "odd_envs:swapped": "its measures are .* a higher highest value for each dimension",
    "odd_envs:nothing_recorded": "record gives None; expected Rollouts",
    "odd_envs:recorded_too_few": r"record gives obs of shape \(1, 6, 2\); expected \(2, 6, 2\)",
    "odd_envs:NoSpaces-v0": "odd_envs:NoSpaces-v0",
    "odd_envs:Goood-v0": "Goood",
    "Goood-v7": "Goood",
    "CartPole-v999": "CartPole",
    "nowhere_at_all:Good-v0": "No module named 'nowhere_at_all'",
    "odd_envs:nothing": "no attribute 'nothing'; expected module:function.*module:Name-v0",
    "odd_envs:made": r"raised: KeyError: 'what' \(odd_envs.py, line",
    "odd_envs:other": "makes a int without id, kwargs",
    "odd_envs:BOX": "no function that takes a controller",
    "os:system": "os:system",
    "broken_envs:Good-v0": "SyntaxError|invalid syntax",
    "broken_envs:make": "invalid syntax",
}


@pytest.mark.parametrize("name", ODD_CASES)
def test_environments_of_another_time_and_kind(tmp_path, monkeypatch, name, capfd):
    (tmp_path / "odd_envs.py").write_text(OTHERS)
    (tmp_path / "broken_envs.py").write_text("def make(:")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "odd_envs", raising=False)

    def drive():
        task = make_environment(name, {"layers": [2, 1]})
        return drives_of(task, np.ones((2, 3), np.float32), 0)

    expected = ODD_CASES[name]
    if expected is None:
        assert drive().length.tolist() == [5, 5]
        assert capfd.readouterr().out == ""
    else:
        with pytest.raises(InputError, match=expected) as caught:
            drive()
        assert "\n" not in str(caught.value)


def test_wrong_layers_are_explained():
    with pytest.raises(InputError, match="2 observations and 1 actions"):
        make_environment(CAR, {"layers": [3, 4, 1]})


def test_archive_that_does_not_say_where_it_was_made(tmp_path):
    with pytest.raises(InputError, match="--import"):
        environment_of(tmp_path, {})
