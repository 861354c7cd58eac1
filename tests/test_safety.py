"""The rules of safety of the local server, the same for the playground and the rating page."""

import json
import socket
import time

import httpx
import pytest
from play_factory import Homing, add_rollouts, make_playable, playing, serving

from archive_tools.playground import safety
from archive_tools.playground.play_page import Playground
from archive_tools.playground.rate_page import RatingPage
from archive_tools.playground.scenery import Scenery
from archive_tools.playground.server import STATIC, BoundSocket, make_app

PAGES = ["/", "/rate"]
GETS = [*PAGES, "/play.json", "/rate/state", "/scene.svg", "/scene.json", "/static/play.js",
        "/palette.css"]  # fmt: skip
POSTS = {
    "/understand": {"text": "Go."},
    "/drives": {"text": "Go to the sofa."},
    "/rate/score": {"number": 0, "score": 3},
    "/rate/undo": {},
}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return add_rollouts(make_playable(tmp_path_factory.mktemp("safe") / "run"))


@pytest.fixture(scope="module")
def address(run):
    with playing(run, lambda model: Homing) as (address, _):
        yield address


def post(address, path, **headers):
    return httpx.post(address + path, json=POSTS[path], headers=headers)


@pytest.mark.parametrize("path", [*GETS, "/nothing", "/static/nothing.js"])
def test_every_answer_forbids_what_no_page_needs(address, path):
    policy = httpx.get(address + path).headers["content-security-policy"]
    assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self'")
    assert "unsafe" not in policy and "frame-ancestors 'none'" in policy
    headers = httpx.get(address + path).headers
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["cross-origin-resource-policy"] == "same-origin"
    assert "server" not in headers


@pytest.mark.parametrize("page", PAGES)
def test_pages_hold_no_script_or_style_of_their_own(address, page):
    html = httpx.get(address + page).text
    assert "<style" not in html and " style=" not in html and "onclick" not in html
    assert html.count("<script") == html.count('<script type="module" src="/static/') == 1
    assert "://" not in html.replace("http://www.w3.org/", "")


@pytest.mark.parametrize("path", [*GETS, *POSTS])
def test_a_name_that_is_not_ours_is_refused(address, path):
    """DNS rebinding: another name that leads to this machine."""
    method = "POST" if path in POSTS else "GET"
    for host in ("rebound.example", "rebound.example:80", "127.0.0.1.example", "10.0.0.7", ""):
        reply = httpx.request(method, address + path, json=POSTS.get(path), headers={"Host": host})
        assert reply.status_code == 403, host
    for host in ("localhost", "localhost:9000", "127.0.0.1", "[::1]:80"):  # tunnels change ports
        reply = httpx.request("GET", f"{address}/scene.json", headers={"Host": host})
        assert reply.status_code == 200, host


@pytest.mark.parametrize("path", POSTS)
def test_other_pages_cannot_send(address, path):
    assert post(address, path, Origin="http://elsewhere.example").status_code == 403
    assert post(address, path, Origin="null").status_code == 403
    for kind in ("text/plain", "application/x-www-form-urlencoded", ""):
        reply = httpx.post(address + path, content=json.dumps(POSTS[path]),
                           headers={"Content-Type": kind})  # fmt: skip
        assert reply.status_code == 415
    assert post(address, path, Origin=address).status_code == 200


@pytest.mark.parametrize("path", POSTS)
def test_bodies_are_bounded_and_whatever_they_hold_is_answered(address, path):
    send = {"Content-Type": "application/json"}
    for body in (b"", b"{", b"[]", b"null", b'"x"', b"\xff\xfe", b"[" * 16_000,
                 b'{"number":' * 1500, b'{"number": 1e999, "score": NaN}'):  # fmt: skip
        reply = httpx.post(address + path, content=body, headers=send)
        assert reply.status_code == 400 and "\n" not in reply.json()["error"], body[:20]
    long = b" " * (safety.LONGEST_BODY + 1)
    assert httpx.post(address + path, content=long, headers=send).status_code == 413
    assert httpx.post(address + path, content=iter([long]), headers=send).status_code == 413


def test_a_body_that_does_not_come_is_not_waited_for(address, monkeypatch):
    monkeypatch.setattr(safety, "PATIENCE", 0.2)
    port = int(address.rpartition(":")[2])
    with socket.create_connection(("127.0.0.1", port), timeout=5) as line:
        head = f"POST /drives HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nContent-Type: application/json"
        line.sendall(f"{head}\r\nContent-Length: 50\r\n\r\n{{".encode())
        begun = time.monotonic()
        assert b" 408 " in line.recv(200) and time.monotonic() - begun < 3


def test_nothing_outside_the_package_is_served(address, run):
    names = {path.name for path in STATIC.iterdir()}
    assert all(httpx.get(f"{address}/static/{name}").status_code == 200 for name in names)
    for path in ("/static/../server.py", "/static/%2e%2e/server.py", "/static/..%2fserver.py",
                 "/static//etc/passwd", "/../README.md", f"/static/{run}/archive/archive.json",
                 "/drives/../play.json", "/static/"):  # fmt: skip
        port = int(address.rpartition(":")[2])
        with socket.create_connection(("127.0.0.1", port)) as line:  # as it is, not tidied up
            line.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
            assert b" 404 " in line.recv(200).split(b"\r\n")[0] + b" ", path
    for path in GETS:
        assert httpx.delete(address + path).status_code in (405, 415), path


def test_a_fault_of_ours_is_a_line_here_and_there(address, monkeypatch, capfd):
    def broken(*_):
        raise RuntimeError("unforeseen")

    monkeypatch.setattr("archive_tools.playground.understanding.understand", broken)
    reply = post(address, "/understand")
    assert (reply.status_code, "mistake" in reply.text) == (500, True)
    shown = capfd.readouterr().err
    assert "unforeseen" in shown and shown.count("\n") == 1


def test_beyond_this_machine_a_token_opens_it(run):
    """In the address once, then in a cookie that scripts and other sites do not get."""
    listener = BoundSocket("0.0.0.0", 0)
    scenery = Scenery(run)
    playground = Playground(run, scenery, lambda model: Homing)
    app = make_app(scenery, [playground, RatingPage(run, "ada")], listener)
    base = f"http://127.0.0.1:{listener.port}"
    with serving(app, listener), httpx.Client(base_url=base) as client:
        assert listener.address().endswith(f"/?token={listener.token}")
        for path in GETS:
            assert client.get(path).status_code == 401
        assert client.post("/drives", json=POSTS["/drives"]).status_code == 401
        assert client.get("/?token=guessed").status_code == 401
        entry = client.get(f"/rate?x=1&token={listener.token}")
        assert entry.status_code == 303 and entry.headers["location"] == "/rate?x=1"
        cookie = entry.headers["set-cookie"].lower()
        assert "httponly" in cookie and "samesite=strict" in cookie
        assert all(client.get(path).status_code == 200 for path in GETS)
        assert client.get("/", headers={"Host": "192.168.1.4"}).status_code == 200
        assert client.get("/", headers={"Host": "rebound.example"}).status_code == 403
        other = {"Origin": "http://elsewhere.example"}
        assert client.post("/rate/undo", json={}, headers=other).status_code == 403
    playground.close()
    local = BoundSocket("127.0.0.1", 0)
    assert local.token == "" and "token" not in local.address()
    local.close()
