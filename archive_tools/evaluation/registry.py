"""The metrics: one record each, which everything that lists metrics reads.

A further metric is a record here and the function that it names: it is then computed for every
drive, summed up in metrics.json, and shown in the report and in the page of results.
"""

from dataclasses import dataclass
from typing import Literal

from archive_tools.evaluation import measures


@dataclass(frozen=True)
class Metric:
    """One metric: what it is, how it is summed up, and how it is shown."""

    name: str
    """In metrics.json."""
    column: str
    """In items.parquet: its value for each drive."""
    title: str
    """Above its panel and column."""
    note: str
    """What it is, and which way is better where that is not plain."""
    short: str
    """Where there is room for a word or two: "route"."""
    measure: measures.Measure | None = None
    """Its value for each drive; None where judges, people or counterfactuals fill the column."""
    statistic: Literal["mean", "median"] = "mean"
    pairs: bool = False
    """It is of contrast pairs, and its unit is the pair."""
    limits: tuple[float, float] | None = (0.0, 1.0)
    """Of its axis; None: from 0 to the data."""
    chance: float | None = None
    """What guessing gives."""
    decimals: int = 2
    percent: bool = False
    """A share, which reads well in per cent."""
    unit: str = ""
    lower: bool = False
    """Less is better."""
    headline: bool = True
    """Shown where there is room for a few: tiles, comparisons of runs, the page of results."""
    sortable: bool = False
    """The report can sort drives by it."""
    judge: bool = False
    """It is the score of a judge, and `short` names the judge."""


_ALL = (
    Metric(
        "bd_error_median", "bd_error", "Distance to the target",
        "median, % of the diagonal; lower is better", "distance", measures.distance,
        statistic="median", limits=None, decimals=1, unit="%", lower=True, sortable=True,
    ),
    Metric(
        "bd_success", "bd_success", "Targets reached", "share within 5 % of the diagonal",
        "within 5 %", measures.success, percent=True,
    ),
    Metric(
        "route_lcs", "route_lcs", "Route obeyed", "longest common subsequence / longer route",
        "route", measures.route, sortable=True,
    ),
    Metric(
        "contrast", "contrast", "Contrast pairs told apart", "share; guessing gives 0.5",
        "contrast", measures.contrast, pairs=True, chance=0.5, percent=True,
    ),
    Metric(
        "obeyed", "obeyed", "Obeyed in full", "share of commands: places, order, end, bans",
        "in full", measures.obeyed, percent=True, sortable=True,
    ),
    Metric(
        "forbidden_entered", "forbidden_entered", "Bans broken",
        "share, where something is forbidden; lower is better", "bans broken",
        measures.forbidden_entered, percent=True, lower=True,
    ),
    Metric(
        "ndtw", "ndtw", "Path, nDTW", "normalised dynamic time warping with the reference’s path",
        "nDTW", measures.path, headline=False, sortable=True,
    ),
    Metric(
        "sdtw", "sdtw", "Path and place, SDTW", "nDTW where the target was reached, else 0",
        "SDTW", measures.path_reached, headline=False,
    ),
    Metric(
        "set_f1", "set_f1", "Places visited", "F1 of the sets of places", "places",
        measures.places, headline=False, sortable=True,
    ),
    Metric(
        "order_tau", "order_tau", "Order kept", "Kendall’s τ over the places in common", "order",
        measures.order, limits=(-1.0, 1.0), chance=0.0, headline=False, sortable=True,
    ),
    Metric(
        "judge_rules", "judge_rules", "Judge by rules", "mean score", "judge by rules",
        headline=False, sortable=True, judge=True,
    ),
    Metric(
        "judge_llm", "judge_llm", "Judge by LLM", "mean score", "judge by LLM", headline=False,
        sortable=True, judge=True,
    ),
    Metric(
        "instruction_order", "instruction_order", "Instruction, in order",
        "share of the places named in the text it was given", "instruction", measures.followed,
        headline=False,
    ),
    Metric(
        "follows_counterfactual", "follows_counterfactual", "Follows the exchanged word",
        "share of the counterfactual texts", "counterfactual", headline=False,
    ),
    Metric(
        "judge_people", "judge_people", "People", "mean rating, 0 to 10 as 0 to 1", "people",
        headline=False, sortable=True, judge=True,
    ),
)  # fmt: skip
METRICS = {metric.name: metric for metric in _ALL}
"""All metrics by name, in the order of metrics.json."""


def shown_metrics() -> list[Metric]:
    """All metrics in the order in which people read them: what was driven, then the judges."""
    return sorted(METRICS.values(), key=lambda metric: metric.judge)


def columns() -> list[str]:
    """The columns of all metrics."""
    return list(dict.fromkeys(metric.column for metric in METRICS.values()))


def judge_label(name: str) -> str:
    """A judge's name for people: of a metric, of `rules` and `llm`, or of a rater."""
    if name in METRICS:
        return METRICS[name].short
    return {"rules": "rules", "llm": "LLM"}.get(name, name.removeprefix("people:"))
