"""Stage 10: a run as datasets, a model and a bundle, in a folder or on the Hugging Face Hub."""

import re
import shutil
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from archive_tools.publishing import TARGETS, Contents, Hub, Parcel, Target, lacks
from archive_tools.run import Stage, StageConfig, bounds
from envs.errors import InputError

HUB = "hub"
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9-]*")
REPO = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")
LICENCE = re.compile(r"[a-z0-9][a-z0-9.-]*")


@dataclass
class PublishConfig(StageConfig):
    """Publish a run: as datasets, as a model, as a bundle."""

    to: str = ""
    """The folder to write into, or hub: the Hugging Face Hub, by way of published/ of the run,
    which is also what stands for nothing."""
    what: tuple[Target, ...] = ()
    """Only these; by default all that the run has the stages for."""
    repo: str = ""
    """With --to hub: USER/NAME, of which the repositories' names are made."""
    name: str = ""
    """What it is called in cards and ids, letters, digits and hyphens; by default as the run."""
    license: str = "unknown"
    """Of the data and the model, as the Hub writes it, like mit or cc-by-4.0."""
    private: bool = False
    """Repositories that are made anew are private."""
    dry_run: bool = False
    """Write the folder and print what would be sent; send nothing."""
    patience: bounds.NonNegative = 300.0
    """Seconds to wait in all for a Hub that is busy or does not answer."""

    not_fingerprint: ClassVar[set[str]] = {"to", "what", "repo", "private", "dry_run", "patience"}

    def check(self) -> None:
        """Raise InputError where an option is out of its bounds, or options do not go together."""
        super().check()
        if not NAME.fullmatch(self.called()):
            raise InputError(f"--name {self.called()}: expected letters, digits and hyphens")
        if not LICENCE.fullmatch(self.license):
            raise InputError(f"--license {self.license}: expected the Hub's word, like cc-by-4.0")
        if (self.repo or (self.to == HUB and not self.dry_run)) and not REPO.fullmatch(self.repo):
            raise InputError(f"--repo {self.repo}: expected USER/NAME of the Hub, with --to hub")
        if self.to == HUB and not self.dry_run and self.license == "unknown":
            raise InputError("--to hub needs --license: under which others may use it, like mit")

    def called(self) -> str:
        """--name, or what the run's name makes."""
        return self.name or re.sub(r"[^A-Za-z0-9]+", "-", Path(self.run).resolve().name).strip("-")

    def folder(self) -> Path:
        """Where the publications are written."""
        return Path(self.run) / "published" if self.to in ("", HUB) else Path(self.to)

    def parcel(self, target: Target) -> Parcel:
        """What is sent of a publication."""
        made = TARGETS[target]
        repo = f"{self.repo or f'USER/{self.called()}'}{made.ending}"
        return Parcel(self.folder() / target, repo, made.kind, made.tag)


def run(config: PublishConfig, open_model: Callable[[Path], Any]) -> Path:
    """Stage 10: all finished stages → `published/`, one folder for each form.

    Args:
        config: the options.
        open_model: opens a model's folder, and raises where it is none.

    Raises:
        InputError: nothing can be published, what was asked for cannot, or the Hub refuses.
    """
    config.check()
    hub = Hub(config.patience) if config.to == HUB and not config.dry_run else None
    asked: Iterable[Target] = config.what or TARGETS
    problems: dict[Target, str | None] = {t: lacks(Path(config.run), t) for t in asked}
    for target, problem in problems.items():
        if problem and config.what:
            raise InputError(f"--what {target}: {problem}")
        if problem:
            print(f"{target}: left out: {problem}", file=sys.stderr)
    chosen: list[Target] = [target for target, problem in problems.items() if problem is None]
    if not chosen:
        raise InputError(f"{config.run}: nothing to publish; {problems['hf-dataset']}")
    for target in chosen:
        write(config, target, open_model)
    for target in chosen if hub is not None or config.dry_run else ():
        parcel = config.parcel(target)
        if hub is None:
            print(parcel)
            for name, path in parcel.files.items():
                print(f"  {path.stat().st_size:>12,}  {name}")
        else:
            sent = hub.send(parcel, private=config.private)
            print(f"{parcel}, {sent} of them sent", file=sys.stderr)
    return config.folder()


def write(config: PublishConfig, target: Target, open_model: Callable[[Path], Any]) -> None:
    """Write one publication; it is there when all of it was read again and found right."""
    made = TARGETS[target]
    stages = made.stages(Path(config.run))
    with Stage(config, target, inputs=stages, folder=config.folder() / target) as stage:
        if stage.done:
            return
        contents = Contents(Path(config.run), config.called(), config.license, stages)
        with nothing_left(stage.partial):
            stage.rows.update(made.write(contents, stage.partial, open_model))
        rows = ", ".join(f"{count:,} {name}" for name, count in stage.rows.items())
        print(f"{stage.folder}: {rows}; read again, all as in the run", file=sys.stderr)


@contextmanager
def nothing_left(folder: Path) -> Iterator[None]:
    """A folder that is empty at first, and again where writing into it fails."""

    def empty() -> None:
        for path in folder.iterdir():
            if path.name.startswith("."):  # of the stage itself
                continue
            shutil.rmtree(path) if path.is_dir() else path.unlink()

    empty()
    try:
        yield
    except BaseException:
        empty()
        raise
