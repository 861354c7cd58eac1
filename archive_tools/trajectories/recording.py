"""Drive elites once more and keep all that they see and do."""

import numpy as np
import pyarrow as pa

from archive_tools.archive.elites import Archive
from archive_tools.tasks.task import Environment
from archive_tools.trajectories.table import make_table
from envs.errors import InputError


def record_chunk(environment: Environment, archive: Archive, rows: slice, seed: int) -> pa.Table:
    """Trajectories of some elites, as rows of trajectories.parquet.

    Raises:
        InputError: the environment recorded numbers that are not finite.
    """
    rollouts = environment.record(archive.solutions[rows], seed)
    pose, bd = rollouts.info.get("pose"), rollouts.info["bd"]
    ids = archive.policy_ids[rows]
    arrays = {"obs": rollouts.obs, "action": rollouts.action, "pose": pose, "measures": bd}
    for name, array in arrays.items():
        if array is not None and not np.isfinite(array).all():
            bad = ~np.isfinite(array).reshape(len(ids), -1).all(axis=1)
            raise InputError(
                f"{environment.id}: policy {ids[bad][0]} recorded NaN or infinite {name}; "
                "leave it out with scripts/01_verify_archive.py --prune, or mend the environment"
            )
    return make_table(ids, rollouts.length, bd, rollouts.obs, rollouts.action, pose)
