"""The one frame of all command lines: what befalls them is told in a line, and work is not lost.

A mistake of the user's, a full or read-only disk, a file of another encoding, JSON nested a million
deep, memory that does not suffice: one line and status 2. Ctrl-C and SIGTERM: a line, and status
130 and 143. A reader of the output that leaves (`| head`), or no output at all: the work goes on.
What is left is a fault of the program, and shown as such.
"""

import errno
import io
import os
import shutil
import signal
import sqlite3
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

from envs.errors import InputError

GO_ON = "the same command goes on from here"


@dataclass
class Guard:
    """What `guarded` yields."""

    where: Path | str = "."
    """Named where a fault does not say which file it met."""


@contextmanager
def guarded(*errors: type[Exception]) -> Iterator[Guard]:
    """Run the body of a command line; it ends the process where the body fails.

    Args:
        errors: further error types whose message is for the user.
    """
    steady_output()
    guard = Guard()
    main_thread = threading.current_thread() is threading.main_thread()
    before = signal.signal(signal.SIGTERM, _terminated) if main_thread else None
    try:
        yield guard
    except (InputError, *errors) as error:
        _fail(str(error))
    except KeyboardInterrupt:
        print(f"\ninterrupted; {GO_ON}", file=sys.stderr)
        sys.exit(130)
    except Exception as error:
        line = in_a_line(error, guard.where)
        if line is None:
            raise
        _fail(line)
    finally:
        if main_thread:
            signal.signal(signal.SIGTERM, before)


def in_a_line(error: Exception, where: Path | str) -> str | None:
    """A fault of disks, files, encodings or memory in one line; None for one of the program."""
    if isinstance(error, shutil.Error) and isinstance(error.args[0], list):  # of copytree
        _, path, why = error.args[0][0]
        error = OSError(0, why, str(path))
    text = " ".join(str(error).split())
    said = text.lower()
    if isinstance(error, MemoryError) or "can't allocate memory" in said or "out of memory" in said:
        return f"{where}: the memory does not suffice ({text}); choose smaller sizes; {GO_ON}"
    if isinstance(error, RecursionError):
        return f"{where}: something in a file is nested too deeply ({text})"
    if isinstance(error, UnicodeEncodeError):
        return f"{where}: a name or text that is no {error.encoding} ({text}); rename it"
    if isinstance(error, UnicodeError):
        return f"{where}: not a text in UTF-8 ({text}); save it as UTF-8"
    if not isinstance(error, (OSError, sqlite3.Error)):
        return None
    path = getattr(error, "filename", None) or where
    number = getattr(error, "errno", None)
    if number in (errno.ENOSPC, errno.EDQUOT) or "no space left" in said or "disk is full" in said:
        return f"{path}: no space left on the device; make room, then {GO_ON}"
    reason = getattr(error, "strerror", None) or text or type(error).__name__
    if number in (errno.EROFS, errno.EACCES, errno.EPERM) or "readonly" in said:
        return f"{path}: {reason}; give this user the right to it, or copy the run elsewhere"
    return f"{path}: {reason}"


def steady_output() -> None:
    """Let standard output and error fail silently: nobody reads them, but the work counts.

    A character that the terminal's encoding lacks is shown by its number.
    """
    for name, descriptor in (("stdout", 1), ("stderr", 2)):
        stream = getattr(sys, name)
        if stream is None:  # closed before we began: another file must not get its number
            null = os.open(os.devnull, os.O_RDWR)
            try:
                os.fstat(descriptor)
            except OSError:
                os.dup2(null, descriptor)
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115
        elif stream is getattr(sys, f"__{name}__") and isinstance(stream, io.TextIOWrapper):
            stream.flush()
            new = io.TextIOWrapper(
                io.BufferedWriter(_Stream(stream.fileno(), "w", closefd=False)),
                encoding=stream.encoding,
                errors="backslashreplace",
                line_buffering=stream.line_buffering or name == "stderr",
            )
            setattr(sys, name, new)


class _Stream(io.FileIO):
    """A standard stream; what its reader does not take any more is dropped."""

    def write(self, data: Any, /) -> int:
        try:
            return super().write(data) or 0
        except OSError:
            return len(data)


def _fail(message: str) -> NoReturn:
    print("error: " + " ".join(message.splitlines()), file=sys.stderr)
    sys.exit(2)


def _terminated(number: int, frame: FrameType | None) -> NoReturn:
    os.write(2, f"terminated; {GO_ON}\n".encode())  # print is not safe in a signal's handler
    raise SystemExit(128 + number)
