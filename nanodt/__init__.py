"""nanodt: a small transformer that drives by a sentence and a behaviour descriptor.

It knows arrays, text and batched Gymnasium environments, and nothing of mazes or archives.

    python -m nanodt.train --block-size 350
    policy = nanodt.load("runs/demo/model")
    actions = policy.act(obs, text=["go to the bed by the kitchen", ...], bd=targets)
"""

from nanodt.driving.policy import Policy, load
from nanodt.driving.rollout import Rollouts, drive
from nanodt.errors import InputError
from nanodt.model.heads import Sampling
from nanodt.model.network import Network, NetworkConfig
from nanodt.model.trunk import TrunkConfig
from nanodt.text.tokenizer import Tokenizer, train_tokenizer

__all__ = [
    "InputError",
    "Network",
    "NetworkConfig",
    "Policy",
    "Rollouts",
    "Sampling",
    "Tokenizer",
    "TrunkConfig",
    "drive",
    "load",
    "train_tokenizer",
]
