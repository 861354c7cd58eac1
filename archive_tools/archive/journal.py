"""An append-only journal of evaluated batches, so that a killed search goes on where it was.

A search is a deterministic dialogue: ribs asks with solutions, the simulator tells what they do.
With the answers on disk the dialogue can be repeated without the simulator, which brings ribs to
the very state it was in; nothing of ribs itself is stored.

One record per batch, all little-endian: float32 [batch, 1 + n_bd] (objective, measures), uint32
CRC of the solutions, uint32 CRC of all before it. A record cut short by a kill is dropped.
"""

import os
import zlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]


class Journal:
    """Batches evaluated so far, and room for more.

    Args:
        path: the file; made when missing.
        batch: solutions per batch.
        n_bd: dimensions of the BD.
    """

    def __init__(self, path: Path, batch: int, n_bd: int) -> None:
        self._shape = (batch, 1 + n_bd)
        self._size = 4 * batch * (1 + n_bd) + 8
        self._records: list[bytes] = []
        if path.exists():
            data = path.read_bytes()
            for begin in range(0, len(data) - self._size + 1, self._size):
                record = data[begin : begin + self._size]
                if zlib.crc32(record[:-4]).to_bytes(4, "little") != record[-4:]:
                    break
                self._records.append(record)
        self._next = 0
        self._file = open(path, "ab")  # noqa: SIM115 (closed by close)
        self._file.truncate(len(self._records) * self._size)

    def recall(self, solutions: Floats) -> tuple[Floats, Floats] | None:
        """Objective [batch] and measures [batch, n_bd] of the next journalled batch, if it is this.

        None when the journal is at its end. A batch of other solutions (another version of ribs,
        say) ends it there: what follows was another search.
        """
        if self._next == len(self._records):
            return None
        record = self._records[self._next]
        if record[-8:-4] != zlib.crc32(solutions.tobytes()).to_bytes(4, "little"):
            self._records = self._records[: self._next]
            self._file.truncate(self._next * self._size)
            return None
        self._next += 1
        values = np.frombuffer(record[:-8], dtype="<f4").reshape(self._shape)
        return values[:, 0], values[:, 1:]

    def append(self, solutions: Floats, objective: Floats, measures: Floats) -> None:
        """Keep an evaluated batch."""
        values = np.column_stack([objective, measures]).astype("<f4")
        record = values.tobytes() + zlib.crc32(solutions.tobytes()).to_bytes(4, "little")
        record += zlib.crc32(record).to_bytes(4, "little")
        self._records.append(record)
        self._next += 1
        self._file.write(record)
        self._file.flush()
        os.fsync(self._file.fileno())

    def close(self) -> None:
        """Close the file."""
        self._file.close()
