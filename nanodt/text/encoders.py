"""Text encoders: from a description to the tokens that stand before the first timestep.

All are used alike: `prepare` turns texts into a `TextTable` once (ids, or vectors of a frozen
model), and `forward` turns rows of that table into prefix tokens. Which one a model has is in its
configuration; nothing else in nanodt knows.

- `tokens`: our own tokenizer and a learned embedding of each token (the default).
- `sentence`: a frozen sentence-transformers model, its vector projected to a few prefix tokens.
- `endpoint`: the same with an OpenAI-compatible embeddings endpoint.
"""

from __future__ import annotations

import hashlib
import json
import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

import numpy as np
import torch
from safetensors import safe_open
from safetensors.torch import save
from torch import Tensor, nn

from nanodt.errors import InputError
from nanodt.files import TOKENIZER, at_once
from nanodt.packing import ragged
from nanodt.text.tokenizer import TOGETHER, Tokenizer

VECTORS = "text_vectors.safetensors"  # in a model folder
TextKind = Literal["tokens", "sentence", "endpoint"]
Embed = Callable[[list[str]], np.ndarray]  # texts -> float32 [M, E]


@dataclass(frozen=True)
class TextConfig:
    """Which text encoder, and its size."""

    kind: TextKind = "tokens"
    vocabulary: int = 0
    """tokens: size of the learned table."""
    model: str = "sentence-transformers/all-MiniLM-L6-v2"
    """sentence: name or path; endpoint: the model's name there."""
    base_url: str | None = None
    """endpoint: where, when it is not api.openai.com. The key comes from OPENAI_API_KEY."""
    dim: int = 0
    """sentence, endpoint: numbers in the frozen vector."""
    prefix: int = 4
    """sentence, endpoint: prefix tokens the vector becomes."""


@dataclass
class TextTable:
    """Texts made ready for a model: token ids end to end [sum of lengths], or vectors [M, E]."""

    data: Tensor
    lengths: np.ndarray
    """Tokens each text takes in a row [M] int64."""

    def take(self, index: np.ndarray) -> tuple[Tensor, Tensor, np.ndarray]:
        """Rows by number, -1 = no text: (encoder input, place of each token [L], lengths [R])."""
        present = index >= 0
        lengths = np.where(present, self.lengths[index], 0) if len(self.lengths) else 0 * index
        row, place = ragged(lengths)
        if self.data.dim() == 2:
            rows = index[present]
        else:
            first = np.cumsum(self.lengths) - self.lengths
            rows = first[index[row]] + place if len(row) else row
        return self.data[torch.from_numpy(rows)], torch.from_numpy(place), lengths


def text_table(ids: Sequence[Sequence[int] | np.ndarray]) -> TextTable:
    """A table of texts that are token ids already."""
    lengths = np.array([len(row) for row in ids], np.int64)
    flat = np.fromiter((i for row in ids for i in row), np.int64, int(lengths.sum()))
    return TextTable(torch.from_numpy(flat), lengths)


class TextEncoder(nn.Module, ABC):
    """The interface of all text encoders."""

    vocabulary: int = 0
    """Tokens there are; 0 where texts are not read token by token."""
    source: Tokenizer | VectorCache | None = None
    """What reads texts; `save(folder)` writes what of it belongs to a model."""

    @abstractmethod
    def prepare(self, texts: Sequence[str]) -> TextTable:
        """Turn texts into what `forward` takes; done once, before training or driving."""

    @abstractmethod
    def forward(self, data: Tensor) -> Tensor:
        """Encoder input of some texts -> their prefix tokens [L, C], end to end."""


class TokenEncoder(TextEncoder):
    """Our tokenizer and a learned table."""

    def __init__(self, vocabulary: int, width: int) -> None:
        super().__init__()
        self.vocabulary = vocabulary
        self.table = nn.Embedding(vocabulary, width)
        nn.init.normal_(self.table.weight, std=0.02)

    def prepare(self, texts: Sequence[str]) -> TextTable:
        if not texts:
            return text_table([])
        if not isinstance(self.source, Tokenizer):
            raise InputError("this model has no tokenizer.json: it cannot read text")
        parts = [
            text_table(self.source.encode(texts[begin : begin + TOGETHER]))
            for begin in range(0, len(texts), TOGETHER)
        ]
        lengths = np.concatenate([part.lengths for part in parts])
        return TextTable(torch.cat([part.data for part in parts]), lengths)

    def forward(self, data: Tensor) -> Tensor:
        return self.table(data)


class VectorEncoder(TextEncoder):
    """A frozen sentence vector, standardised in length and projected to prefix tokens."""

    def __init__(self, config: TextConfig, width: int) -> None:
        super().__init__()
        if config.dim < 1:
            raise InputError(f"text encoder {config.kind}: its vectors have no dimension given")
        self.prefix, self.width, self.dim = config.prefix, width, config.dim
        self.project = nn.Linear(config.dim, config.prefix * width)

    def prepare(self, texts: Sequence[str]) -> TextTable:
        if not texts:
            return TextTable(torch.zeros(0, self.dim), np.zeros(0, np.int64))
        if not isinstance(self.source, VectorCache):
            raise InputError("this model's sentence encoder is not attached")
        vectors = self.source(list(texts)).reshape(len(texts), -1)
        if vectors.shape[1] != self.dim:
            raise InputError(
                f"the sentence encoder gives vectors of {vectors.shape[1]} numbers, "
                f"the model was built for {self.dim}"
            )
        unit = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
        return TextTable(torch.from_numpy(unit), np.full(len(texts), self.prefix, np.int64))

    def forward(self, data: Tensor) -> Tensor:
        # Unit vectors have entries of about dim^-1/2: brought to about 1 for the linear map.
        return self.project(data * self.dim**0.5).view(-1, self.width)


def build_text_encoder(config: TextConfig, width: int) -> TextEncoder:
    """The encoder a configuration names, its tokenizer or frozen model not yet attached."""
    if config.kind == "tokens":
        return TokenEncoder(config.vocabulary, width)
    return VectorEncoder(config, width)


def sentence_embedder(model: str) -> Embed:
    """A sentence-transformers model by name or path; loaded at the first text."""
    loaded = []

    def embed(texts: list[str]) -> np.ndarray:
        if not loaded:
            from sentence_transformers import SentenceTransformer  # slow to import

            try:
                loaded.append(SentenceTransformer(model, device="cpu"))
            except Exception as error:  # many kinds: no such model, no network, a damaged file
                reason = (str(error).splitlines() or [type(error).__name__])[0]
                raise InputError(
                    f"sentence encoder {model!r} cannot be loaded ({reason}): give the path of a "
                    "downloaded sentence-transformers model"
                ) from error
        return loaded[0].encode(texts, batch_size=64, convert_to_numpy=True)

    return embed


def endpoint_embedder(model: str, base_url: str | None, batch: int = 256) -> Embed:
    """An OpenAI-compatible embeddings endpoint; the key comes from OPENAI_API_KEY.

    Raises InputError for what is no address.
    """
    try:
        parts = urlsplit(base_url or "https://api.openai.com/v1")
        there = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:  # an unclosed bracket, a port that is no number
        there = False
    if base_url and not (there and base_url.isprintable() and " " not in base_url):
        raise InputError(f"--text-base-url {base_url}: expected http://… or https://…, with a host")

    def embed(texts: list[str]) -> np.ndarray:
        from openai import OpenAI, OpenAIError  # slow to import

        key = os.environ.get("OPENAI_API_KEY") or ("none" if base_url else None)
        try:
            client = OpenAI(api_key=key, base_url=base_url, timeout=60, max_retries=4)
            rows: list[list[float]] = []
            for i in range(0, len(texts), batch):
                reply = client.embeddings.create(
                    model=model, input=texts[i : i + batch], encoding_format="float"
                )
                rows += [item.embedding for item in sorted(reply.data, key=lambda d: d.index)]
        except OpenAIError as error:
            reason = str(error).splitlines()[0]
            raise InputError(
                f"embeddings endpoint {base_url or 'api.openai.com'}, model {model!r}: {reason}"
            ) from error
        return np.array(rows, np.float32)

    return embed


class VectorCache:
    """Remembers the vectors of texts in one safetensors file, so that each is computed once."""

    def __init__(self, folder: Path, embed: Embed) -> None:
        """Take those of a model's folder, if there are any."""
        self.embed, path = embed, folder / VECTORS
        self.known: dict[str, np.ndarray] = {}
        if path.exists():
            try:
                with safe_open(path, "np") as file:
                    keys = json.loads((file.metadata() or {})["texts"])
                    self.known = dict(zip(keys, file.get_tensor("vectors"), strict=True))
            except Exception as error:  # the reader's own error type is not public
                raise InputError(f"{path} cannot be read ({error}): delete it") from None

    def __call__(self, texts: list[str]) -> np.ndarray:
        keys = [hashlib.sha256(t.encode()).hexdigest()[:32] for t in texts]
        new = {k: t for k, t in zip(keys, texts, strict=True) if k not in self.known}
        if new:
            self.known.update(zip(new, self.embed(list(new.values())), strict=True))
        return np.array([self.known[k] for k in keys], np.float32)

    def save(self, folder: Path) -> None:
        """Write the file of a model's folder anew, at once."""
        vectors = torch.from_numpy(np.array(list(self.known.values()), np.float32))
        with at_once(folder / VECTORS) as partial:
            partial.write_bytes(save({"vectors": vectors}, {"texts": json.dumps(list(self.known))}))


def frozen_embedder(config: TextConfig) -> Embed:
    """The frozen model a configuration names."""
    if config.kind == "endpoint":
        return endpoint_embedder(config.model, config.base_url)
    return sentence_embedder(config.model)


def attach_source(encoder: TextEncoder, config: TextConfig, folder: Path) -> None:
    """Give an encoder its tokenizer, or its frozen model with the vectors kept in the folder."""
    if config.kind != "tokens":
        encoder.source = VectorCache(folder, frozen_embedder(config))
    elif (folder / TOKENIZER).exists():
        encoder.source = Tokenizer.load(folder)
