"""Pages of a local server: the playground, where one types and watches, and the rating page.

Imports rooms below: rating, report, evaluation, rollouts and down. One server, one set of rules of
safety, one way to serve files; who drives is handed in, as this package knows no model.
"""

from archive_tools.playground.opening import play, rate
from archive_tools.playground.robots import Acts, Begin, LoadPolicy

__all__ = [
    "Acts",
    "Begin",
    "LoadPolicy",
    "play",
    "rate",
]
