"""From the name that --environment gives to a task, and from an archive back to its task."""

import hashlib
import importlib
import importlib.util
import inspect
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from archive_tools.tasks.gymnasium import gymnasium_task
from archive_tools.tasks.navigation import Navigation
from archive_tools.tasks.task import Environment
from envs.errors import InputError


def _factory(name: str) -> Callable[..., Environment]:
    """The function that a name like package.module:function or file.py:function means."""
    source, _, function = name.rpartition(":")
    try:
        if source.endswith(".py"):
            stem = hashlib.sha256(source.encode()).hexdigest()[:12]
            spec = importlib.util.spec_from_file_location(f"task_{stem}", source)
            assert spec is not None and spec.loader is not None
            module = importlib.util.module_from_spec(spec)
            spec.loader.exec_module(module)
        else:
            module = importlib.import_module(source)
        return getattr(module, function)
    except (ImportError, FileNotFoundError, AttributeError, SyntaxError) as error:
        raise InputError(
            f"--environment {name}: {error}; expected module:function or path/file.py:function"
        ) from None


def factory_digest(name: str) -> str | None:
    """SHA-256 of the file of a custom environment, which is part of a stage's fingerprint."""
    source, _, _ = name.rpartition(":")
    if not source.endswith(".py") or not Path(source).exists():
        return None
    return hashlib.sha256(Path(source).read_bytes()).hexdigest()


def make_environment(
    name: str, controller: Mapping[str, Any] | None = None, **options: Any
) -> Environment:
    """The environment that --environment names.

    Args:
        name: "navigation" (option world), a Gymnasium id (options of `gymnasium_task`), or
            module:function or path/file.py:function.
        controller: fields of `ControllerSpec` that differ from the environment's own choice.
        options: arguments, JSON values.

    Raises:
        InputError: no such environment, options that it does not take, or its own errors.
    """
    function: Callable[..., Environment]
    if name == "navigation":
        function = Navigation
    elif ":" in name:
        function = _factory(name)
    else:
        function, options = gymnasium_task, {"id": name, **options}
    parameters = inspect.signature(function).parameters
    free = any(p.kind is p.VAR_KEYWORD for p in parameters.values())
    for option in options:
        if option not in parameters and not free:
            known = ", ".join(p for p in parameters if p not in ("controller", "id", "self"))
            raise InputError(
                f"--environment-options: {name} takes no {option!r}; known are {known}"
            )
    return function(controller=dict(controller or {}), **options)


def environment_of(folder: Path, info: Mapping[str, Any]) -> Environment:
    """The environment that an archive was made in; a world comes from the archive's own copy.

    Args:
        folder: the archive's folder.
        info: its archive.json.

    Raises:
        InputError: archive.json does not say, or what it says cannot be made any more.
    """
    if "task" not in info or "controller" not in info:
        raise InputError(
            f"{folder / 'archive.json'}: fields 'task' and 'controller' are missing, so nobody can "
            "tell what drives these policies; import the archive with "
            "scripts/00_search_archive.py --import"
        )
    options = dict(info["task"].get("options", {}))
    if info["task"]["name"] == "navigation":
        options["world"] = folder / "world"
    if "plane" in options:
        options["plane"] = info["environment"]["kwargs"]["plane"]
    return make_environment(info["task"]["name"], info["controller"], **options)


def run_environment(run: Path, info: Mapping[str, Any]) -> dict[str, Any]:
    """The Gymnasium environment {"id", "kwargs"} that the policy of a run drives in.

    Its world is the run's own copy: a run may be moved, and a bundled world may change.

    Args:
        run: the run directory.
        info: the run's trajectories.json or dataset.json.
    """
    environment = dict(info["environment"])
    if "world" in environment["kwargs"]:
        world = (run / "archive" / "world").as_posix()
        environment["kwargs"] = {**environment["kwargs"], "world": world}
    return environment


def portable_environment(info: Mapping[str, Any]) -> dict[str, Any]:
    """The environment of a run as dataset.json names it, wherever the run is moved.

    Its world is the run's own copy, by its path relative to dataset.json (docs/formats.md).
    """
    return run_environment(Path(".."), info)
