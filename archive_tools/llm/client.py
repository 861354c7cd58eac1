"""Asking an OpenAI-compatible server many things: concurrent, bounded, each reply paid once.

The `openai` package does the talking with its own retries off; what is retried, how long and when
to give up is decided here:

- 429, 408, 409, 425, 5xx, lost connections and timeouts are tried again, at most `attempts` times,
  after what Retry-After says or else after growing waits; a 429 while others are being answered is
  a full server, not a failing one, and the counting begins anew;
- no credit left (which arrives as 429 too), a bad key, an unknown model or address end the run at
  once: requests on their way are finished and stored, nothing new is sent;
- any other refusal of a request (content filters, too long a prompt) is that item's problem.
"""

import asyncio
import contextlib
import os
import random
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Any, Generic, Protocol, Self, TypeVar
from weakref import WeakValueDictionary

import openai
from pydantic import BaseModel
from tqdm import tqdm

from archive_tools.llm.config import (
    KEY_VARIABLE,
    OPENAI,
    LlmConfig,
    body_key,
    first_capabilities,
    longest_cost,
    request_body,
    server_name,
)
from archive_tools.llm.ledger import Ledger, Reply
from archive_tools.llm.replies import read_reply, reply_of
from envs.errors import InputError

LONGEST_WAIT = 120.0  # seconds; a server that asks for more is waited for in several attempts

S = TypeVar("S", bound=BaseModel)
Item = TypeVar("Item")
Result = TypeVar("Result")


@dataclass(frozen=True)
class Answer(Generic[S]):
    """One answer: the validated value, or the problem with it."""

    value: S | None
    problem: str = ""
    content: str = ""
    """The text that arrived, for a problem's record."""
    refused: bool = False
    """The server will not answer this request; asking again is useless."""


class Asker(Protocol):
    """Whatever answers prompts: a server, or the ledger alone."""

    async def ask(self, prompt: str, schema: type[S], sample: str) -> Answer[S]:
        """Answer one prompt; `sample` tells apart several answers to the same prompt."""
        ...


class Stop(InputError):
    """Going on is useless or not allowed; what was paid for is in the ledger."""


class _Refused(Exception):
    """The server answers this request with an error that trying again will not mend."""


class Client:
    """A server, asked through the ledger. Use as an async context manager.

    Args:
        config: see LlmConfig.
        ledger: open; looked up before and written after every request.

    Raises:
        Stop: see the module.
    """

    def __init__(self, config: LlmConfig, ledger: Ledger) -> None:
        self.config, self.ledger = config, ledger
        key = self._key = os.environ.get(KEY_VARIABLE, "")
        if not key and config.base_url.startswith(OPENAI):
            raise InputError(f"{config.base_url} needs a key in the environment: {KEY_VARIABLE}=…")
        self._openai = openai.AsyncOpenAI(
            api_key=key or "none",
            base_url=config.base_url,
            max_retries=0,
            timeout=config.timeout,
            http_client=openai.DefaultAsyncHttpxClient(
                limits=openai.DEFAULT_CONNECTION_LIMITS, timeout=config.timeout
            ),
        )
        self._capabilities: dict[str, Any] | None = ledger.capabilities(server_name(config))
        self._probing = asyncio.Lock()
        self._reserved = 0.0
        self._resume_at = 0.0
        self._refusals = 0
        self._answers = 0
        self._jitter = random.Random(0)
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._openai.close()

    async def ask(self, prompt: str, schema: type[S], sample: str) -> Answer[S]:
        """The answer to `prompt` as a `schema`, from the ledger or else from the server."""
        capabilities = await self._probed()
        body = request_body(self.config, capabilities, prompt, schema)
        key = body_key(body, sample)
        try:
            # One at a time per key: whoever asks the same meanwhile finds it in the ledger.
            async with self._locks.setdefault(key, asyncio.Lock()):
                reply = self.ledger.get(key) or await self._pay(body, key)
        except _Refused as refusal:
            return Answer(None, f"refused by the server: {refusal}", refused=True)
        value, problem = read_reply(reply, schema)
        return Answer(value, problem, reply.content or "")

    async def _pay(self, body: dict[str, Any], key: str) -> Reply:
        """Send a request within the cap and store the reply before anyone sees it."""
        prompt = body["messages"][0]["content"]
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
            reply = reply_of(await self._send(body), prompt, self.config.price)
        finally:
            self._reserved -= worst
        self.ledger.put(key, self.config.model, reply)
        self._answers += 1
        self._refusals = 0
        return reply

    async def _send(self, body: dict[str, Any], attempts: int | None = None) -> dict[str, Any]:
        """One request with the policy of this module; the response has a list `choices`."""
        attempts = attempts or self.config.attempts
        failures, answers = 0, self._answers
        while True:
            await self._pause()
            wait: float | None = None
            try:
                async with asyncio.timeout(self.config.timeout):
                    # As plain JSON: replies are validated here, and building the package's own
                    # types of request and response took half of the time of all requests.
                    response = await self._openai.post(
                        "/chat/completions", cast_to=object, body=body
                    )
                if isinstance(response, dict) and isinstance(response.get("choices"), list):
                    return response
                trouble = "a reply that is no chat completion (is --base-url right?)"
            except openai.APIStatusError as error:
                self._stop_if_useless(error)
                status = error.status_code
                if status < 500 and status not in (408, 409, 425, 429):
                    self._count_refusal(error)
                    raise _Refused(self._say(error)) from None
                trouble, wait = f"status {status}", _retry_after(error)
                if status == 429:
                    if self._answers > answers:  # it answers, only not everybody at once
                        failures, answers = 0, self._answers
                    pause = wait if wait is not None else self._backoff(failures)
                    self._resume_at = max(self._resume_at, time.monotonic() + pause)
            except (TimeoutError, openai.APITimeoutError):
                trouble = f"no reply within {self.config.timeout:g} s"
            except openai.APIConnectionError:
                trouble = "connection lost or refused"
            except (openai.APIError, ValueError):
                trouble = "an unreadable reply"
            failures += 1
            if failures >= attempts:
                break
            await asyncio.sleep(wait if wait is not None else self._backoff(failures - 1))
        raise Stop(
            f"{self.config.base_url}: {trouble}, {attempts} times in a row; nothing paid is lost, "
            "the same command goes on from here"
        )

    async def _pause(self) -> None:
        """Wait while the server asked everybody to; then not all go on in the same moment."""
        while (left := self._resume_at - time.monotonic()) > 0:
            await asyncio.sleep(left + min(0.25 * left, 2.0) * self._jitter.random())

    def _backoff(self, attempt: int) -> float:
        return min(0.5 * 2**attempt, 30.0) * (0.75 + 0.5 * self._jitter.random())

    def _stop_if_useless(self, error: openai.APIStatusError) -> None:
        code, where = str(error.code or error.type or ""), self.config.base_url
        if error.status_code == 402 or "quota" in code or "billing" in code:
            raise Stop(f"{where}: no credit left ({code or error.status_code})") from None
        if error.status_code in (401, 403):
            raise Stop(
                f"{where}: the key was not accepted ({error.status_code}); "
                f"check the environment variable {KEY_VARIABLE}"
            ) from None
        if error.status_code == 404 or code == "model_not_found":
            raise Stop(
                f"{where}: model {self.config.model!r} or the address is unknown "
                f"({error.status_code}); check --model and --base-url"
            ) from None

    def _count_refusal(self, error: openai.APIStatusError) -> None:
        self._refusals += 1
        if self._refusals >= 10 and not self._answers and self._capabilities is not None:
            raise Stop(
                f"{self.config.base_url}: refuses every request ({self._say(error)})"
            ) from None

    def _say(self, error: openai.APIStatusError) -> str:
        """What the server says of an error; a server that repeats the key must not spread it."""
        body = error.body if isinstance(error.body, dict) else {}
        said = f"{error.status_code} {body.get('message') or body.get('detail') or error.message}"
        return (said.replace(self._key, "…") if self._key else said)[:300]

    async def _probed(self) -> dict[str, Any]:
        """What the server understands, found out once with small requests and then remembered."""
        async with self._probing:
            if self._capabilities is None:
                self._capabilities = await self._probe()
                self.ledger.remember(server_name(self.config), self._capabilities)
        return self._capabilities

    async def _probe(self) -> dict[str, Any]:
        capabilities = first_capabilities(self.config)
        prompt = 'Answer with the JSON object {"text": "ready"} and nothing else.'
        for _ in range(8):
            body = request_body(self.config, capabilities, prompt, _Probe)
            last = capabilities["mode"] == "text"
            try:
                response = await self._send(body, None if last else 2)
                reply = reply_of(response, prompt, self.config.price)
                self.ledger.put(body_key(body, "probe"), self.config.model, reply)
                return capabilities
            except _Refused as refusal:
                said = str(refusal).lower()
                other = {"max_tokens", "max_completion_tokens"} - {capabilities["limit"]}
                if "max_tokens" in said or "max_completion_tokens" in said:
                    capabilities = {**capabilities, "limit": other.pop()}
                elif "temperature" in said and capabilities["temperature"]:
                    capabilities = {**capabilities, "temperature": False}
                elif last:
                    raise Stop(
                        f"{self.config.base_url}: refuses a plain request ({said})"
                    ) from None
                else:
                    capabilities = _simpler(capabilities)
            except Stop as stop:
                # Some servers answer what they do not know with status 500.
                if last or "status 5" not in str(stop):
                    raise
                capabilities = _simpler(capabilities)
        raise Stop(f"{self.config.base_url}: no form of request was accepted")


class _Probe(BaseModel):
    text: str


def _simpler(capabilities: dict[str, Any]) -> dict[str, Any]:
    return {**capabilities, "mode": {"schema": "json", "json": "text"}[capabilities["mode"]]}


def _retry_after(error: openai.APIStatusError) -> float | None:
    """Seconds that the server asks to wait: a number or a date."""
    value = error.response.headers.get("retry-after")
    if value is None:
        return None
    with contextlib.suppress(ValueError):
        return min(max(float(value), 0.0), LONGEST_WAIT)
    with contextlib.suppress(ValueError, TypeError):
        return min(max(parsedate_to_datetime(value).timestamp() - time.time(), 0.0), LONGEST_WAIT)
    return None


def ask_all(
    items: Sequence[Item],
    work: Callable[[Asker, Item], Awaitable[Result]],
    config: LlmConfig,
    ledger: Ledger,
    *,
    desc: str,
) -> list[Result]:
    """Do `work` for all items, `config.concurrency` at a time.

    Returns:
        the results in the order of `items`, whatever order they were finished in.

    Raises:
        Stop: after requests on their way were finished and stored.
    """
    return asyncio.run(_ask_all(items, work, config, ledger, desc))


async def _ask_all(
    items: Sequence[Item],
    work: Callable[[Asker, Item], Awaitable[Result]],
    config: LlmConfig,
    ledger: Ledger,
    desc: str,
) -> list[Result]:
    results: dict[int, Result] = {}
    queue = iter(enumerate(items))
    failures: list[Exception] = []
    async with Client(config, ledger) as client:
        with tqdm(total=len(items), desc=desc, unit=" texts") as bar:

            async def worker() -> None:
                for index, item in queue:
                    try:
                        results[index] = await work(client, item)
                    except Exception as error:
                        failures.append(error)
                    if failures:
                        return
                    bar.update()
                    bar.set_postfix_str(f"${ledger.spent:.4f}", refresh=False)

            await asyncio.gather(*(worker() for _ in range(min(config.concurrency, len(items)))))
    if failures:
        raise failures[0]
    return [results[index] for index in range(len(items))]
