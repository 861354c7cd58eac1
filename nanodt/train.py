"""Train a policy on the dataset of a run.

    python -m nanodt.train --block-size 350

trains on the newest run in runs/ (its dataset/ and tokenizer/) into its model/ folder; --data,
--tokenizer and --out name others. Options that the dataset cannot feed are off, which is said.
Writes config.json, model.safetensors (the best so far), tokenizer.json, words.json, log.jsonl and
training.json.
Killed at any moment and run again, it goes on from its last checkpoint and ends with the same
bytes (on a CPU with as many threads). Under torchrun it trains data-parallel: same global batch,
same gradients, but for rounding; it may go on with another number of processes.

`--recipe NAME` as the first option trains another kind of sequence model: see docs/recipes.md.
"""

from __future__ import annotations

import hashlib
import importlib
import shutil
import sys
from contextlib import closing
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch

from nanodt.data.folder import (
    AUGMENTATION,
    INFO,
    TABLE,
    Dataset,
    load_dataset,
    table_files,
)
from nanodt.data.windows import Windows
from nanodt.errors import InputError
from nanodt.files import CONFIG, digest, hub_folder, is_hub_id, require_place, write_json
from nanodt.model.network import Network
from nanodt.text.reader import take_reader
from nanodt.text.tokenizer import Tokenizer
from nanodt.training.bounds import check_bounds
from nanodt.training.build import build
from nanodt.training.checkpoint import load_checkpoint, save_checkpoint
from nanodt.training.faults import guarded
from nanodt.training.folder import CHECKPOINT, STATE, TRAINING, opened
from nanodt.training.journal import Journal
from nanodt.training.manifest import inputs_of_run, version_of, write_manifest
from nanodt.training.options import WITHOUT_EFFECT, TrainConfig, newest_run, parse
from nanodt.training.trainer import Processes, Trainer, pick_device, processes
from nanodt.training.validation import better, in_words


def train(config: TrainConfig) -> Path:
    """Train, or go on training, the model of `config.folder`; its folder."""
    check_bounds(config)
    config = located(config)
    device = pick_device(config.device)
    if config.tf32:
        torch.set_float32_matmul_precision("high")
    with processes(device) as group:
        if device == "cuda":
            device = f"cuda:{group.local}"
            torch.cuda.set_device(device)
        return _train(config, device, group)


def located(config: TrainConfig) -> TrainConfig:
    """The configuration with the folders that were left to be found."""
    data = config.data or newest_run(Path("runs")) / "dataset"
    published = is_hub_id(data) or table_files(data) != [TABLE]
    if published and config.out is None:
        raise InputError(f"--data {data}: a published dataset; say with --out where the model goes")
    data = hub_folder(data, "dataset") if published else data
    tokenizer, beside = config.tokenizer, (data if published else data.parent) / "tokenizer"
    if tokenizer is None and beside.exists():
        tokenizer = beside
    out = config.out or data.parent / "model"
    require_place(out)
    return replace(config, data=data, tokenizer=tokenizer, out=out)


def _train(config: TrainConfig, device: str, group: Processes) -> Path:
    dataset = load_dataset(config.dataset, config.augmentation_share)
    # Before --redo removes anything: it refuses options and data that do not fit.
    fitting, network, remarks = build(config, dataset, device)
    with opened(config, made_of(config, network), group) as state:
        if state is not None:
            group.say(f"learning from {config.dataset}, into {config.folder}", *remarks)
            trainer = resume(fitting, network, dataset, state, group)
            optimise(fitting, trainer, dataset, state)
            finish(config, trainer, state)
    return config.folder


def made_of(config: TrainConfig, network: Network) -> dict[str, Any]:
    """What the weights follow from: options, and digests of the files that are read."""
    made = {k: v for k, v in asdict(config).items() if k not in WITHOUT_EFFECT}
    made["betas"] = list(config.betas)
    made["version"] = version_of("wayword")
    files = [*table_files(config.dataset), INFO]
    if config.augmentation_share and (config.dataset / AUGMENTATION).exists():
        files.append(AUGMENTATION)
    made["data"] = {name: digest(config.dataset / name) for name in files}
    if isinstance(network.text.source, Tokenizer):
        text = network.text.source.inner.to_str()
        made["tokenizer"] = hashlib.sha256(text.encode()).hexdigest()
    return made


def resume(
    config: TrainConfig,
    network: Network,
    dataset: Dataset,
    state: dict[str, Any],
    group: Processes,
) -> Trainer:
    """The trainer of a network, put to where the state's checkpoint stood, if it is of one; beside
    it lies now what the weights need to act."""
    trainer = Trainer(network, Windows(dataset.split("train"), network), config, group)
    if state["step"]:
        load_checkpoint(config.folder / STATE, trainer, state)
        group.say(f"{config.folder}: going on from step {state['step']}")
    if group.lead:
        write_beside(config.folder, network, dataset)
    return trainer


def write_beside(out: Path, network: Network, dataset: Dataset) -> None:
    """Write what the weights need to act: configuration, tokenizer or vectors, words."""
    (out / CHECKPOINT).mkdir(exist_ok=True)
    take_reader(dataset.folder, out)
    write_json(out / CONFIG, asdict(network.config))
    if network.text.source is not None:
        network.text.source.save(out)


def optimise(
    config: TrainConfig, trainer: Trainer, dataset: Dataset, state: dict[str, Any]
) -> None:
    """All optimiser steps from the state's on; the leading process logs, validates and saves."""
    steps = range(state["step"], config.steps)
    if not trainer.group.lead:
        for step in steps:
            trainer.step(step)
        return
    with closing(Journal(config, trainer, state, dataset)) as journal:
        for step in steps:
            journal.count(*trainer.step(step))
            done, last = step + 1, step + 1 == config.steps
            due = done % config.checkpoint_every == 0
            if done % config.log_every == 0 or last:
                journal.progress(done)
            if done % config.score_every == 0 or last:
                record = journal.validation(trainer.network)
                best = better(record, state["best"])
                if best is not None:
                    due = True  # so that the weights never are ahead of their record
                    state["best"] = {"step": done, **best}
                    trainer.network.save_weights(config.folder)
                journal.score(done, record)
            if due and not last:
                state["step"], state["seconds"] = done, journal.seconds
                save_checkpoint(config.folder / STATE, trainer, state)
        state["seconds"] = journal.seconds


def finish(config: TrainConfig, trainer: Trainer, state: dict[str, Any]) -> None:
    """The leading process writes the record of the run, and in a run's own folder its manifest."""
    if not trainer.group.lead:
        return
    best = state["best"]
    shutil.rmtree(config.folder / CHECKPOINT)
    write_json(config.folder / TRAINING, {"made": state["made"], "best": best})
    inputs = inputs_of_run(config)
    if inputs is not None:
        write_manifest(config, inputs, facts(trainer.network, best), state["seconds"])
    print(f"{config.folder}: best at step {best['step']}: {in_words(best)}".rstrip(": "))


def facts(network: Network, best: dict[str, Any]) -> dict[str, Any]:
    """Headline figures of a finished run."""
    kept = {k: round(v, 4) for k, v in best.items() if k.startswith(("val_", "bd_"))}
    parameters = sum(p.numel() for p in network.parameters())
    return {"parameters": parameters, "best_step": best["step"], **kept}


def main(arguments: list[str] | None = None) -> int:
    """The command line: options of `TrainConfig`; exit status 2 on a user's mistake."""
    arguments = sys.argv[1:] if arguments is None else arguments
    if arguments[:1] == ["--recipe"]:
        # By its name: nothing here depends on the other systems of the family.
        return importlib.import_module("nanodt.family.recipes.command").run(arguments[1:])
    return guarded(lambda: train(parse(TrainConfig, arguments, __doc__, "nanodt.train")))


if __name__ == "__main__":
    sys.exit(main())
