"""The client against a server that fails in every way it knows."""

import json
import logging
import threading
import time
from collections import Counter

import pytest
from llm_server import serving
from pydantic import BaseModel
from werkzeug import Request, Response

from archive_tools.llm.asking import ask_all
from archive_tools.llm.client import Stop
from archive_tools.llm.config import LlmConfig, response_format
from archive_tools.llm.ledger import Ledger, Reply
from archive_tools.llm.replies import count_tokens, read_reply
from envs import InputError

KEY = "sk-secret-0123456789"


class Text(BaseModel):
    text: str


class Fake:
    """Answers chat completions by `answer(prompt, nth time, body)`; counts what it answered."""

    def __init__(self, httpserver, answer=None):
        self.answer = answer or (lambda prompt, nth, body: ok(f"re: {prompt}"))
        self.seen: Counter[str] = Counter()
        self.paid: Counter[str] = Counter()
        self.bodies, self.headers = [], []
        self.lock = threading.Lock()
        httpserver.expect_request("/v1/chat/completions").respond_with_handler(self.handle)
        self.base_url = httpserver.url_for("/v1")

    def handle(self, request: Request) -> Response:
        body = json.loads(request.data)
        prompt = body["messages"][0]["content"]
        with self.lock:
            self.bodies.append(body)
            self.headers.append(dict(request.headers))
            self.seen[prompt] += 1
            nth = self.seen[prompt]
        response = self.probe(body) if "ready" in prompt else self.answer(prompt, nth, body)
        if response.status_code == 200:
            with self.lock:
                self.paid[prompt] += 1
        return response

    def probe(self, body):
        return ok("ready")


def ok(text, **changes):
    content = changes.pop("content", json.dumps({"text": text}))
    message = {"role": "assistant", "content": content, **changes.pop("message", {})}
    choice = {"index": 0, "finish_reason": "stop", "message": message, **changes}
    usage = {"prompt_tokens": 100, "completion_tokens": 10, "total_tokens": 110}
    return Response(
        json.dumps({"id": "1", "object": "chat.completion", "created": 1, "model": "m",
                    "choices": [choice], "usage": usage}),
        content_type="application/json",
    )  # fmt: skip


def error(status, code="", message="no", **headers):
    body = {"error": {"message": message, "type": code, "code": code}}
    return Response(
        json.dumps(body), status=status, content_type="application/json",
        headers={k.replace("_", "-"): v for k, v in headers.items()},
    )  # fmt: skip


async def ask(asker, item):
    return await asker.ask(f"question {item}", Text, "0")


@pytest.fixture
def go(tmp_path, httpserver, monkeypatch):
    """go(answer, items, **options) -> (answers, fake); quick waits, a ledger of its own."""
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    monkeypatch.setattr("archive_tools.llm.client.Client._backoff", lambda self, attempt: 0.01)

    def run(answer=None, items=range(3), fake=None, **options):
        fake = fake or Fake(httpserver, answer)
        options = {"model": "m", "base_url": fake.base_url, "concurrency": 4, **options}
        run.fake = fake
        with Ledger(tmp_path / "ledger.sqlite") as ledger:
            answers = ask_all(list(items), ask, LlmConfig(**options), ledger, desc="test")
            run.spent = ledger.spent
        return answers, fake

    return run


def test_the_same_question_asked_side_by_side_is_paid_once(go):
    answers, fake = go(items=[7] * 20, concurrency=8)
    assert texts(answers) == ["re: question 7"] * 20
    assert fake.paid == {"question 7": 1, next(p for p in fake.paid if "ready" in p): 1}


def texts(answers):
    return [a.value.text if a.value else a.problem for a in answers]


def test_answers_come_in_order_and_are_paid_once(go):
    answers, fake = go(items=range(40))
    assert texts(answers) == [f"re: question {k}" for k in range(40)]
    again, _ = go(items=range(42), fake=fake)
    assert texts(again)[:40] == texts(answers)
    assert set(fake.paid.values()) == {1} and len(fake.paid) == 43  # 42 and the probe


@pytest.mark.parametrize(
    "failure",
    [
        lambda: error(429, "rate_limit_exceeded", retry_after="0"),
        lambda: error(429, "rate_limit_exceeded", retry_after="Wed, 21 Oct 2015 07:28:00 GMT"),
        lambda: error(500),
        lambda: error(503),
        lambda: error(408),
        lambda: Response("<html>busy</html>", content_type="text/html"),
        lambda: Response("{", content_type="application/json"),
        lambda: Response("{}", content_type="application/json"),
    ],
    ids=["429", "429-date", "500", "503", "408", "html", "broken", "empty"],
)
def test_passing_trouble_is_tried_again(go, failure):
    answers, fake = go(lambda p, nth, body: failure() if nth < 3 else ok(p))
    assert texts(answers) == [f"question {k}" for k in range(3)]
    assert all(fake.seen[f"question {k}"] == 3 for k in range(3))


def test_a_lost_connection_is_tried_again(monkeypatch, tmp_path):
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    with serving(faults=True) as server, Ledger(tmp_path / "l") as ledger:
        config = LlmConfig(model="m", base_url=server.base_url)

        async def work(asker, item):
            prompt = f"refused because\n- starts on the pink tile\n{item}"
            return await asker.ask(prompt, Text, "0")

        answers = ask_all(range(150), work, config, ledger, desc="test")
        assert set(texts(answers)) == {"Leave the pink."}
        assert set(server.answered().values()) == {1}


def test_a_slow_reply_is_given_up_and_asked_again(go):
    def answer(prompt, nth, body):
        if nth == 1 and prompt == "question 1":
            time.sleep(1.0)
        return ok(prompt)

    answers, fake = go(answer, timeout=0.4)
    assert texts(answers) == [f"question {k}" for k in range(3)]
    assert fake.seen["question 1"] >= 2


def test_retry_after_is_obeyed(go):
    start = time.monotonic()
    go(lambda p, nth, b: error(429, retry_after="0.5") if nth == 1 else ok(p), items=range(1))
    assert time.monotonic() - start > 0.5


def test_trouble_that_stays_ends_the_run(go):
    with pytest.raises(Stop, match=r"status 500 no; tried \d+ times.*goes on from here"):
        go(lambda p, nth, b: error(500), patience="2s")
    assert go.fake.seen["question 0"] > 3


@pytest.mark.parametrize(
    ("response", "says"),
    [
        (lambda: error(429, "insufficient_quota", retry_after="0"), "no credit left"),
        (lambda: error(402), "no credit left"),
        (lambda: error(401, "invalid_api_key"), "key was not accepted.*OPENAI_API_KEY"),
        (lambda: error(403, message="Invalid API key"), "key was not accepted"),
        (lambda: error(429, "insufficient_quota"), "no credit left"),
        (lambda: error(404, "model_not_found"), "model 'm' or the address is unknown"),
        (lambda: error(400, "model_not_found"), "model 'm'"),
    ],
)
def test_hopeless_errors_stop_at_once(go, response, says):
    with pytest.raises(Stop, match=says):
        go(lambda p, nth, b: response(), items=range(50), concurrency=2)
    assert sum(v for k, v in go.fake.seen.items() if "question" in k) <= 2


def test_what_was_paid_before_a_stop_is_kept(go):
    def answer(prompt, nth, body):
        return ok(prompt) if int(prompt.split()[1]) < 20 else error(429, "insufficient_quota")

    with pytest.raises(Stop):
        go(answer, items=range(50))
    fake = go.fake
    fake.answer = lambda prompt, nth, body: ok(prompt)
    answers, _ = go(items=range(50), fake=fake)
    assert texts(answers) == [f"question {k}" for k in range(50)]
    assert set(fake.paid.values()) == {1}


def test_a_refused_request_is_that_items_problem(go):
    answers, _ = go(lambda p, n, b: error(400, "content_filter", "bad") if "1" in p else ok(p))
    assert texts(answers) == ["question 0", "refused by the server: 400 bad", "question 2"]
    assert [a.final for a in answers] == [False, True, False]


def test_a_server_that_refuses_everything_stops_the_run(go):
    with pytest.raises(Stop, match="refuses every request"):
        go(lambda p, n, b: error(400, "x", "no"), items=range(100))


@pytest.mark.parametrize(
    ("understands", "mode"), [("json_schema", "schema"), ("json_object", "json"), ("", "text")]
)
@pytest.mark.parametrize("status", [400, 404, 422])
def test_the_form_of_replies_is_found_out_once(go, httpserver, understands, mode, status):
    class Simple(Fake):
        def probe(self, body):
            kind = body.get("response_format", {}).get("type", "")
            if kind and kind != understands and understands != "json_schema":
                return error(status, message=f"response_format {kind} is not supported")
            return ok("ready")

    fake = Simple(httpserver)
    go(fake=fake, items=range(5))
    kinds = {b.get("response_format", {}).get("type", "") for b in fake.bodies[-5:]}
    assert kinds == {understands}
    before = fake.seen.total()
    go(fake=fake, items=range(6))
    assert fake.seen.total() == before + 1  # no second probe


def test_names_of_parameters_are_found_out(go, httpserver):
    class Picky(Fake):
        def probe(self, body):
            if "max_tokens" in body:
                return error(400, message="use 'max_completion_tokens' instead of max_tokens")
            if "temperature" in body:
                return error(400, message="temperature is not supported with this model")
            return ok("ready")

    _, fake = go(fake=Picky(httpserver))
    assert set(fake.bodies[-1]) == {
        *("model", "messages", "max_completion_tokens", "response_format")
    }


def test_unfit_replies_are_problems_and_are_paid_once(go):
    def answer(prompt, nth, body):
        return [
            ok("", content=None),
            ok("", content="  "),
            ok("", content='{"text": "half', finish_reason="length"),
            ok("", content=None, message={"reasoning_content": "I think…"}),
            ok("", content='Here: {"answer": 3}'),
            ok("", content='<think>{"text": "no"}</think>Well: ```json\n{"text": "yes"}\n```'),
            ok("", content="Just go there."),
        ][int(prompt.split()[1])]

    answers, fake = go(answer, items=range(7))
    found = texts(answers)
    assert found[:4] == ["the reply was empty"] * 2 + [
        "the reply was cut off; be brief",
        "the reply was nothing but reasoning",
    ]
    assert "text" in found[4] and answers[4].value is None
    assert found[5:] == ["yes", "Just go there."]
    go(answer, items=range(7), fake=fake)
    assert set(fake.paid.values()) == {1}


def test_an_empty_list_of_choices_is_a_problem(go):
    body = {"id": "1", "object": "chat.completion", "created": 1, "model": "m", "choices": []}
    answers, _ = go(lambda *_: Response(json.dumps(body), content_type="application/json"))
    assert texts(answers) == ["the reply was empty"] * 3


def test_the_cap_is_never_passed(go):
    prices = {"usd_per_million_in": 1000.0, "usd_per_million_out": 1000.0, "max_tokens": 50}
    items = [f"{k} {'word ' * 80}" for k in range(50)]  # 100 tokens, and each reply costs 0.11
    with pytest.raises(Stop, match=r"--max-usd 1: .* are spent"):
        go(items=items, max_usd=1.0, **prices)
    assert 0.5 < go.fake.paid.total() * 0.11 <= 1.0
    answers, fake = go(items=items, max_usd=100.0, fake=go.fake, **prices)
    assert len(answers) == 50 and set(fake.paid.values()) == {1}
    assert go.spent == pytest.approx(51 * 0.11)


def test_nothing_is_logged_and_the_key_is_in_no_file(go, tmp_path, capfd, caplog):
    caplog.set_level(logging.WARNING)
    go(lambda p, nth, b: error(500) if nth == 1 else ok("the reply"))
    out, err = capfd.readouterr()
    for hidden in ("question", "the reply", KEY):
        assert hidden not in out + err + caplog.text
    assert all(h["Authorization"] == f"Bearer {KEY}" for h in go.fake.headers)
    files = [p for p in tmp_path.rglob("*") if p.is_file()]
    assert files and not any(KEY.encode() in p.read_bytes() for p in files)


def test_openai_needs_a_key_and_local_servers_do_not(go, monkeypatch, tmp_path):
    monkeypatch.delenv("OPENAI_API_KEY")
    missing = pytest.raises(InputError, match="needs a key in the environment: OPENAI_API_KEY")
    with Ledger(tmp_path / "l") as ledger, missing:
        ask_all([1], ask, LlmConfig(model="m"), ledger, desc="test")
    assert len(go()[0]) == 3


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"max_usd": 1.0}, "needs prices"),
        ({"concurrency": 0}, "--concurrency 0: expected a number at least 1"),
        ({"base_url": "localhost:8000"}, "expected http"),
        ({"base_url": "http://me:secret@host/v1"}, "password"),
    ],
)
def test_bad_options_are_one_clear_line(options, says):
    with pytest.raises(InputError, match=says):
        LlmConfig(model="m", **options).check()


def test_no_server_there(tmp_path, monkeypatch):
    monkeypatch.setattr("archive_tools.llm.client.Client._backoff", lambda self, attempt: 0.01)
    config = LlmConfig(model="m", base_url="http://127.0.0.1:9/v1", patience="0.1s")
    with Ledger(tmp_path / "l") as ledger, pytest.raises(Stop, match="no server answers there yet"):
        ask_all([1, 2], ask, config, ledger, desc="test")


def test_requests_run_side_by_side(tmp_path):
    """400 replies that take 0.1 s each, 32 at a time: ideally 1.25 s."""
    with serving(delay=0.1) as server, Ledger(tmp_path / "l") as ledger:
        config = LlmConfig(model="m", base_url=server.base_url, concurrency=32)
        start = time.monotonic()
        ask_all(range(400), ask_pink, config, ledger, desc="test")
        assert time.monotonic() - start < 0.25 * 400 * 0.1  # far from one after the other


async def ask_pink(asker, item):
    return await asker.ask(f"- starts on the pink tile\n{item}", Text, "0")


class Marks(BaseModel):
    score: float
    why: list[str]


def test_replies_are_read_whatever_is_around_them():
    good = '{"score": 0.5, "why": ["a {b}"]}'
    for content in (
        good,
        f"```json\n{good}\n```",
        f"Let me see {{hm}}. {good} That is it.",
        f"<think>{{}}</think>{good}",
        f'First {{"score": 1, "why": []}}, no: {good}',
    ):
        value, problem = read_reply(Reply(content, "stop"), Marks)
        assert problem == "" and value == Marks(score=0.5, why=["a {b}"])
    for content in ("", "no", "[1]", "{", '{"score": "high", "why": []}', '{"why": []}', "<think>"):
        value, problem = read_reply(Reply(content, "stop"), Marks)
        assert value is None and problem


def test_schemas_are_strict():
    schema = response_format("schema", Marks)["json_schema"]["schema"]
    assert schema["additionalProperties"] is False and schema["required"] == ["score", "why"]
    assert response_format("json", Marks) == {"type": "json_object"}


def test_tokens_are_counted_or_estimated():
    assert count_tokens("") <= 1
    assert 15 < count_tokens("Please go past the fan, through the green tile. " * 2) < 40
