"""What our tokenizer saves: a table beside general vocabularies and sentence vectors.

Vocabularies of others are read from this machine's cache or fetched; where neither works within
a few seconds the row says so and the table goes on.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future, wait
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from nanodt.text.tokenizer import TOGETHER, Tokenizer

T = TypeVar("T")
PATIENCE_S = 6.0  # for one vocabulary that must be fetched
VECTOR, PREFIX = 384, 4  # numbers in a vector of all-MiniLM-L6-v2, and the tokens it becomes
Count = Callable[[Sequence[str]], list[int]]  # tokens of each text


@dataclass
class Row:
    """One way to turn texts into tokens."""

    name: str
    vocabulary: int | None
    tokens_mean: float | None
    tokens_max: int | None
    parameters: int | None
    """Parameters its embedding table or projection adds to the model."""
    note: str = ""


def comparison(
    texts: Sequence[str],
    ours: Tokenizer,
    n_embd: int = 128,
    patience_s: float = PATIENCE_S,
) -> list[Row]:
    """Rows for our tokenizer, tiktoken's two, BERT's WordPiece and sentence vectors.

    Takes at most about `patience_s` seconds per vocabulary that cannot be had.
    """

    def counted(count: Count) -> list[int]:
        parts = (texts[b : b + TOGETHER] for b in range(0, len(texts), TOGETHER))
        return [n for part in parts for n in count(part)]

    own = counted(lambda some: _lengths(ours.encode(some)))
    rows = [_row("ours (byte-level BPE)", ours.vocabulary, own, n_embd)]
    others: list[tuple[str, Callable[[], tuple[int, Count]]]] = [
        ("tiktoken cl100k_base", lambda: _tiktoken("cl100k_base")),
        ("tiktoken o200k_base", lambda: _tiktoken("o200k_base")),
        ("BERT WordPiece (bert-base-uncased)", _bert),
    ]
    for name, fetch in others:
        try:
            vocabulary, count = _within(patience_s, fetch)
            rows.append(_row(name, vocabulary, counted(count), n_embd))
        except Exception as error:  # any library's any failure becomes a note
            reason = str(error).splitlines()[0] if str(error) else ""
            reason = reason if 0 < len(reason) < 60 else type(error).__name__
            rows.append(Row(name, None, None, None, None, f"vocabulary not to be had: {reason}"))
    note = "beside a frozen encoder; its vector is projected to prefix tokens"
    vector = f"sentence vector ({VECTOR})"
    return [*rows, Row(vector, None, float(PREFIX), PREFIX, (VECTOR + 1) * PREFIX * n_embd, note)]


def to_markdown(rows: Sequence[Row]) -> str:
    """The table for people."""

    def cell(value: float | int | None) -> str:
        if value is None:
            return "–"
        return f"{value:.1f}" if isinstance(value, float) else f"{value:,}"

    lines = [
        "| text as | vocabulary | tokens per text, mean | max | parameters | note |",
        "|---|--:|--:|--:|--:|---|",
    ]
    for r in rows:
        numbers = map(cell, (r.vocabulary, r.tokens_mean, r.tokens_max, r.parameters))
        lines.append(f"| {r.name} | {' | '.join(numbers)} | {r.note} |")
    return "\n".join(lines) + "\n"


def _row(name: str, vocabulary: int, lengths: list[int], n_embd: int) -> Row:
    counts = np.array(lengths or [0])
    return Row(name, vocabulary, float(counts.mean()), int(counts.max()), vocabulary * n_embd)


def _lengths(ids: list[list[int]]) -> list[int]:
    return [len(x) for x in ids]


def _within(seconds: float, work: Callable[[], T]) -> T:
    """The result of `work`, or TimeoutError; a thread that hangs is left behind."""
    answer: Future[T] = Future()

    def run() -> None:
        try:
            answer.set_result(work())
        except Exception as error:
            answer.set_exception(error)

    threading.Thread(target=run, daemon=True).start()
    if not wait([answer], seconds).done:
        raise TimeoutError(f"no answer within {seconds:.0f} s")
    return answer.result()


def _tiktoken(name: str) -> tuple[int, Count]:
    import tiktoken

    encoding = tiktoken.get_encoding(name)
    return encoding.n_vocab, lambda texts: _lengths(encoding.encode_ordinary_batch(list(texts)))


def _bert() -> tuple[int, Count]:
    import tokenizers
    from huggingface_hub import constants, hf_hub_download
    from huggingface_hub.errors import LocalEntryNotFoundError
    from huggingface_hub.utils import get_session

    name, file = "google-bert/bert-base-uncased", "tokenizer.json"
    try:
        path = hf_hub_download(name, file, local_files_only=True)
    except LocalEntryNotFoundError:
        # Asked once whether it is there: without a network, a download tries for minutes in the
        # thread left behind, and at each try closes the connections of all who ask the Hub.
        get_session().head(constants.ENDPOINT, timeout=3)
        path = hf_hub_download(name, file, etag_timeout=3)
    wordpiece = tokenizers.Tokenizer.from_file(path)

    def count(texts: Sequence[str]) -> list[int]:
        encoded = wordpiece.encode_batch(list(texts), add_special_tokens=False)
        return [len(e.ids) for e in encoded]

    return wordpiece.get_vocab_size(), count
