"""The folder of a model: one place opens and locks it, before anything in it is removed."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import torch.distributed as dist

from nanodt.errors import InputError
from nanodt.files import WEIGHTS, WORDS, read_json
from nanodt.training.checkpoint import check_same, read_state
from nanodt.training.journal import LOG
from nanodt.training.manifest import MANIFEST
from nanodt.training.options import TrainConfig
from nanodt.training.trainer import Processes

CHECKPOINT, TRAINING = "checkpoint", "training.json"
STATE = f"{CHECKPOINT}/state.safetensors"


@contextmanager
def opened(
    config: TrainConfig, made: dict[str, Any], group: Processes
) -> Iterator[dict[str, Any] | None]:
    """Hold the folder of a model against other processes, ready to train in.

    `made` says what the weights follow from. Yields where training stands: the state of the
    checkpoint of these very options, --redo or not, or that before the first step; None where the
    folder holds their finished model, which is said. Another model, or the checkpoint of one, is
    refused, or removed with --redo.
    """
    out = config.folder
    lock = None
    if group.lead:
        try:
            out.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InputError(f"--out {out} cannot be made: {error.strerror}") from error
        lock = _locked(out.resolve())
    try:
        finished = _is_finished(config, made, group.lead)
        if group.world > 1:
            dist.barrier()
        if finished:
            how = "(--redo trains it anew, --out FOLDER elsewhere)"
            group.say(f"{out}: already trained on {config.dataset} with these options {how}")
            yield None
        elif (out / STATE).exists():
            yield read_state(out / STATE)
        else:
            means = {"loss": 0.0, "norm": 0.0, "count": 0}
            yield {"made": made, "step": 0, "best": None, "seconds": 0.0, **means}
    finally:
        if lock is not None:
            with suppress(OSError):
                lock_of(out.resolve()).unlink()
            os.close(lock)


def _is_finished(config: TrainConfig, made: dict[str, Any], lead: bool) -> bool:
    out = config.folder
    state, trained = out / STATE, (out / TRAINING).exists()
    if config.redo:
        if lead and (trained or not _goes_on(state, made)):
            for name in (MANIFEST, TRAINING, LOG, WEIGHTS, WORDS):
                (out / name).unlink(missing_ok=True)
            shutil.rmtree(out / CHECKPOINT, ignore_errors=True)
        return False
    instead = "give another --out, or --redo to replace it"
    if trained:
        record = read_json(out / TRAINING, instead)
        if not isinstance(record.get("made"), dict):
            raise InputError(f"{out} holds a model of an earlier version: {instead}")
        check_same(out, record["made"], made)
        if lead:
            shutil.rmtree(out / CHECKPOINT, ignore_errors=True)
    elif state.exists():
        check_same(state.parent, read_state(state)["made"], made)
    elif (out / WEIGHTS).exists():
        raise InputError(
            f"{out} holds a {WEIGHTS}, but not the {TRAINING} that tells how it was made: {instead}"
        )
    return trained


def _goes_on(state: Path, made: dict[str, Any]) -> bool:
    """Whether there is a checkpoint, and it is one of these options."""
    try:
        check_same(state.parent, read_state(state)["made"], made)
    except InputError:
        return False
    return True


def lock_of(out: Path) -> Path:
    """The lock beside a model's folder: the one that the stages of a run take, too."""
    return out.with_name(f".{out.name}.lock")


def _locked(out: Path) -> int | None:
    """Hold the lock; its descriptor. Systems and disks without locks go without."""
    try:
        import fcntl
    except ImportError:  # Windows
        return None
    while True:
        try:
            descriptor = os.open(lock_of(out), os.O_RDWR | os.O_CREAT, 0o666)
        except OSError:  # the folder may be written, and that beside it not
            return None
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            raise InputError(
                f"{out}: another process is writing it; wait for it, or give another --out"
            ) from None
        except OSError:  # a network disk without locks
            return descriptor
        # Whoever held it before may have removed the file meanwhile: then this is no lock.
        with suppress(FileNotFoundError):
            if os.stat(lock_of(out)).st_ino == os.fstat(descriptor).st_ino:
                return descriptor
        os.close(descriptor)
