"""Agreement of judges: known values and the edges."""

import json
import re

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import cohen_kappa_score

from archive_tools.evaluation.agreement import (
    agreement,
    agreement_table,
    confusion,
    rater_scores,
    weighted_kappa,
)
from archive_tools.rating.ratings import ratings_digest, read_ratings


def test_same_opposite_and_unrelated_judges():
    rng = np.random.default_rng(0)
    marks = rng.integers(0, 11, 300) / 10
    same, opposite = agreement(marks, marks), agreement(marks, 1 - marks)
    for name in ("kendall_tau", "spearman", "pearson", "weighted_kappa"):
        assert getattr(same, name) == pytest.approx(1.0)
        assert getattr(opposite, name) < -0.9
    assert abs(agreement(marks, rng.permutation(marks)).weighted_kappa) < 0.15


def test_weighted_kappa_equals_sklearn():
    rng = np.random.default_rng(1)
    a = rng.integers(0, 11, 100)
    b = np.clip(a + rng.integers(-3, 4, 100), 0, 10)
    expected = cohen_kappa_score(a, b, weights="quadratic", labels=range(11))
    assert weighted_kappa(a / 10, b / 10) == pytest.approx(expected)


def test_missing_marks_are_left_out_and_edges_are_nan():
    found = agreement([0.1, 0.5, np.nan, 0.9], [0.2, 0.6, 0.3, 0.8])
    assert found.n == 3 and found.kendall_tau == pytest.approx(1.0)
    assert np.isnan(agreement([0.5, 0.5, 0.5], [0.1, 0.2, 0.3]).pearson)
    assert agreement([], []).n == 0
    with pytest.raises(ValueError, match="2 of one against 1"):
        agreement([0.1, 0.2], [0.1])


def test_table_has_every_pair_of_judges_and_no_nan():
    scores = {"rules": [0.1, 0.9], "llm": [0.2, 0.8], "people": [np.nan, np.nan]}
    table = agreement_table(scores)
    assert [(r["first"], r["second"]) for r in table] == [
        ("rules", "llm"), ("rules", "people"), ("llm", "people"),
    ]  # fmt: skip
    assert table[0]["n"] == 2 and table[1]["n"] == 0 and table[1]["pearson"] is None


def write_ratings(folder, rows, name="anna.jsonl", end="\n"):
    folder.mkdir(exist_ok=True)
    (folder / name).write_text("\n".join(json.dumps(row) for row in rows) + end)
    return folder


def rate(item, score, rater="anna", **more):
    return {"item": item, "system": "nanodt", "rater": rater, "score": score, **more}


def test_ratings_are_read_the_last_of_a_rater_counts(tmp_path):
    rows = [rate(1, 3), rate(2, 10, seed=4), rate(1, 7.5, time="later"),
            rate(1, 5, rater="ben", rollouts="now"), rate(3, 9, rollouts="before")]  # fmt: skip
    found, stale = read_ratings(write_ratings(tmp_path / "ratings", rows), "now")
    assert stale == 1
    assert found.to_dict("records") == [
        {"item": 1, "system": "nanodt", "seed": 0, "rater": "anna", "score": 0.75},
        {"item": 2, "system": "nanodt", "seed": 4, "rater": "anna", "score": 1.0},
        {"item": 1, "system": "nanodt", "seed": 0, "rater": "ben", "score": 0.5},
    ]
    nobody, _ = read_ratings(tmp_path / "none", "now")
    assert nobody.empty and rater_scores(nobody, pd.DataFrame()) == {}
    assert ratings_digest(tmp_path / "none") == ""


def test_a_line_cut_off_by_a_crash_is_left_out_and_a_wrong_one_refused(tmp_path):
    folder = write_ratings(tmp_path / "cut", [rate(1, 3)], end='\n{"item": 2, "sys')
    assert len(read_ratings(folder, "now")[0]) == 1
    for number, (bad, message) in enumerate([
        (rate(1, 11), "anna.jsonl:1: score is 11, expected 0 to 10"),
        (rate("one", 1), "item is 'one', expected a whole number"),
        (rate(1, True), "score is True, expected a number"),
        ([1], "expected an object"),
    ]):  # fmt: skip
        folder = write_ratings(tmp_path / str(number), [bad])
        with pytest.raises(ValueError, match=re.escape(message)):
            read_ratings(folder, "now")


def test_raters_are_laid_over_the_drives_and_a_new_rating_changes_the_digest(tmp_path):
    folder = write_ratings(tmp_path / "r", [rate(1, 4), rate(2, 8)])
    before = ratings_digest(folder)
    write_ratings(folder, [rate(1, 6, rater="ben")], "ben.jsonl")
    assert ratings_digest(folder) != before
    found, _ = read_ratings(folder, "now")
    drives = pd.DataFrame({"item": [2, 1, 1], "system": ["nanodt", "nanodt", "replay"], "seed": 0})
    scores = rater_scores(found, drives)
    assert list(scores) == ["judge_people", "people:anna", "people:ben"]
    people = scores["judge_people"]
    assert people[:2] == pytest.approx([0.8, 0.5]) and np.isnan(people[2])
    assert np.isnan(scores["people:ben"][0]) and scores["people:ben"][1] == pytest.approx(0.6)


def test_confusion_of_judges_against_the_drives():
    driven = np.array([0, 0.2, 0.5, 0.5, 1, 1, 2 / 3, np.nan])
    exact = confusion("rules", driven, driven)
    assert exact["matrix"] == [[2, 0, 0], [0, 2, 0], [0, 0, 3]]
    assert exact["agreement"] == exact["weighted_kappa"] == 1 and exact["n"] == 7
    lenient = confusion("llm", np.ones(8), driven)
    assert [row[2] for row in lenient["matrix"]] == [2, 2, 3]
    assert lenient["agreement"] == pytest.approx(3 / 7)
    assert confusion("people", np.full(8, np.nan), driven) is None
