"""Drives that others recorded, as files: Minari, LeRobot, npz, our own Parquet.

Imports rooms below: trajectories, tasks, run, files.
"""

from archive_tools.recordings import importing, setting
from archive_tools.recordings.choice import Choice, Drives, take_drives
from archive_tools.recordings.episodes import Recording
from archive_tools.recordings.lerobot import read_lerobot
from archive_tools.recordings.minari import minari_arrays, read_minari
from archive_tools.recordings.replaying import replay_drives
from archive_tools.recordings.sources import read_recording, recording_digest

__all__ = [
    "Choice",
    "Drives",
    "Recording",
    "importing",
    "minari_arrays",
    "read_lerobot",
    "read_minari",
    "read_recording",
    "recording_digest",
    "replay_drives",
    "setting",
    "take_drives",
]
