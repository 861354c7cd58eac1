"""Record what every elite sees and does: one trajectory each; or import what others recorded.

Reads archive/ (only the policies that are kept, where scripts/01_verify_archive.py --prune left
some out) and writes trajectories/: observations, actions and poses of every step. A killed
recording goes on where it was.

With --import the drives come from Minari, LeRobot, an .npz or another run (docs/recordings.md), and
archive/ holds only where they were driven: nothing has to be searched.

Examples:
  python scripts/02_record_trajectories.py --run runs/demo
  python scripts/02_record_trajectories.py --run runs/mine --import drives.npz --world apartment
  python scripts/02_record_trajectories.py --run runs/maze --import D4RL/pointmaze/umaze-v2 \\
      --observations observations/observation --position observations/achieved_goal
"""

from archive_tools.run import main
from archive_tools.stages.s02_record import RecordConfig as Config
from archive_tools.stages.s02_record import run

if __name__ == "__main__":
    main(run, Config, __doc__)
