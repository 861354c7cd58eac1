"""English about drives: written, read, and held against what was driven."""
