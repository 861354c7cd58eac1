"""Stage 01: does every policy of the archive still do what the archive says it does?"""

import sys
from dataclasses import dataclass
from pathlib import Path

from archive_tools.archive import imported_drives, plots, verification
from archive_tools.files import read_json, write_json, write_table
from archive_tools.run import Stage, bounds, executor, read_manifest
from envs.errors import InputError


@dataclass
class VerifyConfig(executor.SpreadConfig):
    """Replay every policy of the archive and compare where it ends."""

    tolerance: bounds.NonNegatives = ()
    """How far from its BD a policy may end, in BD units, one number or one for each dimension; by
    default a 10⁻⁵ of the range."""
    replays: bounds.Count = 1
    """Replays of each policy. One repeats the search's own seed; more use other seeds and compare
    their mean, for stochastic environments."""
    prune: bool = False
    """Let the later stages use only the policies that are within the tolerance. The archive itself
    stays as it is."""

    def verify(self, folder: Path) -> verification.Verification:
        """Replay the archive in a folder."""
        with executor.open_executor(self.ray) as workers:
            return verification.verify(
                folder, self.tolerance, count=self.replays, pruned=self.prune, workers=workers
            )


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
            checked = config.verify(folder)
        except InputError:
            raise error from None
        bad = checked.offenders["policy_id"].tolist()
        names = ", ".join(map(str, bad[: verification.SHOWN])) + (
            ", …" if len(bad) > verification.SHOWN else ""
        )
        raise InputError(
            f"{error}; of its {len(checked.archive):,} policies {len(bad):,} are not what "
            f"they were{': ' + names if bad else ''}"
        ) from None


def run(config: VerifyConfig) -> Path:
    """Stage 01: archive → `verification/`; `failed` reads its verdict.

    Raises:
        InputError: the archive is missing or was changed, or pruning would leave nothing.
    """
    config.check()
    with open_stage(config) as stage:
        if stage.done:
            return stage.folder
        checked = config.verify(stage.input("archive"))
        archive, replays, result = checked.archive, checked.replays, checked.result
        if config.prune and not replays.ok.any():
            raise InputError(
                f"{stage.input('archive')}: no policy is within the tolerance "
                f"({', '.join(f'{t:g}' for t in result['tolerance'])}), so nothing would be left"
            )
        if config.replays > 1 and not checked.environment.stochastic:
            print("this environment has no randomness: all replays are alike", file=sys.stderr)
        write_table(stage.path("replays.parquet"), verification.replays_table(archive, replays))
        write_json(stage.path("verification.json"), result)
        stage.path("offenders.csv").write_text(checked.offenders.to_csv(index=False))
        plots.plot_errors(replays.error, replays.ok, checked.units, stage.path("errors"))
        stage.rows.update(policies=len(archive), offenders=len(checked.offenders))
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
    """`run`, then exit with status 1 where a policy is beyond the tolerance.

    Behind imported drives stands no policy: one line says so, and nothing is written.
    """
    archive = Path(config.run) / "archive"
    if imported_drives(archive):
        print(f"{archive}: imported drives, so there are no policies to replay", file=sys.stderr)
        return archive
    folder = run(config)
    problem = failed(folder)
    if problem is not None:
        print(f"failed: {problem}", file=sys.stderr)
        sys.exit(1)
    return folder
