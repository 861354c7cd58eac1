"""The small neural controllers of an archive: one flat vector of weights drives one robot.

The controllers of the paper (Salehi & Doncieux 2023) are dense tanh networks, 5-10-10-10-2: the
sensors in, the two wheels out. Controller and robot run in one compiled kernel, so a search costs
about a microsecond a step.

A solution is flat float32: for each layer W row-major [n_in, n_out] (out = in @ W + b), then b.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from archive_tools.tasks.recording import Rollouts
from envs import InputError, World, kernel
from envs.simulator import arena_of, as_kernel_input, empty_recording

# Fewer than these take under a millisecond on one core (0.24 µs each): waking a second thread costs
# tens of microseconds, and milliseconds where the cores are busy.
PARALLEL_CONTROLLERS = 4096
ACTIVATIONS = {"tanh": kernel.TANH, "relu": kernel.RELU, "linear": kernel.LINEAR}


@dataclass(frozen=True)
class ControllerSpec:
    """What a flat vector of weights means.

    The action is round(action_scale * output(network(obs)), action_decimals).

    Raises:
        InputError: a field makes no sense.
    """

    layers: tuple[int, ...] = (5, 10, 10, 10, 2)
    """Neurons of each layer, inputs first."""
    activation: str = "tanh"
    """Of the hidden layers: tanh, relu or linear."""
    output: str = "tanh"
    """Of the last layer: tanh, relu or linear."""
    obs_scale: str = "laser_range"
    """"laser_range": readings are divided by the largest they can be (lasers by their range), so
    that all inputs lie in [0, 1]; "none": observations enter as they are."""
    action_scale: float = 4.0
    """Factor on the outputs."""
    action_decimals: int | None = 1
    """Actions are rounded to so many decimals: replays then do not hang on the last bits of a
    float. None leaves them as they are."""

    def __post_init__(self) -> None:
        layers = tuple(self.layers)
        if len(layers) < 2 or not all(isinstance(n, int | np.integer) and n > 0 for n in layers):
            raise InputError(
                f"controller: layers are {list(layers)}; expected at least two numbers above 0, "
                "like [5, 10, 10, 10, 2]"
            )
        object.__setattr__(self, "layers", tuple(int(n) for n in layers))
        choices = {
            "activation": tuple(ACTIVATIONS),
            "output": tuple(ACTIVATIONS),
            "obs_scale": ("laser_range", "none"),
        }
        for field, known in choices.items():
            if getattr(self, field) not in known:
                raise InputError(
                    f"controller: {field} is {getattr(self, field)!r}; "
                    f"expected {' or '.join(known)}"
                )
        if not np.isfinite(self.action_scale):
            raise InputError(f"controller: action_scale is {self.action_scale}; expected a number")
        if self.action_decimals is not None and not 0 <= self.action_decimals <= 6:
            raise InputError(
                f"controller: action_decimals is {self.action_decimals}; expected 0 to 6 or null"
            )

    @property
    def n_params(self) -> int:
        """Length of a solution."""
        return sum(
            (n_in + 1) * n_out for n_in, n_out in zip(self.layers, self.layers[1:], strict=False)
        )

    def to_json(self) -> dict[str, Any]:
        """The fields as JSON values."""
        return asdict(self) | {"layers": list(self.layers)}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> "ControllerSpec":
        """The inverse of `to_json`; missing fields have their defaults.

        Raises:
            InputError: unknown fields.
        """
        known = cls.__dataclass_fields__
        for key in value:
            if key not in known:
                raise InputError(f"controller: unknown field {key!r}; known are {', '.join(known)}")
        fields = dict(value)
        if "layers" in fields:
            if not isinstance(fields["layers"], list | tuple):
                raise InputError(f"controller: layers is {fields['layers']!r}; expected a list")
            fields["layers"] = tuple(fields["layers"])
        return cls(**fields)

    def check_solutions(self, solutions: ArrayLike) -> np.ndarray:
        """Solutions as float32 [N, P] in C order.

        Raises:
            InputError: wrong length, NaN or infinite weights; names the first offending row.
        """
        solutions = as_kernel_input(solutions)
        if solutions.ndim != 2 or solutions.shape[1] != self.n_params:
            raise InputError(
                f"solutions have shape {list(solutions.shape)}; expected [policies, "
                f"{self.n_params}] for layers {'-'.join(map(str, self.layers))}"
            )
        finite = np.isfinite(solutions).all(axis=1)
        if not finite.all():
            row = int(np.flatnonzero(~finite)[0])
            raise InputError(
                f"solution {row} has NaN or infinite weights ({int((~finite).sum())} such "
                "solutions in all); remove them"
            )
        return solutions

    def act(self, solutions: ArrayLike, obs: ArrayLike) -> np.ndarray:
        """Actions of N controllers on one observation each, for any environment.

        Args:
            solutions: [N, P].
            obs: [N, n_in], already scaled where that is wanted.

        Returns:
            float32 [N, n_out].
        """
        solutions = self.check_solutions(solutions)
        inputs = as_kernel_input(obs)
        if inputs.shape != (len(solutions), self.layers[0]):
            raise InputError(
                f"observations have shape {list(inputs.shape)}; expected "
                f"[{len(solutions)}, {self.layers[0]}]"
            )
        outputs = np.empty((len(solutions), self.layers[-1]), dtype=np.float32)
        many = len(solutions) >= PARALLEL_CONTROLLERS
        forward = kernel.forward_parallel if many else kernel.forward_serial
        forward(self._network(), solutions, inputs, outputs)
        return outputs

    def _network(self) -> kernel.Network:
        tens = 0.0 if self.action_decimals is None else 10.0**self.action_decimals
        return kernel.Network(
            np.array(self.layers, dtype=np.int64),
            ACTIVATIONS[self.activation],
            ACTIVATIONS[self.output],
            np.float32(self.action_scale),
            np.float32(tens),
        )

    def _gain(self, world: World) -> np.ndarray:
        if self.layers[0] != world.n_obs or self.layers[-1] != 2:
            raise InputError(
                f"controller: layers {'-'.join(map(str, self.layers))} do not fit the world "
                f"{world.name!r}; expected {world.n_obs} inputs and 2 outputs"
            )
        if self.obs_scale == "none":
            return np.ones(world.n_obs, dtype=np.float32)
        return np.float32(1) / np.array([sensor.high for sensor in world.sensors], dtype=np.float32)


def rollout_controllers(
    world: World,
    spec: ControllerSpec,
    solutions: ArrayLike,
    steps: int | None = None,
    start: ArrayLike | None = None,
) -> Rollouts:
    """Drive N controllers from the start, recording everything, all cores at once.

    Args:
        world: where.
        spec: what the weights mean.
        solutions: [N, P].
        steps: the world's own number where None.
        start: [3] or [N, 3] (x, y, heading) instead of the world's start.

    Returns:
        rollouts with the info "pose" and "collision".

    Raises:
        InputError: the controllers do not fit the world; wrong length or NaN in the weights.
    """
    solutions = spec.check_solutions(solutions)
    gain = spec._gain(world)
    steps = world.steps if steps is None else steps
    recording = empty_recording(world, len(solutions), steps, start)
    action = np.empty((len(solutions), steps, 2), dtype=np.float32)
    kernel.rollout_batch(
        arena_of(world), spec._network(), gain, solutions,
        recording.obs, action, recording.pose, recording.collision,
    )  # fmt: skip
    length = np.full(len(solutions), steps, dtype=np.int32)
    info = {"pose": recording.pose, "collision": recording.collision}
    return Rollouts(recording.obs, action, length, info)
