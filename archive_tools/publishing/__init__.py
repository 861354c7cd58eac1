"""What goes out: datasets in three formats, the model, a bundle of the described archive; the Hub.

Imports rooms below: evaluation, rollouts, trajectories and down.
"""

from archive_tools.publishing.bundle import is_bundle, unpack_bundle
from archive_tools.publishing.contents import Contents
from archive_tools.publishing.hub import Hub, Parcel
from archive_tools.publishing.targets import TARGETS, Target, lacks

__all__ = [
    "TARGETS",
    "Contents",
    "Hub",
    "Parcel",
    "Target",
    "is_bundle",
    "lacks",
    "unpack_bundle",
]
