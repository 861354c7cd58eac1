"""From options and a dataset to a fresh network."""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import Any

import numpy as np
import torch

from nanodt.data.folder import AUGMENTATION, INFO, Dataset
from nanodt.errors import InputError
from nanodt.model.auxiliary import AuxiliaryConfig
from nanodt.model.heads import HeadConfig
from nanodt.model.layout import policy_layout
from nanodt.model.network import Network, NetworkConfig
from nanodt.model.trunk import TrunkConfig
from nanodt.place.odometry import OdometryConfig
from nanodt.text.encoders import (
    TextConfig,
    VectorCache,
    frozen_embedder,
)
from nanodt.text.tokenizer import Tokenizer
from nanodt.training.memory import check_memory
from nanodt.training.options import TrainConfig


def build(
    config: TrainConfig, dataset: Dataset, device: str
) -> tuple[TrainConfig, Network, list[str]]:
    """What `offered` leaves of the options, a fresh network on a device, and lines about the rest.

    Raises InputError for what does not fit: options, the dataset, or the memory that is free.
    """
    fitting, remarks = offered(config, dataset)
    check_memory(fitting, dataset, device)
    return fitting, build_network(fitting, dataset).to(device), remarks


def offered(config: TrainConfig, dataset: Dataset) -> tuple[TrainConfig, list[str]]:
    """The options less what the dataset does not offer, and a line about each of those."""
    said, off = [], {}
    where, train = dataset.folder, dataset.split("train")
    reckoned = {"visitation_map": 0, "future_position_weight": 0.0}
    if config.odometry and not dataset.info.get("odometry"):
        said.append(
            f"{where / INFO} does not describe the robot's wheels: training without odometry, "
            "visitation map and prediction of the future position"
        )
        off |= {"odometry": False, **reckoned}
    elif not config.odometry and any(getattr(config, name) for name in reckoned):
        said.append("without odometry: no visitation map, no prediction of the future position")
        off |= reckoned
    if dataset.info.get("action_classes") and config.head != "discrete":
        said.append(f"{where / INFO}: actions are numbered: training with --head discrete")
        off["head"] = "discrete"
    if config.augmentation_share and not (where / AUGMENTATION).exists():
        said.append(f"{where}: no {AUGMENTATION}: learning from recorded trajectories only")
        off["augmentation_share"] = 0.0
    if config.next_subgoal_weight and "next_subgoal" not in train.steps:
        said.append(f"{where} names no places on the way: training without --next-subgoal-weight")
        off |= {"next_subgoal_weight": 0.0, "subgoal_first": False}
    if config.token_corruption and config.text_encoder != "tokens":
        said.append("texts are not read token by token: training without --token-corruption")
        off["token_corruption"] = 0.0
    return replace(config, **off), said


def build_network(config: TrainConfig, dataset: Dataset) -> Network:
    """A fresh network for a dataset, its statistics fitted on the training split.

    Raises InputError for options that do not fit each other or the dataset.
    """
    info, train = dataset.info, dataset.split("train")
    text, source = text_source(config, dataset)
    odometry = None
    if config.odometry:
        odometry = OdometryConfig.from_json(info["odometry"])
        odometry.check(info["n_obs"], info["n_act"], info["n_bd"])
    reach = float(np.abs([info["action_low"], info["action_high"]]).max())
    layout = policy_layout(
        info,
        max(int(split.length.max()) for split in dataset.splits.values()),
        config.block_size,
        text,
        head_config(config, info),
        tokens_per_step=config.tokens_per_step,
        embedding=config.embedding,
        hide_actions=config.hide_actions,
        odometry=config.odometry,
        visitation_map=config.visitation_map,
    )
    torch.manual_seed(config.seed)
    network = Network(
        NetworkConfig(
            layout,
            TrunkConfig(config.n_layer, config.n_head, config.n_embd, config.dropout),
            block_size=config.block_size,
            window=config.window,
            odometry=odometry,
            bd_low=tuple(info["bd_low"]) if "bd_low" in info else None,
            bd_high=tuple(info["bd_high"]) if "bd_high" in info else None,
            auxiliary=AuxiliaryConfig(
                config.future_position_weight,
                config.next_subgoal_weight,
                len(info.get("subgoals") or []),
                reach,
                config.subgoal_first and config.next_subgoal_weight > 0,
            ),
            subgoals=tuple(info.get("subgoals") or ()),
            info={"environment": info.get("environment")},
        )
    )
    network.text.source = source
    network.fit(train.steps, train.each, config.seed)
    return network


def text_source(config: TrainConfig, dataset: Dataset) -> tuple[TextConfig, Any]:
    """The text encoder's configuration, and its tokenizer or frozen model."""
    if config.text_encoder == "tokens":
        if config.tokenizer is None:
            raise InputError("--tokenizer is missing: the folder that holds tokenizer.json")
        try:
            tokenizer = Tokenizer.load(config.tokenizer)
        except InputError as error:
            raise InputError(f"--tokenizer {config.tokenizer}: {error}") from error
        return TextConfig(vocabulary=tokenizer.vocabulary), tokenizer
    text = TextConfig(
        config.text_encoder,
        model=config.text_model,
        base_url=config.text_base_url,
        prefix=config.text_prefix,
    )
    source = VectorCache(config.folder, frozen_embedder(text))
    some = next((t for own in dataset.split("train").texts or [] for t in own), "")
    return TextConfig(**{**asdict(text), "dim": source([some]).shape[1]}), source


def head_config(config: TrainConfig, info: dict[str, Any]) -> HeadConfig:
    """The action's head; by default as many bins as the recorded actions' decimals allow.

    Raises InputError for a discrete one where actions are not numbered.
    """
    if config.head == "discrete" and not info.get("action_classes"):
        raise InputError(
            "--head discrete: this dataset's actions are no class numbers (its dataset.json has no "
            "action_classes); give --head mse, tanh, clusters or bins"
        )
    bins, decimals = config.bins, info.get("action_decimals")
    if bins is None:
        span = np.subtract(info["action_high"], info["action_low"]).max()
        bins = 64 if decimals is None else min(round(float(span) * 10**decimals) + 1, 1024)
    return HeadConfig(
        config.head, config.clusters, config.joint, config.focal_gamma, config.offset_weight, bins
    )
