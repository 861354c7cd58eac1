"""The family's one design: layouts, codecs, what leaks and what does not, acting, files."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from nanodt_toy import record, write_dataset

from nanodt.data.episodes import Collection, Sampler, load_npz
from nanodt.data.folder import Windows, load_dataset
from nanodt.driving.acting import Actor, Constant, Decrement, Drawn
from nanodt.errors import InputError
from nanodt.model.codec import Codec, CodecConfig
from nanodt.model.heads import HeadConfig, Sampling
from nanodt.model.network import Model, ModelConfig, TrunkConfig
from nanodt.model.sequence import Layout, SequenceConfig, SequenceModel, load_sequence
from nanodt.model.stream import Slot, TokenStream
from nanodt.text.encoders import TextConfig
from nanodt.text.tokenizer import train_tokenizer

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
        vocabulary=9,
        prefix=5,
    ),
}


def collection(n: int = 12, seed: int = 0) -> Collection:
    rng = np.random.default_rng(seed)
    length = rng.integers(3, 30, n)
    total = int(length.sum())
    steps = {
        "obs": rng.normal(size=(total, 3)),
        "action": rng.uniform(-1, 1, (total, 2)),
        "reward": rng.normal(size=(total, 1)),
    }
    steps = {k: v.astype(np.float32) for k, v in steps.items()}
    data = Collection(length, steps)
    return data.with_steps(rtg=data.returns_to_go())


def prefixes(layout: Layout, rows: int) -> list[np.ndarray] | None:
    return [np.arange(1 + i % layout.prefix) for i in range(rows)] if layout.prefix else None


def build(layout: Layout, context: int = 8) -> SequenceModel:
    """A random model, every parameter perturbed."""
    torch.manual_seed(1)
    model = SequenceModel(SequenceConfig(layout, TrunkConfig(2, 2, 32), context))
    data = collection()
    model.fit({k: torch.from_numpy(v) for k, v in data.steps.items()}, {})
    with torch.no_grad():
        for p in model.parameters():
            p += 0.1 * torch.randn_like(p)
    return model.eval()


@pytest.mark.parametrize("name", LAYOUTS)
def test_acting_sees_what_training_sees(name):
    """Drawn token by token through the cache, past hops, actions are those the whole window gives
    at once; so the acting loop and the training batch agree on layout, shift, mask and prefix."""
    layout = LAYOUTS[name]
    model, data = build(layout), collection(1, 5)
    steps, context = int(data.length[0]), model.config.context
    assert steps > context
    conditions = {"rtg": Decrement(float(data.steps["rtg"][0, 0]))} if "R" in name else {}
    words = prefixes(layout, 1)
    actor = Actor(model, conditions, prefix=words)
    sampler = Sampler(data, context, model.stream.tokens, words)
    hops = set()
    for t in range(steps):
        reward = data.steps["reward"][t - 1] if t else np.zeros(1, np.float32)
        actor.act(data.steps["obs"][t : t + 1], reward)
        hops.add(actor.start)
        drawn = actor.values["action"][:, t].clone()
        start, number = np.array([actor.start]), np.array([t + 1 - actor.start])
        batch = sampler.windows(np.array([0]), start, number)
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
    assert len(hops) > 2


@pytest.mark.parametrize("name", LAYOUTS)
def test_no_label_leaks(name):
    """Changing what is predicted at step t, and all that follows, changes no prediction up to t."""
    layout = LAYOUTS[name]
    model, data = build(layout), collection(1, 5)
    t, length = 4, 8
    window = (np.array([0]), np.array([0]), np.array([length]))
    sampler = Sampler(data, length, model.stream.tokens, prefixes(layout, 1))
    with torch.no_grad():
        batch = sampler.windows(*window)
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
    model, data = build(layout), collection(1, 5)
    sampler = Sampler(data, 8, model.stream.tokens)
    with torch.no_grad():
        batch = sampler.windows(np.array([0]), np.array([0]), np.array([8]))
        before = {k: v[0] for k, v in model.losses(batch).items()}
        batch.values["rtg"][:] = 3.0
        after = {k: v[0] for k, v in model.losses(batch).items()}
    for name in ("obs", "action", "reward"):
        torch.testing.assert_close(after[name], before[name], atol=0, rtol=0)
    assert (after["rtg"] - before["rtg"]).abs().max() > 1e-3


def test_layout_compiles_to_places():
    stream = TokenStream(LAYOUTS["s1 s2 s3 a1 a2 r V"].slots, 8, 0)
    assert stream.tokens == 7
    assert stream.first == {"obs": 0, "action": 3, "reward": 5, "rtg": 6}
    assert {k: v.tolist() for k, v in stream.reads.items()} == {
        "obs": [-2, 0, 1],  # the last token that it may see
        "action": [2, 3],
        "reward": [4],
        "rtg": [5],
    }
    assert stream.unseen.tolist() == [False] * 6 + [True]
    one = TokenStream(LAYOUTS["s+R+a"].slots, 8, 40)
    assert one.tokens == 1 and one.read_at == 0
    with pytest.raises(InputError, match="no token before it"):
        TokenStream((Slot("obs", 3, join=True),), 8, 0)


def test_masks_and_weights_choose_the_targets():
    slots = (Slot("obs", 3), Slot("action", 2, "scalars", codec=BINS, head=HeadConfig(), mask="m"))
    model, data = build(Layout(slots)), collection()
    rows = len(data.steps["action"])
    mask = np.tile(np.float32([1, 0]), (rows, 1))
    sampler = Sampler(data.with_steps(m=mask), 8, model.stream.tokens)
    batch = sampler.draw(np.random.default_rng(0), 4)
    model.loss(batch).backward()
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
    data = collection()
    discrete = np.random.default_rng(0).integers(0, 3, (len(data.steps["obs"]), 1))
    model = SequenceModel(SequenceConfig(Layout(slots), TrunkConfig(1, 2, 32), 8))
    model.fit(
        {k: torch.from_numpy(v) for k, v in data.with_steps(action=discrete).steps.items()}, {}
    )
    obs, means = np.zeros((200, 3), np.float32), []
    for kappa in (0.0, 10.0):
        actor = Actor(model, {"rtg": Drawn(kappa)}, sampling=Sampling("temperature"), seed=3)
        action = actor.act(obs)
        assert action.shape == (200, 1) and set(np.unique(action)) <= {0, 1, 2}
        means.append(float(actor.values["rtg"].mean()))
    assert means[1] > means[0] + 2


def test_constant_conditions_and_bad_input():
    slots = (Slot("bd", 2, constant=True), Slot("obs", 3), Slot("action", 2, head=HeadConfig()))
    model = SequenceModel(SequenceConfig(Layout(slots, max_steps=3), TrunkConfig(1, 2, 32), 3))
    goals = np.float32([[0, 0], [1, 1]])
    actor = Actor(model, {"bd": Constant(goals)})
    for _ in range(3):
        first, second = actor.act(np.zeros((2, 3), np.float32))
        assert (first != second).any()
    with pytest.raises(InputError, match="knows 3 steps"):
        actor.act(np.zeros((2, 3)))
    actor.reset()
    with pytest.raises(InputError, match=r"obs has shape \[2, 4\], expected \[2, 3\]"):
        actor.act(np.zeros((2, 4)))


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
    again = load_sequence(tmp_path)
    assert again.config == model.config
    for name, value in model.state_dict().items():
        assert torch.equal(value, again.state_dict()[name]), name
    data = collection()
    data.texts = [f"text {i}" for i in range(len(data.length))]
    data.save(tmp_path / "data.npz")
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


def test_the_missions_model_is_one_of_the_family(tmp_path):
    """Its slots, said as a layout, give its losses with its weights."""
    rows = record(8)
    tokenizer = train_tokenizer([t for row in rows for t in row["texts"]], 400)
    dataset = load_dataset(write_dataset(tmp_path, rows))
    config = ModelConfig(
        n_obs=3,
        n_act=2,
        n_bd=2,
        max_steps=24,
        action_low=(-1.0, -1.0),
        action_high=(1.0, 1.0),
        block_size=64,
        trunk=TrunkConfig(2, 2, 32),
        head=HeadConfig("clusters", 4),
        text=TextConfig(vocabulary=tokenizer.vocabulary),
    )
    mission = Model(config).eval()
    mission.text.tokenizer = tokenizer
    slots = [
        replace(s, head=config.head) if s.name == "action" else s for s in mission.stream.slots
    ]
    layout = Layout(tuple(slots), max_steps=24, vocabulary=tokenizer.vocabulary, prefix=64)
    model = SequenceModel(SequenceConfig(layout, config.trunk, 24)).eval()
    with torch.no_grad():
        for p in mission.parameters():
            p += 0.1 * torch.randn_like(p)
    weights = {
        k.replace("text.table", "tables.prefix")
        .replace("text_position", "tables.prefix_position")
        .replace("head.", "heads.action."): v
        for k, v in mission.state_dict().items()
    }
    model.load_state_dict(weights)
    windows = Windows(dataset.split("train"), mission.text, config)
    batch = windows.batch(windows.plan(np.random.default_rng(0), 6, 0.3, 0.3))
    with torch.no_grad():
        expected = mission.loss(batch)
        batch.read = batch.read - mission.stream.read_at  # each step's first token
        found, weight = model.losses(batch)["action"]
    torch.testing.assert_close(found[:, 0], expected, atol=1e-5, rtol=1e-5)
    assert (weight == 1).all()


def test_returns_to_go():
    data = Collection(np.array([3, 2]), {"reward": np.float32([[1], [2], [3], [4], [5]])})
    assert data.returns_to_go()[:, 0].tolist() == [6, 5, 3, 9, 5]
    assert data.returns_to_go(0.5)[:, 0].tolist() == [2.75, 3.5, 3, 6.5, 5]
    assert data.returns.tolist() == [6, 9]


def test_a_collection_tells_what_is_wrong(tmp_path):
    data = collection()
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
    with pytest.raises(InputError, match="train the recipe first"):
        load_sequence(tmp_path)
