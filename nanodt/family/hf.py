"""Decision Transformers of Hugging Face's transformers: their weights in, and ours out.

`load_hf` reads the folder of a checkpoint, `from_hf` makes a `DecisionTransformerModel`'s state
dict and config ours, `to_hf` turns a trained `dt` into theirs, `predict` asks ours as theirs is
asked, with left padding and all. Where the two differ: theirs adds the first row of GPT-2's
position table to every token (here it is part of the embeddings' norm), stores GPT-2's matrices
transposed, and predicts states and returns at the action's token.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from nanodt.errors import InputError
from nanodt.family.recipes.dt import layout
from nanodt.files import read_json, read_weights
from nanodt.model.heads import Tanh
from nanodt.model.network import Network, NetworkConfig
from nanodt.model.stream import VectorCode
from nanodt.model.trunk import TrunkConfig
from nanodt.packing import Batch, pack, ragged

ACTIVATIONS = {"relu": "relu", "gelu": "gelu", "gelu_new": "gelu_tanh"}
BLOCK = {
    "ln_1": "norm1",
    "attn.c_attn": "qkv",
    "attn.c_proj": "proj",
    "ln_2": "norm2",
    "mlp.c_fc": "up",
    "mlp.c_proj": "down",
}
CODES = {
    "embed_return": "stream.codes.rtg.net",
    "embed_state": "stream.codes.obs.net",
    "embed_action": "stream.codes.action.net",
}
HEADS = {
    "predict_return": "heads.rtg.out",
    "predict_state": "heads.obs.out",
    "predict_action.0": "heads.action.out",
}
# What must have its usual value, as nothing here would honour another.
USUAL: dict[str, Any] = {
    "scale_attn_weights": True,
    "scale_attn_by_inverse_layer_idx": False,
    "add_cross_attention": False,
    "layer_norm_epsilon": 1e-5,
    "action_tanh": True,
}
# What the configuration must say.
SIZES = ("state_dim", "act_dim", "hidden_size", "max_ep_len", "n_layer", "n_head")
WANTED = "give a checkpoint of transformers' DecisionTransformerModel"


def load_hf(folder: Path | str, context: int = 20) -> Network:
    """The model of a checkpoint's folder: config.json and model.safetensors.

    Raises InputError where one is missing, cannot be read, or is of another architecture.
    """
    config, weights = Path(folder) / "config.json", Path(folder) / "model.safetensors"
    if not weights.exists() and (Path(folder) / "pytorch_model.bin").exists():
        raise InputError(
            f"{folder}: its weights are pickled, which could run anything: save it again with "
            "transformers' save_pretrained, which writes model.safetensors"
        )
    for path in (config, weights):
        if not path.exists():
            raise InputError(f"{path} does not exist: {WANTED}")
    fields = read_json(config, WANTED)
    return from_hf(read_weights(weights, "fetch it again"), fields, context)


def from_hf(weights: Mapping[str, Tensor], config: Mapping[str, Any], context: int = 20) -> Network:
    """A `DecisionTransformerModel`'s `state_dict()` and `config.to_dict()` as our model.

    Raises InputError for another architecture.
    """
    kind = config.get("model_type")
    if kind != "decision_transformer":
        raise InputError(
            f"the checkpoint's model_type is {kind}, not decision_transformer: {WANTED}"
        )
    missing = [name for name in SIZES if name not in config]
    if missing:
        raise InputError(f"the checkpoint's config has no {', '.join(missing)}: {WANTED}")
    for name, value in USUAL.items():
        if config.get(name, value) != value:
            raise InputError(f"{name}={config[name]!r} is not supported, only {value!r}")
    width, activation = config["hidden_size"], config.get("activation_function", "relu")
    if config.get("n_inner") not in (None, 4 * width):
        raise InputError(f"n_inner={config['n_inner']} is not supported, only 4 x {width}")
    if activation not in ACTIVATIONS:
        raise InputError(
            f"activation_function={activation!r} is not supported: {', '.join(ACTIVATIONS)}"
        )
    n_obs, n_act = config["state_dim"], config["act_dim"]
    model = Network(
        NetworkConfig(
            # From the model's returns to the environment's, the user scales, as in their examples.
            layout(n_obs, (-1.0,) * n_act, (1.0,) * n_act, 1.0, config["max_ep_len"]),
            TrunkConfig(
                config["n_layer"],
                config["n_head"],
                width,
                config.get("resid_pdrop", 0.1),
                ACTIVATIONS[activation],
            ),
            window=context,
            info={"recipe": "dt", "action_low": [-1.0] * n_act, "action_high": [1.0] * n_act},
        )
    )
    weights = {k.removeprefix("module."): v for k, v in weights.items()}
    ours = {}
    for name, target in names(config["n_layer"]).items():
        if name not in weights:
            raise InputError(f"the checkpoint has no tensor {name}: {WANTED}")
        w = weights[name]
        ours[target] = w.t() if transposed(name) else w
    ours["norm.bias"] = ours["norm.bias"] + weights["encoder.wpe.weight"][0]
    state = model.state_dict()
    for name, w in ours.items():
        if state[name].shape != w.shape:
            raise InputError(
                f"tensor for {name} has shape {list(w.shape)}, expected {list(state[name].shape)}: "
                "the configuration belongs to another checkpoint"
            )
    model.load_state_dict({**state, **ours})
    return model.eval()


def to_hf(model: Network) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """A model of recipe dt as (state dict, config fields) of a `DecisionTransformerModel`.

    Their model has no buffers for statistics, so those are folded into its matrices: it takes raw
    states and returns; actions go in and come out scaled to [-1, 1].
    """
    slots = model.config.layout.slots
    if [s.name for s in slots] != ["rtg", "obs", "action"] or not model.config.layout.norm:
        raise InputError("only a model of recipe dt has a form in transformers")
    trunk = model.config.trunk
    state = {k: v.clone() for k, v in model.state_dict().items()}
    for name in ("rtg", "obs", "action"):
        code, head, net = model.codes[name], model.heads[name], f"stream.codes.{name}.net"
        assert isinstance(code, VectorCode)
        mean, std = code.mean, code.std
        if isinstance(head, Tanh):  # a = middle + half * a', so (a - mean) / std in terms of a'
            half, middle = (head.high - head.low) / 2, (head.high + head.low) / 2
            mean, std = (mean - middle) / half, std / half
        weight = state[f"{net}.weight"] / std
        state[f"{net}.weight"] = weight
        state[f"{net}.bias"] = state[f"{net}.bias"] - weight @ mean
        if not isinstance(head, Tanh):
            out = f"heads.{name}.out"
            state[f"{out}.weight"] = state[f"{out}.weight"] * head.std[:, None]
            state[f"{out}.bias"] = state[f"{out}.bias"] * head.std + head.mean
    theirs = {
        name: (state[target].t() if transposed(name) else state[target]).contiguous()
        for name, target in names(trunk.n_layer).items()
    }
    theirs["encoder.wpe.weight"] = torch.zeros(1024, trunk.n_embd)
    theirs["encoder.wte.weight"] = torch.zeros(1, trunk.n_embd)  # in their form, but unused
    config = {
        "model_type": "decision_transformer",
        "architectures": ["DecisionTransformerModel"],
        "state_dim": slots[1].size,
        "act_dim": slots[2].size,
        "hidden_size": trunk.n_embd,
        "max_ep_len": model.config.layout.max_steps,
        "vocab_size": 1,
        "n_positions": 1024,
        "n_layer": trunk.n_layer,
        "n_head": trunk.n_head,
        "activation_function": {v: k for k, v in ACTIVATIONS.items()}[trunk.activation],
        "resid_pdrop": trunk.dropout,
        "embd_pdrop": trunk.dropout,
        "attn_pdrop": trunk.dropout,
    }
    return theirs, config


def names(n_layer: int) -> dict[str, str]:
    """Their tensor names -> ours; `encoder.wpe` and the unused `encoder.wte` left out."""
    pairs = {
        f"encoder.h.{i}.{a}": f"trunk.blocks.{i}.{b}"
        for i in range(n_layer)
        for a, b in BLOCK.items()
    }
    pairs |= {"encoder.ln_f": "trunk.norm", "embed_ln": "norm", **CODES, **HEADS}
    found = {f"{a}.{k}": f"{b}.{k}" for a, b in pairs.items() for k in ("weight", "bias")}
    return {**found, "embed_timestep.weight": "stream.time.weight"}


def transposed(name: str) -> bool:
    return ".c_" in name and name.endswith("weight")


@torch.no_grad()
def predict(
    model: Network,
    states: Tensor,
    actions: Tensor,
    returns_to_go: Tensor,
    timesteps: Tensor,
    attention_mask: Tensor,
) -> dict[str, Tensor]:
    """What their forward gives: `state_preds`, `action_preds`, `return_preds` [B, K, size].

    Inputs as theirs, [B, K, size] and [B, K]; pads may stand anywhere the mask is 0, where the
    predictions are 0 (theirs are meaningless there).
    """
    keep = attention_mask.bool()
    steps = keep.sum(1).numpy()
    values = {"obs": states[keep], "action": actions[keep], "rtg": returns_to_go[keep]}
    place, first = pack(np.zeros_like(steps), steps, 3)
    batch = Batch(
        text=torch.zeros(0, dtype=torch.int64),
        text_position=torch.zeros(0, dtype=torch.int64),
        values=values,
        dropped={},
        row=torch.from_numpy(ragged(steps)[0]),
        time=timesteps[keep],
        place=torch.from_numpy(place),
        first=torch.from_numpy(first),
    )
    hidden = model.hidden(batch, ["rtg", "obs", "action"])
    found = {}
    for slot, name in (("rtg", "return"), ("obs", "state"), ("action", "action")):
        head = model.heads[slot]
        out = head.out(hidden[slot][:, 0])
        out = out.tanh() if slot == "action" else head.restore(out)
        found[f"{name}_preds"] = out.new_zeros(*keep.shape, out.shape[1])
        found[f"{name}_preds"][keep] = out
    return found
