"""From the name that --environment gives to a task, and from an archive back to its task."""

import contextlib
import hashlib
import importlib
import importlib.util
import inspect
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, cast

import gymnasium

from archive_tools.tasks.gymnasium import gymnasium_task, theirs
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
        found: Any = getattr(module, function)
    except (ImportError, OSError, AttributeError, SyntaxError) as error:
        raise InputError(
            f"--environment {name}: {error}; expected module:function, path/file.py:function, or "
            "module:Name-v0 of an environment that the module registers with Gymnasium"
        ) from None
    except Exception as error:
        raise InputError(f"--environment {name}: {source}: {_told(error)}") from error
    if callable(found):
        return cast(Callable[..., Environment], found)
    raise InputError(f"--environment {name}: {function} is {found!r}; expected a function")


def _told(error: Exception) -> str:
    return f"{type(error).__name__}: {(str(error) or 'no message').splitlines()[0][:300]}"


def _is_gymnasium_id(name: str) -> bool:
    """Whether a name with a colon is Gymnasium's "module:Name-v0", not "module:function"."""
    source, _, last = name.rpartition(":")
    if source.endswith(".py"):
        return False
    if not last.isidentifier():  # a version, or a namespace
        return True
    with contextlib.suppress(Exception):  # `_factory` says what is wrong
        module = importlib.import_module(source)
        found = getattr(module, last, gymnasium.Env)
        return (
            isinstance(found, type)
            and issubclass(found, gymnasium.Env)
            and any(
                spec.namespace is None and spec.name == last for spec in gymnasium.registry.values()
            )
        )
    return False


MEMBERS = ("id", "kwargs", "controller", "measures", "steps", "action_low", "action_high",
           "stochastic", "world", "record", "reachable")  # fmt: skip


def _made(name: str, function: Callable[..., Any], **options: Any) -> Environment:
    """What a user's function makes, if it is an environment."""
    made = theirs(f"--environment {name} raised", function, **options)
    missing = [member for member in MEMBERS if not hasattr(made, member)]
    if missing:
        raise InputError(
            f"--environment {name}: gives {type(made).__name__} without {', '.join(missing[:4])}; "
            "expected the members of archive_tools.tasks.Environment"
        )
    return made


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
        name: "navigation" (option world), a Gymnasium id, with the module that registers it before
            a colon where need be (options of `gymnasium_task`), or module:function or
            path/file.py:function.
        controller: fields of `ControllerSpec` that differ from the environment's own choice.
        options: arguments, JSON values.

    Raises:
        InputError: no such environment, options that it does not take, or its own errors.
    """
    function: Callable[..., Environment]
    if name == "navigation":
        function = Navigation
    elif ":" in name and not _is_gymnasium_id(name):
        function = _factory(name)
    else:
        function, options = gymnasium_task, {"id": name, **options}
    try:
        parameters = inspect.signature(function).parameters
    except (TypeError, ValueError):
        raise InputError(f"--environment {name}: no function of Python's own") from None
    free = any(p.kind is p.VAR_KEYWORD for p in parameters.values())
    for option in options:
        if option not in parameters and not free:
            known = ", ".join(p for p in parameters if p not in ("controller", "id", "self"))
            raise InputError(
                f"--environment-options: {name} takes no {option!r}; known are {known}"
            )
    if function is Navigation or function is gymnasium_task:
        return function(controller=dict(controller or {}), **options)
    return _made(name, function, controller=dict(controller or {}), **options)


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
