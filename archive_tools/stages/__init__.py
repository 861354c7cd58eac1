"""The numbered stages: one file per script, its options and its run(); only scripts import it.

s00_search → archive/, s01_verify → verification/, s02_record → trajectories/, s03_annotate →
annotations/, s04_describe → descriptions/, s05_dataset → dataset/, scripts/06 → tokenizer/,
scripts/07 → model/, s08_rollout → rollouts/, s09_evaluate → evaluation/, s10_publish →
published/; say drives one sentence.
Stages 06 and 07 are whole in their scripts: they need nanodt, which archive_tools may not import.
SCRIPTS, folder → script, stands in run/stage.py, whose messages name what to run first.
"""

from archive_tools.run import SCRIPTS

__all__ = ["SCRIPTS"]
