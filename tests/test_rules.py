"""Every rule of a dataset can be broken: a breach is planted for each, and an empty one for all."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from text_factory import APARTMENT, drives

from archive_tools.dataset.rules import (
    Rule,
    check_descriptions,
    check_split,
    check_trajectories,
    check_wording,
    report_rules,
)
from archive_tools.dataset.splits import SPLITS, SplitRule
from archive_tools.descriptions.jobs import jobs_of, narrate
from archive_tools.narrator.alternatives import Alternatives
from archive_tools.trajectories.table import Trajectories
from envs import InputError

N, T = 12, 6
ANNOTATIONS = dict(enumerate(drives(APARTMENT, N, seed=4)))
ROWS = pd.DataFrame(narrate(jobs_of(ANNOTATIONS, 1), APARTMENT, 1,
                            alternatives=Alternatives(ANNOTATIONS.values())))  # fmt: skip


def broken(rules: list[Rule]) -> set[str]:
    return {rule.name for rule in rules if rule.offenders}


def recorded(**changes) -> Trajectories:
    rng = np.random.default_rng(0)
    pose = rng.uniform(0, 600, (N, T + 1, 3)).astype("f4")
    info = {"environment": {"id": "envs:wayword/Navigation-v0", "kwargs": {}}}
    whole = Trajectories(
        np.arange(N), np.full(N, T), info, rng.random((N, T + 1, 5)).astype("f4"),
        rng.random((N, T, 2)).astype("f4"), pose, pose[:, -1, :2].copy(),
    )  # fmt: skip
    return replace(whole, **{k: change(getattr(whole, k).copy()) for k, change in changes.items()})


def put(place, value):
    def change(array):
        array[place] = value
        return array

    return change


TRAJECTORIES = {
    "observations, actions and poses are finite": [
        {"obs": put((3, 2, 1), np.nan)}, {"action": put((3, 0, 1), np.inf)},
        {"pose": put((3, 1, 2), -np.inf)}, {"obs": lambda _: None}, {"action": lambda _: None},
    ],
    "trajectory ids are unique": [{"ids": put(3, 4)}],
    "the BD is the final position": [
        {"bd": put((3, 0), 9.0)}, {"bd": put((3, 1), np.nan)}, {"pose": put((3, -1, 0), 9.0)},
    ],
}  # fmt: skip


def test_rules_on_trajectories():
    assert not broken(check_trajectories(recorded()))
    assert {rule.name for rule in check_trajectories(recorded())} == set(TRAJECTORIES)
    for rule, breaches in TRAJECTORIES.items():
        for breach in breaches:
            assert rule in broken(check_trajectories(recorded(**breach))), breach


@pytest.mark.parametrize("id", ["envs:wayword/Navigation-v0", "wayword/Navigation-v0"])
def test_the_bd_is_checked_however_the_environment_is_named(id):
    wrong = recorded(bd=put((0, 0), -5.0))
    wrong.info["environment"]["id"] = id
    assert broken(check_trajectories(wrong)) == {"the BD is the final position"}


def change(**values):
    """A description, the first one, changed."""
    return lambda rows: rows.assign(**{k: [v, *rows[k].tolist()[1:]] for k, v in values.items()})


DESCRIPTIONS = {
    "every description joins a recorded, annotated trajectory": [
        change(trajectory_id=99), change(trajectory_id=-1)
    ],
    "every text agrees with its trajectory's annotation": [
        change(text="Go past the aquarium and stop."), change(text=""), change(text=None),
        change(text=float("nan")), change(text="Turn 90 degrees."),
    ],
    "every trajectory has an accepted description or a stated reason": [
        lambda rows: rows[1:], change(status="rejected", reason=""), change(status="acceptd"),
        change(status="rejected", reason=None), change(status=None), lambda rows: rows[:0],
    ],
}  # fmt: skip


def test_rules_on_descriptions():
    ids = list(ANNOTATIONS)
    found = check_descriptions(ROWS, ANNOTATIONS, ids, APARTMENT)
    assert not broken(found) and {rule.name for rule in found} == set(DESCRIPTIONS)
    assert [rule.checked for rule in found] == [N, N, N]
    for rule, breaches in DESCRIPTIONS.items():
        for breach in breaches:
            rows = breach(ROWS.copy())
            assert rule in broken(check_descriptions(rows, ANNOTATIONS, ids, APARTMENT))
    refused = change(status="rejected", reason="too long")(ROWS)
    found = check_descriptions(refused, ANNOTATIONS, ids, APARTMENT)
    assert not broken(found) and [rule.checked for rule in found] == [N, N - 1, N]
    lacking = {i: a for i, a in ANNOTATIONS.items() if i}
    assert len(broken(check_descriptions(ROWS, lacking, ids, APARTMENT))) == 2


def test_rule_on_unseen_wording():
    rows = ROWS.to_dict("records")
    [rule] = check_wording(rows, ANNOTATIONS, APARTMENT)
    assert rule.checked == N and not rule.offenders
    rows[3]["text"] = "Go past the aquarium and stop."
    assert broken(check_wording(rows, ANNOTATIONS, APARTMENT)) == {rule.name}
    rows[3]["status"] = "rejected"
    [rule] = check_wording(rows, ANNOTATIONS, APARTMENT)
    assert rule.checked == N - 1 and not rule.offenders


SIDES = np.array(["train"] * 6 + ["validation"] * 2 + ["test"] * 4)
EMPTY = "train, validation and test are not empty"


@pytest.mark.parametrize("recipe", ["random", "regions", "routes"])
def test_rules_on_the_split(recipe):
    whole, everyone, ids = list("aabbccddeeff"), np.ones(N, bool), list(range(N))

    def found(split=SIDES, learnt=everyone, whole=whole):
        return check_split(split, learnt, whole, ids, recipe)

    assert not broken(found()) and [rule.checked for rule in found()] == [N, N]
    for side in SPLITS:  # none on a side, or none of it with a text
        other = np.where(side == SIDES, "train" if side != "train" else "test", SIDES)
        assert EMPTY in broken(found(split=other))
        [rule, _] = found(learnt=side != SIDES)
        assert rule.offenders == [(-1, f"{side} is empty")]
    [rule, _] = found(learnt=~everyone)
    assert rule.checked == 0 and len(rule.offenders) == 3
    [_, apart] = found(whole=[*"aabbcdcxeeff"])
    what = {"random": "near-duplicates are", "routes": "a route is"}
    assert apart.name == f"{what.get(recipe, 'a block of the BD space is')} on one side"
    assert [i for i, _ in apart.offenders] == [6]
    assert not found(split=np.where(np.arange(N) == 6, "", SIDES), whole=[*"aabbcdcxeeff"])[
        1
    ].offenders


@pytest.mark.parametrize("recipe", ["random", "regions", "routes"])
def test_what_a_recipe_withholds_is_what_the_rule_looks_at(recipe):
    """A split by another recipe breaks the rule of this one, its own does not."""
    rng = np.random.default_rng(1)
    groups, bd = np.arange(200) // 2, rng.random((200, 2)).astype("f4")
    tiles = [tuple("abcd"[i] for i in rng.integers(0, 4, 2)) for _ in range(200)]
    low, high = np.zeros(2), np.ones(2)

    def rule(name):
        return SplitRule(name, 0, 0.1, 0.2, 0.0, 1.0)

    def apart(name):
        split = rule(name).split(groups, bd, low, high, tiles, 200)
        whole = rule(recipe).whole(groups, bd, low, high, tiles)
        return check_split(split, split != "", whole, range(200), recipe)[1]

    assert not apart(recipe).offenders
    assert apart("random" if recipe != "random" else "regions").offenders


def test_a_broken_rule_ends_the_stage_with_a_list(tmp_path):
    problems = tmp_path / "problems.csv"
    report_rules([Rule("fine", 3)], problems)
    assert not problems.exists()
    with pytest.raises(InputError, match=r"2 broken rules, first: 'bad' for trajectory 7: so"):
        report_rules([Rule("fine", 3), Rule("bad", 3, [(7, "so"), (8, "so")])], problems)
    assert pd.read_csv(problems)["trajectory_id"].tolist() == [7, 8]
    with pytest.raises(InputError, match="first: 'sides': train is empty;"):
        report_rules([Rule("sides", 0, [(-1, "train is empty")])], problems)
