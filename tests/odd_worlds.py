"""Small Gymnasium environments with all that the robot's world has not, and ones nobody can drive."""

import gymnasium
import numpy as np
from gymnasium import spaces

UNIT = spaces.Box(0, 1, (2,), np.float32)


class Ferry(gymnasium.Env):
    """Numbered actions from 3 on, a Dict observed, the position in info, an end on the east bank."""

    observation_space = spaces.Dict({"lights": UNIT, "sonar": spaces.Box(-1, 1, (2, 2), np.float32)})
    action_space = spaces.Discrete(4, start=3)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.at = np.array((options or {}).get("quay", [0.1, 0.5])) + self.np_random.uniform(0, 0.05)
        return self._seen()

    def step(self, action):
        assert action in self.action_space
        way = ((1, 0), (-0.5, 0), (0.3, 1), (0.3, -1))[action - 3]
        self.at = np.clip(self.at + 0.06 * np.array(way), 0, 1)
        obs, info = self._seen()
        return obs, float(self.at[0]), bool(self.at[0] > 0.95), False, info

    def _seen(self):
        sonar = np.array([2 * self.at - 1, np.cos(9 * self.at)], np.float32)
        lights = np.float32(self.at > 0.5)
        return {"lights": lights, "sonar": sonar}, {"position": self.at.copy(), "depth": 3}


class Fog(Ferry):
    """Loses its position on the way."""

    def _seen(self):
        obs, info = super()._seen()
        return obs, {**info, "position": np.where(self.at[0] > 0.2, np.nan, self.at)}


class Levers(Ferry):
    """Several numbered actions at once."""

    action_space = spaces.MultiDiscrete([3, 3])


for kind in (Ferry, Fog, Levers):
    gymnasium.register(f"{kind.__name__}-v0", entry_point=kind, max_episode_steps=24)
