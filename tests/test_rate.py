"""The rating page: blind, nothing lost, and used with the keyboard in a real browser."""

import http.client
import json
import os
import signal
import subprocess
import sys
import threading

import pandas as pd
import pyarrow as pa
import pytest
from chromium import chromium, needs_chromium
from run_factory import make_run

from archive_tools.files.tables import write_table
from archive_tools.rating.drives import choose
from archive_tools.rating.ratings import RatingFile, read_ratings
from archive_tools.rating.server import make_server, rate
from archive_tools.rating.session import Session
from archive_tools.run.stage import Stage, StageConfig
from envs import InputError, load_world

SYSTEMS = ("nanodt", "nanodt/text_off", "nearest_elite_bd", "replay")


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A run with rollouts/: six test items, four systems of which two drove the same paths."""
    run = make_run(tmp_path_factory.mktemp("rate") / "run", n=24)
    recorded = pd.read_parquet(run / "trajectories" / "trajectories.parquet")
    data = pd.read_parquet(run / "dataset" / "trajectories.parquet")
    items, drives = [], []
    for item in range(6):
        row = recorded.iloc[item]
        text = f"Stop at <DESCRIPTOR>, {item}." if item % 2 else data["texts"].iloc[item][0]
        items.append({"item": item, "set": "test", "text": text, "bd": row["bd"].tolist()})
        for number, system in enumerate(SYSTEMS):
            pose = recorded["pose"].iloc[item if number in (0, 3) else (item + number) % 24]
            drives.append({"system": system, "item": item, "seed": 0, "pose": pose.tolist()})
    with Stage(StageConfig(run=run), "rollouts") as stage:
        write_table(stage.path("items.parquet"), pa.Table.from_pylist(items))
        write_table(stage.path("rollouts.parquet"), pa.Table.from_pylist(drives))
    return run


def opened(run, path, rater="ada", rollouts="now"):
    return Session(choose(run), load_world(run / "archive" / "world"),
                   RatingFile(path, rater, rollouts))  # fmt: skip


@pytest.fixture
def served(made, tmp_path):
    """(port, file of ratings) of a running page."""
    path = tmp_path / "ada.jsonl"
    server = make_server(opened(made, path))
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    yield server.server_port, path
    server.shutdown()
    server.server_close()
    thread.join()


def ask(port, path, body=None, **headers):
    line = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    given = {"Content-Type": "application/json"} if body is not None else {}
    given |= {name.replace("_", "-"): value for name, value in headers.items()}
    data = None if body is None else json.dumps(body)
    line.request("GET" if body is None else "POST", path, data, given)
    reply = line.getresponse()
    return reply.status, reply.read().decode()


def test_drives_come_mixed_the_same_each_time_and_one_path_once(made):
    drives = choose(made)
    assert [(d.item, d.systems) for d in drives] == [(d.item, d.systems) for d in choose(made)]
    assert len(drives) == 6 * 3, "replay and nanodt drove the same path"
    assert {d.systems for d in drives} == {
        ("nanodt", "replay"), ("nanodt/text_off",), ("nearest_elite_bd",)
    }  # fmt: skip
    assert [d.item for d in drives] != sorted(d.item for d in drives)
    other = [(d.item, d.systems) for d in choose(made, seed=1)]
    assert other != [(d.item, d.systems) for d in drives]
    assert {d.item for d in choose(made, items=2)} == {0, 1}
    assert {d.systems for d in choose(made, systems=("replay",))} == {("replay",)}
    with pytest.raises(InputError, match="no drives of nobody; found nanodt"):
        choose(made, systems=("nobody",))


def test_nothing_that_reaches_the_browser_names_a_system(served):
    port, _ = served
    whole = ask(port, "/")[1] + ask(port, "/state")[1]
    whole += ask(port, "/rate", {"number": 0, "score": 3})[1]
    for word in (*SYSTEMS, "elite", "text_off", "trajectory"):
        assert word not in whole


def test_scores_are_on_disk_before_the_answer_and_undo_takes_them_off(made, served):
    port, path = served
    first = choose(made)[0]
    assert not path.exists()
    state = json.loads(ask(port, "/rate", {"number": 0, "score": 10})[1])
    assert (state["rated"], state["number"], state["last"]) == (1, 1, 10)
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    assert [(r["system"], r["item"], r["score"], r["rater"]) for r in rows] == [
        (name, first.item, 10, "ada") for name in first.systems
    ]
    ask(port, "/rate", {"number": 1, "score": 0})
    table, stale = read_ratings(path.parent, "now")
    assert stale == 0 and set(table["score"]) == {0.0, 1.0}
    state = json.loads(ask(port, "/undo", {})[1])
    assert (state["rated"], state["number"]) == (1, 1)
    assert [json.loads(line) for line in path.read_text().splitlines()] == rows
    for _ in range(3):
        state = json.loads(ask(port, "/undo", {})[1])
    assert state["rated"] == 0 and path.read_text() == ""


def test_wrong_scores_late_scores_and_other_pages_are_refused(served):
    port, path = served
    for body in ({"number": 0}, {"number": 0, "score": 11}, {"number": 0, "score": "7"},
                 {"number": True, "score": 1}, [], "x"):  # fmt: skip
        assert ask(port, "/rate", body)[0] == 400
    assert ask(port, "/rate", {"number": 5, "score": 1})[0] == 409
    assert ask(port, "/state", Host="rebound.example")[0] == 403
    good = {"number": 0, "score": 1}
    assert ask(port, "/rate", good, Origin="http://elsewhere.example")[0] == 403
    assert ask(port, "/rate", good, Content_Type="text/plain")[0] == 415
    assert ask(port, "/../rate.py")[0] == 404 and ask(port, "/else", {})[0] == 404
    assert not path.exists()
    assert ask(port, "/rate", good, Origin=f"http://127.0.0.1:{port}")[0] == 200


def test_goes_on_where_it_stopped_for_each_rater_and_each_rollouts(made, tmp_path):
    path = tmp_path / "ada.jsonl"
    session = opened(made, path)
    for number in range(3):
        session.rate(number, number)
    with open(path, "ab") as file:
        file.write(b'{"item": 3, "sys')  # what a crash may leave
    again = opened(made, path)
    assert again.state()["rated"] == 3 and again.state()["number"] == 3
    assert again.state()["last"] == 2
    again.rate(3, 9)
    assert len(read_ratings(tmp_path, "now")[0]) == len(path.read_text().splitlines())
    assert opened(made, tmp_path / "bob.jsonl", "bob").state()["rated"] == 0
    assert opened(made, path, rollouts="replaced").state()["rated"] == 0
    for number in range(4, 18):
        again.rate(number, 5)
    assert again.state()["number"] is None
    path.write_text("{}\n")
    with pytest.raises(InputError, match=r"ada.jsonl:1: item is None, expected a whole number"):
        opened(made, path)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ({"score": 99}, "score is 99, expected 0 to 10"),
        ({"item": "one"}, "item is 'one', expected a whole number"),
        ({"seed": "first"}, "seed is 'first', expected a whole number"),
        ({"rater": None}, "rater is None, expected a text"),
    ],
)
def test_the_page_and_the_evaluation_read_a_file_alike(made, tmp_path, line, message):
    """What one of them refuses the other refuses too, in the same words; a seed may be missing."""
    path = tmp_path / "ada.jsonl"
    rating = {"item": 0, "system": "replay", "rater": "ada", "score": 7}
    path.write_text(json.dumps(rating) + "\n")
    assert opened(made, path).ratings.scores() == {("replay", 0, 0): 7}
    assert read_ratings(tmp_path, "now")[0]["score"].tolist() == [0.7]
    path.write_text(json.dumps(rating) + "\n" + json.dumps({**rating, **line}) + "\n")
    for read in (lambda: opened(made, path), lambda: read_ratings(tmp_path, "now")):
        with pytest.raises(InputError, match=f"ada.jsonl:2: {message}"):
            read()


def test_bad_names_and_taken_ports_are_said_in_a_line(made, served):
    with pytest.raises(InputError, match=r"--rater '\.\./x': expected letters"):
        rate(made, "../x")
    with pytest.raises(InputError, match=f"--port {served[0]}: cannot be used"):
        make_server(opened(made, served[1]), port=served[0])
    with pytest.raises(InputError, match="00_search_archive"):
        rate(made / "nowhere", "ada")


def test_ratings_survive_a_kill(made):
    code = (
        "import sys; from pathlib import Path; from archive_tools.rating.server import rate;"
        "rate(Path(sys.argv[1]), 'eve')"
    )
    program = subprocess.Popen([sys.executable, "-c", code, str(made)], stdout=subprocess.PIPE,
                               text=True, env={**os.environ, "PYTHONUNBUFFERED": "1"})  # fmt: skip
    try:
        assert program.stdout is not None
        assert "0 of 18" in program.stdout.readline()
        port = int(program.stdout.readline().split(":")[2].split("/")[0])
        for number in range(5):
            assert ask(port, "/rate", {"number": number, "score": number})[0] == 200
    finally:
        program.send_signal(signal.SIGKILL)
        program.wait(10)
    path = made / "ratings" / "eve.jsonl"
    digest = json.loads((made / "rollouts" / "manifest.json").read_text())["digest"]
    assert opened(made, path, "eve", digest).state()["number"] == 5


@needs_chromium
def test_people_rate_with_keys_and_buttons_in_a_browser(made, tmp_path):
    path = tmp_path / "ada.jsonl"
    session = Session(choose(made, items=2), load_world(made / "archive" / "world"),
                      RatingFile(path, "ada", "now"))  # fmt: skip
    with make_server(session) as server, chromium() as page:
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        address = f"http://127.0.0.1:{server.server_port}/"
        number = "document.body.dataset.number === '{}'".format

        def scores():
            rows = [json.loads(line) for line in path.read_text().splitlines()]
            return list({(r["item"], r["time"]): r["score"] for r in rows}.values())

        page.size(1200, 900)
        page.goto(address)
        page.until(number(0))
        assert page.js("document.querySelectorAll('#scene path').length") > 5
        page.until("document.querySelector('#scene .now[transform]')")
        assert page.js("document.documentElement.scrollWidth") <= 1200
        for key, shown in (("7", 1), ("0", 2), ("x", 3)):
            page.press(key)
            page.until(number(shown))
        assert scores() == [7, 0, 10]
        page.press("u")
        page.until(number(2))
        assert scores() == [7, 0]
        page.size(390, 844, phone=True)
        page.media("prefers-reduced-motion", "reduce")
        page.goto(address)
        page.until(number(2))
        assert page.js("document.querySelector('#scene .now')") is None, "nothing moves by itself"
        assert page.js("document.documentElement.scrollWidth") <= 390
        assert "2 of 6" in page.js("document.getElementById('progress').textContent")
        page.click('[data-score="4"]')
        page.until(number(3))
        page.press("q")
        for key, shown in (("5", 4), ("6", 5)):
            page.press(key)
            page.until(number(shown))
        page.press("9")
        page.until("!document.getElementById('over').hidden")
        assert scores() == [7, 0, 4, 5, 6, 9]
        assert "Thank you" in page.js("document.body.innerText")
        assert page.complaints == []
        server.shutdown()
