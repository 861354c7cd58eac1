"""The options of a training run: what they mean, their defaults, presets and bounds."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from annotated_types import Ge, Gt, Le

from nanodt.errors import InputError
from nanodt.model.heads import HeadKind
from nanodt.text.encoders import TextKind
from nanodt.training.bounds import BelowOne, Share, show_bounds

C = TypeVar("C")
Preset = Literal["demo", "paper", "gpu"]
TOKENS_PER_STEP: Literal[1, 3] = 1
"""The default of --tokens-per-step, for all presets."""


@dataclass(kw_only=True)
class TrainOptions:
    """What shapes a policy and its training. The defaults are those of the preset demo."""

    # What the network sees.

    layout: Literal["full", "plain"] = "full"
    """full: what obeys best for its time. plain: the layout as it was published: the text, then
    target (bd), observation (o) and action (a) of each timestep as three tokens, whole stretches of
    recorded trajectories, nothing reckoned. Picks the defaults of the other options."""
    block_size: Annotated[int, Ge(2)] = 350
    """Context: so many tokens at most, text included."""
    tokens_per_step: Literal[1, 3] = TOKENS_PER_STEP
    """3: target, observation and action of a timestep are a token each. 1: they are added up in one
    token, for a third of the compute."""
    window: Annotated[int | None, Ge(1)] = 4
    """Timesteps in the context at most, however many would fit (None: as many as fit). For the same
    compute, many short windows show more trajectories than a few long ones."""
    windows_per_text: Annotated[int, Ge(1)] = 12
    """Windows drawn of each trajectory in a batch. They share one copy of its text, which is then
    computed once: more timesteps for the compute, fewer texts."""
    hide_actions: bool = True
    """Do not show past actions. A policy that sees what it just did learns to repeat it, which
    costs little in the data and leads astray when it drives (the copycat problem: de Haan et al.
    2019, Causal confusion in imitation learning)."""
    odometry: bool = True
    """Let observations carry the pose that the robot reckons from its own past actions and contact
    sensors, and where the target lies from there (needs a dataset that describes the wheels)."""
    visitation_map: Annotated[int, Ge(0)] = 16
    """Let observations carry a map of where the robot has been and how long ago, so many cells per
    side; 0 = none. Needs --odometry."""
    embedding: Literal["mlp", "linear"] = "mlp"
    """How observations, actions and targets become tokens."""

    # The network.

    n_layer: Annotated[int, Ge(1)] = 3
    """Blocks of the transformer."""
    n_head: Annotated[int, Ge(1)] = 4
    """Attention heads per block; n_embd must be a multiple."""
    n_embd: Annotated[int, Ge(1)] = 128
    """Width."""
    dropout: Annotated[float, Ge(0), Le(0.99)] = 0.0
    """Share of hidden states and attention weights that training leaves out; above 0 it is about
    three times slower on a CPU."""

    # The action.

    head: HeadKind = "mse"
    """How actions are predicted: mse (one mean action), tanh (the same, within bounds), clusters
    (k-means centre and offset), bins (a distribution per dimension), discrete (class numbers)."""
    clusters: Annotated[int, Ge(2)] = 16
    """head clusters: centres."""
    joint: bool = True
    """head clusters: cluster whole actions, or each dimension by itself."""
    focal_gamma: Annotated[float, Ge(0)] = 2.0
    """head clusters: how much the loss looks away from what is already sure."""
    offset_weight: Annotated[float, Ge(0)] = 1.0
    """head clusters: weight of the offset's loss."""
    bins: Annotated[int | None, Ge(2)] = None
    """head bins: values per dimension; by default those the actions' decimals allow."""

    # The text.

    text_encoder: TextKind = "tokens"
    """tokens (learned, our tokenizer), sentence (a frozen sentence-transformers model), endpoint
    (an OpenAI-compatible embeddings server)."""
    text_model: str = "sentence-transformers/all-MiniLM-L6-v2"
    """sentence: name or path; endpoint: the model's name there."""
    text_base_url: str | None = None
    """endpoint: where, when it is not api.openai.com."""
    text_prefix: Annotated[int, Ge(1)] = 4
    """sentence, endpoint: tokens that a text becomes."""

    # What it learns from.

    augmentation_share: Share = 1.0
    """Share of the steps to learn from that the dataset's augmentation makes up, where it has any
    (0 = recorded trajectories only, 1 = augmentation only)."""
    text_dropout: Share = 0.1
    """How often a window comes without its text, so that the policy can drive without one."""
    bd_dropout: Share = 0.1
    """How often a window comes without its target, so that the policy can drive by text alone."""
    token_corruption: Annotated[float, Ge(0), Le(0.5)] = 0.1
    """Share of a text's tokens that are replaced by random ones, in one text up to twice as many:
    words it never met shall not lead a policy astray. Encoder tokens only."""
    future_position_weight: Annotated[float, Ge(0)] = 0.5
    """Weight of an auxiliary loss: predict where the robot will be in 8, 24 and 60 steps; 0 = none.
    Needs --odometry."""
    next_subgoal_weight: Annotated[float, Ge(0)] = 0.2
    """Weight of an auxiliary loss: name the next place on the way (needs a dataset that names
    them); 0 = none."""
    subgoal_first: bool = True
    """Choose the next place first, and the action for it: squared error takes the mean of two ways
    that are both right. Needs --next-subgoal-weight."""

    # Optimisation.

    steps: Annotated[int, Ge(1)] = 2400
    """Optimiser steps."""
    batch_size: Annotated[int, Ge(1)] = 32
    """Texts (with their windows) per optimiser step, over all processes."""
    micro_batch: Annotated[int, Ge(1)] = 16
    """Of those, computed at once: small enough to stay in the caches, gradients add up."""
    lr: Annotated[float, Gt(0)] = 2e-3
    """Largest learning rate, after the warm-up."""
    min_lr: Share = 0.05
    """Last learning rate, as a share of lr."""
    warmup: Annotated[int, Ge(0)] = 100
    """Steps until the learning rate is at its largest."""
    weight_decay: Annotated[float, Ge(0)] = 0.1
    """Of matrices only."""
    optimizer: Literal["muon", "adamw"] = "muon"
    """muon: for the transformer's matrices, AdamW for the rest; adamw: for everything."""
    betas: tuple[BelowOne, BelowOne] = (0.9, 0.95)
    """Of AdamW."""
    clip: Annotated[float, Gt(0)] = 1.0
    """Largest gradient norm."""

    # The machine.

    device: str = "auto"
    """cpu, cuda, cuda:1, …; auto takes a GPU where there is one."""
    amp: Literal["none", "bfloat16", "float16"] = "none"
    """Mixed precision."""
    tf32: bool = False
    """Faster, coarser float32 products on a GPU."""
    compile: bool = False
    """torch.compile the transformer."""

    # What is measured and kept meanwhile.

    log_every: Annotated[int, Ge(1)] = 20
    """Steps between lines of log.jsonl."""
    checkpoint_every: Annotated[int, Ge(1)] = 250
    """Steps between checkpoints: what a kill can cost."""
    score_every: Annotated[int, Ge(1)] = 1200
    """Steps between validation loss and closed-loop score."""
    score_items: Annotated[int, Ge(0)] = 128
    """Validation instructions driven in closed loop; 0 = none."""
    tracker: Literal["none", "tensorboard", "wandb", "trackio"] = "none"
    """Where the log goes besides log.jsonl."""


@dataclass(kw_only=True)
class TrainConfig(TrainOptions):
    """One training run: what to learn from, where to, and how."""

    data: Path | None = None
    """Dataset folder, or the id of a published one on the Hub; by default that of the newest run in
    runs/."""
    out: Path | None = None
    """Folder of the model; by default model/ beside the dataset."""
    tokenizer: Path | None = None
    """Folder (or file) of the tokenizer; by default tokenizer/ beside the dataset. Needed by the
    text encoder tokens."""
    preset: Preset = "demo"
    """Picks the defaults of the other options: demo (minutes on a laptop), paper (the full size, an
    hour), gpu (large batches in mixed precision)."""
    seed: Annotated[int, Ge(0)] = 0
    """Seed of the weights and of every draw."""
    redo: bool = False
    """Replace what OUT holds: a finished model, or the checkpoint of one with other options."""


PRESETS: dict[str, dict[str, Any]] = {
    "demo": {},
    "paper": {
        "n_layer": 4,
        "batch_size": 64,
        "steps": 9600,
        "score_every": 4800,
        "score_items": 256,
    },
    "gpu": {
        "n_layer": 4,
        "batch_size": 256,
        "micro_batch": 256,
        "steps": 20_000,
        "amp": "bfloat16",
        "tf32": True,
        "compile": True,
    },
}
LAYOUTS: dict[str, dict[str, Any]] = {
    "full": {},
    "plain": {
        "tokens_per_step": 3,
        "window": None,
        "windows_per_text": 1,
        "hide_actions": False,
        "odometry": False,
        "visitation_map": 0,
        "augmentation_share": 0.0,
        "token_corruption": 0.0,
        "future_position_weight": 0.0,
        "next_subgoal_weight": 0.0,
        "subgoal_first": False,
        "optimizer": "adamw",
        "n_layer": 4,
        "batch_size": 64,
        "micro_batch": 8,
        "lr": 1e-3,
    },
}
# What may differ between a run and its continuation without changing a weight.
WITHOUT_EFFECT = {
    *("data", "out", "tokenizer", "redo", "preset", "layout"),
    *("log_every", "checkpoint_every", "tracker", "device"),
}
RENAMED = {
    "one-token": "--tokens-per-step 1",
    "no-one-token": "--tokens-per-step 3",
    "trail": "--visitation-map",
    "practice-share": "--augmentation-share",
    "text-noise": "--token-corruption",
    "foresight": "--future-position-weight",
    "milestone": "--next-subgoal-weight",
}


def parse(
    kind: type[C], arguments: Sequence[str], description: str | None, prog: str | None = None
) -> C:
    """Options from command-line words; --preset and --layout set what --help shows as defaults.

    Raises InputError for an option that has another name now.
    """
    import tyro  # only a command line needs it

    for word in arguments:
        name = word.partition("=")[0].removeprefix("--").replace("_", "-")
        if word.startswith("--") and name in RENAMED:
            raise InputError(f"--{name} is now called {RENAMED[name]}")
    finder = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    finder.add_argument("--preset", default="demo")
    finder.add_argument("--layout", default="full")
    found = finder.parse_known_args([word.replace("_", "-") for word in arguments])[0]
    # A misspelt one is no default: tyro would take it for a further choice.
    preset = found.preset if found.preset in PRESETS else "demo"
    layout = found.layout if found.layout in LAYOUTS else "full"
    chosen = {**PRESETS[preset], **LAYOUTS[layout], "preset": preset, "layout": layout}
    return tyro.cli(
        show_bounds(kind),
        default=kind(**chosen),
        args=arguments,
        description=description,
        prog=prog,
    )


def newest_run(runs: Path) -> Path:
    """The run in a folder of runs whose dataset, with a tokenizer beside it, is the newest."""
    found = [
        path.parent
        for path in runs.glob("*/dataset")
        if (path / "dataset.json").exists() and (path.parent / "tokenizer").exists()
    ]
    if not found:
        raise InputError(
            f"no run with a dataset/ and a tokenizer/ in {runs}/: make one (`make demo`), or give "
            "--data, --tokenizer and --out"
        )
    return max(found, key=lambda run: (run / "dataset" / "dataset.json").stat().st_mtime)
