"""A search covers the reachable floor, gives the same bytes again, and survives being killed."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from archive_tools.archive.cells import load_cells
from archive_tools.archive.elites import load_archive
from archive_tools.files.tables import file_digest, read_json, read_table
from archive_tools.stages.s00_search import SearchConfig, run
from archive_tools.tasks.navigation import Navigation
from envs import load_world, save_world
from envs.errors import InputError

ROOT = Path(__file__).parent.parent
SMALL = {"evaluations": 1500, "batch": 250, "cells": (20, 20)}


def contents(folder: Path) -> dict[str, str]:
    """Digest of every file but the manifest, which has the wall time."""
    files = (p for p in folder.rglob("*") if p.is_file() and p.name != "manifest.json")
    return {p.relative_to(folder).as_posix(): file_digest(p) for p in files}


@pytest.fixture(scope="module")
def searched(tmp_path_factory) -> Path:
    return run(SearchConfig(run=tmp_path_factory.mktemp("search"), **SMALL))


def test_elites_are_good_drives_that_cover_the_floor(searched):
    archive = load_archive(searched)
    info = archive.info
    cells = load_cells(searched, info, Navigation().reachable())
    index = cells.index(archive.measures)
    assert len(set(index)) == len(archive) == info["elites"]
    assert cells.reachable[index].all(), "nobody stands inside a wall"
    assert info["coverage"] == pytest.approx(len(archive) / cells.reachable.sum())
    assert info["coverage"] > 0.5
    assert info["reachable_cells"] == cells.reachable.sum() < 400
    assert archive.objective.mean() > 0.75
    recording = Navigation().record(archive.solutions)
    np.testing.assert_array_equal(recording.info["bd"], archive.measures)
    np.testing.assert_array_equal(recording.info["objective"], archive.objective)
    assert ((archive.objective >= 0) & (archive.objective <= 1)).all()


def test_folder_has_history_pictures_and_the_world(searched):
    history = read_table(searched / "history.parquet")
    assert history.columns.tolist() == ["evaluations", "elites", "coverage", "qd_score"]
    assert history["evaluations"].iloc[-1] == 1500
    assert (
        history["coverage"].is_monotonic_increasing and history["qd_score"].is_monotonic_increasing
    )
    for name in ("coverage", "elites_map"):
        assert (searched / f"{name}.png").read_bytes()[:4] == b"\x89PNG"
        assert "<svg" in (searched / f"{name}.svg").read_text()
    assert load_world(searched / "world") == load_world("apartment")
    assert read_json(searched / "archive.json")["environment"]["id"] == "envs:wayword/Navigation-v0"
    assert not any("journal" in p.name for p in searched.rglob("*"))


def test_another_seed_is_another_archive(searched, tmp_path):
    other = load_archive(run(SearchConfig(run=tmp_path, seed=1, **SMALL)))
    assert other.digest() != load_archive(searched).digest()


COMMAND = [
    sys.executable, "scripts/00_search_archive.py",
    "--evaluations", "1500", "--batch", "250", "--cells", "20", "20",
]  # fmt: skip


def test_killed_search_goes_on_to_the_same_bytes(searched, tmp_path):
    command = [*COMMAND, "--run", str(tmp_path)]
    process = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.DEVNULL)
    journal = tmp_path / ".archive.partial" / "evaluations.journal"
    record = 250 * 3 * 4 + 8
    deadline = time.monotonic() + 100
    while not (journal.exists() and journal.stat().st_size >= 2 * record):
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.005)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert not (tmp_path / "archive").exists()
    kept = journal.stat().st_size // record
    assert 2 <= kept < 6
    with open(journal, "ab") as file:
        file.write(b"half a record")  # what a kill in the middle of a write leaves
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    assert contents(tmp_path / "archive") == contents(searched)


@pytest.mark.parametrize(
    "options",
    [
        {"algorithm": "novelty", "novelty_threshold": 0.03},
        {"algorithm": "novelty", "emitter": "evolution-strategy", "emitters": 2, "sigma": 0.5},
        {"algorithm": "cvt-map-elites"},
        {"emitter": "iso-line"},
        {"emitter": "evolution-strategy", "emitters": 5, "sigma": 0.3},
    ],
)
def test_other_algorithms_are_seeded_too(tmp_path, options):
    config = {**SMALL, "evaluations": 500, **options}
    first = run(SearchConfig(run=tmp_path / "a", **config))
    second = run(SearchConfig(run=tmp_path / "b", **config))
    assert contents(first) == contents(second)
    archive = load_archive(first)
    assert archive.info["coverage"] > 0.15
    if options.get("algorithm") == "cvt-map-elites":
        cells = load_cells(first, archive.info, Navigation().reachable())
        assert cells.count == 400 and cells.reachable.all()


def test_novelty_archives_keep_their_distance(tmp_path):
    options = {**SMALL, "algorithm": "novelty", "novelty_threshold": 0.05, "batch": 50}
    archive = load_archive(run(SearchConfig(run=tmp_path, **(options | {"evaluations": 1000}))))
    gap = np.linalg.norm(archive.measures[:, None] - archive.measures, axis=2)
    nearest = np.sort(gap, axis=1)[:, 1:16].mean(axis=1)
    assert 30 < len(archive) < 1000 and np.median(nearest) > 0.03 * 600


def test_a_world_is_the_same_wherever_it_is_named_from(tmp_path, capsys):
    world = tmp_path / "deep" / "mine"
    save_world(load_world("apartment"), world)
    size = {"evaluations": 20, "batch": 10, "cells": (4, 4)}
    run(SearchConfig(run=tmp_path / "run", world=str(world / "world.toml"), **size))
    there = os.path.relpath(world / "world.toml")
    run(SearchConfig(run=tmp_path / "run", world=there, **size))
    assert "archive: up to date" in capsys.readouterr().err
    text = (world / "world.toml").read_text(encoding="utf-8")
    (world / "world.toml").write_text(text.replace("steps = 400", "steps = 300"), encoding="utf-8")
    with pytest.raises(InputError, match="made from other options: world; add --redo"):
        run(SearchConfig(run=tmp_path / "run", world=str(world / "world.toml"), **size))


def test_custom_world_is_found_by_later_stages(tmp_path):
    folder = save_world(load_world("apartment"), tmp_path / "my world")
    config = SearchConfig(run=tmp_path / "run", world=str(folder), **(SMALL | {"evaluations": 250}))
    info = read_json(run(config) / "archive.json")
    assert info["environment"]["kwargs"]["world"] == str(tmp_path / "run" / "archive" / "world")


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"evaluations": 0}, "--evaluations 0"),
        ({"batch": 10, "emitters": 3}, "multiple of --emitters 3"),
        ({"cells": (20,)}, "expected 2 numbers"),
        ({"sigma": float("nan")}, "--sigma nan"),
        ({"world": "castle"}, "castle"),
        ({"layers": (5, 2, 3)}, "2 wheels"),
        ({"layers": (5,)}, "at least two numbers"),
        ({"environment": "NoSuchEnv-v0"}, "NoSuchEnv"),
        ({"environment": "no.such.module:make"}, "no.such"),
        ({"environment_options": "{oops"}, "not valid JSON"),
        ({"environment_options": '{"gravity": 2}'}, "takes no 'gravity'"),
        ({"import_file": Path("absent.csv")}, "no such file"),
        ({"algorithm": "cvt-map-elites", "cells": (900, 900)}, "810,000 centroids for"),
    ],
)
def test_mistakes_get_one_clear_line(tmp_path, options, match):
    with pytest.raises(InputError, match=match) as caught:
        run(SearchConfig(run=tmp_path, **(SMALL | options)))
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "archive").exists()


def test_script_explains_itself_and_its_errors():
    help_text = subprocess.run([*COMMAND, "--help"], cwd=ROOT, capture_output=True, text=True)
    assert "--import" in help_text.stdout and "novelty" in help_text.stdout
    wrong = subprocess.run(
        [*COMMAND, "--run", "/nonexistent", "--world", "castle"],
        cwd=ROOT, capture_output=True, text=True,
    )  # fmt: skip
    assert wrong.returncode == 2 and wrong.stderr.startswith("error: ")
    assert len(wrong.stderr.strip().splitlines()) == 1
