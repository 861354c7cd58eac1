"""The trunk against GPT-2, and what must not change an output: pads, the future, the cache."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch
from nanodt_toy import record, stretch, write_dataset

import nanodt
from nanodt.data.episodes import Episodes
from nanodt.data.folder import load_dataset
from nanodt.data.windows import Windows
from nanodt.driving.policy import Policy, window_start
from nanodt.model.heads import HeadConfig
from nanodt.model.layout import policy_layout
from nanodt.model.network import Network, NetworkConfig
from nanodt.model.trunk import Cache, Trunk, TrunkConfig, Write
from nanodt.packing import pack, pack_windows, ragged
from nanodt.place.odometry import OdometryConfig
from nanodt.text.encoders import TextConfig
from nanodt.text.tokenizer import train_tokenizer

TEXTS = [t for row in record(8) for t in row["texts"]]


TOY = {
    "n_obs": 3,
    "n_act": 2,
    "n_bd": 2,
    "action_low": (-1.0, -1.0),
    "action_high": (1.0, 1.0),
}


def small_model(block_size: int = 48, **changes) -> Network:
    """A random model with the toy's sizes, every parameter perturbed.

    `changes` are arguments of `policy_layout` or fields of `NetworkConfig`; `order` puts the slots
    of a step in another order.
    """
    torch.manual_seed(3)
    tokenizer = train_tokenizer(TEXTS, 400)
    odometry = changes.pop("odometry", None)
    fields = {k: changes.pop(k) for k in ("window", "bd_low", "bd_high") if k in changes}
    order, head = changes.pop("order", None), changes.pop("head", HeadConfig())
    text = TextConfig(vocabulary=tokenizer.vocabulary)
    layout = policy_layout(
        TOY, 60, block_size, text, head, odometry=odometry is not None, **changes
    )
    if order is not None:
        layout = replace(layout, slots=tuple(layout.slot(name) for name in order))
    config = NetworkConfig(
        layout, TrunkConfig(2, 2, 32), block_size=block_size, odometry=odometry, **fields
    )
    model = Network(config)
    model.text.source = tokenizer
    with torch.no_grad():
        for p in model.parameters():
            p += 0.1 * torch.randn_like(p)
    return model.eval()


def read(model: Network, batch) -> torch.Tensor:
    """Hidden states [M, C] at which the actions are read."""
    return model.hidden(batch, ["action"])["action"][:, 0]


def test_trunk_is_gpt2():
    """The weights of a random GPT2Model give its hidden states to 1e-5."""
    transformers = pytest.importorskip("transformers")
    torch.manual_seed(0)
    theirs = transformers.GPT2Model(
        transformers.GPT2Config(vocab_size=11, n_positions=40, n_embd=48, n_layer=3, n_head=4)
    ).eval()
    ours = Trunk(TrunkConfig(3, 4, 48)).eval()
    names = {
        "ln_1": "norm1",
        "attn.c_attn": "qkv",
        "attn.c_proj": "proj",
        "ln_2": "norm2",
        "mlp.c_fc": "up",
        "mlp.c_proj": "down",
    }
    with torch.no_grad():
        for p in theirs.parameters():  # zero biases and unit norms would hide mistakes
            p += 0.1 * torch.randn_like(p)
        weights = {}
        for name, w in theirs.state_dict().items():
            if name.startswith("h."):
                _, layer, rest = name.split(".", 2)
                part, kind = rest.rsplit(".", 1)
                if part in names:
                    turned = w.t() if w.dim() == 2 else w  # GPT-2 stores its matrices transposed
                    weights[f"blocks.{layer}.{names[part]}.{kind}"] = turned
            elif name.startswith("ln_f."):
                weights["norm." + name.split(".")[1]] = w
        ours.load_state_dict(weights)
        x = torch.randn(2, 40, 48)
        expected = theirs(inputs_embeds=x).last_hidden_state
        found = ours(x + theirs.wpe.weight[None])  # GPT-2 adds its position table by itself
    assert (expected - found).abs().max() < 1e-5


def test_heads_must_share_the_width():
    with pytest.raises(nanodt.InputError, match="n_embd=126 or 132, or n_head=4 or 8"):
        TrunkConfig(n_layer=4, n_head=6, n_embd=128)


def test_last_block_may_skip_what_is_not_read():
    trunk = Trunk(TrunkConfig(2, 2, 32)).eval()
    x, read = torch.randn(3, 10, 32), torch.tensor([4, 9, 25])
    torch.testing.assert_close(trunk(x, read=read), trunk(x).flatten(0, 1)[read])


def test_cache_with_rows_of_different_lengths():
    """Filling and extending rows of 3 and 5 tokens gives the states of whole rows."""
    trunk = Trunk(TrunkConfig(2, 2, 32)).eval()
    x, lengths = torch.randn(2, 9, 32), torch.tensor([3, 5])
    cache = Cache(trunk.config, 2, 9, x)
    with torch.no_grad():
        trunk(x[:, :5], Write(cache))  # row 0 holds two stale columns, to be overwritten
        columns = lengths[:, None] + torch.arange(3)
        new = torch.stack([x[i, c] for i, c in enumerate(columns)])
        found = trunk.extend(new, cache, columns)
        whole = trunk(x)
    expected = torch.stack([whole[i, c[-1]] for i, c in enumerate(columns)])
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)


def test_pack_lays_out_rows():
    text, steps = np.array([2, 0]), np.array([1, 2])
    place, first = pack(text, steps, 3)
    # flat tokens: 0 1 = text, 2..4 = step of row 0, 5..10 = steps of row 1, 11 = pad
    assert place.tolist() == [[0, 1, 2, 3, 4, 11], [5, 6, 7, 8, 9, 10]]
    assert first.tolist() == [2, 6, 6 + 3]
    assert [x.tolist() for x in ragged(np.array([2, 0, 1]))] == [[0, 0, 2], [0, 1, 0]]


@pytest.fixture(scope="module")
def windows(tmp_path_factory) -> Windows:
    folder = write_dataset(tmp_path_factory.mktemp("data"), record(20))
    model = small_model()
    return Windows(load_dataset(folder).split("train"), model)


def test_row_alone_equals_row_in_a_batch(windows):
    """Pads and neighbours change nothing: each row's hidden states are those it has alone."""
    model = small_model()
    plan = windows.plan(np.random.default_rng(0), 6, 0.4, 0.4)
    assert len(set(plan.steps)) > 1  # rows of different lengths: some are padded
    with torch.no_grad():
        together = read(model, windows.batch(plan)).split(plan.steps.tolist())
        for i, expected in enumerate(together):
            alone = read(model, windows.batch(plan.rows(slice(i, i + 1))))
            torch.testing.assert_close(alone, expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(("tokens", "unseen"), [(3, False), (1, False), (3, True)])
def test_windows_that_share_a_text_equal_windows_alone(windows, tokens, unseen):
    """Computed once or once for each window, a text does the same; gradients too."""
    model = small_model(tokens_per_step=tokens, window=7)
    if unseen:
        layout, own = model.config.layout, model.config
        slots = tuple(replace(s, unseen=s.name == "bd") for s in layout.slots)
        weights, source = model.state_dict(), model.text.source
        model = Network(replace(own, layout=replace(layout, slots=slots))).eval()
        model.load_state_dict(weights)
        model.text.source = source
    windows = Windows(windows.episodes, model)
    shared = windows.plan(np.random.default_rng(0), 5, 0.3, 0.3, windows=3)
    assert shared.start.shape == (5, 3) and shared.timesteps == 3 * shared.steps.sum()
    assert (np.diff(shared.start, axis=1) != 0).any()
    batch = windows.batch(shared)
    together = read(model, batch)
    together.square().sum().backward()
    gradient = [p.grad.clone() for p in model.parameters() if p.grad is not None]
    model.zero_grad()
    parts = []
    for row in range(5):
        for start in shared.start[row]:
            alone = shared.rows(slice(row, row + 1))
            alone.start = start.reshape(1, 1)
            parts.append(read(model, windows.batch(alone)))
    torch.testing.assert_close(together, torch.cat(parts), atol=1e-5, rtol=1e-5)
    torch.cat(parts).square().sum().backward()
    again = [p.grad for p in model.parameters() if p.grad is not None]
    for a, b in zip(gradient, again, strict=True):
        torch.testing.assert_close(a, b, atol=1e-3, rtol=1e-3)
    once = sum(len(windows.table.take(shared.text[[i]])[0]) for i in range(5))
    spare = {3: 1, 1: 0}[tokens]  # the last action of a window, which nothing looks at
    assert batch.tokens == once + tokens * shared.timesteps - 15 * spare


def test_pack_lays_windows_out_behind_their_text():
    place, first = pack_windows(np.array([2, 0]), np.array([1, 2]), 3, windows=2, spare=1)
    # flat tokens: 0 1 = text, 2..7 = steps of row 0, 8..19 = steps of row 1, 20 = pad
    assert place[0].tolist() == [0, 1, *(2, 3, 20, 20, 20), *(5, 6, 20, 20, 20)]
    assert place[1].tolist() == [20, 20, *range(8, 13), *range(14, 19)]
    assert first.tolist() == [2, 7, 14, 17, 19, 22]


@pytest.mark.parametrize("hide_actions", [False, True])
def test_one_token_per_step(windows, hide_actions):
    """Rows hold text and one token a step, which tells of bd, o and the action before, or not."""
    model = small_model(tokens_per_step=1, hide_actions=hide_actions)
    windows = Windows(windows.episodes, model)
    plan = windows.plan(np.random.default_rng(0), 1, 0.0, 0.0)
    batch, k = windows.batch(plan), int(plan.steps[0]) // 2
    assert batch.tokens == windows.table.lengths[plan.text[0]] + plan.steps[0]
    with torch.no_grad():
        before = read(model, batch)
        batch.values["action"][k] += 1
        after = read(model, batch)
        torch.testing.assert_close(after[: k + 1], before[: k + 1], atol=0, rtol=0)
        assert (after[k + 1 :] != before[k + 1 :]).any() != hide_actions
        batch.values["obs"][k] += 1
        assert (read(model, batch)[k] - after[k]).abs().max() > 1e-3


def test_future_changes_nothing(windows):
    """What comes after an observation does not change the action predicted at it."""
    model = small_model()
    plan = windows.plan(np.random.default_rng(1), 1, 0.0, 0.0)
    with torch.no_grad():
        before = read(model, windows.batch(plan))
        batch = windows.batch(plan)
        k = int(plan.steps[0]) // 2
        batch.values["action"][k:] += 1  # the action of step k is read at o, before it
        batch.values["obs"][k + 1 :] += 1
        after = read(model, batch)
    torch.testing.assert_close(after[: k + 1], before[: k + 1], atol=1e-6, rtol=1e-6)
    assert (after[k + 1 :] - before[k + 1 :]).abs().max() > 1e-3


def test_hidden_actions_change_nothing(windows):
    """With hide_actions no past action enters; in training and in driving alike."""
    model = small_model(hide_actions=True)
    plan = windows.plan(np.random.default_rng(1), 3, 0.0, 0.0)
    with torch.no_grad():
        batch = windows.batch(plan)
        before = read(model, batch)
        batch.values["action"] += 1
        torch.testing.assert_close(read(model, batch), before, atol=0, rtol=0)
    obs = np.random.default_rng(0).normal(size=(9, 1, 3)).astype(np.float32)
    plain, changed = Policy(model), Policy(model)
    for step in obs:
        assert (plain.act(step) == changed.act(step)).all()
        for step_values in changed.values["action"].unbind(1):
            step_values += 1


def test_dropped_is_not_zero(windows):
    """Without text, without BD and with both, predictions differ."""
    model = small_model()
    rng = np.random.default_rng
    with torch.no_grad():
        outs = [
            read(model, windows.batch(windows.plan(rng(2), 1, no_text, no_bd)))[0]
            for no_text, no_bd in ((0, 0), (1, 0), (0, 1), (1, 1))
        ]
    for i in range(4):
        for j in range(i):
            assert (outs[i] - outs[j]).abs().max() > 1e-3


def test_windows_hold_the_right_steps(windows):
    """A window is a stretch of its trajectory that fits, with its own text and bd."""
    data, config = windows.episodes, windows.network.config
    plan = windows.plan(np.random.default_rng(3), 200, 0.1, 0.1)
    batch = windows.batch(plan)
    row, inner = ragged(plan.steps)
    for m in range(0, len(row), 37):
        i, t = plan.episode[row[m]], plan.start[row[m], 0] + inner[m]
        assert batch.time[m] == t < data.length[i]
        assert (batch.values["obs"][m].numpy() == data.steps["obs"][data.first[i] + t]).all()
        assert (batch.values["action"][m].numpy() == data.steps["action"][data.first[i] + t]).all()
    for r in range(0, 200, 11):
        assert (batch.values["bd"][r].numpy() == data.each["bd"][plan.episode[r]]).all()
        if plan.text[r] >= 0:
            owner = np.searchsorted(np.cumsum(windows.text_count), plan.text[r], side="right")
            assert owner == plan.episode[r]
    lengths = np.where(plan.text >= 0, windows.table.lengths[plan.text], 0)
    used = lengths + 3 * plan.steps
    assert (used <= config.block_size).all()
    full = plan.steps < data.length[plan.episode]
    assert (config.block_size - used[full] < 3).all()  # no row wastes room
    assert (plan.start == 0).mean() > 0.25  # all acting begins there
    assert 0.03 < (plan.text < 0).mean() < 0.2 and 0.03 < plan.bd_dropped.mean() < 0.2


def test_corrupted_tokens(windows):
    """Some tokens are others, more in some texts than in others; all else is as without noise."""
    clean = windows.batch(windows.plan(np.random.default_rng(3), 200, 0.1, 0.1))
    noisy = windows.batch(
        windows.plan(np.random.default_rng(3), 200, 0.1, 0.1, token_corruption=0.1)
    )
    changed = (clean.text != noisy.text).float()
    assert 0.05 < changed.mean() < 0.15 and noisy.text.max() < windows.vocabulary
    firsts = torch.cumsum(noisy.text_position == 0, 0)
    share = torch.bincount(firsts, changed) / torch.bincount(firsts).clamp(min=1)
    assert share.max() > 0.12 and (share < 0.05).float().mean() > 0.1
    assert torch.equal(clean.values["obs"], noisy.values["obs"])
    assert torch.equal(clean.place, noisy.place)


def test_every_step_is_a_target_often_enough(windows):
    plan = windows.plan(np.random.default_rng(4), 20_000, 0.0, 0.0)
    row, inner = ragged(plan.steps)
    count = np.bincount(plan.start[row, 0] + inner)
    steps, length = plan.steps.min(), len(count)
    assert count.min() > 0.95 * 20_000 * steps / (length + steps - 1)


@pytest.mark.parametrize("room", [1, 2, 5, 8])
def test_window_when_acting(room):
    """The context grows to `room` steps, then drops to its newest half."""
    start = [int(window_start(t, np.array([room]))[0]) for t in range(40)]
    held = [t - s + 1 for t, s in enumerate(start)]
    assert held[:room] == list(range(1, room + 1))
    assert max(held) == room
    after_drop = [h for a, h in pairwise(held) if h <= a]
    for t in range(1, 40):
        assert start[t] == start[t - 1] or held[t - 1] == room
    assert set(after_drop) <= {room // 2 + 1 if room > 1 else 1}


@pytest.mark.parametrize("tokens", [3, 1])
@pytest.mark.parametrize("hide_actions", [False, True])
@pytest.mark.parametrize("head", ["mse", "clusters", "bins"])
def test_cached_equals_uncached(head, hide_actions, tokens):
    """60 steps over several evictions, texts of different lengths, given and dropped."""
    kind = HeadConfig(head, clusters=4, bins=5)
    kinds = {"head": kind, "hide_actions": hide_actions, "tokens_per_step": tokens}
    model = small_model(block_size=36 if tokens == 1 else 40, **kinds)
    model.heads["action"].fit(torch.randn(100, 2))
    rng = np.random.default_rng(0)
    texts = [t + " now" * i for i, t in enumerate(TEXTS[:5])]
    bd = rng.normal(size=(5, 2)).astype(np.float32)
    for command in ({"text": texts, "bd": bd}, {"text": texts}, {"bd": bd}, {}):
        cached, uncached = Policy(model), Policy(model, cache=False)
        for _ in range(60):
            obs = rng.normal(size=(5, 3)).astype(np.float32)
            a, b = cached.act(obs, **command), uncached.act(obs, **command)
            assert np.abs(a - b).max() < 1e-4


WHEELS = {"axle": 2.0, "start": [1.0, 2.0, 0.5], "contact": [2]}
PRESETS = {
    "tokens_per_step": 1,
    "hide_actions": True,
    "odometry": OdometryConfig.from_json(WHEELS),
    "visitation_map": 3,
    "bd_low": (-6.0, 0.0),
    "bd_high": (6.0, 12.0),
}


@pytest.mark.parametrize(
    "layout", [{}, {"tokens_per_step": 1}, {"window": 7}, PRESETS, {**PRESETS, "window": 5}]
)
def test_acting_sees_what_training_showed(windows, layout):
    """Teacher-forced, the policy acts as the head does on training windows, past hops as well."""
    model = small_model(block_size=100, **layout)
    data, i = windows.episodes, 3
    whole = Windows(data, model)
    policy, starts = Policy(model), set()
    with torch.no_grad():
        for t in range(int(data.length[i])):
            step = int(data.first[i]) + t
            found = policy.act(
                data.steps["obs"][step][None], data.texts[i][:1], data.each["bd"][i][None]
            )
            start = int(window_start(t, policy.capacity)[0])
            starts.add(start)
            hidden = read(model, whole.batch(stretch(whole, i, start, t + 1 - start)))[-1:]
            expected = model.heads["action"].sample(hidden, policy.sampling).clamp(-1, 1)
            np.testing.assert_allclose(found, expected.numpy(), atol=1e-5)
            policy.put("action", data.steps["action"][step][None])  # driven, not what it chose
    assert (len(starts) > 3) == ("window" in layout)


@pytest.mark.parametrize("layout", [{}, PRESETS])
def test_one_batch_holds_robots_with_and_without_text_and_bd(layout):
    """A text of None and a row of NaN leave them out for one robot, over several evictions."""
    model = small_model(**layout)
    rng = np.random.default_rng(0)
    texts = [t + " now" * i for i, t in enumerate(TEXTS[:4])]
    bd, obs = rng.normal(size=(4, 2)).astype(np.float32), rng.normal(size=(60, 4, 3)).astype("f4")
    nothing = np.full((4, 2), np.nan, np.float32)
    mixed, blank = [texts[0], None, texts[2], None], np.where([[1], [1], [0], [0]], bd, nothing)
    together = Policy(model)
    alone = [Policy(model) for _ in range(4)]
    for seen in obs:
        for i, action in enumerate(together.act(seen, mixed, blank)):
            text = None if mixed[i] is None else [mixed[i]]
            place = None if i > 1 else bd[i][None]
            expected = alone[i].act(seen[i][None], text, place)[0]
            assert np.abs(action - expected).max() < 1e-4


def test_odometry_begins_where_the_robots_are_said_to_stand():
    model = small_model(**PRESETS)
    begins = np.array([[1.0, 2.0, 0.5], [-3.0, 4.0, 2.0]])
    usual, moved = Policy(model), Policy(model)
    moved.reset(0, begins)
    seen = np.zeros((2, 3), np.float32)
    plain, told = usual.act(seen), moved.act(seen)
    assert (plain[0] == told[0]).all() and (plain[1] != told[1]).any()
    np.testing.assert_allclose(moved.reckoned, begins)
    moved.reset(0, begins[:1])
    with pytest.raises(nanodt.InputError, match=r"start has shape \[1, 3\], not \[2, 3\]"):
        moved.act(seen)


def test_the_order_of_tokens_is_a_fact_of_the_layout_alone(windows):
    """[o, bd, a]: read at bd, driven with and without a cache alike, and as training showed it."""
    model = small_model(order=("obs", "bd", "action"))
    assert model.stream.reads["action"].tolist() == [1] and model.stream.first["bd"] == 1
    rng = np.random.default_rng(0)
    texts = [t + " now" * i for i, t in enumerate(TEXTS[:5])]
    bd = rng.normal(size=(5, 2)).astype(np.float32)
    cached, uncached = Policy(model), Policy(model, cache=False)
    usual = Policy(small_model())
    for _ in range(60):
        obs = rng.normal(size=(5, 3)).astype(np.float32)
        a, b = cached.act(obs, texts, bd), uncached.act(obs, texts, bd)
        assert np.abs(a - b).max() < 1e-4
        assert np.abs(a - usual.act(obs, texts, bd)).max() > 1e-3
    test_acting_sees_what_training_showed(windows, {"order": ("obs", "bd", "action"), "window": 7})
    assert cached.network.config.layout != usual.network.config.layout


def test_draws_follow_lengths_weights_and_texts():
    """A trajectory is drawn as often as its steps times its weight, its texts equally often."""
    length, weight = np.array([10, 30, 20, 40]), np.array([1.0, 3.0, 0.0, 1.0])
    rng = np.random.default_rng(0)
    data = Episodes(
        length,
        {
            "obs": rng.normal(size=(100, 3)).astype(np.float32),
            "action": rng.normal(size=(100, 2)).astype(np.float32),
        },
        {"bd": np.zeros((4, 2), np.float32)},
        [[TEXTS[0], TEXTS[1]]] * 4,
        weight=weight,
    )
    model = small_model(block_size=60)
    plan = Windows(data, model).plan(np.random.default_rng(1), 20_000, 0.0, 0.0)
    share = np.bincount(plan.episode, minlength=4) / 20_000
    np.testing.assert_allclose(share, length * weight / (length * weight).sum(), atol=0.015)
    assert abs((plan.text % 2).mean() - 0.5) < 0.015
