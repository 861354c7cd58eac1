"""Binary PBM maps, read as libfastsim reads them."""

import re
from pathlib import Path

import numpy as np

from envs.errors import InputError


def read_pbm(path: Path) -> np.ndarray:
    """Read a binary PBM map as libfastsim does.

    Returns:
        bool [H, W], True where a pixel is set (a wall). The last byte is never read, its 8 pixels
        are free.

    Raises:
        InputError: not P4, a broken header, a width that is not a multiple of 8, a short file.
    """
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise InputError(f"{path}: no such map file") from None
    if data[:2] != b"P4":
        begin = data[:2].decode("ascii", "replace") if data else "an empty file"
        raise InputError(
            f"{path}: not a binary PBM map (it begins with {begin!r}, expected 'P4'); "
            "convert the image to PBM, raw"
        )
    header = re.match(rb"P4(?:\s+|#[^\n]*\n)+(\d+)(?:\s+|#[^\n]*\n)+(\d+)(?:#[^\n]*\n|\s)", data)
    if header is None:
        raise InputError(f"{path}: the PBM header gives no width and height after 'P4'")
    width, height = int(header[1]), int(header[2])
    if width == 0 or height == 0 or width % 8:
        raise InputError(
            f"{path}: the map is {width} x {height} pixels; expected a width that is a "
            "multiple of 8 (widen it with walls)"
        )
    body = data[header.end() :]
    count = width // 8 * height
    if len(body) < count:
        raise InputError(
            f"{path}: truncated map: {len(body)} bytes of pixels, expected {count} "
            f"for {width} x {height}"
        )
    packed = np.frombuffer(body[: count - 1] + b"\0", dtype=np.uint8)
    return np.unpackbits(packed).reshape(height, width).astype(bool)


def write_pbm(path: Path, occupied: np.ndarray) -> None:
    """Write bool [H, W] as a binary PBM map."""
    height, width = occupied.shape
    path.write_bytes(b"P4\n%d %d\n" % (width, height) + np.packbits(occupied, axis=1).tobytes())
