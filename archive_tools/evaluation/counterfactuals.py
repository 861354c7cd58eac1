"""Does the drive follow the exchanged word? Looked up in the drives, not in the texts.

For every item with an exchanged word there are two drives of the policy with the same seed: with
the exchanged text and with the item's own. Both are asked the same questions, item by item and seed
by seed, so a policy that does not read its text differs by exactly nothing.
"""

from dataclasses import asdict
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from tqdm import tqdm

from archive_tools.annotations.events import Annotation
from archive_tools.annotations.visits import tile_centres, turn, visits_of
from archive_tools.evaluation import metrics
from archive_tools.evaluation.scoring import Scored, told_order
from archive_tools.rollouts.counterfactuals import KINDS
from archive_tools.rollouts.items import SWAPS
from envs.geometry import compass, wrap_angle
from envs.scene import Scene

TURN_STEPS = 20  # before and after meeting a place, within which a turn by it counts
TURN_ANGLE = np.deg2rad(20.0)  # a smaller change of heading is no turn
ASKED = ("follows_swap", "meets_swapped_in", "leaves_swapped_out", "told_order", "route_lcs")


def fits(
    kind: str, place: str, word: str, driven: Annotation, pose: NDArray[np.float32], scene: Scene
) -> bool:
    """Whether a drive does what a word of its command says.

    Args:
        kind: object or tile: the place `word` is visited. side: `place` is passed on the side
            `word`, or within 45 degrees of it. heading: the tile `place` is entered from the tile
            that lies on the other side, or within 45 degrees of it. turn: the heading changes by
            at least 20 degrees to the left or right within 20 steps of meeting `place`.
        place, word: as in `Swap`.
        driven: annotation of the drive.
        pose: [T+1, 3] of the drive.
        scene: with the tiles.
    """
    if kind in ("object", "tile"):
        return word in driven.visited
    if kind == "side":
        sides = {n.relation for e in driven.events for n in e.near if n.object == place} - {"on"}
        return any(turn(side, word) <= 1 for side in sides)
    if kind == "heading":
        centres = tile_centres(scene)
        for visit in visits_of(driven):
            ends = [centres.get(name, []) for name in (visit.came_from, visit.name)]
            if visit.name == place and all(len(end) == 1 for end in ends):
                dx, dy = (b - a for a, b in zip(ends[0][0], ends[1][0], strict=True))
                if turn(compass(dx, dy), word) <= 1:
                    return True
        return False
    met = [e.timestep for e in driven.events
           if place == e.tile or place in (n.object for n in e.near)]  # fmt: skip
    if not met:
        return False
    heading = pose[max(0, met[0] - TURN_STEPS) : met[0] + TURN_STEPS + 1, 2].astype(np.float64)
    change = np.diff(heading)
    turned = wrap_angle(change).sum()  # positive is to the right
    return bool(turned >= TURN_ANGLE if word == "right" else turned <= -TURN_ANGLE)


def apply_swaps(scored: Scored, told: pd.DataFrame, scene: Scene | None) -> pd.DataFrame:
    """Fill `follows_swap` of the drives with an exchanged word, and set the pairs side by side.

    Args:
        scored: of all systems.
        told: the table of `rollouts/`.
        scene: None where the environment has none.

    Returns:
        one row per pair of drives of an item and a seed: control, kind, item, seed, and two columns
        for each of ASKED, `NAME` of the drive with the exchanged text and `NAME/unswapped`.
    """
    frame = scored.frame
    names = [*ASKED, *(f"{name}/unswapped" for name in ASKED)]
    if scene is None:
        return pd.DataFrame(columns=["control", "kind", "item", "seed", *names])
    rows = {
        (system, item, seed): row
        for row, (system, item, seed) in enumerate(
            zip(frame["system"], frame["item"], frame["seed"], strict=True)
        )
        if scored.driven[row] is not None
    }
    pairs = []
    swaps: Any = told.loc[told["system"].isin(SWAPS), :].to_dict(orient="records")
    for swap in tqdm(swaps, desc="swaps", unit="item"):
        for seed in sorted(set(frame["seed"])):
            row = rows.get((swap["system"], swap["item"], seed))
            if row is None:
                continue
            pair = {"control": swap["system"], "kind": swap["kind"], "item": swap["item"],
                    "seed": seed, **_asked(scored, row, swap, scene)}  # fmt: skip
            frame.loc[row, "follows_swap"] = pair["follows_swap"]
            base = rows.get(("nanodt", swap["item"], seed))
            if base is not None:
                unswapped = _asked(scored, base, swap, scene)
                pairs.append({**pair, **{f"{k}/unswapped": v for k, v in unswapped.items()}})
    return pd.DataFrame(pairs, columns=["control", "kind", "item", "seed", *names])


def _asked(scored: Scored, row: int, swap: dict[str, Any], scene: Scene) -> dict[str, float]:
    """What one drive does about the exchanged word."""
    driven, pose = scored.driven[row], scored.poses[row]
    assert driven is not None and pose is not None
    kind, place = swap["kind"], swap["place"]
    meets = fits(kind, place, swap["into"], driven, pose, scene)
    leaves = not fits(kind, place, swap["out"], driven, pose, scene)
    return {
        "follows_swap": float(meets and leaves),
        "meets_swapped_in": float(meets),
        "leaves_swapped_out": float(leaves),
        "told_order": float(told_order([swap["text"]], [driven.visited], scene)[0]),
        "route_lcs": float(scored.frame["route_lcs"].iat[row]),
    }


def swap_records(effects: pd.DataFrame, *, resamples: int, seed: int) -> list[dict[str, Any]]:
    """The effect of each exchange: both drives and their difference, with intervals.

    Args:
        effects: one row per pair of drives: control, kind, item, seed, and per question two
            columns, `QUESTION` of the drive with the exchanged text and `QUESTION/unswapped`.
        resamples, seed: of the bootstrap.

    Returns:
        records: control, kind (or "all"), drive (swapped, unswapped, difference), metric, mean,
        ci_low, ci_high, n.
    """
    records = []
    for control, rows in effects.groupby("control", sort=False):
        rows: pd.DataFrame
        kinds = [kind for kind in KINDS if kind in set(rows["kind"])]
        for kind in ("all", *(kinds if len(kinds) > 1 else [])):
            part = rows if kind == "all" else rows.loc[rows["kind"] == kind, :]
            for metric in ASKED:
                columns = [metric, f"{metric}/unswapped"]
                means: Any = part.dropna(subset=columns).groupby("item")[columns].mean()
                pair = means.to_numpy(float)
                for drive, values in (
                    ("swapped", (pair[:, 0],)),
                    ("unswapped", (pair[:, 1],)),
                    ("difference", (pair[:, 0], pair[:, 1])),
                ):
                    found = metrics.bootstrap(*values, resamples=resamples, seed=seed)
                    if found.n:
                        records.append({"control": control, "kind": kind, "drive": drive,
                                        "metric": metric, **asdict(found)})  # fmt: skip
    return records
