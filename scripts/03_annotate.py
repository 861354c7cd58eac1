"""Annotate the recorded trajectories with the objects and tiles of the scene.

Reads trajectories/ and the world in archive/, writes annotations/: events.parquet (one row where
something changes: the tile under the robot, the objects near it and on which side of them it is)
and routes.parquet (the ordered list of what each trajectory visits).

Example: python scripts/03_annotate.py --run runs/demo --near 24 --persist 3
"""

from archive_tools.run import main
from archive_tools.stages.s03_annotate import AnnotateConfig as Config
from archive_tools.stages.s03_annotate import run

if __name__ == "__main__":
    main(run, Config, __doc__)
