"""The numbered stages: one file for each script, its options and its run(); nobody imports them.

| script | stage | reads, writes |
|---|---|---|
| 00_search_archive | s00_search | world → archive/ |
| 01_verify_archive | s01_verify | archive → verification/ |
| 02_record_trajectories | s02_record | archive → trajectories/ |
| 03_annotate | s03_annotate | trajectories, scene → annotations/ |
| 04_describe | s04_describe | annotations → descriptions/ |
| 05_verify_dataset | s05_dataset | all of these → dataset/ |
| 06_train_tokenizer | in scripts/ | dataset → tokenizer/ |
| 07_train | in scripts/ | dataset, tokenizer → model/ |
| 08_rollout | s08_rollout | model, test split → rollouts/ |
| 09_evaluate | s09_evaluate, say | rollouts → evaluation/ |

Stages 06 and 07 are whole in their scripts, for they need nanodt, which archive_tools may not
import. SCRIPTS, folder → script, stands in run/stage.py, whose messages name what to run first.
"""

from archive_tools.run.stage import SCRIPTS

__all__ = ["SCRIPTS"]
