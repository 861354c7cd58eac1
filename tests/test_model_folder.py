"""A model's folder: read against its digests, held by one process, emptied by --redo alone."""

from __future__ import annotations

import errno
import importlib
import json
import random
import shutil
import sys
from pathlib import Path

import pytest
import torch
from nanodt_toy import record, write_dataset

import nanodt
from archive_tools.run.stage import Stage, StageConfig
from envs.errors import InputError
from nanodt.data.folder import load_dataset
from nanodt.files import read_json
from nanodt.model.network import load_network
from nanodt.train import main
from nanodt.training.trainer import Trainer

sys.path.insert(0, str(Path(__file__).parents[1] / "scripts"))
stage_07 = importlib.import_module("07_train")
OPTIONS = ["--block-size", "60", "--steps", "12", "--n-layer", "1", "--n-head", "2", "--n-embd"]
OPTIONS += ["16", "--batch-size", "4", "--score-items", "0", "--device", "cpu"]
OPTIONS += ["--checkpoint-every", "5"]


def make_run(run: Path, seed: int = 0) -> Path:
    """A run with a dataset and a tokenizer."""
    rows = record(12, seed)
    if seed:
        rows = [{**row, "texts": [f"{t} number {seed} {i}" for t in row["texts"]]}
                for i, row in enumerate(rows)]  # fmt: skip
    with Stage(StageConfig(run=run), "dataset") as stage:
        write_dataset(stage.partial, rows)
    with Stage(StageConfig(run=run), "tokenizer", inputs=("dataset",)) as stage:
        nanodt.train_tokenizer([t for row in rows for t in row["texts"]], 300).save(stage.partial)
    return run


def words(run: Path, *more: str) -> list[str]:
    return ["--data", str(run / "dataset"), "--out", str(run / "model"), *OPTIONS, *more]


def run_stage(run: Path, *more: str) -> Path:
    return stage_07.run(stage_07.parse(stage_07.Config, ["--run", str(run), *OPTIONS, *more], ""))


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> Path:
    run = make_run(tmp_path_factory.mktemp("runs") / "one")
    assert main(words(run)) == 0
    return run


@pytest.fixture
def model(trained, tmp_path) -> Path:
    shutil.copytree(trained / "model", tmp_path / "model")
    return tmp_path / "model"


def test_a_copy_is_read_however_its_files_are_laid_out(model):
    assert nanodt.load(model).network.config.block_size == 60
    config = json.loads((model / "config.json").read_text())
    (model / "config.json").write_bytes(b"\xef\xbb\xbf" + json.dumps(config).encode() + b"\r\n")
    (model / "manifest.json").unlink()
    nanodt.load(model)


def test_a_flipped_bit_of_the_weights_is_told(model):
    path = model / "model.safetensors"
    whole, rng = path.read_bytes(), random.Random(0)
    weights = nanodt.load(model).network.state_dict()
    refused = 0
    for _ in range(40):
        place = rng.randrange(len(whole))
        path.write_bytes(
            whole[:place] + bytes([whole[place] ^ 1 << rng.randrange(8)]) + whole[place + 1 :]
        )
        try:
            found = nanodt.load(model).network.state_dict()
        except nanodt.InputError as error:
            refused += 1
            assert str(path) in str(error) and "\n" not in str(error)
        else:  # a blank of the header, say
            assert all(torch.equal(found[name], weights[name]) for name in weights)
    assert refused >= 38


def test_the_files_of_a_reader_belong_to_the_weights(model):
    """Without it, or with another's, sentences would be understood as nobody meant them."""
    reader = model / "reader"
    (reader / "world").mkdir(parents=True)
    for name in ("reader.json", "world/map"):
        (reader / name).write_text('{"name": "one"}')
    load_network(model).save_weights(model)
    (reader / ".DS_Store").write_text("left by a desktop")
    load_network(model)
    for name in ("world/map", "more", "reader.json"):
        shutil.copytree(reader, reader.with_name("whole"))
        (reader / name).write_text('{"name": "two"}')
        with pytest.raises(nanodt.InputError, match=r"reader was changed; .* copy the whole"):
            load_network(model)
        shutil.rmtree(reader)
        with pytest.raises(nanodt.InputError, match="reader is missing"):
            load_network(model)
        reader.with_name("whole").rename(reader)


def test_another_models_files_are_told(trained, model, tmp_path):
    other = make_run(tmp_path / "other", seed=3)
    shutil.copy(other / "tokenizer" / "tokenizer.json", model / "tokenizer.json")
    with pytest.raises(nanodt.InputError, match=r"tokenizer\.json was changed"):
        nanodt.load(model)
    (model / "tokenizer.json").unlink()
    with pytest.raises(nanodt.InputError, match=r"tokenizer\.json is missing"):
        nanodt.load(model)
    shutil.copy(trained / "model" / "tokenizer.json", model / "tokenizer.json")
    config = json.loads((model / "config.json").read_text())
    (model / "config.json").write_text(json.dumps({**config, "window": 2}))
    with pytest.raises(nanodt.InputError, match=r"config\.json was changed"):
        nanodt.load(model)


@pytest.mark.parametrize("content", [b"[]", b"7", b"", b"[" * 100_000, b"\xff\x00", b"9" * 5000])
def test_a_damaged_configuration_is_a_line(model, content):
    (model / "config.json").write_bytes(content)
    with pytest.raises(nanodt.InputError, match=r"config\.json") as caught:
        nanodt.load(model)
    assert "\n" not in str(caught.value)


@pytest.fixture
def stopped(monkeypatch):
    """Training stops at its eighth step, once."""
    step = Trainer.step

    def until(trainer, number):
        if number == 7:
            monkeypatch.setattr(Trainer, "step", step)
            raise KeyboardInterrupt
        return step(trainer, number)

    monkeypatch.setattr(Trainer, "step", until)


def test_an_interrupted_training_is_lost_with_redo_only(tmp_path, stopped, capsys):
    run = make_run(tmp_path / "run")
    assert main(words(run)) == 130
    state = run / "model" / "checkpoint" / "state.safetensors"
    before = state.read_bytes()
    assert main(words(run, "--lr", "0.1")) == 2
    error = capsys.readouterr().err
    assert "lr=0.002, now lr=0.1" in error and "--redo" in error
    with pytest.raises(InputError, match=r"model: holds files but no manifest.*--redo"):
        run_stage(run)
    assert state.read_bytes() == before
    assert main(words(run, "--redo")) == 0  # a redo that was interrupted goes on, too
    assert "going on from step 5" in capsys.readouterr().out
    assert main(words(run, "--lr", "0.1", "--redo")) == 0


def test_a_full_disk_is_the_last_line(tmp_path, monkeypatch, capsys):
    def full(path, *_):
        raise OSError(errno.ENOSPC, "No space left on device", str(path))

    monkeypatch.setattr("nanodt.train.save_checkpoint", full)
    assert main(words(make_run(tmp_path / "run"))) == 2
    last = capsys.readouterr().err.strip().splitlines()[-1]
    assert last.startswith("error: ") and "no space left on the device: make room" in last


def test_the_stage_keeps_an_interrupted_training_too(tmp_path, stopped, capsys):
    run = make_run(tmp_path / "run")
    with pytest.raises(KeyboardInterrupt):
        run_stage(run)
    state = run / ".model.partial" / "checkpoint" / "state.safetensors"
    before = state.read_bytes()
    for more in (["--lr", "0.1"], ["--seed", "1"], ["--lr", "0.1", "--redo-changed"]):
        with pytest.raises(InputError, match=f"{more[0]} .*--redo"):
            run_stage(run, *more)
    assert state.read_bytes() == before
    assert run_stage(run) == run / "model"
    assert "going on from step 5" in capsys.readouterr().out
    with pytest.raises(InputError, match=r"--lr \(0\.002\); add --redo"):
        run_stage(run, "--lr", "0.1")


def test_weights_of_unknown_origin_are_not_overwritten(trained, tmp_path, capsys):
    run = make_run(tmp_path / "run")
    (run / "model").mkdir()
    shutil.copy(trained / "model" / "model.safetensors", run / "model")
    before = (run / "model" / "model.safetensors").read_bytes()
    assert main(words(run)) == 2
    assert "--redo" in capsys.readouterr().err
    assert (run / "model" / "model.safetensors").read_bytes() == before


def test_one_process_holds_a_model(tmp_path, capsys):
    run = make_run(tmp_path / "run")
    with Stage(StageConfig(run=run), "model"):
        assert main(words(run, "--redo")) == 2
    error = capsys.readouterr().err
    assert "another process is writing it" in error and error.count("\n") == 1


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        *(
            (
                ("steps", 3, "trajectory has 24"),
                ("steps", 10**29, "trajectory has 24"),
                ("steps", 0, "greater than 0"),
                ("steps", "24", "a valid integer"),
            )
        ),
        ("steps", True, "a valid integer"),
        ("bd_high", [6.0], "has 1 numbers, n_bd is 2"),
        ("bd_high", [-6.0, 12.0], "not below"),
        ("bd_high", [0.6, 1.2], "lie outside"),
        ("bd_low", [3.0, 8.0], "lie outside"),
        ("bd_low", [-1e300, -1e300], "as far apart"),
        ("bd_low", "low", "a valid list"),
        ("bd_low", [float("nan"), 0.0], "a finite number"),
        ("action_high", [1.0, None], "a valid number"),
        ("n_obs", 3.5, "a valid integer"),
    ],
)
def test_a_dataset_json_that_cannot_be_its_rows(tmp_path, field, value, said):
    folder = write_dataset(tmp_path / "data", record(12), **{field: value})
    with pytest.raises(nanodt.InputError, match=said) as caught:
        load_dataset(folder)
    assert f"{field}" in str(caught.value) and "dataset.json" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("content", [b"[]", b"{", b"\xff", b"[" * 100_000, b"9" * 5000])
def test_a_damaged_dataset_json_is_a_line(tmp_path, content):
    folder = write_dataset(tmp_path / "data", record(12))
    (folder / "dataset.json").write_bytes(content)
    with pytest.raises(nanodt.InputError, match=r"dataset\.json"):
        load_dataset(folder)
    with pytest.raises(nanodt.InputError, match="nothing: again"):
        read_json(tmp_path, "nothing: again")


@pytest.mark.parametrize(
    ("option", "value"),
    [("n-embd", 1_000_000), ("block-size", 2**31 - 1), ("batch-size", 2**31 - 1),
     ("n-layer", 2**31 - 1), ("visitation-map", 2_000_000)],
)  # fmt: skip
def test_what_cannot_fit_is_told_before_it_starts(tmp_path, option, value, capsys):
    run = make_run(tmp_path / "run")
    data = json.loads((run / "dataset" / "dataset.json").read_text())
    data["odometry"] = {"axle": 1.0, "start": [0.0, 0.0, 0.0], "contact": [2]}
    (run / "dataset" / "dataset.json").write_text(json.dumps(data))
    assert main(words(run, f"--{option}", str(value))) == 2
    error = capsys.readouterr().err
    assert f"--{option} {value}" in error and "GB are free on cpu" in error
    assert not (run / "model").exists()
