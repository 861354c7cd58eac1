"""Recorded drives on disk, and recording them.

Imports rooms below: archive, tasks and down.
"""

from archive_tools.trajectories.recording import Recorder
from archive_tools.trajectories.table import (
    SCHEMA,
    Floats,
    Sequences,
    Trajectories,
    load_trajectories,
    make_info,
    make_table,
    trajectory_parts,
    unpack_table,
    write_trajectories,
)

__all__ = [
    "SCHEMA",
    "Floats",
    "Recorder",
    "Sequences",
    "Trajectories",
    "load_trajectories",
    "make_info",
    "make_table",
    "trajectory_parts",
    "unpack_table",
    "write_trajectories",
]
