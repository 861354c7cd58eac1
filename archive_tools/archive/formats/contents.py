"""What a file holds, whatever its name says: unpacked, told by its first bytes, read as text."""

import bz2
import gzip
import io
import lzma
import re
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

import pyarrow as pa

from envs.errors import InputError, require_file

LARGEST = 8 << 30
"""Bytes of an unpacked file; a small packed one may hold any number."""
PICKLES = {".pkl", ".pickle", ".p", ".joblib", ".dill", ".cloudpickle", ".pt", ".pth", ".ckpt"}
_PACKED: dict[bytes, tuple[str, Callable[[IO[bytes]], Any]]] = {
    b"\x1f\x8b": ("gzip", lambda file: gzip.GzipFile(fileobj=file)),
    b"BZh": ("bzip2", bz2.BZ2File),
    b"\xfd7zXZ\0": ("xz", lzma.LZMAFile),
    b"\x28\xb5\x2f\xfd": ("zstd", lambda file: pa.CompressedInputStream(file, "zstd")),
    b"\x04\x22\x4d\x18": ("lz4", lambda file: pa.CompressedInputStream(file, "lz4")),
}
_KINDS = {
    b"PAR1": "Parquet",
    b"\x93NUMPY": "npy",
    b"ARROW1": "an Arrow (Feather) file",
    b"\x89HDF\r\n\x1a\n": "an HDF5 file",
    b"\x89PNG": "a PNG picture",
    b"\xff\xd8\xff": "a JPEG picture",
    b"GIF8": "a GIF picture",
    b"RIFF": "a picture, film or sound (RIFF)",
    b"%PDF": "a PDF document",
    b"SQLite format 3": "an SQLite database",
    b"7z\xbc\xaf\x27\x1c": "a 7z bundle (unpack it first)",
    b"Rar!": "a RAR bundle (unpack it first)",
    b"\x7fELF": "a program",
    b"MATLAB": "a MATLAB file",
    b"\xd0\xcf\x11\xe0": "a workbook or document of an office program",
    b"version https://git-lfs": "a pointer of Git LFS (fetch the file itself: git lfs pull)",
    b"{": "JSON",
    b"[": "JSON",
    b"<": "a web page (HTML or XML)",
}
_BLANK = b"\xef\xbb\xbf \t\r\n"
_SHEETS = ("xl/", "content.xml", "word/", "[Content_Types].xml")


def unpack(path: Path) -> bytes:
    """The bytes of a file, without the packing (gzip, bzip2, xz, zstd, lz4, a zip of one file).

    Raises:
        InputError: it cannot be read, is a pickle under whatever name, is empty, broken, larger
            than `LARGEST`, or a bundle of several files.
    """
    require_file(path)
    try:
        data = path.read_bytes()
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror or error})") from None
    if path.suffix.lower() in PICKLES or PICKLES & {s.lower() for s in path.suffixes[-2:]}:
        raise _pickle(path)
    for _ in range(4):  # nobody packs more often
        opener = next((how for magic, how in _PACKED.items() if data.startswith(magic)), None)
        if opener is not None:
            data = _unpacked(path, data, *opener)
        elif data.startswith(b"PK\3\4") or data.startswith(b"PK\5\6"):
            inner = _only_member(path, data)
            if inner is None:
                break
            data = inner
        else:
            break
    if data[:1] == b"\x80" and data[1:2] in (b"\2", b"\3", b"\4", b"\5"):
        raise _pickle(path)
    if not data.strip(_BLANK):
        raise InputError(f"{path}: an empty file")
    return data


def kind_of(data: bytes) -> str:
    """What unpacked bytes are, in words: Parquet, npy, npz, "text", or what else they look like."""
    if data.startswith((b"PK\3\4", b"PK\5\6")):
        return "npz"  # `unpack` leaves no other bundle
    if data[257:262] == b"ustar":
        return "a tar bundle (unpack it first)"
    head = data[:512].lstrip(_BLANK)
    known = next((kind for magic, kind in _KINDS.items() if head.startswith(magic)), None)
    return known or ("text" if is_text(data) else "binary data of no kind known here")


def is_text(data: bytes) -> bool:
    """Whether bytes are text in some encoding: no control characters but those of lines."""
    if data.startswith((b"\xff\xfe", b"\xfe\xff")) or _wide(data):
        return True
    controls = sum(data[:4096].count(bytes([code])) for code in (*range(9), *range(14, 27)))
    return controls == 0


def decode(data: bytes) -> str:
    """Text of any encoding that tables come in: UTF-8, UTF-16 and UTF-32 with or without a mark,
    else the Latin letters of Windows. Control characters at the edges are left to the reader."""
    for mark, encoding in (
        (b"\xef\xbb\xbf", "utf-8-sig"), (b"\xff\xfe\0\0", "utf-32"), (b"\0\0\xfe\xff", "utf-32"),
        (b"\xff\xfe", "utf-16"), (b"\xfe\xff", "utf-16"),
    ):  # fmt: skip
        if data.startswith(mark):
            return data.decode(encoding, errors="replace")
    wide = _wide(data)
    if wide:
        return data.decode(wide, errors="replace")
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        return data.decode("cp1252", errors="replace")


def _wide(data: bytes) -> str | None:
    """UTF-16 without a mark: every second byte of Latin text is zero."""
    head = data[: len(data[:400]) // 2 * 2]
    if len(head) < 4:
        return None
    even, odd = head[::2].count(0), head[1::2].count(0)
    half = len(head) // 2
    if max(even, odd) < 0.9 * half or min(even, odd) > 0.1 * half:
        return None
    return "utf-16-le" if odd > even else "utf-16-be"


def _unpacked(path: Path, data: bytes, name: str, opener: Callable[[IO[bytes]], Any]) -> bytes:
    try:
        with opener(io.BytesIO(data)) as file:
            inner = file.read(LARGEST + 1)
    except (OSError, EOFError, ValueError, zlib.error, lzma.LZMAError, MemoryError) as error:
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise InputError(
            f"{path}: packed with {name}, but broken ({reason}); copy it anew"
        ) from None
    if len(inner) > LARGEST:
        raise InputError(f"{path}: more than {LARGEST >> 30} GiB unpacked; save less of it")
    return inner


def _only_member(path: Path, data: bytes) -> bytes | None:
    """The one file of a zip; None for a bundle of arrays (npz)."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as bundle:
            files = [
                i
                for i in bundle.infolist()
                if not i.is_dir() and not re.search(r"__MACOSX|(^|/)\.DS_Store$", i.filename)
            ]
            names = [info.filename for info in files]
            if any(name.endswith(".pkl") for name in names):
                raise _pickle(path)
            if any(name.startswith(_SHEETS) for name in names):
                raise InputError(
                    f"{path}: a workbook or document of an office program; save the sheet as CSV"
                )
            if names and all(name.endswith(".npy") for name in names):
                return None
            if len(files) != 1:
                raise InputError(
                    f"{path}: a zip of {len(files)} files ({', '.join(names[:4])}); "
                    "unpack it and name the archive's own"
                )
            if files[0].file_size > LARGEST:
                raise InputError(f"{path}: more than {LARGEST >> 30} GiB unpacked; save less of it")
            return bundle.read(files[0])
    except InputError:
        raise
    except (zipfile.BadZipFile, OSError, EOFError, ValueError, zlib.error, NotImplementedError,
            RuntimeError, lzma.LZMAError) as error:  # fmt: skip
        raise InputError(f"{path}: a zip, but broken or locked ({error}); copy it anew") from None


def _pickle(path: Path) -> InputError:
    return InputError(
        f"{path}: a pickle, which can run any code when it is read; have the program that wrote it "
        "save CSV or Parquet (pyribs: archive.data(return_type='pandas').to_csv(...)) or an .npz "
        "of plain arrays"
    )
