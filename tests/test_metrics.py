"""Metrics: against worked examples, against slow plain versions, and by their invariants."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import kendalltau

from archive_tools.annotations import similarity
from archive_tools.evaluation import metrics
from archive_tools.rollouts import contrast

routes = st.lists(st.sampled_from("abcdef"), max_size=9)


def plain_lcs(x, y):
    table = np.zeros((len(x) + 1, len(y) + 1), int)
    for i, a in enumerate(x):
        for j, b in enumerate(y):
            table[i + 1, j + 1] = (
                table[i, j] + 1 if a == b else max(table[i, j + 1], table[i + 1, j])
            )
    return table[-1, -1]


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(routes, routes), min_size=1, max_size=5))
def test_route_metrics_equal_their_plain_versions(pairs):
    driven, reference = zip(*pairs, strict=True)
    lcs = similarity.lcs_ratio(driven, reference)
    f1 = similarity.set_f1(driven, reference)
    tau = similarity.order_tau(driven, reference)
    for k, (x, y) in enumerate(pairs):
        longer = max(len(x), len(y))
        assert lcs[k] == (plain_lcs(x, y) / longer if longer else 1)
        both, total = len({*x} & {*y}), len({*x}) + len({*y})
        assert f1[k] == pytest.approx(2 * both / total if total else 1)
        common = [c for c in dict.fromkeys(x) if c in y]
        if len(common) < 2:
            assert np.isnan(tau[k])
        else:
            expected = kendalltau(range(len(common)), [y.index(c) for c in common]).statistic
            assert tau[k] == pytest.approx(expected)


def test_worked_example():
    driven = [["red", "sofa", "blue", "bed"]]
    reference = [["red", "blue", "sofa", "bed", "table"]]
    assert similarity.lcs_ratio(driven, reference) == pytest.approx([3 / 5])
    assert similarity.set_f1(driven, reference) == pytest.approx([8 / 9])
    assert similarity.order_tau(driven, reference) == pytest.approx([(5 - 1) / 6])


def test_bd_error_is_in_per_cent_of_the_diagonal():
    error = metrics.bd_error([[3.0, 4.0], [0.0, 0.0], [np.nan, 0.0]], np.zeros((3, 2)), 50.0)
    assert error[:2].tolist() == [10.0, 0.0]
    assert metrics.bd_success([5.0, 5.001, np.nan]).tolist()[:2] == [1.0, 0.0]
    assert np.isnan(metrics.bd_success(error)[2])


def test_lcs_length_counts_the_common_names_in_order():
    driven, reference = ["abcd", "", "ab", "xyz"], ["acbd", "a", "", "zyx"]
    assert similarity.lcs_length(driven, reference).tolist() == [3, 0, 0, 1]


def test_unequal_numbers_of_routes_are_refused():
    with pytest.raises(ValueError, match="2 driven against 1"):
        similarity.lcs_ratio([["a"], ["b"]], [["a"]])


def test_contrast_pairs_end_together_by_different_ways():
    rng = np.random.default_rng(0)
    bd = rng.uniform(0, 600, (400, 2))
    names = [[str(v) for v in rng.integers(0, 5, rng.integers(2, 8))] for _ in bd]
    diagonal = 600 * np.sqrt(2)
    pairs = contrast.contrast_pairs(bd, names, diagonal, seed=3)
    assert len(pairs) > 50
    gap = np.linalg.norm(bd[pairs[:, 0]] - bd[pairs[:, 1]], axis=1)
    assert gap.max() <= 0.05 * diagonal
    first, second = ([names[i] for i in column] for column in pairs.T)
    assert similarity.lcs_ratio(first, second).max() <= 0.5
    assert len(np.unique(pairs)) == pairs.size, "an item is in one pair at most"
    assert np.array_equal(pairs, contrast.contrast_pairs(bd, names, diagonal, seed=3))
    assert np.array_equal(pairs[:7], contrast.contrast_pairs(bd, names, diagonal, seed=3, limit=7))
    assert contrast.contrast_pairs(bd[:1], names[:1], diagonal).shape == (0, 2)


def test_contrast_score_of_planted_policies():
    a, b = ["red", "green", "blue"], ["red", "yellow", "blue"]
    own, other = [a, b], [b, a]
    assert contrast.contrast_score(own, own, other).tolist() == [1, 1]
    assert contrast.contrast_score(other, own, other).tolist() == [0, 0]
    deaf = contrast.contrast_score([a, a], own, other)  # the same drive for both texts
    assert deaf.mean() == 0.5
    assert contrast.contrast_score([["red"], ["red"]], own, other).tolist() == [0.5, 0.5]


def coverage(draw, truth, statistic, *, size, trials=400):
    """Share of trials in which the 95 % interval of a drawn sample holds the true value."""
    hits = 0
    for trial in range(trials):
        sample = draw(np.random.default_rng([9, trial]), size)
        sides = sample if isinstance(sample, tuple) else (sample,)
        found = metrics.bootstrap(*sides, statistic=statistic, resamples=400, seed=trial)
        hits += found.ci_low <= truth <= found.ci_high
    return hits / trials


@pytest.mark.parametrize(
    ("draw", "truth", "statistic", "size"),
    [
        (lambda rng, n: rng.normal(2.0, 1.0, n), 2.0, "mean", 60),
        (lambda rng, n: rng.beta(4.0, 1.0, n), 0.8, "mean", 60),  # skewed, as route scores are
        (lambda rng, n: (rng.random(n) < 0.9).astype(float), 0.9, "mean", 256),  # a share
        (lambda rng, n: rng.lognormal(2.0, 1.0, n), np.exp(2.0), "median", 128),  # as bd_error
        (lambda rng, n: (rng.normal(3, 1, n) + (hard := rng.normal(0, 9, n)), hard), 3.0, "mean",
         60),
    ],
    ids=["mean", "skewed mean", "share", "median", "paired difference"],
)  # fmt: skip
def test_95_per_cent_intervals_cover_the_truth_about_so_often(draw, truth, statistic, size):
    assert 0.92 <= coverage(draw, truth, statistic, size=size) <= 0.97


def test_bootstrap_is_seeded():
    values = np.random.default_rng(1).normal(size=50)
    assert metrics.bootstrap(values, seed=4) == metrics.bootstrap(values, seed=4)
    assert metrics.bootstrap(values, seed=4) != metrics.bootstrap(values, seed=5)


def test_bootstrap_median_nan_and_empty():
    found = metrics.bootstrap([1.0, 2.0, 100.0, np.nan], statistic="median")
    assert (found.mean, found.n) == (2.0, 3)
    assert found.ci_low >= 1.0 and found.ci_high <= 100.0
    assert metrics.bootstrap([np.nan]).n == 0
    assert metrics.bootstrap([7.0]) == metrics.Interval(7.0, 7.0, 7.0, 1)


def test_paired_difference_is_tighter_than_its_parts():
    rng = np.random.default_rng(2)
    hard = rng.normal(0, 5, 200)
    better, worse = hard + 1 + rng.normal(0, 0.3, 200), hard + rng.normal(0, 0.3, 200)
    found = metrics.bootstrap(better, worse)
    assert 0.9 < found.ci_low < found.mean < found.ci_high < 1.1
    alone = metrics.bootstrap(better)
    assert alone.ci_high - alone.ci_low > 5 * (found.ci_high - found.ci_low)
    assert metrics.bootstrap(better, worse, statistic="median").ci_low > 0
    assert metrics.bootstrap([1.0, np.nan], [np.nan, 1.0]).n == 0


def test_thousands_of_routes_take_a_moment(benchmark_seconds=2.0):
    import time

    rng = np.random.default_rng(0)
    driven = [[str(v) for v in rng.integers(0, 23, 30)] for _ in range(5000)]
    similarity.lcs_ratio(driven[:2], driven[:2])
    start = time.perf_counter()
    similarity.lcs_ratio(driven, driven[::-1])
    assert time.perf_counter() - start < benchmark_seconds
