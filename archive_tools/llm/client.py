"""Asking an OpenAI-compatible server many things: concurrent, bounded, each reply paid once.

The `openai` package does the talking with its own retries off; what is retried, how long and when
to give up is decided here, by what the server says (`faults`):

- a full, slow or loading server, a lost connection and 5xx are waited for, `--patience` long,
  counted from the last answer to anybody; before the first answer only full and slow ones and those
  that are loading or not there yet are waited for so long, others FIRST_PATIENCE;
- a request that fails TRIES times while others are answered is that request's problem, and so is
  one that the server refuses (content filters, too long a prompt);
- no credit, a bad key, an unknown model or address end the run at once, and so do the first replies
  where all of them are unusable for one cause: requests on their way are finished and stored,
  nothing new is sent;
- a parameter that is refused by name is left out from then on. What a server understands is found
  out by one small request that all wait for, and anew after RELEARN.
"""

import asyncio
import contextlib
import random
import re
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Generic, Protocol, Self, TypeVar
from weakref import WeakValueDictionary

from pydantic import BaseModel

from archive_tools.llm.config import (
    KEY_VARIABLE,
    LlmConfig,
    body_key,
    first_capabilities,
    keys_of,
    longest_cost,
    patience_of,
    request_body,
    server_name,
    split_address,
    without,
)
from archive_tools.llm.faults import Fault
from archive_tools.llm.ledger import Ledger, Reply
from archive_tools.llm.pace import Pace
from archive_tools.llm.replies import FINAL, REMEDIES, read_reply, reply_of
from archive_tools.llm.transport import Transport
from envs.errors import InputError

FIRST_PATIENCE = 15.0  # seconds, for faults without a reason to wait before the first answer
SOON = 5.0  # seconds after which a server that is still being started is asked again, at most
TRIES = 5  # of one request, while others are answered
FIRST = 8  # replies that must not all be unusable for one cause
FIRST_RESULTS = 16  # more than that: results may fail by bad luck, and vary with the item
IN_A_ROW = 32  # refusals without an answer in between
RELEARN = 86400.0  # seconds until what a server understands is found out anew
KEPT = "nothing paid is lost, the same command goes on from here"

S = TypeVar("S", bound=BaseModel)


@dataclass(frozen=True)
class Answer(Generic[S]):
    """One answer: the validated value, or the problem with it."""

    value: S | None
    problem: str = ""
    content: str = ""
    """The text that arrived, for a problem's record."""
    final: bool = False
    """Asking again is useless."""


class Asker(Protocol):
    """Whatever answers prompts: a server, or the ledger alone."""

    async def ask(
        self, prompt: str, schema: type[S], sample: str, *, again: bool = False
    ) -> Answer[S]:
        """Answer one prompt; `sample` tells apart several answers to the same prompt, and `again`
        says that an earlier answer could not be used."""
        ...


class Stop(InputError):
    """Going on is useless or not allowed; what was paid for is in the ledger."""


class Refused(Exception):
    """The server will not answer this request."""

    def __init__(self, fault: Fault) -> None:
        super().__init__(fault.words)
        self.fault = fault


class FirstReplies:
    """Stops a run whose first replies, or results, are all unusable for one cause.

    Args:
        what: the plural of what is counted, for the message.
        count: how many are looked at.
        hint: what to do where no remedy is known.
    """

    def __init__(self, what: str, count: int = FIRST, hint: str = "try another --model") -> None:
        self.what, self.count, self.hint = what, count, hint
        self._causes: list[str] | None = []

    def note(self, problem: str, again: bool = False) -> None:
        """Count one by its problem; "" for a usable one. Of those asked for again only these count.

        Raises:
            Stop: it was the last of the first `count`, all with the same problem.
        """
        if self._causes is None or not problem:
            self._causes = None
            return
        if again:
            return
        self._causes.append(problem.split(":")[0])
        if len(self._causes) < self.count:
            return
        causes, self._causes = set(self._causes), None
        if len(causes) == 1:
            raise Stop(
                f"the first {self.count} {self.what} cannot be used, all for one cause: {problem}; "
                f"{remedy_for(problem) or self.hint}; what was paid for stays in the ledger and is "
                "not asked for again, unless with other options or another --ledger"
            )


def remedy_for(problem: str) -> str:
    """What helps where every reply has this problem, or ""."""
    return next((say for starts, say in REMEDIES if problem.startswith(starts)), "")


class Client:
    """A server, asked through the ledger. Use as an async context manager.

    Args:
        config: see LlmConfig.
        ledger: open; looked up before and written after every request.

    Raises:
        InputError: the key or the proxies of the environment cannot be used.
        Stop: see the module.
    """

    def __init__(self, config: LlmConfig, ledger: Ledger) -> None:
        self.config, self.ledger = config, ledger
        self.address = split_address(config.base_url).geturl()
        self.patience = patience_of(config.patience)
        self._transport = Transport(self.address, config.timeout)
        self.pace = Pace(config.concurrency, config.timeout)
        self.troubles: Counter[str] = Counter()
        self.waiting = ""
        """What is waited for, where the last thing that came was no answer."""
        self._known = ledger.capabilities(server_name(config)) or first_capabilities(config)
        self._known = {**first_capabilities(config), **self._known}
        self._probing: asyncio.Task[None] | None = None
        self._stop: Exception | None = None
        self._stopped = asyncio.Event()
        self._reserved = 0.0
        self._resume_at = 0.0
        self._refusals = 0
        self._answers, self._answered_at = 0, 0.0
        self._first = FirstReplies("replies")
        self._jitter = random.Random(0)
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._transport.close()

    def stop(self, error: Exception) -> None:
        """Send nothing new; who waits is woken, and gets this error."""
        self._stop = self._stop or error
        self._stopped.set()

    async def ask(
        self, prompt: str, schema: type[S], sample: str, *, again: bool = False
    ) -> Answer[S]:
        """The answer to `prompt` as a `schema`, from the ledger or else from the server."""
        keys = list(keys_of(self.config, self._known, prompt, schema, sample))
        try:
            # One at a time per key: whoever asks the same meanwhile finds it in the ledger.
            async with self._locks.setdefault(min(keys), asyncio.Lock()):
                stored = (self.ledger.get(key) for key in keys)
                reply = next((reply for reply in stored if reply is not None), None)
                if reply is None:
                    await asyncio.sleep(0)  # what others find in the ledger comes first
                    await self._probed()
                    reply = await self._negotiate(prompt, schema, sample)
        except Refused as refusal:
            if refusal.fault.kind == "denied" and not self._answers:
                raise self._stop_of(refusal.fault) from None
            self._count_refusal(refusal)
            return Answer(None, f"refused by the server: {refusal}", final=True)
        value, problem = read_reply(reply, schema)
        self._first.note(problem, again)
        return Answer(value, problem, reply.content or "", problem.startswith(FINAL))

    async def _probed(self) -> None:
        """Find out once what the server understands; all wait for the same small request."""
        # A time to come is that of a clock that was set back since.
        if 0 <= time.time() - self._known.get("learnt", 0.0) < RELEARN:
            return
        if self._probing is None:
            self._probing = asyncio.ensure_future(self._probe())
        await asyncio.shield(self._probing)

    async def _probe(self) -> None:
        self._known = first_capabilities(self.config)
        prompt = 'Answer with the JSON object {"text": "ready"} and nothing else.'
        try:
            await self._negotiate(prompt, _Probe, f"probe {time.time():.0f}", probing=True)
        except Refused as refusal:
            if refusal.fault.kind == "denied":
                raise self._stop_of(refusal.fault) from None
            raise Stop(f"{self.address}: refuses a plain request ({refusal})") from None

    async def _negotiate(
        self, prompt: str, schema: type[BaseModel], sample: str, *, probing: bool = False
    ) -> Reply:
        """Pay for a request, in the first form that the server takes.

        A parameter that it refuses by name is left out. While probing, a refusal without a name
        leads to plainer forms, too: that the same is then answered tells what was meant.
        """
        form, tried = self._known, list[dict[str, Any]]()
        first: Refused | None = None
        while True:
            tried.append(form)
            body = request_body(self.config, form, prompt, schema)
            try:
                reply = await self._pay(body, body_key(body, sample), form["path"])
            except Refused as refusal:
                first = first or refusal
                refused = refusal.fault.without
                if probing and refusal.fault.kind == "refused" and not refusal.fault.about:
                    refused = refused or {"mode": True}
                changed = without(form, refused)
                if probing and refusal.fault.kind == "denied" and self._lacks_version(form):
                    changed = {**form, "path": "/v1"}
                if changed is None or changed in tried:
                    raise (first if probing else refusal) from None
                form = changed
                continue
            if probing or form != self._known:
                self._known = {**form, "learnt": time.time()}
                self.ledger.remember(server_name(self.config), self._known)
            return reply

    def _lacks_version(self, form: dict[str, Any]) -> bool:
        return not form["path"] and not re.search(r"/v\d\w*(/|$)", self.address)

    async def _pay(self, body: dict[str, Any], key: str, path: str) -> Reply:
        """Send a request within the cap and store the reply before anyone sees it."""
        prompt = body["messages"][0]["content"]
        raw = await self._send(body, path)
        reply = reply_of(raw, prompt, self.config.price)
        self.ledger.put(key, self.config.model, reply)
        return reply

    @contextlib.contextmanager
    def _within_cap(self, prompt: str) -> Iterator[None]:
        """Room under --max-usd for the longest reply to a request that is on its way."""
        worst = longest_cost(self.config, prompt)
        if self.config.max_usd and (
            self.ledger.spent + self._reserved + worst > self.config.max_usd
        ):
            raise Stop(
                f"--max-usd {self.config.max_usd:g}: ${self.ledger.spent:.4f} are spent and the "
                "next reply might pass the cap; nothing paid is lost, raise the cap to go on"
            )
        self._reserved += worst
        try:
            yield
        finally:
            self._reserved -= worst

    async def _send(self, body: dict[str, Any], path: str) -> str:
        """The body of the answer to one request, with the policy of this module."""
        failures, in_vain, answers, troubled = 0, 0, self._answers, 0.0
        answered = self._answers
        while True:
            await self._pause(self._resume_at - time.monotonic())
            async with self.pace.slot():
                if self._stop:
                    raise self._stop
                sent = time.monotonic()
                with self._within_cap(body["messages"][0]["content"]):
                    got = await self._transport.post(path, body)
                if isinstance(got, str):
                    self._answers, self._answered_at = self._answers + 1, time.monotonic()
                    self._refusals, self.waiting = 0, ""
                    self.pace.answered(sent)
                    return got
                if got.kind in ("full", "slow"):
                    self.pace.overloaded(sent)
            now = time.monotonic()
            troubled = troubled or now
            in_vain = in_vain + 1 if answered == self._answers else 1
            failures, answered = failures + 1, self._answers
            if got.raw:
                self.ledger.put_unread(self.config.model, got.raw)
            self._raise_if_final(got)
            if got.kind != "full" and failures >= TRIES and self._answers > answers + failures:
                words = f"{got.words}, {failures} times, while others were answered"
                raise Refused(Fault("refused", words))
            patience = self.patience
            if got.kind == "passing" and not self._answers:
                patience = min(patience, FIRST_PATIENCE)
            left = max(troubled, self._answered_at) + patience - now
            wait = self._backoff(in_vain - 1)
            if got.kind == "loading":
                wait = min(wait, SOON)
            if got.wait is not None:  # but not at once for ever
                wait = max(got.wait, wait if in_vain > TRIES else 0.0)
            # What the server asks for, where it is longer than the patience, cannot be met.
            if left <= 0 or (got.wait or 0) > max(left, 1.0):
                raise Stop(self._given_up(got, failures, now - max(troubled, self._answered_at)))
            self._tell(got)
            if got.kind == "full" or got.wait:
                self._resume_at = max(self._resume_at, now + wait)
            await self._pause(min(wait, left))

    def _raise_if_final(self, fault: Fault) -> None:
        """Raise Stop or Refused where trying the same again is useless."""
        if fault.kind == "stop":
            raise self._stop_of(fault)
        if fault.kind == "refused" or (
            fault.kind == "denied" and not (self._answers and fault.raw)
        ):
            raise Refused(fault)

    def _stop_of(self, fault: Fault) -> Stop:
        said = fault.words
        if fault.about == "key":
            said += f"; check the environment variable {KEY_VARIABLE}"
        elif fault.about == "model":
            said = f"model {self.config.model!r} or the address is unknown ({said}); check "
            said += "--model and --base-url"
            said += ", which mostly ends in /v1" if self._lacks_version(self._known) else ""
        return Stop(f"{self.address}: {said}")

    def _given_up(self, fault: Fault, failures: int, waited: float) -> str:
        asked = f" and asks to wait {fault.wait:.0f} s" if fault.wait else ""
        first = "" if self._answers else ", and it has not answered once"
        return (
            f"{self.address}: {fault.words}{asked}; tried {failures} times in {waited:.0f} s "
            f"(--patience {self.config.patience}{first}); {KEPT}"
        )

    def _tell(self, fault: Fault) -> None:
        """For the bar."""
        self.troubles["timeouts" if fault.kind == "slow" else "failures"] += 1
        self.waiting = fault.words[:80]

    async def _pause(self, seconds: float) -> None:
        """Wait, but for a stop; then not all go on in the same moment."""
        while seconds > 0 and not self._stop:
            seconds += min(0.25 * seconds, 2.0) * self._jitter.random()
            try:
                await asyncio.wait_for(self._stopped.wait(), seconds)
            except TimeoutError:
                seconds = self._resume_at - time.monotonic()
        if self._stop:
            raise self._stop

    def _backoff(self, attempt: int) -> float:
        return min(0.5 * 2 ** min(attempt, 10), 30.0) * (0.75 + 0.5 * self._jitter.random())

    def _count_refusal(self, refusal: Refused) -> None:
        """Refusals of single requests that are those of every request end the run."""
        self._refusals += 1
        if self._refusals >= (IN_A_ROW if self._answers > 1 else FIRST):
            raise Stop(f"{self.address}: refuses every request ({refusal})") from None


class _Probe(BaseModel):
    text: str
