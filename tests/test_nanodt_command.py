"""`python -m nanodt.train --block-size 350` in a checkout that has runs: what people type."""

from __future__ import annotations

import importlib
import json
import os
import stat
import sys
from pathlib import Path

import pytest
from nanodt_toy import record, write_dataset

import nanodt
from archive_tools.run.stage import Stage, StageConfig, check_folder
from nanodt.train import main
from nanodt.training.options import LAYOUTS, PRESETS, TrainConfig, TrainOptions

sys.path.insert(0, str(Path(__file__).parents[1] / "scripts"))
stage_07 = importlib.import_module("07_train")

SMALL = ["--block-size", "350", "--steps", "3", "--n-layer", "1", "--n-head", "2", "--n-embd", "16"]
SMALL += ["--batch-size", "4", "--score-items", "2", "--device", "cpu"]


def make_run(run: Path) -> Path:
    """A run with a dataset and a tokenizer, as stages 05 and 06 leave them."""
    rows = record(12)
    with Stage(StageConfig(run=run), "dataset") as stage:
        write_dataset(stage.partial, rows)
    with Stage(StageConfig(run=run), "tokenizer", inputs=("dataset",)) as stage:
        nanodt.train_tokenizer([t for row in rows for t in row["texts"]], 300).save(stage.partial)
    return run


@pytest.fixture
def run(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return make_run(Path("runs/one"))


def test_it_trains_on_the_newest_run_and_says_so(run, capsys):
    newest = make_run(Path("runs/two"))
    os.utime(run / "dataset" / "dataset.json", (0, 0))
    assert main(SMALL) == 0
    said = capsys.readouterr().out
    assert "learning from runs/two/dataset, into runs/two/model" in said
    assert "does not describe the robot's wheels: training without odometry" in said
    assert "no augmentation.parquet: learning from recorded trajectories only" in said
    network = nanodt.load(newest / "model").network
    assert network.config.block_size == 350 and network.config.window == 4
    assert not (run / "model").exists()


def test_stages_accept_what_it_wrote(run, capsys):
    """The manifest is the one that stage 07 writes: the same command finds its work done."""
    assert main(SMALL) == 0
    manifest = check_folder(run / "model")
    assert set(manifest["inputs"]) == {"dataset", "tokenizer"} and manifest["rows"]["steps"] == 3
    before = (run / "model" / "model.safetensors").read_bytes()
    config = stage_07.parse(stage_07.Config, ["--run", str(run), *SMALL], "")
    stage_07.run(config)
    assert "runs/one/model: up to date" in capsys.readouterr().err
    stage_07.run(stage_07.parse(stage_07.Config, ["--run", str(run), *SMALL, "--redo"], ""))
    again = json.loads((run / "model" / "manifest.json").read_text())
    assert set(again) == set(manifest) and again["fingerprint"] == manifest["fingerprint"]
    assert (run / "model" / "model.safetensors").read_bytes() == before
    assert main(SMALL) == 0  # and the other way round
    assert "already trained on runs/one/dataset with these options" in capsys.readouterr().out


def test_a_run_that_has_a_model_is_left_alone(run, capsys):
    assert main(SMALL) == 0
    before = (run / "model" / "model.safetensors").read_bytes()
    capsys.readouterr()
    assert main([*SMALL, "--lr", "0.1"]) == 2
    error = capsys.readouterr().err
    assert "made with lr=0.002, now lr=0.1: give another --out, or --redo" in error
    assert (run / "model" / "model.safetensors").read_bytes() == before
    assert main([*SMALL, "--lr", "0.1", "--out", "elsewhere"]) == 0
    assert not Path("elsewhere/manifest.json").exists()  # no folder of the run
    assert main([*SMALL, "--lr", "0.1", "--redo"]) == 0
    assert (run / "model" / "model.safetensors").read_bytes() != before
    check_folder(run / "model")


def test_without_a_run_one_line_says_what_to_do(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["--block-size", "350"]) == 2
    error = capsys.readouterr().err
    assert "no run with a dataset/ and a tokenizer/ in runs/" in error and error.count("\n") == 1


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (["--one-token"], "--tokens-per-step 1"),
        (["--trail", "16"], "--visitation-map"),
        (["--practice-share=1"], "--augmentation-share"),
        (["--text-noise", "0.1"], "--token-corruption"),
        (["--foresight", "0.5"], "--future-position-weight"),
        (["--milestone", "0.2"], "--next-subgoal-weight"),
    ],
)
def test_old_options_name_the_new_ones(old, new, capsys):
    assert main(old) == 2
    error = capsys.readouterr().err
    assert f"is now called {new}" in error and error.count("\n") == 1


@pytest.mark.parametrize("option", ["--data", "--tokenizer", "--out", "--text-model"])
@pytest.mark.parametrize("form", ["{} ", "{}="])
def test_an_option_given_as_nothing_is_refused(option, form, run, capsys):
    assert main([*SMALL, *form.format(option).split(" ")]) == 2
    error = capsys.readouterr().err
    assert f"{option} '': expected a value" in error and error.count("\n") == 1
    assert not (run / "model").exists()


@pytest.mark.parametrize("option", ["--data", "--tokenizer", "--out"])
def test_a_device_or_pipe_is_neither_read_nor_replaced(option, run, capsys):
    os.mknod(run / "special", stat.S_IFSOCK | 0o600)
    assert main([*SMALL, option, f"{run}/special"]) == 2
    error = capsys.readouterr().err
    assert f"{option} {run}/special: is a device or pipe" in error and error.count("\n") == 1
    with pytest.raises(nanodt.InputError, match="is a device or pipe"):
        nanodt.files.write_text(run / "special", "text")
    assert stat.S_ISSOCK((run / "special").stat().st_mode)


@pytest.mark.parametrize(
    "address", ["nonsense", "os:system", "http://[", "http://", "ftp://x/v1", "http://a b", "a\nb"]
)
def test_an_address_of_no_server_is_refused_and_not_asked(address, run, capsys):
    words = [*SMALL, "--text-encoder", "endpoint", "--text-base-url", address]
    assert main(words) == 2
    error = capsys.readouterr().err
    assert f"--text-base-url {' '.join(address.split())}: expected http://" in error
    assert error.count("\n") == 1


def test_a_file_for_the_folder_of_the_model_is_refused_before_the_data_is_read(run, capsys):
    (run / "file").touch()
    for words in (["--data", f"{run}/nowhere"], ["--recipe", "dt"]):
        assert main([*words, "--out", f"{run}/file/below"]) == 2
        assert f"{run}/file is a file; expected a folder" in capsys.readouterr().err


@pytest.mark.parametrize("option", ["--n-layer", "--n-embd", "--batch-size", "--context"])
def test_sizes_of_a_recipe_that_cannot_fit_are_refused(option, tmp_path, capsys):
    assert main(["--recipe", "bet", "--out", str(tmp_path), option, "2147483647"]) == 2
    error = capsys.readouterr().err
    assert f"{option} 2147483647" in error and "GB are free" in error and error.count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_a_misspelt_head_of_a_recipe_collects_nothing(tmp_path, capsys):
    assert main(["--recipe", "bet", "--out", str(tmp_path), "--head", "cluster"]) == 2
    assert "invalid choice 'cluster'" in capsys.readouterr().err


def test_help_shows_bounds_and_the_defaults_of_presets(capsys):
    for preset, batch in (("demo", 32), ("paper", 64), ("gpu", 256)):
        with pytest.raises(SystemExit):
            main(["--preset", preset, "--help"])
        shown = " ".join(capsys.readouterr().out.replace("│", " ").split())
        assert "INT (at least 1)" in shown and "FLOAT (above 0)" in shown
        assert f"per optimiser step, over all processes. (default: {batch})" in shown


def test_presets_and_layouts_name_options_that_exist():
    known = set(TrainOptions.__dataclass_fields__)
    for name, changed in (*PRESETS.items(), *LAYOUTS.items()):
        assert set(changed) <= known, name
        TrainConfig(**changed)
    assert stage_07.Config.presets is PRESETS


@pytest.mark.parametrize(
    "words",
    [
        ["--preset", "pape"],
        ["--layout=plan"],
        ["--recipe", "dt", "--preset", "publised"],
    ],
)
def test_a_misspelt_preset_or_layout_trains_nothing(words, tmp_path, capsys):
    assert main([*words, "--out", str(tmp_path / "out")]) == 2
    name, _, value = " ".join(words[-2:]).replace(" ", "=").rpartition("--")[2].partition("=")
    error = capsys.readouterr().err
    assert f"invalid choice '{value}' for argument '--{name}'" in error and error.count("\n") == 1
    assert not (tmp_path / "out").exists()
