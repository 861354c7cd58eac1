"""The tokenizer: deterministic, lossless, one token for the placeholder; and its comparison."""

from __future__ import annotations

import time
from types import SimpleNamespace

import pytest
from hub_server import reach
from huggingface_hub.utils import get_session

from nanodt import InputError, Tokenizer, train_tokenizer
from nanodt.text import comparison as table

TEXTS = [
    f"{verb} to the {thing} by the {colour} tile, then stop at <DESCRIPTOR>."
    for verb in ("Go", "Drive", "Please roll")
    for thing in ("bed", "sofa", "fridge", "bathtub", "table")
    for colour in ("red", "blue", "green", "yellow")
]


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return train_tokenizer(TEXTS, 400)


def test_same_texts_same_tokenizer(tokenizer):
    again = train_tokenizer(list(reversed(TEXTS)), 400)
    assert again.inner.to_str() == tokenizer.inner.to_str()


def test_texts_come_back_unchanged(tokenizer):
    texts = [*TEXTS, "Café – naïve ☕ <DESCRIPTOR>\n  two  spaces", ""]
    assert tokenizer.decode(tokenizer.encode(texts)) == texts


def test_placeholder_is_one_token(tokenizer):
    ids = tokenizer.encode(["to <DESCRIPTOR>.", "to<DESCRIPTOR>"])
    assert [x.count(1) for x in ids] == [1, 1]
    assert tokenizer.vocabulary <= 400
    assert max(map(len, tokenizer.encode(TEXTS))) < 20


def test_saved_and_loaded(tokenizer, tmp_path):
    tokenizer.save(tmp_path)
    assert Tokenizer.load(tmp_path).encode(TEXTS) == tokenizer.encode(TEXTS)
    with pytest.raises(InputError, match="train the tokenizer first"):
        Tokenizer.load(tmp_path / "no")
    (tmp_path / "bad.json").write_text("{}")
    with pytest.raises(InputError, match="not a tokenizer file"):
        Tokenizer.load(tmp_path / "bad.json")


def test_impossible_requests(tokenizer):
    with pytest.raises(InputError, match="cannot hold"):
        train_tokenizer(TEXTS, 100)
    with pytest.raises(InputError, match="no text"):
        train_tokenizer([])


def test_comparison_never_hangs_and_never_fails(tokenizer, monkeypatch):
    """A vocabulary that does not come, and one that fails, become notes."""

    def hang(name):
        time.sleep(30)

    def fail():
        raise OSError("no route to host\nand more")

    monkeypatch.setattr(table, "_tiktoken", hang)
    monkeypatch.setattr(table, "_bert", fail)
    began = time.perf_counter()
    rows = table.comparison(TEXTS, tokenizer, n_embd=128, patience_s=0.2)
    assert time.perf_counter() - began < 5
    ours, _, late, failed, sentence = rows
    assert ours.vocabulary == tokenizer.vocabulary
    assert ours.parameters == 128 * tokenizer.vocabulary
    assert 5 < ours.tokens_mean <= ours.tokens_max < 20
    assert "no answer within" in late.note and late.vocabulary is None
    assert failed.note == "vocabulary not to be had: no route to host"
    assert sentence.parameters == 385 * 4 * 128
    text = table.to_markdown(rows)
    assert text.count("\n") == 7 and "ours" in text


def test_a_hub_out_of_reach_is_asked_once_and_nobodys_connections_are_closed(
    tokenizer, monkeypatch, tmp_path
):
    """Else a thread left behind would break, for a minute, whoever loads a model by its id."""
    reach(SimpleNamespace(url="http://127.0.0.1:9"), monkeypatch, tmp_path)
    client = get_session()
    note = table.comparison(TEXTS, tokenizer, patience_s=30)[3].note
    assert "vocabulary not to be had" in note and "refused" in note
    assert get_session() is client and not client.is_closed


def test_comparison_counts_what_another_vocabulary_says(tokenizer, monkeypatch):
    def words(texts):
        return [len(t.split()) for t in texts]

    monkeypatch.setattr(table, "_tiktoken", lambda name: (1000, words))
    monkeypatch.setattr(table, "_bert", lambda: (10, words))
    row = table.comparison(TEXTS, tokenizer, n_embd=16)[1]
    assert (row.vocabulary, row.parameters) == (1000, 16_000)
    assert row.tokens_max == max(words(TEXTS))
