"""Train and try the systems of the family: `python -m nanodt.recipes NAME`, or `--all`."""

import sys

from nanodt.recipes import main

sys.exit(main(sys.argv[1:]))
