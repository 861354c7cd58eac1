"""From what a language model writes to a validated value; and how many tokens a text may have."""

import hashlib
import json
import os
import re
import tempfile
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from archive_tools.llm.ledger import Reply

S = TypeVar("S", bound=BaseModel)
VOCABULARY = "o200k_base"
VOCABULARY_URL = f"https://openaipublic.blob.core.windows.net/encodings/{VOCABULARY}.tiktoken"
CHARACTERS_PER_TOKEN = 4.0
"""Of English text, roughly; used where tiktoken's vocabulary is not at hand."""


@dataclass(frozen=True)
class Price:
    """Dollars for a million tokens."""

    tokens_in: float
    tokens_out: float

    def of(self, tokens_in: float, tokens_out: float) -> float:
        """Dollars that so many prompt and reply tokens cost."""
        return (tokens_in * self.tokens_in + tokens_out * self.tokens_out) / 1e6


def reply_of(response: dict[str, Any], prompt: str | None, price: Price) -> Reply:
    """What counts of a chat completion, whatever else a server puts into it.

    Args:
        response: the JSON of a chat completion; any field may be missing, null or of another type.
        prompt: to estimate its tokens where the server does not count them; None if not at hand.
        price: what tokens cost.
    """
    choices = response.get("choices")
    choice = _dict(choices[0]) if isinstance(choices, list) and choices else {}
    content, finish = _dict(choice.get("message")).get("content"), choice.get("finish_reason")
    content = content if isinstance(content, str) else None
    usage = _dict(response.get("usage"))
    counted = [usage.get("prompt_tokens"), usage.get("completion_tokens")]
    tokens = [
        n if isinstance(n, int) and n > 0 else count_tokens(text or "")
        for n, text in zip(counted, (prompt, content), strict=True)
    ]
    return Reply(
        content=content,
        finish_reason=finish if isinstance(finish, str) else None,
        prompt_tokens=tokens[0],
        completion_tokens=tokens[1],
        usd=price.of(*tokens),
    )


def _dict(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def read_reply(reply: Reply, schema: type[S]) -> tuple[S | None, str]:
    """The value in a reply, or None and what is wrong with the reply.

    Reasoning in <think> tags, code fences and prose around the JSON object are left out. A schema
    whose only field is `text` also takes a reply without any JSON as that text.
    """
    if reply.finish_reason == "length":
        return None, "the reply was cut off; be brief"
    if reply.finish_reason == "content_filter":
        return None, "the reply was held back by the server's filter"
    if reply.content is None or not reply.content.strip():
        return None, "the reply was empty"
    content = re.sub(r"(?s)^.*</think>|<think>.*$", "", reply.content).strip()
    if not content:
        return None, "the reply was nothing but reasoning"
    problem = ""
    for found in _objects(content):
        try:
            return schema.model_validate(found), ""
        except ValidationError as error:
            first = error.errors()[0]
            field = ".".join(str(part) for part in first["loc"]) or "the reply"
            problem = problem or f"not the JSON asked for: {field}: {first['msg']}"
    if not problem and "{" not in content and list(schema.model_fields) == ["text"]:
        plain = re.sub(r"^```\w*|```$", "", content).strip().strip('"“”').strip()
        return schema.model_validate({"text": plain}), ""
    return None, problem or "the reply holds no JSON object"


def _objects(content: str) -> list[dict[str, Any]]:
    """All JSON objects in a text, the last one first: models think aloud and then answer."""
    found: list[dict[str, Any]] = []
    decoder = json.JSONDecoder(strict=False)
    position = content.find("{")
    while position >= 0:
        end = position + 1
        try:
            value, end = decoder.raw_decode(content, position)
            if isinstance(value, dict):
                found.append(value)
        except (json.JSONDecodeError, RecursionError):
            end = position + 1
        position = content.find("{", end)
    return found[::-1]


@cache
def _encoding() -> Any:
    """tiktoken's encoding if its file lies in the cache; it is never fetched here."""
    folder = os.environ.get("TIKTOKEN_CACHE_DIR") or os.environ.get("DATA_GYM_CACHE_DIR")
    folder = folder or str(Path(tempfile.gettempdir()) / "data-gym-cache")
    if not (Path(folder) / hashlib.sha1(VOCABULARY_URL.encode()).hexdigest()).exists():
        return None
    import tiktoken

    return tiktoken.get_encoding(VOCABULARY)


def counts_exactly() -> bool:
    """Whether `count_tokens` counts with tiktoken, or else estimates."""
    return _encoding() is not None


def count_tokens(text: str) -> int:
    """Tokens of a text: tiktoken's count where its vocabulary is at hand, else characters / 4."""
    encoding = _encoding()
    if encoding is None:
        return round(len(text) / CHARACTERS_PER_TOKEN + 0.5)
    return len(encoding.encode(text, disallowed_special=()))
