"""Who can drive on the page: the policy, what is left of it, other models, the nearest elite."""

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pandas as pd

from archive_tools.archive import load_archive
from archive_tools.files import read_json
from archive_tools.rollouts import SYSTEMS, driving
from archive_tools.tasks import ControllerSpec, Navigation, drives_of, registry, rollout_controllers
from envs import World
from envs.errors import InputError


class Acts(Protocol):
    """A policy that acts for a batch of N robots, step by step."""

    def reset(self, seed: int, start: np.ndarray) -> None:
        """Begin an episode; start [N, 3]: x, y, heading."""
        ...

    def act(self, obs: np.ndarray, text: Sequence[str | None], bd: np.ndarray) -> np.ndarray:
        """Actions [N, n_act] for obs [N, n_obs]; a text of None or a BD of NaN was not given."""
        ...


Begin = Callable[[], Acts]
"""Makes what acts for one batch, from a model that is loaded."""
LoadPolicy = Callable[[Path], Begin]
"""Given a model's folder, loads it; ValueError where there is none."""


@dataclass(frozen=True)
class Robot:
    """One choice of the page."""

    name: str
    label: str
    colour: str
    note: str
    model: Path | None = None
    """The folder of what drives; None for an elite."""
    deaf: bool = False
    blind: bool = False


class Robots:
    """The choices of a run, and what stands behind them, loaded when first asked for.

    Args:
        run: with archive/ and model/.
        table: the dataset's trajectory_id, split, bd, texts.
        load: loads a model's folder.
        others: folders of further models.

    Raises:
        ValueError: the run's own model cannot be loaded.
    """

    def __init__(
        self, run: Path, table: pd.DataFrame, load: LoadPolicy, others: Sequence[Path] = ()
    ) -> None:
        self._run, self._load, self._table = run, load, table
        self._lock = threading.Lock()
        own = run / "model"
        self._models: dict[Path, Begin] = {own: load(own)}
        colours = iter(("#7a5b00", "#c2185b", "#00796b", "#5d4037", "#4a4642"))
        elites = (run / "archive" / "elites.parquet").exists()  # none stand behind imported drives
        choices = [
            Robot("policy", "policy", "#0b5fa5", "hears the text and knows the place", own),
            Robot("text_off", "text off", "#c2410c", "the policy without the text", own, deaf=True),
            Robot("bd_off", "place off", "#9b2a86", "the policy without the place", own,
                  blind=True),
            *[Robot("nearest_elite", "nearest elite", "#0a7d5a",
                    "of the archive's training split, by text and place; its own controller")
              for _ in range(elites)],
        ]  # fmt: skip
        beside = sorted(run.parent.glob(f"{run.name}-*/model"))
        for folder in dict.fromkeys(
            (*others, *(f for f in beside if (f / "config.json").exists()))
        ):
            label = folder.absolute().parent.name if folder.name == "model" else folder.name
            choices.append(
                Robot(f"model:{len(choices)}", label.removeprefix(f"{run.name}-"),
                      next(colours, "#4a4642"), f"another model, {folder}", folder)
            )  # fmt: skip
        self.choices = {robot.name: robot for robot in choices}
        self._elites: tuple[Any, ...] | None = None

    def choose(self, names: Sequence[str]) -> list[Robot]:
        """The robots of these names, each once.

        Raises:
            InputError: there is no such robot.
        """
        for name in names:
            if name not in self.choices:
                raise InputError(f"robots: no {name!r}; known are {', '.join(self.choices)}")
        return [self.choices[name] for name in dict.fromkeys(names)]

    def model(self, robot: Robot) -> Begin:
        """What drives for a robot that is a model; the first time takes a while.

        Raises:
            ValueError: the folder is gone or holds no model.
        """
        assert robot.model is not None
        with self._lock:
            if robot.model not in self._models:
                self._models[robot.model] = self._load(robot.model)
            return self._models[robot.model]

    def elite(
        self, text: str, bd: tuple[float, float] | None, world: World, steps: int
    ) -> tuple[np.ndarray, np.ndarray]:
        """The drive of the elite that comes nearest to a command: poses [T+1, 3], collisions [T+1].

        Its controller drives anew, the robot's in the world as it is, from the start as it is.

        Raises:
            InputError: the run has no elites with solutions any more.
        """
        with self._lock:
            if self._elites is None:
                train = self._table.loc[self._table["split"] == "train"]
                archive = load_archive(self._run / "archive")
                info = read_json(self._run / "archive" / "archive.json")
                if "controller" not in info:
                    raise InputError("the archive does not say what drives its elites")
                self._elites = (
                    driving.Elites(np.stack(train["bd"].tolist()), train["texts"].tolist()),
                    train["trajectory_id"].to_numpy(),
                    archive,
                    ControllerSpec.from_json(info["controller"]),
                )
        elites, ids, archive, spec = self._elites
        told = "both" if text and bd is not None else "bd" if bd is not None else "text"
        choose = SYSTEMS[f"nearest_elite_{told}"].choose
        assert choose is not None
        chosen = ids[choose(elites, [text], np.array([bd or (0, 0)]), 0)]
        solution = archive.solutions[np.searchsorted(archive.policy_ids, chosen)]
        if archive.info["environment"]["id"] == Navigation.id:
            drive = rollout_controllers(world, spec, solution, steps)
            return drive.info["pose"][0], drive.info["collision"][0]
        task = registry.environment_of(self._run / "archive", archive.info)
        drive = drives_of(task, solution, int(archive.info.get("seed", 0)))
        pose = drive.info["pose"][0, : drive.length[0] + 1]
        return pose, np.zeros(len(pose), bool)
