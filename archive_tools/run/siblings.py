"""Runs beside a run: other splits, fewer training trajectories, other seeds and variants.

A sibling of runs/NAME is runs/NAME-regions, say. It has the same archive, trajectories, annotations
and descriptions, as links, and its own dataset and all that follows. Its options are those of the
run but for the one that is tried, so the two differ in nothing else. `collect` reads what siblings
found for the evaluation of the run.
"""

import os
import shutil
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from archive_tools.files import read_json
from archive_tools.run.manifest import SCRIPTS, check_folder, read_manifest
from archive_tools.run.training_log import read_log
from envs.errors import InputError

Group = Literal["splits", "curve", "seeds", "variants"]
Record = dict[str, Any]
SPLITS = ("regions", "routes")
VARIANTS = ("plain", "published")
"""Other ways to train on the same data, in the same time."""


@dataclass(frozen=True)
class Sibling:
    """One run beside a run."""

    name: str
    """What is added to the run's name: regions, routes, 10, seed1."""
    group: Group
    first: str
    """The first stage (folder) that it does not share with the run."""
    script: str
    """The script whose option differs, without its ending."""
    options: dict[str, Any]
    """That option."""

    @property
    def label(self) -> str:
        """Its name in tables: regions, 10 %, seed 1."""
        if self.group == "curve":
            return f"{self.name} %"
        return self.name.replace("seed", "seed ")

    def folder(self, run: Path) -> Path:
        """Its run directory."""
        return run.with_name(f"{run.name}-{self.name}")


def siblings(
    splits: Sequence[str] = (),
    fractions: Sequence[float] = (),
    seeds: Sequence[int] = (),
    variants: Mapping[str, Mapping[str, Any]] | None = None,
) -> list[Sibling]:
    """The runs that answer: on another split? with fewer trajectories? with another seed?

    Args:
        splits: of regions, routes.
        fractions: shares of the training trajectories, whole per cents below 1. Smaller shares are
            parts of larger ones (stage 05 draws them so), and the test split stays as it is.
        seeds: of the training alone; the data and the test items stay as they are.
        variants: name, of VARIANTS, → options of the training.

    Raises:
        InputError: an unknown split, or a share that is no whole per cent between 1 and 99.
    """
    chosen = []
    for split in splits:
        if split not in SPLITS:
            raise InputError(f"--splits {split}: unknown; known are {', '.join(SPLITS)}")
        chosen.append(Sibling(split, "splits", "dataset", "05_verify_dataset", {"split": split}))
    for fraction in fractions:
        percent = round(100 * fraction)
        if not 1 <= percent <= 99 or abs(100 * fraction - percent) > 1e-6:
            raise InputError(f"--fractions {fraction}: expected whole per cents, 0.01 to 0.99")
        options = {"train_fraction": percent / 100}
        chosen.append(Sibling(str(percent), "curve", "dataset", "05_verify_dataset", options))
    for seed in seeds:
        chosen.append(Sibling(f"seed{seed}", "seeds", "model", "07_train", {"seed": seed}))
    for name, options in (variants or {}).items():
        chosen.append(Sibling(name, "variants", "model", "07_train", dict(options)))
    return chosen


def link_stages(run: Path, sibling: Sibling) -> Path:
    """Make the sibling's run directory, the stages before its first as links; returns it.

    Raises:
        InputError: a stage of the run is missing, or the directory holds another one in its place.
    """
    folder = sibling.folder(run)
    folder.mkdir(parents=True, exist_ok=True)
    for name in SCRIPTS:
        if name == sibling.first:
            break
        source, link = run / name, folder / name
        manifest = read_manifest(source)
        if link.exists():
            if read_manifest(link)["digest"] == manifest["digest"]:
                continue
            if not link.is_symlink():
                raise InputError(
                    f"{link}: not the {name}/ of {run}; remove {folder} or rename it, and try again"
                )
        if link.is_symlink():
            link.unlink()
        try:
            link.symlink_to(os.path.relpath(source, folder), target_is_directory=True)
        except OSError:  # a file system without links
            shutil.copytree(source, link)
    return folder


def inherited(run: Path, stage: str) -> dict[str, Any]:
    """The options with which a run's stage was made; {} where it was not made yet."""
    if not (run / stage / "manifest.json").exists():
        return {}
    config = read_manifest(run / stage)["config"]
    return {k: v for k, v in config.items() if k not in ("run", "redo", "redo_changed")}


def training_seconds(run: Path) -> float:
    """How long the loop of a run's training took, also where it was killed and went on.

    Raises:
        InputError: the run has no model.
    """
    seconds = [r["seconds"] for r in read_log(run / "model" / "log.jsonl") if "seconds" in r]
    return float(seconds[-1] if seconds else read_manifest(run / "model")["wall_time_s"])


@dataclass
class Collected:
    """What the siblings of a run found: records for `evaluation/`, empty without siblings."""

    splits: list[dict[str, Any]] = field(default_factory=list)
    curve: list[dict[str, Any]] = field(default_factory=list)
    seeds: list[dict[str, Any]] = field(default_factory=list)
    variants: list[dict[str, Any]] = field(default_factory=list)
    differences: list[dict[str, Any]] = field(default_factory=list)


def finished(run: Path) -> dict[str, tuple[Sibling, Path]]:
    """Evaluated siblings of a run by name, made from the same trajectories and texts.

    One that was made from others, or is stale, is left out with a line on stderr.
    """
    evaluated = {}
    for sibling in _possible(run):
        folder = sibling.folder(run)
        if not (folder / "evaluation" / "manifest.json").exists():
            continue
        try:
            check_folder(folder / "evaluation")
            reason = _other_origin(run, folder, sibling)
        except InputError as error:
            reason = str(error)
        if reason:
            print(f"{folder}: left out of the comparison: {reason}", file=sys.stderr)
        else:
            evaluated[sibling.name] = (sibling, folder)
    return evaluated


def _possible(run: Path) -> Iterator[Sibling]:
    endings = sorted(path.name[len(run.name) + 1 :] for path in run.parent.glob(f"{run.name}-*"))
    numbers = sorted(int(e) for e in endings if e.isdecimal() and 1 <= int(e) <= 99)
    seeds = sorted(int(e[4:]) for e in endings if e.startswith("seed") and e[4:].isdecimal())
    known = [name for name in SPLITS if name in endings]
    others = {name: {} for name in VARIANTS if name in endings}
    yield from siblings(known, [number / 100 for number in numbers], seeds, others)


def _other_origin(run: Path, folder: Path, sibling: Sibling) -> str:
    """Why a sibling's result does not belong beside the run's; "" if it does."""
    ours, theirs = (read_manifest(path / "dataset")["inputs"] for path in (run, folder))
    changed = [name for name in ours if ours[name] != theirs.get(name)]
    if changed:
        return f"its {changed[0]}/ is another one"
    if sibling.first == "dataset":
        recipe, (option, value) = _recipe(folder), next(iter(sibling.options.items()))
        if recipe.get("recipe" if option == "split" else option) != value:
            return f"its dataset was not made with --{option.replace('_', '-')} {value}"
    return ""


def _recipe(run: Path) -> dict[str, Any]:
    return dict(read_json(run / "dataset" / "dataset.json")["split"])


def _trained_on(run: Path) -> int:
    return int(read_json(run / "dataset" / "dataset.json")["trajectories"]["train"])


def collect(
    run: Path,
    evaluated: dict[str, tuple[Sibling, Path]],
    records: Sequence[dict[str, Any]],
    differences: Sequence[dict[str, Any]],
) -> Collected:
    """The run and its siblings side by side.

    Args:
        run: the run directory.
        evaluated: of `finished`.
        records, differences: of the run itself, as in metrics.json and differences.json.

    Returns:
        every record with `name` (random, regions, 10 %, seed 1, plain) and `run` (the directory's
        name) before it; those of the curve also with `x`, the number of training trajectories.
    """
    result = Collected()
    recipe = _recipe(run)
    labels = {
        "splits": recipe.get("recipe", "random"),
        "curve": f"{100 * recipe.get('train_fraction', 1.0):.0f} %",
        "seeds": f"seed {read_manifest(run / 'model')['seed']}",
        "variants": "ours",
    }
    tables: dict[Group, list[dict[str, Any]]] = {
        "splits": result.splits, "curve": result.curve, "seeds": result.seeds,
        "variants": result.variants,
    }  # fmt: skip
    for group, table in tables.items():
        members = [(s, path) for s, path in evaluated.values() if s.group == group]
        if not members:
            continue
        sides: list[tuple[str, Path, Sequence[Record], Sequence[Record]]] = [
            (s.label, path, *_evaluated(path)) for s, path in members
        ]
        # The run itself: a split and a seed come first, the whole data last.
        sides.insert(
            len(sides) if group == "curve" else 0, (labels[group], run, records, differences)
        )
        for label, path, sibling_records, sibling_differences in sides:
            head: Record = {"name": label, "run": path.name}
            if group == "curve":
                head["x"] = _trained_on(path)
            table += [{**head, **record} for record in sibling_records]
            if path != run:
                result.differences += [{**head, **record} for record in sibling_differences]
    return result


def _evaluated(run: Path) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    names = ("metrics.json", "differences.json")
    records, differences = (read_json(run / "evaluation" / name) for name in names)
    return records, differences
