"""Where recorded drives are said to have been driven: an environment, a plane, a world."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from archive_tools.files import read_json
from archive_tools.recordings.episodes import Column, Recording
from archive_tools.tasks import Environment, Navigation, registry
from envs import World, load_world
from envs.errors import InputError
from envs.plane import Plane, load_plane
from envs.worldfile import WORLDS

NOWHERE: dict[str, Any] = {"id": "", "kwargs": {}}
"""The environment of drives that nobody can drive again."""


@dataclass(frozen=True)
class Setting:
    """What is known of it; of several worlds the user's, then the environment's, then the one that
    lies beside the recording."""

    environment: Environment | None = None
    plane: Plane | None = None
    world: World | None = None
    gym: Mapping[str, Any] | None = None
    """{"id", "kwargs"} of what a policy can drive in."""
    task: Mapping[str, Any] | None = None
    """{"name", "options"}, from which the stages make the environment again."""

    @property
    def id(self) -> str:
        """The Gymnasium id that a recording would name; "" for none."""
        return "" if self.environment is None else _inner(self.environment.id,
                                                          self.environment.kwargs)  # fmt: skip


def make_setting(
    recording: Recording, archive: Path, *, environment: str, options: str, world: str, plane: str
) -> Setting:
    """The setting that options, an archive that is there, and the recording name.

    Args:
        recording: what is imported.
        archive: where the run's archive is or will be.
        environment, options, world, plane: as stage 02 takes them; "" for none.

    Raises:
        InputError: no such environment, plane or world, options that do not go together, or a
            recording of another environment.
    """
    beside = None if recording.world is None else load_world(recording.world)
    own_world = load_world(world) if world else beside
    floor = load_plane(plane) if plane else None
    if (archive / "elites.parquet").exists():
        return _checked(recording, _of_archive(archive, environment or options or world or plane))
    if environment:
        return _checked(recording, _named(environment, options, own_world, world, plane, archive))
    if plane and world:
        raise InputError("--plane and --world: expected one of them; both are floors")
    if recording.info is None:
        return Setting(plane=floor, world=floor.world if floor else own_world)
    gym = dict(recording.info["environment"])
    kwargs = dict(gym["kwargs"])
    if own_world is None and floor is None:
        if "plane" in kwargs:
            floor = load_plane(kwargs["plane"])
        elif _bundled(kwargs.get("world")):
            own_world = load_world(kwargs["world"])
        elif "world" in kwargs:
            raise InputError(
                f"{recording.source}: driven in the world {kwargs['world']}, which does not lie "
                "beside it (world/); name it with --world"
            )
    if "world" in kwargs and not _bundled(kwargs["world"]):
        kwargs["world"] = (archive / "world").as_posix()
    return Setting(
        plane=floor, world=floor.world if floor else own_world, gym={**gym, "kwargs": kwargs}
    )


def _bundled(world: Any) -> bool:
    return isinstance(world, str) and (WORLDS / f"{world}.toml").is_file()


def _of_archive(archive: Path, given: str) -> Setting:
    """The setting of a run that has an archive already: its own."""
    if given:
        raise InputError(
            f"{archive}: the run has an archive, whose environment and world hold for what is "
            f"imported; leave {given} out, or use another --run"
        )
    info = read_json(archive / "archive.json", dict)
    if not isinstance(info.get("environment"), dict):
        raise InputError(
            f"{archive / 'archive.json'}: no environment in {str(info)[:60]}; "
            "expected its id and kwargs: restore the file, or make the archive anew"
        )
    environment = registry.environment_of(archive, info)
    plane = environment.kwargs.get("plane")
    return Setting(
        environment,
        None if plane is None else load_plane(plane),
        environment.world,
        info["environment"],
        info["task"],
    )


def _named(
    name: str, options: str, own_world: World | None, world: str, plane: str, archive: Path
) -> Setting:
    """The setting that --environment names."""
    try:
        found = json.loads(options or "{}")
    except (ValueError, RecursionError) as error:
        raise InputError(f"--environment-options: not valid JSON ({error})") from None
    if not isinstance(found, dict):
        raise InputError('--environment-options: expected a JSON object, {"name": value}')
    if plane:
        found["plane"] = plane
    if name != "navigation":
        if world:
            raise InputError(
                f"--world {world}: a world of the robot with two wheels (--environment "
                f"navigation); the map of {name} is a --plane"
            )
        made = registry.make_environment(name, None, **found)
        drawn = made.kwargs.get("plane")
        floor = None if drawn is None else load_plane(drawn)
        return Setting(made, floor, made.world, {"id": made.id, "kwargs": made.kwargs},
                       {"name": name, "options": found})  # fmt: skip
    if own_world is None:
        raise InputError("--environment navigation: in which world? name it with --world")
    made = Navigation(world=own_world)
    kept = world if _bundled(world) else (archive / "world").as_posix()
    return Setting(
        made,
        None,
        own_world,
        {"id": made.id, "kwargs": {**made.kwargs, "world": kept}},
        {"name": name, "options": {"world": kept}},
    )


def _inner(id: str, kwargs: Mapping[str, Any]) -> str:
    """The environment itself, where a plane stands round it."""
    return str(kwargs.get("env", id))


def _checked(recording: Recording, setting: Setting) -> Setting:
    """Refuse a recording of another environment than the one that is given."""
    own = recording.environment
    if recording.info is not None:
        gym = recording.info["environment"]
        own = _inner(gym["id"], gym["kwargs"])
    if own and setting.id and bare(own) != bare(setting.id):
        raise InputError(
            f"{recording.source}: recorded in {own}, but --environment is {setting.id}; give "
            f"--environment {own}, or leave it out"
        )
    return setting


def bare(id: str) -> str:
    """A Gymnasium id without the module that registers it."""
    return id.rpartition(":")[2]


def plane_position(plane: Plane, recording: Recording) -> tuple[Column, ...]:
    """The arrays in which the two numbers of a plane stand; () where they are not recorded."""
    found = []
    for axis in plane.axes:
        name = next((n for n in ("observations", "observation.state") if n in recording.names), "")
        if axis.key is not None:
            name = f"observations/{axis.key}"
        elif axis.info is not None:
            name = f"infos/{axis.info}"
        if name not in recording.names:
            return ()
        found.append(Column(name, (axis.place,)))
    return tuple(found)


def told(recording: Recording) -> str:
    """What a user should know where nothing is driven again."""
    own = recording.environment
    return (
        f"not replayed: {f'recorded in {own}, and ' if own else ''}no --environment is given; "
        "annotation, texts, dataset and training do without, driving (stages 08 and 09) needs one: "
        f"--environment {own or 'ID'}"
    )
