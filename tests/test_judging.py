"""Judges in the evaluation: rules always, a model when there is one, against a local server."""

import json

import pandas as pd
import pytest
from run_factory import Planted, make_run
from werkzeug import Response

from archive_tools.run.stage import read_manifest
from archive_tools.stages import s08_rollout as rollouts
from archive_tools.stages import s09_evaluate as evaluate
from archive_tools.stages.s09_evaluate import EvaluateConfig
from envs import InputError

VERDICT = {"score": 0.7, "reached": ["the stove"], "missed": [], "extra": [], "in_order": True,
           "reasons": "it stops by the stove"}  # fmt: skip


KEY = "sk-secret-0123456789"


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    run = make_run(tmp_path_factory.mktemp("judging") / "run", n=60)
    config = rollouts.RolloutConfig(run=run, items=8, pairs=0)
    rollouts.run(config, lambda model: Planted(run))
    return run


@pytest.fixture
def server(httpserver, monkeypatch):
    """An OpenAI-compatible server that gives two scores in turn to each prompt."""
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    seen = []

    def answer(request):
        body = json.loads(request.data)
        seen.append(body["messages"][0]["content"])
        content = json.dumps({**VERDICT, "score": 0.6 + 0.2 * (seen.count(seen[-1]) % 2)})
        choice = {"index": 0, "finish_reason": "stop",
                  "message": {"role": "assistant", "content": content}}  # fmt: skip
        reply = {
            "id": "1",
            "object": "chat.completion",
            "created": 0,
            "model": "m",
            "choices": [choice],
            "usage": {"prompt_tokens": 9, "completion_tokens": 9, "total_tokens": 18},
        }
        return Response(json.dumps(reply), content_type="application/json")  # fmt: skip

    httpserver.expect_request("/v1/chat/completions", method="POST").respond_with_handler(answer)
    return httpserver.url_for("/v1"), seen


def records(folder):
    found = json.loads((folder / "metrics.json").read_text())
    return {(r["system"], r["metric"]): r for r in found}


def test_rules_judge_every_test_drive(made):
    folder = evaluate.run(EvaluateConfig(run=made, redo=True, resamples=50, gallery=1))
    found = records(folder)
    assert found["replay", "judge_rules"]["mean"] > 0.95
    assert found["random_elite", "judge_rules"]["mean"] < found["replay", "judge_rules"]["mean"]
    assert ("nanodt", "judge_llm") not in found
    items = pd.read_parquet(folder / "items.parquet")
    assert items["judge_rules"].notna().all() and items["reasons"].str.len().min() > 0
    assert "judge by rules" in (folder / "report" / "index.html").read_text()


def test_a_model_judges_the_chosen_drives_and_agreement_is_told(made, server):
    address, seen = server
    options = {"run": made, "redo": True, "resamples": 50, "gallery": 1, "model": "m",
               "base_url": address, "judge_items": 4, "judge_samples": 2,
               "judge_systems": ("nanodt", "random_elite")}  # fmt: skip
    folder = evaluate.run(EvaluateConfig(**options))
    found = records(folder)
    assert found["nanodt", "judge_llm"]["n"] == found["random_elite", "judge_llm"]["n"] == 4
    assert found["nanodt", "judge_llm"]["mean"] == pytest.approx(0.7)
    assert ("replay", "judge_llm") not in found
    agreement = json.loads((folder / "agreement.json").read_text())
    assert agreement[0]["first"] == "judge_rules" and agreement[0]["n"] == 8
    assert "Agreement of the judges" in (folder / "report" / "index.html").read_text()
    paid = len(seen)
    evaluate.run(EvaluateConfig(**{**options, "gallery": 2}))
    assert len(seen) == paid, "verdicts that were paid for are not asked for again"
    for path in made.rglob("*"):  # ledger, manifests and report among them
        assert not path.is_file() or KEY.encode() not in path.read_bytes(), path
    assert (made / "ledger.sqlite").exists()


def small_model(httpserver, monkeypatch, contents):
    """Options with a server that gives these contents in turn."""
    monkeypatch.setenv("OPENAI_API_KEY", KEY)

    def answer(request):
        content = contents[len(httpserver.log) % len(contents)]
        choice = {"index": 0, "finish_reason": "stop", "message": {"content": content}}
        return Response(json.dumps({"choices": [choice]}), content_type="application/json")

    httpserver.expect_request("/v1/chat/completions").respond_with_handler(answer)
    return {"redo": True, "resamples": 50, "gallery": 1, "model": "tiny", "probes": 0,
            "base_url": httpserver.url_for("/v1"), "judge_items": 2,
            "judge_systems": ("nanodt",), "concurrency": 1}  # fmt: skip


def test_unusable_verdicts_are_counted_by_reason(made, httpserver, monkeypatch):
    """What a model too small to judge says; the drives keep the verdict of the rules."""
    contents = ["blue stop the fan", '{"score": 7}', json.dumps(VERDICT)]
    options = small_model(httpserver, monkeypatch, contents)
    folder = evaluate.run(EvaluateConfig(run=made, judge_samples=3, **options))
    assert records(folder)["nanodt", "judge_llm"]["n"] == 2
    facts = read_manifest(folder)["facts"]
    assert facts["judge_unusable_replies"] == 4
    assert facts["judge_problems"] == {
        "the reply holds no JSON object": 2,
        "not the JSON asked for": 2,
    }


def test_a_missing_key_or_bad_ledger_is_told_before_the_work(made, tmp_path, monkeypatch, capfd):
    options = {"redo": True, "model": "m", "base_url": "http://127.0.0.1:9/v1"}
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    with pytest.raises(InputError, match="needs a key in the environment"):
        evaluate.run(EvaluateConfig(run=made, redo=True, model="m"))
    with pytest.raises(InputError, match=r"not a usable ledger .*name another with --ledger"):
        evaluate.run(EvaluateConfig(run=made, ledger=tmp_path, **options))
    assert "annotate" not in capfd.readouterr().err


def test_a_judge_without_a_usable_verdict_replaces_nothing(made, httpserver, monkeypatch):
    evaluate.run(EvaluateConfig(run=made, redo=True, resamples=60, gallery=1))
    before = (made / "evaluation" / "manifest.json").read_bytes()
    options = small_model(httpserver, monkeypatch, ["a", '{"score": 9}'])
    options["ledger"] = made / "tiny.sqlite"
    with pytest.raises(InputError, match=r"no verdict could be used: of 4 replies of tiny, 2 for"):
        evaluate.run(EvaluateConfig(run=made, judge_samples=2, **options))
    with pytest.raises(InputError, match=r"no system nanodt/txt_off; did you mean nanodt/text_off"):
        evaluate.run(EvaluateConfig(run=made, **{**options, "judge_systems": ("nanodt/txt_off",)}))
    with pytest.raises(InputError, match=r"none of their drives.*has drives of nanodt, "):
        absent = {**options, "judge_systems": ("nanodt/unseen_phrasing",)}
        evaluate.run(EvaluateConfig(run=made, **absent))
    assert (made / "evaluation" / "manifest.json").read_bytes() == before


def test_dry_run_shows_prompts_and_asks_nothing(made, server, capsys):
    address, seen = server
    config = EvaluateConfig(run=made, model="m", base_url=address, dry_run=True, judge_items=3)
    evaluate.run(config)
    shown = capsys.readouterr().out
    assert seen == [] and shown.count("--- verdict") == 3
    assert "36 verdicts on 12 drives" in shown


def test_wrong_options_are_refused(made):
    for options in ({"dry_run": True}, {"judge_samples": 0}, {"resamples": 0}):
        with pytest.raises(ValueError, match="--"):
            evaluate.run(EvaluateConfig(run=made, **options))
