"""The rating page: a drive, its sentence, and a score of 0 to 10.

Raters are blind: nothing that reaches the browser says which system drove.
"""

import re
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from archive_tools.playground.commands import Score, Sent, read
from archive_tools.rating import Session, open_session
from envs.errors import InputError

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")


class RatingPage:
    """The page at "/rate": one rater's session, opened when it is first asked for.

    Args:
        run: with archive/, dataset/ and rollouts/.
        rater: letters, digits, - and _.
        items, systems, seed: see `archive_tools.rating.open_session`.

    Raises:
        InputError: the rater's name cannot be used.
    """

    path, name, template = "/rate", "Rate drives", "rate.html.jinja"

    def __init__(
        self,
        run: Path,
        rater: str,
        *,
        items: int = 32,
        systems: Sequence[str] = (),
        seed: int = 0,
    ) -> None:
        if not NAME.fullmatch(rater):
            raise InputError(f"--rater {rater!r}: expected letters, digits, - and _, at most 64")
        self.run, self.rater = run, rater
        self._options: dict[str, Any] = {"items": items, "systems": systems, "seed": seed}

    @cached_property
    def session(self) -> Session:
        """What is shown next, and what was answered.

        Raises:
            InputError: a stage is missing, or the file of ratings is damaged.
        """
        return open_session(self.run, self.rater, **self._options)

    def facts(self) -> dict[str, Any]:
        """For the template."""
        return {"rater": self.rater, "highest": 10}

    def routes(self) -> list[BaseRoute]:
        """What the page asks for."""
        return [
            Route("/rate/state", self._state),
            Route("/rate/score", self._score, methods=["POST"]),
            Route("/rate/undo", self._undo, methods=["POST"]),
        ]

    async def _state(self, request: Request) -> Response:
        return JSONResponse(await run_in_threadpool(lambda: self.session.state()))

    async def _score(self, request: Request) -> Response:
        given = read(Score, await request.body())
        state = await run_in_threadpool(self.session.rate, given.number, given.score)
        if state is None:  # two windows, or a key pressed twice: the page catches up
            return JSONResponse(self.session.state(), 409)
        return JSONResponse(state)

    async def _undo(self, request: Request) -> Response:
        read(Sent, await request.body())
        return JSONResponse(await run_in_threadpool(self.session.undo))
