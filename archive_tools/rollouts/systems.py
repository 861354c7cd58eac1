"""The systems that are driven: the policy, its controls, lookups in the archive, replay."""

from archive_tools.rollouts.baselines import BASELINES
from archive_tools.rollouts.items import REWORDED, SWAPS, UNSEEN

CONTROLS = (
    *("text_off", "bd_off", "both_off", "text_shuffled"),
    *("object_swapped", "direction_swapped", "unseen_wording", "unseen_reworded"),
)
SYSTEMS = ("nanodt", *(f"nanodt/{name}" for name in CONTROLS), *BASELINES, "replay")
ONE_SET = (*SWAPS, UNSEEN, REWORDED)
"""Systems that drive the test items only, not the contrast pairs."""
