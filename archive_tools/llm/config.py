"""How a language model is reached, and the requests that are sent to it."""

import ipaddress
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import SplitResult, parse_qsl, urlsplit

from pydantic import BaseModel

from archive_tools.llm.ledger import Ledger, reply_key
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
    """Requests on their way at once, at most: begins with one, grows while replies come faster."""
    timeout: bounds.Positive = 300.0
    """Seconds until a request counts as lost; a server needs half of it at most, or it is asked for
    one reply at a time."""
    patience: str = "15m"
    """How long to wait for a server that does not answer, like 90s, 15m or 2h."""
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
        *("base_url", "concurrency", "timeout", "patience", "usd_per_million_in"),
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
        patience_of(self.patience)
        split_address(self.base_url)

    def check_access(self) -> None:
        """Raise InputError for a missing key or an unusable ledger: now, and not after other work.

        Where there is no ledger yet, an empty one is left.
        """
        key_of(self.base_url)
        with Ledger(self.ledger_path()):
            pass


def key_of(address: str) -> str:
    """The key of the environment, without what is around it.

    Raises:
        InputError: there is none for a server that needs one, or it cannot be sent.
    """
    key = os.environ.get(KEY_VARIABLE, "").strip().strip("\ufeff\"'").strip()
    if not key and address.startswith(OPENAI):
        raise InputError(f"{address} needs a key in the environment: {KEY_VARIABLE}=…")
    for position, character in enumerate(key, 1):
        if not "!" <= character <= "~":
            raise InputError(
                f"{KEY_VARIABLE}: character {position} of {len(key)} (U+{ord(character):04X}) "
                "cannot be sent in a header; copy the key anew, without quotes, blanks or line ends"
            )
    return key


def patience_of(text: str) -> float:
    """Seconds of a time like 90s, 15m or 2h.

    Raises:
        InputError: it is no such time.
    """
    found = re.fullmatch(r"(\d{1,9}(?:\.\d+)?)([smh])", text.strip())
    if not found:
        raise InputError(f"--patience {text}: expected a time like 90s, 15m or 2h")
    return float(found[1]) * {"s": 1, "m": 60, "h": 3600}[found[2]]


def split_address(base_url: str) -> SplitResult:
    """The parts of --base-url, without the path of the request itself at its end.

    Raises:
        InputError: it is no address, or holds what would have to be kept secret or be left out.
    """
    try:
        address = urlsplit(base_url.strip())
        host = address.hostname or ""
        wrong = address.scheme not in ("http", "https") or not host or address.port == 0
        wrong = wrong or re.search(r"\s", base_url.strip()) is not None
    except ValueError:  # an unclosed bracket, a port that is no number
        address, host, wrong = urlsplit(""), "", True
    if wrong:
        raise InputError(f"--base-url {base_url}: expected http://… or https://…, with a host")
    if address.username or address.password:
        raise InputError(
            "--base-url holds a user name or password, which would be written to the manifest; "
            f"put the key into the environment variable {KEY_VARIABLE} instead"
        )
    azure = re.search(r"(openai|cognitiveservices|services\.ai)\.azure\.com$", host)
    if address.query or address.fragment or (azure and "/deployments/" in address.path):
        names = ", ".join(name for name, _ in parse_qsl(address.query)) or "a path of its own"
        hint = (
            f"for Azure give https://{host}/openai/v1/ and the deployment's name as --model"
            if azure
            else f"leave it out, and put a key into the environment variable {KEY_VARIABLE}"
        )
        raise InputError(f"--base-url has a query or path that cannot be kept ({names}): {hint}")
    path = re.sub(r"(/chat/completions)?/*$", "", address.path)
    return address._replace(path=path)


def on_this_machine(base_url: str) -> bool:
    """Whether an address is this machine's own, which no proxy can reach for us."""
    host = (urlsplit(base_url).hostname or "").rstrip(".")
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")
    return address.is_loopback or address.is_unspecified


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
    openai = urlsplit(config.base_url).hostname == urlsplit(OPENAI).hostname
    limit = "max_completion_tokens" if openai else "max_tokens"
    return {"mode": "schema", "limit": limit, "temperature": True, "path": ""}


SIMPLER = {"schema": "json", "json": "text"}
LIMITS = {"max_tokens": "max_completion_tokens", "max_completion_tokens": "max_tokens"}


def without(capabilities: dict[str, Any], refused: dict[str, Any]) -> dict[str, Any] | None:
    """The capabilities but for a refused parameter; None where there is nothing left to change."""
    changed = dict(capabilities)
    if "limit" in refused:
        changed["limit"] = LIMITS[capabilities["limit"]]
    if "temperature" in refused:
        changed["temperature"] = False
    if "mode" in refused:
        changed["mode"] = SIMPLER.get(capabilities["mode"], "text")
    return changed if changed != capabilities else None


def keys_of(
    config: LlmConfig,
    capabilities: dict[str, Any],
    prompt: str,
    schema: type[BaseModel],
    sample: str,
) -> Iterator[str]:
    """The ledger's keys of a request in every form in which it may have been paid for, that of
    `capabilities` first: what a server understands may be learnt anew."""
    for limit in (capabilities["limit"], LIMITS[capabilities["limit"]]):
        for mode in dict.fromkeys((capabilities["mode"], "schema", "json", "text")):
            form = {**capabilities, "limit": limit, "mode": mode}
            yield body_key(request_body(config, form, prompt, schema), sample)


def server_name(config: LlmConfig) -> str:
    """Under which the ledger remembers what a server understands."""
    return f"{split_address(config.base_url).geturl()} {config.model}"
