"""People's scores of drives: which are shown, the page that shows them, the file that keeps them.

Imports rooms below: report, evaluation, rollouts and down.
"""

from archive_tools.rating.ratings import ratings_digest, read_ratings
from archive_tools.rating.server import rate

__all__ = [
    "rate",
    "ratings_digest",
    "read_ratings",
]
