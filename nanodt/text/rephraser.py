"""Rephrases a text: words that no training text has become the known words nearest in meaning.

A policy that learns its words from an archive's texts cannot know that an icebox is a fridge: no
text says so. A sentence encoder that read much English does. The rephraser takes a text as a known
one that came through a noisy channel (Shannon 1948; for correcting spelling: Kernighan, Church and
Gale 1990): of all ways to put known words, or nothing, in the place of the unknown ones it takes
the likeliest, that is the largest

    sum over all words of log p(w | the word before) + STRENGTH * sum over replaced ones of
    (cos(unknown, w) - 1),

with `LEFT_OUT` in the place of the cosine where nothing is put. p is counted in the training texts
and smoothed (Jelinek and Mercer 1980). Viterbi's algorithm finds it, among the CANDIDATES nearest
words for each. Words that training had stay, so a text of such words, written as training wrote
them, comes back unchanged.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
from scipy.sparse import csr_array

from nanodt.errors import InputError
from nanodt.files import WORDS, check_beside, model_folder, write_text
from nanodt.text.encoders import Embed, sentence_embedder, unit

STRENGTH = 30.0
"""Weight of the meaning against that of the neighbours, in nats per unit of cosine."""
LEFT_OUT = 0.4
"""A word whose fitting replacements are all less similar than this is rather left out."""
SMOOTHING = 0.02
"""Share of a word's own frequency in its probability after another one."""
CANDIDATES = 256
"""Replacements tried for a word: the nearest ones."""
ENDINGS = (".", "?", "!")
TYPED = str.maketrans({"’": "'", "\u2010": "-", "\u2011": "-"})
END = "<|end|>"
"""Stands before the first and after the last word; no part of a text is like it."""
UNFIT = (OSError, ValueError, TypeError, LookupError, AttributeError, OverflowError, RecursionError)
"""What reading a file of words that is none may raise."""
PART = re.compile(r"<\w+>|\w+(?:[-'’\u2010\u2011]\w+)*|[^\w\s]")


class Bigrams:
    """The words and marks of training texts, and how often one follows another."""

    def __init__(self, forms: Sequence[str], pairs: Sequence[tuple[int, int, int]]) -> None:
        """
        Args:
            forms: every word as written in a text, sorted.
            pairs: (i, j, n): the j-th word followed the i-th one n times. They count the words in
                small letters, END among them, sorted.
        """
        self.forms, self.pairs = list(forms), [tuple(p) for p in pairs]
        self.words = _words(forms)
        self.index = {word: i for i, word in enumerate(self.words)}
        self.written = {_plain(form): form for form in self.forms}  # the last: small letters
        first, second, count = np.array(self.pairs, np.int64).reshape(-1, 3).T
        if (count < 1).any():
            raise ValueError("a pair of words is counted less than once")
        n = len(self.words)
        self.after = csr_array((count.astype(float), (first, second)), shape=(n, n))
        self.total = self.after.sum(axis=1)
        self.share = np.bincount(second, count, n) + 0.5
        self.share /= self.share.sum()

    @classmethod
    def of(cls, texts: Sequence[str]) -> Bigrams:
        """Count the words of the texts."""
        forms: set[str] = set()
        pairs: Counter[tuple[str, str]] = Counter()
        for text in texts:
            parts = PART.findall(text)
            forms.update(parts)
            pairs.update(pairwise([END, *map(_plain, parts), END]))
        index = {word: i for i, word in enumerate(_words(forms))}
        return cls(sorted(forms), sorted((index[a], index[b], n) for (a, b), n in pairs.items()))

    def save(self, folder: Path) -> None:
        """Write `words.json` into a folder, at once."""
        write_text(folder / WORDS, json.dumps({"forms": self.forms, "pairs": self.pairs}) + "\n")

    @classmethod
    def load(cls, folder: Path) -> Bigrams:
        """Read the `words.json` of a folder. Raises InputError where there is none that fits."""
        path = folder / WORDS
        if not path.exists():
            raise InputError(
                f"{path} does not exist: the model was trained without texts, or by an earlier "
                "version; delete its folder and train it again"
            )
        try:
            found = json.loads(path.read_text(encoding="utf-8"))
            return cls(found["forms"], found["pairs"])
        except UNFIT as error:
            raise InputError(
                f"{path} is not a list of words ({error}): delete the model's folder and train "
                "it again"
            ) from None

    def likelihood(self, before: np.ndarray, now: np.ndarray) -> np.ndarray:
        """log p(now | before) [B, N] of words by index [B], [N]."""
        seen = self.after[before][:, now].toarray() / np.maximum(self.total[before], 1)[:, None]
        return np.log((1 - SMOOTHING) * seen + SMOOTHING * self.share[now])


class Rephraser:
    """Texts in any wording → texts in words that a model was trained on."""

    def __init__(self, bigrams: Bigrams, embed: Embed) -> None:
        """
        Args:
            bigrams: of the training texts.
            embed: words → float vectors [M, E], similar where the meaning is.
        """
        self.bigrams, self.embed, self.forms = bigrams, embed, frozenset(bigrams.forms)
        self.known = np.array([i for i, w in enumerate(bigrams.words) if w[:1].isalpha()], np.int64)
        self.vectors: np.ndarray | None = None
        self.nearest: dict[str, tuple[np.ndarray, np.ndarray]] = {}

    def unknown(self, text: str) -> list[str]:
        """The words of a text that no training text has, in small letters."""
        return [w for w in map(_plain, PART.findall(text)) if w not in self.bigrams.index]

    def __call__(self, texts: Sequence[str]) -> list[str]:
        """Rephrase the texts; empty where nothing in them is like a known word."""
        words = {w for text in texts for w in self.unknown(text) if _is_word(w)}
        self._look_up(sorted(words - self.nearest.keys()))
        return [self._read(text) for text in texts]

    def _look_up(self, words: list[str]) -> None:
        """Find the candidates of new words and their cosines."""
        if not words or not len(self.known):
            return
        if self.vectors is None:
            self.vectors = unit(self.embed([self.bigrams.words[i] for i in self.known]))
        for word, vector in zip(words, unit(self.embed(words)), strict=True):
            cosine = self.vectors @ vector
            best = np.argsort(-cosine, kind="stable")[:CANDIDATES]
            self.nearest[word] = self.known[best], cosine[best]

    def _read(self, text: str) -> str:
        parts = list(PART.finditer(text))
        chosen = self._decode([_plain(part.group()) for part in parts])
        kept: list[tuple[str, str]] = []  # what stands before a part, and the part
        done, capital, first, left_out = 0, False, True, False
        for part, word in zip(parts, chosen, strict=True):
            old = part.group()
            gap = text[done : part.start()]
            capital = first and (capital or old[0].isupper())
            if word is None:
                left_out = True
                continue
            new, done = old, part.end()
            if word != _plain(old) or old not in self.forms:
                new = self.bigrams.written[word]
            is_word = _is_word(new)
            if left_out:
                gap = " " if kept and is_word else ""
                before = kept[-1][1] if kept else "."
                if not is_word and not _is_word(before):  # of two marks that now meet one stays
                    if before in ENDINGS:
                        continue
                    kept.pop()
            if capital and is_word:
                new = new[0].upper() + new[1:]
            first, left_out = new in ENDINGS or (first and not is_word), False
            kept.append((gap, new))
        end = "" if left_out else text[done:]
        return "".join(gap + new for gap, new in kept) + end

    def _decode(self, words: list[str]) -> list[str | None]:
        """The likeliest known word, or None, for every word."""
        known, end = self.bigrams.index, self.bigrams.index[END]
        state, score = np.array([end]), np.zeros(1)  # the last word put, by its index
        steps: list[tuple[np.ndarray, np.ndarray]] = []  # word put or -1, state come from
        for word in (*words, END):
            if word in known:
                new, gain = np.array([known[word]]), np.zeros(1)
            else:
                new, cosine = self.nearest.get(word, (np.zeros(0, np.int64), np.zeros(0)))
                gain = STRENGTH * (cosine - 1)
            if len(new):
                total = score[:, None] + self.bigrams.likelihood(state, new)
                origin = total.argmax(axis=0)
                reached = total[origin, np.arange(len(new))] + gain
            else:  # a mark that training never had
                origin, reached = np.zeros(0, np.int64), np.zeros(0)
            put = new
            if word not in known:
                kept = np.argsort(-score, kind="stable")[:CANDIDATES]
                loss = STRENGTH * (LEFT_OUT - 1) if word in self.nearest else 0.0
                put = np.concatenate([new, np.full(len(kept), -1)])
                new, origin = np.concatenate([new, state[kept]]), np.concatenate([origin, kept])
                reached = np.concatenate([reached, score[kept] + loss])
            state, score = new, reached
            steps.append((put, origin))
        at, found = int(score.argmax()), []
        for put, origin in reversed(steps):
            found.append(None if put[at] < 0 else self.bigrams.words[put[at]])
            at = int(origin[at])
        return found[:0:-1]


def load_rephraser(folder: Path | str, encoder: str) -> Rephraser:
    """The rephraser of a model's folder.

    Args:
        folder: of a trained model, or its id on the Hugging Face Hub.
        encoder: a sentence-transformers model, by name or path.
    """
    folder = model_folder(folder)
    check_beside(folder, (WORDS,))
    return Rephraser(Bigrams.load(folder), sentence_embedder(encoder))


def _plain(part: str) -> str:
    """A word in small letters, apostrophe and hyphen as typed; a placeholder as it is."""
    return part if part.startswith("<") else part.lower().translate(TYPED)


def _words(forms: Iterable[str]) -> list[str]:
    """The words in small letters, sorted, END among them: what `pairs` counts."""
    return sorted({END, *map(_plain, forms)})


def _is_word(part: str) -> bool:
    return any(char.isalnum() for char in part)
