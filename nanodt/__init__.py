"""nanodt: a small transformer that drives by a sentence and a behaviour descriptor.

It knows arrays, text and batched Gymnasium environments, and nothing of mazes or archives.

    python -m nanodt.train --data runs/demo/dataset --tokenizer runs/demo/tokenizer --out model
    policy = nanodt.load("model")
    actions = policy.act(obs, text=["go to the bed by the kitchen", ...], bd=targets)
"""

from nanodt.errors import InputError
from nanodt.heads import Sampling
from nanodt.model import Model, ModelConfig, TrunkConfig
from nanodt.policy import Policy, load
from nanodt.rollout import Drives, drive
from nanodt.tokenizer import Tokenizer, train_tokenizer
from nanodt.wording import Reader, load_reader

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
