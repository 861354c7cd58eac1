"""People's scores of drives: which are shown, what is shown next, the file that keeps them.

Imports rooms below: report, evaluation, rollouts and down. The page is archive_tools.playground's.
"""

from archive_tools.rating.ratings import ratings_digest, read_ratings
from archive_tools.rating.session import Session, open_session

__all__ = [
    "Session",
    "open_session",
    "ratings_digest",
    "read_ratings",
]
