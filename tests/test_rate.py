"""The rating page: blind, nothing lost, and used with the keyboard in a real browser."""

import json
import signal
import subprocess
import sys

import httpx
import pytest
from browser import chromium, needs_chromium
from play_factory import SYSTEMS, add_rollouts, serving
from run_factory import make_run

from archive_tools.playground.opening import rate
from archive_tools.playground.rate_page import RatingPage
from archive_tools.playground.scenery import Scenery
from archive_tools.playground.server import BoundSocket, make_app
from archive_tools.rating.drives import choose
from archive_tools.rating.ratings import RatingFile, read_ratings
from archive_tools.rating.session import Session
from envs import InputError


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return add_rollouts(make_run(tmp_path_factory.mktemp("rate") / "run", n=24))


def opened(run, path, rater="ada", rollouts="now", **options):
    return Session(choose(run, **options), RatingFile(path, rater, rollouts))


def page_of(run, session):
    """What serves a session, and where."""
    page = RatingPage(run, "ada")
    page.session = session
    listener = BoundSocket("127.0.0.1", 0)
    return make_app(Scenery(run), [page], listener), listener


@pytest.fixture
def served(made, tmp_path):
    """(address, file of ratings) of a running page."""
    path = tmp_path / "ada.jsonl"
    with serving(*page_of(made, opened(made, path))) as address:
        yield address, path


def ask(address, path, body=None):
    reply = httpx.get(address + path) if body is None else httpx.post(address + path, json=body)
    return reply.status_code, reply.text


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
    address, _ = served
    assert httpx.get(address + "/", follow_redirects=True).url.path == "/rate"
    whole = "".join(
        ask(address, f"/{name}")[1] for name in ("rate", "rate/state", "static/rate.js")
    )
    whole += ask(address, "/rate/score", {"number": 0, "score": 3})[1]
    for word in (*SYSTEMS, "elite", "text_off", "trajectory"):
        assert word not in whole


def test_scores_are_on_disk_before_the_answer_and_undo_takes_them_off(made, served):
    address, path = served
    first = choose(made)[0]
    assert not path.exists()
    state = json.loads(ask(address, "/rate/score", {"number": 0, "score": 10})[1])
    assert (state["rated"], state["number"], state["last"]) == (1, 1, 10)
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    assert [(r["system"], r["item"], r["score"], r["rater"]) for r in rows] == [
        (name, first.item, 10, "ada") for name in first.systems
    ]
    ask(address, "/rate/score", {"number": 1, "score": 0})
    table, stale = read_ratings(path.parent, "now")
    assert stale == 0 and set(table["score"]) == {0.0, 1.0}
    state = json.loads(ask(address, "/rate/undo", {})[1])
    assert (state["rated"], state["number"]) == (1, 1)
    assert [json.loads(line) for line in path.read_text().splitlines()] == rows
    for _ in range(3):
        state = json.loads(ask(address, "/rate/undo", {})[1])
    assert state["rated"] == 0 and path.read_text() == ""


def test_wrong_scores_and_late_scores_are_refused(served):
    address, path = served
    wrong = [{"number": 0}, {"number": 0, "score": 11}, {"number": 0, "score": "7"},
             {"number": True, "score": 1}, {"number": 0, "score": 1, "system": "x"}]  # fmt: skip
    for body in wrong:
        assert ask(address, "/rate/score", body)[0] == 400
    status, state = ask(address, "/rate/score", {"number": 5, "score": 1})
    assert status == 409 and json.loads(state)["number"] == 0
    assert not path.exists()
    assert ask(address, "/rate/score", {"number": 0, "score": 1})[0] == 200


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
    port = int(served[0].rpartition(":")[2])
    with pytest.raises(InputError, match=r"--rater '\.\./x': expected letters"):
        rate(made, "../x")
    with pytest.raises(InputError, match=f"--port {port}: cannot be used"):
        rate(made, "ada", port=port)
    with pytest.raises(InputError, match="00_search_archive"):
        rate(made / "nowhere", "ada")


def test_ratings_survive_a_kill_and_ctrl_c_tells_where_they_are(made):
    code = (
        "import sys; from pathlib import Path; from archive_tools.playground import rate;"
        "rate(Path(sys.argv[1]), 'eve')"
    )

    def begin():
        command = [sys.executable, "-c", code, str(made)]
        program = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert program.stdout is not None
        rated = program.stdout.readline()
        return program, rated, program.stdout.readline().split()[1].removesuffix("/rate")

    program, rated, address = begin()
    assert "0 of 18" in rated
    for number in range(5):
        assert ask(address, "/rate/score", {"number": number, "score": number})[0] == 200
    program.send_signal(signal.SIGKILL)
    program.wait(10)
    program, rated, _ = begin()
    assert "5 of 18" in rated
    program.send_signal(signal.SIGINT)
    assert "5 of 18 drives are rated; kept in" in program.communicate(timeout=10)[0]
    assert program.returncode == 0


@needs_chromium
def test_people_rate_with_keys_and_buttons_in_a_browser(made, tmp_path):
    path = tmp_path / "ada.jsonl"

    def scores():
        rows = [json.loads(line) for line in path.read_text().splitlines()]
        return list({(r["item"], r["time"]): r["score"] for r in rows}.values())

    def shown(page, number):
        page.locator(f"body[data-number='{number}']").wait_for()

    with serving(*page_of(made, opened(made, path, items=2))) as address, chromium() as browser:
        page = browser.page(1200, 900)
        page.goto(address)
        shown(page, 0)
        page.locator("#map .now[transform]").wait_for()
        assert page.locator("#map polyline").count() > 5
        assert page.evaluate("document.documentElement.scrollWidth") <= 1200
        for key, number in (("7", 1), ("0", 2), ("x", 3)):
            page.keyboard.press(key)
            shown(page, number)
        assert scores() == [7, 0, 10]
        page.keyboard.press("u")
        shown(page, 2)
        assert scores() == [7, 0]
        phone = browser.page(390, 844, still=True, dark=True)
        phone.goto(address)
        shown(phone, 2)
        path_drawn = (
            "[...document.querySelectorAll('#map .line[points]')].pop().getAttribute('points')"
        )
        assert phone.evaluate(path_drawn), "nothing moves by itself: the drive is there at once"
        assert phone.evaluate("document.documentElement.scrollWidth") <= 390
        assert "2 of 6" in phone.locator("#progress").inner_text()
        phone.click('[data-score="4"]')
        shown(phone, 3)
        page.keyboard.press("1")  # the other window still shows the one before
        shown(page, 3)
        assert scores() == [7, 0, 4] and "rated already" in page.locator("#said").inner_text()
        browser.complaints = [c for c in browser.complaints if "409" not in c]
        page.keyboard.press("q")
        for key, number in (("5", 4), ("6", 5)):
            page.keyboard.press(key)
            shown(page, number)
        page.keyboard.press("9")
        page.get_by_text("All drives are rated. Thank you.").wait_for()
        assert scores() == [7, 0, 4, 5, 6, 9]
        assert browser.complaints == []
