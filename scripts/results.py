"""Write docs/results.md from an evaluated run and its siblings: goals, tables, pictures.

Example: python scripts/results.py --run runs/paper
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from archive_tools.evaluation import METRICS
from archive_tools.report import Figures, Goal, share, span, write_results
from archive_tools.run import main

CONDITION = "For an hour of training on two CPU cores."


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


def bound(
    figures: Figures, what: str, system: str, metric: str, limit: float, most: bool = False
) -> Goal:
    """A figure that is to be at least the limit, or at most."""
    record = figures.get(system, metric)
    number = f"{100 * limit:.0f} %" if METRICS[metric].percent else f"{limit:g}"
    number += f" {METRICS[metric].unit}".rstrip()
    met = None
    if record is not None:
        met = record["mean"] <= limit if most else record["mean"] >= limit
    return Goal(what, f"{'≤' if most else '≥'} {number}", share(record), met)


def better(what: str, record: dict[str, Any] | None, asked: str = "intervals apart") -> Goal:
    """A difference that is to be in the policy's favour, with intervals apart."""
    if record is None:
        return Goal(what, asked, "–", None)
    lower = METRICS[record["metric"]].lower
    met = record["apart"] and (record["mean"] < 0) == lower
    mean, interval = span(record, signed=True)
    return Goal(what, asked, f"{mean} {interval}", met)


def goals(figures: Figures, people: Figures, beside: Sequence[dict[str, Any]]) -> list[Goal]:
    """What this project aims at, and what a run reached.

    Args:
        figures: of the run, on the narrator's commands.
        people: the same on people's.
        beside: differences of its siblings (experiments.json).
    """

    rows = [
        bound(people, "people's commands: route obeyed", "nanodt", "route_lcs", 0.87),
        bound(people, "the same: contrast pairs told apart", "nanodt", "contrast", 0.94),
        bound(people, "the same: route, text only (no BD)", "nanodt/bd_off", "route_lcs", 0.84),
        bound(people, "the same: within 5 %, text only", "nanodt/bd_off", "bd_success", 0.4),
        bound(
            figures, "distance to the target, median", "nanodt", "bd_error_median", 2.0, most=True
        ),
        bound(figures, "targets reached (within 5 %)", "nanodt", "bd_success", 0.8),
        bound(figures, "route obeyed", "nanodt", "route_lcs", 0.9),
        bound(figures, "contrast pairs told apart", "nanodt", "contrast", 0.9),
        bound(figures, "route, text only (no BD)", "nanodt/bd_off", "route_lcs", 0.85),
    ]
    lost = figures.minus("nanodt/unseen_phrasing", "route_lcs")
    rows.append(
        Goal(
            "route lost by unseen phrasing",
            "≤ 0.03",
            "–" if lost is None else " ".join(span(lost)),
            None if lost is None else lost["mean"] <= 0.03,
        )
    )
    rows.append(
        better(
            "route, minus the nearest elite by BD", figures.minus("nearest_elite_bd", "route_lcs")
        )
    )
    rows.append(
        better(
            "distance, minus the nearest elite by text",
            figures.minus("nearest_elite_text", "bd_error_median"),
        )
    )
    for name in ("regions", "routes", "10 %"):
        for metric, what in (("bd_error_median", "distance"), ("route_lcs", "route")):
            records = (
                r
                for r in beside
                if (r["name"], r["minus"], r["metric"]) == (name, "nearest_elite_both", metric)
            )
            title = f"{name}: {what}, minus the nearest elite by both"
            rows.append(better(title, next(records, None)))
    return rows


def run(config: Config) -> Path:
    """Write the page; returns its path."""
    page = write_results(
        config.run, config.page, config.command, config.title, config.note, goals, CONDITION
    )
    print(page)
    return page


if __name__ == "__main__":
    main(run, Config, __doc__)
