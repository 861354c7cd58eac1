"""What befalls a command line: disks, memory, Ctrl-C, a reader that leaves. One line each."""

from __future__ import annotations

import errno
import io
import os
import shutil
import signal
import sys
import threading
from collections.abc import Callable
from types import FrameType
from typing import Any, NoReturn

from nanodt.errors import InputError

GO_ON = "the same command goes on from here"


def guarded(body: Callable[[], object]) -> int:
    """Run the body of a command line; its exit status: 0, or that of `body` where it is a number,
    2 on a mistake of the user's or a mishap of the machine, 130 on Ctrl-C."""
    _steady_output()
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, _terminated)
    try:
        status = body()
    except KeyboardInterrupt:
        print(f"\ninterrupted; {GO_ON}", file=sys.stderr)
        return 130
    except Exception as error:
        line = in_a_line(error)
        if line is None:
            raise
        print("error: " + " ".join(line.splitlines()), file=sys.stderr)
        return 2
    return status if isinstance(status, int) else 0


def in_a_line(error: Exception) -> str | None:
    """A mistake of the user's or a mishap of the machine; None for a fault of the program."""
    if isinstance(error, shutil.Error) and isinstance(error.args[0], list):  # of copytree
        _, path, why = error.args[0][0]
        error = OSError(0, why, str(path))
    text = " ".join(str(error).split())
    said = text.lower()
    if isinstance(error, InputError):
        return text
    if isinstance(error, MemoryError) or "can't allocate memory" in said or "out of memory" in said:
        return f"the memory does not suffice ({text[:200]}): choose smaller sizes"
    if isinstance(error, RecursionError):
        return f"something in a file is nested too deeply ({text})"
    if isinstance(error, UnicodeEncodeError):
        return f"a name or text that is no {error.encoding} ({text}); rename it"
    if isinstance(error, UnicodeError):
        return f"not a text in UTF-8 ({text})"
    if not isinstance(error, OSError):
        return None
    where = f"{error.filename}: " if error.filename else ""
    if error.errno in (errno.ENOSPC, errno.EDQUOT) or "no space left" in said:
        return f"{where}no space left on the device: make room, then {GO_ON}"
    return where + (error.strerror or text or type(error).__name__)


def _steady_output() -> None:
    """Let standard output and error fail silently: nobody reads them, but the work counts."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:  # closed before we began
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115
        elif stream is getattr(sys, f"__{name}__") and isinstance(stream, io.TextIOWrapper):
            stream.flush()
            raw = io.BufferedWriter(_Stream(stream.fileno(), "w", closefd=False))
            buffering = stream.line_buffering or name == "stderr"
            new = io.TextIOWrapper(raw, stream.encoding, "backslashreplace", None, buffering)
            setattr(sys, name, new)


class _Stream(io.FileIO):
    """A standard stream; what its reader does not take any more is dropped."""

    def write(self, data: Any, /) -> int:
        try:
            return super().write(data) or 0
        except OSError:
            return len(data)


def _terminated(number: int, frame: FrameType | None) -> NoReturn:
    os.write(2, f"terminated; {GO_ON}\n".encode())  # print is not safe in a signal's handler
    raise SystemExit(128 + number)
