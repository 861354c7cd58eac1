"""Train the policy: text tokens, then a token or three of bd, o and a for every step.

Reads dataset/ and tokenizer/, writes model/: config.json, model.safetensors (whose drives of the
validation split ended nearest, or a later one that was as good), tokenizer.json, words.json,
training.json and log.jsonl. Killed and run again it goes on from its last checkpoint and ends with
the same weights. It is

    python -m nanodt.train --data RUN/dataset --tokenizer RUN/tokenizer --out RUN/model

with this run's bookkeeping around it and, in its presets, the options that obeyed best
(docs/policy.md); nanodt.train by itself keeps the plain layout.

Example: python scripts/07_train.py --run runs/demo --block-size 350 --steps 2000
"""

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, ClassVar

import nanodt
from archive_tools.run.options import main
from archive_tools.run.stage import Stage, StageConfig
from archive_tools.run.tables import read_json
from nanodt.data.folder import INFO
from nanodt.train import CHECKPOINT, train
from nanodt.training.options import TrainConfig, TrainOptions

# What obeyed best for its time (docs/log.md); python -m nanodt.train keeps the plain defaults.
OBEDIENT: dict[str, Any] = {
    "one_token": True,
    "hide_actions": True,
    "odometry": True,
    "trail": 16,
    "practice_share": 1.0,
    "foresight": 0.5,
    "milestone": 0.2,
    "text_noise": 0.1,
    "window": 4,
    "windows_per_text": 12,
    "block_size": 232,
    "batch_size": 64,
    "micro_batch": 16,
}


@dataclass(kw_only=True)
class Config(TrainOptions, StageConfig):
    """Train nanodt on the dataset of a run."""

    presets: ClassVar[dict[str, dict[str, Any]]] = {
        "demo": {
            **OBEDIENT,
            "n_layer": 3,
            "batch_size": 32,
            "lr": 2e-3,
            "steps": 1600,
            "score_every": 800,
            "score_items": 128,
        },
        "paper": {
            **OBEDIENT,
            "n_layer": 4,
            "lr": 2e-3,
            "steps": 9600,
            "score_every": 2400,
            "score_items": 256,
        },
    }
    not_fingerprint: ClassVar[set[str]] = {"log_every", "tracker", "device"}


def run(config: Config) -> Path:
    """Stage 07: dataset and tokenizer → `model/`.

    Raises:
        nanodt.InputError: an option or the data is unfit (see the message).
    """
    with Stage(config, "model", inputs=("dataset", "tokenizer")) as stage:
        if stage.done:
            return stage.folder
        options = {f.name: getattr(config, f.name) for f in fields(TrainOptions)}
        if options["odometry"] and "odometry" not in read_json(stage.input("dataset") / INFO):
            print("the robot's wheels are not known: training without odometry and what needs it")
            options |= {"odometry": False, "foresight": 0.0, "trail": 0}
        if options["text_encoder"] != "tokens" and options["text_noise"]:
            print("texts are not read token by token: training without --text-noise")
            options["text_noise"] = 0.0
        stage.scratch(CHECKPOINT)
        train(
            TrainConfig(
                data=stage.input("dataset"),
                tokenizer=stage.input("tokenizer"),
                out=stage.partial,
                seed=config.seed,
                **options,
            )
        )
        best = read_json(stage.path("training.json"))["best"]
        model = nanodt.load(stage.partial).model
        stage.rows["steps"] = config.steps
        stage.facts.update(
            parameters=sum(p.numel() for p in model.parameters()),
            best_step=best["step"],
            **{k: round(v, 4) for k, v in best.items() if k.startswith(("val_", "bd_"))},
        )
    return stage.folder


if __name__ == "__main__":
    main(run, Config, __doc__, nanodt.InputError)
