"""What a training run tells while it goes: log.jsonl, a tracker, the progress bar."""

from __future__ import annotations

import importlib
import json
import math
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from tqdm import tqdm

from nanodt.data.folder import Dataset
from nanodt.errors import InputError
from nanodt.files import write_text
from nanodt.model.network import Network
from nanodt.training.options import TrainConfig
from nanodt.training.trainer import Trainer, learning_rate
from nanodt.training.validation import Validation, in_words

LOG = "log.jsonl"


class Log:
    """A JSONL file: one record per line; on resume it is cut back to the checkpoint's step."""

    def __init__(self, path: Path, step: int) -> None:
        lines = []
        if path.exists() and step:
            for line in path.read_text(encoding="utf-8").splitlines():
                try:
                    at = int(json.loads(line)["step"])
                except (ValueError, KeyError, TypeError):
                    break  # the line a kill cut short, or damage
                if at <= step:
                    lines.append(line + "\n")
        write_text(path, "".join(lines))
        self.path = path

    def write(self, record: dict[str, Any]) -> None:
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(record) + "\n")


class Journal:
    """Means over the steps since the last line; `state` holds them, so that a resumed run writes
    the same log."""

    def __init__(
        self, config: TrainConfig, trainer: Trainer, state: dict[str, Any], dataset: Dataset
    ) -> None:
        self.config, self.trainer, self.state = config, trainer, state
        self.log = Log(config.folder / LOG, state["step"])
        self.track = tracker(config, trainer.network, config.folder)
        items, seed, micro_batch = config.score_items, config.seed, config.micro_batch
        self.validation = Validation(dataset, trainer.network, items, seed, micro_batch)
        shape = trainer.sources[0].shape(config.windows_per_text)
        self.flops = trainer.network.flops_per_token(*shape)
        self.bar = tqdm(
            total=config.steps, initial=state["step"], desc="training", unit="step", mininterval=0.5
        )
        self.restart()
        self.began = self.since - state["seconds"]

    def close(self) -> None:
        """End the progress bar: what is printed next stands below it."""
        self.bar.close()

    def restart(self) -> None:
        """Begin to measure speed anew."""
        self.since, self.tokens, self.trainer.data_s = time.perf_counter(), 0, 0.0

    @property
    def seconds(self) -> float:
        """Since training began, interruptions left out."""
        return time.perf_counter() - self.began

    def count(self, loss: float, norm: float, tokens: int) -> None:
        """Take an optimiser step in."""
        self.tokens += tokens
        self.state["loss"] += loss
        self.state["norm"] += norm if math.isfinite(norm) else 0.0  # float16: a step left out
        self.state["count"] += 1
        self.bar.update()

    def progress(self, done: int) -> None:
        """Write the line of training after `done` steps."""
        state, seconds = self.state, time.perf_counter() - self.since
        record = {
            "step": done,
            "loss": state["loss"] / state["count"],
            "grad_norm": state["norm"] / state["count"],
            "lr": learning_rate(done - 1, self.config),
            "tokens_per_s": self.tokens / seconds,
            "flops_per_s": self.flops * self.tokens / seconds,
            "data_share": self.trainer.data_s / seconds,
            "seconds": self.seconds,
        }
        self.log.write(record)
        self.track(record)
        self.bar.set_postfix(loss=f"{record['loss']:.4f}", refresh=False)
        state["loss"], state["norm"], state["count"] = 0.0, 0.0, 0
        self.restart()

    def score(self, done: int, record: dict[str, float]) -> None:
        """Write the line of a validation after `done` steps."""
        if record:
            self.log.write({"step": done, **record})
            self.track({"step": done, **record})
            self.bar.write(f"step {done}: " + in_words(record))
        self.restart()


def tracker(config: TrainConfig, network: Network, out: Path) -> Callable[[dict[str, Any]], None]:
    """Where log records go besides log.jsonl."""
    if config.tracker == "none":
        return lambda record: None
    name = config.tracker
    try:
        board = "torch.utils.tensorboard"
        module = importlib.import_module(board if name == "tensorboard" else name)
    except ImportError as error:
        raise InputError(f"--tracker {name}: {error}; pip install {name}") from error
    if name == "tensorboard":
        writer = module.SummaryWriter(str(out / "tensorboard"))

        def write(record: dict[str, Any]) -> None:
            for key, value in record.items():
                writer.add_scalar(key, value, record["step"])

        return write
    run = module.init(project="nanodt", name=out.name, config=asdict(network.config))
    return lambda record: run.log(record)
