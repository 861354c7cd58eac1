"""Search an archive of controllers that together reach every place, or import one.

Writes archive/: elites.parquet (weights, objective and final position of each elite), archive.json,
history.parquet, a copy of the world, and two pictures (coverage, elites_map). A killed search goes
on where it was. The objective of navigation is calm driving (neither leaning on walls nor
spinning); the BD is the final position.

Examples:
  python scripts/00_search_archive.py --run runs/demo
  python scripts/00_search_archive.py --run runs/full --preset paper
  python scripts/00_search_archive.py --run runs/novelty --algorithm novelty --batch 100
  python scripts/00_search_archive.py --run runs/mine --import elites.csv --layers 5 10 10 10 2
  python scripts/00_search_archive.py --run runs/theirs --import apartment.tar.gz
  python scripts/00_search_archive.py --run runs/car --environment MountainCarContinuous-v0
"""

from archive_tools.run import main
from archive_tools.stages.s00_search import SearchConfig as Config
from archive_tools.stages.s00_search import run

if __name__ == "__main__":
    main(run, Config, __doc__)
