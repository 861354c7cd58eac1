"""Training: it learns, it obeys the text, it resumes to the byte, and says what is wrong."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
import torch.multiprocessing as mp
from nanodt_toy import PointRobots, record, write_dataset
from safetensors import safe_open
from safetensors.torch import load_file

import nanodt
from nanodt.data.folder import load_dataset
from nanodt.data.windows import Windows
from nanodt.files import save_weights
from nanodt.train import main, train
from nanodt.training.build import build_network
from nanodt.training.journal import Log
from nanodt.training.options import LAYOUTS, TrainConfig
from nanodt.training.trainer import Processes, Trainer, leave_together
from nanodt.training.validation import better

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def toy(tmp_path_factory) -> Path:
    """A folder with a dataset and its tokenizer."""
    folder = tmp_path_factory.mktemp("toy")
    rows = record(60)
    write_dataset(folder / "data", rows)
    tokenizer = nanodt.train_tokenizer([t for r in rows for t in r["texts"]], 400)
    (folder / "tokenizer").mkdir()
    tokenizer.save(folder / "tokenizer")
    return folder


def small(toy: Path, out: Path, **changes) -> TrainConfig:
    fields = {**LAYOUTS["plain"], "n_layer": 2, "batch_size": 16, "lr": 3e-3}
    config = TrainConfig(
        data=toy / "data",
        out=out,
        tokenizer=toy / "tokenizer",
        block_size=60,
        n_head=2,
        n_embd=32,
        steps=30,
        warmup=5,
        log_every=5,
        checkpoint_every=10,
        score_every=15,
        score_items=4,
        **fields,
    )
    return replace(config, **changes)


def log_of(folder: Path) -> list[dict]:
    """The log without what depends on the clock."""
    timed = ("tokens_per_s", "flops_per_s", "data_share", "seconds")
    lines = (folder / "log.jsonl").read_text().splitlines()
    return [{k: v for k, v in json.loads(x).items() if k not in timed} for x in lines]


@pytest.mark.parametrize("damage", ["{}", "[]", "7", '{"step": "x"}', '{"step": 3, "lo'])
def test_a_log_is_read_up_to_its_damage(damage, tmp_path):
    path = tmp_path / "log.jsonl"
    path.write_text(f'{{"step": 1}}\n{damage}\n{{"step": 2}}\n', encoding="utf-8")
    Log(path, 5).write({"step": 6})
    assert [json.loads(line)["step"] for line in path.read_text().splitlines()] == [1, 6]


def test_learns_to_go_where_and_how_it_is_asked(toy, tmp_path):
    """In closed loop, from commands it never saw: the asked place, by the asked side."""
    out = train(small(toy, tmp_path / "m", steps=250, batch_size=64, score_every=125, warmup=20))
    rows = record(40, seed=9)
    texts = [r["texts"][0] for r in rows]
    bd = np.array([r["bd"] for r in rows])
    policy = nanodt.load(out)
    rollouts = nanodt.drive(policy, PointRobots(40), texts, bd)
    assert rollouts.obs.shape == (40, 25, 3) and rollouts.action.shape == (40, 24, 2)
    assert np.array_equal(rollouts.action, np.round(rollouts.action, 2))
    error = np.linalg.norm(rollouts.info["bd"][:, -1] - bd, axis=1)
    assert np.median(error) < 1.0
    asked_right = np.array(["right" in t for t in texts])
    assert ((rollouts.obs[:, 12, 0] > 0) == asked_right).mean() > 0.95
    # The same places by the other side: the words decide, not the place.
    other = [r["texts"][0] for r in rows[1:] + rows[:1]]
    turned = nanodt.drive(policy, PointRobots(40), other, bd)
    assert ((turned.obs[:, 12, 0] > 0) == ~asked_right).mean() > 0.95
    # Without a BD the side is still obeyed; without the text the place still is.
    no_bd = nanodt.drive(policy, PointRobots(40), texts, None)
    assert ((no_bd.obs[:, 12, 0] > 0) == asked_right).mean() > 0.9
    record_ = log_of(out)[-1]
    assert record_["bd_success"] > 0.5


PACKED = {
    "windows_per_text": 3,
    "window": 4,
    "tokens_per_step": 1,
    "token_corruption": 0.1,
    "score_items": 3,
}


def steps_done(state: Path) -> int:
    """The step at which a checkpoint was written; 0 where there is none."""
    if not state.exists():
        return 0
    with safe_open(state, "pt") as file:
        return json.loads(file.metadata()["state"])["step"]


@pytest.mark.parametrize("layout", [{"dropout": 0.1}, PACKED])
def test_killed_run_ends_with_the_same_bytes(toy, tmp_path, layout):
    """SIGKILL after a score, run again: same weights, same log, as never interrupted."""
    changes = {"steps": 60, **layout}
    straight = train(small(toy, tmp_path / "straight", **changes))
    out = tmp_path / "killed"
    code = (
        "import sys; from pathlib import Path; sys.path.insert(0, 'tests')\n"
        "import test_nanodt_train as t\n"
        f"t.train(t.small(Path({str(toy)!r}), Path({str(out)!r}), **{changes!r}))\n"
    )
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'tests'}"}
    process = subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, env=environment)
    state = out / "checkpoint" / "state.safetensors"
    for _ in range(3000):
        if steps_done(state) >= 20 or process.poll() is not None:
            break
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert 20 <= steps_done(state) < 60 and not (out / "training.json").exists()
    train(small(toy, out, **changes, checkpoint_every=7))  # how often it is saved changes nothing
    for name in ("model.safetensors", "config.json", "tokenizer.json", "training.json"):
        assert (out / name).read_bytes() == (straight / name).read_bytes(), name
    assert "limit" in json.loads((out / "training.json").read_text())["best"]
    assert log_of(out) == log_of(straight)
    assert not state.exists()


def test_the_best_model_outlives_a_kill(toy, tmp_path, monkeypatch):
    """Scores before the kill still count after it: a worse model does not replace a better one."""
    errors = iter([1.0, 5.0])

    def validate(self, network):
        error = {"bd_error_median": 0.0, "bd_error_mean": next(errors), "bd_error_se": 0.1}
        return {**error, "bd_success": 0.0}

    monkeypatch.setattr("nanodt.training.validation.Validation.__call__", validate)
    steps, step = [], Trainer.step

    def killed_at_20(self, i):
        steps.append(i)
        if steps == list(range(21)):
            raise KeyboardInterrupt
        return step(self, i)

    monkeypatch.setattr(Trainer, "step", killed_at_20)
    config = small(toy, tmp_path / "m", steps=30, score_every=15)
    with pytest.raises(KeyboardInterrupt):
        train(config)
    before = (tmp_path / "m" / "model.safetensors").read_bytes()
    train(config)
    best = json.loads((tmp_path / "m" / "training.json").read_text())["best"]
    assert best["step"] == 15 and best["bd_error_mean"] == 1.0
    assert (tmp_path / "m" / "model.safetensors").read_bytes() == before


def test_finished_run_is_left_alone_and_others_are_refused(toy, tmp_path, capsys):
    config = small(toy, tmp_path / "m", steps=6)
    out = train(config)
    before = (out / "model.safetensors").stat().st_mtime_ns
    train(config)
    assert "already trained" in capsys.readouterr().out
    assert (out / "model.safetensors").stat().st_mtime_ns == before
    train(replace(config, device="cpu", log_every=1))  # what changes no weight may differ
    with pytest.raises(nanodt.InputError, match=r"lr=0.003, now lr=0.1: .*--redo"):
        train(replace(config, lr=0.1))
    with pytest.raises(nanodt.InputError, match="--n-layer 0"):
        train(replace(config, n_layer=0, redo=True))
    assert (out / "model.safetensors").stat().st_mtime_ns == before  # nothing lost by a slip
    train(replace(config, lr=0.1, redo=True))
    assert (out / "model.safetensors").stat().st_mtime_ns > before


def _trainer(config: TrainConfig, group: Processes | None = None) -> Trainer:
    dataset = load_dataset(config.data)
    network = build_network(config, dataset)
    return Trainer(network, Windows(dataset.split("train"), network), config, group)


def _gradients(config: TrainConfig, group: Processes) -> torch.Tensor:
    trainer = _trainer(config, group)
    loss, _ = trainer.gradients(0)
    return torch.cat([p.grad.flatten() for p in trainer.network.parameters()] + [loss[None]])


def _one_of_two(rank: int, config: TrainConfig, file: str, result: str) -> None:
    torch.distributed.init_process_group(
        "gloo", init_method=f"file://{file}", rank=rank, world_size=2
    )
    flat = _gradients(config, Processes(rank, 2, rank))
    np.save(f"{result}-{rank}.npy", flat.numpy())
    leave_together()
    torch.distributed.destroy_process_group()


@pytest.mark.parametrize("layout", [{}, PACKED])
def test_two_processes_give_the_gradients_of_one(toy, tmp_path, layout):
    config = small(toy, tmp_path / "m", batch_size=10, micro_batch=3, **layout)
    alone = _gradients(config, Processes())
    result = str(tmp_path / "gradients")
    mp.spawn(_one_of_two, (config, str(tmp_path / "store"), result), nprocs=2)
    both = [np.load(f"{result}-{rank}.npy") for rank in range(2)]
    np.testing.assert_array_equal(both[0], both[1])
    np.testing.assert_allclose(both[0], alone.numpy(), atol=1e-6, rtol=1e-4)
    assert float(alone[:-1].abs().max()) > 1e-3


def test_two_processes_of_torchrun_train_as_one(toy, tmp_path, monkeypatch):
    """The whole command line: weights as of one process, one log, a clean end. The two go on with
    what one process began."""
    options = ["--data", str(toy / "data"), "--tokenizer", str(toy / "tokenizer"), "--steps", "6"]
    options += ["--layout", "plain"]
    options += ["--block-size", "60", "--n-layer", "1", "--n-head", "2", "--n-embd", "32"]
    options += ["--batch-size", "8", "--score-items", "0", "--device", "cpu"]
    options += ["--checkpoint-every", "3"]
    module = ["-m", "nanodt.train", *options, "--out"]
    torchrun = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    step = Trainer.step

    def stopped(trainer, number):
        if number == 4:
            raise KeyboardInterrupt
        return step(trainer, number)

    monkeypatch.setattr(Trainer, "step", stopped)
    assert main([*module[2:], str(tmp_path / "two")]) == 130
    for name, launcher in (("one", []), ("two", torchrun)):
        command = [sys.executable, *launcher, *module, str(tmp_path / name)]
        done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr[-2000:]
        assert ("going on from step 3" in done.stdout) == (name == "two")
    one, two = (load_file(tmp_path / name / "model.safetensors") for name in ("one", "two"))
    for name, value in one.items():
        torch.testing.assert_close(two[name], value, atol=1e-4, rtol=1e-3)
    assert len(log_of(tmp_path / "two")) == len(log_of(tmp_path / "one"))


def test_micro_batches_give_the_gradients_of_one_batch(toy, tmp_path):
    config = small(toy, tmp_path / "m", batch_size=12)
    parts = [_gradients(replace(config, micro_batch=m), Processes()) for m in (12, 5)]
    torch.testing.assert_close(parts[0], parts[1], atol=1e-6, rtol=1e-4)


@pytest.mark.parametrize(
    "changes",
    [
        {"head": "clusters", "clusters": 4, "joint": False},
        {"head": "bins", "embedding": "linear"},
        {"amp": "bfloat16"},
        {"amp": "float16"},
    ],
)
def test_variants_train_and_drive(toy, tmp_path, changes):
    out = train(small(toy, tmp_path / "m", steps=4, **changes))
    rollouts = nanodt.drive(nanodt.load(out), PointRobots(3), None, np.zeros((3, 2)), steps=5)
    assert rollouts.action.shape == (3, 5, 2) and np.abs(rollouts.action).max() <= 1


def test_sentence_vectors_are_computed_once(toy, tmp_path, monkeypatch):
    """A frozen encoder sees each text of the dataset once; the model folder keeps the vectors."""
    seen: list[str] = []

    def embed(texts: list[str]) -> np.ndarray:
        seen.extend(texts)
        return np.array([[len(t), t.count("left"), t.count("right"), 1] for t in texts], "f4")

    monkeypatch.setattr("nanodt.training.build.frozen_embedder", lambda config: embed)
    config = small(toy, tmp_path / "m", steps=4, text_encoder="sentence", tokenizer=None)
    out = train(config)
    assert len(seen) == len(set(seen)) == 4
    seen.clear()

    def refuse(config):
        raise AssertionError("known texts need no encoder")

    monkeypatch.setattr("nanodt.text.encoders.frozen_embedder", lambda config: refuse)
    policy = nanodt.load(out)
    text = record(1)[0]["texts"][0]
    assert policy.act(np.zeros((1, 3)), [text], np.zeros((1, 2))).shape == (1, 2)
    for command in ((None, np.zeros((1, 2))), ([text], None), (None, None)):
        policy.reset()
        assert policy.act(np.zeros((1, 3)), *command).shape == (1, 2)


class Shorthand:
    """A reader for tests: says the last word, asks for the place (1, 2) at "there"; bars "b"."""

    def __init__(self, folder):
        self.folder = folder

    def read(self, texts):
        there = [[1.0, 2.0] if "there" in text else [np.nan] * 2 for text in texts]
        bars = [["b"] if "not b" in text else [] for text in texts]
        return [text.split()[-1] for text in texts], np.array(there, np.float32), bars


def test_a_model_reads_texts_by_the_reader_of_its_dataset(toy, tmp_path, monkeypatch):
    """It is found by its name among installed packages, and read before anything is told."""
    data = tmp_path / "data"
    shutil.copytree(toy / "data", data)
    (data / "reader").mkdir()
    (data / "reader" / "reader.json").write_text('{"name": "shorthand"}')
    config = replace(small(toy, tmp_path / "m", steps=2), data=data)
    out = train(config)
    with pytest.raises(nanodt.InputError, match="'shorthand', which no installed package offers"):
        nanodt.load(out)
    point = SimpleNamespace(name="shorthand", load=lambda: Shorthand)
    monkeypatch.setattr("nanodt.text.reader.entry_points", lambda group: [point])
    policy = nanodt.load(out)
    assert policy.reader.folder == out / "reader"
    obs = np.zeros((2, 3), np.float32)
    texts = ["please go over there left", "be so kind and go right"]
    read = policy.act(obs, texts)
    plain = nanodt.Policy(policy.network)
    told = plain.act(obs, ["left", "right"], np.array([[1, 2], [np.nan] * 2], np.float32))
    assert np.array_equal(read, told)
    policy.reset()
    given = policy.act(obs, texts, np.array([[0, 1], [2, 0]], np.float32))
    plain.reset()
    assert np.array_equal(given, plain.act(obs, ["left", "right"], np.array([[0, 1], [2, 0.0]])))


def test_a_refused_training_leaves_the_model_as_it_was(toy, tmp_path):
    out = train(small(toy, tmp_path / "m", steps=2))
    before = {path.name: path.read_bytes() for path in out.iterdir() if path.is_file()}
    assert "tokenizer.json" in before
    rows = [dict(row, texts=["other words, all of them"]) for row in record(12)]
    write_dataset(tmp_path / "data", rows)
    other = tmp_path / "tokenizer"
    other.mkdir()
    nanodt.train_tokenizer(["other words, all of them"], 300).save(other)
    with pytest.raises(nanodt.InputError, match="was made with"):
        train(replace(small(toy, out, steps=2), data=tmp_path / "data", tokenizer=other))
    assert {path.name: path.read_bytes() for path in out.iterdir() if path.is_file()} == before


def rows_with(**changes) -> list[dict]:
    rows = record(6)
    rows[2].update(changes)
    return rows


def nan_obs() -> np.ndarray:
    obs = record(6)[2]["obs"].copy()
    obs[7] = np.nan
    return obs


@pytest.mark.parametrize(
    ("rows", "info", "message"),
    [
        (rows_with(obs=nan_obs()), {}, "obs of trajectory 102 holds a NaN"),
        (rows_with(bd=[1.0]), {}, r"bd of trajectory 102 holds 1 numbers, expected 1 x 2"),
        (record(6), {"n_obs": 4}, r"obs of trajectory 100 holds 75 numbers, expected 25 x 4"),
        (record(6), {"action_low": [0.0]}, "action_low has 1 numbers, n_act is 2"),
        (rows_with(length=0), {}, "trajectory 102 has no step"),
        ([dict(r, split="test") for r in record(3)], {}, "no trajectory has split 'train'"),
        (rows_with(texts=["word " * 90]), {}, "a text of trajectory 102 takes .* tokens"),
        (record(6), {"environment": {"id": "nowhere:X-v0"}}, "cannot be made .*--score-items 0"),
        (record(6), {"environment": {"name": "X"}}, "environment has no id"),
    ],
)
def test_wrong_data_is_told_in_one_line(toy, tmp_path, rows, info, message):
    write_dataset(tmp_path / "data", rows, **info)
    with pytest.raises(nanodt.InputError, match=message) as error:
        train(replace(small(toy, tmp_path / "m"), data=tmp_path / "data"))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"micro_batch": -1}, "--micro-batch -1: expected at least 1"),
        ({"batch_size": 0}, "--batch-size 0: expected at least 1"),
        ({"window": 0}, "--window 0: expected at least 1"),
        ({"score_every": 0}, "--score-every 0: expected at least 1"),
        ({"steps": 0}, "--steps 0: expected at least 1"),
        ({"lr": -1.0}, "--lr -1.0: expected above 0"),
        ({"dropout": 2.0}, "--dropout 2.0: expected at least 0 and at most 0.99"),
        ({"betas": (1.0, 1.0)}, "--betas 1.0: expected at least 0 and below 1"),
        ({"seed": -1}, "--seed -1: expected at least 0"),
        ({"head": "discrete"}, "--head discrete: this dataset's actions are no class numbers"),
        ({"device": "gpu"}, "--device gpu cannot be used .*: give cpu or auto"),
    ],
)
def test_options_out_of_range_are_told_before_anything_is_written(toy, tmp_path, changes, message):
    with pytest.raises(nanodt.InputError, match=message) as error:
        train(small(toy, tmp_path / "m", **changes))
    assert "\n" not in str(error.value)
    assert not (tmp_path / "m" / "training.json").exists()


def test_a_file_in_place_of_the_folder_is_told(toy, tmp_path):
    (tmp_path / "m").write_text("")
    with pytest.raises(nanodt.InputError, match="is a file; expected a folder"):
        train(small(toy, tmp_path / "m"))


def test_broken_files_are_told_in_one_line(toy, tmp_path):
    folder = write_dataset(tmp_path / "data", record(6))
    path = folder / "trajectories.parquet"
    whole = path.read_bytes()
    path.write_bytes(whole[:-500])
    with pytest.raises(nanodt.InputError, match="not a whole Parquet file"):
        load_dataset(folder)
    path.write_bytes(whole)
    pq.write_table(pq.read_table(path).drop_columns(["obs"]), path)
    with pytest.raises(nanodt.InputError, match="no column obs"):
        load_dataset(folder)
    path.unlink()
    with pytest.raises(nanodt.InputError, match="does not exist"):
        load_dataset(folder)
    pq.write_table(pa.table({}), path)
    (folder / "dataset.json").write_text("{")
    with pytest.raises(nanodt.InputError, match="is not JSON"):
        load_dataset(folder)


def test_command_line_says_what_is_missing(toy, tmp_path, capsys):
    arguments = ["--data", str(tmp_path / "no"), "--out", str(tmp_path / "m")]
    assert main([*arguments, "--tokenizer", str(toy / "tokenizer")]) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ") and error.count("\n") == 1 and "dataset folder" in error
    write_dataset(tmp_path / "alone" / "data", record(6))
    alone = str(tmp_path / "alone" / "data")
    assert main(["--data", alone, "--out", str(tmp_path / "m")]) == 2
    assert "--tokenizer is missing" in capsys.readouterr().err


def test_wrong_models_and_commands_are_told(toy, tmp_path):
    out = train(small(toy, tmp_path / "m", steps=2))
    policy = nanodt.load(out)
    with pytest.raises(nanodt.InputError, match=r"shape \[2, 5\], expected \[N, 3\]"):
        policy.act(np.zeros((2, 5)))
    with pytest.raises(nanodt.InputError, match="1 texts for 2 observations"):
        policy.act(np.zeros((2, 3)), ["go"])
    with pytest.raises(nanodt.InputError, match="text 1 takes"):
        policy.act(np.zeros((2, 3)), ["go", "word " * 90])
    with pytest.raises(nanodt.InputError, match=r"bd has shape \[2, 3\]"):
        policy.act(np.zeros((2, 3)), None, np.zeros((2, 3)))
    model = policy.network
    with torch.no_grad():
        model.trunk.blocks[0].up.weight[0, 0] = float("nan")
    save_weights(out / "model.safetensors", model.state_dict(), {})
    with pytest.raises(nanodt.InputError, match=r"NaN .* in trunk\.blocks\.0\.up\.weight"):
        nanodt.load(out)
    (out / "model.safetensors").write_bytes(b"short")
    with pytest.raises(nanodt.InputError, match="cannot be read"):
        nanodt.load(out)
    with pytest.raises(nanodt.InputError, match="neither a model folder nor a Hub id"):
        nanodt.load(tmp_path / "nothing")


def test_the_later_of_two_models_that_drive_alike_is_kept():
    """The mean counts, as the median says nothing of drives that go astray; within noise, more
    training counts, but not a little worse again and again."""
    early = {"bd_error_median": 0.4, "bd_error_mean": 2.0, "bd_error_se": 0.3}
    alike = {"bd_error_median": 0.5, "bd_error_mean": 2.2, "bd_error_se": 0.4}
    drifting = {"bd_error_median": 0.3, "bd_error_mean": 2.5, "bd_error_se": 0.4}
    nearer = {"bd_error_median": 0.6, "bd_error_mean": 1.0, "bd_error_se": 0.2}
    best = better(early, None)
    best = better(alike, best)
    assert best is not None and best["bd_error_mean"] == 2.2
    assert better(drifting, best) is None
    assert better(early, better(nearer, best)) is None
    without_drives = better({"val_loss": 0.5}, None)
    assert better({"val_loss": 0.6}, without_drives) is None
    assert better({"val_loss": 0.4}, without_drives) is not None
    assert better({}, better({}, None)) is not None


@pytest.mark.parametrize(
    "windows", [{}, {"windows_per_text": 3, "window": 4, "tokens_per_step": 1}]
)
def test_a_compiled_trunk_learns_the_same(toy, tmp_path, monkeypatch, windows):
    """With and without shared texts; the tracer is torch.compile's own, its code generator is not
    needed here and takes minutes."""
    eager = partial(torch.compile, backend="eager")
    monkeypatch.setattr(torch, "compile", eager)
    losses = []
    for compiled in (False, True):
        config = small(toy, tmp_path, batch_size=8, micro_batch=4, compile=compiled, **windows)
        trainer = _trainer(config)
        losses.append([trainer.step(i)[0] for i in range(4)])
    assert losses[1] == pytest.approx(losses[0], rel=1e-4)
