"""Requests as files for OpenAI's Batch API, and its results into the ledger.

A request's custom_id is its key in the ledger, so results may come in any order, in any number of
files. Whatever is missing or failed is simply not in the ledger: the next export holds just that,
and the re-asks of texts that failed their checks.
"""

import asyncio
import json
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel

from archive_tools.files.tables import atomic_write
from archive_tools.llm.client import Answer, Asker
from archive_tools.llm.config import (
    LlmConfig,
    body_key,
    first_capabilities,
    request_body,
    server_name,
)
from archive_tools.llm.ledger import Ledger
from archive_tools.llm.replies import read_reply, reply_of
from envs.errors import InputError

LINES_PER_FILE = 50_000
BYTES_PER_FILE = 180_000_000
"""The API takes 50,000 requests and 200 MB a file."""

S = TypeVar("S", bound=BaseModel)
Item = TypeVar("Item")
Result = TypeVar("Result")


class _Missing(Exception):
    """The ledger does not hold this reply yet."""


class _LedgerOnly:
    """Answers from the ledger and notes every request that it cannot answer."""

    def __init__(self, config: LlmConfig, ledger: Ledger) -> None:
        self.config, self.ledger = config, ledger
        self.capabilities = ledger.capabilities(server_name(config))
        if self.capabilities is None:
            self.capabilities = first_capabilities(config)
            ledger.remember(server_name(config), self.capabilities)
        self.requests: dict[str, dict[str, Any]] = {}

    async def ask(self, prompt: str, schema: type[S], sample: str) -> Answer[S]:
        assert self.capabilities is not None
        body = request_body(self.config, self.capabilities, prompt, schema)
        key = body_key(body, sample)
        reply = self.ledger.get(key)
        if reply is None:
            self.requests[key] = body
            raise _Missing
        value, problem = read_reply(reply, schema)
        return Answer(value, problem, reply.content or "")


def missing(
    items: Sequence[Item],
    work: Callable[[Asker, Item], Awaitable[Result]],
    config: LlmConfig,
    ledger: Ledger,
) -> dict[str, dict[str, Any]]:
    """Requests that `work` needs next and the ledger lacks: custom_id → body."""
    asker = _LedgerOnly(config, ledger)

    async def all_items() -> None:
        for item in items:
            try:
                await work(asker, item)
            except _Missing:
                continue

    asyncio.run(all_items())
    return asker.requests


def export(folder: Path, requests: dict[str, dict[str, Any]]) -> list[Path]:
    """Write requests as `batch-000.jsonl`, … in `folder`; earlier such files are removed."""
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.glob("batch-*.jsonl"):
        old.unlink()
    chunks: list[list[str]] = [[]]
    size = 0
    for key, body in requests.items():
        line = json.dumps(
            {"custom_id": key, "method": "POST", "url": "/v1/chat/completions", "body": body}
        )
        if chunks[-1] and (len(chunks[-1]) >= LINES_PER_FILE or size + len(line) > BYTES_PER_FILE):
            chunks.append([])
            size = 0
        chunks[-1].append(line)
        size += len(line) + 1
    files = []
    for number, lines in enumerate(chunk for chunk in chunks if chunk):
        path = folder / f"batch-{number:03d}.jsonl"
        atomic_write(path, "\n".join(lines) + "\n")
        files.append(path)
    return files


def take_in(files: Sequence[Path], config: LlmConfig, ledger: Ledger) -> int:
    """Store the results of a batch in the ledger; failed lines are left out.

    Returns:
        how many replies were stored.

    Raises:
        InputError: a file is missing or is no result file; names the line.
    """
    stored = 0
    for path in files:
        try:
            lines = Path(path).read_text(encoding="utf-8").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise InputError(f"{path}: cannot be read ({error})") from None
        for number, line in enumerate(lines, 1):
            if not line.strip():
                continue
            try:
                entry = json.loads(line)
                key = entry["custom_id"]
                response = entry.get("response") or {}
                if entry.get("error") or response.get("status_code") != 200:
                    continue
                reply = reply_of(response["body"], None, config.price)
            except (json.JSONDecodeError, KeyError, TypeError, AttributeError):
                raise InputError(
                    f"{path}: line {number} is no result of the Batch API; "
                    "expected custom_id and response"
                ) from None
            ledger.put(key, config.model, reply)
            stored += 1
    return stored
