"""Replay every policy of the archive and compare where it ends with what the archive says.

Reads archive/, writes verification/: replays.parquet, verification.json (with corrected coverage
and QD score), offenders.csv and a histogram of the errors. Exit status 1 when a policy is beyond
the tolerance; with --prune the later stages use only the others, and the status is 0.

Examples:
  python scripts/01_verify_archive.py --run runs/demo
  python scripts/01_verify_archive.py --run runs/mine --tolerance 5 5 --prune
  python scripts/01_verify_archive.py --run runs/car --replays 10 --tolerance 0.1 0.01
"""

from archive_tools.run import main
from archive_tools.stages.s01_verify import VerifyConfig as Config
from archive_tools.stages.s01_verify import run_or_fail

if __name__ == "__main__":
    main(run_or_fail, Config, __doc__)
