"""Every mark of every recipe can be missed: a policy that does not do it is planted for each."""

import itertools
from types import SimpleNamespace

import numpy as np
import pytest

from nanodt.errors import InputError
from nanodt.family.recipes import command, dt, gato, qdt, tt
from nanodt.family.recipes.command import NAMES, get_recipe
from nanodt.family.recipes.recipe import Figure, Options
from nanodt.family.trajectories import Trajectories


def episodes(**each) -> Trajectories:
    """Two episodes of three steps that return 3 each."""
    steps = {"obs": np.zeros((6, 2)), "action": np.zeros((6, 2)), "reward": np.ones((6, 1))}
    steps["rtg"] = np.array([[3], [2], [1]] * 2)
    info = {"action_low": [-1, -1], "action_high": [1, 1], "mean_return": 3.0}
    return Trajectories(np.array([3, 3]), steps, each, info=info)


def returns(*values):
    return SimpleNamespace(returns=np.array(values, float))


def run_dt(patch, reached="as asked"):
    recipe = get_recipe("dt")
    options = recipe.options(targets=(10.0, 20.0, 40.0), drives=2)
    asked = np.repeat(options.targets, 2)
    found = {"as asked": asked, "the same": np.full(6, 20.0), "the opposite": -asked}[reached]
    patch.setattr(dt, "drive", lambda *a, **k: returns(*found))
    patch.setattr(dt, "make_envs", lambda *a: None)
    patch.setattr(dt, "Policy", lambda *a: None)
    return recipe.evaluate(options, None, episodes())


def run_cartpole(patch, best=500.0, high=480.0, low=200.0):
    recipe = get_recipe("cartpole")
    found = {(500, "argmax"): best, (500, "sample"): high, (200, "sample"): low}
    patch.setattr(type(recipe), "drive", lambda s, o, m, t, mode: np.array([found[t, mode]]))
    return recipe.evaluate(recipe.options(), None, episodes())


def run_bet(patch, success=0.9, right=0.5, alike=0.5, near=0.0, alike_success=0.9):
    recipe = get_recipe("bet")

    def drive(self, options, model, mode, spread=0.05):
        if model == "control":
            return success, near
        if spread != 0.05:
            return alike_success, alike
        return success, right

    patch.setattr(type(recipe), "drive", drive)
    patch.setattr(type(recipe), "control", lambda *a: "control")
    return recipe.evaluate(recipe.options(), None, episodes())


def run_qdt(patch, quiet=0.5, noisy=1.0, rival=2.0, still=0.1, other=9.0):
    recipe = get_recipe("qdt")
    told = itertools.cycle([quiet, noisy, rival, still, other])
    patch.setattr(type(recipe), "errors", lambda *a: np.array([next(told)]))
    patch.setattr(qdt, "Policy", lambda *a: None)
    split = np.array([[qdt.TRAIN], [qdt.TEST]], float)
    data = episodes(split=split, bd=np.zeros((2, 2)), recorded=np.ones((2, 1)))
    return recipe.evaluate(recipe.options(), None, data)


def run_tt(patch, mean=3.0, drawn=3.0, planned=30.0):
    recipe = get_recipe("tt")
    told = iter([drawn, planned])
    patch.setattr(tt, "drive", lambda *a, **k: returns(next(told)))
    for name in ("make_envs", "Policy", "Planner"):
        patch.setattr(tt, name, lambda *a, **k: None)
    data = episodes()
    data.info["mean_return"] = mean
    return recipe.evaluate(recipe.options(), None, data)


def run_mgdt(patch, plain=(100, 100), expert=(300, 300), wrong=20):
    recipe = get_recipe("mgdt")

    def drive(self, options, model, kappa, wrong_token=False, **named):
        if named.get("wrong", wrong_token):
            return np.array([[wrong], [wrong]], float)
        return np.array(expert if kappa else plain, float)[:, None]

    patch.setattr(type(recipe), "drive", drive)
    return recipe.evaluate(recipe.options(), None, episodes())


def run_mddt(patch, success=0.8):
    recipe = get_recipe("mddt")
    patch.setattr(type(recipe), "drive", lambda *a: success)
    return recipe.evaluate(recipe.options(), None, episodes())


def run_gato(patch, reached=90.0, expert=100.0, random=10.0):
    recipe = get_recipe("gato")
    patch.setattr(type(recipe), "drive", lambda *a: reached)
    patch.setattr(
        gato, "gather",
        lambda task, n, seed, who: returns(random if who is gato.anything else expert),
    )  # fmt: skip
    return recipe.evaluate(recipe.options(), None, episodes())


def run_tdt(patch, told=0.9, shuffled=0.2):
    recipe = get_recipe("tdt")

    def drive(self, options, model, shuffled_texts=False, **named):
        share = shuffled if named.get("shuffled", shuffled_texts) else told
        return returns(*(np.arange(10) < 10 * share)), ["go to a red ball"] * 10

    patch.setattr(type(recipe), "drive", drive)
    with np.errstate(all="ignore"):
        return recipe.evaluate(recipe.options(), None, episodes())


RUNS = {name: globals()[f"run_{name}"] for name in NAMES}
BREACHES = {
    ("dt", "rank correlation of asked and reached"): [
        {"reached": "the same"}, {"reached": "the opposite"}
    ],
    ("cartpole", "asked for 500, argmax: mean return"): [{"best": 400.0}],
    ("cartpole", "sampled: 500 over 200"): [
        {"high": 210.0}, {"low": 0.0}, {"high": -400.0, "low": -100.0}
    ],
    ("bet", "sampled: success"): [{"success": 0.5}],
    ("bet", "sampled: share on the right"): [{"right": 0.0}, {"right": 1.0}],
    ("bet", "sampled, starts alike: share on the right"): [
        {"alike": 0.0}, {"alike": 1.0}, {"alike_success": 0.0}
    ],
    ("bet", "squared error, starts alike: share of the rarer way"): [{"near": 0.5}],
    ("qdt", "median error in cells"): [{"quiet": 2.0}],
    ("qdt", "under noise: error over the elite's"): [{"noisy": 3.0}, {"rival": 0.0}],
    ("qdt", "asked for others' BDs: error over its own"): [
        {"other": 0.5}, {"quiet": 0.0, "other": 0.0}
    ],
    ("tt", "actions drawn: mean return over the data's"): [
        {"drawn": 1.0}, {"drawn": 9.0}, {"mean": 0.0}, {"mean": -3.0, "drawn": -3.0}
    ],
    ("tt", "beam search over drawn actions"): [
        {"planned": 3.0}, {"drawn": 0.0}, {"drawn": -3.0, "planned": -300.0}
    ],
    ("mgdt", "as it is: the second over the first"): [
        {"expert": (100, 300)}, {"plain": (0, 100)}, {"plain": (-10, 100), "expert": (-30, 300)}
    ],
    ("mgdt", "left is right: the second over the first"): [{"expert": (300, 100)}],
    ("mgdt", "wrong task token: mean return"): [{"wrong": 300}],
    ("mddt", "mean success over the tasks, new goals"): [{"success": 0.3}],
    **{
        ("gato", f"{task.name}: share of the expert, random actions being 0"): [
            {"reached": 20.0}, {"expert": 10.0}, {"expert": -5.0, "reached": -1.0, "random": 0.0}
        ]
        for task in gato.TASKS
    },
    ("tdt", "success on unseen seeds"): [{"told": 0.5}],
    ("tdt", "the first less the second"): [{"shuffled": 0.9}],
}  # fmt: skip


@pytest.mark.filterwarnings("ignore:Mean of empty slice", "ignore:invalid value", "ignore:An input")
@pytest.mark.parametrize("name", NAMES)
def test_what_does_it_meets_every_mark_and_each_can_be_missed(name, monkeypatch):
    """And no mark is without a planted breach."""
    marks = [figure for figure in RUNS[name](monkeypatch) if figure.wanted]
    assert marks and all(figure.passes for figure in marks), [str(f) for f in marks]
    assert {figure.name for figure in marks} == {mark for own, mark in BREACHES if own == name}
    for (own, mark), breaches in BREACHES.items():
        for breach in breaches if own == name else ():
            found = {f.name: f for f in RUNS[name](monkeypatch, **breach)}
            assert not found[mark].passes, (mark, breach, str(found[mark]))


def test_a_missed_mark_is_told_by_the_exit_status(tmp_path, monkeypatch, capsys):
    class Stub:
        name = "dt"

        def check(self, options):
            pass

        def memory(self, options):
            return {}

        def trajectories(self, options):
            return episodes()

        def train(self, options, data):
            return SimpleNamespace(parameters=lambda: [])

        def evaluate(self, options, model, data):
            return [Figure("share", float("nan"), least=0.5)]

    (tmp_path / "dt").mkdir()
    monkeypatch.setattr(command, "get_recipe", lambda name: Stub())
    options = Options(out=tmp_path)
    monkeypatch.setattr(command, "parse", lambda *a: options)
    assert command.run(["dt"]) == 1
    assert "MISSED" in capsys.readouterr().out
    with pytest.raises(InputError):
        get_recipe("other")
