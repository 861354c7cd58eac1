"""What an acting network is asked for besides text and bd: `conditions` of a `Policy`."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from nanodt.driving.policy import Policy


@dataclass
class Decrement:
    """A return-to-go: the asked-for return [N], or one for all, less what was got so far."""

    target: np.ndarray | float

    def __call__(self, policy: Policy, name: str, reward: np.ndarray) -> None:
        if policy.step:
            value = policy.value(name, policy.step - 1).cpu().numpy() - reward[:, None]
        else:
            value = np.broadcast_to(np.reshape(self.target, (-1, 1)), (len(reward), 1))
        policy.put(name, value)


@dataclass
class Drawn:
    """Drawn from the slot's own head, its logits raised by kappa from the lowest class (0) to the
    highest (kappa): expert action inference of Multi-Game DT (Lee et al. 2022)."""

    kappa: float = 0.0

    def __call__(self, policy: Policy, name: str, reward: np.ndarray) -> None:
        slot = policy.slots[name]
        classes = slot.codec.bins if slot.codec else slot.size
        bias = self.kappa * torch.linspace(0, 1, classes, device=policy.device)
        policy.draw(name, bias=bias if self.kappa else None)
