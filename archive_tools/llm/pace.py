"""How many requests are on their way at once: few at first, more while replies come faster.

A server that answers one at a time gets no queue, one that answers many gets many. The limit is
doubled as long as that brings more replies in the same time, and tried again after a while where it
did not; a server that says that it is full, or is too slow, gets half. Twice as many are not tried
where a server that works on one at a time could then not answer in time.
"""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator

GAIN = 0.3
"""Twice as many requests must bring at least so much more, as a share."""
HOLD = 8
"""How many replies per request on its way come before more are tried again."""


class Pace:
    """A limit on requests on their way, between one and `most`; each is lost after `timeout`."""

    def __init__(self, most: int, timeout: float) -> None:
        self.most, self.timeout, self.limit = most, timeout, 1
        self._flying = 0
        self._room = asyncio.Condition()
        self._halved = 0.0
        self._smaller = 0  # the limit before, while a larger one is tried
        self._rate = 0.0  # replies a second with that
        self._begin(2)

    @contextlib.asynccontextmanager
    async def slot(self) -> AsyncIterator[None]:
        """One of the requests on their way."""
        async with self._room:
            await self._room.wait_for(lambda: self._flying < self.limit)
            self._flying += 1
        try:
            yield
        finally:
            async with self._room:
                self._flying -= 1
                self._room.notify(self.limit)

    def _begin(self, replies: int) -> None:
        """Count anew, until so many replies have come."""
        self._since, self._count, self._until = time.monotonic(), 0, replies
        self._longest = 0.0

    def answered(self, sent: float) -> None:
        """A reply came to a request sent at that time (time.monotonic)."""
        self._count += 1
        self._longest = max(self._longest, time.monotonic() - sent)
        if self._count < self._until:
            return
        rate = self._count / max(time.monotonic() - self._since, 1e-6)
        if self._smaller and rate < self._rate * (1 + GAIN * (self.limit / self._smaller - 1)):
            self.limit, self._smaller = self._smaller, 0
            self._begin(HOLD * max(self.limit, 4))
        elif self.limit < self.most and 2 * self._longest <= self.timeout:
            self._rate, self._smaller = rate, self.limit
            self.limit = min(2 * self.limit, self.most)
            self._begin(2 * self.limit)
        else:
            self._smaller = 0
            self._begin(HOLD * self.limit)

    def overloaded(self, sent: float) -> None:
        """A request sent at that time was one too many; what was sent before the
        last halving says nothing new."""
        if sent > self._halved:
            self.limit, self._smaller = max(1, self.limit // 2), 0
            self._halved = time.monotonic()
            self._begin(HOLD * max(self.limit, 4))
