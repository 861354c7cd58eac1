"""An archive keeps its elites to the bit, refuses broken ones, and goes to pyribs and back."""

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from ribs.archives import ArchiveDataFrame, GridArchive

from archive_tools.archive.cells import Cells
from archive_tools.archive.elites import Archive, load_archive
from archive_tools.files.tables import write_json, write_table
from archive_tools.tasks.measures import Measures
from envs.errors import InputError

INFO = {
    "measures": {"names": ["x", "y"], "low": [0.0, 0.0], "high": [600.0, 600.0]},
    "cells": [8, 8],
}


def make(n: int = 20, seed: int = 0) -> Archive:
    rng = np.random.default_rng(seed)
    return Archive(
        rng.permutation(n) + 7,
        rng.random(n, dtype=np.float32),
        rng.random((n, 2), dtype=np.float32) * 600,
        rng.normal(size=(n, 12)).astype(np.float32),
        INFO,
    )


def test_saved_and_loaded_to_the_bit(tmp_path):
    archive = make()
    archive.save(tmp_path / "archive")
    for path in (tmp_path / "archive", tmp_path):
        again = load_archive(path)
        assert again.digest() == archive.digest()
    assert (np.diff(archive.policy_ids) > 0).all()
    first = (tmp_path / "archive" / "elites.parquet").read_bytes()
    archive.save(tmp_path / "archive")
    assert (tmp_path / "archive" / "elites.parquet").read_bytes() == first


def test_digest_sees_one_weight():
    archive = make()
    changed = archive.solutions.copy()
    changed[3, 5] = np.nextafter(changed[3, 5], np.float32(9))
    other = Archive(archive.policy_ids, archive.objective, archive.measures, changed, INFO)
    assert other.digest() != archive.digest()


def test_nan_weights_are_named_and_allowed_only_on_demand(tmp_path):
    archive = make()
    weights = archive.solutions.copy()
    weights[4, 0] = np.nan
    Archive(archive.policy_ids, archive.objective, archive.measures, weights, INFO).save(tmp_path)
    with pytest.raises(InputError, match=rf"policy {archive.policy_ids[4]} has NaN"):
        load_archive(tmp_path)
    assert load_archive(tmp_path, allow_broken=True).broken.tolist() == [archive.policy_ids[4]]


def test_foreign_and_damaged_files_get_one_clear_line(tmp_path):
    def message(folder) -> str:
        with pytest.raises(InputError) as caught:
            load_archive(folder)
        assert "\n" not in str(caught.value)
        return str(caught.value)

    assert "00_search_archive" in message(tmp_path / "nothing")
    archive = make()
    archive.save(tmp_path)
    path = tmp_path / "elites.parquet"
    whole = path.read_bytes()
    path.write_bytes(whole[:-40])
    assert "elites.parquet" in message(tmp_path) and "truncated" in message(tmp_path)
    ids = archive.policy_ids
    table = {
        "policy_id": ids,
        "objective": archive.objective,
        "measures": pa.array(archive.measures.tolist(), pa.list_(pa.float32())),
        "solution": pa.array([[0.0] * (12 - (i == 3)) for i in range(20)], pa.list_(pa.float32())),
    }
    write_table(path, pa.table(table))
    assert "'solution'" in message(tmp_path) and "11" in message(tmp_path)
    twice = table | {
        "policy_id": np.where(ids == ids[1], ids[0], ids),
        "solution": table["measures"],
    }
    write_table(path, pa.table(twice))
    assert "more than once" in message(tmp_path)
    write_table(path, pd.DataFrame({"policy_id": ids}))
    assert "'objective' is missing" in message(tmp_path)
    archive.save(tmp_path)
    write_json(tmp_path / "archive.json", {"measures": {"names": ["x"]}})
    assert "2 dimensions" in message(tmp_path)


def test_to_ribs_and_back():
    archive = make(60)
    grid = archive.to_ribs()
    assert isinstance(grid, GridArchive) and len(grid) <= 60
    again = Archive.from_ribs(grid, INFO)
    where = np.searchsorted(archive.policy_ids, again.policy_ids)
    np.testing.assert_array_equal(again.solutions, archive.solutions[where])
    np.testing.assert_array_equal(again.measures, archive.measures[where])
    cells = Cells(Measures.from_json(INFO["measures"]), (8, 8))
    coverage, score = cells.score(archive.objective, archive.measures)
    assert coverage == pytest.approx(float(grid.stats.coverage))
    assert score == pytest.approx(float(grid.stats.qd_score), rel=1e-5)
    with pytest.raises(InputError, match="cells"):
        archive.to_ribs([8, 8, 8])


def test_pyribs_reads_our_frame():
    archive = make()
    frame = ArchiveDataFrame(archive.to_frame())
    np.testing.assert_array_equal(frame.get_field("solution"), archive.solutions)
    np.testing.assert_array_equal(frame.get_field("measures"), archive.measures)
    np.testing.assert_array_equal(frame.get_field("index"), archive.policy_ids)


def test_cells_agree_with_ribs_and_with_centroids():
    rng = np.random.default_rng(0)
    measures = Measures(("a", "b"), (-1.0, 2.0), (1.0, 8.0))
    points = rng.uniform([-1, 2], [1, 8], (500, 2))
    grid = GridArchive(solution_dim=1, dims=[7, 5], ranges=[(-1, 1), (2, 8)])
    np.testing.assert_array_equal(Cells(measures, (7, 5)).index(points), grid.index_of(points))
    centroids = rng.random((30, 2))
    nearest = np.linalg.norm(measures.unit(points)[:, None] - centroids, axis=2).argmin(axis=1)
    np.testing.assert_array_equal(Cells(measures, (30,), centroids).index(points), nearest)


def test_coverage_counts_only_reachable_cells():
    measures = Measures(("x",), (0.0,), (10.0,))
    floor = np.linspace(0, 4.99, 100, dtype=np.float32)[:, None]
    cells = Cells(measures, (10,), None, floor)
    assert cells.reachable.sum() == 5
    assert cells.score([1, 2, 3], [[0.5], [0.6], [9.5]]) == (pytest.approx(0.2), pytest.approx(5))
