"""Heads: exact codes, sampling by the book, and several right ways kept apart."""

from __future__ import annotations

import pytest
import torch

from nanodt import Sampling
from nanodt.model.heads import HeadConfig, build_head, pick

LOW, HIGH = (-4.0, -4.0), (4.0, 4.0)


def actions(n: int = 500) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    return (torch.rand(n, 2, generator=generator) * 8 - 4).mul(10).round() / 10


@pytest.mark.parametrize("joint", [True, False])
def test_clusters_encode_and_decode_exactly(joint):
    head = build_head(HeadConfig("clusters", clusters=7, joint=joint), 8, LOW, HIGH)
    a = actions()
    head.fit(a)
    centre, offset = head.encode(a)
    assert centre.shape == (500, 1 if joint else 2) and int(centre.max()) == 6
    torch.testing.assert_close(head.decode(centre, offset), a, atol=1e-5, rtol=0)
    again, _ = head.encode(head.decode(centre, torch.zeros_like(offset)))
    assert torch.equal(again, centre)  # a centre is nearest to itself


def test_clusters_of_few_values_are_those_values():
    head = build_head(HeadConfig("clusters", clusters=6), 8, LOW, HIGH)
    a = torch.tensor([[-1.0, 0.0], [1.0, 0.0], [1.0, 2.0]]).repeat(10, 1)
    head.fit(a)
    centre, offset = head.encode(a)
    assert offset.abs().max() < 1e-6 and len(centre.unique()) == 3


def test_bins_hold_recorded_actions_exactly():
    """81 values from -4 to 4: every action of one decimal, the bounds included."""
    head = build_head(HeadConfig("bins", bins=81), 8, LOW, HIGH)
    grid = torch.linspace(-4, 4, 81)
    a = torch.stack([grid, grid.flip(0)], 1)
    torch.testing.assert_close(head.decode(head.encode(a)), a, atol=1e-5, rtol=0)
    index = head.encode(a)
    assert torch.equal(head.encode(head.decode(index)), index)
    assert index[:, 0].tolist() == list(range(81))


def test_discrete_actions():
    head = build_head(HeadConfig("discrete"), 8, (0.0,), (4.0,))
    hidden = torch.randn(6, 8)
    a = head.sample(hidden, Sampling())
    assert a.shape == (6, 1) and set(a.flatten().tolist()) <= set(range(5))
    assert head.loss(hidden, a).shape == (6,)


@pytest.mark.parametrize("kind", ["mse", "clusters", "bins"])
def test_seeded_sampling(kind):
    head = build_head(HeadConfig(kind), 8, LOW, HIGH)
    head.fit(actions())
    hidden = 5 * torch.randn(64, 8)
    how = Sampling("temperature", temperature=2.0)
    draws = [head.sample(hidden, how, torch.Generator().manual_seed(s)) for s in (1, 1, 2)]
    assert draws[0].shape == (64, 2)
    assert torch.equal(draws[0], draws[1])
    assert torch.equal(draws[0], draws[2]) == (kind == "mse")


def test_temperature_and_nucleus_follow_their_probabilities():
    p = torch.tensor([0.5, 0.3, 0.15, 0.05])
    logits = p.log().expand(20_000, 4)
    g = torch.Generator().manual_seed(0)

    def shares(how: Sampling) -> torch.Tensor:
        return pick(logits, how, g).bincount(minlength=4) / 20_000

    assert (shares(Sampling("temperature")) - p).abs().max() < 0.015
    sharp = p**2 / (p**2).sum()
    assert (shares(Sampling("temperature", temperature=0.5)) - sharp).abs().max() < 0.015
    kept = torch.tensor([0.5, 0.3, 0, 0]) / 0.8
    assert (shares(Sampling("nucleus", top_p=0.75)) - kept).abs().max() < 0.015
    assert shares(Sampling("argmax"))[0] == 1


@pytest.mark.parametrize("kind", ["clusters", "bins"])
def test_two_right_ways_are_not_averaged(kind):
    """Targets +2 or -2 for one and the same input: MSE says 0, the others say one of the two."""
    torch.manual_seed(0)
    hidden = torch.ones(256, 8)
    target = torch.where(torch.rand(256, 1) < 0.5, 2.0, -2.0).expand(-1, 2)
    answers = {}
    for name in ("mse", kind):
        head = build_head(HeadConfig(name, clusters=2, bins=9), 8, LOW, HIGH)
        head.fit(target)
        optimizer = torch.optim.Adam(head.parameters(), lr=0.05)
        for _ in range(100):
            optimizer.zero_grad()
            head.loss(hidden, target).mean().backward()
            optimizer.step()
        how = Sampling("temperature")
        answers[name] = head.sample(hidden, how, torch.Generator().manual_seed(0))
    assert answers["mse"].abs().max() < 1
    near = (answers[kind].abs() - 2).abs() < 0.3
    assert near.float().mean() > 0.95
    assert 0.3 < (answers[kind][:, 0] > 0).float().mean() < 0.7
