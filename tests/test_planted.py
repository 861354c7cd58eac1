"""Planted policies through stages 08 and 09: each control and figure comes out as it must."""

import json
import shutil

import numpy as np
import pandas as pd
import pytest
from run_factory import Planted, make_run

from archive_tools.stages import s08_rollout as rollouts
from archive_tools.stages import s09_evaluate as evaluate
from archive_tools.stages.s08_rollout import RolloutConfig
from archive_tools.stages.s09_evaluate import EvaluateConfig

SYSTEMS = (
    *("nanodt", "nanodt/text_off", "nanodt/bd_off", "nanodt/both_off", "nanodt/text_shuffled"),
    *(
        "nanodt/counterfactual_object",
        "nanodt/counterfactual_direction",
        "nearest_elite_both",
        "replay",
    ),
)
ITEMS = 30


class Found:
    """The files of one evaluation, by key."""

    def __init__(self, folder):
        def read(name, *keys):
            records = json.loads((folder / f"{name}.json").read_text())
            return {tuple(r[k] for k in keys): r for r in records}

        self.metrics = read("metrics", "system", "metric")
        self.minus = read("differences", "minus", "metric")
        self.effects = read("counterfactuals", "control", "drive", "kind", "metric")
        self.probes = read("probes", "judge", "probe")
        self.items = pd.read_parquet(folder / "items.parquet")

    def effect(self, control, drive, metric, kind="all"):
        return self.effects[f"nanodt/{control}", drive, kind, metric]


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    """Evaluations of the planted policies; the random one with two seeds."""
    run = make_run(tmp_path_factory.mktemp("planted") / "run", n=240, sides=True)
    results = {}
    # The report has tests of its own.
    monkeypatch = pytest.MonkeyPatch()
    monkeypatch.setattr(evaluate, "write_report", lambda *_, **__: None)
    for kind in ("perfect", "deaf", "random"):
        shutil.rmtree(run / "rollouts", ignore_errors=True)  # options alone do not tell them apart
        seeds = 2 if kind == "random" else 1
        config = RolloutConfig(run=run, items=ITEMS, pairs=12, seeds=seeds, systems=SYSTEMS)
        rollouts.run(config, lambda model, kind=kind: Planted(run, kind))
        options = EvaluateConfig(run=run, resamples=400, gallery=1, redo=True)
        results[kind] = Found(evaluate.run(options))
    monkeypatch.undo()
    return results


def test_perfect_policy_gets_full_marks_and_loses_them_without_its_text(found):
    perfect = found["perfect"]
    for metric in (
        "bd_success",
        "route_lcs",
        "set_f1",
        "contrast",
        "judge_rules",
        "instruction_order",
    ):
        assert perfect.metrics["nanodt", metric]["mean"] == pytest.approx(1)
        assert perfect.metrics["replay", metric]["mean"] == pytest.approx(1)
    for control in ("nanodt/text_off", "nanodt/both_off", "nanodt/text_shuffled"):
        gain = perfect.minus[control, "route_lcs"]
        assert gain["ci_low"] > 0 and gain["n"] == ITEMS and gain["apart"]
    assert perfect.minus["replay", "route_lcs"]["mean"] == 0
    assert not perfect.minus["replay", "route_lcs"]["apart"]
    # Told another item's text it drives that: it obeys what it was told, not what the item says.
    assert perfect.metrics["nanodt/text_shuffled", "instruction_order"]["mean"] == pytest.approx(1)
    assert perfect.metrics["nanodt/text_off", "contrast"]["mean"] == 0.5
    assert ("nanodt/text_off", "instruction_order") not in perfect.metrics


def test_policy_that_ignores_the_bd_is_not_moved_by_its_absence(found):
    perfect = found["perfect"]  # it drives by the text alone
    for metric in ("bd_error_median", "bd_success", "route_lcs", "contrast", "judge_rules"):
        record = perfect.minus["nanodt/bd_off", metric]
        assert (record["mean"], record["ci_low"], record["ci_high"]) == (0, 0, 0)
    deaf = found["deaf"].minus["nanodt/bd_off", "bd_error_median"]
    assert deaf["ci_high"] < 0, "one that lives by the BD errs more without it"


def test_policy_that_obeys_text_follows_the_exchanged_word(found):
    perfect = found["perfect"]
    # Not always: a place that is taken out may stand beside one that the text still names.
    for control, least in (("counterfactual_object", 0.8), ("counterfactual_direction", 0.8)):
        assert perfect.effect(control, "original", "follows_counterfactual")["mean"] <= 0.05
        given = perfect.effect(control, "counterfactual", "follows_counterfactual")
        assert given["mean"] > least and given["n"] >= 20
        assert perfect.effect(control, "difference", "follows_counterfactual")["ci_low"] > 0.6
        assert perfect.effect(control, "difference", "route_lcs")["ci_high"] < 0
        share = perfect.metrics[f"nanodt/{control}", "follows_counterfactual"]
        assert share["mean"] == given["mean"] and share["n"] == given["n"]
    assert perfect.effect("counterfactual_object", "difference", "instruction_order")["mean"] > 0
    assert perfect.effect("counterfactual_object", "counterfactual", "meets_new")["mean"] == 1
    replaced = perfect.effect("counterfactual_object", "original", "meets_new")
    assert replaced["mean"] == 0, "what is put in was not on the reference's way"


def test_policy_that_ignores_text_is_moved_by_nothing_done_to_it(found):
    deaf = found["deaf"]
    records = [r for r in deaf.effects.values() if r["drive"] == "difference"]
    assert len(records) >= 10
    for record in records:
        assert (record["mean"], record["ci_low"], record["ci_high"]) == (0, 0, 0)
    for control in (
        "text_off",
        "text_shuffled",
        "counterfactual_object",
        "counterfactual_direction",
    ):
        for metric in ("bd_error_median", "route_lcs", "set_f1", "judge_rules"):
            record = deaf.minus[f"nanodt/{control}", metric]
            assert (record["mean"], record["ci_low"], record["ci_high"]) == (0, 0, 0)
    contrast = deaf.metrics["nanodt", "contrast"]
    assert contrast["mean"] == contrast["ci_low"] == contrast["ci_high"] == 0.5
    assert deaf.metrics["nanodt", "bd_error_median"]["mean"] < 5


def test_random_policy_is_at_chance_and_follows_nothing(found):
    random = found["random"]
    contrast = random.metrics["nanodt", "contrast"]
    assert contrast["ci_low"] < 0.5 < contrast["ci_high"]
    follows = random.effect("counterfactual_object", "difference", "follows_counterfactual")
    assert follows["ci_low"] <= 0 <= follows["ci_high"]
    gain = random.minus["nanodt/text_off", "route_lcs"]
    assert gain["ci_low"] <= 0 <= gain["ci_high"]
    lookup = random.minus["nearest_elite_both", "route_lcs"]
    assert lookup["ci_high"] < 0 and lookup["apart"]


def test_seeds_are_paired_and_averaged(found):
    items = found["random"].items
    part = items[(items["system"] == "nanodt") & (items["set"] == "test")]
    assert sorted(set(part["seed"])) == [0, 1] and len(part) == 2 * ITEMS
    record = found["random"].metrics["nanodt", "route_lcs"]
    assert record["n"] == ITEMS and record["mean"] == pytest.approx(part["route_lcs"].mean())
    assert part.groupby("item")["route_lcs"].std().max() > 0
    other = items[(items["system"] == "replay") & (items["set"] == "test")]
    keyed = [f.set_index(["item", "seed"])["route_lcs"] for f in (part, other)]
    gap = (keyed[0] - keyed[1]).mean()
    minus = found["random"].minus["replay", "route_lcs"]
    assert minus["mean"] == pytest.approx(gap) and np.isfinite(gap)


def test_rules_are_not_moved_by_how_a_drive_is_told(found):
    for name in ("longer_command", "longer_drive", "facts_reordered"):
        record = found["random"].probes["rules", name]
        assert record["n"] == ITEMS and record["largest"] == 0
