"""Verdicts by rules are what the words say; a model's are asked for, sampled and summed up."""

import json
import math

import pytest
from llm_server import serving
from test_checks import drive
from test_llm import Fake, ok
from text_factory import APARTMENT, drives

from archive_tools.evaluation.judge_llm import Case, judge_llm, judge_prompt
from archive_tools.evaluation.judge_rules import judge_rules
from archive_tools.llm.config import LlmConfig
from archive_tools.llm.ledger import Ledger
from archive_tools.narrator.narrator import describe

DRIVEN = drive("Pink", "fridge", "Yellow", "bathtub", "Red", "cabinet", "fan")


def rules(text, driven=DRIVEN, reference=None):
    return judge_rules(text, driven, reference, APARTMENT)


def test_a_drive_that_obeys_gets_full_marks():
    verdict = rules("Pass the tub, cross the red tile and stop by the fan.", reference=DRIVEN)
    assert verdict.score == 1 and verdict.in_order
    assert verdict.reached == ["tub", "red tile", "fan"]
    assert not verdict.missed and not verdict.extra


def test_missed_places_wrong_order_and_wrong_ends_cost():
    full = rules("Pass the fridge and the bathtub, then stop by the fan.").score
    missed = rules("Pass the fridge and the piano, then stop by the fan.")
    order = rules("Pass the bathtub and the fridge, then stop by the fan.")
    end = rules("Pass the fridge and the bathtub, then stop by the bed.")
    assert full == 1
    assert missed.missed == ["piano"] and 0 < missed.score < 1
    assert not order.in_order and not order.missed and 0 < order.score < 1
    assert "elsewhere" in end.reasons and end.score < missed.score
    assert rules("Go to the bed past the sofa.").score == 0


def test_what_is_to_be_avoided_counts():
    assert rules("Avoid the sofa and go past the fridge.").score == 1
    verdict = rules("Avoid the bathtub and go past the fridge.")
    assert verdict.score < 1 and "left alone" in verdict.reasons


def test_the_reference_tells_what_was_extra():
    reference = drive("Pink", "fridge", "Yellow", "bathtub")
    verdict = rules("Pass the fridge and go to <DESCRIPTOR>.", reference=reference)
    assert verdict.extra == ["red", "cabinet", "fan"] and 0.5 < verdict.score < 1


def test_a_command_without_places_is_obeyed_by_any_way():
    assert rules("Go to <DESCRIPTOR>.").score == 1


def test_own_texts_score_high_and_those_of_others_lower():
    import numpy as np

    some = drives(APARTMENT, 60, seed=4)
    own, other = [], []
    for k, annotation in enumerate(some):
        text = describe(annotation, APARTMENT, style="everyday", rng=np.random.default_rng(k))
        own.append(judge_rules(text, annotation, annotation, APARTMENT).score)
        other.append(judge_rules(text, some[k - 1], annotation, APARTMENT).score)
    assert min(own) == 1
    assert np.mean(other) < 0.6


def one(text="Go past the fridge to <DESCRIPTOR>."):
    return Case(text, DRIVEN, (300.0, 40.0), (310.4, 52.0))


def test_the_prompt_has_scene_command_and_drive():
    text = judge_prompt(one(), APARTMENT, 600.0)
    assert "Go past the fridge to (300, 40)." in text and "ended at (310, 52)" in text
    assert all(name in text for name in APARTMENT.object_names)
    assert text.index("meets the fridge") < text.index("meets the bathtub")


def test_a_model_is_asked_several_times(httpserver, tmp_path):
    def answer(prompt, nth, body):
        verdict = {
            "score": [0.2, 0.4, 0.9][(nth - 1) % 3],
            **{"reached": ["fridge"], "missed": [], "extra": [], "in_order": True},
            "reasons": "so",
        }
        return ok("", content=json.dumps(verdict))

    fake = Fake(httpserver, answer)
    config = LlmConfig(model="m", base_url=fake.base_url, concurrency=1)
    for _ in range(2):  # the second time from the ledger
        with Ledger(tmp_path / "l") as ledger:
            found = judge_llm([one()], APARTMENT, 600.0, config, ledger, samples=3)[0]
        assert found.mean == pytest.approx(0.5) and found.spread == pytest.approx(0.36056, abs=1e-4)
        assert len(found.verdicts) == 3 and fake.paid.total() == 4


@pytest.mark.parametrize("content", ['{"score": 7}', "no idea", '{"score": 1.5, "reached": []}'])
def test_verdicts_out_of_form_are_left_out(httpserver, tmp_path, content):
    fake = Fake(httpserver, lambda *_: ok("", content=content))
    config = LlmConfig(model="m", base_url=fake.base_url)
    with Ledger(tmp_path / "l") as ledger:
        found = judge_llm([one()], APARTMENT, 600.0, config, ledger, samples=2)[0]
    assert math.isnan(found.mean) and math.isnan(found.spread)
    assert len(found.problems) == 2 and not found.verdicts


def test_many_drives_keep_their_order(tmp_path):
    with serving() as server, Ledger(tmp_path / "l") as ledger:
        config = LlmConfig(model="m", base_url=server.base_url)
        found = judge_llm([one()] * 5, APARTMENT, 600.0, config, ledger, samples=1)
    assert len(found) == 5
