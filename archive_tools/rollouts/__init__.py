"""What is driven, by whom, on which command: items, controls, lookups in the archive, contrast
pairs.

Imports rooms below: dataset, language and down. `systems` is the one table of systems.
"""

from archive_tools.rollouts import command_files, driving
from archive_tools.rollouts.contrast import contrast_pairs, contrast_score
from archive_tools.rollouts.items import (
    make_instructions,
    make_items,
    read_instructions,
    write_commands,
)
from archive_tools.rollouts.systems import SYSTEMS, system_of
from archive_tools.rollouts.work import batches, drive_all

__all__ = [
    "SYSTEMS",
    "batches",
    "command_files",
    "contrast_pairs",
    "contrast_score",
    "drive_all",
    "driving",
    "make_instructions",
    "make_items",
    "read_instructions",
    "system_of",
    "write_commands",
]
