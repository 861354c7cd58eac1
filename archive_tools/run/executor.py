"""Where pieces of work are done that need nothing of each other: here, or by a Ray cluster.

Stages know only `Executor.map`: results in the order of the items, a bounded number in flight, the
same bytes whoever does the work. Ray (Moritz et al. 2018, arXiv 1712.05889) does a piece again
whose worker or node died. It is imported where --ray asks for it, and nowhere else.
"""

import importlib
import importlib.util
import os
import signal
import socket
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, ClassVar, TypeVar

import numba

from archive_tools.run.faults import GO_ON
from archive_tools.run.stage import StageConfig
from envs.errors import InputError

Item = TypeVar("Item")
Result = TypeVar("Result")
PIECE = 32
"""Drives in a piece of work that a worker gets."""
RETRIES = 3
"""How often a piece is done again whose worker died."""


class Executor:
    """Does pieces of work one after another, in this process."""

    def map(
        self, function: Callable[[Any, Item], Result], items: Iterable[Item], shared: Any
    ) -> Iterator[Result]:
        """function(shared, item) of each item, in their order.

        Args:
            function: of a module, or what else can be sent to another process.
            items: sent with each piece of work.
            shared: sent once to each worker.
        """
        for item in items:
            yield function(shared, item)

    def pieces(self, begin: int, end: int) -> list[slice]:
        """Rows from `begin` to `end` as pieces of work: here all of them are one."""
        return [slice(begin, end)]


class _RayExecutor(Executor):
    """Gives pieces of work to the workers of a Ray cluster, twice as many at once as it has."""

    def __init__(self, ray: Any) -> None:
        self._ray, self._task = ray, ray.remote(_work)
        self._last: tuple[Any, Any, Any] | None = None

    def map(
        self, function: Callable[[Any, Item], Result], items: Iterable[Item], shared: Any
    ) -> Iterator[Result]:
        ray, work = self._ray, self._sent(function, shared)
        task = self._task.options(max_retries=RETRIES)
        flying: deque[Any] = deque()
        try:
            for item in items:
                # In a list, or Ray would unpack it anew for each piece.
                flying.append(task.remote([work], item))
                if len(flying) >= 2 * max(1, int(ray.cluster_resources().get("CPU", 1))):
                    yield self._result(flying.popleft())
            while flying:
                yield self._result(flying.popleft())
        finally:
            for reference in flying:
                ray.cancel(reference)

    def _sent(self, function: Callable[..., Any], shared: Any) -> Any:
        """Reference to what all pieces of some work share; the last one is not sent again, so that
        workers keep what they made of it."""
        if self._last is None or self._last[0] is not function or self._last[1] is not shared:
            try:
                self._last = (function, shared, self._ray.put((function, shared)))
            except TypeError as error:
                line = " ".join(str(error).split())[:200]
                raise InputError(
                    f"--ray: what the stage works with cannot be sent to other processes ({line}); "
                    "leave --ray out, or give the environment __getstate__ and __setstate__"
                ) from None
        return self._last[2]

    def pieces(self, begin: int, end: int) -> list[slice]:
        return [slice(b, min(b + PIECE, end)) for b in range(begin, end, PIECE)]

    def _result(self, reference: Any) -> Any:
        errors = self._ray.exceptions
        try:
            return self._ray.get(reference)
        except errors.RayTaskError as error:
            raise error.cause from None  # as it was raised there
        except errors.RayError as error:
            line = (str(error).strip() or type(error).__name__).splitlines()[0][:200]
            raise InputError(
                f"--ray: a piece of work was lost {RETRIES + 1} times, with its worker or node "
                f"({line}); is there memory enough for each worker? {GO_ON}"
            ) from None


_known: dict[str, tuple[Callable[[Any, Any], Any], Any]] = {}
"""In a worker: the work that it does, so that environments are made once."""


def _work(references: list[Any], item: Any) -> Any:
    """A piece of work, in a worker."""
    ray = importlib.import_module("ray")
    name = references[0].hex()
    if name not in _known:
        _known.clear()
        numba.set_num_threads(1)  # a worker has one core
        _known[name] = ray.get(references[0])
    function, shared = _known[name]
    return function(shared, item)


@contextmanager
def open_executor(address: str) -> Iterator[Executor]:
    """An executor, which ends with the body; none of its processes stays.

    Args:
        address: of a Ray cluster, or "auto"; empty for this process.

    Raises:
        InputError: there is no Ray, or no cluster at the address.
    """
    if not address:
        yield Executor()
        return
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    ray = importlib.import_module("ray")  # an extra, slow to import
    before = signal.getsignal(signal.SIGTERM)
    try:
        _connect(ray, address)
        # Ray takes SIGTERM for itself, and would not say that the work goes on.
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, before)
        yield _RayExecutor(ray)
    finally:
        ray.shutdown()


def _connect(ray: Any, address: str) -> None:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    # Sums of many numbers depend on how many threads share them: workers have as many as this.
    threads = os.environ.get("OMP_NUM_THREADS", str(cores))
    options: dict[str, Any] = {
        "log_to_driver": False,
        "logging_level": "ERROR",
        "runtime_env": {"env_vars": {"OMP_NUM_THREADS": threads}},
    }
    try:
        if address != "auto":  # Ray itself would wait for minutes
            host, _, port = address.removeprefix("ray://").rpartition(":")
            socket.create_connection((host, int(port)), timeout=10).close()
        ray.init(address=address, **options)
    except (OSError, ValueError, RuntimeError) as error:
        if address != "auto":
            raise InputError(
                f"--ray {address}: no Ray cluster answers there "
                f"({' '.join(str(error).split())[:150]}); start one with `ray start --head` and "
                "give its host:port, or --ray auto"
            ) from None
        ray.init(num_cpus=cores, include_dashboard=False, **options)


@dataclass
class SpreadConfig(StageConfig):
    """Options of a stage whose work can be spread."""

    ray: str = ""
    """Spread the work over a Ray cluster: its address (host:port); auto: the one that runs here,
    or else the cores of this machine. The result is the same as without."""

    not_fingerprint: ClassVar[set[str]] = {"ray"}

    def check(self) -> None:
        """Raise InputError where an option is out of its bounds, or --ray has no Ray."""
        super().check()
        host, _, port = self.ray.rpartition(":")
        if self.ray not in ("", "auto") and not (host.strip() and port.isdecimal()):
            raise InputError(f"--ray {self.ray}: expected the host:port of a cluster, or auto")
        if self.ray and importlib.util.find_spec("ray") is None:
            raise InputError(
                f"--ray {self.ray}: Ray is not installed; pip install 'wayword[ray]', or leave "
                "the option out"
            )
