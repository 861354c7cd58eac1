"""Probes of the judges: what must not move them, on real drives and against a local server."""

import json
import re

import numpy as np
import pytest
from text_factory import APARTMENT, drives
from werkzeug import Response

from archive_tools.evaluation.judge_llm import Case, Judgement, judge_prompt
from archive_tools.evaluation.judge_rules import Verdict
from archive_tools.evaluation.probes import (
    PROBES,
    place_confusion,
    probe_model,
    probe_rules,
    prompt_of,
)
from archive_tools.llm.config import LlmConfig
from archive_tools.llm.ledger import Ledger
from archive_tools.narrator.narrator import describe

SIZE = 600.0


@pytest.fixture(scope="module")
def told():
    """Commands, each with the drive of another, so that scores differ; and the references."""
    references = drives(APARTMENT, 24, seed=2)
    texts = [
        describe(a, APARTMENT, style="everyday", rng=np.random.default_rng(k))
        for k, a in enumerate(references)
    ]
    driven = references[:12] + references[13:] + references[12:13]
    found = [Case(t, d, (300.0, 200.0), (310.0, 220.0)) for t, d in zip(texts, driven, strict=True)]
    return found, references


def test_probes_change_the_telling_and_not_what_is_told(told):
    found, _ = told
    for name, present in PROBES.items():
        changed = 0
        for drive in found:
            shown = present(drive, APARTMENT, np.random.default_rng(0))
            before, after = judge_prompt(drive, APARTMENT, SIZE), prompt_of(shown, SIZE)
            changed += after != before
            assert shown.case.driven.visited == drive.driven.visited
            assert drive.text in shown.case.text
            if name == "facts_reordered":
                assert sorted(re.findall(r"\w+", after)) == sorted(re.findall(r"\w+", before))
            else:
                assert len(after) >= len(before)
        assert changed == len(found), f"{name} leaves prompts as they were"


def test_rules_are_not_moved(told):
    records = probe_rules(*told, APARTMENT, resamples=200, seed=0)
    assert [r["probe"] for r in records] == list(PROBES)
    for record in records:
        assert record["judge"] == "rules" and record["n"] == 24
        assert record["shift"] == record["sd"] == record["largest"] == record["moved"] == 0
    assert probe_rules([], [], APARTMENT, resamples=10, seed=0) == []


def serve(httpserver, score):
    """A server whose verdict is `score(prompt, how often it was asked before)`."""
    seen: list[str] = []

    def answer(request):
        prompt = json.loads(request.data)["messages"][0]["content"]
        seen.append(prompt)
        verdict = {"score": score(prompt, seen.count(prompt) - 1), "reached": ["the bed"],
                   "missed": [], "extra": [], "in_order": True, "reasons": "so"}  # fmt: skip
        message = {"role": "assistant", "content": json.dumps(verdict)}
        reply = {
            "id": "1", "object": "chat.completion", "created": 0, "model": "m",
            "choices": [{"index": 0, "finish_reason": "stop", "message": message}],
            "usage": {"prompt_tokens": 9, "completion_tokens": 9, "total_tokens": 18},
        }  # fmt: skip
        return Response(json.dumps(reply), content_type="application/json")

    httpserver.expect_request("/v1/chat/completions", method="POST").respond_with_handler(answer)
    return httpserver.url_for("/v1"), seen


def probe(told, address, folder, samples=2):
    config = LlmConfig(run=folder, model="m", base_url=address, concurrency=1)
    with Ledger(folder / "ledger.sqlite") as ledger:
        options = {"samples": samples, "resamples": 200, "seed": 0}
        records, judged = probe_model(told[0][:6], APARTMENT, SIZE, config, ledger, **options)
    return {r["probe"]: r for r in records}, judged


@pytest.fixture
def key(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "test")


def test_a_model_that_likes_long_tellings_is_found_out(told, httpserver, tmp_path, key):
    address, seen = serve(httpserver, lambda prompt, _: min(1.0, len(prompt) / 8000))
    records, judged = probe(told, address, tmp_path)
    assert len(judged) == 6 and set(records) == {"again", *PROBES}
    assert records["longer_drive"]["ci_low"] > 0.02 and records["longer_drive"]["moved"] > 0.5
    assert records["longer_command"]["shift"] > 0
    assert records["again"]["largest"] == 0
    assert records["facts_reordered"]["largest"] < 1e-9
    paid = len(seen)
    probe(told, address, tmp_path)
    assert len(seen) == paid, "verdicts that were paid for are not asked for again"


def test_the_noise_of_a_model_that_samples_is_measured(told, httpserver, tmp_path, key):
    def shaky(prompt, times):
        return 0.5 + 0.2 * (-1) ** (times + len(prompt))

    records, _ = probe(told, serve(httpserver, shaky)[0], tmp_path, samples=1)
    assert records["again"]["largest"] == pytest.approx(0.4) and records["again"]["moved"] == 1


def test_what_a_model_says_was_reached_is_held_against_the_drive(told):
    drive = next(d for d in told[0] if "bed" in d.driven.objects)

    def judged(reached, missed):
        verdict = Verdict(
            score=1, reached=reached, missed=missed, extra=[], in_order=True, reasons=""
        )
        return Judgement(1.0, 0.0, (verdict,), ())

    asked = Case("Pass the bed and the bathtub.", drive.driven, drive.target, drive.reached)
    tub = "bathtub" in drive.driven.objects
    found = place_confusion([asked], [judged(["the bed"], ["the bathtub"])], APARTMENT)
    assert found is not None and found["true_positive"] == 1
    assert found["false_negative" if tub else "true_negative"] == 1 and found["unsaid"] == 0
    silent = place_confusion([asked], [judged(["a lamp"], [])], APARTMENT)
    assert silent is None
    wrong = place_confusion([asked], [judged(["tub"], ["the bed"])], APARTMENT)
    assert wrong is not None and wrong["false_negative"] == 1
