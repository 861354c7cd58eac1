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
    """Default sizes of model, batch and training. demo: minutes on a laptop. paper: four blocks,
    twice the batch, four times the steps: an hour or more. gpu: batches of 256, 20,000 steps,
    bfloat16. `--preset NAME --help` shows them."""
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
    """Default method: its input, data, losses and optimiser. full: all that made policies follow
    texts better. plain: a Decision Transformer with a text in front and the target at every
    timestep, as published (Salehi & Doncieux 2023): long windows of recorded trajectories, past
    actions shown, no odometry, no augmentation, no auxiliary losses; its sizes are its own, unless
    --preset paper or gpu sets them."""
    block_size: Annotated[int, Ge(2)] = 350
    """Most tokens of one context: a text and one window of timesteps; training stops with a message
    where a text leaves no room for a timestep. A small --window stays far below it."""
    tokens_per_step: Literal[1, 3] = 1
    """3: target (bd: the behaviour descriptor to reach), observation and action of a timestep are a
    token each; give --windows-per-text 6 with it, for about the same time. 1: they are added up in
    one token: more timesteps for the compute; 0.02 to 0.03 more of the places told are passed, in
    order."""
    window: Annotated[int | None, Ge(1)] = 4
    """Most timesteps of a context (None: as many as fit into --block-size). With odometry and map a
    few suffice, and for the same compute many short windows show more trajectories than long ones;
    without them take 24 or more."""
    windows_per_text: Annotated[int, Ge(1)] = 12
    """Windows drawn from each trajectory of a batch, anywhere in it. The text before them is
    computed once, so further windows are cheap; in equal time, more of them means fewer
    trajectories seen."""
    hide_actions: bool = True
    """Blank out past actions in the model's input. A policy that sees what it just did learns to
    repeat it: its training loss is lower, and it drives worse (the copycat problem: de Haan et al.
    2019, Causal confusion in imitation learning). Off where past actions tell what observations
    do not."""
    odometry: bool = True
    """Add to each observation the pose added up from past actions and contact sensors, and where
    the target lies as seen from it. Needs a robot on two driven wheels, described in
    dataset.json."""
    visitation_map: Annotated[int, Ge(0)] = 16
    """Add to each observation a map of where the robot has been and how long ago: a grid of N x N
    cells over the whole world; 0 = none. Needs --odometry."""
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
    """Share of hidden states and attention weights that training leaves out, for a validation loss
    that rises; above 0 it is about three times slower on a CPU."""

    # The action.

    head: HeadKind = "mse"
    """How actions are predicted. mse: their mean, the usual choice. tanh: the mean, kept within the
    dataset's bounds of actions. clusters: the nearest of a few typical actions, plus an offset
    (Behavior Transformer). bins: a distribution over classes of each dimension; actions are
    sampled. discrete: chosen by itself for datasets whose actions are class numbers."""
    clusters: Annotated[int, Ge(2)] = 16
    """Of --head clusters: how many typical actions (k-means centres)."""
    joint: bool = True
    """Of --head clusters: cluster whole actions; --no-joint: each dimension by itself."""
    focal_gamma: Annotated[float, Ge(0)] = 2.0
    """Of --head clusters: exponent of the focal loss; the higher, the less a sure and right
    prediction counts; 0 = cross-entropy."""
    offset_weight: Annotated[float, Ge(0)] = 1.0
    """Of --head clusters: weight of the offset's loss."""
    bins: Annotated[int | None, Ge(2)] = None
    """Of --head bins: classes per dimension (None: one per value at the precision of the recorded
    actions)."""

    # The text.

    text_encoder: TextKind = "tokens"
    """What reads the text. tokens: the transformer itself, through the run's tokenizer. sentence: a
    frozen sentence-transformers model, whose vector becomes a few tokens. endpoint: the same from
    an OpenAI-compatible embeddings server (its key in OPENAI_API_KEY; vectors are kept, so that
    none is paid twice)."""
    text_model: str = "sentence-transformers/all-MiniLM-L6-v2"
    """Of --text-encoder sentence: name or folder of the model; of endpoint: its name there."""
    text_base_url: str | None = None
    """Of --text-encoder endpoint: base URL (as http://127.0.0.1:8000/v1), if not OpenAI's."""
    text_prefix: Annotated[int, Ge(1)] = 4
    """Of --text-encoder sentence and endpoint: tokens that a vector is projected to."""

    # What it learns from.

    augmentation_share: Share = 1.0
    """Share of the windows that come from the dataset's augmentation, where it has any: an expert's
    simulated drives along the recorded trajectories, which also show how to come back to them. 0 =
    recorded trajectories only; 1 = augmentation only, which gave the best policies."""
    text_dropout: Share = 0.1
    """How often a window comes without its text, so that the policy can drive without one. Drawn
    independently of --bd-dropout."""
    bd_dropout: Share = 0.1
    """How often a window comes without its target, so that the policy can drive by text alone."""
    token_corruption: Annotated[float, Ge(0), Le(0.5)] = 0.1
    """Share of text tokens replaced by random ones, so that unknown words do less harm; each text's
    own share is uniform from 0 to twice this. Only with --text-encoder tokens."""
    future_position_weight: Annotated[float, Ge(0)] = 0.5
    """Auxiliary loss: weight of predicting where the robot will be in 8, 24 and 60 timesteps (the
    action's loss weighs 1); 0 = none. Needs --odometry."""
    next_subgoal_weight: Annotated[float, Ge(0)] = 0.2
    """Auxiliary loss: weight of naming the next subgoal, the place to pass next; 0 = none. Needs a
    dataset that names places."""
    subgoal_first: bool = True
    """Name the next subgoal, and predict the action for it. Otherwise, where two ways are right,
    the mean of both may lead into the wall between. Needs --next-subgoal-weight."""

    # Optimisation.

    steps: Annotated[int, Ge(1)] = 2400
    """Optimiser steps. More was better up to 9600 (preset paper), the most that was tried."""
    batch_size: Annotated[int, Ge(1)] = 32
    """Texts, each with its windows, per optimiser step, over all processes."""
    micro_batch: Annotated[int, Ge(1)] = 16
    """How many of a process's texts are computed at once; their gradients add up. Small
    is faster on a CPU; on a GPU take as many as fit into memory. The result is the same."""
    lr: Annotated[float, Gt(0)] = 2e-3
    """Largest learning rate, after the warm-up; then cosine decay. Muon's updates are scaled to the
    size of AdamW's."""
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
    """Mixed precision: faster on GPUs; on CPUs only bfloat16, and only where the CPU has it."""
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
    """Optimiser steps between validations: the loss on unseen windows, and how far from their
    targets drives of validation instructions end. The weights with the least mean distance are
    kept, or later ones within a standard error of it."""
    score_items: Annotated[int, Ge(0)] = 128
    """Validation instructions driven each time, in the dataset's environment, which must be
    installed; 0 = none, and the weights with the least loss are kept."""
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
    chosen = {**LAYOUTS[layout], **PRESETS[preset], "preset": preset, "layout": layout}
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
