"""Elites: searched, imported, replayed, written; and the cells that coverage is counted in.

Imports rooms below: tasks, run, files.
"""

from archive_tools.archive import algorithms, importing, plots, search, verification
from archive_tools.archive.cells import Cells
from archive_tools.archive.elites import Archive, imported_drives, load_archive
from archive_tools.archive.replay import tolerances

__all__ = [
    "Archive",
    "Cells",
    "algorithms",
    "imported_drives",
    "importing",
    "load_archive",
    "plots",
    "search",
    "tolerances",
    "verification",
]
