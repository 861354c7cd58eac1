"""Train the policy: text tokens, then a token or three of bd, o and a for every step.

Reads dataset/ and tokenizer/, writes model/: config.json, model.safetensors (whose drives of the
validation split ended nearest, or a later one that was as good), tokenizer.json, words.json,
training.json and log.jsonl. Killed and run again it goes on from its last checkpoint and ends with
the same weights. It is

    python -m nanodt.train --data RUN/dataset --tokenizer RUN/tokenizer --out RUN/model

with this run's bookkeeping around it: the same options, defaults and presets.

Example: python scripts/07_train.py --run runs/demo --block-size 350 --steps 2000
"""

import sys
from dataclasses import dataclass, fields
from pathlib import Path
from typing import ClassVar

import nanodt
from archive_tools.files import read_json
from archive_tools.run import Stage, StageConfig, main
from nanodt.train import CHECKPOINT, TRAINING, facts, train
from nanodt.training.manifest import NOT_FINGERPRINT
from nanodt.training.options import PRESETS, Preset, TrainConfig, TrainOptions, parse


@dataclass(kw_only=True)
class Config(TrainOptions, StageConfig):
    """Train nanodt on the dataset of a run."""

    preset: Preset = "demo"
    """Picks the defaults of the other options: demo (minutes on a laptop), paper (the full size, an
    hour), gpu (large batches in mixed precision)."""

    presets: ClassVar = PRESETS
    not_fingerprint: ClassVar = NOT_FINGERPRINT


def run(config: Config) -> Path:
    """Stage 07: dataset and tokenizer → `model/`.

    Raises:
        nanodt.InputError: an option or the data is unfit (see the message).
    """
    with Stage(config, "model", inputs=("dataset", "tokenizer")) as stage:
        if stage.done:
            return stage.folder
        stage.scratch(CHECKPOINT)
        train(
            TrainConfig(
                data=stage.input("dataset"),
                tokenizer=stage.input("tokenizer"),
                out=stage.partial,
                preset=config.preset,
                seed=config.seed,
                **{f.name: getattr(config, f.name) for f in fields(TrainOptions)},
            )
        )
        best = read_json(stage.path(TRAINING))["best"]
        stage.rows["steps"] = config.steps
        stage.facts.update(facts(nanodt.load(stage.partial).network, best))
    return stage.folder


if __name__ == "__main__":
    main(run, Config, __doc__, nanodt.InputError,
         parse=lambda kind, doc: parse(kind, sys.argv[1:], doc))  # fmt: skip
