"""The systems of the family, one file each: `python -m nanodt.train --recipe NAME`."""
