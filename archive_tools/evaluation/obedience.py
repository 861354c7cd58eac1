"""Is a command obeyed in full, and does the drive enter what it forbids?

By names of the scene where a file of commands gives them with the text: what is to be met in this
order, what is not to be met, where to end. Else by what the reader understands of the text.
"""

from dataclasses import dataclass
from functools import lru_cache

from archive_tools.annotations import Annotation
from archive_tools.language import Instruction, Place, contradictions, parse
from envs.scene import Scene


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


def obeyed(text: str, wishes: Wishes | None, driven: Annotation, scene: Scene) -> bool | None:
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
        and not forbidden_entered(text, wishes, driven, scene)
        and (wishes.end is None or _ends_at(wishes.end, driven, scene))
    )


def _ends_at(name: str, driven: Annotation, scene: Scene) -> bool:
    last = driven.events[-1]
    if name in scene.tile_names:
        return last.tile == name
    place = Place((name,), "object", 0, 0, name)
    return contradictions.distance_to(place, last.position, scene) <= contradictions.END_AT


def forbidden_entered(
    text: str, wishes: Wishes | None, driven: Annotation, scene: Scene
) -> bool | None:
    """Whether a drive breaks a ban of its command; None where it forbids nothing.

    Args: see `obeyed`.
    """
    if wishes is not None:
        spans = contradictions.presence(driven).spans
        entered = [span[0] > 0 for name in wishes.avoid for span in spans.get(name, ())]
        return any(entered) if wishes.avoid else None
    bans = contradictions.enforced(_read(text, scene))
    there = contradictions.presence(driven) if bans else None
    return None if there is None else any(contradictions.broken(ban, there) for ban in bans)
