"""Recipes mgdt, mddt, gato and tdt: layouts, exact tokens, masks and gradients on small models.

What they reach when trained is measured under `make recipes`.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from nanodt_toy import stretch

from nanodt.data.windows import Windows
from nanodt.driving.policy import Policy
from nanodt.errors import InputError
from nanodt.family.conditions import Drawn
from nanodt.family.recipes import babyai, mddt, tdt
from nanodt.family.recipes.command import get_recipe
from nanodt.family.recipes.control import PLACE, STATE, WIDTHS, MetaWorld, named
from nanodt.family.recipes.gato import Player
from nanodt.family.recipes.gato_tasks import PLACES, TASKS, WIDEST, Vocabulary
from nanodt.family.recipes.mgdt import LAST, PLUS
from nanodt.family.trajectories import Trajectories
from nanodt.model.heads import Sampling
from nanodt.model.stream import TokenStream
from nanodt.training.trainer import Trainer


def steps_of(length: np.ndarray, seed: int = 0, **sizes: int) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    total = int(length.sum())
    return {k: rng.normal(size=(total, n)).astype(np.float32) for k, n in sizes.items()}


def perturb(model: torch.nn.Module) -> None:
    with torch.no_grad():
        for p in model.parameters():
            p += 0.1 * torch.randn_like(p)


# Multi-Game DT


def mgdt_model():
    recipe, length = get_recipe("mgdt"), np.array([5, 9, 7, 4])
    steps = steps_of(length, obs=4)
    total = int(length.sum())
    steps["reward"] = np.ones((total, 1), np.float32)
    steps["action"] = (steps["obs"][:, :1] > 0).astype(np.float32)
    task = np.float32([[0], [1], [0], [1]])
    ended = np.float32([[1], [1], [0], [1]])
    data = Trajectories(length, steps, {"task": task, "terminated": ended})
    options = recipe.options(n_embd=32, n_layer=1, context=4)
    data = recipe.prepare(options, data)
    torch.manual_seed(0)
    model = recipe.build(options, data)
    perturb(model)
    return recipe, options, data, model.eval()


def test_mgdt_layout():
    """task, then s R* a* r* a step, each predicted at the token before it."""
    recipe, options, data, model = mgdt_model()
    stream = model.stream
    assert stream.first == {"obs": 0, "rtg": 1, "action": 2, "reward": 3} and stream.tokens == 4
    assert {k: v.tolist() for k, v in stream.reads.items()} == {
        "rtg": [0],
        "action": [1],
        "reward": [2],
    }
    windows = recipe.windows(options, model, data)[0]
    batch = windows.batch(windows.plan(np.random.default_rng(0), 6))
    assert batch.text.shape == (6,) and batch.place.shape == (6, 1 + 4 * 4)
    ends = data.first + data.length - 1
    assert data.steps["reward"][ends, 0].tolist() == [LAST, LAST, PLUS, LAST]
    assert (np.delete(data.steps["reward"], ends) == PLUS).all()
    assert data.steps["rtg"][data.first, 0].tolist() == data.length.tolist()
    other = replace(batch, text=1 - batch.text)
    losses = [float(model.losses(b)["action"][0].detach().sum()) for b in (batch, other)]
    assert abs(losses[0] - losses[1]) > 1e-3  # the task token is seen


@pytest.mark.parametrize("kappa", [0.0, 10.0])
def test_mgdt_draws_returns_by_its_own_belief_times_the_bias(kappa):
    """P(R) is proportional to exp(logit + kappa * place from 0 to 1)."""
    _, options, _, model = mgdt_model()
    n, obs = 6000, np.float32([[0.3, -0.2, 0.1, 0.5]])
    policy = Policy(
        model,
        {"rtg": Drawn(kappa)},
        sampling=Sampling("temperature"),
        text_ids=[np.array([1])] * n,
        seed=1,
    )
    policy.act(np.repeat(obs, n, 0))
    codec = model.codes["rtg"].codec
    drawn = torch.bincount(codec.encode(policy.value("rtg", 0))[:, 0], minlength=50) / n
    one = Policy(model, text_ids=[np.array([1])])
    one.open_step({"obs": obs}, np.zeros(1, np.float32))
    logits = model.heads["rtg"].logits(one.read(0)[:, None])[0, 0]
    expected = (logits + kappa * torch.arange(options.return_bins) / 49).softmax(-1)
    assert (drawn - expected.detach()).abs().sum() / 2 < 0.05


# MDDT


def mddt_data(n: int = 40) -> Trajectories:
    rng = np.random.default_rng(0)
    length = rng.integers(3, 12, n)
    steps = steps_of(length, obs=STATE, reward=1)
    task = (np.arange(n) % 5).astype(np.float32)[:, None]
    domain = (task == 4).astype(np.float32)
    width = np.repeat(np.where(domain[:, 0] > 0, 2, 4), length)
    valid = (np.arange(6) < width[:, None]).astype(np.float32)
    for name in ("action", "taught"):
        steps[name] = (rng.uniform(-1, 1, valid.shape) * valid).astype(np.float32)
    each = {"domain": domain, "task": task}
    return Trajectories(length, {**steps, "valid": valid}, each)


def mddt_model(**options):
    recipe = get_recipe("mddt")
    options = recipe.options(**{"n_layer": 1, "n_head": 2, "n_embd": 32, **options})
    data = recipe.prepare(options, mddt_data())
    return recipe, options, data, recipe.build(options, data)


def test_mddt_has_the_tensors_of_the_notes():
    recipe = get_recipe("mddt")
    published = {**recipe.published, "n_layer": 1}
    _, _, _, model = mddt_model(**published)
    sizes = {k: tuple(v.shape) for k, v in model.state_dict().items()}
    assert sizes["stream.codes.obs.net.weight"] == (768, 204)
    assert sizes["stream.codes.rtg.net.weight"] == sizes["stream.codes.reward.net.weight"]
    assert sizes["stream.codes.rtg.net.weight"] == (768, 1)
    assert sizes["stream.codes.action.table.weight"] == (65, 768)
    assert sizes["heads.action.out.weight"] == (64, 768) and sizes["stream.time.weight"][0] == 1000
    row = model.codes["action"].table.weight[64]
    assert (row == 0).all() and model.stream.tokens == 9
    # padded numbers are 0, and so in the middle of the bins
    assert model.codes["action"].codec.encode(torch.zeros(1, 6)).tolist() == [[32] * 6]
    reads = {k: v.tolist() for k, v in model.stream.reads.items()}
    assert reads == {"action": [1, 2, 3, 4, 5, 6]}  # R, a1 ... a5


def test_mddt_learns_nothing_from_masked_numbers():
    recipe, options, data, model = mddt_model()
    windows = recipe.windows(options, model, data)[1]  # actions of width 2
    plan = windows.plan(np.random.default_rng(0), 8)
    assert windows.targets(plan) == 2 * plan.timesteps
    batch = windows.batch(plan)
    caught = {}
    names = ["action"]
    plain = type(model).hidden

    def hidden(self, batch, names, trunk=None):
        found = plain(self, batch, names)
        found["action"].retain_grad()
        caught.update(found)
        return found

    type(model).hidden = hidden
    try:
        model.total(batch).backward()
    finally:
        type(model).hidden = plain
    gradient = caught[names[0]].grad
    assert (gradient[:, :2].abs().amax((0, 2)) > 0).all() and (gradient[:, 2:] == 0).all()
    assert (model.codes["action"].table.weight.grad[64] == 0).all()
    # and neither does another value of a masked target
    before = model.total(batch).detach()
    batch.values["taught"][:, 2:] = 0.9
    assert torch.equal(model.total(batch).detach(), before)


def test_mddt_follows_the_mean_of_both_domains():
    recipe, options, data, model = mddt_model(batch_size=8)
    sources = recipe.windows(options, model, data)
    rng, single = np.random.default_rng([options.seed, 0, 0]), []
    for domain, windows in enumerate(sources):
        plan = windows.plan(rng, 8)
        batch = windows.batch(plan)
        assert (batch.values["domain"] == domain).all()
        model.zero_grad()
        (model.total(batch) / windows.targets(plan)).backward()
        single.append([p.grad.clone() for p in model.parameters()])
    Trainer(model, sources, options).gradients(0)
    for p, a, b in zip(model.parameters(), *single, strict=True):
        torch.testing.assert_close(p.grad, (a + b) / 2, atol=1e-7, rtol=1e-4)


def test_mddt_decodes_the_environments_own_width():
    _, _, _, model = mddt_model()
    for width in (2, 4):
        policy = Policy(model, {"rtg": Drawn()} if "rtg" in model.heads else {}, width=width)
        action = policy.act({"obs": np.zeros((3, STATE), np.float32), "rtg": 1.0})
        assert action.shape == (3, width) and (abs(action) < 1).all()
    centres = model.codes["action"].codec.centres[0]
    assert centres[0] == -1 + 1 / 64 and centres[-1] == 1 - 1 / 64


def test_dm_control_states_have_places_of_their_own():
    assert len(WIDTHS) == 24 and STATE == 204
    state = named({"position": np.array([3.0, 4.0]), "height": 2.0})
    assert np.flatnonzero(state).tolist() == [PLACE["position"], PLACE["position"] + 1, 203]


# Gato


def test_gato_tokens_are_the_papers():
    paper = Vocabulary(32_000, 1024)
    seen, done = paper.observed, paper.done
    values = np.array([-256.0, 0.0, 1.0, 256.0])
    assert (paper.number(values, seen) - 32_000).tolist() == [0, 512, 744, 1023]
    assert paper.number(np.array([1e9]), seen)[0] == 33_023  # the last of the range, not one beyond
    inside = np.linspace(-1, 1, 20_001)
    ids = paper.number(inside, seen)
    assert ids.min() - 32_000 == 279 and ids.max() - 32_000 == 744
    assert abs(paper.value(ids, seen) - inside).max() < 0.01
    large = np.exp(np.linspace(np.log(0.1001), np.log(256), 20_000))
    large = np.concatenate([large, -large])
    assert (abs(paper.value(paper.number(large, seen), seen) - large) / abs(large)).max() <= 0.0112
    every = 32_000 + np.arange(1024)
    assert np.array_equal(paper.number(paper.value(every, seen), seen), every)
    action = np.linspace(-1, 1, 5001)
    assert abs(paper.value(paper.number(action, done), done) - action).max() <= 1 / 1024 + 1e-7
    ranges = [paper.words, paper.choices, paper.separator, paper.size]
    assert ranges == [32_000, 33_024, 34_048, 34_049]


def gato_model(**options):
    recipe = get_recipe("gato")
    options = recipe.options(**{"n_layer": 1, "n_head": 2, "n_embd": 32, **options})
    rng, length = np.random.default_rng(0), np.array([9, 14, 30, 11, 5, 4])
    steps = steps_of(length, obs=WIDEST, reward=1)
    task = np.repeat([0, 1, 2], 2)
    of_step = np.repeat(task, length)
    steps["obs"][of_step == 2] = rng.integers(0, 20, steps["obs"][of_step == 2].shape)
    steps["action"] = rng.integers(0, 2, (len(of_step), 1)).astype(np.float32)
    texts = [[""], [""], [""], [""], ["go to the red ball"], ["go to a grey key"]]
    data = Trajectories(length, steps, {"task": task.astype(np.float32)[:, None]}, texts)
    prepared = recipe.prepare(options, data)
    return recipe, options, data, prepared, recipe.build(options, prepared)


def test_gato_sequences_are_whole_timesteps_and_one_vocabulary():
    recipe, options, data, found, _ = gato_model(prompted=0.0)
    vocabulary = recipe.vocabulary(options)
    assert found.length.max() <= options.context
    task, ids = found.each["task"][:, 0], found.steps["token"][:, 0]
    for number, kind in enumerate(TASKS):
        own = found.take(np.flatnonzero(task == number))
        assert (own.length % kind.tokens == 0).all()
        raw = data.take(np.flatnonzero(data.each["task"][:, 0] == number))
        assert own.length.sum() == kind.tokens * raw.length.sum()  # nothing lost or repeated
        tokens = own.steps["token"].reshape(-1, kind.tokens)
        assert (tokens[:, -2] == vocabulary.separator).all()
        action = kind.act(vocabulary, tokens[:, -1:].astype(np.int64))
        assert abs(action - raw.steps["action"]).max() <= kind.bound / options.bins
        assert (kind.allowed(vocabulary)[tokens[:, -1]] == 0).all()
        learned = own.steps["learned"].reshape(-1, kind.tokens)[0]
        assert learned.tolist() == [1] * kind.words + [0] * (kind.obs + 1) + [1]
        assert own.steps["place"].reshape(-1, kind.tokens)[0, -1] == PLACES - 1
    assert ids.max() < vocabulary.size


def test_gato_learns_no_observation():
    recipe, options, _, found, model = gato_model()
    windows = recipe.windows(options, model, found)[0]
    batch = windows.batch(windows.plan(np.random.default_rng(0), 4))
    model.total(batch).backward()
    vocabulary, seen = recipe.vocabulary(options), batch.values["token"][:, 0].long()
    p = model.heads["token"].out.bias.grad
    targets = seen[batch.values["learned"][:, 0] > 0].unique()
    assert set(targets.tolist()) == {vocabulary.choices, vocabulary.choices + 1}
    assert (p[targets].abs() > 1e-3).all()
    # an observation's id is only ever pushed down: it is never a target
    others = seen[batch.values["learned"][:, 0] == 0].unique()
    assert (p[others] > 0).all()
    (loss, weight), *_ = model.losses(batch).values()
    assert len(loss) == len(weight) == int(batch.values["learned"].sum())


def test_gato_prompts_with_demonstrations_of_the_same_task():
    _, _, data, found, _ = gato_model(prompted=1.0, context=36)
    for number, kind in enumerate(TASKS):
        own = found.take(np.flatnonzero(found.each["task"][:, 0] == number))
        raw = data.take(np.flatnonzero(data.each["task"][:, 0] == number))
        assert own.length.max() <= 36
        assert own.length.sum() > kind.tokens * raw.length.sum()


def test_gato_acts_on_what_it_learns_on():
    """Token by token and past hops of the context: the action the whole window gives at once."""
    _, options, _, _, model = gato_model(context=34)
    perturb(model)
    model.eval()
    task, vocabulary = TASKS[1], get_recipe("gato").vocabulary(options)
    player = Player(model, task, vocabulary, Sampling("argmax"))
    assert player.policy.context == 30
    rng, starts = np.random.default_rng(0), set()
    player.reset(0)
    for _ in range(13):
        action = player.act(rng.normal(size=(2, 3)).astype(np.float32))
        policy = player.policy
        start = int(policy.start[0])
        starts.add(start)
        assert start % task.tokens == 0 and abs(action).max() <= 2
        held = range(start, policy.step + 1)
        window = {k: torch.stack([policy.value(k, t)[0] for t in held]) for k in policy.values}
        steps = {k: v.numpy() for k, v in window.items()}
        n = np.array([len(held)])
        steps["learned"] = np.ones((len(held), 1), np.float32)
        windows = Windows(Trajectories(n, steps), model)
        batch = windows.batch(stretch(windows, 0, 0, len(held)))
        with torch.no_grad():
            hidden = model.hidden(batch, ["token"])["token"][-1]
            logits = model.heads["token"].out(hidden) + task.allowed(vocabulary)
        assert logits.argmax() == window["token"][-1, 0]
    assert len(starts) > 2


# Text-conditioned DT


def test_babyai_views_become_objects():
    image = np.zeros((2, 7, 7, 3), np.uint8)
    image[..., 0] = 1
    image[:, 3, 2] = (2, 5, 0)  # a wall four cells ahead
    image[0, 3, 4] = (6, 0, 0)  # a red ball two cells ahead
    image[0, 0, 6] = (7, 4, 0)  # a yellow box three cells to the left
    pairs = babyai.look(image, 3)
    ball, box = 1 + 6 + 0, 1 + 12 + 4
    assert pairs[0].tolist() == [[ball, 25], [box, 6], [0, 49], [babyai.AHEAD, 23]]
    assert pairs[1].tolist() == [[0, 49]] * 3 + [[babyai.AHEAD, 23]]
    assert babyai.word_ids("go to the red ball").tolist() == [0, 1, 3, 4, 11]
    found = {k: v[0].tolist() for k, v in babyai.parts(pairs).items()}
    assert found == {
        "thing": [2, 3, 0, 4],
        "colour": [1, 5, 0, 0],
        "x": [3, 0, 7, 3],
        "y": [4, 6, 7, 2],
    }
    with pytest.raises(InputError, match="unknown words brown"):
        babyai.word_ids("go to the brown ball")


def tdt_model():
    recipe, length = get_recipe("tdt"), np.array([4, 6, 3])
    rng, total = np.random.default_rng(0), int(length.sum())
    kind, cell = rng.integers(0, babyai.AHEAD + 1, (total, 9)), rng.integers(0, 50, (total, 9))
    steps = {
        "obs": np.stack([kind, cell], 2).reshape(total, -1),
        "action": rng.integers(0, 7, (total, 1)),
        "reward": np.zeros((total, 1)),
    }
    texts = [["go to the red ball"], ["go to a blue box"], ["go to the grey key"]]
    data = Trajectories(length, {k: v.astype(np.float32) for k, v in steps.items()}, texts=texts)
    options = recipe.options(n_layer=1, n_head=2, n_embd=32, drives=4)
    prepared = recipe.prepare(options, data)
    model = recipe.build(options, prepared)
    perturb(model)
    return recipe, options, data, prepared, model


def test_tdt_layout():
    """words, then (things, a*) a step; what is known of a thing is one token."""
    recipe, options, data, found, model = tdt_model()
    stream: TokenStream = model.stream
    assert stream.tokens == 10
    assert stream.first == {"thing": 0, "colour": 0, "x": 0, "y": 0, "action": 9}
    assert stream.reads["action"].tolist() == [8]
    windows = recipe.windows(options, model, found)[0]
    batch = windows.batch(windows.plan(np.random.default_rng(0), 8))
    assert batch.place.shape[1] == 5 + 10 * options.context
    tokens = stream(batch.values, {}, batch.row, batch.time)
    for i in (0, 8):
        parts = (model.codes[k].table(batch.values[k][:, i].long()) for k in babyai.PARTS)
        expected = sum(parts) + stream.time(batch.time) + stream.local.weight[i]
        torch.testing.assert_close(tokens[:, i], expected)
    with pytest.raises(InputError, match="no array texts"):
        recipe.prepare(options, replace(data, texts=None))
    with pytest.raises(InputError, match="obs has 4 numbers a row, this recipe needs 18"):
        recipe.prepare(options, data.with_steps(obs=data.steps["obs"][:, :4]))


def test_tdt_gets_the_missions_or_those_of_others(monkeypatch):
    pytest.importorskip("minigrid")
    recipe, options, _, _, model = tdt_model()
    given = []

    class Recorded(Policy):
        def __init__(self, model, **options):
            given.append([ids.tolist() for ids in options["text_ids"]])
            super().__init__(model, **options)

    monkeypatch.setattr(tdt, "Policy", Recorded)
    monkeypatch.setattr(tdt, "TRIES", 3)
    rollouts, asked = recipe.drive(options, model)
    recipe.drive(options, model, shuffled=True)
    own = [babyai.word_ids(text).tolist() for text in asked]
    assert given[0] == own and given[1] == own[1:] + own[:1] != own
    assert rollouts.action.shape == (4, 3, 1)


def test_data_that_do_not_fit_are_refused():
    mgdt, _, games, _ = mgdt_model()
    gato, _, tasks, _, _ = gato_model()
    mddt = get_recipe("mddt")
    robots = mddt_data()
    for recipe, data, message in (
        (mgdt, replace(games, each={"task": games.each["task"] + 1}), "task must be 0 or 1"),
        (mgdt, replace(games, each={}), "no field 'task'"),
        (mgdt, games.with_steps(action=games.steps["action"] + 1), "action must be 0 or 1"),
        (gato, tasks.take(np.arange(4)), "no trajectory of task 2, GoToLocalS6N4"),
        (gato, replace(tasks, texts=None), "no array texts"),
        (mddt, robots.take(np.arange(4)), "no trajectory of task 4 .point_mass."),
        (mddt, robots.with_steps(obs=robots.steps["obs"][:, :39]), "needs 204"),
    ):
        with pytest.raises(InputError, match=message):
            recipe.prepare(recipe.options(), data)


def test_mddt_is_tried_on_goals_it_never_saw():
    pytest.importorskip("metaworld")
    for name in mddt.TASKS[:2]:
        learned, tried = (
            {bytes(goal.data) for goal in MetaWorld.draw(name, seed)} for seed in (0, 1)
        )
        assert len(learned) > 1 and not learned & tried
