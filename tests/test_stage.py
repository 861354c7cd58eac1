"""A run's folders: whole or not there, never mixed, resumable, guarded against changed files."""

import errno
import importlib.metadata
import os
import shutil
import signal
import subprocess
import sys
import textwrap
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from archive_tools.archive.elites import load_archive
from archive_tools.files.tables import read_arrow, read_json, read_table, write_json, write_table
from archive_tools.run.stage import Stage, StageConfig, check_folder, read_manifest
from archive_tools.run.workplace import Workplace
from archive_tools.trajectories.table import load_trajectories
from envs.errors import InputError


@dataclass
class Config(StageConfig):
    option: int = 1


def make(run: Path, name: str = "archive", text: str = "a", inputs=(), **options) -> Path:
    config = Config(run=run, **options)
    with Stage(config, name, inputs=inputs) as stage:
        if not stage.done:
            stage.path("data.txt").write_text(text)
            stage.rows["lines"] = 1
    return stage.folder


def test_manifest_says_how_the_folder_was_made(tmp_path):
    folder = make(tmp_path, option=3, seed=7)
    manifest = read_json(folder / "manifest.json")
    assert manifest["config"]["option"] == 3
    assert manifest["seed"] == 7
    assert manifest["rows"] == {"lines": 1}
    assert manifest["outputs"]["data.txt"]["bytes"] == 1
    assert {"python", "numpy", "torch"} <= set(manifest["versions"])
    assert manifest["wall_time_s"] >= 0
    assert [p.name for p in tmp_path.iterdir()] == ["archive"]


def test_same_fingerprint_is_left_alone(tmp_path):
    folder = make(tmp_path, text="first")
    make(tmp_path, text="second")
    assert (folder / "data.txt").read_text() == "first"


def test_other_options_are_refused_and_redo_replaces(tmp_path):
    folder = make(tmp_path, text="first")
    with pytest.raises(InputError, match=r"option \(1\).*--redo"):
        make(tmp_path, text="second", option=2)
    assert (folder / "data.txt").read_text() == "first"
    make(tmp_path, text="second", option=2, redo=True)
    assert (folder / "data.txt").read_text() == "second"
    assert [p.name for p in tmp_path.iterdir()] == ["archive"]


def test_missing_stage_names_the_script(tmp_path):
    with pytest.raises(InputError, match=r"02_record_trajectories\.py"):
        make(tmp_path, "annotations", inputs=("trajectories",))


def test_changed_input_is_refused_then_redone(tmp_path):
    make(tmp_path, "archive", "a")
    make(tmp_path, "trajectories", "t", inputs=("archive",))
    make(tmp_path, "archive", "b", option=2, redo=True)
    with pytest.raises(InputError, match=r"inputs: archive/"):
        make(tmp_path, "trajectories", "t", inputs=("archive",))


def test_stale_input_of_an_input_is_refused(tmp_path):
    make(tmp_path, "archive", "a")
    make(tmp_path, "trajectories", "t", inputs=("archive",))
    make(tmp_path, "annotations", "n", inputs=("trajectories",))
    make(tmp_path, "archive", "b", option=2, redo=True)
    with pytest.raises(InputError, match=r"trajectories: stale, archive/ was replaced"):
        make(tmp_path, "annotations", "n", inputs=("trajectories",))
    with pytest.raises(InputError, match="stale"):
        check_folder(tmp_path / "annotations")


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda p: p.write_text("x" * 9), "truncated or changed"),
        (lambda p: p.write_text("z"), "sha256"),
        (lambda p: p.unlink(), "missing"),
    ],
)
def test_damaged_input_is_named(tmp_path, damage, message):
    folder = make(tmp_path, "archive", "a")
    damage(folder / "data.txt")
    with pytest.raises(InputError, match=message) as caught:
        make(tmp_path, "trajectories", "t", inputs=("archive",))
    assert "data.txt" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_failed_stage_leaves_no_folder_and_can_go_on(tmp_path):
    config = Config(run=tmp_path)
    with pytest.raises(RuntimeError), Stage(config, "archive") as stage:
        stage.path("chunk-0").write_text("kept")
        raise RuntimeError
    assert not (tmp_path / "archive").exists()
    with Stage(config, "archive") as stage:
        assert stage.path("chunk-0").read_text() == "kept"


def interrupt(run: Path, name: str = "archive", text: str = "old", inputs=(), **options) -> None:
    """A start that leaves one chunk of work."""
    config = Config(run=run, **options)
    with pytest.raises(RuntimeError), Stage(config, name, inputs=inputs) as stage:
        stage.path("chunk-0").write_text(text)
        raise RuntimeError


def test_work_of_an_interrupted_start_goes_with_redo_only(tmp_path):
    interrupt(tmp_path)
    with pytest.raises(InputError, match=r"option \(1\).*--redo") as caught:
        make(tmp_path, option=2)
    assert "\n" not in str(caught.value)
    with Stage(Config(run=tmp_path), "archive") as stage:  # the same options find it, and go on
        assert stage.path("chunk-0").read_text() == "old"
    interrupt(tmp_path, option=2, redo=True)
    with Stage(Config(run=tmp_path, option=2, redo=True), "archive") as stage:  # --redo or not
        assert stage.path("chunk-0").exists()
    interrupt(tmp_path, option=3, redo=True)
    with Stage(Config(run=tmp_path, option=4, redo=True), "archive") as stage:
        assert not stage.path("chunk-0").exists()


def test_a_start_that_did_nothing_stands_in_nobodys_way(tmp_path):
    with pytest.raises(RuntimeError), Stage(Config(run=tmp_path), "archive") as stage:
        stage.path("chunk-0").touch()
        raise RuntimeError
    assert not list(tmp_path.iterdir())
    make(tmp_path, option=2)


def test_redo_makes_an_unchanged_result_anew_and_the_line_says_so(tmp_path, capsys):
    folder = make(tmp_path, text="first")
    make(tmp_path, text="second")
    assert "up to date (--redo makes it anew)" in capsys.readouterr().err
    make(tmp_path, text="second", redo_changed=True)
    assert (folder / "data.txt").read_text() == "first"
    make(tmp_path, text="second", redo=True)
    assert (folder / "data.txt").read_text() == "second"


def test_redo_changed_keeps_the_work_of_other_options(tmp_path):
    make(tmp_path, text="first")
    make(tmp_path, text="second", option=2, redo_changed=True)
    assert (tmp_path / "archive" / "data.txt").read_text() == "second"
    make(tmp_path, "trajectories", inputs=("archive",))
    interrupt(tmp_path, "trajectories", inputs=("archive",), option=2, redo=True)
    with pytest.raises(InputError, match=r"option \(2\)"):
        make(tmp_path, "trajectories", inputs=("archive",), option=3, redo_changed=True)
    make(tmp_path, text="third", option=3, redo=True)  # that work can never go on
    make(tmp_path, "trajectories", inputs=("archive",), option=2, redo_changed=True)


def test_another_version_of_the_project_is_another_result(tmp_path, monkeypatch):
    make(tmp_path)
    monkeypatch.setattr(importlib.metadata, "version", lambda package: "99.0")
    with pytest.raises(InputError, match=r"version \(\d.*--redo"):
        make(tmp_path)
    make(tmp_path, redo=True)


@pytest.mark.parametrize("redo", [False, True])
def test_a_second_start_removes_nothing_of_the_first(tmp_path, redo):
    with Stage(Config(run=tmp_path), "archive") as stage:
        stage.path("chunk-0").write_text("first")
        with pytest.raises(InputError, match="another process"):
            make(tmp_path, option=2, redo=redo)
        assert stage.path("chunk-0").read_text() == "first"
    assert [p.name for p in tmp_path.iterdir()] == ["archive"]


def test_what_another_finished_before_the_lock_is_not_replaced(tmp_path, monkeypatch):
    opened = Workplace.open

    def late(place):
        monkeypatch.setattr(Workplace, "open", opened)
        make(tmp_path, text="first")
        opened(place)

    monkeypatch.setattr(Workplace, "open", late)
    with pytest.raises(InputError, match=r"option \(1\).*--redo"):
        make(tmp_path, text="second", option=2)
    assert (tmp_path / "archive" / "data.txt").read_text() == "first"
    assert [p.name for p in tmp_path.iterdir()] == ["archive"]


def test_a_disk_without_locks_and_a_dead_process_lock_do_not_block(tmp_path, monkeypatch):
    (tmp_path / ".archive.lock").touch()
    make(tmp_path)

    def none(*_):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr("fcntl.flock", none)
    make(tmp_path, "model")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["archive", "model"]


def test_a_folder_behind_a_link_is_replaced_where_it_lies(tmp_path):
    run, disk = tmp_path / "run", tmp_path / "disk"
    make(run)
    disk.mkdir()
    shutil.move(run / "archive", disk / "moved")
    (run / "archive").symlink_to(disk / "moved")
    for _ in range(2):
        make(run, text="second", option=2, redo=True)
        assert (run / "archive").is_symlink()
        assert (disk / "moved" / "data.txt").read_text() == "second"
    make(run, text="third", option=2)
    assert [p.name for p in run.iterdir()] == ["archive"]
    assert [p.name for p in disk.iterdir()] == ["moved"]


def test_another_runs_folder_is_not_replaced_through_a_link(tmp_path):
    ours, theirs = tmp_path / "ours", tmp_path / "theirs"
    make(theirs, "archive")
    make(theirs, "trajectories", inputs=("archive",))
    ours.mkdir()
    (ours / "archive").symlink_to(theirs / "archive")
    with pytest.raises(InputError, match=r"a link into the run .*theirs"):
        make(ours, option=2, redo=True)
    make(ours)  # to read it is all right


def test_what_is_no_folder_is_told(tmp_path):
    (tmp_path / "archive").symlink_to(tmp_path / "unmounted" / "archive")
    for redo in (False, True):
        with pytest.raises(InputError, match=r"archive: a link to .*unmounted.*not there"):
            make(tmp_path, redo=redo)
        with pytest.raises(InputError, match="not there"):
            make(tmp_path, "trajectories", inputs=("archive",), redo=redo)
    (tmp_path / "dataset").symlink_to(tmp_path / "dataset")
    with pytest.raises(InputError, match=r"dataset: a link to .*dataset, which is not there"):
        make(tmp_path, "dataset", redo=True)
    (tmp_path / "model").write_text("mine")
    for redo in (False, True):
        with pytest.raises(InputError, match="model: is a file"):
            make(tmp_path, "model", redo=redo)
    with pytest.raises(InputError, match=r"--run .*model: is a file"):
        make(tmp_path / "model")
    assert (tmp_path / "model").read_text() == "mine"


def test_files_without_a_manifest_go_with_redo_only(tmp_path):
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "checkpoint").write_text("hours of work")
    with pytest.raises(InputError, match=r"model: holds files but no manifest\.json.*--redo"):
        make(tmp_path, "model")
    make(tmp_path, "model", redo=True)


@pytest.mark.parametrize(
    "content",
    [
        *(b"{}", b"[]", b"3", b"", b'{"stage": "archive"', b"\x00\xff\x93 binary", b'"text"'),
        *(b"[" * 200_000, b'{"seed": NaN}', b'{"seed": 1, "seed": 2}', b"9" * 5000, b"1e999"),
    ],
)
def test_a_damaged_manifest_is_told_in_a_line(tmp_path, content):
    folder = make(tmp_path)
    (folder / "manifest.json").write_bytes(content)
    for start in (
        lambda: make(tmp_path),
        lambda: make(tmp_path, "trajectories", inputs=("archive",)),
        lambda: read_manifest(folder),
    ):
        with pytest.raises(InputError, match=r"archive/manifest\.json: .*--redo") as caught:
            start()
        assert "\n" not in str(caught.value) and len(str(caught.value)) < 500
    make(tmp_path, redo=True)
    make(tmp_path)


def test_every_field_of_a_manifest_that_is_read_is_checked(tmp_path):
    folder = make(tmp_path)
    whole = read_json(folder / "manifest.json")
    for field in ("config", "outputs", "digest", "fingerprint", "parts", "rows", "inputs"):
        for wrong in (None, 3, [1], {"data.txt": 7}):
            write_json(folder / "manifest.json", {**whole, field: wrong})
            if field in ("config", "rows") and isinstance(wrong, dict):
                continue  # that is what it may hold
            with pytest.raises(InputError):
                make(tmp_path, "trajectories", inputs=("archive",))


def test_a_copy_with_other_times_is_the_same_run(tmp_path):
    run = tmp_path / "ein Lauf mit Ä"
    make(run)
    make(run, "trajectories", inputs=("archive",))
    copy = tmp_path / "copy"
    shutil.copytree(run, copy)
    for path in copy.rglob("*"):
        os.utime(path, (0, 0))
    make(copy, "trajectories", text="other", inputs=("archive",))
    assert (copy / "trajectories" / "data.txt").read_text() == "a"


def test_a_failed_write_leaves_no_half_file(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        write_json(tmp_path / "x.json", {})
    assert not list(tmp_path.iterdir())


def test_scratch_files_are_gone_in_the_end(tmp_path):
    with Stage(Config(run=tmp_path), "archive") as stage:
        stage.path("result").write_text("r")
        stage.scratch("journal").write_text("j")
        stage.scratch("parts").mkdir()
        (stage.scratch("parts") / "one").write_text("1")
    assert sorted(p.name for p in stage.folder.iterdir()) == ["manifest.json", "result"]


def test_two_processes_cannot_write_one_folder(tmp_path):
    with (
        Stage(Config(run=tmp_path), "archive") as stage,
        pytest.raises(InputError, match="another process"),
        Stage(Config(run=tmp_path), "archive"),
    ):
        pass
    assert stage.folder.exists()


def test_kill_between_the_two_renames_is_mended(tmp_path):
    folder = make(tmp_path, text="first")
    make(tmp_path, text="second", option=2, redo=True)
    # As a kill right after the first rename leaves it: the old folder aside, the new one hidden.
    os.replace(folder, tmp_path / ".archive.partial")
    (tmp_path / ".archive.old").mkdir()
    make(tmp_path, option=2)
    assert (folder / "data.txt").read_text() == "second"
    assert [p.name for p in tmp_path.iterdir()] == ["archive"]


def test_killed_process_resumes(tmp_path):
    program = textwrap.dedent(
        """
        import os, signal, sys
        from pathlib import Path
        from archive_tools.run.stage import Stage
        from archive_tools.run.stage import StageConfig
        with Stage(StageConfig(run=Path(sys.argv[1])), "archive") as stage:
            for chunk in range(4):
                path = stage.path(f"chunk-{chunk}")
                if path.exists():
                    continue
                path.write_text(str(chunk))
                if chunk == 1 and len(sys.argv) > 2:
                    os.kill(os.getpid(), signal.SIGKILL)
        """
    )
    killed = subprocess.run([sys.executable, "-c", program, str(tmp_path / "a"), "die"])
    assert killed.returncode == -signal.SIGKILL
    assert not (tmp_path / "a" / "archive").exists()
    for name in "ab":
        subprocess.run([sys.executable, "-c", program, str(tmp_path / name)], check=True)
    resumed, straight = (read_json(tmp_path / n / "archive" / "manifest.json") for n in "ab")
    assert resumed["outputs"] == straight["outputs"]


def test_truncated_table_and_bad_json_are_named(tmp_path):
    path = tmp_path / "table.parquet"
    path.write_bytes(b"PAR1 not really")
    with pytest.raises(InputError, match=r"table\.parquet: not a readable Parquet"):
        read_table(path)
    (tmp_path / "x.json").write_text("{")
    with pytest.raises(InputError, match=r"x\.json: not valid JSON"):
        read_json(tmp_path / "x.json")
    lists = {name: [[0.0]] for name in ("obs", "action", "pose", "bd", "measures", "solution")}
    numbers = {name: [1] for name in ("trajectory_id", "length", "policy_id", "objective")}
    for name in ("elites", "trajectories"):
        write_table(tmp_path / f"{name}.parquet", pd.DataFrame(numbers | lists))
    for name, read in (("archive", load_archive), ("trajectories", load_trajectories)):
        for content in ("[]", "null", "3", "[{}]"):
            (tmp_path / f"{name}.json").write_text(content)
            with pytest.raises(InputError, match=rf"{name}\.json: holds .*; expected an object"):
                read(tmp_path)


def test_json_has_no_nan(tmp_path):
    with pytest.raises(ValueError, match="JSON"):
        write_json(tmp_path / "x.json", {"a": float("nan")})


def test_a_folder_with_a_colon_in_its_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = Path("a:b") / "x.parquet"
    write_table(path, pd.DataFrame({"x": [1, 2]}))
    assert read_table(path)["x"].tolist() == [1, 2]
    assert read_arrow(path, rows=(1, 2))["x"].to_pylist() == [2]


def test_a_flipped_byte_of_a_table_is_told(tmp_path):
    path = tmp_path / "x.parquet"
    write_table(path, pd.DataFrame({"x": np.random.default_rng(0).random(1000)}))
    whole = bytearray(path.read_bytes())
    for rows in (None, (0, 10)):
        for place in range(100, 8000, 700):
            damaged = bytearray(whole)
            damaged[place] ^= 1
            path.write_bytes(damaged)
            with pytest.raises(InputError, match=r"x\.parquet: not a readable Parquet file"):
                read_arrow(path, rows=rows)
