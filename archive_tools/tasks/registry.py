"""From the name that --environment gives to a task, and from an archive back to its task."""

import hashlib
import importlib
import importlib.util
import inspect
import math
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, cast, get_type_hints

import gymnasium
from pydantic import ConfigDict, TypeAdapter, ValidationError

from archive_tools.tasks.gymnasium import gymnasium_task, theirs
from archive_tools.tasks.measures import Measures
from archive_tools.tasks.navigation import Navigation
from archive_tools.tasks.task import Environment
from envs.errors import InputError

MEMBERS = (*Environment.__annotations__, "record", "reachable")


def _factory(name: str) -> Callable[..., Environment]:
    """The function that a name like package.module:function or file.py:function means."""
    source, _, function = name.rpartition(":")
    wanted = (
        "expected module:function, path/file.py:function, or module:Name-v0 of an environment that "
        "the module registers with Gymnasium"
    )
    if source.partition(".")[0] in sys.stdlib_module_names:
        raise InputError(f"--environment {name}: a module of Python itself; {wanted}")
    try:
        if source.endswith(".py"):
            stem = hashlib.sha256(source.encode()).hexdigest()[:12]
            spec = importlib.util.spec_from_file_location(f"task_{stem}", source)
            assert spec is not None and spec.loader is not None
            module = importlib.util.module_from_spec(spec)
            spec.loader.exec_module(module)
        else:
            module = importlib.import_module(source)
        made: Any = getattr(module, function)
    except (Exception, SystemExit) as error:  # whatever a file of the user's raises
        raise InputError(f"--environment {name}: {_told(error)}; {wanted}") from None
    # What is called must be meant for it: a name may stand for anything, os.system too.
    fits = inspect.isfunction(made) or inspect.isclass(made)
    if not fits or "controller" not in inspect.signature(made).parameters:
        raise InputError(
            f"--environment {name}: no function that takes a controller and makes an environment; "
            f"{wanted} (docs/environments.md)"
        )
    return cast(Callable[..., Environment], made)


def _told(error: BaseException) -> str:
    return " ".join(str(error).split())[:300] or type(error).__name__


def _is_gymnasium_id(name: str) -> bool:
    """Whether a name with a colon is Gymnasium's "module:Name-v0", not "module:function"."""
    source, _, last = name.rpartition(":")
    if source.endswith(".py"):
        return False
    if not last.isidentifier():  # a version, or a namespace
        return True
    if source.partition(".")[0] in sys.stdlib_module_names:
        return False
    with suppress(Exception):  # `_factory` says what is wrong
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


def _made(name: str, function: Callable[..., Any], **options: Any) -> Environment:
    """What a user's function makes, if it is an environment."""
    made = theirs(f"--environment {name} raised", function, **options)
    missing = [member for member in MEMBERS if not hasattr(made, member)]
    if missing:
        raise InputError(
            f"--environment {name}: makes a {type(made).__name__} without {', '.join(missing)}; "
            "expected the members of Environment (docs/environments.md)"
        )
    of = made.measures
    if not (
        isinstance(of, Measures) and of.names and len(of.names) == len(of.low) == len(of.high)
    ) or not all(
        -math.inf < low < high < math.inf for low, high in zip(of.low, of.high, strict=True)
    ):
        raise InputError(
            f"--environment {name}: its measures are {of}; expected a name, a lowest and a higher "
            "highest value for each dimension of the BD"
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
    _check_options(function, options)
    if function is Navigation or function is gymnasium_task:
        return function(controller=dict(controller or {}), **options)
    return _made(name, function, controller=dict(controller or {}), **options)


def _check_options(function: Callable[..., Environment], options: Mapping[str, Any]) -> None:
    """Hold options against the annotations of a function, where it has any."""
    with suppress(NameError, TypeError):  # annotations that nobody can read say nothing
        typed = function.__init__ if inspect.isclass(function) else function
        hints = get_type_hints(typed, include_extras=True)
        for option, value in options.items():
            if option not in hints:
                continue
            try:
                config = ConfigDict(arbitrary_types_allowed=True, allow_inf_nan=False, strict=True)
                TypeAdapter(hints[option], config=config).validate_python(value)
            except ValidationError as error:
                first = error.errors()[0]
                raise InputError(
                    f"--environment-options: {option} is {str(value)[:60]!r}; "
                    f"expected {first['msg'].removeprefix('Input should be ')}"
                ) from None


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
