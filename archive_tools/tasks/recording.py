"""The one record of closed-loop runs: what was seen, what was done, and what came of it."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Rollouts:
    """N closed-loop runs; those shorter than T steps are padded with their last values."""

    obs: Floats
    """float32 [N, T + 1, n_obs]; index 0 is what reset returned."""
    action: Floats
    """float32 [N, T, n_act], as applied."""
    length: NDArray[np.int32]
    """int32 [N], steps of each, at most T."""
    info: dict[str, NDArray[Any]] = field(default_factory=dict)
    """What else is known of them, by name; among it may be

    - bd: float32 [N, n_bd], the measures reached;
    - objective: float32 [N], higher is better;
    - pose: float32 [N, T + 1, 3], x, y (world units, y down), heading (radians);
    - collision: bool [N, T + 1].
    """
