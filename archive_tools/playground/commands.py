"""What pages may send, held against its types and bounds before anything is done with it."""

from typing import Annotated, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from envs.errors import InputError

MOST_ROBOTS = 4
Number = Annotated[float, Field(ge=-1e6, le=1e6, allow_inf_nan=False)]


class Sent(BaseModel):
    """A message of a page."""

    model_config = ConfigDict(extra="forbid", strict=False)


class Text(Sent):
    """A sentence while it is typed."""

    text: str = Field(max_length=400)


class Command(Text):
    """Drive: the words, and what was done on the map."""

    bd: tuple[Number, Number] | None = None
    """The place that was clicked, world units."""
    start: tuple[Number, Number, Number] | None = None
    """Where the robot was dragged: x, y, heading; None for the world's own start."""
    walls: tuple[tuple[Number, Number, Number, Number], ...] = Field((), max_length=24)
    robots: tuple[str, ...] = Field(("policy",), min_length=1, max_length=MOST_ROBOTS)
    replaces: str | None = Field(None, max_length=40)
    """A drive that nobody looks at any more."""


class Score(Sent):
    """A rater's answer."""

    number: int = Field(strict=True)
    score: int = Field(strict=True, ge=0, le=10)


S = TypeVar("S", bound=Sent)


def read(kind: type[S], body: bytes) -> S:
    """A message of a page.

    Raises:
        InputError: not JSON, too deep, or a field that is not as it must be.
    """
    try:
        return kind.model_validate_json(body)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise InputError(f"{where or 'the message'}: {first['msg']}") from None
