"""What is waited for, what ends a run, and how many are asked at once; addresses, keys, proxies."""

import contextlib
import json
import socket
import socketserver
import sqlite3
import threading
import time

import pytest
from pytest_httpserver import HTTPServer
from test_llm import KEY, Fake, ask, error, ok, texts
from werkzeug import Response

from archive_tools.llm import client
from archive_tools.llm.asking import ask_all
from archive_tools.llm.client import Stop
from archive_tools.llm.config import LlmConfig, patience_of
from archive_tools.llm.ledger import Ledger, Reply
from archive_tools.llm.transport import Transport
from envs import InputError

LOADING = {"error": {"message": "Loading model", "type": "unavailable_error", "code": 503}}
QUESTIONS = [f"re: question {k}" for k in range(6)]


@pytest.fixture(scope="module")
def make_httpserver():
    with HTTPServer(threaded=True) as server:
        yield server


@pytest.fixture
def fake(httpserver, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    monkeypatch.setattr(client, "FIRST_PATIENCE", 0.4)
    monkeypatch.setattr("archive_tools.llm.client.Client._backoff", lambda self, attempt: 0.02)
    httpserver.no_handler_status_code = 404
    return Fake(httpserver)


@pytest.fixture
def go(fake, tmp_path):
    def run(items=range(6), **options):
        options = {"model": "m", "base_url": fake.base_url, **options}
        problem_of = options.pop("problem_of", lambda answer: "")
        with Ledger(tmp_path / "ledger.sqlite") as ledger:
            config = LlmConfig(**options)
            answers = ask_all(list(items), ask, config, ledger, desc="test", problem_of=problem_of)
        return texts(answers)

    run.ledger = tmp_path / "ledger.sqlite"
    return run


def fails_first(fake, seconds, fault):
    """The probe, or everything, fails for so long."""
    began = time.monotonic()
    fine = fake.probe
    fake.probe = lambda body: fine(body) if time.monotonic() - began > seconds else fault()


def test_a_server_that_cannot_work_ends_the_run_soon_with_its_words_after_one_probe(go, fake):
    fake.probe = lambda body: error(500, message="model failed to load: out of memory")
    with pytest.raises(Stop, match=r"500 model failed to load: out of memory.*not answered once"):
        go(patience="15m")
    assert set(fake.seen) == {next(iter(fake.seen))} and fake.seen.total() < 40
    assert {b["response_format"]["type"] for b in fake.bodies} == {"json_schema"}  # learns nothing


@pytest.mark.parametrize(
    "fault",
    [
        lambda: Response(json.dumps(LOADING), status=503, content_type="application/json"),
        lambda: Response("<h1>Starting up</h1>", status=503, content_type="text/html"),
        lambda: error(503, message="busy", retry_after="0.1"),
        lambda: error(429, message="slow down"),
    ],
    ids=["loading", "page", "retry-after", "429"],
)
def test_a_server_that_is_not_ready_yet_is_waited_for(go, fake, fault):
    fails_first(fake, 1.0, fault)  # longer than an unexplained failure would be borne
    assert go() == QUESTIONS


@pytest.mark.parametrize("listens", [False, True], ids=["no port", "a container's port"])
def test_a_server_that_is_still_being_started_is_waited_for(go, listens):
    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        if listens:  # takes connections, and drops them
            taken.listen()
            threading.Thread(target=_drop, args=[taken], daemon=True).start()
        server = HTTPServer("127.0.0.1", port)
        late = Fake(server)

        def start():
            if listens:
                taken.shutdown(socket.SHUT_RDWR)
            taken.close()
            server.start()

        timer = threading.Timer(1.0, start)  # longer than an unexplained failure is borne
        timer.start()
        assert go(base_url=late.base_url, patience="60s") == QUESTIONS
        timer.join()
        server.stop()


def _drop(listening):
    with contextlib.suppress(OSError):
        while True:
            listening.accept()[0].close()


ELSEWHERE = {
    "301": (301, "https://api.example/v1/chat/completions", r"301 to 'https://api.example/v1"),
    "302": (302, "/login", r"302 to '/login'"),
    "a circle": (308, "/elsewhere/chat/completions", "leads elsewhere .*redirects"),
    "no web": (307, "ftp://a.invalid/", "leads elsewhere .*ftp"),
}


@pytest.mark.parametrize("kind", ELSEWHERE)
def test_an_address_that_leads_elsewhere_is_named_at_once(go, fake, httpserver, kind):
    status, place, says = ELSEWHERE[kind]
    httpserver.expect_request("/elsewhere/chat/completions").respond_with_data(
        "", status=status, headers={"Location": place}
    )
    with pytest.raises(Stop, match=says):
        go(base_url=httpserver.url_for("/elsewhere"), patience="60s")


def test_https_to_a_server_without_is_named_at_once(go, fake):
    with pytest.raises(Stop, match=r"does not speak TLS.*write http://"):
        go(base_url=fake.base_url.replace("http:", "https:"), patience="60s")


def test_an_outage_is_outlasted_and_told_on_the_bar(go, fake, capsys, monkeypatch):
    monkeypatch.setattr("archive_tools.llm.asking.TICK", 0.2)
    began: list[float] = []  # with the first request that fails, however slow the machine

    def answer(prompt, nth, body):
        if prompt > "question 1":
            began.append(time.monotonic())
        down = prompt > "question 1" and began[-1] - began[0] < 2
        return error(502, message="Bad gateway") if down else ok(f"re: {prompt}")

    fake.answer = answer
    assert go(patience="30s") == QUESTIONS
    shown = capsys.readouterr().err
    assert "waits up to 30s: status 502 Bad gateway" in shown and "failures" in shown
    assert "$" not in shown  # a local server costs nothing


def test_one_request_that_always_fails_is_that_items_problem(go, fake):
    fake.answer = lambda prompt, nth, body: (
        error(500, message="tokenizer crashed") if prompt == "question 1" else ok(f"re: {prompt}")
    )
    found = go(items=range(40))
    assert "tokenizer crashed, 5 times, while others were answered" in found[1] or (
        found[1].startswith("refused by the server: status 500")
    )
    assert found[2:6] == QUESTIONS[2:]


def test_a_refusal_in_the_middle_is_that_items_problem(go, fake):
    fake.answer = lambda prompt, nth, body: (
        error(403, message="Blocked by the firewall") if "3" in prompt else ok(f"re: {prompt}")
    )
    found = go(concurrency=1)
    assert found[3] == "refused by the server: 403 Blocked by the firewall"
    assert found[4:] == QUESTIONS[4:]


def test_a_long_wish_to_wait_ends_the_run_at_once_and_wakes_all(go, fake):
    fake.answer = lambda prompt, nth, body: error(429, message="daily limit", retry_after="4000")
    began = time.monotonic()
    with pytest.raises(Stop, match=r"daily limit and asks to wait 4000 s.*--patience 5m"):
        go(items=range(30), patience="5m")
    assert time.monotonic() - began < 10


def test_a_server_that_answers_one_at_a_time_is_not_flooded(go, fake):
    one, lock = threading.Lock(), threading.Lock()
    inside, most = [0], [0]

    def answer(prompt, nth, body):
        with lock:
            inside[0] += 1
            most[0] = max(most[0], inside[0])
        with one:
            time.sleep(0.08)
        with lock:
            inside[0] -= 1
        return ok(f"re: {prompt}")

    fake.answer = answer
    assert len(go(items=range(30), timeout=20.0)) == 30
    assert most[0] <= 4 and set(fake.seen.values()) == {1}


def test_first_replies_that_fail_alike_stop_the_run_and_name_the_remedy(go, fake):
    fake.answer = lambda *_: ok("", content="", finish_reason="length")
    with pytest.raises(
        Stop, match=r"first 8 replies.*cut off before any text.*larger --max-tokens"
    ):
        go(items=range(64))
    paid = fake.paid.total()
    assert paid <= 1 + 8 + 8
    with pytest.raises(Stop, match="larger --max-tokens"):
        go(items=range(64))  # from the ledger
    assert fake.paid.total() == paid
    fake.answer = lambda prompt, nth, body: ok(f"re: {prompt}")
    assert go(max_tokens=4000) == QUESTIONS


def test_first_results_that_fail_alike_stop_the_run(go, fake):
    with pytest.raises(Stop, match="first 16 results cannot be used, all for one cause: too long"):
        go(items=range(64), problem_of=lambda answer: "too long: 9 words")
    assert fake.paid.total() < 40


@pytest.mark.parametrize("learnt", [{}, {"learnt": 4e9}], ids=["unknown", "to come"])
def test_what_a_server_understands_is_learnt_anew_and_nothing_is_paid_twice(go, fake, learnt):
    with Ledger(go.ledger) as ledger:  # as learnt by mistake, at an unknown time or another clock's
        name, known = f"{fake.base_url} m", {"mode": "text", "limit": "max_tokens"}
        ledger.remember(name, {**known, "temperature": True, **learnt})
    assert go() == QUESTIONS
    assert fake.bodies[-1]["response_format"]["type"] == "json_schema"

    def plainer(prompt, nth, body):
        if "json_schema" in json.dumps(body):
            return error(400, message="json_schema is not supported any more")
        return ok(f"re: {prompt}")

    fake.answer = plainer
    assert len(go(items=range(9))) == 9
    with Ledger(go.ledger) as ledger:
        assert ledger.capabilities(name)["mode"] == "json"
    assert len(go(items=range(10))) == 10
    assert all(fake.paid[f"question {k}"] == 1 for k in range(10))


def test_a_parameter_out_of_range_is_named(go, fake):
    fake.probe = lambda body: error(
        400, message="'max_tokens' or 'max_completion_tokens' is too large: 40000. This model's "
        "maximum context length is 32768 tokens."
    )  # fmt: skip
    with pytest.raises(Stop, match=r"too large: 40000.*give another --max-tokens"):
        go(max_tokens=40000)
    assert fake.seen.total() == 1


@pytest.mark.parametrize("tail", ["/v1/", "/v1/chat/completions", "/v1/chat/completions/", ""])
def test_an_address_is_completed(go, fake, tail):
    assert go(base_url=fake.base_url.removesuffix("/v1") + tail) == QUESTIONS
    asked = fake.seen.total()
    assert go(base_url=fake.base_url.removesuffix("/v1") + tail) == QUESTIONS
    assert fake.seen.total() == asked


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-be", "utf-32"])
def test_a_body_in_an_encoding_that_json_knows_is_read(go, fake, encoding):
    def answer(prompt, nth, body):
        content = json.dumps({"text": f"re: {prompt}’s café"}, ensure_ascii=False)
        text = ok("", content=content).get_data(as_text=True).replace("\\u2019", "’")
        return Response(text.encode(encoding), content_type="application/json")

    fake.answer = answer
    assert go() == [f"{q}’s café" for q in QUESTIONS]


def test_a_wrong_address_is_named(go, fake, httpserver):
    with pytest.raises(Stop, match=r"model 'm' or the address is unknown \(404.*--base-url"):
        go(base_url=httpserver.url_for("/v2"))
    httpserver.expect_request("/v3/chat/completions").respond_with_data(
        "<title>Log in</title>", content_type="text/html"
    )
    with pytest.raises(Stop, match=r"a web page \('Log in'\).*is --base-url right"):
        go(base_url=httpserver.url_for("/v3"))


ADDRESSES = {
    "https://x.openai.azure.com/openai/deployments/d?api-version=1":
        r"api-version.*https://x.openai.azure.com/openai/v1/",
    "https://x.openai.azure.com/openai/deployments/d": "https://x.openai.azure.com/openai/v1/",
    "https://host/v1?key=sk-1": r"\(key\): leave it out.*OPENAI_API_KEY",
    "http://user@host/v1": "user name",
    "http://[::1/v1": "expected http",
    "http://host:80a/v1": "expected http",
    "http:///v1": "expected http",
    "http://host:99999/v1": "expected http",
    "http://my host/v1": "expected http",
    "http://256.1.1.1/v1": "no address.*256.1.1.1",
    "http://[v1.x]/v1": "no address",
    "http://host/v1\x7f": "no address",
}  # fmt: skip


@pytest.mark.parametrize("address", ADDRESSES)
def test_addresses_that_cannot_be_used_are_one_line(address):
    with pytest.raises(InputError, match=ADDRESSES[address]) as told:
        LlmConfig(model="m", base_url=address).check()
        Transport(address, 1.0)
    assert "sk-1" not in str(told.value)


def test_patience_is_a_time():
    assert [patience_of(t) for t in ("90s", "15m", "2h", "0.5m")] == [90, 900, 7200, 30]
    for wrong in ("15", "", "a day", "-3m", "nanm", "1e3s"):
        with pytest.raises(InputError, match="like 90s, 15m or 2h"):
            LlmConfig(model="m", patience=wrong).check()


@pytest.mark.parametrize("around", ["{}\r", " {}\n", '"{}"', "\ufeff{}"])
def test_what_is_around_a_key_is_left_out(go, fake, monkeypatch, around):
    monkeypatch.setenv("OPENAI_API_KEY", around.format(KEY))
    assert go() == QUESTIONS
    assert all(h["Authorization"] == f"Bearer {KEY}" for h in fake.headers)


def test_a_key_that_no_header_may_hold_is_told_and_not_shown(go, monkeypatch):
    for key, where in (("sk–x", "3 of 4 (U+2013)"), ("sk\nx", "3 of 4 (U+000A)")):
        monkeypatch.setenv("OPENAI_API_KEY", key)
        with pytest.raises(InputError) as told:
            go()
        assert where in str(told.value) and key not in str(told.value)


PROXIES = {
    "all_proxy": "socks://127.0.0.1:9/", "http_proxy": "http://127.0.0.1:9",
    "HTTP_PROXY": "http://127.0.0.1:9", "https_proxy": "nonsense://x:y@z",
}  # fmt: skip


@pytest.mark.parametrize("name", PROXIES)
def test_a_server_on_this_machine_is_asked_without_a_proxy(go, monkeypatch, name):
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.setenv(name, PROXIES[name])
    assert go() == QUESTIONS


def test_a_proxy_that_cannot_be_used_is_named(monkeypatch):
    monkeypatch.setenv("all_proxy", "socks://me:secret@127.0.0.1:9/")
    with pytest.raises(InputError, match=r"all_proxy") as told:
        Transport("http://example.org/v1", 1.0)
    assert "secret" not in str(told.value) and "socks5://" in str(told.value)


class Socks(socketserver.StreamRequestHandler):
    """A SOCKS5 proxy behind which every host gives the same answer."""

    def handle(self):
        greeting = self.rfile.read(2)
        self.rfile.read(greeting[1])
        self.wfile.write(b"\x05\x00")
        request = self.rfile.read(5)
        self.rfile.read(request[4] + 2)
        self.wfile.write(b"\x05\x00\x00\x01\x00\x00\x00\x00\x00\x00")
        length = 0
        while (line := self.rfile.readline().strip().lower()) != b"":
            length = int(line.split(b":")[1]) if line.startswith(b"content-length") else length
        self.rfile.read(length)
        data = ok("through the proxy").data
        self.wfile.write(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%s"
                         % (len(data), data))  # fmt: skip


def test_a_socks_proxy_is_used_for_servers_elsewhere(go, monkeypatch):
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Socks) as proxy:
        threading.Thread(target=proxy.serve_forever, daemon=True).start()
        monkeypatch.setenv("all_proxy", f"socks5h://127.0.0.1:{proxy.server_address[1]}")
        assert go(items=[1], base_url="http://model.example/v1") == ["through the proxy"]
        proxy.shutdown()


def test_the_raw_reply_is_kept_and_old_ledgers_are_read(go, fake, tmp_path):
    with sqlite3.connect(go.ledger) as old:  # of the version before
        old.execute(
            "CREATE TABLE replies (key TEXT PRIMARY KEY, model TEXT NOT NULL, content TEXT, "
            "finish_reason TEXT, prompt_tokens INTEGER NOT NULL, completion_tokens INTEGER NOT "
            "NULL, usd REAL NOT NULL, stored REAL NOT NULL) WITHOUT ROWID"
        )
        old.execute("INSERT INTO replies VALUES ('k', 'm', 'hello', 'stop', 1, 1, 0.5, 0)")
    with Ledger(go.ledger) as ledger:
        assert ledger.get("k") == Reply("hello", "stop", 1, 1, 0.5)
    form = {"answer_v9": f"and the key {KEY}"}
    broken = iter([Response('{"choices": [', content_type="application/json")])
    fake.answer = lambda *_: next(
        broken, Response(json.dumps(form), content_type="application/json")
    )
    found = go(items=range(3))
    assert set(found) == {"the reply has a form that is not known here"}
    with sqlite3.connect(go.ledger) as ledger:
        kept = [raw for (raw,) in ledger.execute("SELECT raw FROM replies WHERE raw LIKE '%v9%'")]
        assert kept == [json.dumps({"answer_v9": "and the key …"}, ensure_ascii=False)] * 3
        assert ledger.execute("SELECT raw FROM unread").fetchall() == [('{"choices": [',)]


def test_a_ledger_that_cannot_be_written_is_one_line(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="not a usable ledger"):
        Ledger(tmp_path / "file" / "ledger.sqlite")
    with Ledger(tmp_path / "l") as ledger:
        ledger._db.execute("PRAGMA max_page_count = 1")
        with pytest.raises(InputError, match=r"/l: database or disk is full"):
            for k in range(20):
                ledger.put(str(k), "m", Reply("x" * 9000, "stop"))
