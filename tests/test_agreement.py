"""Agreement of judges: known values and the edges."""

import numpy as np
import pytest
from sklearn.metrics import cohen_kappa_score

from archive_tools.agreement import agreement, agreement_table, weighted_kappa


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
