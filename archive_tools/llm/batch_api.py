"""Requests as files for OpenAI's Batch API, and its results into the ledger.

A request's custom_id is its key in the ledger, so results may come in any order, in any number of
files. Whatever is missing or failed is simply not in the ledger: the next export holds just that,
and the re-asks of texts that failed their checks. Other tools than OpenAI's write results too, each
a little otherwise; what is no reply to a request of the run is counted and said, not stored.
"""

import asyncio
import bz2
import gzip
import json
import lzma
import re
import sys
import zlib
from collections.abc import Awaitable, Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel

from archive_tools.files import atomic_write
from archive_tools.llm.client import Answer, Asker, FirstReplies
from archive_tools.llm.config import (
    LlmConfig,
    first_capabilities,
    keys_of,
    request_body,
    server_name,
)
from archive_tools.llm.faults import said_in
from archive_tools.llm.forms import loads
from archive_tools.llm.ledger import Ledger
from archive_tools.llm.replies import FINAL, read_reply, reply_of
from envs.errors import InputError, require_file

LINES_PER_FILE = 50_000
BYTES_PER_FILE = 180_000_000
"""The API takes 50,000 requests and 200 MB a file."""

_PACKED = {b"\x1f\x8b": gzip.decompress, b"BZh": bz2.decompress, b"\xfd7zXZ": lzma.decompress}
_VALUE = re.compile(r"[^\s,]")

S = TypeVar("S", bound=BaseModel)
Item = TypeVar("Item")
Result = TypeVar("Result")


class _Missing(Exception):
    """The ledger does not hold this reply yet."""


class _LedgerOnly:
    """Answers from the ledger and notes every request that it cannot answer, and every key."""

    def __init__(self, config: LlmConfig, ledger: Ledger) -> None:
        self.config, self.ledger = config, ledger
        self.capabilities = {
            **first_capabilities(config), **(ledger.capabilities(server_name(config)) or {})
        }  # fmt: skip
        self.requests: dict[str, dict[str, Any]] = {}
        self.keys: set[str] = set()
        self._first = FirstReplies("replies")

    async def ask(
        self, prompt: str, schema: type[S], sample: str, *, again: bool = False
    ) -> Answer[S]:
        keys = list(keys_of(self.config, self.capabilities, prompt, schema, sample))
        self.keys.update(keys)
        reply = next((r for r in map(self.ledger.get, keys) if r is not None), None)
        if reply is None:
            self.requests[keys[0]] = request_body(self.config, self.capabilities, prompt, schema)
            raise _Missing
        value, problem = read_reply(reply, schema)
        self._first.note(problem, again)
        return Answer(value, problem, reply.content or "", problem.startswith(FINAL))


def missing(
    items: Sequence[Item],
    work: Callable[[Asker, Item], Awaitable[Result]],
    config: LlmConfig,
    ledger: Ledger,
    results: Sequence[Path] = (),
) -> dict[str, dict[str, Any]]:
    """Requests that `work` needs next and the ledger lacks: custom_id → body.

    Args:
        items, work, config: as of `ask_all`.
        ledger: open; gets the replies of `results` first.
        results: files with results of batches.

    Raises:
        InputError: a file cannot be used, or none of the replies in `results` answers a request
            that `work` makes.
        Stop: the first replies are all unusable for one cause.
    """
    stored = {path: take_in(path, config, ledger) for path in map(Path, results)}
    asker = _LedgerOnly(config, ledger)

    async def all_items() -> None:
        for item in items:
            try:
                await work(asker, item)
            except _Missing:
                continue

    try:
        asyncio.run(all_items())
    finally:
        _say_what_fits(stored, asker.keys)
    return asker.requests


def _say_what_fits(stored: dict[Path, set[str]], keys: set[str]) -> None:
    """Raises InputError where replies came and none answers a request with one of the keys."""
    for path, found in stored.items():
        fit = len(found & keys)
        print(
            f"{path}: {fit:,} of {len(found):,} replies answer a request of this run",
            file=sys.stderr,
        )
    if any(stored.values()) and not any(found & keys for found in stored.values()):
        raise InputError(
            f"{', '.join(map(str, stored))}: none of the {sum(map(len, stored.values())):,} "
            "replies answers a request of this run: they are of another run, or of other options "
            "(--model, --seed, --temperature, --max-tokens, --max-words …)"
        )


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


def take_in(path: Path, config: LlmConfig, ledger: Ledger) -> set[str]:
    """Store the replies of a result file in the ledger; failed lines are left out and counted.

    Returns:
        the custom_ids of all replies in it.

    Raises:
        InputError: the file is missing or is no result file; names the first line that is none.
    """
    found, failed, wrong = set[str](), list[str](), list[int]()
    for number, entry in _entries(_text_of(path)):
        key = entry.get("custom_id", entry.get("key")) if isinstance(entry, dict) else None
        key = str(key).strip() if isinstance(key, (str, int)) else None
        if key is not None and "messages" in _dict(entry.get("body")):
            raise InputError(
                f"{path}: holds requests, as --batch-export writes them; give the file of results"
            )
        if key is not None and (body := _completion(entry)):
            found.add(key)
            if re.fullmatch("[0-9a-f]{64}", key):
                reply = reply_of(json.dumps(body), None, config.price)
                ledger.put(key, config.model, reply)
        elif key is not None:
            failed.append(_reason(entry))
        else:
            wrong.append(number)
    if not (found or failed or wrong):
        raise InputError(f"{path}: holds no results")
    if wrong and not found:
        raise InputError(
            f"{path}: line {wrong[0]} is no result of the Batch API; "
            "expected custom_id and response"
        )
    if wrong:
        print(f"{path}: {len(wrong):,} lines are no results, from line {wrong[0]}", file=sys.stderr)
    if failed:
        print(f"{path}: {len(failed):,} requests failed, the first: {failed[0]}", file=sys.stderr)
    return found


def _text_of(path: Path) -> str:
    require_file(path)
    try:
        data = path.read_bytes()
        for magic, unpacked in _PACKED.items():
            data = unpacked(data) if data.startswith(magic) else data
        return data.decode("utf-16" if data[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig")
    except (OSError, EOFError, ValueError, zlib.error, lzma.LZMAError) as error:
        raise InputError(f"{path}: cannot be read ({error}); unpack it, or copy it anew") from None


def _entries(text: str) -> Iterator[tuple[int, Any]]:
    """The values of a file with their lines: one a line, over several, or in a list."""
    decoder = json.JSONDecoder(strict=False)
    position, line, counted = 0, 1, 0
    while start := _VALUE.search(text, position):
        line, counted = line + text.count("\n", counted, start.start()), start.start()
        try:
            value, position = decoder.raw_decode(text, counted)
        except (ValueError, RecursionError):
            value, position = None, (text.find("\n", counted) + 1 or len(text))
        if isinstance(value, dict) and isinstance(inner := value.get("data"), list):
            value = inner
        yield from ((line, entry) for entry in (value if isinstance(value, list) else [value]))


def _reason(entry: dict[str, Any]) -> str:
    """Why a request failed, wherever its result says so."""
    response, result = _dict(entry.get("response")), _dict(entry.get("result"))
    places = [entry, response, response.get("body"), result]
    codes, words = said_in(json.dumps(places))
    return words or codes or "no reason given"


def _completion(entry: dict[str, Any]) -> dict[str, Any] | None:
    """The completion in a result, wherever it lies; None for a failed request."""
    response = entry.get("response")
    response = loads(response) if isinstance(response, str) else response
    status = str(_dict(response).get("status_code") or 200)
    result = _dict(entry.get("result")).get("message")
    bodies = (_dict(response).get("body"), response, entry.get("body"), result)
    for body in bodies if status == "200" else ():
        body = loads(body) if isinstance(body, str) else body
        if isinstance(body, dict) and {"choices", "candidates", "content", "output"} & set(body):
            return body
    return None


def _dict(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}
