"""Write an archive in other people's formats, and read back that nothing was lost.

python -m archive_tools.archive.writers runs/demo/archive elites.csv    # pyribs' columns
"""

from dataclasses import dataclass
from pathlib import Path

import tyro

from archive_tools.archive.elites import load_archive
from archive_tools.files import atomic_write, write_table
from archive_tools.run import main
from envs.errors import InputError


def export_ribs(archive: Path, output: Path) -> Path:
    """Write an archive with pyribs' columns, to .csv or .parquet.

    Args:
        archive: the archive's folder, or the run's.
        output: the file to write; `ribs.archives.ArchiveDataFrame(pandas.read_csv(file))` reads it.

    Raises:
        InputError: no archive there, or another suffix.
    """
    frame = load_archive(archive).to_frame()
    if output.suffix == ".csv":
        atomic_write(output, frame.to_csv(index=False))
    elif output.suffix == ".parquet":
        write_table(output, frame)
    else:
        raise InputError(f"{output}: expected a file that ends in .csv or .parquet")
    return output


@dataclass
class Config:
    """Export an archive with the columns of a pyribs ArchiveDataFrame."""

    archive: tyro.conf.Positional[Path]
    """Folder of an archive, or of a run."""
    output: tyro.conf.Positional[Path]
    """File to write, .csv or .parquet."""


if __name__ == "__main__":
    main(lambda config: export_ribs(config.archive, config.output), Config, __doc__)
