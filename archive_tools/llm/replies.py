"""From what a language model writes to a validated value; and how many tokens a text may have."""

import hashlib
import html
import json
import os
import re
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from archive_tools.llm.dresses import python_objects, yaml_objects
from archive_tools.llm.forms import Form, form_of, loads, whole
from archive_tools.llm.ledger import Reply

S = TypeVar("S", bound=BaseModel)
VOCABULARY = "o200k_base"
VOCABULARY_URL = f"https://openaipublic.blob.core.windows.net/encodings/{VOCABULARY}.tiktoken"
CHARACTERS_PER_TOKEN = 4.0
"""Of English text, roughly; used where tiktoken's vocabulary is not at hand."""

TAG = r"(?:<(?:{0}think|{0}thinking|{0}thought|{0}reasoning)>|\[{0}THINK\])"
THOUGHT = re.compile(
    f"(?is)^.*{TAG.format('/')}|{TAG.format('')}.*$|^.*<\\|channel\\|>final<\\|message\\|>"
)
"""What reasoning models put before their answer, where a server leaves it in."""
MARKS = re.compile(r"<[|｜][\w▁ -]*[|｜]>|</?s>|<(?:start|end)_of_turn>|^(?:assistant)?final(?=\{)")
"""What belongs to a chat template, where a server leaves it in."""
BOXED = re.compile(r"\\boxed\{(?:\\text\{)?([^{}]*)\}{1,2}")
"""As models mark an answer that were taught on sums."""
AROUND = re.compile(
    r"(?i)^(```|~~~)\w*|(```|~~~)$|</?[a-z]+>|<!\[CDATA\[|\]\]>|^assistant\s*\n"
    r"|<\?xml[^<>]*>|<[a-z]+(\s+[a-z:-]+=\"[^\"<>]*\")+\s*>"
    r"|^[^\n.]{0,80}:[\s*_]*\n+|^#+ [^\n.]{0,40}\n\s*\n|(?m:^)\s*([#>*•-]|\d+[.)])\s+"
    r"|^\W*((final|the) )?(text|description|answer)\W*[:=\n]"
)
"""What models put around a text that was to stand in JSON."""
WIDE = str.maketrans("｛｝［］：，＂", '{}[]:,"')
LOOSE = re.compile(
    r"""(?sx) (?P<whole>"(?:[^"\\]|\\.)*") | [“„](?P<typeset>[^“”"]*)[”“]
    | [‘](?P<curly>.*?)[’](?=\s*[:,}\]=]) | «\s*(?P<angled>[^«»]*?)\s*»
    | (?<!`)`(?P<tick>[^`\n]*)`(?!`)
    | (?<=[{\[:,\s])'(?P<single>(?:[^'\\\n]|\\.|'(?=\w))*)'(?=\s*[:,}\]=])
    | (?P<comment>//[^\n]*|/\*.*?\*/|\#[^\n]*) | (?P<word>(?:(?<=[{,\s]):(?=\w+\s*=))?[A-Za-z_]\w*)
    | (?P<mark>=>?|;) | \\[nrt] | [\s\u200b-\u200d\u2060\ufeff]"""
)
"""JSON as people and models write it: its strings, comments, words and (odd) blanks."""
WORDS = {"True": "true", "False": "false", "None": "null", "true": "true", "false": "false"}
LONG_STRING = re.compile(r'"""(.*?)"""|(?<=[:\[,\s])\'\'\'(.*?)\'\'\'', re.DOTALL)
"""A text between three quotes."""
QUOTING = re.compile(
    r"""(?sx) (?<=[{\[,:\s]) " ((?:\\.|[^\\])*?) "
    (?=\s*(?:[}\]:]|$|,\s*(?:["\d{\[-]|(?:true|false|null)\b)))"""
)
"""A string with its end where JSON goes on behind it, so that quotes may stand within."""
LONGEST_QUOTING = 20_000
STRING_OR_COMMA = re.compile(r'("(?:[^"\\]|\\.)*")(\s*(?="))?|,(?=\s*[}\]])')
MOST_BRACES = 1000
"""Where a text holds more that open no object, the rest is not looked at."""

CUT_OFF = "the reply was cut off; be brief"
NO_ROOM = "the reply was cut off before any text: the model spent --max-tokens on its thoughts"
THOUGHTS_ONLY = "the reply was nothing but reasoning"
ECHOES = ("messages", "prompt", "request", "usage", "tools")
"""Fields in which a server repeats what it was asked."""
TEXT = ("text", "description", "answer", "output", "response")
"""Names that models give the one text that was asked for, its own first."""
SCHEMA_TYPES = ("object", "array", "string", "number", "integer", "boolean", "null")
UNKNOWN_FORM = "the reply has a form that is not known here"
DECLINED = "the model declined"
FINAL = (NO_ROOM, UNKNOWN_FORM, DECLINED, "refused by the server")
"""Problems that asking the same again does not mend."""
REMEDIES = (
    (
        ("the reply was cut off", THOUGHTS_ONLY),
        "give a larger --max-tokens (a model's hidden thoughts count, too), or turn its thoughts "
        "off at the server",
    ),
    (
        (UNKNOWN_FORM, "the reply was empty"),
        "the ledger keeps each reply as it came (table replies, column raw)",
    ),
    (
        ("not the JSON", "the reply holds no JSON"),
        "this model does not answer in the form asked for: try another --model",
    ),
)
"""What helps where every reply has one of these problems."""


@dataclass(frozen=True)
class Price:
    """Dollars for a million tokens."""

    tokens_in: float
    tokens_out: float

    def of(self, tokens_in: float, tokens_out: float) -> float:
        """Dollars that so many prompt and reply tokens cost."""
        return (tokens_in * self.tokens_in + tokens_out * self.tokens_out) / 1e6


def reply_of(raw: str, prompt: str | None, price: Price) -> Reply:
    """A reply with what counts of it, whatever else a server puts into it.

    Args:
        raw: the body of the response, as it came.
        prompt: to estimate its tokens where the server does not count them; None if not at hand.
        price: what tokens cost.
    """
    form = form_of(loads(raw))
    written = form.thoughts + form.text + "".join(form.filed)
    tokens = [
        counted or count_tokens(text)
        for counted, text in zip(form.tokens, (prompt or "", written), strict=True)
    ]
    return Reply(form.text or None, form.finish or None, *tokens, usd=price.of(*tokens), raw=raw)


def read_reply(reply: Reply, schema: type[S]) -> tuple[S | None, str]:
    """The value in a reply, or None and what is wrong with the reply.

    Thoughts, code fences and prose around the JSON object are left out, and commas too many. What
    was filed as a tool call is taken too, and thoughts where there is nothing else. A schema whose
    only field is `text` also takes a reply without any JSON as that text.
    """
    if reply.raw is None:  # from a ledger of an earlier version
        form = Form(text=reply.content or "", finish=reply.finish_reason or "")
    else:
        form = form_of(loads(reply.raw))
    text = re.sub(MARKS, "", re.sub(THOUGHT, "", form.text)).strip()
    text = re.sub(BOXED, r"\1", text)
    cut = form.finish == "length"
    thoughts = () if cut or text else (form.thoughts,)
    problem = ""
    for content in (text, *form.filed, *thoughts):
        value, wrong = _validated(content, schema, cut)
        if value is not None:
            return value, ""
        problem = problem or wrong
    if cut:
        return None, CUT_OFF if text or form.filed else NO_ROOM
    if form.finish == "content_filter":
        return None, "the reply was held back by the server's filter"
    if not text and form.refusal:
        return None, f"{DECLINED}: {' '.join(form.refusal.split())[:200]}"
    if not text and not form.filed and not form.thoughts:
        value = _last_resort(loads(reply.raw or ""), schema)
        if value is not None:
            return value, ""
    if not form.known:
        return None, UNKNOWN_FORM
    if not text and not form.filed:
        return None, THOUGHTS_ONLY if form.thoughts or form.text.strip() else "the reply was empty"
    if text and not problem and "{" not in text and list(schema.model_fields) == ["text"]:
        plain = re.sub(AROUND, "", text.strip().strip("[]")).strip()
        return schema.model_validate({"text": plain.strip("*_`}\"'“”«»‘’ \n")}), ""
    return None, problem or "the reply holds no JSON object"


def _validated(content: str, schema: type[S], cut: bool = False) -> tuple[S | None, str]:
    problem, one_text = "", list(schema.model_fields) == ["text"]
    # Other names only where no object bears the right one: they may stand for other things.
    for names in (TEXT[:1], TEXT) if one_text else ((),):
        for value in (v for found in _objects(content, cut, one_text) for v in _within(found)):
            try:
                value = _text_of(value, names) if one_text else value
                return schema.model_validate(_whole(value)), ""
            except ValidationError as error:
                first = error.errors()[0]
                field = ".".join(str(part) for part in first["loc"]) or "the reply"
                if "{" in content:  # else plain words may look like YAML
                    problem = problem or f"not the JSON asked for: {field}: {first['msg']}"
            except RecursionError:
                continue
    return None, problem


def _text_of(value: dict[str, Any], names: tuple[str, ...]) -> dict[str, Any]:
    """An object with its text as one: by one of these names, of several sentences, or in an object.

    One without any word, like "...", is the form that was asked for, said again; and so is the
    JSON schema that was sent along.
    """
    if names != TEXT[:1] and ("properties" in value or value.get("type") in SCHEMA_TYPES):
        return {}
    names = (*names, "content") if value.get("role") == "assistant" else names
    text = next((value[name] for name in names if value.get(name) is not None), None)
    if isinstance(text, dict):
        text = next(iter(text.values())) if len(text) == 1 else None
    if isinstance(text, list) and all(isinstance(part, str) for part in text):
        text = " ".join(text)
    if not isinstance(text, str):
        return value
    text = re.sub(THOUGHT, "", text)
    text = re.sub(r"(?s)^\s*[“«](.*)[”»]\s*$", r"\1", text)
    return {"text": text} if re.search(r"\w", text) else {}


def _within(value: Any, depth: int = 0) -> Iterator[dict[str, Any]]:
    """An object, the same with small letters, and all that it holds but for what it repeats."""
    if isinstance(value, dict):
        yield value
        yield {name.strip().casefold(): item for name, item in value.items()}
        value = [item for name, item in value.items() if name not in ECHOES]
    elif isinstance(value, str) and value[:1] == "{":
        value = _strict_objects(value)
    for item in value[:100] if depth < 8 and isinstance(value, list) else ():
        yield from _within(item, depth + 1)


def _last_resort(reply: Any, schema: type[S]) -> S | None:
    """What was asked for, wherever it lies in a reply of an unknown form."""
    for part in _within(reply):
        for text in (json.dumps(part), *(v for v in part.values() if isinstance(v, str))):
            if "{" in text and (found := _validated(text, schema)[0]) is not None:
                return found
    return None


def _whole(value: Any) -> Any:
    """The same with texts that every file takes."""
    if isinstance(value, str):
        return whole(value)
    if isinstance(value, list):
        return [_whole(item) for item in value]
    if isinstance(value, dict):
        return {whole(str(key)): _whole(item) for key, item in value.items()}
    return value


def _objects(content: str, cut: bool, one_text: bool) -> Iterator[dict[str, Any]]:
    """All JSON objects in a text, the last one first: models think aloud and then answer.

    Then those in a text that is a JSON string, in Python or YAML, and then, of a reply that was not
    cut off, all once more as they may be meant: without comments and commas too many, with quotes,
    words and brackets as JSON has them, and with quotes within a string.
    """
    content = content.strip()
    content = content.translate(WIDE) if "{" not in content else content
    while content.startswith('"'):
        try:
            inner = json.loads(content, strict=False)
        except ValueError:
            break
        content = inner.strip()
    if re.search(r'\{(\\n|\s)*\\"', content):  # escaped once too often
        content = re.sub(r"\\(.)", lambda m: "\n" if m[1] == "n" else m[1], content)
    found = _strict_objects(content)
    yield from found
    if not cut:
        yield from python_objects(content)
        yield from yaml_objects(content, one_text)
    if "{" not in content:
        return
    meant = content if '"' in content else html.unescape(content)
    meant = re.sub(LONG_STRING, lambda m: json.dumps(m[1] or m[2]), meant)
    quoting = meant if len(meant) < LONGEST_QUOTING else ""
    meant = re.sub(STRING_OR_COMMA, _with_comma, re.sub(LOOSE, _as_json, meant))
    yield from _strict_objects(meant)
    if not cut and not found:
        yield from _strict_objects(re.sub(QUOTING, _escaped, quoting))
    if not cut and not found and "{" in meant:
        yield from _strict_objects(meant + _closing(meant))


def _as_json(match: re.Match[str]) -> str:
    """One piece of loose JSON as JSON has it."""
    if match["whole"]:
        return match["whole"].replace("\\'", "'")
    for kind in ("typeset", "curly", "angled", "tick", "single"):
        if match[kind] is not None:
            return json.dumps(match[kind].replace("\\'", "'"), ensure_ascii=False)
    if match["word"]:
        rest = match.string[match.end() : match.end() + 20].lstrip()
        return WORDS.get(match["word"]) or (
            f'"{match["word"].lstrip(":")}"' if rest.startswith((":", "=")) else match["word"]
        )
    return {"=": ":", "=>": ":", ";": ","}.get(match["mark"], " ")


def _escaped(match: re.Match[str]) -> str:
    """A string with the quotes in it escaped."""
    return '"' + re.sub(r'(\\.)|"', lambda m: m[1] or r"\"", match[1]) + '"'


def _with_comma(match: re.Match[str]) -> str:
    """A string, with a comma where another follows; nothing for a comma too many."""
    return (match[1] or "") + ("," if match[2] is not None else "")


def _closing(text: str) -> str:
    """The brackets that a text leaves open."""
    still: list[str] = []
    for match in re.finditer(r'"(?:[^"\\]|\\.)*"|[{}\[\]]', text[text.index("{") :]):
        if match[0] in "{[":
            still.append("}" if match[0] == "{" else "]")
        elif still and match[0] == still[-1]:
            still.pop()
    return "".join(still[::-1]) if len(still) < 20 else ""


def _strict_objects(content: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    decoder = json.JSONDecoder(strict=False)
    position, failures = content.find("{"), 0
    while position >= 0 and failures < MOST_BRACES:
        try:
            value, end = decoder.raw_decode(content, position)
            found.append(value)
        except (ValueError, RecursionError):
            end = position + 1
            failures += 1
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
