"""Stage 09 with planted policies: every metric and control must come out as it must."""

import json

import numpy as np
import pandas as pd
import pytest
from run_factory import Planted, make_run

from archive_tools.evaluation.registry import METRICS, Metric, columns
from archive_tools.evaluation.scoring import score, score_run
from archive_tools.evaluation.summary import per_item, summarise
from archive_tools.report.results_page import write_results
from archive_tools.stages import s08_rollout as rollouts
from archive_tools.stages import s09_evaluate as evaluate
from archive_tools.stages.s08_rollout import RolloutConfig
from archive_tools.stages.s09_evaluate import EvaluateConfig
from envs.errors import InputError


def drive(run, policy, **options):
    config = RolloutConfig(run=run, items=30, redo=True, **options)
    return rollouts.run(config, lambda model: policy)


def scores(run, policy, **options):
    """The records of a planted policy by (system, metric), without the report."""
    drive(run, policy, **options)
    records = summarise(score_run(run).frame, resamples=300, seed=0)
    return {(r["system"], r["metric"]): r for r in records}


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return make_run(tmp_path_factory.mktemp("evaluate") / "run", n=240)


@pytest.fixture(scope="module")
def perfect(made):
    drive(made, Planted(made))
    folder = evaluate.run(EvaluateConfig(run=made, resamples=300, gallery=1))
    records = json.loads((folder / "metrics.json").read_text())
    return folder, {(r["system"], r["metric"]): r for r in records}


def test_perfect_policy_scores_full_marks(perfect):
    _, found = perfect
    for system in ("nanodt", "replay"):
        assert found[system, "bd_error_median"]["mean"] == 0
        for metric in ("bd_success", "route_lcs", "set_f1", "order_tau", "contrast"):
            assert found[system, metric]["mean"] == 1
    assert found["nanodt", "contrast"]["n"] >= 5
    assert found["nanodt", "route_lcs"]["n"] == 30


def test_controls_and_baselines_order_as_they_must(perfect):
    _, found = perfect
    route = {system: found[system, "route_lcs"]["mean"] for system, m in found if m == "route_lcs"}
    assert route["nanodt"] > route["nanodt/text_off"] > route["nanodt/both_off"]
    assert route["nanodt/text_shuffled"] < route["nanodt"]
    assert route["nearest_elite_text"] > route["random_elite"]
    error = {s: found[s, "bd_error_median"]["mean"] for s, m in found if m == "bd_error_median"}
    assert error["nearest_elite_bd"] < error["nearest_elite_both"] < error["random_elite"]
    assert found["nearest_elite_bd", "contrast"]["mean"] == 0.5
    assert found["nanodt/text_off", "contrast"]["mean"] == 0.5
    assert found["nanodt/bd_off", "contrast"]["mean"] == 1


def test_files_of_the_stage(perfect):
    folder, found = perfect
    records = json.loads((folder / "metrics.json").read_text())
    assert all(
        set(r) == {"system", "set", "metric", "mean", "ci_low", "ci_high", "n"} for r in records
    )
    assert all(r["ci_low"] <= r["mean"] <= r["ci_high"] for r in records)
    assert len(pd.read_csv(folder / "metrics.csv")) == len(found)
    items = pd.read_parquet(folder / "items.parquet")
    rows = items[(items["system"] == "nanodt") & (items["set"] == "test")]
    assert rows["bd_success"].mean() == found["nanodt", "bd_success"]["mean"]
    assert all(len(visited) for visited in items["visited"])
    differences = json.loads((folder / "differences.json").read_text())
    gain = next(
        r for r in differences
        if (r["minus"], r["metric"]) == ("nanodt/text_off", "route_lcs")
    )  # fmt: skip
    parts = [found[s, "route_lcs"]["mean"] for s in ("nanodt", "nanodt/text_off")]
    assert gain["mean"] == pytest.approx(parts[0] - parts[1]) and gain["ci_low"] > 0


def test_there_is_one_latex_table_of_the_metrics(perfect):
    folder, _ = perfect
    assert [path.relative_to(folder).as_posix() for path in folder.rglob("metrics.tex")] == [
        "report/tables/metrics.tex"
    ]
    tex = (folder / "report" / "tables" / "metrics.tex").read_text()
    assert r"\toprule" in tex and "nearest by both & " in tex


def test_a_metric_is_a_record_and_its_function(made, monkeypatch):
    """Nothing else has to know of it: it is computed, summed up and shown."""

    def steps(scored):
        return np.array([0.001 * len(pose) for pose in scored.poses])

    record = Metric("length", "length", "Length driven", "thousands of steps", "length", steps,
                    limits=(0, 2), decimals=4)  # fmt: skip
    monkeypatch.setitem(METRICS, record.name, record)
    drive(made, Planted(made), systems=("nanodt", "replay"))
    folder = evaluate.run(EvaluateConfig(run=made, redo=True, resamples=100, gallery=1))
    records = json.loads((folder / "metrics.json").read_text())
    assert [r["mean"] for r in records if r["metric"] == "length"] == pytest.approx([0.401] * 2)
    assert set(pd.read_parquet(folder / "items.parquet")["length"]) == {0.401}
    page = (folder / "report" / "index.html").read_text()
    assert ">Length driven</th>" in page, "in the main table"
    assert 'aria-label="Length driven: thousands of steps"' in page, "as a panel"
    table = pd.read_csv(folder / "report" / "tables" / "metrics.csv", index_col="system")
    assert table.at["policy", "Length driven"].startswith("0.4010")
    results = write_results(made, made / "results.md", "make results").read_text()
    [head] = [line for line in results.splitlines() if line.startswith("| | distance")]
    [row] = [line for line in results.splitlines() if line.startswith("| policy |")]
    assert "| length |" in head and row.endswith("| 0.401 [0.401, 0.401] |"), "in the results"
    (folder / "metrics.json").write_text("null")
    with pytest.raises(InputError, match=r"metrics\.json: 4 bytes, its manifest says"):
        write_results(made, made / "results.md", "make results")


def test_policy_that_ignores_text_gets_chance_on_contrast(made):
    found = scores(made, Planted(made, "deaf"), systems=("nanodt", "nanodt/text_off"))
    assert found["nanodt", "contrast"]["mean"] == 0.5
    assert found["nanodt", "bd_error_median"]["mean"] < 5
    same = [found[s, "route_lcs"]["mean"] for s in ("nanodt", "nanodt/text_off")]
    assert same[0] == same[1]


def test_policy_that_ends_elsewhere_and_a_random_one_miss(made):
    blind = scores(made, Planted(made, "blind"), systems=("nanodt", "random_elite"))
    assert blind["nanodt", "bd_error_median"]["mean"] > 5
    random = scores(made, Planted(made, "random"), systems=("nanodt", "replay"))
    assert random["nanodt", "bd_success"]["ci_high"] < 0.5
    assert random["nanodt", "contrast"]["ci_low"] < 0.5 < random["nanodt", "contrast"]["ci_high"]


def test_same_inputs_give_the_same_bytes(made):
    drive(made, Planted(made), systems=("nanodt", "replay"))
    evaluate.run(EvaluateConfig(run=made, redo=True, resamples=300, gallery=1))
    first = json.loads((made / "evaluation" / "manifest.json").read_text())["outputs"]
    (made / "evaluation").rename(made / "evaluation_first")
    evaluate.run(EvaluateConfig(run=made, redo=True, resamples=300, gallery=1))
    assert json.loads((made / "evaluation" / "manifest.json").read_text())["outputs"] == first


def test_rollouts_of_unknown_items_are_refused(made):
    frame = pd.DataFrame({"item": [5], "trajectory_id": [1]})
    items = pd.DataFrame({"item": [4], "trajectory_id": [1]})
    with pytest.raises(ValueError, match="item 5 is not known"):
        score(items, frame, {1: None}, None, 1.0)


def test_seeds_are_averaged_within_an_item():
    frame = pd.DataFrame({"system": "nanodt", "set": "test", "pair": np.nan, "item": [1, 1, 2],
                          "bd_error": [0.0, 10.0, 20.0], "bd_success": [1.0, 0, 0],
                          "route_lcs": [1.0, 0, 1], "set_f1": np.nan, "order_tau": np.nan,
                          "seed": [0, 1, 0], "contrast": np.nan, "judge_rules": np.nan,
                          "judge_llm": np.nan, "instruction_order": np.nan,
                          "follows_counterfactual": np.nan,
                          "judge_people": np.nan})  # fmt: skip
    frame = frame.assign(**{name: np.nan for name in columns() if name not in frame})
    assert per_item(frame, "nanodt", METRICS["bd_error_median"]).tolist() == [5.0, 20.0]
    records = summarise(frame, resamples=50, seed=0)
    assert [r["metric"] for r in records] == ["bd_error_median", "bd_success", "route_lcs"]
    assert records[2]["mean"] == 0.75 and records[2]["n"] == 2
