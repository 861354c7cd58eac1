"""A run directory: stages with manifests, the command line of their options, runs beside it.

Imports files only. It knows no stage by what it does.
"""

from archive_tools.run import bounds, executor, siblings
from archive_tools.run.manifest import SCRIPTS, check_folder, read_manifest
from archive_tools.run.options import main
from archive_tools.run.stage import Preset, Stage, StageConfig
from archive_tools.run.training_log import read_log
from archive_tools.run.workplace import take_over

__all__ = [
    "SCRIPTS",
    "Preset",
    "Stage",
    "StageConfig",
    "bounds",
    "check_folder",
    "executor",
    "main",
    "read_log",
    "read_manifest",
    "siblings",
    "take_over",
]
