"""Train a policy from a dataset folder.

    python -m nanodt.train --data runs/demo/dataset --tokenizer runs/demo/tokenizer \
        --out runs/demo/model --block-size 350

Reads DATA/trajectories.parquet, DATA/dataset.json and TOKENIZER/tokenizer.json. Writes into OUT
config.json, model.safetensors (the best so far), tokenizer.json, words.json, log.jsonl and
training.json.
Killed at any moment and run again, it goes on from its last checkpoint and ends with the same
bytes (on a CPU with as many threads). Under torchrun it trains data-parallel: same global batch,
same gradients.

`--recipe NAME` as the first option trains another system of the family: see docs/recipes.md.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib
import json
import math
import shutil
import sys
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from tqdm import tqdm

from nanodt.data.folder import INFO, PRACTICE, TABLE, Windows, load_dataset
from nanodt.driving.policy import CONFIG, WEIGHTS
from nanodt.errors import InputError
from nanodt.model.network import Model, ModelConfig
from nanodt.text.encoders import TokenEncoder, VectorCache, VectorEncoder
from nanodt.text.rephraser import WORDS, Wording
from nanodt.training.checkpoint import (
    Log,
    check_settings,
    digest,
    load_checkpoint,
    save_checkpoint,
    save_weights,
    write_json,
)
from nanodt.training.options import NOT_SETTINGS, PRESETS, TrainConfig, build_model
from nanodt.training.trainer import Processes, Trainer, learning_rate, pick_device, processes
from nanodt.training.validation import ClosedLoop, ValidationLoss, keep

CHECKPOINT, TRAINING, LOG = "checkpoint", "training.json", "log.jsonl"


def train(config: TrainConfig) -> Path:
    """Train, or go on training, the model of `config.out`; its folder."""
    device = pick_device(config.device)
    with processes(device) as group:
        if device == "cuda":
            device = f"cuda:{group.local}"
            torch.cuda.set_device(device)
        return _train(config, device, group)


def _train(config: TrainConfig, device: str, group: Processes) -> Path:
    out, lead = config.out, group.rank == 0
    dataset = load_dataset(config.data, config.practice_share)
    settings: dict[str, Any] = {k: v for k, v in asdict(config).items() if k not in NOT_SETTINGS}
    settings["betas"] = list(config.betas)
    settings["world"] = group.world
    files = [TABLE, INFO]
    if config.practice_share and (config.data / PRACTICE).exists():
        files.append(PRACTICE)
    elif config.practice_share and lead:
        print(f"{config.data}: no {PRACTICE}: learning from recorded trajectories only")
    settings["data"] = {n: digest(config.data / n) for n in files}
    if config.tf32:
        torch.set_float32_matmul_precision("high")
    # Before --redo removes anything: it refuses options and data that do not fit.
    model = build_model(config, dataset)
    if lead:
        try:
            out.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InputError(f"--out {out} cannot be made: {error.strerror}") from error
        if config.redo:
            for name in (TRAINING, LOG, WEIGHTS, WORDS):
                (out / name).unlink(missing_ok=True)
            shutil.rmtree(out / CHECKPOINT, ignore_errors=True)
    if group.world > 1:
        dist.barrier()
    tokenizer = model.text.tokenizer if isinstance(model.text, TokenEncoder) else None
    if tokenizer is not None:
        settings["tokenizer"] = hash_text(tokenizer.inner.to_str())
    finished = read_finished(out / TRAINING)
    if finished is not None:
        check_settings(out / TRAINING, finished["settings"], settings)
        if lead:
            shutil.rmtree(out / CHECKPOINT, ignore_errors=True)
            print(f"{out}: already trained")
        return out

    model.to(device)
    windows = Windows(dataset.split("train"), model.text, model.config, device)
    validation, closed_loop = None, None
    if lead and "validation" in dataset.splits:
        data = dataset.split("validation")
        held_out = Windows(data, model.text, model.config, device)
        validation = ValidationLoss(held_out, config.seed, 256, config.micro_batch)
        if config.score_items and dataset.info.get("environment"):
            closed_loop = ClosedLoop(data, dataset.info, config.score_items, dataset.folder)
    if lead and isinstance(model.text, VectorEncoder) and isinstance(model.text.embed, VectorCache):
        model.text.embed.save()

    trainer = Trainer(model, windows, config, group)
    state: dict[str, Any] = {
        "settings": settings,
        "step": 0,
        "best": None,
        "loss": 0.0,
        "norm": 0.0,
        "count": 0,
        "seconds": 0.0,
    }
    checkpoint = out / CHECKPOINT / "state.safetensors"
    if checkpoint.exists():
        state = load_checkpoint(checkpoint, model, trainer.optimizer, settings)
        if trainer.scaler.is_enabled():
            trainer.scaler.load_state_dict(state["scaler"])
        if lead:
            print(f"{out}: going on from step {state['step']}")
    if lead:
        checkpoint.parent.mkdir(exist_ok=True)
        write_json(out / CONFIG, model.config.to_json())
        if tokenizer is not None:
            tokenizer.save(out)
        if texts := [text for own in dataset.split("train").texts for text in own]:
            Wording.of(texts).save(out)
        log = Log(out / LOG, state["step"])
        track = tracker(config, model.config)
    flops = model.flops_per_token(*windows.shape(config.windows_per_text))
    bar = tqdm(
        total=config.steps,
        initial=state["step"],
        desc="training",
        unit="step",
        disable=not lead,
        mininterval=0.5,
    )
    since, tokens = time.perf_counter(), 0
    began = since - state["seconds"]
    model.train()
    for step in range(state["step"], config.steps):
        loss, norm, new_tokens = trainer.step(step)
        done = step + 1
        tokens += new_tokens
        state["loss"] += loss
        state["norm"] += norm if math.isfinite(norm) else 0.0  # float16: a step left out
        state["count"] += 1
        if not math.isfinite(loss):
            raise InputError(f"the loss is {loss} at step {done}: try a smaller --lr")
        if not lead:
            continue
        bar.update()
        due = done % config.checkpoint_every == 0
        if done % config.log_every == 0 or done == config.steps:
            seconds = time.perf_counter() - since
            record = {
                "step": done,
                "loss": state["loss"] / state["count"],
                "grad_norm": state["norm"] / state["count"],
                "lr": learning_rate(step, config),
                "tokens_per_s": tokens / seconds,
                "flops_per_s": flops * tokens / seconds,
                "data_share": trainer.data_s / seconds,
                "seconds": time.perf_counter() - began,
            }
            log.write(record)
            track(record)
            bar.set_postfix(loss=f"{record['loss']:.4f}", refresh=False)
            state["loss"], state["norm"], state["count"] = 0.0, 0.0, 0
            since, tokens, trainer.data_s = time.perf_counter(), 0, 0.0
        if done % config.score_every == 0 or done == config.steps:
            record = score(model, validation, closed_loop)
            kept = keep(record, state["best"])
            due = due or kept is not None  # so that the weights never are ahead of their record
            if kept is not None:
                state["best"] = {"step": done, **kept}
                save_weights(out / WEIGHTS, model.state_dict(), {"format": "pt"})
            if record:
                log.write({"step": done, **record})
                track({"step": done, **record})
                bar.write(f"step {done}: " + told(record))
            since, tokens, trainer.data_s = time.perf_counter(), 0, 0.0
        if due and done < config.steps:
            state["step"], state["seconds"] = done, time.perf_counter() - began
            if trainer.scaler.is_enabled():
                state["scaler"] = trainer.scaler.state_dict()
            save_checkpoint(checkpoint, model, trainer.optimizer, state)
    bar.close()
    if lead:
        best = state["best"]
        write_json(out / TRAINING, {"settings": settings, "best": best})
        shutil.rmtree(checkpoint.parent)
        print(f"{out}: best at step {best['step']}: {told(best)}".rstrip(": "))
    return out


def score(
    model: Model, validation: ValidationLoss | None, closed_loop: ClosedLoop | None
) -> dict[str, float]:
    """What is known of the model on unseen trajectories."""
    record = {}
    if validation is not None:
        record["val_loss"] = validation(model)
    if closed_loop is not None:
        record |= closed_loop(model)
    return record


def told(record: dict[str, Any]) -> str:
    """A score record in words."""
    parts = []
    if "val_loss" in record:
        parts.append(f"validation loss {record['val_loss']:.4f}")
    if "bd_error_median" in record:
        parts.append(
            f"drives end {record['bd_error_median']:.1f} % of the diagonal from the target "
            f"(median), {100 * record['bd_success']:.0f} % within 5 %"
        )
    return ", ".join(parts)


def hash_text(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def read_finished(path: Path) -> dict[str, Any] | None:
    """The record of a finished run, if there is one."""
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else None


def tracker(config: TrainConfig, model: ModelConfig) -> Callable[[dict[str, Any]], None]:
    """Where log records go besides log.jsonl."""
    if config.tracker == "none":
        return lambda record: None
    try:
        if config.tracker == "tensorboard":
            from torch.utils.tensorboard import SummaryWriter

            writer = SummaryWriter(str(config.out / "tensorboard"))

            def write(record: dict[str, Any]) -> None:
                for name, value in record.items():
                    writer.add_scalar(name, value, record["step"])

            return write
        module = importlib.import_module(config.tracker)
    except ImportError as error:
        raise InputError(
            f"--tracker {config.tracker}: {error}; pip install {config.tracker}"
        ) from error
    run = module.init(project="nanodt", name=config.out.name, config=model.to_json())
    return lambda record: run.log(record)


def main(arguments: list[str] | None = None) -> int:
    """The command line: options of `TrainConfig`; exit status 2 on a user's mistake."""
    import tyro  # only the command line needs it

    arguments = sys.argv[1:] if arguments is None else arguments
    if arguments[:1] == ["--recipe"]:
        from nanodt.family.recipes import main as recipe  # the other systems of the family

        return recipe(arguments[1:])
    finder = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    finder.add_argument("--preset", default="laptop")
    preset = finder.parse_known_args(arguments)[0].preset
    defaults = TrainConfig(
        data=tyro.MISSING, out=tyro.MISSING, **{"preset": preset, **PRESETS.get(preset, {})}
    )
    config = tyro.cli(
        TrainConfig, default=defaults, args=arguments, description=__doc__, prog="nanodt.train"
    )
    try:
        train(config)
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
