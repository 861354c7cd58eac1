"""The map of where a robot has been: the same from a recording, from a drive, and by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from nanodt.place.visitation import FADE, RecordedVisits, VisitationMap, cells_of


def by_hand(cells: list[int], step: int, size: int) -> np.ndarray:
    """Freshness and presence of `size` cells, one visit after another."""
    fresh, seen = np.zeros(size), np.zeros(size)
    for t, cell in enumerate(cells[: step + 1]):
        fresh[cell], seen[cell] = np.exp((t - step) / FADE), 1
    return np.concatenate([fresh, seen])


drives = st.lists(st.lists(st.integers(0, 8), min_size=1, max_size=30), min_size=1, max_size=6)


@settings(deadline=None, max_examples=60)
@given(drives)
def test_recordings_and_drives_tell_the_same(cells):
    length = np.array([len(c) for c in cells])
    first = np.cumsum(length) - length
    visits = RecordedVisits(np.concatenate(cells), length, first, 3)
    trajectory = np.repeat(np.arange(len(cells)), length)
    time = np.arange(len(trajectory)) - first[trajectory]
    found = visits.at(trajectory, time)
    assert found.dtype == torch.float32 and found.shape == (length.sum(), 18)
    expected = [by_hand(c, t, 9) for c in cells for t in range(len(c))]
    np.testing.assert_allclose(found.numpy(), expected, atol=1e-6)
    for row, own in enumerate(cells):
        trace = VisitationMap(1, 3)
        for t, cell in enumerate(own):
            driven = trace.visit(np.array([cell]), t)[0]
            np.testing.assert_allclose(driven, found[first[row] + t], atol=1e-6)
    # The order and number of the steps asked for change nothing.
    pick = np.random.default_rng(0).permutation(len(trajectory))[:5]
    torch.testing.assert_close(visits.at(trajectory[pick], time[pick]), found[pick])


def test_cells():
    low, high = np.zeros(2), np.full(2, 600.0)
    place = np.array([[0, 0], [599, 0], [0, 599], [300, 300], [600, 600], [-5, 700]], float)
    assert cells_of(place, low, high, 4).tolist() == [0, 3, 12, 10, 15, 12]
    assert cells_of(np.array([50.0, -10.0]), np.array([0, -20]), np.array([100, 0]), 2) == 3


def test_a_drive_without_steps_is_asked_for_nothing():
    visits = RecordedVisits(np.array([1, 1]), np.array([2]), np.array([0]), 2)
    assert visits.at(np.zeros(0, int), np.zeros(0, int)).shape == (0, 8)
    with pytest.raises(IndexError):
        visits.at(np.array([3]), np.array([0]))
