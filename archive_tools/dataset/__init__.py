"""What is learnt from: joined and checked data, splits, augmentation, the dataset card.

Imports rooms below: descriptions, language, annotations, trajectories and down.
"""

from archive_tools.dataset.card import dataset_info, render_card
from archive_tools.dataset.join import Joined
from archive_tools.dataset.rules import check_length, report_rules
from archive_tools.dataset.splits import SplitRule

__all__ = [
    "Joined",
    "SplitRule",
    "check_length",
    "dataset_info",
    "render_card",
    "report_rules",
]
