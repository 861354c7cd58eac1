"""Does every policy of an archive still do what the archive says it does?"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from rich.console import Console
from rich.table import Table

from archive_tools.archive.cells import Cells, load_cells
from archive_tools.archive.elites import Archive, altered_policies, load_archive
from archive_tools.archive.replay import Replays, replay, scaling_hint, tolerances
from archive_tools.files import vector_column
from archive_tools.run import executor
from archive_tools.tasks import Environment, registry
from envs.errors import InputError

SHOWN = 10
"""Offenders shown in the terminal; the file has all of them."""


def offenders(archive: Archive, replays: Replays, altered: Sequence[int] = ()) -> pd.DataFrame:
    """The policies that are not ok: those without weights first, then the worst first."""
    bad = np.flatnonzero(~replays.ok)
    order = bad[np.argsort(-np.nan_to_num(replays.error[bad], nan=np.inf), kind="stable")]
    reasons = {int(i): "altered weights" for i in altered}
    reasons |= {int(i): "NaN or infinite weights" for i in archive.broken}
    return pd.DataFrame(
        {
            "policy_id": archive.policy_ids[order],
            "reason": [
                reasons.get(i, "ends elsewhere") for i in archive.policy_ids[order].tolist()
            ],
            "error": replays.error[order],
            "archived": [" ".join(f"{v:g}" for v in row) for row in archive.measures[order]],
            "replayed": [" ".join(f"{v:g}" for v in row) for row in replays.measures[order]],
        }
    )


def replays_table(archive: Archive, replays: Replays) -> pa.Table:
    """The content of replays.parquet."""
    return pa.table(
        {
            "policy_id": archive.policy_ids,
            "measures": vector_column(archive.measures),
            "replayed": vector_column(replays.measures),
            "error": replays.error,
            "spread": replays.spread,
            "objective": archive.objective,
            "replayed_objective": replays.objective,
            "ok": replays.ok,
        }
    )


def summarise(
    archive: Archive,
    replays: Replays,
    bad: pd.DataFrame,
    cells: Cells,
    tolerance: np.ndarray,
    *,
    count: int,
    pruned: bool,
) -> dict[str, Any]:
    """The content of verification.json.

    Corrected figures count each policy where it really ends, with the objective it really has.

    Args:
        archive, replays, bad: what was compared, and `offenders` of it.
        cells: in which coverage is counted.
        tolerance: [n_bd].
        count: replays of each policy.
        pruned: later stages use only the policies that are ok.
    """
    whole = np.isfinite(replays.measures).all(axis=1) & np.isfinite(replays.objective)
    stated = cells.score(archive.objective, archive.measures)
    true = cells.score(replays.objective[whole], replays.measures[whole])
    errors = replays.error[np.isfinite(replays.error)]
    return {
        "policies": len(archive),
        "ok": int(replays.ok.sum()),
        "offenders": len(bad),
        "offending_policies": bad["policy_id"].tolist(),
        "altered_weights": bad["reason"].tolist().count("altered weights"),
        "broken_weights": len(archive.broken),
        "pruned": pruned,
        "tolerance": tolerance.tolist(),
        "dimensions": list(cells.measures.names),
        "replays": count,
        "error_median": float(np.median(errors)) if len(errors) else None,
        "error_max": float(errors.max()) if len(errors) else None,
        "spread_mean": float(replays.spread[whole].mean()) if whole.any() else None,
        "coverage": stated[0],
        "corrected_coverage": true[0],
        "qd_score": stated[1],
        "corrected_qd_score": true[1],
        "hint": scaling_hint(archive, replays),
    }


def show(result: dict[str, Any], bad: pd.DataFrame) -> None:
    """Print the verdict and the worst offenders."""
    console = Console(stderr=True)
    table = Table(title="Verification: archive against replay")
    for heading in ("", "archive", "replayed"):
        table.add_column(heading, justify="right" if heading else "left")
    limits = ", ".join(
        f"{name} {limit:g}"
        for name, limit in zip(result["dimensions"], result["tolerance"], strict=True)
    )
    table.add_row("policies", f"{result['policies']:,}", f"{result['ok']:,} within tolerance")
    for name, text in (("coverage", "{:.2%}"), ("qd_score", "{:,.1f}")):
        table.add_row(
            name.replace("_", " "),
            text.format(result[name]),
            text.format(result[f"corrected_{name}"]),
        )
    if result["error_max"] is not None:
        table.add_row("error, median and largest", "",
                      f"{result['error_median']:.3g}, {result['error_max']:.3g}")  # fmt: skip
    table.add_row("tolerance", "", limits)
    console.print(table)
    if len(bad):
        worst = Table(title=f"Offending policies ({min(SHOWN, len(bad))} of {len(bad):,})")
        for name in bad.columns:
            worst.add_column(name, justify="right")
        for row in bad.head(SHOWN).itertuples(index=False):
            worst.add_row(str(row[0]), str(row[1]), f"{row[2]:.4g}", str(row[3]), str(row[4]))
        console.print(worst)
    if result["hint"]:
        console.print(result["hint"])


@dataclass(frozen=True)
class Verification:
    """An archive, its replays, and what came of the comparison."""

    archive: Archive
    replays: Replays
    offenders: pd.DataFrame
    result: dict[str, Any]
    environment: Environment

    @property
    def units(self) -> str:
        """In which the errors are, in words."""
        world, measures = self.environment.world, self.environment.measures
        in_world = world is not None and measures.are_positions(world.size)
        return "world units" if in_world else "BD units"


def verify(
    folder: Path,
    tolerance: Sequence[float],
    *,
    count: int = 1,
    pruned: bool = False,
    workers: executor.Executor | None = None,
) -> Verification:
    """Replay the archive in a folder, and print what came of it.

    A policy is ok when it ends within the tolerance and its weights are those that were saved.

    Args:
        folder: the archive's.
        tolerance: see `tolerances`.
        count: replays of each policy; one repeats the search's own seed.
        pruned: stated in the result, see `summarise`.
        workers: who drives; this process where None.

    Raises:
        InputError: the archive is missing or foreign, or the tolerance does not fit its BD.
    """
    archive = load_archive(folder, allow_broken=True)
    environment = registry.environment_of(folder, archive.info)
    if archive.solutions.shape[1] != environment.controller.n_params:
        raise InputError(
            f"{folder / 'elites.parquet'}: solutions have {archive.solutions.shape[1]} numbers; "
            f"controllers {'-'.join(map(str, environment.controller.layers))} have "
            f"{environment.controller.n_params} weights"
        )
    limits = tolerances(environment, tolerance)
    replays = replay(
        environment,
        archive,
        limits,
        replays=count,
        seed=int(archive.info.get("seed", 0)),
        workers=workers,
    )
    altered = altered_policies(folder)
    replays = replace(replays, ok=replays.ok & ~np.isin(archive.policy_ids, altered))
    cells = load_cells(folder, archive.info, environment.reachable())
    bad = offenders(archive, replays, altered.tolist())
    result = summarise(archive, replays, bad, cells, limits, count=count, pruned=pruned)
    show(result, bad)
    return Verification(archive, replays, bad, result, environment)
