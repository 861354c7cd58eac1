"""What befalls a command: disks, signals, terminals, encodings. A line each, and work stays."""

import errno
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import textwrap
import time
from functools import partial
from pathlib import Path

import pytest

from archive_tools.files.tables import read_arrow, read_json
from archive_tools.run.faults import in_a_line
from archive_tools.run.stage import Stage, StageConfig
from envs.errors import InputError
from nanodt.training.faults import in_a_line as nanodt_line

ROOT = Path(__file__).parent.parent
# A stage that prints, and leaves four chunks of 200 kB one after another, of which a later start
# finds those that are there.
PROGRAM = textwrap.dedent(
    """
    import os, sys, time
    from pathlib import Path
    import numpy as np, pandas as pd
    from archive_tools.files import write_table
    from archive_tools.run import Stage, StageConfig, main

    def run(config):
        with Stage(config, "archive") as stage:
            if stage.done:
                return
            noise = np.random.default_rng(0)
            for chunk in range(4):
                path = stage.scratch("chunks") / f"{chunk}.parquet"
                table = pd.DataFrame({"x": noise.random(25_000)})
                if not path.exists():
                    write_table(path, table)
                    print(f"wrote {chunk} – ✓ " + 3000 * "x", flush=True)
                    time.sleep(float(os.environ.get("PAUSE", 0)))
            write_table(stage.path("result.parquet"), table)

    main(run, StageConfig, "A stage.")
    """
)


def start(run: Path | str | bytes, *words: str, **options) -> subprocess.Popen:
    environment = {"PYTHONPATH": str(ROOT), "PATH": os.environ["PATH"], **options.pop("env", {})}
    if options.pop("bare", False):  # no HOME, no TERM, no language
        environment["OMP_NUM_THREADS"] = "1"
    else:
        environment = {**os.environ, **environment}
    line = [sys.executable, "-c", PROGRAM, "--run", run, *words]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **options}
    # A shell ignores Ctrl-C for what it runs in the background, and so would all it starts.
    listen = partial(signal.signal, signal.SIGINT, signal.default_int_handler)
    return subprocess.Popen(line, env=environment, preexec_fn=listen, **pipes)


def finish(process: subprocess.Popen) -> tuple[int, str]:
    """Exit status and what stands on stderr."""
    error = process.communicate()[1]
    text = error.decode(errors="replace") if error else ""
    assert "Traceback" not in text, text
    return process.returncode, text


@pytest.fixture
def disk(tmp_path):
    """A small disk: its folder, and what mounts it anew."""

    def mount(options: str) -> None:
        subprocess.run(["mount", "-o", options, "-t", "tmpfs", "tmpfs", folder], check=True,
                       capture_output=True)  # fmt: skip

    folder = tmp_path / "disk"
    folder.mkdir()
    try:
        mount("size=700k")
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("needs the right to mount a small disk")
    yield folder, lambda options: mount(f"remount,{options}")
    subprocess.run(["umount", folder], check=True)


def test_a_full_disk_is_a_line_and_what_was_done_stays(disk):
    folder, mount = disk
    status, error = finish(start(folder / "run"))
    assert status == 2 and error.count("\n") == 1
    assert "no space left on the device" in error and "the same command goes on" in error
    partial = folder / "run" / ".archive.partial"
    chunks = sorted(p.name for p in (partial / "chunks").iterdir())
    assert chunks and not [p for p in partial.rglob("*.tmp")]
    mount("size=5m")
    process = start(folder / "run")
    output = process.communicate()[0].decode()
    assert process.returncode == 0 and f"wrote {len(chunks) - 1} " not in output
    assert [p.name for p in (folder / "run").iterdir()] == ["archive"]


def test_a_disk_that_is_read_only(disk):
    folder, mount = disk
    mount("size=5m")
    with Stage(StageConfig(run=folder / "run"), "archive") as stage:
        stage.path("result").write_text("done")
    mount("ro")
    status, error = finish(start(folder / "run"))
    assert status == 0 and "up to date" in error  # what is done can be looked at
    status, error = finish(start(folder / "run", "--seed", "1", "--redo"))
    assert status == 2 and error.count("\n") == 1
    assert str(folder / "run") in error and "Read-only file system" in error


def test_a_reader_that_leaves_costs_no_work(tmp_path):
    reading, writing = os.pipe()
    os.close(reading)
    process = start(tmp_path / "run", stdout=writing)
    os.close(writing)
    assert finish(process) == (0, "")
    assert (tmp_path / "run" / "archive" / "manifest.json").exists()


def test_no_output_at_all(tmp_path):
    line = f'exec "{sys.executable}" -c "$PROGRAM" --run "{tmp_path / "run"}" >&- 2>&- <&-'
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PROGRAM": PROGRAM}
    assert subprocess.run(["sh", "-c", line], env=environment).returncode == 0
    assert read_json(tmp_path / "run" / "archive" / "manifest.json")["outputs"]


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_what_ends_a_stage_early_leaves_its_work(tmp_path, number, status):
    process = start(tmp_path / "run", env={"PAUSE": "30"})
    chunk = tmp_path / "run" / ".archive.partial" / "chunks" / "0.parquet"
    for _ in range(600):
        if chunk.exists():
            break
        time.sleep(0.1)
    process.send_signal(number)
    found, error = finish(process)
    assert found == status and "the same command goes on from here" in error
    assert chunk.exists() and not (tmp_path / "run" / ".archive.lock").exists()


def test_names_of_all_languages_in_a_bare_environment(tmp_path):
    run, env = tmp_path / "Läufe und 実行" / "ein Lauf", {"PYTHONIOENCODING": "ascii"}
    assert finish(start(run, bare=True, env=env)) == (0, "")
    status, error = finish(start(run, "--seed", "1", bare=True, env={"LC_ALL": "C"}))
    assert status == 2 and error.startswith("error: ") and error.count("\n") == 1


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (OSError(errno.ENOSPC, "No space left", "a/b"), "a/b: no space left on the device; make"),
        (OSError(errno.EDQUOT, "Quota"), "runs/x: no space left on the device; make"),
        (OSError("[Errno 28] Error writing. Detail: No space left on device"), "runs/x: no space"),
        (PermissionError(errno.EACCES, "Permission denied", "a"), "a: Permission denied; give"),
        (IsADirectoryError(errno.EISDIR, "Is a directory", "a"), "a: Is a directory"),
        (NotADirectoryError(errno.ENOTDIR, "Not a directory", "a/b"), "a/b: Not a directory"),
        (OSError(errno.ENAMETOOLONG, "File name too long", "a"), "a: File name too long"),
        (UnicodeDecodeError("utf-8", b"\xe9", 0, 1, "invalid"), "runs/x: not a text in UTF-8"),
        (UnicodeEncodeError("utf-8", "\udce9", 0, 1, "no"), "runs/x: a name or text that is no"),
        (RecursionError("maximum recursion depth exceeded"), "runs/x: something in a file is"),
        (MemoryError("Unable to allocate 7 TiB"), "runs/x: the memory does not suffice (Unable"),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory"), "runs/x: the memory does"),
        (sqlite3.OperationalError("database or disk is full"), "runs/x: no space left"),
        (sqlite3.OperationalError("attempt to write a readonly database"), "runs/x: attempt to"),
        (sqlite3.DatabaseError("file is not a database"), "runs/x: file is not a database"),
    ],
)
def test_mishaps_in_a_line(error, line):
    found = in_a_line(error, "runs/x")
    assert found is not None and found.startswith(line) and "\n" not in found


@pytest.mark.parametrize("told", [in_a_line, lambda error, _: nanodt_line(error)])
def test_a_copy_of_a_folder_that_does_not_fit_is_a_line(told):
    copied = shutil.Error(
        [("a/x", "b/x", "[Errno 28] No space left on device: 'b/x'"), ("", "", "")]
    )
    assert str(told(copied, "runs/x")).startswith("b/x: no space left on the device")
    refused = shutil.Error([("a/x", "b/x", "[Errno 13] Permission denied: 'b/x'")])
    assert str(told(refused, "runs/x")).startswith("b/x: [Errno 13] Permission denied")


@pytest.mark.parametrize("error", [KeyError("train"), ZeroDivisionError(), RuntimeError("x")])
def test_faults_of_the_program_are_shown_as_such(error):
    assert in_a_line(error, "runs/x") is None


def test_a_folder_where_a_file_is_expected(tmp_path):
    for read in (read_json, read_arrow):
        with pytest.raises(InputError, match=str(tmp_path)) as caught:
            read(tmp_path)
        assert "\n" not in str(caught.value)
