"""The whole way, 00 to 09, on a tiny run, and what killing a stage and running it again does."""

import json
import re
import runpy
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from archive_tools.files.tables import read_json
from archive_tools.run.stage import SCRIPTS

ROOT = Path(__file__).parents[1]
OPTIONS = """
[00_search_archive]
evaluations = 1500
batch = 250
cells = [16, 16]
[04_describe]
people = false
[05_verify_dataset]
test = 0.2
[06_train_tokenizer]
vocab-size = 400
patience = 0.5
[07_train]
steps = 12
n-layer = 1
n-head = 2
n-embd = 32
batch-size = 4
score-every = 6
score-items = 4
checkpoint-every = 4
log-every = 2
[08_rollout]
items = 6
pairs = 2
people = false
"""


def command(script, run, *extra):
    return [sys.executable, str(ROOT / "scripts" / script), "--run", str(run), *extra]


def call(script, run, *extra):
    return subprocess.run(command(script, run, *extra), capture_output=True, text=True, cwd=ROOT)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A finished tiny run and what the pipeline printed."""
    folder = tmp_path_factory.mktemp("pipeline")
    (folder / "tiny.toml").write_text(OPTIONS)
    done = call("pipeline.py", folder / "run", "--options", str(folder / "tiny.toml"))
    assert done.returncode == 0, done.stderr[-3000:]
    return folder / "run", done.stderr


def stamps(run):
    """When each stage's manifest was written."""
    return {name: (run / name / "manifest.json").stat().st_mtime_ns for name in SCRIPTS}


def data(run, name):
    """sha256 of a stage's files, but for those that hold wall times."""
    outputs = read_json(run / name / "manifest.json")["outputs"]
    timed = {"log.jsonl"}
    return {k: v["sha256"] for k, v in outputs.items() if k not in timed and "report" not in k}


def test_every_stage_left_its_folder_and_the_summary_says_so(finished):
    run, printed = finished
    for name in SCRIPTS:
        assert (run / name / "manifest.json").exists(), name
        assert name in printed
    report = run / "evaluation" / "report"
    assert (report / "index.html").stat().st_size < 10_000_000
    assert (report / "report.md").exists()
    assert str(report / "index.html") in printed.replace("\n", "")
    assert not [p for p in run.iterdir() if p.name.startswith(".")]


def test_metrics_have_the_agreed_shape(finished):
    run, _ = finished
    records = json.loads((run / "evaluation" / "metrics.json").read_text())
    assert all(
        set(r) == {"system", "set", "metric", "mean", "ci_low", "ci_high", "n"} for r in records
    )
    systems = {r["system"] for r in records}
    assert {"nanodt", "nanodt/text_off", "nanodt/bd_off", "random_elite", "replay"} <= systems
    assert {"nearest_elite_bd", "nearest_elite_text", "nearest_elite_both"} <= systems
    replay = {r["metric"]: r["mean"] for r in records if r["system"] == "replay"}
    assert replay["bd_error_median"] == 0
    assert replay["route_lcs"] == 1


def test_second_run_does_only_again_what_follows_a_change(finished, tmp_path):
    run = tmp_path / "run"
    shutil.copytree(finished[0], run)
    before = stamps(run)
    changed = tmp_path / "changed.toml"
    changed.write_text(OPTIONS.replace("items = 6", "items = 5"))
    again = call("pipeline.py", run, "--options", str(changed))
    assert again.returncode == 0, again.stderr[-2000:]
    redone = {name for name, stamp in stamps(run).items() if stamp != before[name]}
    assert redone == {"rollouts", "evaluation"}
    before = stamps(run)
    for script in ("08_rollout.py", "09_evaluate.py"):
        words = ["5" if word == "6" else word for word in option_words(script)]
        assert call(script, run, *words).returncode == 0
    assert stamps(run) == before


@pytest.mark.parametrize(
    ("name", "delay"),
    [
        ("archive", 3.0),
        ("trajectories", 2.5),
        ("annotations", 2.5),
        ("descriptions", 2.5),
        ("dataset", 3.0),
        ("model", 6.5),
        ("rollouts", 6.5),
    ],
)
def test_killed_stage_run_again_gives_the_same_files(finished, tmp_path, name, delay):
    """SIGKILL at an arbitrary moment, then the same command once more."""
    source, _ = finished
    run = tmp_path / "run"
    shutil.copytree(source, run)
    shutil.rmtree(run / name)
    script = Path(SCRIPTS[name]).name
    words = option_words(script)
    process = subprocess.Popen(
        command(script, run, *words), cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    time.sleep(delay)
    process.send_signal(signal.SIGKILL)
    process.wait()
    done = call(script, run, *words)
    assert done.returncode == 0, done.stderr[-2000:]
    assert data(run, name) == data(source, name)
    if name == "model":
        log = [json.loads(line) for line in (run / name / "log.jsonl").read_text().splitlines()]
        straight = (source / name / "log.jsonl").read_text().splitlines()
        losses = [r["loss"] for r in log if "loss" in r]
        assert losses == [r["loss"] for r in map(json.loads, straight) if "loss" in r]


def option_words(script):
    """The options of one script in OPTIONS, as command-line words."""
    section = re.search(rf"\[{script[:-3]}\]\n([^\[]*(?:\[[\d, ]+\]\n)?)", OPTIONS)
    words = []
    for line in (section[1] if section else "").splitlines():
        key, value = line.split(" = ")
        if value == "false":
            words.append(f"--no-{key}")
        else:
            words += [f"--{key}", *value.strip("[]").split(", ")]
    return words


@pytest.mark.parametrize(
    ("script", "missing"),
    [
        ("01_verify_archive.py", "00_search_archive.py"),
        ("02_record_trajectories.py", "00_search_archive.py"),
        ("03_annotate.py", "00_search_archive.py"),
        ("05_verify_dataset.py", "00_search_archive.py"),
        ("06_train_tokenizer.py", "05_verify_dataset.py"),
        ("07_train.py", "05_verify_dataset.py"),
        ("08_rollout.py", "00_search_archive.py"),
    ],
)
def test_missing_earlier_stage_is_one_line(tmp_path, script, missing):
    done = call(script, tmp_path / "run")
    assert done.returncode == 2
    assert done.stderr.startswith("error: ")
    assert missing in done.stderr
    assert done.stderr.count("\n") == 1


def one_line(done, *parts):
    """A user's mistake: exit status 2 and one line that names what is wrong."""
    assert done.returncode == 2, done.stderr[-2000:]
    assert "Traceback" not in done.stderr
    line = done.stderr.strip().splitlines()[-1]
    assert line.startswith("error: ")
    for part in parts:
        assert part in line, line


@pytest.fixture
def copy(finished, tmp_path):
    shutil.copytree(finished[0], tmp_path / "run")
    return tmp_path / "run"


def test_truncated_parquet_is_named(copy):
    path = copy / "trajectories" / "trajectories.parquet"
    path.write_bytes(path.read_bytes()[:-1000])
    one_line(call("03_annotate.py", copy, "--redo"), "trajectories.parquet", "truncated")


def test_stale_input_is_named(copy):
    options = [*option_words("00_search_archive.py"), "--seed", "1", "--redo"]
    assert call("00_search_archive.py", copy, *options).returncode == 0
    one_line(call("03_annotate.py", copy, "--near", "20", "--redo"), "trajectories", "stale")


def test_heads_that_do_not_share_the_width_are_named(copy):
    words = ["--n-embd", "128", "--n-head", "6", "--redo"]
    one_line(call("07_train.py", copy, *words), "n_embd=128", "n_head=6", "126", "132")


def test_text_longer_than_the_block_is_named(copy):
    words = ["--block-size", "16", "--redo"]
    one_line(call("07_train.py", copy, *words), "block_size=16", "tokens")


def test_finished_result_is_not_replaced_unasked(copy):
    one_line(call("03_annotate.py", copy, "--near", "10"), "--redo", "--near (24.0)")


def test_scripts_explain_themselves(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    for script in SCRIPTS.values():
        monkeypatch.setattr(sys, "argv", [str(ROOT / script), "--help"])
        with pytest.raises(SystemExit) as done:
            runpy.run_path(str(ROOT / script), run_name="__main__")
        assert done.value.code == 0
        said = capsys.readouterr().out
        for word in ("Example", "--run", "--preset", "--seed", "--redo"):
            assert word in said, f"{script} --help does not say {word}"
