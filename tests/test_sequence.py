"""The family's one design: layouts, codecs, what leaks and what does not, acting, files."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from nanodt_toy import stretch

from nanodt.data.windows import Windows
from nanodt.driving.policy import Policy
from nanodt.errors import InputError
from nanodt.family.conditions import Decrement, Drawn
from nanodt.family.sources import load_npz, save_npz
from nanodt.family.trajectories import Trajectories
from nanodt.files import write_json
from nanodt.model.codec import Codec, CodecConfig
from nanodt.model.heads import HeadConfig, Sampling
from nanodt.model.network import Network, NetworkConfig, load_network
from nanodt.model.stream import Layout, Slot, TokenStream
from nanodt.model.trunk import TrunkConfig
from nanodt.text.encoders import TextConfig, text_table

BINS = CodecConfig("uniform", 16, (-1.0, -1.0), (1.0, 1.0))
LAYOUTS = {
    "R s a": Layout(
        (
            Slot("rtg", 1, "linear"),
            Slot("obs", 3, "linear"),
            Slot("action", 2, "linear", head=HeadConfig("mse")),
        ),
        max_steps=40,
        norm=True,
    ),
    "s+R+a": Layout(
        (
            Slot("obs", 3, "linear"),
            Slot("rtg", 1, "linear", join=True),
            Slot("action", 2, "linear", join=True, shift=True, head=HeadConfig(), read="action"),
        ),
        max_steps=40,
    ),
    "s": Layout(
        (Slot("obs", 3, "mlp"), Slot("action", 2, "none", head=HeadConfig("clusters", 4))),
        positions=20,
    ),
    "s R a1 a2 r": Layout(
        (
            Slot("obs", 3),
            Slot("rtg", 1),
            Slot("action", 2, "scalars", codec=BINS, shared=True, head=HeadConfig()),
            Slot("reward", 1, "linear"),
        ),
        positions=100,
        local=True,
    ),
    "s1 s2 s3 a1 a2 r V": Layout(
        (
            Slot("obs", 3, "scalars", codec=CodecConfig("quantile", 8), head=HeadConfig()),
            Slot("action", 2, "scalars", codec=BINS, head=HeadConfig(), weight=5),
            Slot("reward", 1, "scalars", codec=CodecConfig("quantile", 8), head=HeadConfig()),
            Slot(
                "rtg",
                1,
                "scalars",
                codec=CodecConfig("quantile", 8),
                head=HeadConfig(),
                unseen=True,
            ),
        ),
        positions=200,
    ),
    "words, s a": Layout(
        (Slot("obs", 3), Slot("action", 2, "linear", head=HeadConfig("mse"))),
        max_steps=40,
        text=TextConfig(vocabulary=9),
        text_positions=5,
    ),
}


def episodes(n: int = 12, seed: int = 0) -> Trajectories:
    rng = np.random.default_rng(seed)
    length = rng.integers(3, 30, n)
    total = int(length.sum())
    steps = {
        "obs": rng.normal(size=(total, 3)),
        "action": rng.uniform(-1, 1, (total, 2)),
        "reward": rng.normal(size=(total, 1)),
    }
    steps = {k: v.astype(np.float32) for k, v in steps.items()}
    data = Trajectories(length, steps)
    return data.with_steps(rtg=data.returns_to_go())


def text_ids(layout: Layout, rows: int) -> list[np.ndarray] | None:
    if layout.text is None:
        return None
    return [np.arange(1 + i % layout.text_positions) for i in range(rows)]


def windows_of(data: Trajectories, model: Network) -> Windows:
    ids = text_ids(model.config.layout, len(data.length))
    return Windows(data, model, table=None if ids is None else text_table(ids))


def window(windows: Windows, start: int, steps: int):
    """One window of the first episode, as a batch."""
    return windows.batch(stretch(windows, 0, start, steps))


def build(layout: Layout, context: int = 8) -> Network:
    """A random model, every parameter perturbed."""
    torch.manual_seed(1)
    model = Network(NetworkConfig(layout, TrunkConfig(2, 2, 32), window=context))
    data = episodes()
    model.fit(data.steps, {})
    with torch.no_grad():
        for p in model.parameters():
            p += 0.1 * torch.randn_like(p)
    return model.eval()


@pytest.mark.parametrize("name", LAYOUTS)
@pytest.mark.parametrize("cache", [True, False])
def test_acting_sees_what_training_sees(name, cache):
    """Drawn token by token, past evictions, actions are those the whole window gives at once; so
    the acting loop and the training batch agree on layout, shift, mask and text."""
    layout = LAYOUTS[name]
    model, data = build(layout), episodes(1, 5)
    steps, context = int(data.length[0]), model.config.window
    assert steps > context
    conditions = {"rtg": Decrement(float(data.steps["rtg"][0, 0]))} if "R" in name else {}
    policy = Policy(model, conditions, text_ids=text_ids(layout, 1), cache=cache)
    starts = set()
    for t in range(steps):
        reward = data.steps["reward"][t - 1] if t else np.zeros(1, np.float32)
        policy.act(data.steps["obs"][t : t + 1], reward=reward)
        start = int(policy.start[0])
        starts.add(start)
        drawn = policy.value("action", t).clone()
        batch = window(windows_of(data, model), start, t + 1 - start)
        batch.values["action"][-1] = drawn[0]  # its first number is an input of its second
        if "V" in name:
            batch.values["rtg"] = torch.zeros_like(batch.values["rtg"])
        with torch.no_grad():
            hidden = model.hidden(batch, ["action"])["action"][-1]
            expected = [
                model.draw("action", h[None], i, Sampling(), None) for i, h in enumerate(hidden)
            ]
        torch.testing.assert_close(torch.cat(expected, 1), drawn, atol=1e-4, rtol=1e-4)
        data.steps["action"][t] = drawn[0]  # the record is what was driven
    assert len(starts) > 2


@pytest.mark.parametrize("name", LAYOUTS)
def test_no_label_leaks(name):
    """Changing what is predicted at step t, and all that follows, changes no prediction up to t."""
    model, data = build(LAYOUTS[name]), episodes(1, 5)
    t, length = 4, 8
    with torch.no_grad():
        batch = window(windows_of(data, model), 0, length)
        before = model.hidden(batch, ["action"])["action"]
        for field in ("action", "reward"):
            batch.values[field][t:] += 0.7
        batch.values["obs"][t + 1 :] += 0.7
        after = model.hidden(batch, ["action"])["action"]
    torch.testing.assert_close(after[:t, :], before[:t, :], atol=1e-6, rtol=1e-6)
    torch.testing.assert_close(after[t, :1], before[t, :1], atol=1e-6, rtol=1e-6)
    assert (after[t + 1 :] - before[t + 1 :]).abs().max() > 1e-3


def test_unseen_tokens_are_seen_by_none_but_themselves():
    layout = LAYOUTS["s1 s2 s3 a1 a2 r V"]
    model, data = build(layout), episodes(1, 5)
    with torch.no_grad():
        batch = window(windows_of(data, model), 0, 8)
        before = {k: v[0] for k, v in model.losses(batch).items()}
        batch.values["rtg"][:] = 3.0
        after = {k: v[0] for k, v in model.losses(batch).items()}
    for name in ("obs", "action", "reward"):
        torch.testing.assert_close(after[name], before[name], atol=0, rtol=0)
    assert (after["rtg"] - before["rtg"]).abs().max() > 1e-3


def test_layout_compiles_to_places():
    stream = TokenStream(LAYOUTS["s1 s2 s3 a1 a2 r V"], 8)
    assert stream.tokens == 7
    assert stream.first == {"obs": 0, "action": 3, "reward": 5, "rtg": 6}
    assert {k: v.tolist() for k, v in stream.reads.items()} == {
        "obs": [-2, 0, 1],  # the last token that it may see
        "action": [2, 3],
        "reward": [4],
        "rtg": [5],
    }
    assert stream.unseen.tolist() == [False] * 6 + [True]
    one = TokenStream(LAYOUTS["s+R+a"], 8)
    assert one.tokens == 1 and one.reads["action"].tolist() == [0]
    with pytest.raises(InputError, match="no token before it"):
        TokenStream(Layout((Slot("obs", 3, join=True),)), 8)


def test_masks_and_weights_choose_the_targets():
    slots = (Slot("obs", 3), Slot("action", 2, "scalars", codec=BINS, head=HeadConfig(), mask="m"))
    model, data = build(Layout(slots)), episodes()
    rows = len(data.steps["action"])
    mask = np.tile(np.float32([1, 0]), (rows, 1))
    windows = windows_of(data.with_steps(m=mask), model)
    plan = windows.plan(np.random.default_rng(0), 4)
    assert windows.targets(plan) == plan.timesteps  # one number of two
    model.total(windows.batch(plan)).backward()
    bias = model.heads["action"].out.bias.grad.view(2, -1)
    assert bias[0].abs().max() > 0 and bias[1].abs().max() == 0


def test_drawn_conditions_lean_to_the_high_classes():
    """kappa raises what the model draws for its own return (Multi-Game DT)."""
    codec = CodecConfig("uniform", 16, (0.0,), (10.0,))
    slots = (
        Slot("obs", 3),
        Slot("rtg", 1, "scalars", codec=codec, head=HeadConfig()),
        Slot("action", 3, "table", head=HeadConfig("discrete")),
    )
    data = episodes()
    discrete = np.random.default_rng(0).integers(0, 3, (len(data.steps["obs"]), 1))
    model = Network(NetworkConfig(Layout(slots), TrunkConfig(1, 2, 32), window=8))
    model.fit(data.with_steps(action=discrete).steps, {})
    obs, means = np.zeros((200, 3), np.float32), []
    for kappa in (0.0, 10.0):
        policy = Policy(model, {"rtg": Drawn(kappa)}, sampling=Sampling("temperature"), seed=3)
        action = policy.act(obs)
        assert action.shape == (200, 1) and set(np.unique(action)) <= {0, 1, 2}
        means.append(float(policy.value("rtg", 0).mean()))
    assert means[1] > means[0] + 2


def test_constant_slots_and_bad_input():
    slots = (Slot("bd", 2, constant=True), Slot("obs", 3), Slot("action", 2, head=HeadConfig()))
    model = Network(NetworkConfig(Layout(slots, max_steps=3), TrunkConfig(1, 2, 32), window=3))
    goals = np.float32([[0, 0], [1, 1]])
    policy = Policy(model)
    for _ in range(3):
        first, second = policy.act(np.zeros((2, 3), np.float32), bd=goals)
        assert (first != second).any()
    with pytest.raises(InputError, match="knows 3 steps"):
        policy.act(np.zeros((2, 3)))
    policy.reset()
    with pytest.raises(InputError, match=r"obs has shape \[2, 4\], expected \[N, 3\]"):
        policy.act(np.zeros((2, 4)))


@pytest.mark.parametrize("kind", ["uniform", "quantile", "mulaw"])
def test_codecs_come_back(kind):
    """encode(decode(class)) is the class; what is decoded lies within its class."""
    values = torch.randn(500, 3, dtype=torch.float64) * 3
    codec = Codec(CodecConfig(kind, 32), 3)
    codec.fit(values)
    index = codec.encode(values)
    assert index.min() >= 0 and index.max() <= 31
    assert torch.equal(codec.encode(codec.decode(index)), index)
    if kind == "uniform":
        half = (values.amax(0) - values.amin(0)) / 64
        assert ((codec.decode(index) - values).abs() <= half + 1e-6).all()
    if kind == "quantile":  # equally many values in each class
        assert torch.bincount(index[:, 0], minlength=32).min() >= 500 // 32 - 1
    assert codec.encode(torch.tensor([[-1e9, 1e9, 0.0]]))[0, :2].tolist() == [0, 31]


def test_quantiles_of_a_constant():
    codec = Codec(CodecConfig("quantile", 8), 1)
    codec.fit(torch.full((20, 1), 2.5))
    assert codec.decode(codec.encode(torch.tensor([[2.5]]))).item() == 2.5


def test_models_and_collections_come_back(tmp_path):
    model = build(LAYOUTS["s1 s2 s3 a1 a2 r V"])
    model.save(tmp_path)
    again = load_network(tmp_path)
    assert again.config == model.config
    for name, value in model.state_dict().items():
        assert torch.equal(value, again.state_dict()[name]), name
    data = episodes()
    data.texts = [[f"text {i}"] for i in range(len(data.length))]
    save_npz(data, tmp_path / "data.npz")
    found = load_npz(tmp_path / "data.npz")
    assert found.texts == data.texts and (found.length == data.length).all()
    for name, value in data.steps.items():
        assert (found.steps[name] == value).all()
    picked = found.take(np.array([3, 1]))
    assert picked.length.tolist() == data.length[[3, 1]].tolist()
    first = data.first[3]
    assert (
        picked.steps["obs"][: data.length[3]] == data.steps["obs"][first:][: data.length[3]]
    ).all()


def test_models_of_earlier_versions_are_refused(tmp_path):
    build(LAYOUTS["s"]).save(tmp_path)
    write_json(tmp_path / "config.json", {"n_obs": 3, "one_token": True})
    with pytest.raises(InputError, match=r"written by another version .*train it again"):
        load_network(tmp_path)


def test_returns_to_go():
    data = Trajectories(np.array([3, 2]), {"reward": np.float32([[1], [2], [3], [4], [5]])})
    assert data.returns_to_go()[:, 0].tolist() == [6, 5, 3, 9, 5]
    assert data.returns_to_go(0.5)[:, 0].tolist() == [2.75, 3.5, 3, 6.5, 5]
    assert data.returns.tolist() == [6, 9]


def test_a_collection_tells_what_is_wrong(tmp_path):
    data = episodes()
    with pytest.raises(InputError, match="no field 'bd'"):
        data.check("bd")
    with pytest.raises(InputError, match="obs has 3 numbers a row, this recipe needs 4"):
        data.check(obs=4)
    data.steps["obs"][5, 1] = np.nan
    with pytest.raises(InputError, match="obs holds a NaN"):
        data.check("obs")
    with pytest.raises(InputError, match="does not exist"):
        load_npz(tmp_path / "none.npz")
    (tmp_path / "cut.npz").write_bytes(b"PK\x03\x04")
    with pytest.raises(InputError, match="not a whole npz"):
        load_npz(tmp_path / "cut.npz")
    with pytest.raises(InputError, match="none is not a trained model"):
        load_network(tmp_path / "none")
