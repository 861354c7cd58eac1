"""The table of what a run is published as: what each needs, who writes it, where it goes."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from archive_tools.publishing import bundle, hf_dataset, hf_model, lerobot_dataset, minari_dataset
from archive_tools.publishing.contents import Contents, finished
from archive_tools.publishing.hub import Kind
from archive_tools.run import SCRIPTS

Target = Literal["hf-dataset", "minari", "lerobot", "hf-model", "bundle"]
OpenModel = Callable[[Path], Any]


@dataclass(frozen=True)
class Publication:
    """One form in which a run goes out."""

    needs: tuple[str, ...]
    """Stages without which there is nothing to write."""
    reads: tuple[str, ...]
    """Further stages that it tells of, where they are there."""
    write: Callable[[Contents, Path, OpenModel], dict[str, int]]
    """Fills an empty folder, reads it again and holds it against the run; its row counts."""
    kind: Kind = "dataset"
    ending: str = ""
    """Of the repository's name."""
    tag: str = ""
    """That the repository's last commit gets."""

    def stages(self, run: Path) -> tuple[str, ...]:
        """The finished stages of a run that it reads."""
        return finished(run, [s for s in SCRIPTS if s in self.needs + self.reads])


RECORDED = ("archive", "trajectories")
TARGETS: dict[Target, Publication] = {
    "hf-dataset": Publication(
        RECORDED, ("verification", "annotations", "descriptions", "dataset", "tokenizer"),
        lambda contents, folder, _: hf_dataset.write(contents, folder),
    ),
    "minari": Publication(
        RECORDED, ("descriptions",),
        lambda contents, folder, _: minari_dataset.write(contents, folder), ending="-minari",
    ),
    "lerobot": Publication(
        RECORDED, ("descriptions", "dataset"),
        lambda contents, folder, _: lerobot_dataset.write(contents, folder),
        ending="-lerobot", tag=lerobot_dataset.VERSION,
    ),
    "hf-model": Publication(
        ("model",), ("dataset", "tokenizer", "evaluation"), hf_model.write, kind="model",
    ),
    "bundle": Publication(
        RECORDED, ("verification", "annotations", "descriptions"),
        lambda contents, folder, _: bundle.write(contents, folder), ending="-bundle",
    ),
}  # fmt: skip


def lacks(run: Path, target: Target) -> str | None:
    """Why a run cannot go out in a form; None where it can."""
    there = TARGETS[target].stages(run)
    for stage in TARGETS[target].needs:
        if stage not in there:
            return f"{run / stage} is not there; run `python {SCRIPTS[stage]} --run {run}` first"
    package = minari_dataset.missing() if target == "minari" else None
    return package and f"{package} is not installed; pip install 'wayword[publish]'"
