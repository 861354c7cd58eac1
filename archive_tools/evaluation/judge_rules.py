"""Does a drive obey its command? By rules from the words of the command."""

from collections.abc import Sequence

from pydantic import BaseModel, Field

from archive_tools.annotations.events import Annotation
from archive_tools.annotations.routes import lcs_ratio
from archive_tools.language.checks import say
from archive_tools.language.mentions import Mention, parse
from envs.scene import Scene


class Verdict(BaseModel):
    """What a judge says about one drive."""

    score: float = Field(ge=0, le=1)
    """0: ignores the command; 1: obeys it fully."""
    reached: list[str]
    """Places of the command that were met."""
    missed: list[str]
    """Places of the command that were not."""
    extra: list[str]
    """Places met that do not fit the command."""
    in_order: bool
    """The places that were reached were reached in the order of the command."""
    reasons: str


def judge_rules(
    text: str, driven: Annotation, reference: Annotation | None, scene: Scene
) -> Verdict:
    """Judge a drive by the words of its command.

    The score is the mean of what can be judged: the share of the mentioned places that were met in
    order (counted twice); that places not to be met were left alone, and that the drive ends where
    the command has it stop; and, with a reference, the LCS ratio of both visited sequences.

    Args:
        text: the command.
        driven: annotation of the drive.
        reference: annotation of the trajectory that the command describes; None to judge by the
            words alone.
        scene: the objects and tiles that exist.
    """
    parsed = parse(text, scene)
    visits, visited = parsed.visits, driven.visited
    met = [any(name in visited for name in m.names) for m in visits]
    in_order = _longest_common(visits, visited)
    parts: list[float] = []
    reasons: list[str] = []
    if visits:
        parts += [in_order / len(visits)] * 2
        reasons.append(f"{in_order} of {len(visits)} places met in order")
    avoided = [m for m in parsed.mentions if m.role == "negated"]
    if avoided:
        hit = [m for m in avoided if any(name in visited for name in m.names)]
        parts.append(1 - len(hit) / len(avoided))
        reasons += [f"{say(m)} was to be left alone" for m in hit]
    if parsed.stop:
        last = driven.events[-1]
        there = {last.tile, *(near.object for near in last.near)}
        right = [bool(there & set(m.names)) for m in parsed.stop]
        parts.append(sum(right) / len(right))
        reasons.append("stops where it should" if all(right) else "stops elsewhere")
    extra: list[str] = []
    if reference is not None:
        ratio = float(lcs_ratio([visited], [reference.visited])[0])
        parts.append(ratio)
        reasons.append(f"the route agrees with the reference to {ratio:.0%}")
        extra = [n for n in dict.fromkeys(visited) if n not in reference.visited]
    if not parts:
        reasons.append("the command names no place, so any way there obeys it")
    return Verdict(
        score=min(1.0, sum(parts) / len(parts)) if parts else 1.0,
        reached=[m.words for m, yes in zip(visits, met, strict=True) if yes],
        missed=[m.words for m, yes in zip(visits, met, strict=True) if not yes],
        extra=extra,
        in_order=in_order >= sum(met),
        reasons="; ".join(reasons),
    )


def _longest_common(visits: Sequence[Mention], visited: Sequence[str]) -> int:
    """Length of the longest common subsequence of mentions and visited names."""
    row = [0] * (len(visited) + 1)
    for mention in visits:
        diagonal = 0
        for k, name in enumerate(visited, 1):
            above = row[k]
            row[k] = diagonal + 1 if name in mention.names else max(above, row[k - 1])
            diagonal = above
    return row[-1]
