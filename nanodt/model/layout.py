"""The layout of the mission's policy: a text, then bd, observation and action at every timestep."""

from __future__ import annotations

from typing import Any

from nanodt.model.heads import HeadConfig
from nanodt.model.stream import Layout, Slot
from nanodt.place.odometry import FEATURES
from nanodt.text.encoders import TextConfig


def policy_layout(
    info: dict[str, Any],
    max_steps: int,
    block_size: int,
    text: TextConfig,
    head: HeadConfig,
    *,
    tokens_per_step: int = 3,
    embedding: str = "mlp",
    hide_actions: bool = False,
    odometry: bool = False,
    visitation_map: int = 0,
) -> Layout:
    """`[text] [bd, o, a] [bd, o, a] ...`, or with one token per step `[text] [bd+o+a₋₁] ...`.

    `info` is dataset.json; the other arguments are options of training. The action is read at o,
    the token before it.
    """
    low, high, one = tuple(info["action_low"]), tuple(info["action_high"]), tokens_per_step == 1
    discrete = head.kind == "discrete"
    size, code = (int(high[0]) + 1, "table") if discrete else (info["n_act"], embedding)
    action: dict[str, Any] = {"head": head, "target": "expert_action", "low": low, "high": high}
    action["decimals"] = info.get("action_decimals")
    if one and hide_actions:
        code = "none"
    elif one:
        action |= {"shift": True, "join": True, "read": "obs"}
    slots = [
        Slot("bd", info["n_bd"], embedding, constant=True),
        Slot("obs", info["n_obs"], embedding, join=one),
        Slot("place", FEATURES, "mlp", join=True, scale=1.0, reckoned=True),
        Slot("visits", 2 * visitation_map**2, "linear", join=True, scale=1.0, spread=0.1),
        Slot("action", size, code, hidden=hide_actions and not one, **action),
    ]
    left_out = {"place": not odometry, "visits": not (odometry and visitation_map)}
    slots = [slot for slot in slots if not left_out.get(slot.name)]
    return Layout(tuple(slots), max_steps, text, text_positions=block_size)
