"""In which forms servers reply: where an answer, thoughts, a refusal and token counts may lie.

Chat completions first, in all the dialects that servers speak of them (content as a list of typed
parts, answers filed under reasoning or as a tool call, a stream although none was asked for), then
the forms of other interfaces that a gateway may pass through.
"""

import ast
import contextlib
import json
import re
import warnings
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

THOUGHTS = ("reasoning_content", "reasoning", "thinking", "thought", "reasoning_details")
OTHERS = ("content", "output", "output_text", "response", "generated_text", "text", "result")
"""Where other interfaces put the answer, beside `choices`, `candidates` and `message`."""
WRAPPERS = ("data", "body", "result", "response", "output", "outputs", "completion")
"""In which gateways pass on the reply of another interface."""
LONGEST_REPR = 1_000_000
"""Characters of a Python value in place of JSON that are read."""
CUT_OFF = {"length", "max_tokens", "max_output_tokens", "model_length", "token_limit"}
FILTERED = {"content_filter", "content_filtered", "safety", "blocklist", "prohibited_content",
            "recitation", "refusal", "sensitive", "guardrail_intervened"}  # fmt: skip
COUNTS = (
    ("prompt_tokens", "input_tokens", "promptTokenCount", "prompt_eval_count"),
    ("completion_tokens", "output_tokens", "candidatesTokenCount", "eval_count"),
)


@dataclass(frozen=True)
class Form:
    """What a reply holds, wherever it was filed."""

    text: str = ""
    """The answer's text."""
    filed: tuple[str, ...] = ()
    """JSON of answers that came as arguments of a tool call or as an object."""
    thoughts: str = ""
    refusal: str = ""
    """Why the model declines."""
    finish: str = ""
    """`length` where the reply was cut off, `content_filter` where it was held back."""
    tokens: tuple[int, int] = (0, 0)
    """Of prompt and reply; 0 where the server does not count."""
    known: bool = True
    """It is a form that is understood, whether or not it holds anything."""


def whole(text: str) -> str:
    """A text that every file takes: halves of surrogate pairs joined or left out, no controls."""
    if text.isascii() and text.isprintable():
        return text
    text = text.encode("utf-16", "surrogatepass").decode("utf-16", "ignore")
    return "".join(c for c in text if c >= " " or c in "\n\t\r")


def loads(raw: str) -> Any:
    """The JSON of a reply; None where there is none.

    A stream is put together. Of a reply that ends too early its content is taken, if that is whole.
    """
    text = raw.strip().removeprefix("\ufeff")
    try:
        found = json.loads(text, strict=False)
        return loads(found) if isinstance(found, str) and found[:1] == "{" else found
    except (ValueError, RecursionError):
        pass
    if re.search(r"(?m)^(data:|\{.*\}\s*[\r\n]+\{)", text) and (merged := _stream(text)):
        return merged
    if re.match(r"\[?\{\s*'|b['\"]", text) and len(text) < LONGEST_REPR:
        errors = (ValueError, SyntaxError, RecursionError, MemoryError)
        with contextlib.suppress(*errors), warnings.catch_warnings(action="ignore"):
            found = ast.literal_eval(text)
            return loads(found.decode()) if isinstance(found, bytes) else found
    # A guard against scripts, a comment to keep the line open, or anything behind the reply.
    if text[:1] != "<" and (start := re.search(r'[{\[]\s*["{]', text[:2000])):
        with contextlib.suppress(ValueError, RecursionError):
            return json.JSONDecoder(strict=False).raw_decode(text, start.start())[0]
    # Of several, the last: the answer comes after what was asked, where that is echoed.
    contents = re.findall(r'"content"\s*:\s*("(?:[^"\\]|\\.)+")', text) if text[:1] == "{" else []
    try:
        return {"choices": [{"message": {"content": json.loads(contents[-1], strict=False)}}]}
    except (ValueError, IndexError):
        return None


def _stream(text: str) -> dict[str, Any] | None:
    """One completion from the chunks of a stream, of whatever interface."""
    merged, calls = Form(), list[str]()
    reply: dict[str, Any] = {}
    ended = "[DONE]" in text[-100:]
    for line in re.split(r"[\r\n]+", text):
        try:
            chunk = json.loads(line.strip().removeprefix("data:"), strict=False)
        except (ValueError, RecursionError):
            continue
        if not isinstance(chunk, dict):
            continue
        kind = str(chunk.get("type") or "")
        if kind.startswith("response."):  # OpenAI's other interface: pieces, and then all again
            response = _dict(chunk.get("response"))
            if response.get("output") and kind.endswith((".completed", ".incomplete")):
                return response
            chunk = _piece_of_response(chunk, kind)
        reply |= {k: v for k, v in chunk.items() if v is not None}
        choice = _first(chunk.get("choices"))
        calls += [
            str(_dict(call.get("function")).get("arguments") or "")
            for call in _list(_dict(choice.get("delta")).get("tool_calls"))
        ]
        piece = form_of(chunk)
        ended = ended or bool(piece.finish or chunk.get("done"))
        merged = Form(
            merged.text + piece.text,
            thoughts=merged.thoughts + piece.thoughts,
            refusal=merged.refusal + piece.refusal,
            finish=piece.finish or merged.finish,
        )
    nothing = not (merged.text or merged.thoughts or merged.refusal or calls)
    if not reply or (nothing and (reply.get("error") or not ended)):
        return reply or None
    message = {"content": merged.text, "reasoning": merged.thoughts, "refusal": merged.refusal,
               "function_call": {"arguments": "".join(calls)}}  # fmt: skip
    # A stream that just ends was broken off.
    choice = {"message": message, "finish_reason": merged.finish if ended else "length"}
    return {**{k: v for k, v in reply.items() if "usage" in k.lower()}, "choices": [choice]}


def _piece_of_response(event: dict[str, Any], kind: str) -> dict[str, Any]:
    """An event of a stream of the Responses API as a chunk of a chat completion."""
    if not kind.endswith(".delta"):
        reason = _dict(_dict(event.get("response")).get("incomplete_details")).get("reason")
        ended = kind.endswith((".completed", ".incomplete"))
        finish = (reason or "stop") if ended else None
        return {"choices": [{"delta": {}, "finish_reason": finish}]}
    delta = event.get("delta")
    if "arguments" in kind:
        return {"choices": [{"delta": {"tool_calls": [{"function": {"arguments": delta}}]}}]}
    names = {"refusal": "refusal", "reason": "reasoning", "output_text": "content"}
    name = next((names[part] for part in names if part in kind), None)
    return {"choices": [{"delta": {name: delta} if name else {}}]}


def form_of(reply: Any, depth: int = 0) -> Form:
    """What the JSON of a reply holds; any field may be missing, null or of another type."""
    if isinstance(reply, list) and reply:  # text-generation-inference answers so
        reply = reply[0]
    reply = _dict(reply)
    choices = _list(reply.get("choices")) or _list(reply.get("candidates"))
    choice = choices[0] if choices else {}
    found = _Found()
    for one in choices:
        found.look(one.get("message") or one.get("delta") or one)
        if found.text or found.filed:
            choice = one
            break
    if not choices and not isinstance(reply.get("message"), str):  # which is an error's
        found.look(reply.get("message"))
    for name in () if choices else OTHERS:
        found.look(reply.get(name))
    for name in WRAPPERS if not choices and not found and depth < 4 else ():
        inner = reply.get(name)
        inner = loads(inner) if isinstance(inner, str) else inner
        inner = form_of(inner, depth + 1) if inner else Form(known=False)
        if inner.known:
            tokens = inner.tokens if any(inner.tokens) else _tokens(reply)
            return replace(inner, finish=inner.finish or _finish(reply, choice), tokens=tokens)
    empty = not choices or any(name in choice for name in ("message", "delta", "text", "content"))
    known = bool(found) or (empty and isinstance(reply.get("choices", choices or None), list))
    return Form(
        text=whole("".join(found.text)),
        filed=tuple(map(whole, found.filed)),
        thoughts=whole("".join(found.thoughts)),
        refusal=whole("".join(found.refusal)),
        finish=_finish(reply, choice),
        tokens=_tokens(reply),
        known=known,
    )


class _Found:
    """Texts by what they are, gathered from a message of any form."""

    def __init__(self) -> None:
        self.text: list[str] = []
        self.filed: list[str] = []
        self.thoughts: list[str] = []
        self.refusal: list[str] = []

    def __bool__(self) -> bool:
        return bool(self.text or self.filed or self.thoughts or self.refusal)

    def look(self, value: Any, into: list[str] | None = None, depth: int = 0) -> None:
        into = self.text if into is None else into
        if isinstance(value, str):
            into.append(value)
        elif depth > 8:
            return
        elif isinstance(value, list):
            for item in value:
                self.look(item, into, depth + 1)
        elif isinstance(value, dict):
            self._look_at(value, into, depth + 1)

    def _look_at(self, part: dict[str, Any], into: list[str], depth: int) -> None:
        kind = str(part.get("type") or "")
        if part.get("thought") is True or re.search("think|reason|summary", kind):
            into = self.thoughts
        for name in THOUGHTS:
            if not isinstance(part.get(name), bool):
                self.look(part.get(name), self.thoughts, depth)
        self.look(part.get("refusal"), self.refusal, depth)
        for call in [*_list(part.get("tool_calls")), _dict(part.get("function_call"))]:
            self._file(_dict(call.get("function")).get("arguments") or call.get("arguments"))
        for name in ("arguments", "input", "parsed", "json"):
            self._file(part.get(name))
        if isinstance(part.get("content"), dict):  # a part, or the answer itself
            self._file(part["content"])
        for name in ("content", "text", "value", "output_text", "parts", "transcript", "audio"):
            self.look(part.get(name), into, depth)

    def _file(self, value: Any) -> None:
        if isinstance(value, dict):
            self.filed.append(json.dumps(value))
        elif isinstance(value, str) and "{" in value:
            self.filed.append(value)


def _finish(reply: dict[str, Any], choice: dict[str, Any]) -> str:
    reasons = (
        *(choice.get(name) for name in ("finish_reason", "finishReason", "native_finish_reason")),
        *(reply.get(name) for name in ("stop_reason", "stopReason", "done_reason")),
        reply.get("finish_reason"),
        _dict(reply.get("promptFeedback")).get("blockReason"),
        _dict(reply.get("incomplete_details")).get("reason"),
    )
    for reason in reasons:
        if isinstance(reason, str):
            said = whole(reason.lower())
            return "length" if said in CUT_OFF else "content_filter" if said in FILTERED else said
    return ""


def _tokens(reply: dict[str, Any]) -> tuple[int, int]:
    usage = _dict(reply.get("usage")) or _dict(reply.get("usageMetadata")) or reply
    prompt, answer = (_count(usage.get(name) for name in names) for names in COUNTS)
    return prompt, answer


def _count(values: Iterable[Any]) -> int:
    numbers = (int(float(v)) for v in values if re.fullmatch(r"\d{1,12}(\.0)?", str(v)))
    return next((v for v in numbers if v), 0)


def _dict(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _list(value: Any) -> list[dict[str, Any]]:
    """The objects of a list, of an object with numbered ones, or the object itself."""
    if isinstance(value, dict):
        value = list(value.values()) if all(k.isdigit() for k in value) else [value]
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def _first(value: Any) -> dict[str, Any]:
    return next(iter(_list(value)), {})
