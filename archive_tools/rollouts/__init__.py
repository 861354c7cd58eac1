"""What is driven, by whom, on which command: items, controls, lookups in the archive, contrast
pairs.

Imports rooms below: dataset, language and down. `systems` is the one table of systems.
"""

from archive_tools.rollouts import command_files, driving, listener, work
from archive_tools.rollouts.contrast import contrast_pairs, contrast_score
from archive_tools.rollouts.items import (
    make_instructions,
    make_items,
    read_instructions,
    write_commands,
)
from archive_tools.rollouts.systems import SYSTEMS, system_of

__all__ = [
    "SYSTEMS",
    "command_files",
    "contrast_pairs",
    "contrast_score",
    "driving",
    "listener",
    "make_instructions",
    "make_items",
    "read_instructions",
    "system_of",
    "work",
    "write_commands",
]
