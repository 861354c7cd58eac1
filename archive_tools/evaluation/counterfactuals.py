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
from archive_tools.annotations.visits import visits_of
from archive_tools.evaluation.measures import instruction_order
from archive_tools.evaluation.metrics import bootstrap
from archive_tools.evaluation.scored import Scored
from envs.geometry import compass, turn, wrap_angle
from envs.places import tile_centres
from envs.scene import Scene

TURN_STEPS = 20  # before and after meeting a place, within which a turn by it counts
TURN_ANGLE = np.deg2rad(20.0)  # a smaller change of heading is no turn
QUESTIONS = (
    "follows_counterfactual", "meets_new", "leaves_old", "instruction_order", "route_lcs",
)  # fmt: skip
"""What both drives of a pair are asked; `compare` and docs/evaluation.md say what each means."""


def _visits(
    place: str, word: str, driven: Annotation, pose: NDArray[np.float32], scene: Scene
) -> bool:
    """The place `word` is visited."""
    return word in driven.visited


def _passes(
    place: str, word: str, driven: Annotation, pose: NDArray[np.float32], scene: Scene
) -> bool:
    """The object `place` is passed on the side `word`, or within 45 degrees of it."""
    sides = {n.relation for e in driven.events for n in e.near if n.object == place} - {"on"}
    return any(turn(side, word) <= 1 for side in sides)


def _enters(
    place: str, word: str, driven: Annotation, pose: NDArray[np.float32], scene: Scene
) -> bool:
    """The tile `place` is entered from the one opposite to `word`, or within 45 degrees of it."""
    centres = tile_centres(scene)
    for visit in visits_of(driven):
        ends = [centres.get(name, []) for name in (visit.came_from, visit.name)]
        if visit.name == place and all(len(end) == 1 for end in ends):
            dx, dy = (b - a for a, b in zip(ends[0][0], ends[1][0], strict=True))
            if turn(compass(dx, dy), word) <= 1:
                return True
    return False


def _turns(
    place: str, word: str, driven: Annotation, pose: NDArray[np.float32], scene: Scene
) -> bool:
    """The heading changes by 20 degrees or more to the left or right (`word`) within 20 steps of
    meeting `place`."""
    met = [e.timestep for e in driven.events
           if place == e.tile or place in (n.object for n in e.near)]  # fmt: skip
    if not met:
        return False
    heading = pose[max(0, met[0] - TURN_STEPS) : met[0] + TURN_STEPS + 1, 2].astype(np.float64)
    change = np.diff(heading)
    turned = wrap_angle(change).sum()  # positive is to the right
    return bool(turned >= TURN_ANGLE if word == "right" else turned <= -TURN_ANGLE)


FITS = {"object": _visits, "tile": _visits, "side": _passes, "heading": _enters, "turn": _turns}
"""Kind of `GivenText` → whether a drive does what a word of its command says: f(place, word,
annotation of the drive, its poses [T+1, 3], scene), with place and word as in `GivenText`."""


def compare(scored: Scored, instructions: pd.DataFrame) -> pd.DataFrame:
    """Fill `follows_counterfactual` of the drives, and set the pairs side by side.

    Args:
        scored: of all systems.
        instructions: the table of `rollouts/`; its rows with a kind are counterfactual.

    Returns:
        one row per pair of drives of an item and a seed: control, kind, item, seed, and two columns
        for each of QUESTIONS, `NAME` of the drive with the counterfactual text and `NAME/original`
        of the one with the item's own.
    """
    frame = scored.frame
    names = [*QUESTIONS, *(f"{name}/original" for name in QUESTIONS)]
    columns = ["control", "kind", "item", "seed", *names]
    if scored.scene is None:
        return pd.DataFrame(columns=columns)
    rows = {
        (system, item, seed): row
        for row, (system, item, seed) in enumerate(
            zip(frame["system"], frame["item"], frame["seed"], strict=True)
        )
        if scored.driven[row] is not None
    }
    pairs = []
    changed: Any = instructions.loc[instructions["kind"].notna(), :].to_dict(orient="records")
    for change in tqdm(changed, desc="counterfactuals", unit="item"):
        for seed in sorted(set(frame["seed"])):
            row = rows.get((change["system"], change["item"], seed))
            if row is None:
                continue
            pair = {"control": change["system"], "kind": change["kind"], "item": change["item"],
                    "seed": seed, **_answers(scored, row, change, scored.scene)}  # fmt: skip
            frame.loc[row, "follows_counterfactual"] = pair["follows_counterfactual"]
            original = rows.get(("nanodt", change["item"], seed))
            if original is not None:
                answers = _answers(scored, original, change, scored.scene)
                pairs.append({**pair, **{f"{k}/original": v for k, v in answers.items()}})
    return pd.DataFrame(pairs, columns=columns)


def _answers(scored: Scored, row: int, change: dict[str, Any], scene: Scene) -> dict[str, float]:
    """What one drive does about the exchanged word: a value for each of QUESTIONS."""
    driven, pose = scored.driven[row], scored.poses[row]
    assert driven is not None and pose is not None
    fits, place = FITS[change["kind"]], change["place"]
    meets = fits(place, change["into"], driven, pose, scene)
    leaves = not fits(place, change["out"], driven, pose, scene)
    order = instruction_order([change["instruction"]], [driven.visited], scene)
    values = (meets and leaves, meets, leaves, order[0], scored.frame["route_lcs"].iat[row])
    return {name: float(value) for name, value in zip(QUESTIONS, values, strict=True)}


def effect_records(effects: pd.DataFrame, *, resamples: int, seed: int) -> list[dict[str, Any]]:
    """The effect of each exchange: both drives and their difference, with intervals.

    Args:
        effects: of `compare`.
        resamples, seed: of the bootstrap.

    Returns:
        records: control, kind (or "all"), drive (counterfactual, original, difference), metric,
        mean, ci_low, ci_high, n.
    """
    records = []
    for control, rows in effects.groupby("control", sort=False):
        rows: pd.DataFrame
        kinds = [kind for kind in FITS if kind in set(rows["kind"])]
        for kind in ("all", *(kinds if len(kinds) > 1 else [])):
            part = rows if kind == "all" else rows.loc[rows["kind"] == kind, :]
            for metric in QUESTIONS:
                columns = [metric, f"{metric}/original"]
                means: Any = part.dropna(subset=columns).groupby("item")[columns].mean()
                pair = means.to_numpy(float)
                for drive, values in (
                    ("counterfactual", (pair[:, 0],)),
                    ("original", (pair[:, 1],)),
                    ("difference", (pair[:, 0], pair[:, 1])),
                ):
                    interval = bootstrap(*values, resamples=resamples, seed=seed)
                    if interval.n:
                        records.append({"control": control, "kind": kind, "drive": drive,
                                        "metric": metric, **asdict(interval)})  # fmt: skip
    return records
