"""A run's folders: whole or not there, never mixed, resumable, guarded against changed files."""

import os
import signal
import subprocess
import sys
import textwrap
from dataclasses import dataclass
from pathlib import Path

import pytest

from archive_tools.files.tables import read_json, read_table, write_json
from archive_tools.run.stage import Stage, StageConfig, check_folder
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


def test_partial_work_of_other_options_is_discarded(tmp_path):
    with pytest.raises(RuntimeError), Stage(Config(run=tmp_path), "archive") as stage:
        stage.path("chunk-0").write_text("old")
        raise RuntimeError
    with Stage(Config(run=tmp_path, option=2), "archive") as stage:
        assert not stage.path("chunk-0").exists()


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


def test_json_has_no_nan(tmp_path):
    with pytest.raises(ValueError, match="JSON"):
        write_json(tmp_path / "x.json", {"a": float("nan")})
