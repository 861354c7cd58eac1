"""How windows of unequal lengths are packed into the rows of a batch.

Letters of shapes, in all of nanodt: N rows or robots, G windows in a row, W = N * G windows, M
timesteps of all windows, L tokens of all texts, T tokens in the longest row, C width, K timesteps
that a window holds.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from torch import Tensor


@dataclass
class Batch:
    """Windows, flat: nothing is padded here, the steps of all rows stand one after another, and so
    do the tokens of their texts. `place` says where each goes."""

    text: Tensor
    """Token ids [L] int64; or sentence vectors [rows with text, E]."""
    text_position: Tensor
    """Place of each text token in its text [L] int64."""
    values: dict[str, Tensor]
    """Slot name -> [M, size] float32, [M, 1] class numbers, or [W, size] for constant slots."""
    dropped: dict[str, Tensor]
    """Constant slot -> [W] bool, True where a learned null stands in the place of its value."""
    row: Tensor
    """Window of each timestep [M] int64."""
    time: Tensor
    """Absolute timestep [M] int64."""
    place: Tensor
    """[N, T] int64: which token (texts, then steps, then the pad) stands at each position."""
    first: Tensor
    """[M] int64: flat position, in [N * T], of each step's first token."""
    tokens: int = 0
    """Tokens that are not pads."""
    windows: int = 1
    """G: so many windows of a row stand behind one text, side by side (`pack_windows`)."""
    text_lengths: Tensor | None = None
    """[N] int64, where there are several windows to a row: tokens of each row's text."""
    weight: dict[str, Tensor] = field(default_factory=dict)
    """Predicted slot -> [M, numbers] weights of its targets, where they are not all 1."""


def ragged(lengths: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Rows of the given lengths laid end to end: (row, place in its row) of every entry.

    >>> ragged(np.array([2, 0, 1]))
    (array([0, 0, 2]), array([0, 1, 0]))
    """
    row = np.repeat(np.arange(len(lengths)), lengths)
    first = np.cumsum(lengths) - lengths
    return row, np.arange(len(row)) - first[row]


def pack(
    text_lengths: np.ndarray, steps: np.ndarray, tokens_per_step: int
) -> tuple[np.ndarray, np.ndarray]:
    """Lay texts and steps out in rows: (place [N, T], first [M]) as in `Batch`.

    T is the longest row. Row i is its text_lengths[i] text tokens, then its steps[i] steps of
    `tokens_per_step` tokens, then pads: behind all others, where causality hides them.
    """
    ends = text_lengths + tokens_per_step * steps
    width = int(ends.max())
    column = np.arange(width)[None, :]
    text_first = (np.cumsum(text_lengths) - text_lengths)[:, None]
    n_text, n_steps = int(text_lengths.sum()), int(steps.sum())
    step_first = (n_text + tokens_per_step * (np.cumsum(steps) - steps) - text_lengths)[:, None]
    pad = n_text + tokens_per_step * n_steps
    place = np.where(column < text_lengths[:, None], text_first, step_first) + column
    place = np.where(column < ends[:, None], place, pad)
    row, inner = ragged(steps)
    first = row * width + text_lengths[row] + tokens_per_step * inner
    return place, first


def pack_windows(
    text_lengths: np.ndarray, steps: np.ndarray, tokens_per_step: int, windows: int, spare: int
) -> tuple[np.ndarray, np.ndarray]:
    """Lay out each text with `windows` windows of steps[i] steps: (place [N, T], first [M]).

    Texts are padded to the longest one, and windows, whose last `spare` tokens are left out, to the
    widest one.
    """
    p, s = int(text_lengths.max()), int(steps.max()) * tokens_per_step - spare
    texts = (np.cumsum(text_lengths) - text_lengths)[:, None]
    n_text, n_steps = int(text_lengths.sum()), steps * windows
    pad = n_text + tokens_per_step * int(n_steps.sum())
    column = np.arange(p)
    text = np.where(column < text_lengths[:, None], texts + column, pad)
    width = tokens_per_step * steps[:, None, None]
    begin = n_text + tokens_per_step * (np.cumsum(n_steps) - n_steps)[:, None, None]
    begin = begin + width * np.arange(windows)[:, None]
    column = np.arange(s)
    own = np.where(column < width - spare, begin + column, pad)
    place = np.concatenate([text, own.reshape(len(steps), -1)], axis=1)
    window, inner = ragged(np.repeat(steps, windows))
    row, number = np.divmod(window, windows)
    return place, row * place.shape[1] + p + number * s + tokens_per_step * inner
