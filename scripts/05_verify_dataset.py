"""Join everything, check every rule that training relies on, split, and write the dataset.

Reads archive/, trajectories/, annotations/ and descriptions/, writes dataset/: trajectories.parquet
(the one table nanodt trains on), dataset.json (shapes, bounds, counts, checks) and README.md (the
dataset card). A broken rule ends with a non-zero exit and RUN/problems.csv names every offender.

Example: python scripts/05_verify_dataset.py --run runs/demo --split random
"""

from archive_tools.run import main
from archive_tools.stages.s05_dataset import DatasetConfig as Config
from archive_tools.stages.s05_dataset import run

if __name__ == "__main__":
    main(run, Config, __doc__)
