"""Every fault that a server can have, met by both stages that ask one: describing and judging."""

import json
import math
import threading
import time
from email.utils import formatdate

import pytest
from llm_server import reply_to
from pytest_httpserver import HTTPServer
from test_llm import KEY, Fake, error, ok
from text_factory import APARTMENT, drives
from werkzeug import Response

from archive_tools.descriptions.jobs import jobs_of
from archive_tools.descriptions.llm_writer import LlmWriter
from archive_tools.evaluation.judge_llm import Case, judge_llm
from archive_tools.language.checks import check_text
from archive_tools.llm.asking import ask_all
from archive_tools.llm.client import Stop
from archive_tools.llm.ledger import Ledger
from archive_tools.stages.s04_describe import DescribeConfig

DRIVES = drives(APARTMENT, 4, seed=8)
VERDICT = {"score": 0.5, "reached": [], "missed": [], "extra": [], "in_order": True, "reasons": ""}


def good(prompt):
    """The content of a fit reply to a prompt of either stage."""
    return json.dumps(VERDICT) if "Judge how well" in prompt else reply_to(prompt, False)[0]


def describe(config, ledger):
    """(text, reason of rejection or "") for each drive."""
    jobs = jobs_of(dict(enumerate(DRIVES)), config.seed)
    writer = LlmWriter(config.model, APARTMENT, config.max_words, config.reasks)
    rows = ask_all(jobs, writer.ask_for_text, config, ledger, desc="test")
    for row, drive in zip(rows, DRIVES, strict=True):
        fine = row["status"] == "accepted"
        assert fine == (row["reason"] == "")
        assert not fine or check_text(row["text"], drive, APARTMENT) == []
    return [row["reason"] for row in rows]


def judge(config, ledger):
    """The problem with the verdict on each drive, or ""."""
    asked = [Case(f"Go to {k}.", drive, (1.0, 2.0), (3.0, 4.0)) for k, drive in enumerate(DRIVES)]
    found = judge_llm(asked, APARTMENT, 600.0, config, ledger, samples=1)
    assert all(math.isnan(f.mean) == bool(f.problems) for f in found)
    return ["; ".join(f.problems) for f in found]


@pytest.fixture(scope="module")
def make_httpserver():
    """A server that answers several at once, or one late reply would make others late."""
    with HTTPServer(threaded=True) as server:
        yield server


@pytest.fixture(params=[describe, judge])
def go(request, tmp_path, httpserver, monkeypatch):
    """go(answer, **options) -> (a reason or "" per drive, the server), by each stage in turn."""
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    monkeypatch.setattr("archive_tools.llm.client.Client._backoff", lambda self, attempt: 0.01)
    fake = Fake(httpserver)

    def run(answer, **options):
        fake.answer = answer
        options = {"model": "m", "base_url": fake.base_url, "reasks": 1, "seed": 3, **options}
        with Ledger(tmp_path / "ledger.sqlite") as ledger:
            return request.param(DescribeConfig(run=tmp_path, **options), ledger), fake

    run.fake, run.stage, run.folder = fake, request.param.__name__, tmp_path
    return run


def cut_off():
    """A reply whose connection is closed before all of it has arrived."""
    return Response(b'{"choices"', headers={"Content-Length": "500", "Connection": "close"})


PASSING = {
    "429, Retry-After in seconds": lambda: error(429, "rate_limit", retry_after="0.3"),
    "429, Retry-After as a date": lambda: error(
        429, "rate_limit", retry_after=formatdate(time.time() + 2, usegmt=True)
    ),
    "500": lambda: error(500),
    "503": lambda: error(503),
    "529": lambda: error(529),
    "connection lost": cut_off,
}


@pytest.mark.parametrize("fault", PASSING)
def test_what_passes_is_tried_again_and_paid_once(go, fault):
    began = time.monotonic()
    reasons, fake = go(lambda p, nth, _: ok("", content=good(p)) if nth > 1 else PASSING[fault]())
    assert reasons == [""] * 4
    paid = [n for prompt, n in fake.paid.items() if "ready" not in prompt]
    # A reply that was cut off counts as paid by the server: nobody can know better.
    assert paid == ([2] * 4 if fault == "connection lost" else [1] * 4)
    if "Retry-After" in fault:
        assert time.monotonic() - began > (0.3 if "seconds" in fault else 0.9)


def test_no_reply_in_time_is_tried_again(go):
    def answer(prompt, nth, body):
        if nth == 1:
            time.sleep(1.2)
        return ok("", content=good(prompt))

    reasons, fake = go(answer, timeout=0.8)
    assert reasons == [""] * 4 and max(fake.seen.values()) == 2


HOPELESS = {
    "no credit left": lambda: error(429, "insufficient_quota", retry_after="60"),
    "key was not accepted": lambda: error(401, "invalid_api_key", f"wrong key {KEY}"),
    "model 'm' or the address is unknown": lambda: error(404, "model_not_found"),
}


@pytest.mark.parametrize("says", HOPELESS)
def test_what_cannot_pass_stops_at_once_and_loses_nothing(go, says):
    done = []

    def answer(prompt, nth, body):
        if len(done) < 2:
            done.append(prompt)
            return ok("", content=good(prompt))
        return HOPELESS[says]()

    began = time.monotonic()
    with pytest.raises(Stop, match=says) as stop:
        go(answer, concurrency=1)
    assert time.monotonic() - began < 5 and KEY not in str(stop.value)
    assert go.fake.seen.total() == 1 + 2 + 1  # probe, two answers, the fault
    reasons, fake = go(lambda prompt, nth, body: ok("", content=good(prompt)))
    assert reasons == [""] * 4 and set(fake.paid.values()) == {1}


UNFIT = {
    "the reply was empty": [
        lambda _: ok("", content=None),
        lambda _: ok("", content=""),
        lambda _: ok("", content=[]),
    ],
    "the reply was cut off": [lambda _: ok("", content='{"text": "Go', finish_reason="length")],
    "the reply was nothing but reasoning": [
        lambda _: ok("", content="<think>which way"),
        lambda _: ok("", content=None, message={"reasoning_content": "hm", "reasoning": "hm"}),
    ],
    "held back by the server's filter": [
        lambda _: ok("", content="", finish_reason="content_filter")
    ],
    "not the JSON asked for": [lambda _: ok("", content='{"score": "high", "txt": 3}')],
}


@pytest.mark.parametrize("says", UNFIT)
def test_unfit_replies_are_kept_as_reasons_and_not_paid_again(go, says):
    for answer in UNFIT[says]:
        options = {"temperature": 0.1 * UNFIT[says].index(answer)}
        reasons, fake = go(lambda prompt, nth, body, answer=answer: answer(prompt), **options)
        assert all(says in reason for reason in reasons), reasons
        before = fake.paid.total()
        assert go(lambda *_: error(500), **options)[0] == reasons  # from the ledger
        assert fake.paid.total() == before


WORDY = {
    "prose": lambda text: f"Of course! Here it is:\n```json\n{text}\n```\nAnything {{else}}?",
    "thoughts": lambda text: f'<think>{{"text": "no", "score": 0}}</think>\n\n{text}',
}


@pytest.mark.parametrize("kind", WORDY)
def test_json_is_found_whatever_is_around_it(go, kind):
    assert go(lambda p, *_: ok("", content=WORDY[kind](good(p))))[0] == [""] * 4


def test_reasoning_fields_are_left_alone(go):
    def answer(prompt, nth, body):
        extra = {
            "reasoning_content": '{"text": "no"}',
            "reasoning": {"steps": [1]},
            "refusal": None,
        }
        return ok("", content=good(prompt), message=extra)

    assert go(answer)[0] == [""] * 4


@pytest.mark.parametrize("understands", ["json_schema", "json_object", ""])
def test_the_form_falls_back_from_schema_to_json_to_text(go, understands):
    def probe(body):
        kind = body.get("response_format", {}).get("type", "")
        fine = kind in ("", understands) or understands == "json_schema"
        return ok("ready") if fine else error(400, message=f"{kind} is not supported")

    go.fake.probe = probe
    reasons, fake = go(lambda prompt, nth, body: ok("", content=good(prompt)))
    assert reasons == [""] * 4
    asked = [b for b in fake.bodies if "ready" not in b["messages"][0]["content"]]
    assert {b.get("response_format", {}).get("type", "") for b in asked} == {understands}


def test_one_refusal_is_that_drives_reason_and_hides_the_key(go):
    fault = error(400, "content_filter", f"not with {KEY}")
    reasons, _ = go(lambda p, nth, _: fault if go.fake.seen.total() == 2 else
                    ok("", content=good(p)), concurrency=1)  # fmt: skip
    assert "refused by the server: 400 not with …" in reasons[0]
    assert reasons[1:] == [""] * 3
    for path in go.folder.rglob("*"):
        assert not path.is_file() or KEY.encode() not in path.read_bytes()


def test_a_full_server_is_waited_for_while_it_answers_others(tmp_path, httpserver, monkeypatch):
    """One of 24 at once gets through every 20 ms: far more refusals than --attempts each."""
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    last, turn = [0.0], threading.Lock()

    def answer(prompt, nth, body):
        with turn:
            if time.monotonic() - last[0] < 0.02:
                return error(429, "rate_limit", retry_after="0.01")
            last[0] = time.monotonic()
        return ok("", content=json.dumps(VERDICT))

    fake = Fake(httpserver, answer)
    config = DescribeConfig(model="m", base_url=fake.base_url, concurrency=24, patience="20s")
    asked = [Case(f"Go to {k}.", DRIVES[0], (1.0, 2.0), (3.0, 4.0)) for k in range(40)]
    with Ledger(tmp_path / "l") as ledger:
        found = judge_llm(asked, APARTMENT, 600.0, config, ledger, samples=1)
    assert all(f.mean == 0.5 for f in found) and set(fake.paid.values()) == {1}
    assert sum(n > 1 for n in fake.seen.values()) > 5
