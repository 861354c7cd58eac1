"""Stage 01: does every policy of the archive still do what the archive says it does?"""

import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pandas as pd
import pyarrow as pa
from rich.console import Console
from rich.table import Table

from archive_tools.archive.cells import Cells, load_cells
from archive_tools.archive.elites import Archive, altered_policies, load_archive
from archive_tools.archive.plots import plot_errors
from archive_tools.archive.replay import Replays, replay, scaling_hint, tolerances
from archive_tools.run.stage import Stage, StageConfig, read_manifest
from archive_tools.run.tables import read_json, write_json, write_table
from archive_tools.tasks.registry import environment_of
from archive_tools.tasks.task import Environment
from envs.errors import InputError

SHOWN = 10
"""Offenders shown in the terminal; the file has all of them."""


@dataclass
class VerifyConfig(StageConfig):
    """Replay every policy of the archive and compare where it ends."""

    tolerance: tuple[float, ...] = ()
    """How far from its BD a policy may end, in BD units, one number or one for each dimension; by
    default a 10⁻⁵ of the range."""
    replays: int = 1
    """Replays of each policy. One repeats the search's own seed; more use other seeds and compare
    their mean, for stochastic environments."""
    prune: bool = False
    """Let the later stages use only the policies that are within the tolerance. The archive itself
    stays as it is."""

    presets: ClassVar[dict[str, dict[str, Any]]] = {}


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

    def vectors(rows: np.ndarray) -> pa.Array:
        values = pa.array(np.ascontiguousarray(rows, np.float32).reshape(-1))
        return pa.FixedSizeListArray.from_arrays(values, rows.shape[1])

    return pa.table(
        {
            "policy_id": archive.policy_ids,
            "measures": vectors(archive.measures),
            "replayed": vectors(replays.measures),
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
    config: VerifyConfig,
) -> dict[str, Any]:
    """The content of verification.json.

    Corrected figures count each policy where it really ends, with the objective it really has.
    """
    whole = np.isfinite(replays.measures).all(axis=1) & np.isfinite(replays.objective)
    told = cells.score(archive.objective, archive.measures)
    true = cells.score(replays.objective[whole], replays.measures[whole])
    errors = replays.error[np.isfinite(replays.error)]
    return {
        "policies": len(archive),
        "ok": int(replays.ok.sum()),
        "offenders": len(bad),
        "offending_policies": bad["policy_id"].tolist(),
        "altered_weights": bad["reason"].tolist().count("altered weights"),
        "broken_weights": len(archive.broken),
        "pruned": config.prune,
        "tolerance": tolerance.tolist(),
        "dimensions": list(cells.measures.names),
        "replays": config.replays,
        "error_median": float(np.median(errors)) if len(errors) else None,
        "error_max": float(errors.max()) if len(errors) else None,
        "spread_mean": float(replays.spread[whole].mean()) if whole.any() else None,
        "coverage": told[0],
        "corrected_coverage": true[0],
        "qd_score": told[1],
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


def verify(folder: Path, config: VerifyConfig) -> Verification:
    """Replay the archive in a folder, and print what was found.

    A policy is ok when it ends within the tolerance and its weights are those that were saved.
    """
    archive = load_archive(folder, allow_broken=True)
    environment = environment_of(folder, archive.info)
    if archive.solutions.shape[1] != environment.controller.n_params:
        raise InputError(
            f"{folder / 'elites.parquet'}: solutions have {archive.solutions.shape[1]} numbers; "
            f"controllers {'-'.join(map(str, environment.controller.layers))} have "
            f"{environment.controller.n_params} weights"
        )
    tolerance = tolerances(environment, config.tolerance)
    replays = replay(
        environment,
        archive,
        tolerance,
        replays=config.replays,
        seed=int(archive.info.get("seed", 0)),
    )
    altered = altered_policies(folder)
    replays = replace(replays, ok=replays.ok & ~np.isin(archive.policy_ids, altered))
    cells = load_cells(folder, archive.info, environment.reachable())
    bad = offenders(archive, replays, altered.tolist())
    result = summarise(archive, replays, bad, cells, tolerance, config)
    show(result, bad)
    return Verification(archive, replays, bad, result, environment)


def open_stage(config: VerifyConfig) -> Stage:
    """The stage; an archive changed since it was written is replayed before it is refused.

    Its manifest tells that elites.parquet changed; a replay tells which policies.
    """
    try:
        return Stage(config, "verification", inputs=("archive",))
    except InputError as error:
        folder = Path(config.run) / "archive"
        try:
            read_manifest(folder)
            found = verify(folder, config)
        except InputError:
            raise error from None
        bad = found.offenders["policy_id"].tolist()
        names = ", ".join(map(str, bad[:SHOWN])) + (", …" if len(bad) > SHOWN else "")
        raise InputError(
            f"{error}; of its {len(found.archive):,} policies {len(bad):,} are not what they were"
            f"{': ' + names if bad else ''}"
        ) from None


def run(config: VerifyConfig) -> Path:
    """Stage 01: archive → `verification/`; `failed` reads its verdict.

    Raises:
        InputError: the archive is missing or was changed, or pruning would leave nothing.
    """
    if config.replays < 1:
        raise InputError(f"--replays {config.replays}: must be at least 1")
    with open_stage(config) as stage:
        if stage.done:
            return stage.folder
        found = verify(stage.input("archive"), config)
        archive, replays, result, bad = found.archive, found.replays, found.result, found.offenders
        if config.prune and not replays.ok.any():
            raise InputError(
                f"{stage.input('archive')}: no policy is within the tolerance "
                f"({', '.join(f'{t:g}' for t in result['tolerance'])}), so nothing would be left"
            )
        if config.replays > 1 and not found.environment.stochastic:
            print("this environment has no randomness: all replays are alike", file=sys.stderr)
        write_table(stage.path("replays.parquet"), replays_table(archive, replays))
        write_json(stage.path("verification.json"), result)
        stage.path("offenders.csv").write_text(bad.to_csv(index=False))
        in_world = tuple(found.environment.measures.names) == ("x", "y")
        units = "world units" if in_world else "BD units"
        plot_errors(replays.error, replays.ok, units, stage.path("errors"))
        stage.rows.update(policies=len(archive), offenders=len(bad))
        stage.facts.update(
            corrected_coverage=round(result["corrected_coverage"], 4),
            corrected_qd_score=round(result["corrected_qd_score"], 2),
            pruned=config.prune,
        )
    return stage.folder


def failed(folder: Path) -> str | None:
    """Why a verification does not pass; None when it does, or when the offenders are pruned."""
    result = read_json(folder / "verification.json")
    if result["offenders"] == 0 or result["pruned"]:
        return None
    return (
        f"{result['offenders']:,} of {result['policies']:,} policies are not what the archive says "
        f"(all of them in {folder / 'offenders.csv'}); mend the archive, raise --tolerance, or "
        "leave them out with --prune --redo"
    )


def run_or_fail(config: VerifyConfig) -> Path:
    """`run`, then exit with status 1 where a policy is beyond the tolerance."""
    folder = run(config)
    problem = failed(folder)
    if problem is not None:
        print(f"failed: {problem}", file=sys.stderr)
        sys.exit(1)
    return folder
