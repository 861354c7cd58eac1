"""Dead reckoning: where a wheeled robot stands, from nothing but what it did and felt.

A robot with two driven wheels can add up its own wheel displacements. The `o` token of a timestep
may carry the result: the reckoned pose, and where the target BD lies from there. No sensor is
added: the pose follows from the start and from the actions and observations already in the stream.
Blocked steps are felt by contact sensors; one that no sensor feels leaves an error in the place.

Whether a robot can be reckoned so is said by the dataset (field `odometry` of dataset.json):

    {"axle": 20.0, "start": [60.0, 450.0, 0.785], "contact": [3, 4]}

The BD must begin with the place, x and y, in the frame of `start`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from nanodt.errors import InputError

OCTAVES = 4
FEATURES = 9 + 4 * OCTAVES


@dataclass(frozen=True)
class OdometryConfig:
    """A robot with two driven wheels: its actions are their displacements, left and right."""

    axle: float
    """Distance between the wheels, in units of the actions."""
    start: tuple[float, ...]
    """Pose at step 0: x, y, heading (radians; from x towards y)."""
    contact: tuple[int, ...] = ()
    """Numbers of an observation that are above 0 when the last step was blocked: the place stayed,
    the heading changed."""

    @staticmethod
    def from_json(fields: dict[str, Any]) -> OdometryConfig:
        """Raises InputError for a missing or ill-formed field."""
        try:
            axle = float(fields["axle"])
            start = tuple(float(v) for v in fields["start"])
            contact = tuple(int(i) for i in fields.get("contact", ()))
        except (KeyError, TypeError, ValueError) as error:
            raise InputError(f"odometry: {error}: expected axle, start and contact") from error
        if not axle > 0 or len(start) != 3:
            raise InputError("odometry: axle must be above 0 and start hold x, y and heading")
        return OdometryConfig(axle, start, contact)

    def check(self, n_obs: int, n_act: int, n_bd: int) -> None:
        """Raise InputError unless the dimensions of a dataset fit."""
        if n_act != 2 or n_bd < 2 or any(not 0 <= i < n_obs for i in self.contact):
            raise InputError(
                f"odometry: n_act={n_act}, n_bd={n_bd}, contact={list(self.contact)} of "
                f"{n_obs} observations do not fit: two wheels, a BD that begins with x and y, and "
                "contact sensors among the observations are needed; train with --no-odometry"
            )

    def begin(self, robots: int) -> np.ndarray:
        """Poses [N, 3] float64 at step 0."""
        return np.tile(np.array(self.start, np.float64), (robots, 1))

    def advance(self, pose: np.ndarray, action: np.ndarray, obs: np.ndarray) -> np.ndarray:
        """Poses [N, 3] one step on: `action` [N, 2] was taken, then `obs` [N, n_obs] was seen.

        The wheels run on circles round one centre (the exact motion, not its first-order form).
        """
        left, right = action[:, 0].astype(np.float64), action[:, 1].astype(np.float64)
        turn = (right - left) / self.axle
        # The chord of an arc: its length is that of the path times sin(a/2) / (a/2).
        chord = 0.5 * (left + right) * np.sinc(turn / (2 * np.pi))
        if self.contact:
            chord = np.where(obs[:, list(self.contact)].max(1) > 0, 0.0, chord)
        along = pose[:, 2] + 0.5 * turn
        heading = (pose[:, 2] + turn + np.pi) % (2 * np.pi) - np.pi
        x, y = pose[:, 0] + chord * np.cos(along), pose[:, 1] + chord * np.sin(along)
        return np.stack([x, y, heading], axis=1)

    def reckon(
        self, length: np.ndarray, first: np.ndarray, action: np.ndarray, obs: np.ndarray
    ) -> np.ndarray:
        """Poses [steps, 3] float32 before each action of trajectories laid end to end.

        `length` and `first` [N] say where each lies in action [steps, 2] and obs [steps, n_obs].
        """
        out = np.empty((len(action), 3), np.float32)
        order = np.argsort(-length, kind="stable")
        pose, going = self.begin(len(order)), len(order)
        for step in range(int(length.max())):
            while length[order[going - 1]] <= step:
                going -= 1
            at = first[order[:going]] + step
            pose = pose[:going]
            if step:
                pose = self.advance(pose, action[at - 1], obs[at])
            out[at] = pose
        return out


def features(pose: Tensor, bd: Tensor, dropped: Tensor, low: Tensor, high: Tensor) -> Tensor:
    """What the network sees of poses [M, 3]: [M, FEATURES] float32, all about 1 in size.

    The place (scaled by the BD's bounds low, high [2]) and its Fourier features (Tancik et al.
    2020, arXiv 2006.10739), for a network of smooth units is slow to learn sharp borders from bare
    coordinates; the heading; and the direction and distance of the target `bd` [M, n_bd] as seen
    from the robot, zero where the BD is `dropped` [M].
    """
    half = (high - low).max() / 2
    place = (pose[:, :2] - (low + high) / 2) / half
    cos, sin = pose[:, 2:].cos(), pose[:, 2:].sin()
    waves = (
        (place + 1)
        * (math.pi / 2)
        * 2.0 ** torch.arange(OCTAVES, dtype=place.dtype, device=place.device).view(-1, 1, 1)
    )
    waves = waves.transpose(0, 1).flatten(1)
    to = (bd[:, :2] - pose[:, :2]) / (2 * half)
    ahead = cos * to[:, :1] + sin * to[:, 1:]
    aside = cos * to[:, 1:] - sin * to[:, :1]
    far = torch.linalg.vector_norm(to, dim=1, keepdim=True)
    goal = torch.cat([ahead / (far + 0.02), aside / (far + 0.02), 2 * far, 4 * ahead, 4 * aside], 1)
    goal = goal.masked_fill(dropped[:, None], 0.0)
    return torch.cat([place, cos, sin, waves.cos(), waves.sin(), goal], dim=1)
