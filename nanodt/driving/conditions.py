"""What an acting network is asked for, step by step."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass
class Constant:
    """The same value [size] or [N, size] at every step."""

    value: np.ndarray | float

    def next(self, previous: np.ndarray | None, reward: np.ndarray) -> Any:
        """The value of a step, given that of the step before and the reward [N] since."""
        return self.value


@dataclass
class Decrement:
    """A return-to-go: the asked-for return less what was got so far."""

    target: np.ndarray | float

    def next(self, previous: np.ndarray | None, reward: np.ndarray) -> Any:
        """See `Constant.next`."""
        if previous is None:
            return np.broadcast_to(np.reshape(self.target, (-1, 1)), (len(reward), 1))
        return previous - reward[:, None]


@dataclass
class Drawn:
    """Drawn from the slot's own head, its logits raised by kappa from the lowest class (0) to the
    highest (kappa): expert action inference of Multi-Game DT (Lee et al. 2022)."""

    kappa: float = 0.0


Condition = Constant | Decrement | Drawn
