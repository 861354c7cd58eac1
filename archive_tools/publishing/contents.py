"""What of a run goes out: its finished stages, its recordings with their texts, and its figures."""

import re
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from archive_tools.evaluation import shown_metrics
from archive_tools.files import file_digest, read_arrow, read_json, read_table, template
from archive_tools.rollouts import system_of
from archive_tools.run import SCRIPTS, read_manifest
from archive_tools.trajectories import Trajectories, load_trajectories
from envs.errors import InputError

SPLITS = ("train", "validation", "test")
PACKAGES = ("python", "wayword", "torch", "numpy", "gymnasium", "pyarrow")


@dataclass(frozen=True)
class Contents:
    """A run as what is published of it reads it.

    Args:
        run: its directory.
        name: what the publication is called: letters, digits and hyphens.
        licence: the Hub's word for the licence of the data, or "unknown".
        stages: folders of the run that are read, all finished.
    """

    run: Path
    name: str
    licence: str
    stages: tuple[str, ...]

    @cached_property
    def manifests(self) -> dict[str, dict[str, Any]]:
        """Stage → its manifest, in the order of the stages."""
        return {stage: read_manifest(self.run / stage) for stage in SCRIPTS if stage in self.stages}

    @cached_property
    def info(self) -> dict[str, Any]:
        """trajectories.json."""
        return dict(read_json(self.run / "trajectories" / "trajectories.json"))

    @cached_property
    def trajectories(self) -> Trajectories:
        """All that was recorded."""
        return load_trajectories(self.run / "trajectories")

    @cached_property
    def policy_ids(self) -> np.ndarray | None:
        """int64 [N], of the elites that were recorded; None where drives have no policy."""
        path = self.run / "trajectories" / "trajectories.parquet"
        ids = read_arrow(path, ("policy_id",))["policy_id"]
        return None if ids.null_count else ids.to_numpy().astype(np.int64)

    @cached_property
    def texts(self) -> dict[int, list[str]]:
        """Trajectory → its accepted texts; {} where nothing was described."""
        path = self.run / "descriptions" / "descriptions.parquet"
        if "descriptions" not in self.stages:
            return {}
        rows = read_table(path, ("trajectory_id", "sample", "text", "status"))
        rows = rows.loc[rows["status"] == "accepted", :].sort_values(["trajectory_id", "sample"])
        return {int(k): list(own) for k, own in rows.groupby("trajectory_id")["text"]}

    @cached_property
    def splits(self) -> dict[int, str]:
        """Trajectory → train, validation or test; {} where there is no dataset."""
        if "dataset" not in self.stages:
            return {}
        path = self.run / "dataset" / "trajectories.parquet"
        rows = read_table(path, ("trajectory_id", "split"))
        return dict(zip(rows["trajectory_id"].tolist(), rows["split"].tolist(), strict=True))

    def files(self, stage: str) -> list[str]:
        """The files of a stage by its manifest, sorted; [] where it is not there."""
        return sorted(self.manifests[stage]["outputs"]) if stage in self.manifests else []

    def copy(self, stage: str, name: str, target: Path) -> None:
        """Copy a file of a stage and read the copy again.

        Raises:
            InputError: the copy is not what the manifest says.
        """
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(self.run / stage / name, target)
        if file_digest(target) != self.manifests[stage]["outputs"][name]["sha256"]:
            raise InputError(
                f"{target}: not the bytes of {self.run / stage / name}: the disk or the memory of "
                "this machine is at fault, or the run was changed meanwhile; publish again"
            )

    def companions(self, folder: Path) -> None:
        """Put trajectories.json and world/ beside data, by which it can be imported anew."""
        self.copy("trajectories", "trajectories.json", folder / "trajectories.json")
        for name in self.files("archive"):
            if name.startswith("world/"):
                self.copy("archive", name, folder / name)

    def card(self, name: str, **more: Any) -> str:
        """A card of the room's templates, filled from the manifests."""
        dataset = read_json(self.run / "dataset" / "dataset.json") if self.splits else None
        return template(__package__, name).render(
            name=self.name, licence=self.licence, stages=self._provenance(), lacking=self.lacking,
            info=self.info if "trajectories" in self.stages else {}, dataset=dataset,
            recorded=len(self.trajectories) if "trajectories" in self.stages else 0,
            facts={stage: self.manifests.get(stage, {}).get("facts", {}) for stage in SCRIPTS},
            rows={stage: self.manifests.get(stage, {}).get("rows", {}) for stage in SCRIPTS},
            versions=self._versions(), figures=self._figures(), **more,
        )  # fmt: skip

    @property
    def lacking(self) -> list[str]:
        """What of a whole run is not there."""
        return [stage for stage in SCRIPTS if not (self.run / stage / "manifest.json").exists()]

    def _provenance(self) -> list[dict[str, Any]]:
        """A row for each stage; where on their disk somebody ran it is not told."""
        home = str(Path.home())
        return [
            {
                "stage": stage,
                "command": re.sub(r"\S*/(?=scripts/\w+\.py)", "", m["command"]).replace(home, "~"),
                "seed": m["seed"],
                "seconds": m["wall_time_s"],
                "digest": m["digest"],
            }
            for stage, m in self.manifests.items()
        ]

    def _versions(self) -> str:
        last = list(self.manifests.values())[-1].get("versions", {})
        return ", ".join(f"{name} {last[name]}" for name in PACKAGES if name in last)

    def _figures(self) -> dict[str, Any]:
        """Of evaluation/: set → systems with their figures, as text; {} without one."""
        if "evaluation" not in self.stages:
            return {}
        records = read_json(self.run / "evaluation" / "metrics.json")
        metrics = [metric for metric in shown_metrics() if metric.headline]
        found: dict[str, Any] = {}
        for name in dict.fromkeys(r["set"] for r in records):
            by_key = {(r["system"], r["metric"]): r for r in records if r["set"] == name}
            shown = [m for m in metrics if any(m.name == metric for _, metric in by_key)]
            systems = dict.fromkeys(system for system, _ in by_key)
            found[name] = {
                "metrics": shown,
                "rows": [
                    (system_of(s).label, [_figure(by_key.get((s, m.name)), m) for m in shown])
                    for s in systems
                ],
                "records": {metric: r for (s, metric), r in by_key.items() if s == "nanodt"},
            }
        return found


def _figure(record: dict[str, Any] | None, metric: Any) -> str:
    """A mean with its interval."""
    if record is None:
        return ""
    mean, low, high = (
        f"{record[key]:.{metric.decimals}f}" for key in ("mean", "ci_low", "ci_high")
    )
    return f"{mean} ({low}–{high})"


def finished(run: Path, wanted: Sequence[str]) -> tuple[str, ...]:
    """Which of some stages a run has finished."""
    return tuple(stage for stage in wanted if (run / stage / "manifest.json").exists())
