"""Record what every elite sees and does: one trajectory each.

Reads archive/ (only the policies that are kept, where scripts/01_verify_archive.py --prune left
some out) and writes trajectories/: observations, actions and poses of every step. A killed
recording goes on where it was.

Example: python scripts/02_record_trajectories.py --run runs/demo
"""

from archive_tools.run import main
from archive_tools.stages.s02_record import RecordConfig as Config
from archive_tools.stages.s02_record import run

if __name__ == "__main__":
    main(run, Config, __doc__)
