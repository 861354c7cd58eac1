"""Describe every trajectory in words.

Reads annotations/ and the world in archive/, writes descriptions/descriptions.parquet: texts in
the styles of docs/narrator.md, each checked against what its trajectory passed; a text that fails
is kept with its reason and marked rejected. Without --model the built-in narrator writes, with no
key and no network; --texts adds descriptions of your own, and drives that come with them. With
--model an OpenAI-compatible server writes; the key is read from OPENAI_API_KEY, every reply is kept
in RUN/ledger.sqlite, and nothing is ever paid twice.

Examples:
  python scripts/04_describe.py --run runs/demo --per-trajectory 2
  python scripts/04_describe.py --run runs/demo --styles everyday=3 hasty colleague
  python scripts/04_describe.py --run runs/demo --texts mine.csv --show-refused 10
  python scripts/04_describe.py --run runs/demo --model gpt-4.1-mini --dry-run
  python scripts/04_describe.py --run runs/demo --model gpt-4.1-mini --limit 20 --show-refused 10
  python scripts/04_describe.py --run runs/demo --model llama3.1 --base-url http://localhost:11434/v1
"""

from archive_tools.run import main
from archive_tools.stages.s04_describe import DescribeConfig as Config
from archive_tools.stages.s04_describe import run

if __name__ == "__main__":
    main(run, Config, __doc__)
