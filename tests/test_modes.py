"""The probe of averaged modes: squared error drives into the table, classes go round it."""

from __future__ import annotations

import numpy as np
import pytest

from nanodt.family.recipes.modes import Config, Outcome, probe, run

SMALL = Config(drives=120, steps=250)


@pytest.mark.parametrize("head", ["mse", "clusters", "bins", "discrete"])
def test_only_squared_error_averages_the_two_ways(head, tmp_path):
    outcome = probe(head, SMALL, tmp_path)
    if head == "mse":
        assert outcome.through > 0.9
    else:
        assert outcome.through < 0.2
        assert 0.25 < outcome.left < 0.75
        assert outcome.arrived > 0.8


def test_a_step_across_the_table_counts_as_through_it():
    across = np.array([[[-1.0, 0.0], [1.0, 0.0]], [[-1.0, 0.6], [1.0, 0.6]]])
    assert Outcome(across).through == 0.5


def test_the_figure_has_a_panel_for_each_head(tmp_path, capsys):
    run(Config(out=tmp_path / "modes.png", drives=20, steps=2, heads=("mse", "bins")))
    assert (tmp_path / "modes.png").read_bytes().startswith(b"\x89PNG")
    table = capsys.readouterr().out
    assert "| `mse` |" in table and "| `bins` |" in table
