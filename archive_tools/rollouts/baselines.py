"""What a lookup in the archive would do: elites of the training split, chosen without a policy.

Each baseline picks, for every command (text, bd), one recorded training trajectory and drives it
again. An archive that is dense around the target is a strong rival; a policy has to obey text and
BD at once, or reach what no elite reaches, to beat it.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import sparse
from scipy.spatial import KDTree
from sklearn.feature_extraction.text import TfidfVectorizer

from envs.errors import InputError

Floats = NDArray[np.float64]
Index = NDArray[np.int64]
SIMILARITIES = 2**23
"""Numbers that are compared at once."""
NEIGHBOURS = 20  # how many of the nearest by BD `nearest_elite_both` chooses from


TextSpace = Callable[[Sequence[str]], Any]
"""Texts → rows whose dot products are similarities: [N, terms], sparse or dense."""


def tfidf(texts: Sequence[str]) -> TextSpace:
    """TF-IDF over words and word pairs, rows of unit length (Salton & Buckley 1988).

    Term frequency 1 + log(count), inverse document frequency log((1 + N) / (1 + df)) + 1, both from
    `texts`; terms not among them are ignored later.

    Raises:
        InputError: the texts have no word.
    """
    vectors = TfidfVectorizer(ngram_range=(1, 2), token_pattern=r"\w+", sublinear_tf=True)
    try:
        return vectors.fit(texts).transform
    except ValueError as error:
        raise InputError(f"training elites: no text to look up by ({error})") from None


class Elites:
    """The training split as a lookup table.

    Args:
        bd: [M, n_bd] reached BDs.
        texts: per elite, its descriptions (at least one elite must have one).
        space: makes the text space from all training texts: TF-IDF, or any embedding.

    Raises:
        InputError: there is no elite, no text, or the counts differ.
    """

    def __init__(
        self,
        bd: ArrayLike,
        texts: Sequence[Sequence[str]],
        space: Callable[[Sequence[str]], TextSpace] = tfidf,
    ) -> None:
        self.bd = np.asarray(bd, np.float64)
        if len(self.bd) == 0 or len(self.bd) != len(texts):
            raise InputError(f"training elites: {len(self.bd)} BDs and {len(texts)} lists of texts")
        self._tree = KDTree(self.bd)
        flat = [text for row in texts for text in row]
        if not flat:
            raise InputError("training elites: none has a text; describe the archive first")
        counts = np.array([len(row) for row in texts])
        self._described = np.flatnonzero(counts)
        self._first_text = (np.cumsum(counts) - counts)[self._described]
        self._space = space(flat)
        self._rows = self._space(flat)

    def __len__(self) -> int:
        return len(self.bd)

    def similarity(self, texts: Sequence[str]) -> Floats:
        """Similarity of each text to each elite, that is to its best matching description: [N, M].

        An elite without a description has −inf.
        """
        product: Any = self._space(texts) @ self._rows.T  # sparse or dense, as the space likes
        dense = np.asarray(product.toarray() if sparse.issparse(product) else product)
        best = np.full((len(texts), len(self)), -np.inf)
        best[:, self._described] = np.maximum.reduceat(dense, self._first_text, axis=1)
        return best

    def random(self, n: int, seed: int) -> Index:
        """One elite each, uniformly: [n] indices."""
        return np.random.default_rng(seed).integers(0, len(self), n)

    def nearest_bd(self, bd: ArrayLike) -> Index:
        """The elite that ended nearest to each target [N, n_bd]: [N] indices."""
        return np.asarray(self._tree.query(np.asarray(bd, np.float64))[1], np.int64)

    def nearest_text(self, texts: Sequence[str]) -> Index:
        """The elite whose description is most like each text: [N] indices."""
        return self._best(texts, None)

    def nearest_both(self, texts: Sequence[str], bd: ArrayLike) -> Index:
        """Of the 20 elites nearest to each target, the one whose description fits best: [N]."""
        k = min(NEIGHBOURS, len(self))
        near = self._tree.query(np.asarray(bd, np.float64), k=k)[1].reshape(len(texts), k)
        return self._best(texts, near)

    def _best(self, texts: Sequence[str], among: NDArray | None) -> Index:
        """Argmax of the similarity, in blocks that bound the memory. Ties go to the first, which
        is the nearest by BD when `among` lists neighbours in that order."""
        block = max(1, min(256, SIMILARITIES // self._rows.shape[0]))
        chosen = np.empty(len(texts), np.int64)
        for start in range(0, len(texts), block):
            rows = slice(start, min(start + block, len(texts)))
            score = self.similarity(texts[rows])
            if among is None:
                chosen[rows] = score.argmax(axis=1)
            else:
                pick = np.take_along_axis(score, among[rows], axis=1).argmax(axis=1)
                chosen[rows] = among[rows][np.arange(len(pick)), pick]
        return chosen


def derangement(n: int, seed: int) -> Index:
    """A uniformly drawn permutation [n] that leaves nothing in place (n = 1: the identity)."""
    rng = np.random.default_rng(seed)
    if n < 2:
        return np.arange(n)
    while True:  # a draw succeeds with probability about 1/e
        order = rng.permutation(n)
        if not np.any(order == np.arange(n)):
            return order
