"""How a language model is reached, and the requests that are sent to it."""

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import urlsplit

from pydantic import BaseModel

from archive_tools.llm.ledger import reply_key
from archive_tools.llm.replies import Price, count_tokens
from archive_tools.run import StageConfig, bounds
from envs.errors import InputError

OPENAI = "https://api.openai.com/v1"
KEY_VARIABLE = "OPENAI_API_KEY"


@dataclass
class LlmConfig(StageConfig):
    """Options of stages that ask a language model. The key is read from OPENAI_API_KEY only."""

    model: str = ""
    """Model to ask; none: no language model is used. See docs/llm.md for servers."""
    base_url: str = OPENAI
    """Address of an OpenAI-compatible server; it mostly ends in /v1."""
    temperature: bounds.NonNegative = 1.0
    """Sampling temperature."""
    max_tokens: bounds.Count = 600
    """Longest reply, in tokens."""
    concurrency: bounds.Count = 16
    """Requests on their way at once."""
    timeout: bounds.Positive = 120.0
    """Seconds until a request counts as lost."""
    attempts: bounds.Count = 6
    """How often one request is sent before giving up."""
    usd_per_million_in: bounds.NonNegative = 0.0
    """Price of a million prompt tokens, for the estimate, the live cost and --max-usd."""
    usd_per_million_out: bounds.NonNegative = 0.0
    """Price of a million reply tokens."""
    max_usd: bounds.NonNegative = 0.0
    """Stop before the ledger's replies have cost more than this; 0: no cap."""
    ledger: Path | None = None
    """SQLite file in which every reply is kept; none: RUN/ledger.sqlite."""
    dry_run: bool = False
    """Print three rendered prompts and the estimated cost; ask nothing, write nothing."""

    not_fingerprint: ClassVar[set[str]] = {
        *("base_url", "concurrency", "timeout", "attempts", "usd_per_million_in"),
        *("usd_per_million_out", "max_usd", "ledger", "dry_run"),
    }

    @property
    def price(self) -> Price:
        """What tokens cost."""
        return Price(self.usd_per_million_in, self.usd_per_million_out)

    def ledger_path(self) -> Path:
        """Where replies are kept: beside the stages, so that no --redo pays twice."""
        return self.ledger if self.ledger is not None else Path(self.run) / "ledger.sqlite"

    def check(self) -> None:
        """Raise InputError where an option is out of its bounds, or options do not go together."""
        super().check()
        if self.max_usd and not (self.usd_per_million_in or self.usd_per_million_out):
            raise InputError(
                "--max-usd needs prices: give --usd-per-million-in and --usd-per-million-out"
            )
        address = urlsplit(self.base_url)
        if address.scheme not in ("http", "https") or not address.netloc:
            raise InputError(f"--base-url {self.base_url}: expected http://… or https://…")
        if address.username or address.password or address.query:
            raise InputError(
                "--base-url holds a user name, password or query, which would be written to the "
                f"manifest; put the key into the environment variable {KEY_VARIABLE} instead"
            )


@cache
def response_format(mode: str, schema: type[BaseModel]) -> dict[str, Any]:
    """The field `response_format` of a request, for mode schema or json; not to be changed."""
    if mode == "json":
        return {"type": "json_object"}
    described = schema.model_json_schema()
    properties = {
        name: {k: v for k, v in field.items() if k in ("type", "items", "description")}
        for name, field in described["properties"].items()
    }
    plain = {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }
    return {
        "type": "json_schema",
        "json_schema": {
            "name": schema.__name__.strip("_").lower(),
            "strict": True,
            "schema": plain,
        },
    }


def request_body(
    config: LlmConfig, capabilities: dict[str, Any], prompt: str, schema: type[BaseModel]
) -> dict[str, Any]:
    """The body of a chat completion request."""
    body: dict[str, Any] = {
        "model": config.model,
        "messages": [{"role": "user", "content": prompt}],
        capabilities["limit"]: config.max_tokens,
    }
    if capabilities["temperature"]:
        body["temperature"] = config.temperature
    if capabilities["mode"] != "text":
        body["response_format"] = response_format(capabilities["mode"], schema)
    return body


def body_key(body: dict[str, Any], sample: str) -> str:
    """The ledger's key of a request."""
    parameters = {k: v for k, v in body.items() if k not in ("model", "messages")}
    return reply_key(body["model"], parameters, body["messages"][0]["content"], sample)


def longest_cost(config: LlmConfig, prompt: str) -> float:
    """Dollars that a request may cost at most: with the longest reply, and with room for a chat
    template and for a count of the prompt's tokens that is too low."""
    return config.price.of(round(1.3 * count_tokens(prompt)) + 20, config.max_tokens)


def first_capabilities(config: LlmConfig) -> dict[str, Any]:
    """What a server is believed to understand before it was asked."""
    limit = "max_completion_tokens" if config.base_url.startswith(OPENAI) else "max_tokens"
    return {"mode": "schema", "limit": limit, "temperature": True}


def server_name(config: LlmConfig) -> str:
    """Under which the ledger remembers what a server understands."""
    return f"{config.base_url} {config.model}"
