"""Write an archive in other people's formats, and read back that nothing was lost.

python -m archive_tools.archive.writers runs/demo/archive elites.csv    # pyribs' columns
"""

from pathlib import Path

import tyro

from archive_tools.archive.elites import load_archive
from archive_tools.files.tables import atomic_write, write_table
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


def main(archive: tyro.conf.Positional[Path], output: tyro.conf.Positional[Path]) -> None:
    """Export an archive with the columns of a pyribs ArchiveDataFrame.

    Args:
        archive: folder of an archive, or of a run.
        output: file to write, .csv or .parquet.
    """
    try:
        export_ribs(archive, output)
    except InputError as error:
        raise SystemExit(f"error: {error}") from None


if __name__ == "__main__":
    tyro.cli(main)
