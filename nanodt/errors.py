"""The error that is the user's to mend, and files that are refused by it."""

import os
from pathlib import Path


class InputError(ValueError):
    """A user's mistake, in one line: what was found, what was expected, how to mend it."""


def require_file(path: Path | str, what: str = "") -> None:
    """Refuse a device or pipe: read without end, and gone for all where a file takes its place."""
    if os.path.exists(path) and not (os.path.isfile(path) or os.path.isdir(path)):
        raise InputError(f"{what or path}: is a device or pipe; expected a file")
