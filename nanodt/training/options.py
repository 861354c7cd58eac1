"""The options of a training run, and the fresh model they describe."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch

from nanodt.data.folder import INFO, Dataset
from nanodt.errors import InputError
from nanodt.model.auxiliary import AuxiliaryConfig
from nanodt.model.heads import HeadConfig, HeadKind
from nanodt.model.network import Model, ModelConfig, TrunkConfig
from nanodt.model.stream import VectorCode
from nanodt.place.odometry import OdometryConfig
from nanodt.text.encoders import (
    VECTORS,
    TextConfig,
    TextKind,
    TokenEncoder,
    VectorCache,
    VectorEncoder,
    frozen_embedder,
)
from nanodt.text.tokenizer import Tokenizer


@dataclass(kw_only=True)
class TrainOptions:
    """What shapes a policy and its training."""

    block_size: int = 350
    """Tokens in a row, text included."""
    window: int | None = None
    """Timesteps in a row at most, however many tokens would fit. For the same compute, many short
    windows see more trajectories than a few long ones."""
    windows_per_text: int = 1
    """Windows drawn of each trajectory in a batch. They share one copy of its text, which is then
    computed once: more timesteps for the compute, fewer texts."""
    one_token: bool = False
    """One token per timestep, in which bd, o and the last a are added up, rather than three: a
    third of the compute."""
    n_layer: int = 4
    """Blocks of the transformer."""
    n_head: int = 4
    """Attention heads per block; n_embd must be a multiple."""
    n_embd: int = 128
    """Width."""
    dropout: float = 0.0
    """Of hidden states and attention; above 0 it is about three times slower on a CPU."""
    embedding: Literal["mlp", "linear"] = "mlp"
    """How observations, actions and BDs become tokens."""

    hide_actions: bool = False
    """Put one learned token in the place of every past action, or with --one-token none. A policy
    that sees what it just did learns to repeat it, which costs little in the data and leads astray
    when it drives (the copycat problem: de Haan et al. 2019, Causal confusion in imitation
    learning)."""

    odometry: bool = False
    """Let the o tokens carry the pose that the robot reckons from its own past actions and contact
    sensors, and where the target lies from there. The dataset must describe the wheels."""

    trail: int = 0
    """Let the o tokens also carry a map of so many cells per side, of where the robot has been and
    how long ago. Needs --odometry."""

    head: HeadKind = "mse"
    """How actions are predicted: mse (one mean action), tanh (the same, within bounds), clusters
    (k-means centre and offset), bins (a distribution per dimension), discrete (class numbers)."""
    clusters: int = 16
    """head clusters: centres."""
    joint: bool = True
    """head clusters: cluster whole actions, or each dimension by itself."""
    focal_gamma: float = 2.0
    """head clusters: how much the loss looks away from what is already sure."""
    offset_weight: float = 1.0
    """head clusters: weight of the offset's loss."""
    bins: int | None = None
    """head bins: values per dimension; by default those the actions' decimals allow."""

    text_encoder: TextKind = "tokens"
    """tokens (learned, our tokenizer), sentence (a frozen sentence-transformers model), endpoint
    (an OpenAI-compatible embeddings server)."""
    text_model: str = "sentence-transformers/all-MiniLM-L6-v2"
    """sentence: name or path; endpoint: the model's name there."""
    text_base_url: str | None = None
    """endpoint: where, when it is not api.openai.com."""
    text_prefix: int = 4
    """sentence, endpoint: prefix tokens per text."""

    practice_share: float = 0.0
    """Share of the steps to learn from that practice drives make up, where the dataset has any (0 =
    recorded trajectories only, 1 = practice only)."""
    steps: int = 2000
    """Optimiser steps."""
    batch_size: int = 64
    """Texts (with their windows) per optimiser step, over all processes."""
    micro_batch: int = 8
    """Of those, computed at once: small enough to stay in the caches, gradients add up."""
    lr: float = 1e-3
    """Largest learning rate, after the warm-up."""
    min_lr: float = 0.05
    """Last learning rate, as a share of lr."""
    warmup: int = 100
    """Steps until the learning rate is at its largest."""
    weight_decay: float = 0.1
    """Of matrices only."""
    betas: tuple[float, float] = (0.9, 0.95)
    """Of AdamW."""
    clip: float = 1.0
    """Largest gradient norm."""
    text_dropout: float = 0.1
    """How often a window comes without its text, so that the policy can drive without one."""
    text_noise: float = 0.0
    """Share of a text's tokens that are read as random ones, in one text up to twice as many: what
    it never heard shall not lead a policy astray. Encoder tokens only."""
    bd_dropout: float = 0.1
    """How often a window comes without its BD."""

    foresight: float = 0.0
    """Weight of an auxiliary loss: foretell where the robot will be in 8, 24 and 60 steps. Needs
    --odometry."""
    milestone: float = 0.0
    """Weight of an auxiliary loss: name the next place on the way (the dataset's subgoals)."""

    device: str = "auto"
    """cpu, cuda, cuda:1, …; auto takes a GPU where there is one."""
    amp: Literal["none", "bfloat16", "float16"] = "none"
    """Mixed precision."""
    tf32: bool = False
    """Faster, coarser float32 products on a GPU."""
    compile: bool = False
    """torch.compile the trunk."""

    log_every: int = 20
    """Steps between lines of log.jsonl."""
    checkpoint_every: int = 250
    """Steps between checkpoints: what a kill can cost."""
    score_every: int = 500
    """Steps between validation loss and closed-loop score."""
    score_items: int = 32
    """Validation trajectories driven in closed loop; 0 = none."""
    tracker: Literal["none", "tensorboard", "wandb", "trackio"] = "none"
    """Where the log goes besides log.jsonl."""


ABOVE_0 = 1e-12
LIMITS: dict[str, tuple[float, float]] = {
    **dict.fromkeys(
        ("window", "windows_per_text", "n_layer", "n_head", "n_embd", "text_prefix"), (1, math.inf)
    ),
    **dict.fromkeys(("steps", "batch_size", "micro_batch"), (1, math.inf)),
    **dict.fromkeys(("log_every", "checkpoint_every", "score_every"), (1, math.inf)),
    **dict.fromkeys(("block_size", "clusters", "bins"), (2, math.inf)),
    **dict.fromkeys(("trail", "warmup", "score_items", "weight_decay"), (0, math.inf)),
    **dict.fromkeys(("focal_gamma", "offset_weight", "foresight", "milestone"), (0, math.inf)),
    **dict.fromkeys(("practice_share", "text_dropout", "bd_dropout", "min_lr"), (0, 1)),
    **dict.fromkeys(("lr", "clip"), (ABOVE_0, math.inf)),
    "text_noise": (0, 0.5),
    "dropout": (0, 0.99),
    "seed": (0, 2**31),
}
"""Least and largest value of the numeric options; None is always allowed where it is a default."""


def check_options(options: TrainOptions) -> None:
    """Raise InputError for the first option out of its range."""
    for name, (least, most) in LIMITS.items():
        value = getattr(options, name, None)
        if value is not None and not least <= value <= most:
            expected = "above 0" if least == ABOVE_0 else f"at least {least}"
            if most < math.inf:
                expected += f" and at most {most}"
            raise InputError(f"--{name.replace('_', '-')} {value}: expected {expected}")
    if not all(0 <= beta < 1 for beta in options.betas):
        raise InputError(f"--betas {options.betas}: expected two numbers from 0 to below 1")


@dataclass(kw_only=True)
class TrainConfig(TrainOptions):
    """One training run: what to learn from, where to, and how."""

    data: Path
    """Dataset folder."""
    out: Path
    """Folder of the model."""
    tokenizer: Path | None = None
    """Folder (or file) of the tokenizer; needed by the text encoder `tokens`."""
    preset: Literal["laptop", "gpu"] = "laptop"
    """Picks the defaults of the other options."""
    seed: int = 0
    """Seed of the weights and of every draw."""
    redo: bool = False
    """Replace what OUT holds."""


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
NOT_SETTINGS = {
    *("data", "out", "tokenizer", "redo", "preset"),
    *("log_every", "checkpoint_every", "tracker", "device"),
}


def build_model(config: TrainConfig, dataset: Dataset) -> Model:
    """A fresh model for a dataset, its statistics fitted on the training split."""
    info, train = dataset.info, dataset.split("train")
    check_options(config)
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
    odometry = None
    if config.odometry:
        if not info.get("odometry"):
            raise InputError(
                f"{dataset.folder / INFO}: no field odometry, which --odometry needs: the robot's "
                "wheels are not known; train without it"
            )
        odometry = OdometryConfig.from_json(info["odometry"])
    if config.text_noise and config.text_encoder != "tokens":
        raise InputError(
            "--text-noise garbles tokens, and --text-encoder "
            f"{config.text_encoder} has none: give --text-noise 0"
        )
    names = info.get("subgoals") or []
    if config.milestone and (not names or train.milestone is None):
        raise InputError(
            f"{dataset.folder}: no subgoals in the dataset, which --milestone needs: make it "
            "anew, or train without"
        )
    for name in ("foresight", "trail"):
        if getattr(config, name) and odometry is None:
            raise InputError(
                f"--{name} needs to know where the robot is: give --odometry too, or --{name} 0"
            )
    reach = float(np.abs([info["action_low"], info["action_high"]]).max())
    auxiliary = AuxiliaryConfig(config.foresight, config.milestone, len(names), reach)
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
            window=config.window,
            trunk=trunk,
            one_token=config.one_token,
            hide_actions=config.hide_actions,
            odometry=odometry,
            trail=config.trail,
            embedding=config.embedding,
            head=head,
            text=text,
            auxiliary=auxiliary,
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
        if name in model.stream.codes:
            code = model.stream.codes[name]
            if isinstance(code, VectorCode):
                code.fit(values)
    model.head.fit(train.action if train.target is None else train.target, config.seed)
    return model
