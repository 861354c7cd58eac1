"""What goes out of a run: each form read again by its own library, and a bundle taken back."""

import errno
import hashlib
import importlib
import io
import shutil
import sys
import tarfile
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
import torch
from run_factory import make_records

import nanodt
from archive_tools.files.tables import read_json, read_table, write_json
from archive_tools.publishing import contents, hf_dataset
from archive_tools.run.faults import in_a_line
from archive_tools.run.stage import Stage, StageConfig
from archive_tools.stages import (
    s00_search,
    s02_record,
    s03_annotate,
    s04_describe,
    s05_dataset,
    s10_publish,
)
from envs.errors import InputError
from nanodt.train import main as train

sys.path.insert(0, str(Path(__file__).parents[1] / "scripts"))
stage_06 = importlib.import_module("06_train_tokenizer")
TRAINING = ["--block-size", "60", "--steps", "2", "--n-layer", "1", "--n-head", "2", "--n-embd"]
TRAINING += ["16", "--batch-size", "4", "--score-items", "0", "--device", "cpu"]
RECORDED = ("archive", "trajectories")


def make_texts(run: Path) -> None:
    """Stages 03 to 06."""
    s03_annotate.run(s03_annotate.AnnotateConfig(run=run, redo=True))
    s04_describe.run(s04_describe.DescribeConfig(run=run, per_trajectory=2, redo=True))
    options = {"test": 0.3, "validation": 0.1, "augmentation": 0, "composed": 0.0}
    s05_dataset.run(s05_dataset.DatasetConfig(run=run, redo=True, **options))
    stage_06.run(stage_06.Config(run=run, redo=True, vocab_size=300, patience=0.01))


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run with all but rollouts, its policy hardly trained and its figures made up."""
    run = tmp_path_factory.mktemp("publish") / "my_run"
    make_records(run, n=14)
    make_texts(run)
    torch.set_num_threads(1)
    assert train(["--data", str(run / "dataset"), *TRAINING]) == 0
    stages = ("dataset", "model")
    with Stage(StageConfig(run=run), "evaluation", inputs=stages) as stage:
        figure = {"system": "nanodt", "set": "test", "mean": 0.87, "ci_low": 0.8, "ci_high": 0.9}
        write_json(stage.path("metrics.json"), [{**figure, "metric": "route_lcs", "n": 5}])
    return run


def publish(run: Path, **options) -> Path:
    return s10_publish.run(s10_publish.PublishConfig(run=run, **options), nanodt.load)


@pytest.fixture(scope="module")
def published(run):
    return publish(run, license="mit")


def bytes_of(folder: Path) -> dict[str, bytes]:
    files = [p for p in sorted(folder.rglob("*")) if p.is_file() and p.name != "manifest.json"]
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in files}


def test_the_hub_reads_every_configuration_of_the_card(run, published):
    datasets = pytest.importorskip("datasets")
    folder, cache = published / "hf-dataset", str(run.parent / "cache")

    def load(name, split):
        return datasets.load_dataset(str(folder), name, split=split, cache_dir=cache)

    whole = read_table(run / "dataset" / "trajectories.parquet")
    for split in ("train", "validation", "test"):
        found = load("default", split).to_pandas()
        own = whole[whole["split"] == split].reset_index(drop=True)
        assert len(own) and list(found) == list(own)
        for name in own:
            for one, other in zip(found[name], own[name], strict=True):
                assert np.array_equal(one, other), name
    for name, path in hf_dataset.CONFIGS.items():
        if (folder / path).exists():
            split = "test" if name == "unseen_wording" else "train"
            assert len(load(name, split)) == pq.read_metadata(folder / path).num_rows
    stage = run / "trajectories" / "trajectories.parquet"
    assert (folder / "trajectories" / "trajectories.parquet").read_bytes() == stage.read_bytes()


def written():
    """What can be published here: one form needs a package of its own."""
    lacks = {"minari"} if find_spec("minari") is None else set()
    return [name for name in s10_publish.TARGETS if name not in lacks]


def test_the_cards_say_what_the_manifests_say(run, published):
    cards = {name: (published / name / "README.md").read_text() for name in written()}
    rows = read_json(run / "dataset" / "manifest.json")["rows"]
    assert all(text.startswith("---\nlicense: mit\n") for text in cards.values())
    assert f"| `default`, train | {rows['train']} |" in cards["hf-dataset"]
    assert "| route | \n" not in cards["hf-model"] and "0.87 (0.80–0.90)" in cards["hf-model"]
    assert "value: 0.87" in cards["hf-model"]
    for name, text in cards.items():
        digest = read_json(run / ("model" if name == "hf-model" else "trajectories") /
                           "manifest.json")["digest"]  # fmt: skip
        assert digest[:16] in text and "no rollouts" in text and str(Path.home()) not in text
        try:
            import yaml
        except ImportError:
            continue
        assert yaml.safe_load(text.split("---\n")[1])["license"] == "mit"


def test_minari_reads_what_was_recorded(run, published, monkeypatch):
    minari = pytest.importorskip("minari")
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(published / "minari"))
    dataset = minari.load_dataset("my-run-v0")
    table = read_table(run / "trajectories" / "trajectories.parquet")
    assert dataset.total_episodes == len(table)
    for episode, row in zip(dataset, table.itertuples(), strict=True):
        assert np.array_equal(episode.observations.ravel(), row.obs)
        assert np.array_equal(episode.actions.ravel(), row.action)
        assert np.array_equal(episode.infos["pose"].ravel(), row.pose)
        assert np.array_equal(episode.infos["bd"][-1], row.bd)
        assert set(episode.infos["trajectory_id"]) == {row.trajectory_id}
        assert episode.truncations[-1] and not episode.terminations.any()


def test_lerobot_has_its_documented_fields(run, published):
    """Version 3.0; the lerobot package itself reads such a folder, too."""
    folder = published / "lerobot"
    info = read_json(folder / "meta" / "info.json")
    table = read_table(run / "trajectories" / "trajectories.parquet")
    assert info["codebase_version"] == "v3.0" and info["fps"] == 10
    assert info["splits"] == {"train": f"0:{len(table)}"} and info["video_path"] is None
    assert info["total_frames"] == int((table["length"] + 1).sum())
    frames = pq.read_table(folder / info["data_path"].format(chunk_index=0, file_index=0))
    kinds = {"float32": "float", "int64": "int64"}
    assert frames.column_names == list(info["features"])
    for name, feature in info["features"].items():
        kind, size = kinds[feature["dtype"]], feature["shape"][0]
        expected = kind if size == 1 else f"fixed_size_list<element: {kind}>[{size}]"
        assert str(frames.schema.field(name).type) == expected
        assert feature["names"] is None or len(feature["names"]) == size
    assert frames["index"].to_pylist() == list(range(info["total_frames"]))
    meta = pd.read_parquet(folder / "meta" / "episodes" / "chunk-000" / "file-000.parquet")
    tasks = pd.read_parquet(folder / "meta" / "tasks.parquet")
    assert info["total_tasks"] == len(tasks) and tasks["task_index"].tolist() == [
        *range(len(tasks))
    ]
    texts = read_table(run / "descriptions" / "descriptions.parquet")
    for episode, row in zip(meta.to_dict("records"), table.itertuples(), strict=True):
        part = frames.slice(episode["dataset_from_index"], episode["length"])
        assert episode["length"] == row.length + 1
        assert part["episode_index"].unique().to_pylist() == [episode["episode_index"]]
        for name, own in (("observation.state", row.obs), ("observation.pose", row.pose)):
            assert np.array_equal(part[name].combine_chunks().flatten(), own)
        action = part["action"].combine_chunks().flatten().to_numpy()
        assert np.array_equal(action[:-2], row.action)
        own = texts[(texts["trajectory_id"] == row.trajectory_id) & (texts["status"] == "accepted")]
        assert list(episode["tasks"]) == list(dict.fromkeys(own["text"]))
        assert tasks.index[part["task_index"][0].as_py()] == episode["tasks"][0]
        assert np.allclose(episode["stats/action/min"], action.reshape(-1, 2).min(0))
    stats = read_json(folder / "meta" / "stats.json")["observation.pose"]
    every = frames["observation.pose"].combine_chunks().flatten().to_numpy().reshape(-1, 3)
    assert np.allclose(stats["std"], every.astype(float).std(0))
    assert stats["count"] == [info["total_frames"]]


def test_the_model_is_the_runs_and_loads(run, published):
    folder = published / "hf-model"
    own, other = (nanodt.load(place).network.state_dict() for place in (run / "model", folder))
    assert all(torch.equal(own[name], other[name]) for name in own)
    assert (folder / "reader" / "reader.json").exists()
    (folder / "tokenizer.json").rename(folder / "kept")
    with pytest.raises(nanodt.InputError, match=r"tokenizer\.json is missing"):
        nanodt.load(folder)
    (folder / "kept").rename(folder / "tokenizer.json")


def test_a_published_dataset_trains_the_same_policy(run, published, tmp_path, capsys):
    words = ["--data", str(published / "hf-dataset"), *TRAINING]
    assert train(words) == 2 and "--out" in capsys.readouterr().err
    assert train([*words, "--out", str(tmp_path / "model")]) == 0
    own, found = (nanodt.load(p / "model").network.state_dict() for p in (run, tmp_path))
    assert own.keys() == found.keys() and all(torch.equal(own[name], found[name]) for name in own)


def test_the_same_run_gives_the_same_bytes_and_is_not_written_twice(
    run, published, tmp_path, capsys
):
    again = publish(run, license="mit", to=str(tmp_path / "again"), name="my-run", dry_run=True)
    out = capsys.readouterr().out
    assert "hf-model → model USER/my-run: " in out and "dataset USER/my-run-bundle" in out
    assert "manifest.json" not in out
    for target in written():
        assert bytes_of(again / target) == bytes_of(published / target), target
    publish(run, license="mit")
    assert capsys.readouterr().err.count("up to date") == len(written())
    with pytest.raises(InputError, match=r"--license \(mit\)"):
        publish(run)


def test_what_lacks_is_said(run, tmp_path, capsys):
    for stage in (*RECORDED, "annotations"):
        shutil.copytree(run / stage, tmp_path / "part" / stage)
    folder = publish(tmp_path / "part")
    assert "hf-model: left out" in capsys.readouterr().err
    card = (folder / "hf-dataset" / "README.md").read_text()
    assert "no descriptions, no dataset, no tokenizer" in card and "license: unknown" in card
    assert "default: true" in card and not (folder / "hf-model").exists()
    assert pq.read_table(folder / "lerobot" / "meta" / "tasks.parquet").num_rows == 1
    with pytest.raises(InputError, match=r"--what hf-model: .*07_train\.py"):
        publish(tmp_path / "part", what=("hf-model",))
    with pytest.raises(InputError, match=r"nothing to publish; .*00_search"):
        publish(tmp_path / "none")


def test_what_fails_leaves_nothing(run, tmp_path, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    def flip(source, target):
        data = bytearray(Path(source).read_bytes())
        data[-1] ^= 1
        Path(target).write_bytes(data)

    for target, module, name, how, line in (
        ("hf-dataset", hf_dataset, "write_table", full, None),
        ("hf-dataset", contents.shutil, "copyfile", flip, "not the bytes of"),
        ("lerobot", importlib.import_module("archive_tools.publishing.lerobot_dataset"),
         "_stats", full, None),
    ):  # fmt: skip
        with monkeypatch.context() as patch:
            patch.setattr(module, name, how)
            with pytest.raises((InputError, OSError)) as caught:
                publish(run, to=str(tmp_path), what=(target,))
        said = str(caught.value) if line else str(in_a_line(caught.value, run))
        assert (line or "no space left") in said and "\n" not in said
        assert not list(tmp_path.iterdir())


# Bundles


def take(bundle: Path, run: Path, **options) -> Path:
    return s00_search.run(s00_search.SearchConfig(run=run, import_file=bundle, **options))


def test_a_bundle_taken_back_gives_the_same_bytes_in_stages_03_to_06(run, published, tmp_path):
    bundle = published / "bundle" / "my-run.tar.gz"
    sums = (published / "bundle" / "my-run.tar.gz.sha256").read_text().split()
    assert sums == [hashlib.sha256(bundle.read_bytes()).hexdigest(), bundle.name]
    new = tmp_path / "new"
    take(bundle, new)
    assert not [p for p in new.iterdir() if p.name.startswith(".")]
    taken = ("archive", "verification", "trajectories", "annotations", "descriptions")
    for stage in taken:
        assert bytes_of(new / stage) == bytes_of(run / stage), stage
    take(bundle, new)  # once more: all is there
    make_texts(new)
    for stage in ("annotations", "descriptions", "dataset", "tokenizer"):
        one, other = (bytes_of(r / stage) for r in (run, new))
        for name in ("comparison.json", "comparison.md"):  # which vocabularies were to be had
            assert (one.pop(name, None) is None) == (other.pop(name, None) is None)
        assert one == other, stage


@pytest.mark.parametrize("source", ["hf-dataset", "lerobot", "minari/my-run-v0"])
def test_a_published_dataset_imported_anew_gives_the_same_bytes(run, published, tmp_path, source):
    pytest.importorskip("archive_tools.recordings", reason="needs stage 02's --import")
    if not (published / source).exists():
        pytest.skip("needs the extra publish")
    new = tmp_path / "new"
    s02_record.run(s02_record.RecordConfig(run=new, import_source=str(published / source)))
    make_texts(new)
    for stage in ("annotations", "descriptions", "dataset"):
        assert bytes_of(new / stage) == bytes_of(run / stage), stage
    tokenizers = [(r / "tokenizer" / "tokenizer.json").read_bytes() for r in (run, new)]
    assert tokenizers[0] == tokenizers[1]


def test_another_runs_stage_is_kept(run, published, tmp_path):
    bundle = shutil.copy(published / "bundle" / "my-run.tar.gz", tmp_path)
    make_records(tmp_path / "other", n=2)
    before = bytes_of(tmp_path / "other")
    with pytest.raises(InputError, match=r"archive: holds another one; add --redo"):
        take(Path(bundle), tmp_path / "other")
    assert bytes_of(tmp_path / "other") == before
    take(Path(bundle), tmp_path / "other", redo=True)
    assert bytes_of(tmp_path / "other" / "trajectories") == bytes_of(run / "trajectories")


def members(bundle: Path) -> dict[str, bytes]:
    with tarfile.open(bundle) as tar:
        return {m.name: tar.extractfile(m).read() for m in tar}


def packed(path: Path, files: dict[str, bytes], *odd: tarfile.TarInfo) -> Path:
    with tarfile.open(path, "w:gz") as tar:
        for member in odd:
            tar.addfile(member)
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return path


def odd(name: str, kind: bytes, target: str = "/etc/passwd") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info


def test_a_strangers_bundle_is_taken_whole_or_not_at_all(published, tmp_path):
    whole = members(published / "bundle" / "my-run.tar.gz")
    top = "my-run"
    sums = whole[f"{top}/SHA256SUMS"]
    name = f"{top}/archive/archive.json"
    without = {k: v for k, v in whole.items() if k != name}
    listed = sums + b"0" * 64 + b"  archive/world/evil.py\n"
    bomb = {f"{top}/archive/a.json": bytes(90 << 20)}
    cases = {
        "differs from": packed(tmp_path / "a.tgz", {**whole, name: b"{}"}),
        "is missing, though listed": packed(tmp_path / "b.tgz", without),
        "is not listed": packed(tmp_path / "c.tgz", {**whole, f"{top}/archive/x.json": b"{}"}),
        "no SHA256SUMS": packed(tmp_path / "d.tgz", {name: b"{}"}),
        "leads out": packed(tmp_path / "e.tgz", {**whole, f"{top}/archive/../../x.json": b"{}"}),
        "'/x/archive/y.json' leads out": packed(tmp_path / "f.tgz", {"/x/archive/y.json": b""}),
        "no plain file": packed(tmp_path / "g.tgz", whole, odd(f"{top}/archive/w.json", b"2")),
        "l.json' is no plain file": packed(
            tmp_path / "h.tgz", whole, odd(f"{top}/archive/l.json", b"1")),
        "is nothing that a bundle holds": packed(tmp_path / "i.tgz", {
            **whole, f"{top}/archive/world/evil.py": b"", f"{top}/SHA256SUMS": listed}),
        "unpacks to far more": packed(tmp_path / "j.tgz", bomb),
        "twice": packed(tmp_path / "k.tgz", {**whole, f"{top}/archive/ARCHIVE.json": b"{}"}),
        "holds 'nothing'": packed(tmp_path / "l.tgz", {**whole, f"{top}/SHA256SUMS": b"nothing"}),
    }  # fmt: skip
    short = tmp_path / "m.tgz"
    short.write_bytes((published / "bundle" / "my-run.tar.gz").read_bytes()[:30_000])
    cases["not a whole bundle"] = short
    beside = Path(shutil.copy(published / "bundle" / "my-run.tar.gz", tmp_path / "n.tar.gz"))
    (tmp_path / "n.tar.gz.sha256").write_text("0" * 64 + "  n.tar.gz\n")
    cases["not the file that"] = beside
    for line, bundle in cases.items():
        with pytest.raises(InputError) as caught:
            take(bundle, tmp_path / "run")
        assert line in str(caught.value) and "\n" not in str(caught.value)
        assert str(bundle) in str(caught.value) and not (tmp_path / "run").exists(), line


def test_what_is_no_bundle_is_read_as_an_archive(tmp_path):
    (tmp_path / "x.tar.gz").write_bytes(b"\x1f\x8b not really")
    with pytest.raises(InputError, match="packed with gzip, but broken"):
        take(tmp_path / "x.tar.gz", tmp_path / "run")


def test_options_that_do_not_go_together_are_refused(run):
    for options, line in (
        ({"name": "a/b"}, "--name a/b: "),
        ({"license": "MIT License"}, "--license MIT License: "),
        ({"to": "hub"}, "--repo : expected USER/NAME"),
        ({"to": "hub", "repo": "me/you/them"}, "--repo me/you/them"),
        ({"to": "hub", "repo": "ada/x"}, "--to hub needs --license"),
    ):
        with pytest.raises(InputError, match="^" + line):
            publish(run, **options)
