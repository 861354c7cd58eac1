"""How good a drive is, and whether a judge can be trusted: metrics, judges, probes, agreement.

Imports rooms below: rollouts, dataset, language and down. `registry` is the one table of
metrics.
"""

from archive_tools.evaluation.judge_rules import judge_rules
from archive_tools.evaluation.judging import JudgeConfig, show_prompts
from archive_tools.evaluation.registry import METRICS, Metric, judge_label, shown_metrics
from archive_tools.evaluation.results import Results, judge_and_sum_up
from archive_tools.evaluation.scored import Scored
from archive_tools.evaluation.scoring import items_table, score_run

__all__ = [
    "METRICS",
    "JudgeConfig",
    "Metric",
    "Results",
    "Scored",
    "items_table",
    "judge_and_sum_up",
    "judge_label",
    "judge_rules",
    "score_run",
    "show_prompts",
    "shown_metrics",
]
