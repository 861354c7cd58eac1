"""Train a policy from a dataset folder.

    python -m nanodt.train --data runs/demo/dataset --tokenizer runs/demo/tokenizer \
        --out runs/demo/model --block-size 350

Reads DATA/trajectories.parquet, DATA/dataset.json and TOKENIZER/tokenizer.json. Writes into OUT
config.json, model.safetensors (the best so far), tokenizer.json, log.jsonl and training.json.
Killed at any moment and run again, it goes on from its last checkpoint and ends with the same
bytes. Under torchrun it trains data-parallel: same global batch, same gradients.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib
import json
import math
import os
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor
from tqdm import tqdm

from nanodt.checkpoint import (
    Log,
    check_settings,
    digest,
    load_checkpoint,
    save_checkpoint,
    save_weights,
    write_json,
)
from nanodt.data import INFO, TABLE, Dataset, Windows, load_dataset
from nanodt.errors import InputError
from nanodt.heads import HeadConfig, HeadKind
from nanodt.model import Model, ModelConfig, TrunkConfig
from nanodt.policy import CONFIG, WEIGHTS
from nanodt.score import ClosedLoop, ValidationLoss
from nanodt.stream import VectorCode
from nanodt.text import (
    VECTORS,
    TextConfig,
    TextKind,
    TokenEncoder,
    VectorCache,
    VectorEncoder,
    frozen_embedder,
)
from nanodt.tokenizer import Tokenizer

CHECKPOINT, TRAINING, LOG = "checkpoint", "training.json", "log.jsonl"


@dataclass(frozen=True)
class TrainConfig:
    """One training run."""

    data: Path
    """Dataset folder."""
    out: Path
    """Folder of the model."""
    tokenizer: Path | None = None
    """Folder (or file) of the tokenizer; needed by the text encoder `tokens`."""
    preset: Literal["laptop", "gpu"] = "laptop"
    """Picks the defaults of the options below."""
    seed: int = 0
    redo: bool = False
    """Replace what OUT holds."""

    block_size: int = 350
    """Tokens in a row, text included."""
    n_layer: int = 4
    n_head: int = 4
    n_embd: int = 128
    dropout: float = 0.0
    embedding: Literal["mlp", "linear"] = "mlp"
    """How observations, actions and BDs become tokens."""

    head: HeadKind = "mse"
    clusters: int = 16
    """head clusters: centres."""
    joint: bool = True
    """head clusters: cluster whole actions, or each dimension by itself."""
    focal_gamma: float = 2.0
    offset_weight: float = 1.0
    """head clusters: weight of the offset's loss."""
    bins: int | None = None
    """head bins: values per dimension; by default those the actions' decimals allow."""

    text_encoder: TextKind = "tokens"
    text_model: str = "sentence-transformers/all-MiniLM-L6-v2"
    """sentence: name or path; endpoint: the model's name there."""
    text_base_url: str | None = None
    """endpoint: where, when it is not api.openai.com."""
    text_prefix: int = 4
    """sentence, endpoint: prefix tokens per text."""

    steps: int = 2000
    """Optimiser steps."""
    batch_size: int = 64
    """Windows per optimiser step, over all processes."""
    micro_batch: int = 8
    """Windows computed at once: small enough to stay in the caches, gradients add up."""
    lr: float = 1e-3
    min_lr: float = 0.05
    """Last learning rate, as a share of lr."""
    warmup: int = 100
    weight_decay: float = 0.1
    """Of matrices only."""
    betas: tuple[float, float] = (0.9, 0.95)
    clip: float = 1.0
    """Largest gradient norm."""
    text_dropout: float = 0.1
    """How often a window comes without its text, so that the policy can drive without one."""
    bd_dropout: float = 0.1
    """How often a window comes without its BD."""

    device: str = "auto"
    amp: Literal["none", "bfloat16", "float16"] = "none"
    """Mixed precision."""
    tf32: bool = False
    """Faster, coarser float32 products on a GPU."""
    compile: bool = False
    """torch.compile the trunk."""

    log_every: int = 20
    checkpoint_every: int = 250
    score_every: int = 500
    """Steps between validation loss and closed-loop score."""
    score_items: int = 32
    """Validation trajectories driven in closed loop; 0 = none."""
    tracker: Literal["none", "tensorboard", "wandb", "trackio"] = "none"


PRESETS: dict[str, dict[str, Any]] = {
    "laptop": {},
    "gpu": {
        "batch_size": 256,
        "micro_batch": 256,
        "steps": 20_000,
        "amp": "bfloat16",
        "tf32": True,
        "compile": True,
    },
}
# What may differ between a run and its continuation without changing a weight.
NOT_SETTINGS = {"data", "out", "tokenizer", "redo", "preset", "log_every", "tracker"}


@dataclass
class Processes:
    """This process among those of torchrun; alone, it is number 0 of 1."""

    rank: int = 0
    world: int = 1
    local: int = 0


@contextmanager
def processes(device: str) -> Iterator[Processes]:
    """Join the process group of torchrun, if there is one."""
    if "WORLD_SIZE" not in os.environ or dist.is_initialized():
        if dist.is_initialized():
            yield Processes(dist.get_rank(), dist.get_world_size(), 0)
        else:
            yield Processes()
        return
    dist.init_process_group("nccl" if device.startswith("cuda") else "gloo")
    try:
        yield Processes(
            dist.get_rank(), dist.get_world_size(), int(os.environ.get("LOCAL_RANK", 0))
        )
    finally:
        dist.destroy_process_group()


def learning_rate(step: int, config: TrainConfig) -> float:
    """Linear warm-up, then half a cosine down to min_lr * lr at the last step."""
    if step < config.warmup:
        return config.lr * (step + 1) / config.warmup
    done = (step - config.warmup) / max(1, config.steps - config.warmup)
    cosine = 0.5 * (1 + math.cos(math.pi * min(done, 1.0)))
    return config.lr * (config.min_lr + (1 - config.min_lr) * cosine)


def build_model(config: TrainConfig, dataset: Dataset) -> Model:
    """A fresh model for a dataset, its statistics fitted on the training split."""
    info, train = dataset.info, dataset.split("train")
    trunk = TrunkConfig(config.n_layer, config.n_head, config.n_embd, config.dropout)
    decimals = info.get("action_decimals")
    source: Any
    if config.text_encoder == "tokens":
        if config.tokenizer is None:
            raise InputError("--tokenizer is missing: the folder that holds tokenizer.json")
        source = Tokenizer.load(config.tokenizer)
        text = TextConfig(vocabulary=source.vocabulary)
    else:
        text = TextConfig(
            config.text_encoder,
            model=config.text_model,
            base_url=config.text_base_url,
            prefix=config.text_prefix,
        )
        source = VectorCache(config.out / VECTORS, frozen_embedder(text))
        some = next((t for own in train.texts for t in own), "")
        text = TextConfig(**{**asdict(text), "dim": source([some]).shape[1]})
    bins = config.bins
    if bins is None:
        span = np.subtract(info["action_high"], info["action_low"]).max()
        bins = 64 if decimals is None else min(round(float(span) * 10**decimals) + 1, 1024)
    head = HeadConfig(
        config.head, config.clusters, config.joint, config.focal_gamma, config.offset_weight, bins
    )
    longest = max(int(t.length.max()) for t in dataset.splits.values())
    torch.manual_seed(config.seed)
    model = Model(
        ModelConfig(
            n_obs=info["n_obs"],
            n_act=info["n_act"],
            n_bd=info["n_bd"],
            max_steps=longest,
            action_low=tuple(info["action_low"]),
            action_high=tuple(info["action_high"]),
            action_decimals=decimals,
            block_size=config.block_size,
            trunk=trunk,
            embedding=config.embedding,
            head=head,
            text=text,
            environment=info.get("environment"),
            bd_low=tuple(info["bd_low"]) if "bd_low" in info else None,
            bd_high=tuple(info["bd_high"]) if "bd_high" in info else None,
        )
    )
    if isinstance(model.text, TokenEncoder):
        model.text.tokenizer = source
    elif isinstance(model.text, VectorEncoder):
        model.text.embed = source
    for name, values in (("bd", train.bd), ("obs", train.obs), ("action", train.action)):
        code = model.stream.codes[name]
        if isinstance(code, VectorCode):
            code.fit(values)
    model.head.fit(train.action, config.seed)
    return model


def make_optimizer(model: Model, config: TrainConfig) -> torch.optim.Optimizer:
    """AdamW that decays matrices, not biases, norms and tables."""
    tables = ("position", "time", "table", "null")
    decayed, free = [], []
    for name, p in model.named_parameters():
        matrix = p.dim() == 2 and not any(t in name for t in tables)
        (decayed if matrix else free).append(p)
    groups = [
        {"params": decayed, "weight_decay": config.weight_decay},
        {"params": free, "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=config.lr, betas=config.betas, fused=True)


class Trainer:
    """A model, its optimiser and its windows; `step` makes one optimiser step."""

    def __init__(
        self, model: Model, windows: Windows, config: TrainConfig, group: Processes | None = None
    ) -> None:
        self.model, self.windows, self.config = model, windows, config
        self.group = group or Processes()
        self.device = torch.device(windows.device)
        self.optimizer = make_optimizer(model, config)
        self.scaler = torch.amp.GradScaler(self.device.type, enabled=config.amp == "float16")
        self.data_s = 0.0
        # Gradients always exist: a parameter no window used has a gradient of zero, whether one
        # process saw no use for it or all of them.
        for p in model.parameters():
            p.grad = torch.zeros_like(p)

    def gradients(self, step: int) -> tuple[Tensor, int]:
        """Gradient of the mean loss over all targets of the global batch; (loss, tokens).

        The windows follow from (seed, step). Each process takes every world-th of them.
        """
        config, group = self.config, self.group
        began = time.perf_counter()
        rng = np.random.default_rng([config.seed, 0, step])
        plan = self.windows.plan(rng, config.batch_size, config.text_dropout, config.bd_dropout)
        targets = float(plan.steps.sum())
        plan = plan.rows(slice(group.rank, None, group.world))
        self.data_s += time.perf_counter() - began
        if config.dropout:
            torch.manual_seed((config.seed * 1_000_003 + step) * group.world + group.rank)
        self.optimizer.zero_grad(set_to_none=False)
        loss, tokens = torch.zeros((), device=self.device), 0
        dtype = getattr(torch, config.amp) if config.amp != "none" else None
        for i in range(0, len(plan.steps), config.micro_batch):
            began = time.perf_counter()
            batch = self.windows.batch(plan.rows(slice(i, i + config.micro_batch)))
            self.data_s += time.perf_counter() - began
            with torch.autocast(self.device.type, dtype, enabled=dtype is not None):
                part = self.model.loss(batch).float().sum() / targets
            self.scaler.scale(part).backward()
            loss += part.detach()
            tokens += batch.tokens
        if group.world > 1:
            # The model is small: one sum over all gradients costs less than it would to overlap.
            grads = [p.grad for p in self.model.parameters() if p.grad is not None]
            flat = torch.cat([g.flatten() for g in grads] + [loss[None]])
            dist.all_reduce(flat)
            parts = flat.split([g.numel() for g in grads] + [1])
            for g, part in zip(grads, parts, strict=False):
                g.copy_(part.view_as(g))
            loss, tokens = parts[-1][0], tokens * group.world
        return loss, tokens

    def step(self, step: int) -> tuple[float, float, int]:
        """One optimiser step; (loss, gradient norm before clipping, tokens)."""
        for param_group in self.optimizer.param_groups:
            param_group["lr"] = learning_rate(step, self.config)
        loss, tokens = self.gradients(step)
        self.scaler.unscale_(self.optimizer)
        norm = torch.nn.utils.clip_grad_norm_(self.model.parameters(), self.config.clip)
        self.scaler.step(self.optimizer)
        self.scaler.update()
        return float(loss), float(norm), tokens


def train(config: TrainConfig) -> Path:
    """Train, or go on training, the model of `config.out`; its folder."""
    device = config.device
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    with processes(device) as group:
        if device == "cuda":
            device = f"cuda:{group.local}"
            torch.cuda.set_device(device)
        return _train(config, device, group)


def _train(config: TrainConfig, device: str, group: Processes) -> Path:
    out, lead = config.out, group.rank == 0
    dataset = load_dataset(config.data)
    settings: dict[str, Any] = {k: v for k, v in asdict(config).items() if k not in NOT_SETTINGS}
    settings["betas"] = list(config.betas)
    settings["world"] = group.world
    settings["data"] = {n: digest(config.data / n) for n in (TABLE, INFO)}
    if lead:
        out.mkdir(parents=True, exist_ok=True)
        if config.redo:
            for name in (TRAINING, LOG, WEIGHTS):
                (out / name).unlink(missing_ok=True)
            shutil.rmtree(out / CHECKPOINT, ignore_errors=True)
    if group.world > 1:
        dist.barrier()
    if config.tf32:
        torch.set_float32_matmul_precision("high")
    model = build_model(config, dataset)
    if isinstance(model.text, TokenEncoder) and model.text.tokenizer is not None:
        settings["tokenizer"] = hash_text(model.text.tokenizer.inner.to_str())
        if lead:
            model.text.tokenizer.save(out)
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
            closed_loop = ClosedLoop(data, dataset.info, config.score_items)
    if lead and isinstance(model.text, VectorEncoder) and isinstance(model.text.embed, VectorCache):
        model.text.embed.save()
    if config.compile:
        model.trunk.compile()

    trainer = Trainer(model, windows, config, group)
    state: dict[str, Any] = {
        "settings": settings,
        "step": 0,
        "best": None,
        "loss": 0.0,
        "norm": 0.0,
        "count": 0,
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
        log = Log(out / LOG, state["step"])
        track = tracker(config, model.config)
    row = float(windows.config.block_size)
    flops = model.flops_per_token(row)
    bar = tqdm(
        total=config.steps,
        initial=state["step"],
        desc="training",
        unit="step",
        disable=not lead,
        mininterval=0.5,
    )
    since, tokens = time.perf_counter(), 0
    model.train()
    for step in range(state["step"], config.steps):
        loss, norm, new_tokens = trainer.step(step)
        done = step + 1
        tokens += new_tokens
        state["loss"] += loss
        state["norm"] += norm
        state["count"] += 1
        if not math.isfinite(loss):
            raise InputError(f"the loss is {loss} at step {done}: try a smaller --lr")
        if not lead:
            continue
        bar.update()
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
            }
            log.write(record)
            track(record)
            bar.set_postfix(loss=f"{record['loss']:.4f}", refresh=False)
            state["loss"], state["norm"], state["count"] = 0.0, 0.0, 0
            since, tokens, trainer.data_s = time.perf_counter(), 0, 0.0
        if done % config.score_every == 0 or done == config.steps:
            record = score(model, validation, closed_loop)
            rank = record.get("bd_error_median", record.get("val_loss"))
            if rank is None or state["best"] is None or rank < state["best"]["score"]:
                state["best"] = {"step": done, "score": rank, **record}
                save_weights(out / WEIGHTS, model.state_dict(), {"format": "pt"})
            if record:
                log.write({"step": done, **record})
                track({"step": done, **record})
                bar.write(f"step {done}: " + told(record))
            since, tokens, trainer.data_s = time.perf_counter(), 0, 0.0
        if done % config.checkpoint_every == 0 and done < config.steps:
            state["step"] = done
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
