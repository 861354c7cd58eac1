"""Verification passes a true archive, finds one altered weight, and prunes what is not true."""

import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from archive_tools.archive.cells import load_cells
from archive_tools.archive.elites import Archive, load_archive
from archive_tools.files.tables import file_digest, read_json, read_table
from archive_tools.stages.s00_search import SearchConfig
from archive_tools.stages.s00_search import run as search
from archive_tools.stages.s01_verify import VerifyConfig, failed, run
from archive_tools.stages.s02_record import RecordConfig
from archive_tools.stages.s02_record import run as record
from archive_tools.tasks.navigation import Navigation
from archive_tools.trajectories.table import load_trajectories
from envs.errors import InputError

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def true_run(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("true")
    search(SearchConfig(run=path, evaluations=1500, batch=250, cells=(20, 20)))
    return path


def import_altered(run_path: Path, archive: Archive, rows, weight: int, change: float) -> None:
    """A run whose archive claims BDs that some of its policies do not reach."""
    weights = archive.solutions.copy()
    weights[rows, weight] += change
    source = run_path.with_suffix(".csv")
    altered = Archive(archive.policy_ids, archive.objective, archive.measures, weights, {})
    altered.to_frame().to_csv(source, index=False)
    search(SearchConfig(run=run_path, import_file=source, cells=(20, 20)))


def test_true_archive_replays_to_the_bit(true_run):
    folder = run(VerifyConfig(run=true_run))
    result = read_json(folder / "verification.json")
    assert result["ok"] == result["policies"] == len(load_archive(true_run))
    assert result["error_max"] == 0 and failed(folder) is None
    assert result["corrected_coverage"] == result["coverage"]
    assert result["corrected_qd_score"] == pytest.approx(result["qd_score"])
    assert (folder / "errors.png").read_bytes()[:4] == b"\x89PNG"
    assert pd.read_csv(folder / "offenders.csv").empty


def test_altered_weight_in_the_file_is_found_by_name(true_run, tmp_path):
    path = tmp_path / "run"
    shutil.copytree(true_run, path)
    shutil.rmtree(path / "verification", ignore_errors=True)
    archive = load_archive(path)
    victim = int(archive.policy_ids[17])
    table_path = path / "archive" / "elites.parquet"
    frame = pd.read_parquet(table_path)
    # A weight of the bumper: without effect on a robot that never bumps, and still not the same.
    weights = np.stack(frame["solution"])
    weights[17, 40] += 1e-3
    frame["solution"] = list(weights)
    frame.to_parquet(table_path)
    with pytest.raises(InputError, match=rf"changed.*1 are not what they were: {victim}$"):
        run(VerifyConfig(run=path))
    command = [sys.executable, "scripts/01_verify_archive.py", "--run", str(path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 2 and "altered weights" in done.stderr and str(victim) in done.stderr


def test_nan_weight_in_the_file_is_found_by_name(true_run, tmp_path):
    path = tmp_path / "run"
    shutil.copytree(true_run, path)
    archive = load_archive(path)
    weights = archive.solutions.copy()
    weights[3, 0] = np.nan
    Archive(
        archive.policy_ids, archive.objective, archive.measures, weights, archive.info
    ).save(path / "archive")  # fmt: skip
    with pytest.raises(InputError, match=rf"not what they were: {archive.policy_ids[3]}$"):
        run(VerifyConfig(run=path, redo=True))


def test_one_policy_that_ends_elsewhere_fails_the_stage(true_run, tmp_path):
    archive, path = load_archive(true_run), tmp_path / "run"
    import_altered(path, archive, [11], 301, 0.7)
    command = [sys.executable, "scripts/01_verify_archive.py", "--run", str(path)]
    for _ in range(2):  # a finished stage fails again
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
        assert done.returncode == 1, done.stderr
        assert "1 of" in done.stderr.splitlines()[-1]
    result = read_json(path / "verification" / "verification.json")
    assert result["offending_policies"] == [int(archive.policy_ids[11])]
    table = read_table(path / "verification" / "replays.parquet")
    assert (~table["ok"]).sum() == 1 and table["error"][~table["ok"]].iloc[0] > 1


def test_prune_keeps_the_good_and_leaves_the_archive(true_run, tmp_path):
    archive, path = load_archive(true_run), tmp_path / "run"
    rows = np.arange(0, len(archive), 2)
    import_altered(path, archive, rows, 301, 0.7)
    before = file_digest(path / "archive" / "elites.parquet")
    folder = run(VerifyConfig(run=path, prune=True))
    result = read_json(folder / "verification.json")
    assert failed(folder) is None and 0 < result["offenders"] <= len(rows)
    assert file_digest(path / "archive" / "elites.parquet") == before
    recorded = load_trajectories(record(RecordConfig(run=path)), columns=("bd",))
    good = set(archive.policy_ids.tolist()) - set(result["offending_policies"])
    assert set(recorded.ids.tolist()) == good
    # The corrected figures are those of the policies where they really end.
    table = read_table(folder / "replays.parquet")
    cells = load_cells(path / "archive", load_archive(path).info, Navigation().reachable())
    coverage, score = cells.score(table["replayed_objective"], np.stack(table["replayed"].tolist()))
    assert result["corrected_coverage"] == pytest.approx(coverage)
    assert result["corrected_qd_score"] == pytest.approx(score)
    assert result["corrected_coverage"] < result["coverage"]


def test_tolerance_is_per_dimension(true_run, tmp_path):
    archive = load_archive(true_run)
    shifted = archive.measures + np.float32([3, 0])
    source = tmp_path / "shifted.csv"
    Archive(
        archive.policy_ids, archive.objective, shifted, archive.solutions, {}
    ).to_frame().to_csv(source, index=False)
    path = tmp_path / "run"
    search(SearchConfig(run=path, import_file=source, cells=(20, 20)))
    for tolerance, offenders in (((4, 0.1), 0), ((0.1, 4), len(archive)), ((4,), 0)):
        folder = run(VerifyConfig(run=path, tolerance=tolerance, redo=True))
        assert read_json(folder / "verification.json")["offenders"] == offenders
    with pytest.raises(InputError, match="nothing would be left"):
        run(VerifyConfig(run=path, prune=True, redo=True))
    for wrong in ((1, 2, 3), (-1,), (float("nan"),)):
        with pytest.raises(InputError, match="--tolerance"):
            run(VerifyConfig(run=path, tolerance=wrong, redo=True))


def test_missing_archive_names_the_script(tmp_path):
    with pytest.raises(InputError, match="00_search_archive"):
        run(VerifyConfig(run=tmp_path))
