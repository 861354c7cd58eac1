"""The metrics of single drives: functions from all drives to one value each, NaN where undefined.

A route is the sequence of visited objects and tiles, merged in the order of the visits, of the
drive annotated anew: what the robot did and not what it was told.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from archive_tools.annotations import Annotation, similarity
from archive_tools.evaluation import metrics
from archive_tools.evaluation.metrics import Floats
from archive_tools.evaluation.scored import Scored
from archive_tools.files import user_tables
from archive_tools.language import Instruction, Place, contradictions, parse
from archive_tools.rollouts import contrast_score
from envs.scene import Scene

Measure = Callable[[Scored], Floats]
"""All drives → [N] values, one per row of the frame."""


def distance(scored: Scored) -> Floats:
    """Of the last position to the target, in % of the diagonal."""
    reached, target = (np.stack(scored.frame[name].tolist()) for name in ("reached", "target"))
    return metrics.bd_error(reached, target, scored.diagonal)


def success(scored: Scored) -> Floats:
    """1 where that distance is at most 5 %, else 0."""
    return metrics.bd_success(distance(scored))


def _route_measure(
    compare: Callable[[Sequence[similarity.Route], Sequence[similarity.Route]], Floats],
) -> Measure:
    """A comparison of the driven routes with those of the references."""

    def measure(scored: Scored) -> Floats:
        values, rows = np.full(len(scored.frame), np.nan), scored.annotated(reference=True)
        values[rows] = compare(scored.routes(rows), scored.reference_routes(rows))
        return values

    return measure


route = _route_measure(similarity.lcs_ratio)
places = _route_measure(similarity.set_f1)
order = _route_measure(similarity.order_tau)


def contrast(scored: Scored) -> Floats:
    """Of the drives of contrast pairs: nearer to the own text's reference than to the rival's?"""
    values, rows = np.full(len(scored.frame), np.nan), scored.annotated(pairs=True)
    values[rows] = contrast_score(
        scored.routes(rows),
        scored.reference_routes(rows),
        scored.reference_routes(rows, "rival_id"),
    )
    return values


@dataclass(frozen=True)
class Wishes:
    """What a command wants, in names of the scene."""

    must: tuple[str, ...] = ()
    """To be met in this order."""
    avoid: tuple[str, ...] = ()
    """Not to be met; where the drive starts it has to be, but it is not to come back."""
    end: str | None = None
    """A tile, on which the drive ends, or an object, within 40 units of whose box it ends."""


@lru_cache(maxsize=4096)
def _read(text: str, scene: Scene) -> Instruction:
    return parse(text, scene)


def is_obeyed(text: str, wishes: Wishes | None, driven: Annotation, scene: Scene) -> bool | None:
    """Whether a drive does all that a command says.

    Args:
        text: the command.
        wishes: what counts; None for the reader's understanding of the text.
        driven: annotation of the drive.
        scene: the objects, tiles and rooms that exist.

    Returns:
        None where the reader finds no place in the text.
    """
    if wishes is None:
        instruction = _read(text, scene)
        if not (instruction.places or instruction.unknown):
            return None
        return not contradictions.contradictions(instruction, driven, scene)
    visits = iter(driven.visited)
    return (
        all(name in visits for name in wishes.must)
        and not enters_forbidden(text, wishes, driven, scene)
        and (wishes.end is None or _ends_at(wishes.end, driven, scene))
    )


def _ends_at(name: str, driven: Annotation, scene: Scene) -> bool:
    last = driven.events[-1]
    if name in scene.tile_names:
        return last.tile == name
    place = Place((name,), "object", 0, 0, name)
    return contradictions.distance_to(place, last.position, scene) <= contradictions.END_AT


def enters_forbidden(
    text: str, wishes: Wishes | None, driven: Annotation, scene: Scene
) -> bool | None:
    """Whether a drive breaks a ban of its command; None where it forbids nothing.

    Args: see `is_obeyed`.
    """
    if wishes is not None:
        spans = contradictions.presence(driven).spans
        entered = [span[0] > 0 for name in wishes.avoid for span in spans.get(name, ())]
        return any(entered) if wishes.avoid else None
    bans = contradictions.enforced(_read(text, scene))
    there = contradictions.presence(driven) if bans else None
    return None if there is None else any(contradictions.broken(ban, there) for ban in bans)


def _obedience_measure(
    judge: Callable[[str, Wishes | None, Annotation, Scene], bool | None],
) -> Measure:
    """A question about every drive of a command, whose answer may be None; of no contrast pair."""

    def measure(scored: Scored) -> Floats:
        values, scene = np.full(len(scored.frame), np.nan), scored.scene
        columns = (scored.frame[name].tolist() for name in ("text", "must", "avoid", "end"))
        rows = list(zip(*columns, strict=True))
        for row in scored.annotated(pairs=False) if scene is not None else ():
            text, *wishes = rows[row]
            driven = scored.driven[row]
            assert driven is not None and scene is not None
            answer = judge(text, _wishes(*wishes), driven, scene)
            values[row] = np.nan if answer is None else answer
        return values

    return measure


def _wishes(must: Any, avoid: Any, end: Any) -> Wishes | None:
    """The cells of an item; None where all are empty."""
    end = None if user_tables.missing(end) else end
    if must is None and avoid is None and end is None:
        return None
    return Wishes(() if must is None else tuple(must), () if avoid is None else tuple(avoid), end)


obeyed = _obedience_measure(is_obeyed)
forbidden_entered = _obedience_measure(enters_forbidden)


def path(scored: Scored) -> Floats:
    """Normalised dynamic time warping of the driven path and the reference's."""
    values, frame = np.full(len(scored.frame), np.nan), scored.frame
    rows = [
        row
        for row, identity in enumerate(frame["trajectory_id"])
        if scored.poses[row] is not None and identity in scored.reference_poses
    ]
    values[rows] = metrics.ndtw(
        [pose for row in rows if (pose := scored.poses[row]) is not None],
        [scored.reference_poses[int(frame["trajectory_id"].iat[row])] for row in rows],
        spacing=scored.world.robot.radius,
        threshold=metrics.SUCCESS / 100 * scored.world.diagonal,
    )
    return values


def path_reached(scored: Scored) -> Floats:
    """`path` where the target was reached, else 0."""
    return path(scored) * success(scored)


def followed(scored: Scored) -> Floats:
    """`instruction_order` of the text that the system was given."""
    values, rows = np.full(len(scored.frame), np.nan), scored.annotated()
    if scored.scene is not None:
        texts = scored.frame["instruction"].iloc[rows].tolist()
        values[rows] = instruction_order(texts, scored.routes(rows), scored.scene)
    return values


def instruction_order(
    texts: Sequence[str | None], routes: Sequence[similarity.Route], scene: Scene
) -> Floats:
    """Share of the places that a text names which the route meets in its order: [N].

    NaN for None and for a text that names no place to be met.

    Args:
        texts: what each drive was asked for.
        routes: what it visited.
        scene: the objects and tiles that exist.
    """
    asked: dict[str, list[tuple[str, ...]]] = {}
    for text in texts:
        if text is not None and text not in asked:
            asked[text] = [place.names for place in parse(text, scene).route]
    named: list[list[str]] = []
    met: list[list[str]] = []
    for text, visited in zip(texts, routes, strict=True):
        names = asked[text] if text is not None else []
        # Words that may mean several things ("couch") count whichever of them is met.
        one = {name: several[0] for several in names for name in several}
        named.append([one[several[0]] for several in names])
        met.append([one.get(name, name) for name in visited])
    share = np.full(len(texts), np.nan)
    count = np.array([len(row) for row in named])
    np.divide(similarity.lcs_length(met, named), count, out=share, where=count > 0)
    return share
