"""Sum up each system with intervals, and the policy against each other system.

Items are the unit of the statistics: repeats with several seeds are averaged within an item, the
two drives of a contrast pair within the pair, and intervals come from resampling items.
"""

from dataclasses import asdict
from itertools import product
from typing import Any

import pandas as pd

from archive_tools.evaluation.metrics import bootstrap
from archive_tools.evaluation.registry import METRICS, Metric
from archive_tools.rollouts import command_files


def per_item(
    frame: pd.DataFrame, system: str, metric: Metric, part: str = command_files.NARRATORS
) -> pd.Series:
    """The values of a metric that enter the statistics of a system on a set of commands: one per
    item, or per pair."""
    values: Any = _values(frame, system, metric, part).groupby(level=0).mean()
    return values


def _values(frame: pd.DataFrame, system: str, metric: Metric, part: str) -> pd.Series:
    """The values of a metric of a system by unit (item or pair), item and seed."""
    name = command_files.contrast_of(part) if metric.pairs else part
    rows: Any = frame[(frame["system"] == system) & (frame["set"] == name)]
    unit = "pair" if metric.pairs else "item"
    index = [rows[unit].to_numpy(), rows["item"].to_numpy(), rows["seed"].to_numpy()]
    values = rows[metric.column].to_numpy(float)
    return pd.Series(values, index=pd.MultiIndex.from_arrays(index))


def summarise(frame: pd.DataFrame, *, resamples: int, seed: int) -> list[dict[str, Any]]:
    """One record per set, system and metric: system, metric, set, mean, ci_low, ci_high, n.

    The figures of contrast pairs belong to the set whose pairs they are. `mean` of
    `bd_error_median` is the median. A metric without a value for a system has no record.
    """
    records = []
    systems = list(dict.fromkeys(frame["system"]))
    for part, system, metric in product(sets_of(frame), systems, METRICS.values()):
        interval = bootstrap(
            per_item(frame, system, metric, part).to_numpy(),
            statistic=metric.statistic,
            resamples=resamples,
            seed=seed,
        )
        if interval.n:
            head = {"system": system, "metric": metric.name, "set": part}
            records.append(head | asdict(interval))
    return records


def sets_of(frame: pd.DataFrame) -> list[str]:
    """The sets of commands in drives or records, without those of contrast pairs."""
    return list(dict.fromkeys(command_files.set_of(name) for name in frame["set"]))


def differences(
    frame: pd.DataFrame, *, resamples: int, seed: int, system: str = "nanodt"
) -> list[dict[str, Any]]:
    """`system` minus each other system, paired by item and seed.

    Returns:
        records: system, minus, metric, set, mean, ci_low, ci_high, n, and `apart`: whether the two
        systems' own intervals, over the items that both have, do not overlap.
    """
    records = []
    others = [name for name in dict.fromkeys(frame["system"]) if name != system]
    for part, other, metric in product(sets_of(frame), others, METRICS.values()):
        sides = [_values(frame, name, metric, part) for name in (system, other)]
        both: Any = pd.concat(sides, axis=1, join="inner").dropna().groupby(level=0).mean()
        pair = both.to_numpy(float).T
        options: dict[str, Any] = {
            "statistic": metric.statistic, "resamples": resamples, "seed": seed,
        }  # fmt: skip
        gap = bootstrap(*pair, **options)
        if gap.n:
            first, second = (bootstrap(values, **options) for values in pair)
            apart = first.ci_low > second.ci_high or second.ci_low > first.ci_high
            records.append({"system": system, "minus": other, "metric": metric.name, "set": part,
                            **asdict(gap), "apart": apart})  # fmt: skip
    return records
