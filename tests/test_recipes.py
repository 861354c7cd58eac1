"""The recipes: their layouts, codecs and planning shown right on small models; commands; bad input.

The trained ones, with their marks, are under `make recipes`.
"""

from __future__ import annotations

import itertools
import json
import sys
from dataclasses import replace
from importlib.util import find_spec

import numpy as np
import pytest
import torch
from nanodt_toy import stretch

from nanodt.data.windows import Windows
from nanodt.errors import InputError
from nanodt.family.hf import from_hf, load_hf, predict, to_hf
from nanodt.family.planner import Beam, Planner
from nanodt.family.recipes.command import NAMES, get_recipe, run, table
from nanodt.family.sources import collect, load_episodes, make_env, save_npz
from nanodt.family.trajectories import Trajectories
from nanodt.model.heads import Sampling
from nanodt.model.network import Network
from nanodt.model.trunk import TrunkConfig
from nanodt.packing import Batch
from nanodt.train import main as train_main
from nanodt.training.trainer import Trainer


def cartpole_data(n: int = 20) -> Trajectories:
    env = make_env("CartPole-v1")
    return collect(env, lambda i: lambda obs, rng: int(rng.integers(2)), n, 0)


def window(data: Trajectories, model: Network, steps: int, episode: int = 0) -> Batch:
    """The first steps of one episode, as a batch."""
    windows = Windows(data, model)
    return windows.batch(stretch(windows, episode, 0, steps))


def perturb(model: torch.nn.Module) -> None:
    """Zero biases and unit norms would hide mistakes."""
    with torch.no_grad():
        for p in model.parameters():
            p += 0.1 * torch.randn_like(p)


def theirs_and_inputs(activation: str, attention: str):
    transformers = pytest.importorskip("transformers")
    torch.manual_seed(0)
    config = transformers.DecisionTransformerConfig(
        state_dim=5,
        act_dim=3,
        hidden_size=48,
        max_ep_len=60,
        n_layer=3,
        n_head=2,
        activation_function=activation,
        attn_implementation=attention,
    )
    model = transformers.DecisionTransformerModel(config).eval()
    perturb(model)
    mask = torch.ones(4, 8, dtype=torch.long)
    mask[1, :3] = mask[2, :7] = 0  # left padding
    inputs = {
        "states": torch.randn(4, 8, 5),
        "actions": torch.rand(4, 8, 3) * 2 - 1,
        "returns_to_go": torch.randn(4, 8, 1),
        "timesteps": torch.randint(0, 60, (4, 8)),
        "attention_mask": mask,
    }
    return model, config, inputs


@torch.no_grad()
def ask(model, inputs) -> dict[str, torch.Tensor]:
    out = model(**inputs, rewards=inputs["returns_to_go"])
    return {k: out[k] for k in ("action_preds", "state_preds", "return_preds")}


@pytest.mark.parametrize("activation", ["relu", "gelu", "gelu_new"])
@pytest.mark.parametrize("attention", ["eager", "sdpa"])
def test_dt_is_hugging_faces(activation, attention):
    """Equal predictions to 1e-5 at unmasked positions, in their form, in ours, and back again."""
    theirs, config, inputs = theirs_and_inputs(activation, attention)
    expected, real = ask(theirs, inputs), inputs["attention_mask"].bool()
    ours = from_hf(theirs.state_dict(), config.to_dict())
    weights, fields = to_hf(ours)
    again = type(theirs)(type(config)(**fields)).eval()
    again.load_state_dict(weights)
    for found in (predict(ours, **inputs), ask(again, inputs)):
        for name, value in expected.items():
            assert (found[name] - value)[real].abs().max() < 1e-5, name


def continuous_data() -> Trajectories:
    """Six trajectories of 9 steps, with actions from -3 to 3."""
    rng = np.random.default_rng(0)
    steps = {
        "obs": rng.normal(3, 5, (54, 4)),
        "action": rng.uniform(-3, 3, (54, 2)),
        "reward": np.ones((54, 1)),
    }
    return Trajectories(
        np.full(6, 9),
        {k: v.astype(np.float32) for k, v in steps.items()},
        info={"action_low": [-3, -3], "action_high": [3, 3]},
    )


def test_a_trained_dt_goes_to_hugging_face():
    """Statistics of states and returns, and the actions' bounds, are folded into the weights."""
    transformers = pytest.importorskip("transformers")
    recipe, data = get_recipe("dt"), continuous_data()
    options = recipe.options(n_embd=32, n_layer=1, longest=9)
    data = recipe.prepare(options, data)
    model = recipe.build(options, data)
    perturb(model)
    batch = window(data, model, 9)
    with torch.no_grad():
        hidden = model.hidden(batch, ["obs", "action"])
        state = model.heads["obs"].restore(model.heads["obs"].out(hidden["obs"][:, 0]))
        action = model.heads["action"].sample(hidden["action"][:, 0], Sampling()) / 3
    weights, fields = to_hf(model)
    theirs = transformers.DecisionTransformerModel(
        transformers.DecisionTransformerConfig(**fields)
    ).eval()
    theirs.load_state_dict(weights)
    found = ask(
        theirs,
        {
            "states": batch.values["obs"][None],
            "actions": batch.values["action"][None] / 3,
            "returns_to_go": batch.values["rtg"][None],
            "timesteps": batch.time[None],
            "attention_mask": torch.ones(1, 9),
        },
    )
    torch.testing.assert_close(found["action_preds"][0], action, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(found["state_preds"][0], state, atol=1e-3, rtol=1e-4)


def test_another_architecture_is_refused():
    theirs, config, _ = theirs_and_inputs("relu", "eager")
    weights, fields = theirs.state_dict(), config.to_dict()
    for change, message in (
        ({"model_type": "gpt2"}, "model_type is gpt2, not decision_transformer: give a checkpoint"),
        ({"activation_function": "silu"}, "activation_function='silu' is not supported"),
        ({"scale_attn_by_inverse_layer_idx": True}, "scale_attn_by_inverse_layer_idx=True"),
        ({"n_inner": 7}, "n_inner=7"),
        ({"n_layer": 4}, r"no tensor encoder.h.3"),
        ({"state_dim": 6}, "expected .48, 6."),
    ):
        with pytest.raises(InputError, match=message):
            from_hf(weights, {**fields, **change})
    with pytest.raises(InputError, match="no hidden_size: give a checkpoint"):
        from_hf(weights, {k: v for k, v in fields.items() if k != "hidden_size"})


def test_a_checkpoint_is_read_from_its_folder(tmp_path):
    theirs, _, inputs = theirs_and_inputs("relu", "sdpa")
    theirs.save_pretrained(tmp_path / "dt")
    found = predict(load_hf(tmp_path / "dt"), **inputs)
    expected, real = ask(theirs, inputs), inputs["attention_mask"].bool()
    assert (found["action_preds"] - expected["action_preds"])[real].abs().max() < 1e-5
    with pytest.raises(InputError, match=r"config.json does not exist: give a checkpoint"):
        load_hf(tmp_path)
    (tmp_path / "dt" / "model.safetensors").rename(tmp_path / "dt" / "pytorch_model.bin")
    with pytest.raises(InputError, match="pickled"):
        load_hf(tmp_path / "dt")
    (tmp_path / "dt" / "model.safetensors").write_bytes(b"nothing")
    with pytest.raises(InputError, match="cannot be read"):
        load_hf(tmp_path / "dt")


def tt_model() -> tuple[Network, Trajectories]:
    recipe = get_recipe("tt")
    options = recipe.options(n_layer=1, n_head=2, n_embd=16, context=8, bins=12)
    data = cartpole_data()
    # Rewards that differ: of equal ones the classes between would all have the same centre.
    varied = np.random.default_rng(0).normal(size=data.steps["reward"].shape)
    data = recipe.prepare(options, data.with_steps(reward=varied))
    model = recipe.build(options, data)
    perturb(model)
    return model.eval(), data


def test_beam_finds_the_best_plan():
    """With every pair of actions drawn and kept, the plan is the best of all pairs, each computed
    without a cache from the whole window; of many models, with either action as the best."""
    model, data = tt_model()
    beam = Beam(horizon=2, width=40, expand=1, discount=0.9, context=4)
    first_of, steps, chosen = data.first[data.length > 6], 6, []
    for start in first_of[:12]:
        perturb(model)
        # So hot that either action is drawn, however unlikely.
        planner, taken = Planner(model, beam, sampling=Sampling("temperature", 1e3), seed=1), []
        for t in range(steps):
            obs = data.steps["obs"][start + t : start + t + 1]
            taken.append(planner.act(obs, reward=np.ones(1, np.float32))[0])
        first = int(planner.policy.start[0])
        now = {
            "obs": list(data.steps["obs"][start + first : start + steps]),
            "action": taken[first:],
            "reward": [np.ones(1, np.float32)] * (steps - first),
        }
        best = {
            pair: plan_without_cache(model, now, pair, beam.discount)
            for pair in itertools.product((0.0, 1.0), repeat=2)
        }
        assert len(set(best.values())) == 4
        assert taken[-1] == max(best, key=lambda pair: best[pair])[0]
        chosen.append(float(taken[-1][0]))
    assert len(chosen) == 12 and len(set(chosen)) == 2


@torch.no_grad()
def plan_without_cache(model, now, pair, discount) -> float:
    """Score of acting so for two steps from the last observation of `now`."""
    values = {k: [np.float32(v) for v in rows] for k, rows in now.items()}
    total = 0.0
    for step, action in enumerate(pair):
        values["action"] = [*values["action"][: len(values["obs"]) - 1], np.float32([action])]
        rewards = values["reward"][: len(values["obs"]) - 1]
        for name in ("reward", "value"):
            n = len(values["obs"])
            values["reward"] = [*rewards, np.float32([0])][:n] if name == "reward" else rewards
            values["value"] = [np.zeros(1, np.float32)] * n
            p = last(model, values, name).softmax(-1)[0]
            expected = float(p @ model.codes[name].codec.centres[0].float())
            if name == "reward":
                total += discount**step * expected
                likeliest = model.codes[name].codec.centres[0][p.argmax()]
                rewards = [*rewards, np.float32([likeliest])]
                worth = 0.0
            else:
                worth = discount ** (step + 1) * expected
        values["reward"] = rewards
        obs = np.zeros(4, np.float32)
        for number in range(4):
            grown = {
                "obs": [*values["obs"], obs],
                "action": [*values["action"], np.zeros(1, np.float32)],
                "reward": [*values["reward"], np.zeros(1, np.float32)],
                "value": [np.zeros(1, np.float32)] * (len(values["obs"]) + 1),
            }
            k = last(model, grown, "obs")[number].argmax()
            obs = obs.copy()
            obs[number] = float(model.codes["obs"].codec.centres[number][k])
        values["obs"] = [*values["obs"], obs]
    return total + worth


def last(model, values, name) -> torch.Tensor:
    """Logits [D, bins] of a slot at the last step of a window."""
    n = len(values["obs"])
    steps = {k: np.stack(v) for k, v in values.items()}
    batch = window(Trajectories(np.array([n]), steps), model, n)
    return model.heads[name].logits(model.hidden(batch, [name])[name])[-1]


def test_beam_refuses_other_layouts():
    model, _ = tt_model()
    with pytest.raises(InputError, match="exceed the model's context of 8"):
        Planner(model, Beam(horizon=4, context=5))
    recipe = get_recipe("cartpole")
    data = recipe.prepare(recipe.options(), cartpole_data(2))
    with pytest.raises(InputError, match="the layout of recipe tt"):
        Planner(recipe.build(recipe.options(n_embd=16), data), Beam())


def test_gradients_are_the_mean_of_the_sources():
    recipe = get_recipe("cartpole")
    options = recipe.options(n_layer=1, n_embd=16, batch_size=4)
    data = recipe.prepare(options, cartpole_data())
    model = recipe.build(options, data)
    parts = [Windows(data.take(np.arange(i, i + 10)), model) for i in (0, 10)]
    found = []
    for some in (parts, parts[:1], parts[1:]):
        trainer = Trainer(model, some, options)
        rng = np.random.default_rng([options.seed, 0, 0])
        if some == parts[1:]:  # whose windows are drawn after the others'
            parts[0].plan(rng, 4)
            trainer._accumulate(parts[1], rng)
        else:
            trainer.gradients(0)
        found.append([p.grad.clone() for p in model.parameters() if p.grad is not None])
    for both, one, two in zip(*found, strict=True):
        torch.testing.assert_close(both, (one + two) / 2, atol=1e-6, rtol=1e-4)


@pytest.mark.parametrize("name", ["cartpole", "bet"])
def test_a_recipe_trains_is_kept_and_is_tried_again(name, tmp_path, capsys):
    """A few steps from the command line; --evaluate gives the same figures from the file."""
    small = ["--out", str(tmp_path), "--n-layer", "1", "--n-embd", "16", "--steps", "3"]
    small += ["--drives", "4", "--trajectories", "6"]
    assert train_main(["--recipe", name, *small]) in (0, 1)  # 1: a figure misses its mark
    first = json.loads((tmp_path / name / "result.json").read_text())
    assert run([name, *small, "--evaluate"]) in (0, 1)
    second = json.loads((tmp_path / name / "result.json").read_text())
    assert f"| {name} | {first['figures'][0]['name']} |" in table([first])
    assert first["figures"] == second["figures"] and len(first["figures"]) >= 4
    assert "wanted" in capsys.readouterr().out


def test_qdt_reads_a_dataset_folder(tmp_path, capsys):
    from nanodt_toy import record, write_dataset

    rows = record(40)
    for row in rows[::5]:
        row["split"] = "test"
    folder = write_dataset(tmp_path / "dataset", rows)
    assert run(["qdt", "--data", str(folder), "--out", str(tmp_path), "--steps", "2"]) in (0, 1)
    assert "cells" in capsys.readouterr().out


def test_trajectories_are_collected_once(tmp_path, monkeypatch):
    """Kept for the next time, also where an option is a tuple; anew with other options."""
    recipe, collected = get_recipe("dt"), []
    data = continuous_data()
    monkeypatch.setattr(type(recipe), "collect", lambda self, s: collected.append(s) or data)
    monkeypatch.setattr(type(recipe), "shaping", ("seed", "targets"))
    options = recipe.options(out=tmp_path)
    for changed in ({}, {}, {"seed": 1}, {"targets": (3.0,)}, {"targets": (3.0,)}):
        recipe.trajectories(replace(options, **changed))
    assert [(s.seed, len(s.targets)) for s in collected] == [(0, 6), (1, 6), (0, 1)]
    recipe.trajectories(replace(options, seed=9, evaluate=True))  # those the model learned from
    assert len(collected) == 3


def test_cartpole_leaks_no_label():
    """The action of a step, and all that follows, changes no prediction up to it."""
    recipe, data = get_recipe("cartpole"), cartpole_data(4)
    options = recipe.options(n_layer=2, n_head=2, n_embd=16, context=8)
    data = recipe.prepare(options, data)
    model = recipe.build(options, data)
    perturb(model)
    model.eval()
    t = 4
    batch = window(data, model, 8, int(data.length.argmax()))
    with torch.no_grad():
        before = model.hidden(batch, ["action"])["action"]
        batch.values["action"][t:] = 1 - batch.values["action"][t:]
        for name in ("obs", "rtg", "reward"):
            batch.values[name][t + 1 :] += 3.0
        after = model.hidden(batch, ["action"])["action"]
    torch.testing.assert_close(after[: t + 1], before[: t + 1], atol=1e-6, rtol=1e-6)
    assert (after[t + 1 :] - before[t + 1 :]).abs().max() > 1e-3


def test_bad_input_is_told_in_one_line(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    data = cartpole_data(3)
    save_npz(data, tmp_path / "cartpole.npz")
    for name, obs in (("wrong", data.steps["obs"][:, :3]), ("poor", data.steps["obs"])):
        save_npz(Trajectories(data.length, {"obs": obs}), tmp_path / f"{name}.npz")
    three = data.with_steps(obs=data.steps["obs"][:, :3])
    save_npz(three, tmp_path / "three.npz")
    save_npz(data.with_steps(action=data.steps["action"] + 1), tmp_path / "classes.npz")
    save_npz(replace(data, texts=[["one"]]), tmp_path / "texts.npz")
    long = np.tile(data.steps["obs"][:1], (501, 1))
    one = np.ones((501, 1), np.float32)
    save_npz(
        Trajectories(np.array([501]), {"obs": long, "action": one, "reward": one}),
        tmp_path / "long.npz",
    )
    np.savez(tmp_path / "info.npz", length=np.array([1]), info=np.array("{"))
    capsys.readouterr()
    absent = None if find_spec("mujoco") else "MuJoCo is not installed"
    for arguments, message in (
        (["nothing"], "no recipe 'nothing': there are dt, cartpole"),
        (["cartpole", "--data", str(tmp_path / "none.npz")], "none.npz does not exist"),
        (["cartpole", "--data", str(tmp_path / "wrong.npz")], "obs has 3 numbers a row"),
        (["cartpole", "--data", str(tmp_path / "poor.npz")], "no field 'action' (found obs)"),
        (["dt", "--data", str(tmp_path / "cartpole.npz")], absent or "needs continuous actions"),
        (["dt", "--preset", "published"], absent or "no controller of ours acts in Hopper-v5"),
        (["cartpole", "--evaluate"], "cartpole is not a trained model"),
        (["qdt", "--data", str(tmp_path / "cartpole.npz")], "no field 'bd'"),
        (["qdt"], "runs/demo/dataset does not exist"),
        (["tt", "--data", str(tmp_path / "three.npz")], "CartPole-v1 4: name the environment"),
        (["cartpole", "--data", str(tmp_path / "classes.npz")], "whole numbers from 0 to 1"),
        (
            ["cartpole", "--data", str(tmp_path / "long.npz")],
            "has 501 steps, this recipe",
        ),
        (["cartpole", "--data", str(tmp_path / "texts.npz")], "1 texts for 3 episodes"),
        (["cartpole", "--data", str(tmp_path / "info.npz")], "info is not JSON"),
        (["tt", "--horizon", "9", "--data", str(tmp_path / "cartpole.npz")], "--context 13"),
    ):
        assert run([*arguments, *(["--out", str(tmp_path)] if arguments[1:] else [])]) == 2
        error = capsys.readouterr().err
        assert message in error and error.startswith("error: ") and error.count("\n") == 1, error


def test_an_extra_that_is_missing_is_named(tmp_path, monkeypatch, capsys):
    """Without the packages of an environment, one line says what to install."""
    for module in ("mujoco", "h5py"):
        monkeypatch.setitem(sys.modules, module, None)
    for module in [m for m in sys.modules if m.startswith("gymnasium.envs.mujoco")]:
        monkeypatch.delitem(sys.modules, module)
    (tmp_path / "some" / "data").mkdir(parents=True)
    for arguments in (["dt"], ["cartpole", "--data", "minari:some"]):
        assert run([*arguments, "--out", str(tmp_path)]) == 2
        error = capsys.readouterr().err
        assert "pip install 'wayword[gym]'" in error and error.count("\n") == 1, error


def test_minari_datasets_are_read(tmp_path, monkeypatch):
    h5py = pytest.importorskip("h5py")
    data = cartpole_data(3)
    folder = tmp_path / "cart" / "random-v0" / "data"
    folder.mkdir(parents=True)
    with h5py.File(folder / "main_data.hdf5", "w") as file:
        for i, (first, n) in enumerate(zip(data.first, data.length, strict=True)):
            group = file.create_group(f"episode_{i}")
            span = slice(first, first + n)
            obs = data.steps["obs"][span]
            group["observations"] = np.concatenate([obs, obs[-1:]])  # one more than actions
            group["actions"] = data.steps["action"][span, 0].astype(np.int64)
            group["rewards"] = data.steps["reward"][span, 0]
            group["terminations"] = np.arange(n) == n - 1
            group["truncations"] = np.zeros(n, bool)
    (folder / "metadata.json").write_text(
        json.dumps({"action_space": json.dumps({"type": "Discrete", "n": 2})})
    )
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path))
    found = load_episodes("minari:cart/random-v0")
    for name in ("obs", "action", "reward"):
        assert (found.steps[name] == data.steps[name]).all()
    assert found.info == {"actions": 2} and found.each["terminated"].all()
    with pytest.raises(InputError, match=r"found cart/random-v0.*minari download other-v0"):
        load_episodes("minari:other-v0")


@pytest.mark.parametrize("name", NAMES)
def test_every_recipe_states_its_settings(name):
    """Its published options are options it has, and differ from the small preset."""
    recipe = get_recipe(name)
    assert recipe.name == name and recipe.source and recipe.title
    options = recipe.options(preset="published", **recipe.published)
    assert isinstance(options.trunk(), TrunkConfig)
    assert options != recipe.options(preset="published")
