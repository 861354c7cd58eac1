"""Train and try the systems of the family: `python -m nanodt.family.recipes NAME`, or `--all`."""

import sys

from nanodt.family.recipes import main

sys.exit(main(sys.argv[1:]))
