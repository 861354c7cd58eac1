"""Train and try the systems of the family: `python -m nanodt.family.recipes NAME`, or `--all`."""

import sys

from nanodt.family.recipes.command import run

sys.exit(run(sys.argv[1:]))
