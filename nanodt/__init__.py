"""nanodt: a small transformer that drives by a sentence and a behaviour descriptor.

It knows arrays, text and batched Gymnasium environments, and nothing of mazes or archives.

    python -m nanodt.train --data runs/demo/dataset --tokenizer runs/demo/tokenizer --out model
    policy = nanodt.load("model")
    actions = policy.act(obs, text=["go to the bed by the kitchen", ...], bd=targets)
"""

from nanodt.driving.policy import Policy, load
from nanodt.driving.rollout import Drives, drive
from nanodt.errors import InputError
from nanodt.model.heads import Sampling
from nanodt.model.network import Model, ModelConfig, TrunkConfig
from nanodt.text.rephraser import Reader, load_reader
from nanodt.text.tokenizer import Tokenizer, train_tokenizer

__all__ = [
    "Drives",
    "InputError",
    "Model",
    "ModelConfig",
    "Policy",
    "Reader",
    "Sampling",
    "Tokenizer",
    "TrunkConfig",
    "drive",
    "load",
    "load_reader",
    "train_tokenizer",
]
