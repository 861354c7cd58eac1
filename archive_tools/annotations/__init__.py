"""What a path passes: events where its surroundings change, visits, routes, and what "near" means.

Imports rooms below: trajectories and down.
"""

from archive_tools.annotations import similarity
from archive_tools.annotations.annotate import RELATIONS, NearRule, annotate
from archive_tools.annotations.events import (
    Annotation,
    Event,
    Near,
    load_annotations,
    write_annotations,
)
from archive_tools.annotations.similarity import lcs_ratio
from archive_tools.annotations.visits import Visit, visits_of

__all__ = [
    "RELATIONS",
    "Annotation",
    "Event",
    "Near",
    "NearRule",
    "Visit",
    "annotate",
    "lcs_ratio",
    "load_annotations",
    "similarity",
    "visits_of",
    "write_annotations",
]
