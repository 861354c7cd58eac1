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
from nanodt.training.bounds import BelowOne, Share, parse_words, refuse_empty

C = TypeVar("C")
Preset = Literal["demo", "paper", "gpu"]


@dataclass(kw_only=True)
class RunOptions:
    """What to learn from, and where to."""

    preset: Preset = "demo"
    """Which sizes the other options take by default. demo: minutes on a laptop. paper: four blocks,
    twice the batch, four times the steps: an hour or more. gpu: large batches in mixed precision.
    `--preset NAME --help` shows them."""
    data: Path | None = None
    """Dataset folder, or the id of a published one on the Hugging Face Hub; by default that of the
    newest run in runs/."""
    tokenizer: Path | None = None
    """Folder (or file) of the tokenizer; by default tokenizer/ beside the dataset. Only for
    --text-encoder tokens."""
    out: Path | None = None
    """Folder of the model; by default model/ beside the dataset."""
    seed: Annotated[int, Ge(0)] = 0
    """Seed of the weights and of every draw."""
    redo: bool = False
    """Replace what OUT holds. Otherwise a finished model is left as it is, and one that was made or
    begun with other options is an error that names them."""

    @property
    def folder(self) -> Path:
        """Of the model: --out, given or found beside the dataset."""
        if self.out is None:
            raise InputError("--out is missing: the folder of the model")
        return self.out

    @property
    def dataset(self) -> Path:
        """The folder --data, given or found."""
        if self.data is None:
            raise InputError("--data is missing: the folder of the dataset")
        return self.data


@dataclass(kw_only=True)
class TrainOptions:
    """What shapes a policy and its training. The defaults are those of the preset demo."""

    # What the network sees.

    layout: Literal["full", "plain"] = "full"
    """Which defaults the other options take; it wins over --preset. full: everything that made
    policies obey better. plain: a Decision Transformer with a text and a target in front, as
    published (Salehi & Doncieux 2023): whole stretches of recorded trajectories, past actions
    shown, no odometry, no augmentation, no auxiliary losses."""
    block_size: Annotated[int, Ge(2)] = 350
    """Most tokens of one context: a text and one window of timesteps. A text that leaves no room
    for a timestep is refused."""
    tokens_per_step: Literal[1, 3] = 1
    """3: target (bd: the behaviour descriptor to reach), observation and action of a timestep are a
    token each; give --windows-per-text 6 with it, for about the same time. 1: they are added up in
    one token: more timesteps for the compute, and 0.02 of the route better."""
    window: Annotated[int | None, Ge(1)] = 4
    """Most timesteps of a context (None: as many as fit into --block-size). With odometry and map a
    few suffice, and for the same compute many short windows show more trajectories than long ones;
    without them take 24 or more."""
    windows_per_text: Annotated[int, Ge(1)] = 12
    """Windows drawn from each trajectory of a batch, anywhere in it. The text before them is
    computed once: more windows learn from more timesteps of fewer trajectories."""
    hide_actions: bool = True
    """Put a blank in the place of every past action. A policy that sees what it just did learns to
    repeat it: its training loss is lower, and it drives worse (the copycat problem: de Haan et al.
    2019, Causal confusion in imitation learning)."""
    odometry: bool = True
    """Add to each observation the pose added up from past actions and contact sensors, and where
    the target lies as seen from it. Only for a robot on two driven wheels, which the dataset
    describes."""
    visitation_map: Annotated[int, Ge(0)] = 16
    """Add to each observation a map of where the robot has been and how long ago: a grid over the
    whole world, so many cells per side; 0 = none. Needs --odometry."""
    embedding: Literal["mlp", "linear"] = "mlp"
    """What turns observations, actions and targets into tokens: one hidden layer, or none."""

    # The network.

    n_layer: Annotated[int, Ge(1)] = 3
    """Blocks of the transformer."""
    n_head: Annotated[int, Ge(1)] = 4
    """Attention heads per block; n_embd must be a multiple."""
    n_embd: Annotated[int, Ge(1)] = 128
    """Width of the transformer."""
    dropout: Annotated[float, Ge(0), Le(0.99)] = 0.0
    """Share of hidden states and attention weights that training leaves out; above 0 it is about
    three times slower on a CPU."""

    # The action.

    head: HeadKind = "mse"
    """How actions are predicted. mse: their mean, the usual choice. tanh: the mean, kept within the
    dataset's bounds of actions. clusters: the nearest of a few typical actions, plus an offset
    (Behavior Transformer). bins: a distribution over classes of each dimension, drawn from.
    discrete: for datasets whose actions are class numbers, which take it by themselves."""
    clusters: Annotated[int, Ge(2)] = 16
    """Of --head clusters: how many typical actions (k-means centres)."""
    joint: bool = True
    """Of --head clusters: cluster whole actions; --no-joint: each dimension by itself."""
    focal_gamma: Annotated[float, Ge(0)] = 2.0
    """Of --head clusters: exponent of the focal loss, which counts what is predicted surely for
    less; 0 = cross-entropy."""
    offset_weight: Annotated[float, Ge(0)] = 1.0
    """Of --head clusters: weight of the offset's loss."""
    bins: Annotated[int | None, Ge(2)] = None
    """Of --head bins: classes per dimension (None: one for each value that the recorded actions'
    decimals allow)."""

    # The text.

    text_encoder: TextKind = "tokens"
    """What reads the text. tokens: the transformer itself, through the run's tokenizer. sentence: a
    frozen sentence-transformers model, whose vector becomes a few tokens. endpoint: the same from
    an OpenAI-compatible embeddings server (its key in OPENAI_API_KEY; vectors are kept, so that
    none is paid twice)."""
    text_model: str = "sentence-transformers/all-MiniLM-L6-v2"
    """Of --text-encoder sentence: name or folder of the model; of endpoint: its name there."""
    text_base_url: str | None = None
    """Of --text-encoder endpoint: its address, where it is not api.openai.com."""
    text_prefix: Annotated[int, Ge(1)] = 4
    """Of --text-encoder sentence and endpoint: tokens that a vector is projected to."""

    # What it learns from.

    augmentation_share: Share = 1.0
    """Share of the windows that come from the dataset's augmentation, where it has any: practice
    drives along the recorded trajectories that also show how to come back. 0 = recorded
    trajectories only; 1 = practice drives only, which obeyed best."""
    text_dropout: Share = 0.1
    """How often a window comes without its text, so that the policy can drive without one. Drawn
    independently of --bd-dropout."""
    bd_dropout: Share = 0.1
    """How often a window comes without its target, so that the policy can drive by text alone."""
    token_corruption: Annotated[float, Ge(0), Le(0.5)] = 0.1
    """Share of text tokens that are replaced by random ones (drawn anew for each text, from 0 to
    twice as much), so that unknown words do less harm. Only with --text-encoder tokens."""
    future_position_weight: Annotated[float, Ge(0)] = 0.5
    """Weight, beside the action's loss, of predicting where the robot will be in 8, 24 and 60
    timesteps; 0 = none. Needs --odometry."""
    next_subgoal_weight: Annotated[float, Ge(0)] = 0.2
    """Weight, beside the action's loss, of naming the next place on the way; 0 = none. Needs a
    dataset that names places."""
    subgoal_first: bool = True
    """Name the next place, and predict the action for that place. Otherwise, where two ways are
    right, a mean action leads between them. Needs --next-subgoal-weight."""

    # Optimisation.

    steps: Annotated[int, Ge(1)] = 2400
    """Optimiser steps. More is better, up to the preset paper's 9600 at least."""
    batch_size: Annotated[int, Ge(1)] = 32
    """Texts, each with its windows, per optimiser step, over all processes."""
    micro_batch: Annotated[int, Ge(1)] = 16
    """How many of a process's texts are computed at once; their gradients add up. On a CPU small
    parts stay in its caches; on a GPU as many as fit into memory. The result is the same."""
    lr: Annotated[float, Gt(0)] = 2e-3
    """Largest learning rate, after the warm-up; then half a cosine down. The same for muon, whose
    updates are scaled to AdamW's size, and for adamw."""
    min_lr: Share = 0.05
    """Last learning rate, as a share of --lr."""
    warmup: Annotated[int, Ge(0)] = 100
    """Optimiser steps until the learning rate is at its largest."""
    weight_decay: Annotated[float, Ge(0)] = 0.1
    """Of matrices only."""
    optimizer: Literal["muon", "adamw"] = "muon"
    """muon: for the transformer's matrices (Jordan et al. 2024), AdamW for the rest; adamw: for
    everything."""
    betas: tuple[BelowOne, BelowOne] = (0.9, 0.95)
    """Of AdamW."""
    clip: Annotated[float, Gt(0)] = 1.0
    """Largest norm of the gradient; a larger one is scaled down."""

    # The machine.

    device: str = "auto"
    """cpu, cuda, cuda:1, …; auto takes a GPU where there is one."""
    amp: Literal["none", "bfloat16", "float16"] = "none"
    """Mixed precision: for GPUs, where it is faster; slower on a CPU."""
    tf32: bool = False
    """Faster, coarser float32 products on a GPU."""
    compile: bool = False
    """torch.compile the transformer: for GPUs; it takes a minute to begin."""

    # What is measured and kept meanwhile.

    log_every: Annotated[int, Ge(1)] = 20
    """Optimiser steps between lines of log.jsonl."""
    checkpoint_every: Annotated[int, Ge(1)] = 250
    """Optimiser steps between checkpoints: what a kill can cost."""
    score_every: Annotated[int, Ge(1)] = 1200
    """Optimiser steps between validations: the loss on unseen windows, and the distance to the
    target at which driven instructions end. The weights with the least distance are kept."""
    score_items: Annotated[int, Ge(0)] = 128
    """Validation instructions driven each time, in the dataset's environment; 0 = none, and the
    weights with the least loss are kept."""
    tracker: Literal["none", "tensorboard", "wandb", "trackio"] = "none"
    """Where the log goes besides log.jsonl."""


@dataclass(kw_only=True)
class TrainConfig(TrainOptions, RunOptions):
    """One training run: what to learn from, where to, and how."""


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

    Raises InputError for an option that is not there, has another name now, or is given as "".
    """
    refuse_empty(arguments)
    for word in arguments:
        name = word.partition("=")[0].removeprefix("--").replace("_", "-")
        if word.startswith("--") and name in RENAMED:
            raise InputError(f"--{name} is now called {RENAMED[name]}")
    finder = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    finder.add_argument("--preset", nargs="?")
    finder.add_argument("--layout", nargs="?")
    found = finder.parse_known_args([word.replace("_", "-") for word in arguments])[0]
    # A missing or misspelt one is no default: tyro says so.
    preset = found.preset if found.preset in PRESETS else "demo"
    layout = found.layout if found.layout in LAYOUTS else "full"
    chosen = {**PRESETS[preset], **LAYOUTS[layout], "preset": preset, "layout": layout}
    return parse_words(kind, arguments, default=kind(**chosen), description=description, prog=prog)


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
