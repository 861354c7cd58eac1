"""Stage 08 with planted policies: what is driven, by whom, and that it can be interrupted."""

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from run_factory import STEPS, Plan, Planted, make_run

from archive_tools.annotations.similarity import lcs_ratio
from archive_tools.files.tables import write_table
from archive_tools.rollouts.counterfactuals import GivenText
from archive_tools.rollouts.driving import Driver, make_envs
from archive_tools.rollouts.items import Commands
from archive_tools.rollouts.systems import SYSTEMS, System
from archive_tools.run.stage import Stage
from archive_tools.stages import s08_rollout as rollouts
from archive_tools.stages.s08_rollout import RolloutConfig
from envs import InputError


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return make_run(tmp_path_factory.mktemp("rollouts") / "run", n=90)


def drive(run: Path, policy, **options):
    config = RolloutConfig(run=run, redo=True, **{"items": 12, "batch": 8, **options})
    folder = rollouts.run(config, lambda model: policy)
    return (pd.read_parquet(folder / name) for name in ("items.parquet", "rollouts.parquet"))


@pytest.fixture(scope="module")
def driven(made):
    items, rows = drive(made, Planted(made), pairs=4)
    return made, items, rows


def test_items_are_test_trajectories_and_contrast_pairs(driven):
    run, items, _ = driven
    dataset = pd.read_parquet(run / "dataset" / "trajectories.parquet").set_index("trajectory_id")
    assert (dataset.loc[items["trajectory_id"], "split"] == "test").all()
    for row in items.itertuples():
        assert row.text in dataset.at[row.trajectory_id, "texts"]
    test = items[items["set"] == "test"]
    assert len(test) == 12 and test["trajectory_id"].is_unique and test["pair"].isna().all()
    pairs = items[items["set"] == "contrast"]
    assert len(pairs) == 8
    visited = pd.read_parquet(run / "annotations" / "routes.parquet").set_index("trajectory_id")
    for _, (first, second) in pairs.groupby("pair").apply(lambda g: g.itertuples()).items():
        assert np.array_equal(first.bd, second.bd)
        assert (first.trajectory_id, first.rival_id) == (second.rival_id, second.trajectory_id)
        routes = [[list(visited.at[r.trajectory_id, "visited"])] for r in (first, second)]
        assert lcs_ratio(*routes)[0] <= 0.5


def test_every_system_drives_every_item_once(driven):
    _, items, rows = driven
    some = ("nanodt/counterfactual_object", "nanodt/counterfactual_direction",
            "nanodt/unseen_phrasing")  # fmt: skip
    absent = some[1:]  # the texts have no direction, and nobody wrote unseen ones
    assert list(dict.fromkeys(rows["system"])) == [s for s in SYSTEMS if s not in absent]
    test = set(items[items["set"] == "test"]["item"])
    for system, part in rows.groupby("system"):
        if system in some:
            assert set(part["item"]) <= test and 6 < len(part) <= 12
        else:
            assert set(part["item"]) == set(items["item"])
        assert part["item"].is_unique
    assert {len(pose) for pose in rows["pose"]} == {(STEPS + 1) * 3}
    for row in rows.itertuples():
        assert np.array_equal(row.pose.reshape(-1, 3)[-1, :2], row.bd)


def test_replay_and_perfect_policy_reach_the_reference_exactly(driven):
    run, items, rows = driven
    recorded = pd.read_parquet(run / "trajectories" / "trajectories.parquet")
    recorded = recorded.set_index("trajectory_id")
    reference = items.set_index("item")["trajectory_id"]
    for row in rows[rows["system"].isin(["replay", "nanodt"])].itertuples():
        assert np.array_equal(row.pose, recorded.at[reference[row.item], "pose"])


def test_baselines_name_training_trajectories_and_show_their_record(driven):
    run, _, rows = driven
    dataset = pd.read_parquet(run / "dataset" / "trajectories.parquet").set_index("trajectory_id")
    recorded = pd.read_parquet(run / "trajectories" / "trajectories.parquet")
    recorded = recorded.set_index("trajectory_id")
    part = rows[rows["system"].isin([s.name for s in SYSTEMS.values() if s.kind == "baseline"])]
    assert (dataset.loc[part["source_trajectory"], "split"] == "train").all()
    for row in part.itertuples():
        assert np.array_equal(row.pose, recorded.at[row.source_trajectory, "pose"])
        assert row.action is None
    assert rows[rows["system"].str.startswith("nanodt")]["source_trajectory"].isna().all()


def test_controls_withhold_what_they_say(made):
    seen = []
    planted = Planted(made)

    def spy(envs, text, bd, seed):
        seen.append((text, bd, seed))
        return planted(envs, text, bd, seed)

    controls = ("nanodt/text_off", "nanodt/bd_off", "nanodt/both_off", "nanodt/text_shuffled")
    items, _ = drive(made, spy, systems=controls, batch=50, seeds=2, pairs=0)
    test = items[items["set"] == "test"]
    texts, bd = test["text"].tolist(), np.stack(test["bd"].tolist())
    assert [seed for *_, seed in seen] == [0, 1] * 4
    text_off, _, bd_off, _, both_off, _, shuffled, again = seen
    assert text_off[0] is None and np.array_equal(text_off[1], bd)
    assert bd_off[0] == texts and bd_off[1] is None
    assert both_off[:2] == (None, None)
    assert sorted(shuffled[0]) == sorted(texts) and np.array_equal(shuffled[1], bd)
    assert not any(a == b for a, b in zip(shuffled[0], texts, strict=True))
    assert shuffled[0] == again[0]


def test_counterfactual_texts_are_given_and_kept(made):
    seen = []
    planted = Planted(made)

    def spy(envs, text, bd, seed):
        seen.append(text)
        return planted(envs, text, bd, seed)

    options = {"systems": ("nanodt", "nanodt/counterfactual_object"), "batch": 50, "pairs": 0}
    items, rows = drive(made, spy, **options, items=20)
    given = pd.read_parquet(made / "rollouts" / "instructions.parquet").set_index("item")
    own = items.set_index("item")["text"]
    assert set(given["system"]) == {"nanodt/counterfactual_object"} and given.index.is_unique
    # The batch is as the policy's own, so that draws and rounding are; where no word could be
    # exchanged the item's text is given and the drive is not kept.
    assert seen[1] == [given["instruction"].get(i, own[i]) for i in items["item"]]
    assert set(rows[rows["system"] != "nanodt"]["item"]) == set(given.index)
    for row in given.itertuples():
        assert row.instruction != own[row.Index]
        assert row.out in own[row.Index] and row.into in row.instruction
        assert row.out not in row.instruction and row.into not in own[row.Index]
    drive(made, planted, **options, items=5)
    fewer = pd.read_parquet(made / "rollouts" / "instructions.parquet")
    texts = set(fewer["instruction"])
    assert texts <= set(given["instruction"]), "a smaller selection of items holds the same texts"


def test_unseen_phrasing_is_given_where_the_dataset_has_it(made, tmp_path):
    run = tmp_path / "run"
    shutil.copytree(made, run, ignore=shutil.ignore_patterns("rollouts*"))
    source = pd.read_parquet(run / "dataset" / "trajectories.parquet")
    for name in ("dataset", "tokenizer", "model"):
        shutil.rmtree(run / name)
    ids = source["trajectory_id"].to_numpy()
    wording = pd.DataFrame({"trajectory_id": ids, "text": [f"wording {i}" for i in ids],
                            "status": np.where(ids % 2, "accepted", "rejected")})  # fmt: skip
    with Stage(Plan(run=run), "dataset", inputs=("trajectories", "annotations")) as stage:
        for name in ("trajectories.parquet", "dataset.json"):
            shutil.copy(made / "dataset" / name, stage.path(name))
        write_table(stage.path("test_wording.parquet"), wording)
    with Stage(Plan(run=run), "model", inputs=("dataset",)):
        pass
    seen = []

    def deaf(envs, text, bd, seed):
        seen.append(text)
        return Planted(run, "deaf")(envs, text, bd, seed)

    items, rows = drive(run, deaf, systems=("nanodt/unseen_phrasing",), items=0, batch=100)
    odd = items[(items["set"] == "test") & (items["trajectory_id"] % 2 == 1)]
    assert set(rows["item"]) == set(odd["item"])
    assert sum(text.startswith("wording") for text in seen[0]) == len(odd)


def test_nothing_to_drive_is_said_in_one_line(made):
    with pytest.raises(InputError, match="none has a command to drive") as error:
        drive(made, Planted(made), systems=("nanodt/unseen_phrasing",))
    assert "\n" not in str(error.value)


def test_a_control_is_a_record_and_its_function(made, monkeypatch):
    """Nothing else has to know of it: it is driven on the items that it has a text for."""

    def shout(items, sources):
        return [GivenText(text.upper()) if i else None for i, text in enumerate(items["text"])]

    record = System("nanodt/shouted", "control", "shouted at", one_set=True, instruct=shout)
    monkeypatch.setitem(SYSTEMS, record.name, record)
    seen = []
    planted = Planted(made, "deaf")

    def spy(envs, text, bd, seed):
        seen.append(text)
        return planted(envs, text, bd, seed)

    items, rows = drive(made, spy, systems=("nanodt", "nanodt/shouted"), batch=50)
    test = items[items["set"] == "test"]
    own = test["text"].tolist()
    assert seen[-1] == [own[0], *(text.upper() for text in own[1:])]
    assert rows[rows["system"] == "nanodt/shouted"]["item"].tolist() == test["item"].tolist()[1:]


def test_interrupted_run_ends_with_the_same_bytes(made):
    config = RolloutConfig(run=made, items=10, pairs=2, batch=4, redo=True)
    rollouts.run(config, lambda model: Planted(made))
    first = json.loads((made / "rollouts" / "manifest.json").read_text())
    (made / "rollouts").rename(made / "rollouts_first")
    planted, calls = Planted(made), []

    def failing(envs, text, bd, seed):
        calls.append(1)
        if len(calls) == 6:
            raise KeyboardInterrupt
        return planted(envs, text, bd, seed)

    with pytest.raises(KeyboardInterrupt):
        rollouts.run(config, lambda model: failing)
    assert not (made / "rollouts").exists()
    rollouts.run(config, lambda model: Planted(made))
    second = json.loads((made / "rollouts" / "manifest.json").read_text())
    assert first["outputs"] == second["outputs"]
    again = RolloutConfig(run=made, items=10, pairs=2, batch=4)
    rollouts.run(again, lambda model: pytest.fail("a finished stage loads no model"))


@pytest.mark.parametrize(
    ("options", "message"),
    [({"seeds": 0}, "--seeds 0"), ({"systems": ("oracle",)}, "--systems oracle: unknown")],
)
def test_wrong_options_are_refused(made, options, message):
    with pytest.raises(ValueError, match=message):
        drive(made, Planted(made), **options)


def test_unknown_environment_is_refused():
    with pytest.raises(ValueError, match="environment 'no-such/Env-v0'"):
        make_envs({"id": "no-such/Env-v0"}, 2)


def test_environment_without_a_bd_is_refused(made):
    def drive_without(envs, text, bd, seed):
        drives = Planted(made)(envs, text, bd, seed)
        del drives.info["bd"]
        return drives

    with pytest.raises(ValueError, match='info has no "bd"'):
        drive(made, drive_without, systems=("nanodt",))


def test_drives_that_were_given_with_texts_are_not_looked_up(made):
    """They are in the training split, and no elite stands behind them."""
    table = pd.read_parquet(made / "dataset" / "trajectories.parquet")
    given = table[table["split"] == "train"].head(20).copy()
    given["trajectory_id"] += table["trajectory_id"].max() + 1
    records = made / "trajectories" / "trajectories.parquet"
    driver = Driver({}, pd.concat([table, given]), records, lambda: pytest.fail("no policy drives"))
    n, numbers = len(given), np.arange(len(given))
    bd = np.stack(given["bd"].tolist())
    texts = [row[0] for row in given["texts"]]
    commands = Commands(numbers, numbers, texts, bd, np.ones(n, bool))
    for name, system in SYSTEMS.items():
        if system.choose is not None:
            rows = driver(name, commands, slice(0, n), 0).to_pandas()
            assert set(rows["source_trajectory"]) <= set(table["trajectory_id"])
