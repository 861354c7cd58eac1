"""Binary PBM maps, read as libfastsim reads them, whatever tool has written their header."""

import re
import warnings
from pathlib import Path

import numpy as np

from envs.errors import InputError, require_file

LARGEST = 1 << 28
"""Pixels of a map; 16,384 x 16,384."""
_GAP = rb"(?:\s|#[^\r\n]*[\r\n])+"
_HEADER = re.compile(rb"P4%b(\d{1,9})%b(\d{1,9})(?=\s|#)" % (_GAP, _GAP))
_SEPARATOR = re.compile(rb"\s")
_LINE_END = re.compile(rb"[ \t]*(?:#[^\r\n]*)?(?:\r\n|\r|\n)")


def read_pbm(path: Path) -> np.ndarray:
    """Read a binary PBM map as libfastsim does.

    A header's lines may end in LF, CR LF or CR, and hold comments.

    Returns:
        bool [H, W], True where a pixel is set (a wall). The last byte is never read, its 8 pixels
        are free.

    Raises:
        InputError: not P4, a broken header, a width that is not a multiple of 8, a short file, or
            line ends that were converted among the pixels.
    """
    require_file(path)
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise InputError(f"{path}: no such map file") from None
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror or error})") from None
    if data[:2] != b"P4":
        begin = data[:2].decode("ascii", "replace") if data else "an empty file"
        raise InputError(
            f"{path}: not a binary PBM map (it begins with {begin!r}, expected 'P4'); "
            "convert the image to PBM, raw"
        )
    header = _HEADER.match(data)
    if header is None:
        raise InputError(f"{path}: the PBM header gives no width and height after 'P4'")
    width, height = int(header[1]), int(header[2])
    if width == 0 or height == 0 or width % 8 or width * height > LARGEST:
        raise InputError(
            f"{path}: the map is {width} x {height} pixels; expected a width that is a "
            f"multiple of 8 (widen it with walls), and at most {LARGEST:,} pixels"
        )
    count = width // 8 * height
    packed = _pixels(data[header.end() :], count, path)
    pixels = np.unpackbits(np.frombuffer(packed[: count - 1] + b"\0", dtype=np.uint8))
    return pixels.reshape(height, width).astype(bool)


def _pixels(body: bytes, count: int, path: Path) -> bytes:
    """The `count` bytes or more that follow the one separator after a header."""
    # By the format it is one white character; tools that mend line ends make CR LF of it, and
    # people leave blanks and comments before it. Which it is here, the file's length says.
    ends = [end.end() for end in (_SEPARATOR.match(body), _LINE_END.match(body)) if end]
    fits = [end for end in ends if len(body) - end == count] or [
        end for end in ends[::-1] if len(body) - end >= count
    ]
    body = body[(fits or ends or [0])[0] :]
    if len(body) < count:
        raise InputError(f"{path}: truncated map: {len(body)} bytes of pixels, expected {count}")
    if len(body) > count and len(body.replace(b"\r\n", b"\n")) == count:
        raise InputError(
            f"{path}: line ends were converted among the pixels ({len(body) - count} bytes more "
            "than the header asks for); copy the file anew, as binary"
        )
    if body[count:].strip():
        warnings.warn(
            f"{path}: {len(body) - count} bytes more than its header asks for; they are not read",
            stacklevel=5,
        )
    return body


def write_pbm(path: Path, occupied: np.ndarray) -> None:
    """Write bool [H, W] as a binary PBM map."""
    height, width = occupied.shape
    path.write_bytes(b"P4\n%d %d\n" % (width, height) + np.packbits(occupied, axis=1).tobytes())
