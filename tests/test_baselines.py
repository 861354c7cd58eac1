"""Retrieval baselines: each must find what its name says."""

import numpy as np
import pytest

from archive_tools.rollouts.baselines import Elites, derangement, tfidf
from archive_tools.rollouts.systems import SYSTEMS

TEXTS = [
    ["go past the sofa to the bed", "visit the sofa and then the bed"],
    ["pass the piano, then stop at the fridge"],
    [],
    ["cross the red tile to the desk"],
]
BD = np.array([[0.0, 0.0], [10.0, 0.0], [0.0, 10.0], [500.0, 500.0]])


def test_tfidf_rows_are_unit_and_like_texts_are_near():
    space = tfidf([text for row in TEXTS for text in row])
    rows = space(["stop at the fridge", "the bed by the sofa", "unheard"]).toarray()
    assert np.linalg.norm(rows, axis=1) == pytest.approx([1, 1, 0])


def test_tfidf_is_the_formula_of_its_docstring():
    space = tfidf(["Red sofa", "red bed"])
    rare = np.log(3 / 2) + 1  # of a term that one of the two texts has
    counts = {"red": (1 + np.log(2)) * 1.0, "sofa": rare, "red sofa": rare}
    expected = (counts["red"] + 2 * rare * rare) / np.sqrt(
        (1 + 2 * rare**2) * (counts["red"] ** 2 + 2 * rare**2)
    )
    product = space(["red, red sofa!"]) @ space(["red sofa"]).T
    assert product.toarray()[0, 0] == pytest.approx(expected)


def test_each_baseline_finds_its_elite():
    elites = Elites(BD, TEXTS)
    assert elites.nearest_bd([[9.0, 1.0], [400.0, 590.0]]).tolist() == [1, 3]
    assert elites.nearest_text(["at the fridge", "the sofa, the bed"]).tolist() == [1, 0]
    assert elites.similarity(["the bed"])[0, 2] == -np.inf


def test_nearest_both_looks_only_among_the_nearest(monkeypatch):
    monkeypatch.setattr("archive_tools.rollouts.baselines.NEIGHBOURS", 2)
    elites = Elites(BD, TEXTS)
    text = ["cross the red tile to the desk"]
    assert elites.nearest_both(text, [[1.0, 0.0]]).tolist() != [3]
    assert elites.nearest_both(["at the fridge"], [[1.0, 0.0]]).tolist() == [1]
    assert elites.nearest_both(["nothing known"], [[1.0, 0.0]]).tolist() == [0], "ties: nearest"


def test_texts_are_compared_in_blocks_of_any_size(monkeypatch):
    rng = np.random.default_rng(0)
    words = np.array(["bed", "fan", "sofa", "desk", "plant", "lamp"])
    texts = [[" ".join(rng.choice(words, 4)) for _ in range(2)] for _ in range(40)]
    elites = Elites(rng.uniform(0, 9, (40, 2)), texts)
    asked = [" ".join(rng.choice(words, 3)) for _ in range(30)]
    whole = elites.nearest_text(asked)
    monkeypatch.setattr("archive_tools.rollouts.baselines.SIMILARITIES", 200)
    seen, similarity = [], elites.similarity
    monkeypatch.setattr(
        elites, "similarity", lambda some: seen.append(len(some)) or similarity(some)
    )
    np.testing.assert_array_equal(elites.nearest_text(asked), whole)
    assert max(seen) * 80 <= 200


def test_random_is_seeded_and_covers():
    elites = Elites(BD, TEXTS)
    drawn = elites.random(200, seed=1)
    assert set(drawn.tolist()) == {0, 1, 2, 3}
    assert np.array_equal(drawn, elites.random(200, seed=1))
    lookups = [system.choose for system in SYSTEMS.values() if system.choose is not None]
    assert len(lookups) == 4
    for choose in lookups:
        assert choose(elites, ["the bed"] * 3, np.zeros((3, 2)), 0).shape == (3,)


def test_another_text_space_can_be_used():
    def letters(_texts):
        return lambda texts: np.array([[t.count("a"), t.count("z")] for t in texts], float)

    elites = Elites(np.zeros((2, 2)), [["zz"], ["aa"]], space=letters)
    assert elites.nearest_text(["a", "z"]).tolist() == [1, 0]


def test_empty_archives_are_refused():
    with pytest.raises(ValueError, match="none has a text"):
        Elites(BD, [[], [], [], []])
    with pytest.raises(ValueError, match="0 BDs"):
        Elites(np.zeros((0, 2)), [])
    with pytest.raises(ValueError, match="no text to look up by"):
        Elites(BD[:1], [["…"]])


@pytest.mark.parametrize("n", [2, 3, 50])
def test_derangement_moves_everything(n):
    order = derangement(n, seed=n)
    assert sorted(order.tolist()) == list(range(n))
    assert not np.any(order == np.arange(n))
