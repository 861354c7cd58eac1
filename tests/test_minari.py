"""Minari datasets of every storage and space: read, or refused in a line that says what to do."""

import io
import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from nanodt.errors import InputError
from nanodt.family.recipes.command import get_recipe
from nanodt.family.sources import load_episodes

h5py = pytest.importorskip("h5py")
RNG, T = np.random.default_rng(0), 9
BOX = {"type": "Box", "dtype": "float32", "shape": [2], "low": [-1.0, -1.0], "high": [1.0, 1.0]}
STATE = {"type": "Box", "dtype": "float64", "shape": [4], "low": [-9.0] * 4, "high": [9.0] * 4}
PICTURE = {"type": "Box", "dtype": "uint8", "shape": [32, 32, 3], "low": 0, "high": 255}
INF = float("inf")


def rows(*shape):
    return lambda n: RNG.uniform(-1, 1, (n, *shape)).astype("f4")


STATES, MOVES = rows(4), rows(2)


def jpegs(n, size=None):
    """Files of several lengths, or all of one."""
    files = []
    for _ in range(n):
        file = io.BytesIO()
        pytest.importorskip("PIL.Image").fromarray(
            RNG.integers(0, 255, (32, 32, 3), np.uint8)
        ).save(file, format="JPEG")
        files.append(np.frombuffer(file.getvalue(), np.uint8))
    if size is None:
        data = np.empty(n, object)
        data[:] = files
        return data
    return np.stack([np.resize(f, size) for f in files])


def write(root, obs=STATES, action=MOVES, *, space=STATE, actions=BOX, kind="hdf5", empty=(),
          **more):  # fmt: skip
    """A dataset of three episodes; `obs` and `action` give the rows of one."""
    folder = root / "mine-v0" / "data"
    folder.mkdir(parents=True)
    (folder / "metadata.json").write_text(json.dumps({
        "data_format": kind, "total_episodes": 3, "observation_space": json.dumps(space),
        "action_space": json.dumps(actions), **more}))  # fmt: skip
    kept = []
    for i in range(3):
        n = 0 if i in empty else T
        parts = {"observations": obs(n + 1), "actions": action(n)}
        parts |= {"rewards": RNG.random(n), "terminations": np.arange(n) == n - 1}
        parts["truncations"] = np.zeros(n, bool)
        kept.append(parts)
        if kind == "hdf5":
            with h5py.File(folder / "main_data.hdf5", "a") as file:
                fill(file.create_group(f"episode_{i}"), parts)
        else:
            (folder / str(i)).mkdir()
            (folder / str(i) / "metadata.json").write_text("{}")
            batch = pa.table({k: column(v, n + 1) for k, v in parts.items()})
            if kind == "parquet":
                pq.write_table(batch, folder / str(i) / "part-0.parquet")
            else:
                with pa.ipc.new_file(str(folder / str(i) / "part-0.arrow"), batch.schema) as file:
                    file.write_table(batch)
    return kept


def fill(group, parts):
    for name, values in parts.items():
        if isinstance(values, dict):
            fill(group.create_group(name), values)
        elif values.dtype == object and len(values) and isinstance(values[0], np.ndarray):
            data = group.create_dataset(name, (len(values),), dtype=h5py.vlen_dtype(np.uint8))
            for t, row in enumerate(values):
                data[t] = row
        elif values.dtype == object:
            group.create_dataset(name, data=values, dtype=h5py.string_dtype())
        else:
            group[name] = values


def column(values, n):
    """As Minari's arrow storage writes it: a row more than actions, padded."""
    if isinstance(values, dict):
        return pa.StructArray.from_arrays([column(v, n) for v in values.values()], list(values))
    if values.dtype == object and isinstance(values[0], np.ndarray):
        return pa.array([v.tobytes() for v in values] + [None] * (n - len(values)), pa.binary())
    if values.dtype == object:
        return pa.array(list(values) + [None] * (n - len(values)))
    values = np.concatenate([values, np.zeros((n - len(values), *values.shape[1:]), values.dtype)])
    if values.ndim == 1:
        return pa.array(values)
    flat = values.reshape(n, -1)
    return pa.FixedSizeListArray.from_arrays(pa.array(flat.reshape(-1)), flat.shape[1])


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path))


STORAGES = ("hdf5", "arrow", "parquet")
READ = {
    "vectors": {},
    "matrices": dict(obs=rows(2, 3), space={**STATE, "shape": [2, 3]}),
    "small pictures, as they are": dict(
        obs=lambda n: RNG.integers(0, 9, (n, 7, 7, 3), np.uint8),
        space={**PICTURE, "shape": [7, 7, 3]},
    ),
    "pictures without JPEG": dict(
        obs=lambda n: RNG.integers(0, 9, (n, 32, 32, 3), np.uint8), space=PICTURE,
        jpeg_encoding=False,
    ),
    "numbers": dict(
        obs=lambda n: RNG.integers(0, 5, n), space={"type": "Discrete", "n": 5, "start": 0}
    ),
    "bits": dict(
        obs=lambda n: RNG.integers(0, 2, (n, 3)).astype(np.int8),
        space={"type": "MultiBinary", "n": 3},
    ),
    "several numbers": dict(
        obs=lambda n: RNG.integers(0, 2, (n, 2)), space={"type": "MultiDiscrete", "nvec": [2, 2]}
    ),
    "numbered actions": dict(
        action=lambda n: RNG.integers(0, 3, n), actions={"type": "Discrete", "n": 3, "start": 0}
    ),
    "an empty episode": dict(empty=(1,)),
    "no spaces": dict(space={}, actions={}),
}  # fmt: skip


@pytest.mark.parametrize("storage", STORAGES)
@pytest.mark.parametrize("kind", READ)
def test_vectors_are_read_from_every_storage(tmp_path, kind, storage):
    kept = write(tmp_path, kind=storage, **READ[kind])
    kept = [part for part in kept if len(part["rewards"])]
    found = load_episodes("minari:mine-v0")
    assert found.length.tolist() == [T] * len(kept) and found.each["terminated"].all()
    for ours, theirs, n in (("obs", "observations", -1), ("action", "actions", None)):
        expected = np.concatenate([p[theirs][:n].reshape(T, -1) for p in kept])
        np.testing.assert_array_equal(found.steps[ours], expected.astype("f4"))
    if kind == "vectors":
        assert found.info == {"action_low": [-1, -1], "action_high": [1, 1]}


def pair(n):
    return {"a": rows(2)(n), "b": rows(3)(n)}


def words(n):
    return np.array(["left"] * n, dtype=object)


REFUSED = {
    "JPEG pictures": (
        dict(obs=jpegs, space=PICTURE, jpeg_encoding=True),
        "observations are pictures in JPEG files; record them with jpeg_encoding=False",
    ),
    "JPEG pictures, unsaid": (dict(obs=jpegs, space=PICTURE), "pictures in JPEG"),
    "JPEG pictures of one length": (
        dict(obs=lambda n: jpegs(n, 900), space=PICTURE, jpeg_encoding=True), "pictures in JPEG"
    ),
    "JPEG pictures as long as pixels": (
        dict(obs=lambda n: jpegs(n, 32 * 32 * 3), space=PICTURE, jpeg_encoding=True), "JPEG"
    ),
    "a dictionary": (
        dict(obs=pair, space={"type": "Dict", "subspaces": {"a": BOX, "b": STATE}}),
        "FlattenObservation",
    ),
    "a tuple": (dict(obs=pair, space={"type": "Tuple", "subspaces": [BOX]}), "FlattenObservation"),
    "texts": (dict(obs=words, space={"type": "Text", "max_length": 9}), "of a space Text"),
    "actions of several numbers": (
        dict(action=lambda n: RNG.integers(0, 2, (n, 2)),
             actions={"type": "MultiDiscrete", "nvec": [2, 2]}), "only Box and Discrete actions"
    ),
    "actions of bits": (
        dict(action=lambda n: RNG.integers(0, 2, (n, 2)), actions={"type": "MultiBinary", "n": 2}),
        "only Box and Discrete actions",
    ),
    "actions of two kinds": (
        dict(action=pair, actions={"type": "Dict", "subspaces": {"a": BOX}}), "actions are of"
    ),
    "numbers from 1": (
        dict(action=lambda n: RNG.integers(1, 4, n),
             actions={"type": "Discrete", "n": 3, "start": 1}), "expected numbers from 0 up"
    ),
    "another width": (dict(obs=rows(3)), "3 numbers a step, their space"),
    "bounds turned round": (dict(actions={**BOX, "low": [2.0, 2.0]}), "low below high"),
    "complex numbers": (dict(obs=lambda n: rows(4)(n) * 1j), "expected real numbers: record real"),
    "a NaN": (dict(obs=lambda n: rows(4)(n) * np.nan), "NaN"),
    "nothing": (dict(empty=(0, 1, 2)), "no episode with steps"),
    "a space that is none": (dict(space=[1]), "expected a space"),
}  # fmt: skip


@pytest.mark.parametrize("storage", STORAGES)
@pytest.mark.parametrize("kind", REFUSED)
def test_what_is_no_vector_gets_one_line(tmp_path, kind, storage):
    options, expected = REFUSED[kind]
    if storage != "hdf5" and ("one length" in kind or "complex" in kind):
        pytest.skip("a form of HDF5 alone")
    if storage != "hdf5" and "pixels" in kind:
        options = {**options, "obs": jpegs}
    write(tmp_path, kind=storage, **options)
    with pytest.raises(InputError) as caught:
        load_episodes("minari:mine-v0")
    text = str(caught.value)
    assert expected in text and "mine-v0" in text and "\n" not in text


def test_unbounded_actions_take_their_bounds_from_the_data(tmp_path, capsys):
    kept = write(tmp_path, actions={**BOX, "low": [-INF, -1.0], "high": [INF, 1.0]})
    found = load_episodes("minari:mine-v0")
    seen = np.concatenate([part["actions"] for part in kept])[:, 0]
    assert found.info["action_low"] == [pytest.approx(seen.min()), -1]
    assert found.info["action_high"] == [pytest.approx(seen.max()), 1]
    told = capsys.readouterr().err
    assert "its action space has no bounds; taken from the data" in told and told.count("\n") == 1


def test_a_recipe_refuses_bounds_that_are_none(tmp_path):
    write(tmp_path)
    data = load_episodes("minari:mine-v0")
    data.info["action_high"] = [INF, 1.0]
    recipe = get_recipe("dt")
    with pytest.raises(InputError, match="tanh head needs finite ones"):
        recipe.prepare(recipe.options(), data)


@pytest.mark.parametrize("storage", STORAGES)
def test_damaged_and_missing_files_are_named(tmp_path, storage):
    write(tmp_path, kind=storage)
    folder = tmp_path / "mine-v0" / "data"
    with pytest.raises(InputError, match=r"found mine-v0.*minari download other-v0"):
        load_episodes("minari:other-v0")
    path = next(p for p in sorted(folder.rglob("*")) if p.suffix in (".hdf5", ".arrow", ".parquet"))
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(InputError, match="fetch it again"):
        load_episodes("minari:mine-v0")
    (folder / "metadata.json").write_text("{")
    with pytest.raises(InputError, match="not whole JSON"):
        load_episodes("minari:mine-v0")
    (folder / "metadata.json").write_text('{"data_format": "zarr"}')
    with pytest.raises(InputError, match="data_format is 'zarr'; expected hdf5, arrow or parquet"):
        load_episodes("minari:mine-v0")
