"""Our tokenizer: byte-level BPE learned from the training descriptions alone.

The words of one scene are few, so a vocabulary of some hundreds says a description in as few
tokens as a general one of 100,000 would, and the table of embeddings stays small. Special tokens:
`<pad>` (0) and `<DESCRIPTOR>` (1), the placeholder of a description's last place.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import tokenizers
from tokenizers import AddedToken, decoders, models, pre_tokenizers, trainers

from nanodt.errors import InputError, require_file
from nanodt.files import TOKENIZER, write_text

PAD, DESCRIPTOR = "<pad>", "<DESCRIPTOR>"
TOGETHER = 2**14
"""Texts that are encoded at once: until they are numbers they take much memory."""


class Tokenizer:
    """Texts to token ids and back, without loss."""

    def __init__(self, inner: tokenizers.Tokenizer) -> None:
        self.inner = inner

    @property
    def vocabulary(self) -> int:
        """Number of tokens, special ones included."""
        return self.inner.get_vocab_size()

    def encode(self, texts: Sequence[str]) -> list[list[int]]:
        """Token ids of each text; of more than TOGETHER texts, better in parts."""
        return [e.ids for e in self.inner.encode_batch(list(texts))]

    def decode(self, ids: Sequence[Sequence[int]]) -> list[str]:
        return self.inner.decode_batch([list(x) for x in ids], skip_special_tokens=False)

    def save(self, path: Path | str) -> None:
        """Write one `tokenizer.json` (the format of Hugging Face tokenizers), at once."""
        path = Path(path)
        write_text(path / TOKENIZER if path.is_dir() else path, self.inner.to_str(pretty=True))

    @staticmethod
    def load(path: Path | str) -> Tokenizer:
        """Read a `tokenizer.json`, or the folder that holds one."""
        path = Path(path)
        path = path / TOKENIZER if path.is_dir() else path
        require_file(path)
        if not path.exists():
            raise InputError(f"{path} does not exist: train the tokenizer first")
        try:
            return Tokenizer(tokenizers.Tokenizer.from_str(path.read_text(encoding="utf-8")))
        except Exception as error:  # the library raises plain Exception on any fault of the file
            raise InputError(f"{path} is not a tokenizer file: {error}") from error


def train_tokenizer(texts: Sequence[str], vocab_size: int = 900) -> Tokenizer:
    """Learn at most `vocab_size` tokens from the texts. Same texts, same tokenizer."""
    if not any(texts):
        raise InputError("no text to train a tokenizer on")
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    if vocab_size < len(alphabet) + 2:
        raise InputError(
            f"vocab_size={vocab_size} cannot hold the {len(alphabet)} bytes and 2 special tokens"
        )
    inner = tokenizers.Tokenizer(models.BPE())
    inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    inner.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        min_frequency=2,
        special_tokens=[AddedToken(t, normalized=False, special=True) for t in (PAD, DESCRIPTOR)],
        initial_alphabet=alphabet,
        show_progress=False,
    )
    # The trainer breaks ties by the order of counting: sorted texts make that order the same.
    inner.train_from_iterator(sorted(texts), trainer)
    return Tokenizer(inner)
