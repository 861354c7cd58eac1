"""Archives that ribs itself wrote, QDax folders and npz are read; everything else is refused."""

import itertools
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from ribs.archives import ArchiveDataFrame, CVTArchive, GridArchive, ProximityArchive

from archive_tools.archive.elites import load_archive
from archive_tools.archive.readers import from_flax, infer_layers, read_foreign
from archive_tools.files.tables import read_json
from archive_tools.stages.s00_search import SearchConfig, run
from archive_tools.tasks.controllers import ControllerSpec
from archive_tools.tasks.navigation import Navigation
from envs.errors import InputError

ROOT = Path(__file__).parent.parent
SPEC = ControllerSpec()


@pytest.fixture(scope="module")
def driven():
    """60 controllers with what they really do."""
    solutions = np.random.default_rng(0).normal(size=(60, SPEC.n_params)).astype(np.float32)
    recording = Navigation().record(solutions)
    return solutions, recording.info["objective"], recording.info["bd"]


def ribs_archive(kind: str, driven):
    solutions, objective, measures = driven
    ranges = [(0, 600), (0, 600)]
    archive = {
        "grid": lambda: GridArchive(solution_dim=SPEC.n_params, dims=[64, 64], ranges=ranges),
        "cvt": lambda: CVTArchive(
            solution_dim=SPEC.n_params, centroids=50, ranges=ranges, samples=1000, seed=0
        ),
        "proximity": lambda: ProximityArchive(
            solution_dim=SPEC.n_params, measure_dim=2, k_neighbors=15, novelty_threshold=1.0
        ),
    }[kind]()
    archive.add(solutions, objective, measures)
    return archive


@pytest.mark.parametrize("kind", ["grid", "cvt", "proximity"])
@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_what_ribs_wrote_is_read_to_the_bit(tmp_path, driven, kind, suffix):
    frame = ribs_archive(kind, driven).data(return_type="pandas")
    path = tmp_path / f"archive{suffix}"
    frame.to_csv(path, index=False) if suffix == ".csv" else frame.to_parquet(path)
    foreign = read_foreign(path)
    assert foreign.kind == "pyribs"
    np.testing.assert_array_equal(foreign.solutions, frame.get_field("solution").astype("f4"))
    np.testing.assert_array_equal(foreign.measures, frame.get_field("measures").astype("f4"))
    np.testing.assert_array_equal(foreign.objective, frame["objective"].to_numpy("f4"))
    np.testing.assert_array_equal(foreign.policy_ids, frame["index"])


@pytest.mark.parametrize("name", ["measure", "behavior"])
def test_legacy_column_names(tmp_path, driven, name):
    frame = pd.DataFrame(ribs_archive("grid", driven).data(return_type="pandas"))
    frame = frame.rename(columns={f"measures_{i}": f"{name}_{i}" for i in range(2)})
    frame = frame.drop(columns=["index", "threshold"], errors="ignore").assign(metadata="")
    path = tmp_path / "old.csv"
    frame[frame.columns[::-1]].to_csv(path)  # another order, and pandas' own index column
    foreign = read_foreign(path)
    np.testing.assert_array_equal(foreign.measures[:, 1], frame[f"{name}_1"].to_numpy("f4"))
    np.testing.assert_array_equal(foreign.solutions[:, 11], frame["solution_11"].to_numpy("f4"))


def imported(tmp_path, source, *, match: str | None = None, **options) -> dict:
    config = SearchConfig(run=tmp_path / "run", import_file=source, **options)
    if match is not None:
        with pytest.raises(InputError, match=match) as caught:
            run(config)
        assert "\n" not in str(caught.value)
        assert not list((tmp_path / "run").glob("*")), "nothing is written before it fits"
        return {}
    return read_json(run(config) / "archive.json")


def test_import_ends_with_a_verdict_and_exports_back(tmp_path, driven, capsys):
    archive = ribs_archive("grid", driven)
    frame = archive.data(return_type="pandas")
    changed = pd.DataFrame(frame.copy())
    changed.loc[2, "solution_301"] += 1.5  # the bias of a wheel
    source = tmp_path / "elites.csv"
    changed.to_csv(source, index=False)
    info = imported(tmp_path, source)
    n = len(archive)
    assert info["import"]["replay_to_their_bd"] == n - 1 and info["import"]["policies"] == n
    assert info["controller"]["layers"] == [5, 10, 10, 10, 2]
    assert f"{n - 1} of {n} replay to their BD" in capsys.readouterr().err
    back = tmp_path / "back.csv"
    module = "archive_tools.archive.writers"
    command = [sys.executable, "-m", module, str(tmp_path / "run"), str(back)]
    subprocess.run(command, check=True, cwd=ROOT)
    ours, again = load_archive(tmp_path / "run"), ArchiveDataFrame(pd.read_csv(back))
    np.testing.assert_array_equal(again.get_field("solution").astype("f4"), ours.solutions)
    np.testing.assert_array_equal(read_foreign(back).measures, ours.measures)


def test_bds_in_other_units_get_a_hint(tmp_path, driven):
    solutions, objective, measures = driven
    source = tmp_path / "unit.npz"
    np.savez(source, solutions=solutions, objective=objective, measures=measures / 600)
    info = imported(tmp_path, source)
    assert info["import"]["replay_to_their_bd"] < len(solutions) / 2
    assert "600 × archived" in info["import"]["hint"]


def flax_order(solutions: np.ndarray, layers) -> np.ndarray:
    """What ravel_pytree makes of {"params": {"Dense_i": {"bias", "kernel"}}}, key by key."""
    flat = []
    for solution in solutions:
        tree, begin = {}, 0
        for i, (n_in, n_out) in enumerate(itertools.pairwise(layers)):
            kernel = solution[begin : begin + n_in * n_out]
            bias = solution[begin + n_in * n_out :][:n_out]
            tree[f"Dense_{i}"] = {"kernel": kernel, "bias": bias}
            begin += (n_in + 1) * n_out
        leaves = [tree[layer][leaf] for layer in sorted(tree) for leaf in sorted(tree[layer])]
        flat.append(np.concatenate(leaves))
    return np.array(flat)


def test_qdax_folder_replays(tmp_path, driven):
    solutions, objective, measures = driven
    folder = tmp_path / "repertoire"
    folder.mkdir()
    empty = 5  # QDax fills empty cells with zeros and fitness -inf
    genotypes = np.concatenate(
        [flax_order(solutions, SPEC.layers), np.zeros((empty, SPEC.n_params))]
    )
    np.save(folder / "genotypes.npy", genotypes.astype("f4"))
    np.save(folder / "fitnesses.npy", np.concatenate([objective, np.full(empty, -np.inf)]))
    np.save(folder / "descriptors.npy", np.concatenate([measures, np.zeros((empty, 2))]))
    np.save(folder / "centroids.npy", np.zeros((65, 2)))
    info = imported(tmp_path, folder, layers=SPEC.layers)
    assert info["import"]["replay_to_their_bd"] == len(solutions)
    assert info["import"]["empty_cells_left_out"] == empty
    np.testing.assert_array_equal(load_archive(tmp_path / "run").solutions, solutions)


def test_flax_order_of_more_than_ten_layers():
    layers = (2, *[3] * 11, 1)
    solutions = (
        np.random.default_rng(0)
        .normal(size=(2, ControllerSpec(layers=layers).n_params))
        .astype("f4")
    )
    np.testing.assert_array_equal(from_flax(flax_order(solutions, layers), layers), solutions)


def test_layers_are_inferred_or_asked_for():
    assert infer_layers(SPEC.n_params, 5, 2) == (5, 10, 10, 10, 2)
    wide = ControllerSpec(layers=(5, 37, 2)).n_params
    assert infer_layers(wide, 5, 2) == (5, 37, 2)
    with pytest.raises(InputError, match="give --layers"):
        infer_layers(11, 5, 2)


def write(path: Path, content: bytes | str) -> Path:
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def test_bad_files_get_one_clear_line(tmp_path, driven):
    def message(path: Path) -> str:
        with pytest.raises(InputError) as caught:
            read_foreign(path)
        text = str(caught.value)
        assert "\n" not in text and str(path) in text
        return text

    frame = pd.DataFrame(ribs_archive("grid", driven).data(return_type="pandas"))
    csv = frame.to_csv(index=False)
    holes = frame.copy()
    holes.loc[3, "solution_7"] = np.nan
    text = message(write(tmp_path / "nan.csv", holes.to_csv(index=False)))
    assert "'solution_7', row 3" in text
    page = write(tmp_path / "page.csv", "\n<!DOCTYPE html><html><body>404</body></html>")
    assert "web page" in message(page)
    lines = csv.splitlines()
    ragged = "\n".join([*lines[:3], lines[3] + ",1,2", *lines[4:]])
    assert "not a readable CSV" in message(write(tmp_path / "ragged.csv", ragged))
    gap = frame.drop(columns="solution_9").to_csv(index=False)
    assert "solution_9 is missing" in message(write(tmp_path / "gap.csv", gap))
    text = message(write(tmp_path / "bare.csv", frame[["objective", "measures_0"]].to_csv()))
    assert "no columns solution_0" in text
    assert "no columns solution_0" in message(write(tmp_path / "other.csv", "a,b\n1,2\n"))
    assert "no rows" in message(write(tmp_path / "head.csv", lines[0] + "\n"))
    assert "empty file" in message(write(tmp_path / "void.csv", ""))
    frame.to_parquet(tmp_path / "whole.parquet")
    half = (tmp_path / "whole.parquet").read_bytes()[:2000]
    assert "truncated" in message(write(tmp_path / "half.parquet", half))
    mixed = pa.table({"objective": [1.0, 2.0], "measures": [[1.0, 2.0], [1.0, 2.0]],
                      "solution": [[1.0], [1.0, 2.0]]})  # fmt: skip
    pq.write_table(mixed, tmp_path / "mixed.parquet")
    assert "several lengths" in message(tmp_path / "mixed.parquet")
    assert "no columns solution_0" in message(write(tmp_path / "archive.txt", "hello"))
    assert "genotypes.npy is missing" in message(tmp_path)
    assert "no such file" in message(tmp_path / "absent.csv")


def test_pickles_are_refused_by_name_and_by_content(tmp_path):
    class Bomb:
        def __reduce__(self):
            return (Path.touch, (tmp_path / "exploded",))

    for name in ("archive.pkl", "archive.csv", "archive.joblib", "archive.npz", "archive.parquet"):
        path = write(tmp_path / name, pickle.dumps(Bomb()))
        with pytest.raises(InputError, match="pickle"):
            read_foreign(path)
    objects = np.array([Bomb(), Bomb()], dtype=object)
    np.savez(tmp_path / "objects.npz", solutions=objects, objective=[1.0, 2], measures=[[1.0]] * 2)
    with pytest.raises(InputError, match="pickles"):
        read_foreign(tmp_path / "objects.npz")
    folder = tmp_path / "qdax"
    folder.mkdir()
    for name in ("genotypes", "fitnesses", "descriptors"):
        np.save(folder / f"{name}.npy", objects, allow_pickle=True)
    with pytest.raises(InputError, match="pickles"):
        read_foreign(folder)
    assert not (tmp_path / "exploded").exists()


def test_npz_of_wrong_shapes(tmp_path, driven):
    solutions, objective, measures = driven
    good = {"solutions": solutions, "objective": objective, "measures": measures}
    for change, match in (
        ({"solutions": solutions[:-1]}, "several lengths"),
        ({"objective": np.stack([objective] * 3, axis=1)}, "1 dimension"),
        ({"measures": np.full_like(measures, np.inf)}, "infinite"),
        ({"measures": measures.astype(str)}, "real numbers"),
        ({"objective": np.full_like(objective, -np.inf)}, "empty"),
    ):
        np.savez(tmp_path / "bad.npz", **(good | change))
        with pytest.raises(InputError, match=match):
            read_foreign(tmp_path / "bad.npz")
    np.savez(tmp_path / "bad.npz", solutions=solutions)
    with pytest.raises(InputError, match="no array 'measures'"):
        read_foreign(tmp_path / "bad.npz")
    np.savez(tmp_path / "good.npz", **good)
    imported(tmp_path, tmp_path / "good.npz", layers=(5, 9, 2), match="good.npz: .* 302 numbers")
    imported(tmp_path, tmp_path / "good.npz", layers=(4, 10, 2), match="5 sensors")
    np.savez(tmp_path / "three.npz", **(good | {"measures": np.ones((60, 3))}))
    imported(tmp_path, tmp_path / "three.npz", match="measures have 3 dimensions")
    np.savez(tmp_path / "short.npz", **(good | {"solutions": solutions[:, :11]}))
    imported(tmp_path, tmp_path / "short.npz", match="short.npz: .* give --layers")
