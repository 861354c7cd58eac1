"""Runs beside a run: what they share, what they change, and how the evaluation lays them out."""

import importlib
import importlib.util
import json
import shutil
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from run_factory import Plan, Planted, make_learnt, make_model, make_run

import nanodt
from archive_tools.report.results_page import write_results
from archive_tools.report.tables import Figures
from archive_tools.run.options import parse
from archive_tools.run.siblings import finished, inherited, link_stages, siblings
from archive_tools.run.stage import Stage, read_manifest
from archive_tools.stages import s08_rollout as rollouts
from archive_tools.stages import s09_evaluate as evaluate
from archive_tools.stages.s08_rollout import RolloutConfig
from archive_tools.stages.s09_evaluate import EvaluateConfig

SCRIPTS = Path(__file__).parents[1] / "scripts"
SYSTEMS = ("nanodt", "nearest_elite_both", "random_elite")


def module_of(name):
    """A script as a module."""
    spec = importlib.util.spec_from_file_location(name, SCRIPTS / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def script():
    """scripts/experiments.py as a module."""
    sys.path.insert(0, str(SCRIPTS))
    try:
        yield module_of("experiments")
    finally:
        sys.path.remove(str(SCRIPTS))
        sys.modules.pop("experiments", None)


@pytest.fixture(scope="module")
def goals():
    """What scripts/results.py asks of a run."""
    yield module_of("results").goals
    sys.modules.pop("results", None)


def measure(run):
    config = RolloutConfig(run=run, items=20, pairs=0, systems=SYSTEMS, redo=True)
    rollouts.run(config, lambda model: Planted(run))
    return evaluate.run(EvaluateConfig(run=run, resamples=100, gallery=1, redo=True))


@pytest.fixture(scope="module")
def family(tmp_path_factory):
    """A run and its evaluated siblings: regions and 30 %."""
    run = make_run(tmp_path_factory.mktemp("family") / "whole", n=90)
    with pytest.MonkeyPatch().context() as patch:
        patch.setattr(evaluate, "write_report", lambda *_, **__: None)
        with Stage(Plan(run=run), "descriptions", inputs=("annotations",)):
            pass
        alone = measure(run)
        assert json.loads((alone / "splits.json").read_text()) == []
        for sibling in siblings(("regions",), (0.3,), variants={"plain": {}}):
            folder = link_stages(run, sibling)
            fraction = sibling.options.get("train_fraction", 1.0)
            recipe = sibling.options.get("split", "random")
            if sibling.first == "dataset":
                make_learnt(folder, fraction=fraction, recipe=recipe)
            else:
                make_model(folder)
            measure(folder)
        measure(run)
    return run


def read(run, name):
    return json.loads((run / "evaluation" / f"{name}.json").read_text())


def test_siblings_link_to_the_run_and_copy_nothing(family):
    folder = family.with_name("whole-30")
    for name in ("archive", "verification", "trajectories", "annotations", "descriptions"):
        assert (folder / name).is_symlink()
        assert (folder / name).resolve() == (family / name).resolve()
    for name in ("dataset", "model", "evaluation"):
        assert (folder / name).is_dir() and not (folder / name).is_symlink()
    link_stages(family, siblings((), (0.3,))[0])  # again: nothing to do


def test_splits_and_curve_lie_side_by_side(family):
    splits, curve = read(family, "splits"), read(family, "curve")
    assert list(dict.fromkeys(r["name"] for r in splits)) == ["random", "regions"]
    assert list(dict.fromkeys((r["name"], r["x"]) for r in curve)) == [("30 %", 18), ("100 %", 60)]
    own = {(r["system"], r["metric"]): r for r in read(family, "metrics")}
    part = {(r["system"], r["metric"]): r for r in splits if r["name"] == "random"}
    assert {k: r["mean"] for k, r in part.items()} == {k: r["mean"] for k, r in own.items()}
    for record in splits + curve:
        assert {"run", "system", "metric", "mean", "ci_low", "ci_high", "n"} <= set(record)
    gaps = read(family, "experiments")
    assert {(r["name"], r["minus"]) for r in gaps} == {
        (name, minus) for name in ("regions", "30 %", "plain") for minus in SYSTEMS[1:]
    }
    assert all(isinstance(r["apart"], bool) for r in gaps)
    assert read(family, "seeds") == []


def test_the_page_of_results(family, goals, tmp_path):
    """Goals with what was found, every sibling in its table, nothing that was not measured."""
    pictures = family / "evaluation" / "report" / "figures"
    pictures.mkdir(parents=True, exist_ok=True)
    (pictures / "drives.png").write_bytes(b"a picture")
    page = write_results(family, tmp_path / "docs" / "results.md", "make results", goals=goals)
    text = page.read_text(encoding="utf-8")
    own = {(r["system"], r["metric"]): r for r in read(family, "metrics")}
    route = own["nanodt", "route_lcs"]["mean"]
    verdict = "met" if route >= 0.9 else "missed"
    row = next(line for line in text.splitlines() if line.startswith("| route obeyed |"))
    assert f"{route:.3f}" in row and row.endswith(f"| {verdict} |")
    unmeasured = [line for line in text.splitlines() if line.endswith("| not measured |")]
    assert any("contrast" in line for line in unmeasured)  # the family drives no pairs
    assert any(line.startswith("| 10 %: route") for line in unmeasured)
    assert "| plain | " in text and "| ours | " in text and "12,345" in text
    assert "regions: nearest by both" in text and "30 %: policy" in text
    assert (page.parent / "images" / "results" / "drives.png").read_bytes() == b"a picture"
    assert "images/results/drives.png" in text and "contrast-0.png" not in text


@pytest.mark.parametrize(
    ("record", "met"),
    [
        ({"mean": 0.9, "ci_low": 0.8, "ci_high": 0.95}, True),
        ({"mean": 0.899, "ci_low": 0.8, "ci_high": 0.95}, False),
    ],
)
def test_a_goal_that_is_just_reached_is_met(goals, record, met):
    found = Figures([{"system": "nanodt", "metric": "route_lcs", "n": 9, **record}], [])
    row = next(t for t in goals(found, Figures([], []), []) if t.what == "route obeyed")
    assert row.met is met


def test_intervals_that_overlap_are_not_apart(goals):
    """A difference that excludes zero is not enough where the two intervals overlap."""
    record = {
        "system": "nanodt",
        "minus": "nearest_elite_bd",
        "metric": "route_lcs",
        "mean": 0.02,
        "ci_low": 0.01,
        "ci_high": 0.03,
        "n": 9,
    }
    for apart in (False, True):
        rows = goals(Figures([], [{**record, "apart": apart}]), Figures([], []), [])
        row = next(t for t in rows if t.what == "route, minus the nearest elite by BD")
        assert row.met is apart


def test_retrieval_of_a_smaller_share_sees_no_other_elite(family):
    """The same test items, and baselines that know the smaller, nested training split only."""
    small = family.with_name("whole-30")
    sides = {}
    for run in (family, small):
        dataset = pd.read_parquet(run / "dataset" / "trajectories.parquet")
        sides[run] = {s: set(p["trajectory_id"]) for s, p in dataset.groupby("split")}
        driven = pd.read_parquet(run / "rollouts" / "rollouts.parquet")
        sources = set(driven["source_trajectory"].dropna().astype(int))
        assert sources and sources <= sides[run]["train"]
    assert sides[small]["train"] < sides[family]["train"]
    assert sides[small]["test"] == sides[family]["test"]
    items = [pd.read_parquet(r / "rollouts" / "items.parquet") for r in (family, small)]
    assert items[0]["trajectory_id"].tolist() == items[1]["trajectory_id"].tolist()
    assert items[0]["text"].tolist() == items[1]["text"].tolist()
    error = {
        r["name"]: r["mean"]
        for r in read(family, "curve")
        if (r["system"], r["metric"]) == ("nearest_elite_both", "bd_error_median")
    }
    assert error["30 %"] > error["100 %"]


def test_a_sibling_of_other_data_is_left_out(family, tmp_path, capsys):
    run = tmp_path / "whole"
    shutil.copytree(family, run)
    for name in ("whole-30", "whole-regions", "whole-plain"):
        shutil.copytree(family.with_name(name), tmp_path / name, symlinks=True)
    assert set(finished(run)) == {"30", "regions", "plain"}
    shutil.rmtree(tmp_path / "whole-30" / "dataset")
    shutil.copytree(run / "dataset", tmp_path / "whole-30" / "dataset")
    assert set(finished(run)) == {"regions", "plain"}
    assert "whole-30: left out of the comparison" in capsys.readouterr().err
    assert set(finished(tmp_path / "wh")) == set()


def test_options_are_those_of_the_run_but_for_one(family, script, tmp_path):
    sibling = siblings((), (0.1,))[0]
    folder = sibling.folder(family)
    changed = sibling.options
    line = script.command(folder, family, "dataset", "demo", changed, ["--test", "0.2"])
    assert line[1].endswith("05_verify_dataset.py") and line[-3:] == [
        "--redo-changed",
        "--test",
        "0.2",
    ]
    assert line[line.index("--train-fraction") + 1] == "0.1"
    line = script.command(folder, family, "rollouts", "demo", {}, [])
    assert line[line.index("--items") + 1] == "20"
    assert line[line.index("--systems") + 1 :][:3] == list(SYSTEMS)
    assert line[line.index("--run") + 1] == str(folder)
    assert inherited(tmp_path, "rollouts") == {}
    assert "run" not in inherited(family, "rollouts")
    assert read_manifest(family / "rollouts")["config"]["items"] == 20


def test_other_layouts_get_the_time_that_the_run_had(family, script, tmp_path, monkeypatch):
    """Measured once, then kept; every option of the layout stands on the command line."""
    run = tmp_path / "whole"
    shutil.copytree(family, run)
    table = pd.read_parquet(run / "dataset" / "trajectories.parquet")
    nanodt.train_tokenizer([t for own in table["texts"] for t in own], 300).save(run / "tokenizer")
    manifest = json.loads((run / "model" / "manifest.json").read_text())
    manifest["wall_time_s"], manifest["config"]["window"] = 60.0, 4
    (run / "model" / "manifest.json").write_text(json.dumps(manifest))
    config = script.Config(run=run, variants=("plain", "published"))
    for layout in (script.PLAIN, script.PUBLISHED):  # the speed itself is not the point here
        monkeypatch.setitem(layout, "batch_size", 2)
    measured = script.seconds_per_step
    monkeypatch.setattr(script, "seconds_per_step", lambda *a: measured(*a, least=0.0))
    found = script.variants_of(config)
    assert found["plain"]["steps"] > found["published"]["steps"] / 4 >= 0.25
    again = []
    monkeypatch.setattr(script, "seconds_per_step", lambda *_: again.append(1) or 1e9)
    assert script.variants_of(config) == found and not again
    (run / "model" / "manifest.json").write_text(json.dumps({**manifest, "fingerprint": "new"}))
    assert script.variants_of(config)["plain"]["steps"] == 1 and len(again) == 2  # another model
    assert found["plain"]["block_size"] == 350 and found["plain"]["tokens_per_step"] == 3
    assert (found["published"]["head"], found["published"]["joint"]) == ("clusters", False)
    line = script.command(run, run, "model", "paper", found["plain"], [])
    options = importlib.import_module("07_train").Config
    parsed = parse(options, "", line[2:])
    assert parsed.window is None and parsed.augmentation_share == 0 and parsed.head == "mse"
    assert parsed.steps == found["plain"]["steps"] and parsed.windows_per_text == 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"splits": ("halves",)}, "--splits halves: unknown"),
        ({"fractions": (0.125,)}, "--fractions 0.125: expected whole per cents"),
        ({"fractions": (1.0,)}, "--fractions 1.0"),
    ],
)
def test_wrong_options_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        siblings(**options)


def test_names_and_labels():
    found = siblings(("routes",), (0.1,), (2,))
    assert [s.folder(Path("runs/a")).as_posix() for s in found] == [
        "runs/a-routes", "runs/a-10", "runs/a-seed2",
    ]  # fmt: skip
    assert [s.label for s in found] == ["routes", "10 %", "seed 2"]
    assert found[2].first == "model" and np.isclose(found[1].options["train_fraction"], 0.1)


def test_another_folder_in_a_links_place_is_not_touched(family, tmp_path):
    run = tmp_path / "whole"
    shutil.copytree(family, run)
    with Stage(Plan(run=tmp_path / "whole-10", seed=9), "archive"):
        pass
    with pytest.raises(ValueError, match=r"not the archive/ of .*; remove"):
        link_stages(run, siblings((), (0.1,))[0])
