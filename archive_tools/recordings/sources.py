"""What a source is: its content says, not its name."""

from pathlib import Path

from archive_tools.files import file_digest
from archive_tools.recordings.arrays import read_npz
from archive_tools.recordings.episodes import Recording
from archive_tools.recordings.lerobot import read_lerobot
from archive_tools.recordings.minari import local_ids, minari_root, read_minari
from archive_tools.recordings.ours import own_files, read_ours
from envs.errors import InputError, require_file

EXPECTED = (
    "expected a Minari dataset (its id or folder), a LeRobot v3 folder, an .npz of arrays, or a "
    "run or folder with trajectories.json and Parquet (docs/recordings.md)"
)


def read_recording(source: str) -> Recording:
    """Read recorded drives of any known format.

    Args:
        source: a file or folder, or the id of a Minari dataset on this machine.

    Raises:
        InputError: no such source, not a known format, damaged.
    """
    path = located(source)
    if path.is_dir():
        if (path / "meta" / "info.json").is_file():
            return read_lerobot(path)
        if own_files(path) is not None:
            return read_ours(path)
        if (path / "data" / "metadata.json").is_file() or (path / "data/main_data.hdf5").is_file():
            return read_minari(path)
        if (path / "metadata.json").is_file() and path.name == "data":
            return read_minari(path.parent)
        found = ", ".join(sorted(p.name for p in path.iterdir())[:6]) or "nothing"
        raise InputError(f"{path}: no recorded drives in it (found {found}); {EXPECTED}")
    require_file(path)
    with path.open("rb") as file:
        head = file.read(8)
    if head.startswith(b"PK\x03\x04"):
        return read_npz(path)
    if head.startswith(b"\x89HDF"):
        if path.name == "main_data.hdf5" and path.parent.name == "data":
            return read_minari(path.parent.parent)
        raise InputError(f"{path}: an HDF5 file, but not main_data.hdf5 of a Minari dataset; save "
                         "its arrays as an .npz (docs/recordings.md)")  # fmt: skip
    if head.startswith(b"PAR1"):
        return read_ours(path.parent)
    if head.startswith(b"\x80"):
        raise InputError(f"{path}: a pickle, which can run any code when it is read; have the "
                         "program that wrote it save an .npz of plain arrays")  # fmt: skip
    raise InputError(f"{path}: not a known format; {EXPECTED}")


def located(source: str) -> Path:
    """The file or folder that a source names.

    Raises:
        InputError: there is none.
    """
    path = Path(source)
    if path.exists():
        return path
    root = minari_root()
    if source.strip("/") and (root / source / "data").is_dir():
        return root / source
    known = ", ".join(local_ids(root)) if root.is_dir() else ""
    raise InputError(
        f"{source}: no such file or folder, and no Minari dataset of that id in {root} (found "
        f"{known or 'none'}); {EXPECTED}"
    )


def recording_digest(source: str) -> dict[str, str]:
    """sha256 of each file that a source is made of, videos and pictures left out."""
    path = located(source)
    if path.is_file():
        return {path.name: file_digest(path)}
    own = own_files(path)
    files = [own[0], *own[1]] if own else sorted(p for p in path.rglob("*") if p.is_file())
    kinds = (".parquet", ".json", ".hdf5", ".arrow")
    return {p.relative_to(path).as_posix(): file_digest(p) for p in files if p.suffix in kinds}
