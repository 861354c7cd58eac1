"""The one table that nanodt trains on."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from archive_tools.run.tables import (
    read_arrow,
)


def dataset_table(
    trajectories_file: Path,
    ids: Sequence[int],
    split: NDArray[np.str_],
    weight: NDArray[np.float32],
    texts: dict[int, list[str]],
) -> pa.Table:
    """The table that nanodt reads, one row per trajectory, in the order of `ids`."""
    columns = ("trajectory_id", "length", "bd", "obs", "action")
    source = read_arrow(trajectories_file, columns)
    position = {identity: row for row, identity in enumerate(source["trajectory_id"].to_pylist())}
    table = source.take(pa.array([position[i] for i in ids], type=pa.int64()))
    table = table.append_column("split", pa.array(split.tolist()))
    table = table.append_column("weight", pa.array(weight, type=pa.float32()))
    return table.append_column(
        "texts", pa.array([texts[i] for i in ids], type=pa.list_(pa.string()))
    )
