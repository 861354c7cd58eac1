"""What a server says when it does not answer, and what that means for the run.

Status codes alone do not tell: no credit comes as 402, 403, 429 or 200, a refused parameter as
400, 404 or 422, a bad prompt as 400 or 403. So the server's own words are read, and shown.
"""

import contextlib
import json
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import Any, Literal

from archive_tools.llm.forms import form_of, loads, whole

Kind = Literal["stop", "denied", "refused", "full", "loading", "slow", "passing"]


@dataclass(frozen=True)
class Fault:
    """A request without an answer."""

    kind: Kind
    """stop: going on is useless. denied: so it is before the first answer, afterwards it is that
    request's matter. refused: that request will not be answered. full, loading, slow, passing:
    trying again may help; the server is alive, or may be soon, but for `passing`."""
    words: str
    """For people: what happened, in the server's own words where it has any."""
    wait: float | None = None
    """Seconds that the server asks to wait."""
    without: dict[str, Any] = field(default_factory=dict)
    """What is to be changed in the capabilities because the server refused a parameter by name."""
    about: Literal["", "key", "model", "--max-tokens", "--temperature"] = ""
    """What is to be looked at."""
    raw: str = ""
    """The reply, where it came as an answer and could not be read."""


NO_CREDIT = (
    r"insufficient.{0,20}(quota|credit|balance|fund)|billing_|credit balance|arrearage"
    r"|(out of|no|enough) credits?\b|payment required|account.{0,40}(overdue|deactivated)"
    r"|key limit|(budget|spend\w*).{0,20}(limit|exceeded)"
)
BAD_KEY = r"api.?key|authenticat|unauthori[sz]ed|credential|(access|auth\w*|bearer|invalid).token"
NO_MODEL = (
    r"model_not_found|(no such|invalid|unknown|specified) model|not a (valid|chat) model"
    r"|model.{0,80}(not found|not exist|no longer|not have access)|not have access to.{0,20}model"
    r"|provider not provided|only supported in v1/|no endpoints found for"
)
MODERATED = r"flagged|moderation|content.?(policy|filter)|safety|harm"
LOADING = r"load|starting|start.?up|warm|initiali[sz]|not ready|cold|come back|maintenance"
NOT_LOADING = r"fail|error|could not|cannot|can't|unable|out of memory"
FULL = (
    r"overload|rate.?limit|too many requests|busy|per.minute|pending requests"
    r"|(at|over|no).capacity|capacity.(limit|exceeded)"
)
TOO_LARGE = r"request too large|must be reduced|reduce your message"
NO_TLS = r"http request (was sent )?to (an )?https|requires tls"
GATEWAY = (502, 503, 521, 522, 523)
"""What gateways say while there is no server behind them, or not yet one."""
REFUSED = (
    r"unsupported|support|unrecogni[sz]ed|unknown|unexpected|extra (input|field)|not permitted"
    r"|not allowed|not a valid|forbidden|unavailable|not available|deprecated|instead|invalid"
    r"|only the default|may (not|only)|can(not| only)|required|missing|not implemented"
)
TIME = r"(\d+(?:\.\d+)?) ?(h|ms|m|s)[a-z]*,? ?(?:and )?"
SECONDS = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 0.001}
FIELD_TO_WAIT = (
    r'(?i)"(?:retryDelay|retry_?after|estimated_time|x-ratelimit-reset)"\s*:\s*"?(\d+(?:\.\d+)?)'
)
OUT_OF_RANGE = (
    r"too (large|many|long|big|small|low|high)|context|at (most|least)|(less|greater|more) than"
    r"|exceed|maximum|minimum|reduce|range|between|[<>]"
)
LIMIT = r"max_?(completion_?)?tokens"
FORMAT = r"response.?format|json.?(schema|object|mode)|structured.?output|guided|grammar|\bschema"


def said_in(body: str) -> tuple[str, str]:
    """(codes, message) of an error's body: JSON of any form, a web page, or text."""
    data = loads(body)
    if not isinstance(data, (dict, list)):
        title = re.search(r"(?is)<(title|h1)[^>]*>(.*?)</\1>", body)
        plain = title[2] if title else re.sub(r"(?s)<[^>]*>", " ", body[:2000])
        return "", _shown(plain)
    codes: list[str] = []
    words: list[str] = []
    _gather(data, codes, words)
    return " ".join(codes).lower(), _shown("; ".join(dict.fromkeys(words)))


def _shown(text: str) -> str:
    """In one line, short, and without characters that could steer a terminal."""
    text = " ".join(whole(text).split())
    return "".join(c for c in text if c.isprintable())[:300]


def _gather(data: Any, codes: list[str], words: list[str], depth: int = 0) -> None:
    if isinstance(data, list):
        for item in data[:5]:
            _gather(item, codes, words, depth + 1)
    elif isinstance(data, str):
        words.append(data)
    elif isinstance(data, dict) and depth < 6:
        place = data.get("loc")  # FastAPI names the field apart from the message
        at = ".".join(map(str, place)) + ": " if isinstance(place, list) else ""
        for name in ("message", "msg", "error_msg", "status_msg", "error_description", "title"):
            if isinstance(data.get(name), str):
                words.append(at + data[name])
        for name in ("code", "type", "status", "status_code", "param", "reason", "statusCode"):
            if isinstance(data.get(name), (str, int)):
                codes.append(str(data[name]))
        for name in ("error", "errors", "detail", "message", "base_resp", "metadata", "raw"):
            if name != "message" or not isinstance(data.get(name), str):
                _gather(data.get(name), codes, words, depth + 1)


def fault_of(status: int, body: str, headers: Mapping[str, str] | None = None) -> Fault:
    """What an error means, by its status and the server's words."""
    codes, message = said_in(body)
    said, words = f"{codes} {message}".lower(), f"{status} {message}".strip()
    # Of limits that were not met, headers tell when they end, too.
    told = {k: v for k, v in (headers or {}).items() if status == 429 or "retry" in k.lower()}
    wait = _asked_to_wait(told, message, body)
    if status == 402 or (
        status in (400, 403, 429)
        and (re.search(NO_CREDIT, said) or re.search("quota|billing", codes))
        and "resource_exhausted" not in codes  # Google's per-minute limits speak of quotas, too
    ):
        return Fault("stop", f"no credit left ({words})")
    if status == 401 or re.search({400: "api.?key", 403: BAD_KEY}.get(status, "$^"), said):
        return Fault("stop", f"the key was not accepted ({words})", about="key")
    if status in (400, 413, 429) and re.search(TOO_LARGE, said):
        return Fault("refused", words)
    if status == 429 or ((status in (403, 498) or status >= 500) and re.search(FULL, said)):
        return Fault("full", f"status {words}", wait)
    if status in (504, 524):
        return Fault("slow", f"status {words}", wait)
    if status in (408, 409, 424, 425, 498, 499) or status >= 500:
        loading = re.search(LOADING, message.lower()) or status in GATEWAY
        loading = wait is not None or (loading and not re.search(NOT_LOADING, message.lower()))
        return Fault("loading" if loading else "passing", f"status {words}", wait)
    if status == 400 and re.search(NO_TLS, said):
        return Fault("stop", f"{words}; write https:// in --base-url")
    if status in (400, 404, 415, 422) and (fault := _of_a_parameter(said, words)):
        return fault
    if status in (400, 403, 404) and re.search(NO_MODEL, said):
        return Fault("stop", words, about="model")
    if status in (400, 413, 415, 422) or (status == 403 and re.search(MODERATED, said)):
        return Fault("refused", words)
    return Fault("denied", words, about="model" if status in (404, 405, 410) else "")


def _of_a_parameter(said: str, words: str) -> Fault | None:
    """A refusal of one parameter, by its name."""
    refused, range_ = re.search(REFUSED, said), re.search(OUT_OF_RANGE, said)
    if re.search(LIMIT + "|context.?length", said):
        # "'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead."
        if refused and not range_ and re.search(LIMIT, said):
            return Fault("refused", words, without={"limit": True})
        if range_ and not re.search(f"{LIMIT}|completion|requested", said):
            return Fault("refused", f"{words}; the prompt alone is too long for this server")
        said_so = f"{words}; give another --max-tokens"
        return Fault("refused", said_so, about="--max-tokens") if range_ else None
    if "temperature" in said and refused and ("default" in said or not range_):
        return Fault("refused", words, without={"temperature": True})
    if "temperature" in said and range_:
        return Fault("refused", f"{words}; give another --temperature", about="--temperature")
    if re.search(FORMAT, said):
        return Fault("refused", words, without={"mode": True})
    return None


def _asked_to_wait(headers: Mapping[str, str], message: str, body: str) -> float | None:
    """Seconds that the server asks to wait: a number, a date, a field, or in its words."""
    for name, unit in (("retry-after-ms", "ms"), ("retry-after", "")):
        if (asked := _seconds(headers.get(name, "") + unit)) is not None:
            return asked
    resets = [
        _seconds(value)
        for name, value in headers.items()
        if re.search("(?i)ratelimit.*reset", name)
        and headers.get(name.replace("reset", "remaining"), "0") == "0"
    ]
    if told := re.search(FIELD_TO_WAIT, body):
        resets.append(_seconds(told[1]))
    told = re.search(
        f"(?i)(?:try(?: again)?|retry|wait)(?: in| after| for)? ((?:{TIME})+)", message
    )
    resets.append(_seconds(told[1]) if told else None)
    return max((seconds for seconds in resets if seconds is not None), default=None)


def _seconds(said: str) -> float | None:
    """A time to wait: 7, 1m2.5s, a date, or a moment as seconds or milliseconds since 1970."""
    with contextlib.suppress(ValueError):
        value = float(said)
        if value > 1e9:
            value = (value / 1000 if value > 1e11 else value) - time.time()
        return max(value, 0.0) if value == value else None
    for read in (parsedate_to_datetime, datetime.fromisoformat):
        with contextlib.suppress(ValueError, TypeError, OverflowError):
            return max(read(said.strip()).timestamp() - time.time(), 0.0)
    if not re.fullmatch(f"(?i)(?:{TIME})+", said.strip()):
        return None
    parts = re.findall(f"(?i){TIME}", said)
    return sum(float(number) * SECONDS[unit.lower()] for number, unit in parts)


def fault_in(raw: str) -> Fault | None:
    """What is wrong with a reply of status 200; None where it may hold an answer."""
    if not raw.strip():
        return Fault("passing", "an empty reply")
    data = loads(raw)
    if data is None:
        if re.match(r"\s*<", raw):
            return Fault(
                "denied",
                f"a web page ({said_in(raw)[1][:80]!r}) instead of a reply: is --base-url right, "
                "or does a login stand in between?",
                raw=raw,
            )
        return Fault("passing", f"a reply that is no whole JSON ({_shown(raw)[:80]!r})", raw=raw)
    if not isinstance(data, (dict, list)) or not data:
        return Fault(
            "passing", "a reply that is no chat completion (is --base-url right?)", raw=raw
        )
    form = form_of(data)
    if form.text or form.filed or form.thoughts or form.refusal:
        return None
    data = data[0] if isinstance(data, list) else data  # Google tells errors so
    if not isinstance(data, dict):
        return None
    choices = data.get("choices")
    choice = choices[0] if isinstance(choices, list) and choices else None
    error = data.get("error") or (isinstance(choice, dict) and choice.get("error"))
    if error or form.finish == "error":
        return _told_with_200({"error": error or "the server broke off"})
    # An empty list of choices is an empty reply; a message without choices is an error's.
    return _told_with_200(data) if choices is None and said_in(raw)[1] else None


def _told_with_200(told: dict[str, Any]) -> Fault:
    """An error in the body of a reply with status 200, as gateways tell those of others."""
    body = json.dumps(told)
    codes, message = said_in(body)
    said = f"{codes} {message}".lower()
    status = next((int(c) for c in codes.split() if re.fullmatch("[45][0-9][0-9]", c)), 0)
    if not status:
        by_words = (
            (NO_CREDIT + "|quota", 402), (BAD_KEY, 401),
            ("rate.?limit|too many requests|limit (reached|exceeded)", 429),
            (f"{LOADING}|overload|unavailable|time.?out|busy|capacity|again|internal|upstream"
             "|provider|broke off", 503),
        )  # fmt: skip
        status = next((number for words, number in by_words if re.search(words, said)), 400)
    return fault_of(status, body)
