"""Write docs/results.md from an evaluated run and its siblings: tables, targets, pictures.

Example: python scripts/results.py --run runs/paper
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

import tyro

from archive_tools.report.results_page import write_results
from envs.errors import InputError


@dataclass
class Config:
    """The page of results."""

    run: Path = Path("runs/paper")
    """A run with an evaluation/."""
    page: Path = Path("docs/results.md")
    """The page; its pictures go into images/ beside it, in a folder of the page's name."""
    command: str = "make results"
    """What the page says it was made by."""
    title: str = "Results"
    """Of the page."""
    note: str = ""
    """A sentence for the head of the page: the machine, say."""


def main() -> None:
    """The command line."""
    config = tyro.cli(Config, description=__doc__)
    try:
        print(write_results(config.run, config.page, config.command, config.title, config.note))
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)


if __name__ == "__main__":
    main()
