"""What people look at: the report's page with its figures, galleries and tables, and the page of
results.

Imports rooms below: evaluation, rollouts and down. It draws and words; it measures nothing.
"""

from archive_tools.report.canvas import DARK, LIGHT
from archive_tools.report.compress import kept_steps
from archive_tools.report.gallery import events
from archive_tools.report.page import write_report
from archive_tools.report.results_page import Goal, share, write_results
from archive_tools.report.tables import Figures, of_set, set_title, span

__all__ = [
    "DARK",
    "LIGHT",
    "Figures",
    "Goal",
    "events",
    "kept_steps",
    "of_set",
    "set_title",
    "share",
    "span",
    "write_report",
    "write_results",
]
