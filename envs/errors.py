"""The one kind of error that is the user's to mend; sizes and files that are refused by it."""

import argparse
import os
from pathlib import Path
from typing import NoReturn


class InputError(ValueError):
    """A mistake in what the user gave: a file, a field, an option.

    The message is one line and says which file, which field, what was found, what was expected
    and how to fix it. The command line prints it without a traceback and exits with status 2.
    """


class ArgumentParser(argparse.ArgumentParser):
    """That of argparse; what it refuses is told in a line, too."""

    def error(self, message: str) -> NoReturn:
        """End the process with status 2."""
        self.exit(2, f"error: {' '.join(message.split())}; --help lists all options\n")


def require_file(path: Path | str, what: str = "") -> None:
    """Refuse a device or pipe: read without end, and gone for all where a file takes its place.

    Args:
        path: of what is to be read or written; it need not be there.
        what: names it, if not the path does.

    Raises:
        InputError: it is a device, a pipe or a socket.
    """
    if os.path.exists(path) and not (os.path.isfile(path) or os.path.isdir(path)):
        raise InputError(f"{what or path}: is a device or pipe; expected a file")


CONTAINER = (
    ("memory.max", "memory.current"),
    ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes"),
)
"""Files in /sys/fs/cgroup: what a container is granted, and what it took (versions 2 and 1)."""


def available_memory() -> int:
    """Bytes that this process may still take: what is free, or what its container is granted."""
    try:
        free = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (ValueError, OSError, AttributeError):  # a system that does not tell
        return 2**62
    info = Path("/proc/meminfo")
    for line in info.read_text(encoding="ascii").splitlines() if info.exists() else ():
        if line.startswith("MemAvailable:"):
            free = int(line.split()[1]) * 1024
    for limit, used in CONTAINER:
        try:
            granted, taken = (
                int((Path("/sys/fs/cgroup") / name).read_text(encoding="ascii"))
                for name in (limit, used)
            )
        except (OSError, ValueError):  # no such limit
            continue
        free = min(free, max(granted - taken, 0))
    return free


def require_memory(needed: float, what: str) -> None:
    """Refuse what is sure not to fit.

    Args:
        needed: bytes, as a lower estimate.
        what: needs them; the options or fields that it follows from.

    Raises:
        InputError: more than is there; the line tells both.
    """
    there = available_memory()
    if needed > there:
        raise InputError(
            f"{what}: needs about {_shown(needed)} of memory, {_shown(there)} are free here; "
            "choose less"
        )


def _shown(size: float) -> str:
    return f"{size / 1e9:,.1f} GB" if size >= 1e8 else f"{size / 1e6:,.1f} MB"
