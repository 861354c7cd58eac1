"""All drives of a run as a list of batches, and driving them so that a kill loses one batch."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import pyarrow as pa
from tqdm import tqdm

from archive_tools.files import read_arrow, write_table
from archive_tools.rollouts.driving import Driver
from archive_tools.rollouts.items import Commands, commands_of
from archive_tools.run import executor


@dataclass(frozen=True)
class Batch:
    """Commands that are driven at once."""

    system: str
    commands: Commands
    rows: slice
    """Of the commands."""
    seed: int

    def __len__(self) -> int:
        return self.rows.stop - self.rows.start


def batches(
    items: pd.DataFrame,
    instructions: pd.DataFrame,
    sets: Mapping[str, Sequence[str]],
    seeds: Sequence[int],
    size: int,
) -> Iterator[Batch]:
    """Every batch, in the order in which they are driven.

    Args:
        items: of `make_items`.
        instructions: what controls are given instead of the items' texts.
        sets: system → the sets of items that it drives.
        seeds: each item is driven once with each of them.
        size: at most so many robots at once.
    """
    for system, parts in sets.items():
        for part in parts:
            commands = commands_of(items, instructions, system, part)
            for seed in seeds:
                for rows in commands.blocks(size):
                    yield Batch(system, commands, rows, seed)


def _drive(driver: Driver, batch: Batch) -> pa.Table:
    return driver(batch.system, batch.commands, batch.rows, batch.seed)


def drive_all(
    driver: Driver, work: Sequence[Batch], chunks: Path, workers: executor.Executor
) -> pa.Table:
    """Drive all batches: rows of ROLLOUT_SCHEMA.

    Args:
        driver: drives one batch.
        work: of `batches`, at least one.
        chunks: folder in which each batch leaves a file; one that is there is not driven again.
        workers: who drives.
    """
    files = [chunks / f"{number:05d}.parquet" for number in range(len(work))]
    missing = [pair for pair in zip(files, work, strict=True) if not pair[0].exists()]
    with tqdm(total=sum(map(len, work)), desc="rollouts", unit="drive") as bar:
        bar.update(bar.total - sum(len(batch) for _, batch in missing))
        tables = workers.map(_drive, (batch for _, batch in missing), driver)
        for path, batch in missing:
            bar.set_postfix_str(batch.system)
            write_table(path, next(tables))
            bar.update(len(batch))
    return pa.concat_tables(read_arrow(path) for path in files)
