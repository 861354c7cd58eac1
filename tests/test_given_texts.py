"""Descriptions of one's own: read from files, checked, mixed in, their drives replayed."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from run_factory import STEPS, make_records, wander

import envs
from archive_tools.annotations.events import load_annotations
from archive_tools.descriptions.given_drives import FOLDER
from archive_tools.descriptions.given_texts import read_given
from archive_tools.descriptions.refusals import kind_of
from archive_tools.files.tables import read_json, read_table, write_table
from archive_tools.files.user_tables import read_user_table
from archive_tools.run.stage import read_manifest
from archive_tools.stages import s05_dataset as dataset
from archive_tools.stages.s04_describe import DescribeConfig, run
from archive_tools.stages.s05_dataset import DatasetConfig
from envs import InputError

ROOT = Path(__file__).parent.parent
COMMANDS = ROOT.parent / "shared" / "language" / "commands.parquet"


@pytest.fixture(scope="module")
def records(tmp_path_factory):
    """A run that has come as far as annotations: 60 trajectories, 100 to 159."""
    folder = tmp_path_factory.mktemp("given") / "run"
    make_records(folder, n=60)
    return folder


def rows_of(folder):
    return read_table(folder / "descriptions" / "descriptions.parquet")


def describe(records, *files, **options):
    run(DescribeConfig(run=records, redo=True, texts=tuple(files), **options))
    return rows_of(records)


def true_text(drive):
    """Names the last place."""
    last = drive.events[-1]
    return f"Somewhere on the {last.tile} floor please, I don't mind how."


@pytest.mark.parametrize("kind", ["csv", "jsonl", "parquet"])
def test_rows_join_the_narrators_and_name_their_source(records, tmp_path, kind):
    annotations = load_annotations(records / "annotations")
    frame = pd.DataFrame(
        {
            "trajectory_id": [101, 103, 103, 104],
            "text": [*(true_text(annotations[i]) for i in (101, 103)), "Stop, the piano, then "
                     "the fridge, then the piano, then the fridge", "go past the dinosaur lamp"],
            "style": ["mine", None, None, None],
            "source": ["Ada", "", None, "Ada"],
        }
    )  # fmt: skip
    path = tmp_path / f"notes.{kind}"
    if kind == "csv":
        frame.to_csv(path, index=False, encoding="utf-8-sig")
    elif kind == "jsonl":
        frame.to_json(path, orient="records", lines=True)
    else:
        frame.to_parquet(path)
    rows = describe(records, path)
    assert len(rows) == 64
    given = rows[rows["source"] != "narrator"].sort_values(["trajectory_id", "sample"])
    assert given["trajectory_id"].tolist() == [101, 103, 103, 104]
    assert given["sample"].tolist() == [1, 1, 2, 1]
    assert given["source"].tolist() == ["Ada", "notes", "notes", "Ada"]
    assert given["style"].tolist() == ["mine", "given", "given", "given"]
    assert given["status"].tolist() == ["accepted", "accepted", "rejected", "rejected"]
    assert given["text"].tolist()[0] == true_text(annotations[101])  # as it was written
    assert all(given["reason"][given["status"] == "rejected"])
    facts = read_manifest(records / "descriptions")["facts"]
    assert facts["sources"]["Ada"] == {"accepted": 1, "rejected": 1}
    assert sum(facts["rejected_for"].values()) == 2
    assert not (records / "descriptions" / FOLDER).exists()
    # The narrator's own texts are what they are without the file.
    alone = describe(records)
    assert alone["text"].tolist() == rows[rows["source"] == "narrator"]["text"].tolist()


def given_drives(n, seed=77):
    action = wander(n, seed)
    world = envs.load_world("apartment")
    pose = envs.simulate(world, action).pose
    tiles = envs.load_world("apartment").scene
    last = tiles.tile_at(envs.geometry.world_to_scene(pose[:, -1, :2], world.size))
    return action, pose, [f"End in the {tiles.tile_names[int(k)]} room." for k in last]


@pytest.mark.parametrize("unit", ["tenths", "units"])
def test_drives_are_replayed_and_go_through_the_dataset(records, tmp_path, unit):
    action, pose, texts = given_drives(12)
    scaled = np.round(action * 10).astype(np.int8) if unit == "tenths" else action
    both = [0, *range(12)]  # the first drive has two texts
    table = pa.table(
        {
            "action": pa.array([scaled[k].ravel() for k in both]),
            "text": [texts[0].replace("End", "Stop"), *texts],
            "part": ["train"] * 12 + ["dev"],
        }
    )
    write_table(tmp_path / "drives.parquet", table)
    rows = describe(records, tmp_path / "drives.parquet", texts_where=("part=train",))
    given = rows[rows["source"] == "drives"]
    assert sorted(set(given["trajectory_id"])) == list(range(160, 171)) and len(given) == 12
    assert set(given["status"]) == {"accepted"}
    folder = records / "descriptions" / FOLDER
    replayed = read_table(folder / "trajectories.parquet").set_index("trajectory_id")
    assert replayed["policy_id"].isna().all()
    for k in range(11):
        np.testing.assert_allclose(
            np.reshape(replayed.loc[160 + k, "pose"], (STEPS + 1, 3)), pose[k], atol=1e-4
        )
        np.testing.assert_allclose(replayed.loc[160 + k, "action"], action[k].ravel(), atol=1e-6)
    assert set(load_annotations(folder)) == set(range(160, 171))
    before = describe_and_split(records)
    describe(records, tmp_path / "drives.parquet", texts_where=("part=train",))
    done = dataset.run(DatasetConfig(run=records, redo=True))
    with_drives = read_table(done / "trajectories.parquet").set_index("trajectory_id")
    assert with_drives.loc[160:, "split"].tolist() == ["train"] * 11
    assert len(with_drives.loc[160, "texts"]) == 2
    np.testing.assert_allclose(with_drives.loc[165, "action"], action[5].ravel(), atol=1e-6)
    # Who is tested on stays the same.
    assert before["split"].to_dict() == with_drives.loc[:159, "split"].to_dict()
    info = read_json(done / "dataset.json")
    assert info["given_drives"] == 11 and info["given_drives_left_out"] == 0
    practice = read_table(done / "augmentation.parquet")
    assert practice["trajectory_id"].min() > 170


def describe_and_split(records):
    describe(records)
    folder = dataset.run(DatasetConfig(run=records, redo=True))
    return read_table(folder / "trajectories.parquet").set_index("trajectory_id")


@pytest.mark.parametrize("split", ["random", "regions"])
def test_a_drive_like_one_that_is_tested_on_is_left_out(records, tmp_path, split):
    describe(records)
    folder = dataset.run(DatasetConfig(run=records, redo=True, split=split, test=0.3))
    table = read_table(folder / "trajectories.parquet").set_index("trajectory_id")
    tested = table.index[table["split"] == "test"][0]
    recorded = read_table(records / "trajectories" / "trajectories.parquet")
    action = recorded.set_index("trajectory_id").loc[tested, "action"]
    last = load_annotations(records / "annotations")[tested].events[-1]
    twin = {"action": [float(a) for a in action], "text": f"To the {last.tile} room."}
    (tmp_path / "twin.jsonl").write_text(json.dumps(twin))
    describe(records, tmp_path / "twin.jsonl")
    folder = dataset.run(DatasetConfig(run=records, redo=True, split=split, test=0.3))
    assert read_json(folder / "dataset.json")["given_drives_left_out"] == 1
    assert 160 not in set(read_table(folder / "trajectories.parquet")["trajectory_id"])


GOOD = [4.0, 3.5] * STEPS


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("a.txt", "text", "unknown kind of file; write .csv, .jsonl or .parquet"),
        ("a.csv", "trajectory_id,words\n101,go", "column 'text' is missing; found trajectory_id"),
        ("a.csv", "text\nGo.", "neither column 'trajectory_id' and 'action'"),
        ("a.csv", "trajectory_id,text\n9,Go.", "row 1: this run has no trajectory 9"),
        ("a.csv", "trajectory_id,text\n1.5,Go.", "row 1: trajectory_id is '1.5'"),
        ("a.csv", "trajectory_id,text\nx,Go.", "row 1: trajectory_id is 'x'"),
        ("a.csv", "trajectory_id,text\n101,Go.\n102,  ", "row 2: the text is empty"),
        ("a.csv", "trajectory_id,text\n101,Go, then stop.", "quote texts that hold ','"),
        ("a.csv", "trajectory_id;text\n101;Go; stop.", "quote texts that hold ';'"),
        ("a.csv", "trajectory_id,text,text\n101,Go.,Stop.", "'text' stands twice"),
        ("a.csv", "", "no header"),
        ("a.csv", "trajectory_id,text\n101", "row 1 has fewer fields"),
        ("a.csv", 'trajectory_id,text\n101,"Go', "is no CSV (unexpected end"),
        ("a.csv", "trajectory_id,text\n", "no rows"),
        ("a.csv", "trajectory_id,text\n101,caf\u00e9".encode("latin1"), "not UTF-8 (byte 0xe9"),
        ("a.jsonl", '{"trajectory_id": 101, "text": "Go."}\nnonsense', "line 2 is not JSON"),
        ("a.jsonl", "[1, 2]", "line 1 is no JSON object"),
        ("a.jsonl", '{"trajectory_id": 101, "text": 7}', "row 1: the text is empty"),
        ("a.parquet", "nonsense", "not a readable Parquet file"),
        ("a.jsonl", json.dumps({"action": GOOD[:-2], "text": "Go."}), "has 798 numbers; expected"),
        ("a.jsonl", json.dumps({"action": "much", "text": "Go."}), "action is no list"),
        ("a.jsonl", json.dumps({"action": [[1, [2]]], "text": "Go."}), "no list of numbers"),
        ("a.jsonl", json.dumps({"action": [float("nan"), *GOOD[1:]], "text": "Go."}), "NaN"),
        ("a.jsonl", json.dumps({"action": [9.5, *GOOD[1:]], "text": "Go."}), "wheels reach 4"),
    ],
)
def test_what_is_wrong_with_a_file_is_one_line(records, tmp_path, name, content, words):
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(InputError) as caught:
        describe(records, path)
    line = str(caught.value)
    assert words in line and str(path) in line and "\n" not in line, line


@pytest.mark.parametrize("separator", [";", "\t"])
@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_texts_are_read_as_spreadsheets_of_other_countries_save_them(tmp_path, separator, encoding):
    table = f"trajectory_id{separator}text\r\n1{separator}Go to the café, please.\r\n"
    (tmp_path / "a.csv").write_bytes(table.encode(encoding))
    frame = read_user_table(tmp_path / "a.csv", "texts")
    assert frame["text"].tolist() == ["Go to the café, please."]
    assert frame["trajectory_id"].tolist() == ["1"]


def test_other_refusals_are_one_line(records, tmp_path):
    (tmp_path / "a.csv").write_text("trajectory_id,text\n101,Go.")
    with pytest.raises(InputError, match=r"b\.csv: no such file"):
        describe(records, tmp_path / "b.csv")
    with pytest.raises(InputError, match="no such column; found trajectory_id, text"):
        describe(records, tmp_path / "a.csv", texts_where=("part=train",))
    with pytest.raises(InputError, match="write COLUMN=VALUE"):
        describe(records, tmp_path / "a.csv", texts_where=("part",))
    (tmp_path / "c.csv").write_text(f'action,text\n"{[40, 35] * STEPS}",Go on.')
    with pytest.raises(InputError, match="read as units, --texts-unit says otherwise"):
        describe(records, tmp_path / "c.csv", texts_unit="units")
    rows = describe(records, tmp_path / "c.csv")  # whole numbers beyond the wheels' reach
    assert len(rows) == 61


def test_a_changed_file_is_another_input(records, tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("trajectory_id,text\n101,Wherever you like.")
    describe(records, path)
    run(DescribeConfig(run=records, texts=(path,)))  # up to date
    path.write_text("trajectory_id,text\n102,Wherever you like.")
    with pytest.raises(InputError, match="--redo"):
        run(DescribeConfig(run=records, texts=(path,)))


def test_a_trial_goes_on_and_a_dataset_of_it_is_refused(records, capsys):
    few = describe(records, limit=7)
    assert len(few) == 7
    with pytest.raises(InputError, match=r"first 7 trajectories only \(--limit\)"):
        dataset.run(DatasetConfig(run=records, redo=True))
    run(DescribeConfig(run=records, limit=12))  # no --redo is needed to go on
    assert rows_of(records)["text"].tolist()[:7] == few["text"].tolist()
    run(DescribeConfig(run=records))
    every = rows_of(records)
    assert len(every) == 60 and every["text"].tolist()[:7] == few["text"].tolist()
    with pytest.raises(InputError, match="--redo"):  # but to go back, or to change something else
        run(DescribeConfig(run=records, limit=7))
    with pytest.raises(InputError, match="--redo"):
        run(DescribeConfig(run=records, seed=1))


def test_refused_rows_are_shown_and_counted_by_kind(records, tmp_path, capsys):
    lines = ["trajectory_id,text"]
    lines += [f"{i},In 30 seconds to the end" for i in range(100, 105)]
    (tmp_path / "bad.csv").write_text("\n".join(lines))
    describe(records, tmp_path / "bad.csv", show_refused=2)
    out = capsys.readouterr().out
    assert "5 of 65 texts were refused" in out and out.count("In 30 seconds") == 2
    assert out.count("reason: has a number") == 2 and "trajectory 100, given, bad" in out
    assert read_manifest(records / "descriptions")["facts"]["rejected_for"] == {"numbers": 5}
    # Shown again without describing again.
    run(DescribeConfig(run=records, texts=(tmp_path / "bad.csv",), show_refused=5))
    assert capsys.readouterr().out.count("In 30 seconds") == 5


@pytest.mark.parametrize(
    ("reason", "kind"),
    [
        ("the hall is never met", "a place that is not met"),
        (
            "wrong order: the hall is not met then",
            "a stated order that is wrong",
        ),
        ("stops at the fan, but the drive ends elsewhere", "a wrong end"),
        ("says that the fan is not driven over, but it is", "a broken ban"),
        ("the fan is not passed on its west side", "a wrong side"),
        ("has a measurement: 'two steps'", "numbers"),
        ("the reply was empty", "the reply was empty"),
    ],
)
def test_kinds_of_refusals(reason, kind):
    assert kind_of(reason) == kind


@pytest.mark.skipif(not COMMANDS.exists(), reason="needs ../shared/language/commands.parquet")
def test_the_bundled_commands_are_such_a_file(records):
    done = subprocess.run(
        [sys.executable, "scripts/04_describe.py", "--run", str(records), "--redo", "--texts",
         str(COMMANDS), "--texts-where", "part=dev"],
        cwd=ROOT, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    rows = rows_of(records)
    given = rows[rows["source"] == "commands"]
    assert len(given) == 400 and (given["status"] == "accepted").mean() > 0.85


def test_lines_of_json_end_in_line_feeds_only(tmp_path):
    path = tmp_path / "t.jsonl"
    row = '{"trajectory_id": 1, "text": "Go past\u2028the sofa,\u0085then stop."}\r\n'
    path.write_text(row + "\n", encoding="utf-8", newline="")
    read_given(path, [1])
