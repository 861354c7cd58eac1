"""Gymnasium environments that nobody can drive: worse than the one of docs/your-own.md."""

import gymnasium
import numpy as np
from ferry import Ferry
from gymnasium import spaces


class Fog(Ferry):
    """Loses its position on the way."""

    def seen(self):
        obs, info = super().seen()
        return obs, {**info, "position": np.where(self.at[0] > 0.2, np.nan, self.at)}


class Levers(Ferry):
    """Several numbered actions at once."""

    action_space = spaces.MultiDiscrete([3, 3])


for kind in (Fog, Levers):
    gymnasium.register(f"{kind.__name__}-v0", entry_point=kind, max_episode_steps=24)
