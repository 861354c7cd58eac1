"""The playground in a real browser: typed, clicked, watched, with the keyboard, on a phone."""

import re
import time

import numpy as np
import pytest
from browser import chromium, needs_chromium, point
from play_factory import Homing, add_rollouts, make_playable, playing

pytestmark = needs_chromium
SAY = "Go past the fan, then by the piano, and stop at the sofa."
WIDTH = "document.documentElement.scrollWidth"


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return add_rollouts(make_playable(tmp_path_factory.mktemp("page") / "run"))


def load(folder):
    if folder.name != "model":
        raise ValueError(f"{folder}: no model here")
    return Homing


@pytest.fixture(scope="module")
def address(run):
    with playing(run, load, others=[run / "model2", run / "model3"]) as served:
        yield served[0]


@pytest.fixture(scope="module")
def browser():
    with chromium() as browser:
        yield browser


@pytest.fixture
def quiet(browser):
    """The browser; at the end no page of the test has complained."""
    browser.complaints.clear()
    yield browser
    assert browser.complaints == []
    for context in browser.browser.contexts:
        context.close()


def ready(page, address):
    page.goto(address)
    page.locator("body[data-ready]").wait_for()
    page.locator("#pace").select_option("300")
    return page


def at(page, x, y):
    """A place of the world on the map, in CSS pixels."""
    return point(page, "#map", x / 600, y / 600)


def over(page):
    page.locator("body[data-state=over]").wait_for()


def lines(page):
    """Colours of the lines that are drawn."""
    drawn = "[...document.querySelectorAll('.line:not(.casing)')].filter((l) => l.getAttribute"
    return page.evaluate(f"{drawn}('points')).map((l) => l.getAttribute('stroke'))")


def chips(page, part):
    return page.locator(f".understood .{part} dd").all_text_contents()


def test_type_click_watch(quiet, address):
    page = ready(quiet.page(), f"{address}/")
    page.locator("#sentence").press_sequentially(SAY[:20])
    page.locator(".must", has_text="fan").wait_for()
    page.locator("#sentence").press_sequentially(SAY[20:])
    page.locator(".end", has_text="sofa").wait_for()
    assert chips(page, "order") == ["fan", "piano", "sofa"] and chips(page, "place") == []
    page.mouse.click(*at(page, 200, 500))
    assert chips(page, "place") == ["200, 500✕"]
    assert page.locator("#map .target").get_attribute("transform") == "translate(200 500)"
    page.locator("#sentence").press("Enter")
    page.locator(".track .line[points]:not([points=''])").first.wait_for(state="attached")
    page.locator("#events li", has_text="on pink").first.wait_for()
    over(page)
    assert len(set(lines(page))) > 15, "the line's colour tells the time"
    row = page.locator("[data-robot=policy]")
    assert re.fullmatch(r"\d units off \(0(\.\d)? %\)", row.locator(".distance").inner_text())
    assert re.fullmatch(r"\d+ %", row.locator(".score").inner_text())
    assert "stops elsewhere" in row.locator(".reasons").inner_text()
    page.locator("#live", has_text="Over. Obeyed to").wait_for(state="attached")
    page.keyboard.down("Shift")
    page.mouse.click(*at(page, 400, 400))
    page.keyboard.up("Shift")
    assert chips(page, "place") == []
    page.mouse.click(*at(page, 300, 300))
    page.keyboard.press("Escape")
    assert chips(page, "place") == [] and page.locator("#map .target").count() == 0
    page.locator("#step").fill("10")
    assert page.locator("#clock").inner_text() == "10 / 400" and len(lines(page)) == 1


def test_the_address_replays_the_drive(quiet, address):
    page = ready(quiet.page(still=True), f"{address}/")
    page.fill("#sentence", SAY)
    page.mouse.click(*at(page, 200, 500))
    page.check("[value=text_off]")
    page.locator("[value=wall]").check(force=True)
    page.mouse.move(*at(page, 120, 400))
    page.mouse.down()
    page.mouse.move(*at(page, 120, 540), steps=3)
    page.mouse.up()
    page.click("#go")
    over(page)
    first = page.locator(".robot.now").first.get_attribute("transform")
    page.reload()
    over(page)
    assert page.locator(".robot.now").first.get_attribute("transform") == first
    other = quiet.page(still=True)
    other.goto(page.url)
    over(other)
    assert other.locator("#sentence").input_value() == SAY
    assert other.locator(".robot.now").first.get_attribute("transform") == first
    assert other.locator("#map path.put").count() == 1 and other.is_checked("[value=text_off]")
    assert lines(other)[0] != lines(other)[-1], "each robot has its colour"
    other.locator("#history summary").click()
    assert other.locator("#history button").all_inner_texts() == [SAY]


def test_up_to_four_robots_at_once(quiet, address):
    page = ready(quiet.page(still=True), f"{address}/")
    for name in ("text_off", "bd_off", "nearest_elite"):
        page.check(f"[value={name}]")
    assert page.locator("[name=robot]:not(:checked):disabled").count() == 2
    page.fill("#sentence", SAY)
    page.mouse.click(*at(page, 200, 500))
    page.locator("#sentence").press("Enter")
    over(page)
    assert len(set(lines(page))) == 4 and page.locator(".robot.now").count() == 4
    scores = page.locator(".robots .score").all_inner_texts()
    assert [bool(score) for score in scores] == [True] * 4 + [False] * 2
    page.uncheck("[value=bd_off]")
    page.locator("[name=robot]:not(:checked)").last.check()
    page.click("#go")
    page.locator(".reasons", has_text="model3").wait_for()
    over(page)


def test_walls_crates_and_another_start(quiet, address):
    page = ready(quiet.page(still=True), f"{address}/")
    page.mouse.move(*at(page, 60, 450))
    page.mouse.down()
    page.mouse.move(*at(page, 80, 480), steps=4)
    page.mouse.up()
    assert "translate(80" in page.locator("#map .start").get_attribute("transform")
    page.locator("[value=crate]").check(force=True)
    page.mouse.click(*at(page, 150, 480))
    assert page.locator("#map rect.put").count() == 1
    page.locator("[value=target]").check(force=True)
    page.mouse.click(*at(page, 205, 480))
    page.fill("#sentence", "Go to the stove.")
    page.click("#go")
    page.locator("#events", has_text="runs into something").wait_for()
    over(page)
    assert page.locator("#map .bump circle").count() >= 1
    page.locator("[value=crate]").check(force=True)
    page.mouse.click(*at(page, 152, 484))
    assert page.locator("#map rect.put").count() == 0
    page.locator("[value=wall]").check(force=True)
    page.mouse.move(*at(page, 80, 440))
    page.mouse.down()
    page.mouse.move(*at(page, 80, 520), steps=3)
    page.mouse.up()
    page.click("#go")
    page.get_by_role("alert").filter(has_text="lies inside a wall").wait_for()
    quiet.complaints.clear()  # the console notes that the server refused
    page.click("#clear")
    assert page.locator("#map .put *").count() == 0 and chips(page, "place") == []
    page.locator("[value=start]").check(force=True)
    page.mouse.move(*at(page, 300, 300))
    page.mouse.down()
    page.mouse.move(*at(page, 300, 340), steps=3)
    page.mouse.up()
    assert page.locator("#map .start").get_attribute("transform").endswith("rotate(89.99)") or (
        "rotate(90" in page.locator("#map .start").get_attribute("transform")
    )


def test_with_the_keyboard_alone(quiet, address):
    page = ready(quiet.page(still=True), f"{address}/")
    page.keyboard.press("Tab")
    for _ in range(40):
        if page.evaluate("document.activeElement.id") == "sentence":
            break
        page.keyboard.press("Tab")
    page.keyboard.type("Go to the stove.")
    for _ in range(40):
        if page.evaluate("document.activeElement.id") == "map":
            break
        page.keyboard.press("Shift+Tab")
    page.keyboard.press("ArrowLeft")
    for _ in range(3):
        page.keyboard.press("Shift+ArrowDown")
    page.locator("#live", has_text=re.compile(r"290, 450")).wait_for(state="attached")
    page.keyboard.press("Enter")
    assert chips(page, "place") == ["290, 450✕"]
    page.locator("[value=target]").focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    assert page.is_checked("[value=wall]")
    page.locator("#map").focus()
    for key in ("ArrowUp", "Enter", "Shift+ArrowUp", "Enter"):
        page.keyboard.press(key)
    assert page.locator("#map path.put").count() == 1
    page.keyboard.press("Control+Enter")
    over(page)
    page.locator("#pause").focus()
    page.keyboard.press("Enter")
    page.locator("body[data-state=driving]").wait_for()
    over(page)
    page.locator("#sentence").focus()
    page.keyboard.press("ArrowUp")
    page.keyboard.press("Escape")
    assert chips(page, "place") == []


def test_everything_has_a_name_that_is_read_out(quiet, address):
    page = ready(quiet.page(still=True), f"{address}/")
    unnamed = page.evaluate(
        "[...document.querySelectorAll('button, input, select, textarea, a[href], [role]')]"
        ".filter((e) => !e.hidden && !(e.ariaLabel || e.textContent.trim() || e.labels?.length ||"
        " e.getAttribute('aria-labelledby') || e.closest('label')?.textContent.trim() ||"
        " e.role === 'status' || e.role === 'alert')).map((e) => e.outerHTML)"
    )
    assert unnamed == []
    assert page.locator("#live[aria-live=polite]").count() == 1
    page.get_by_role("textbox", name="Say where to go and how").wait_for()
    page.get_by_role("radio", name="Wall").wait_for(state="attached")
    page.get_by_role("checkbox", name="nearest elite").wait_for()


@pytest.mark.parametrize("dark", [False, True])
def test_on_a_phone_in_the_dark_and_without_motion(quiet, address, dark):
    page = ready(quiet.page(390, 844, dark=dark, still=True), f"{address}/")
    paper = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert paper == ("rgb(22, 21, 20)" if dark else "rgb(255, 255, 255)")
    page.locator("#sentence").fill(SAY)
    page.locator(".end", has_text="sofa").wait_for()
    page.locator("#map").scroll_into_view_if_needed()
    page.touchscreen.tap(*at(page, 200, 500))
    assert chips(page, "place") == ["200, 500✕"] or chips(page, "place") == ["200, 499✕"]
    page.locator("#pace").select_option("20")  # 20 s, were it played
    begun = time.monotonic()
    page.locator("#go").click()
    over(page)
    assert time.monotonic() - begun < 10, "nothing moves by itself: the drive is there at once"
    assert page.evaluate(WIDTH) <= 390
    page.goto(f"{address}/rate")
    page.locator("body[data-number]").wait_for()
    assert page.evaluate(WIDTH) <= 390


def test_two_tabs_drive_at_once(quiet, address):
    one, two = (ready(quiet.page(still=True), f"{address}/") for _ in range(2))
    for page, x in ((one, 200), (two, 100)):
        page.fill("#sentence", "Go to the stove.")
        page.mouse.click(*at(page, x, 520))
        page.click("#go")
    ends = []
    for page in (one, two):
        over(page)
        transform = page.locator(".robot.now").get_attribute("transform")
        ends.append([float(v) for v in re.findall(r"[\d.]+", transform)[:2]])
    assert np.hypot(*np.subtract(ends[0], (200, 520))) < 8
    assert np.hypot(*np.subtract(ends[1], (100, 520))) < 8


def test_a_connection_that_breaks_comes_back(run, quiet):
    """The program ends in the middle of a drive, and another one takes its place."""
    with playing(run, lambda model: lambda: Homing(0.02)) as (address, _):
        page = ready(quiet.page(still=True), f"{address}/")
        page.fill("#sentence", "Go to the stove.")
        page.mouse.click(*at(page, 200, 500))
        page.click("#go")
        page.locator("#events li", has_text="on pink").first.wait_for()
    page.get_by_role("alert").filter(has_text="trying again").wait_for()
    with playing(run, lambda model: Homing, port=int(address.rpartition(":")[2])):
        over(page)
        assert not page.locator("#trouble").is_visible()
        assert "0" in page.locator("[data-robot=policy] .distance").inner_text()
    page.click("#go")
    page.get_by_role("alert").filter(has_text="does not answer").wait_for()
    page.context.close()
    refused = ("net::ERR_", "404")  # what the console says of a server that is gone, or another
    quiet.complaints = [c for c in quiet.complaints if not any(word in c for word in refused)]


def test_a_model_folder_that_vanishes_is_told_and_driven_on(run, address, quiet):
    manifest = run / "model" / "manifest.json"
    manifest.rename(run / "away")
    try:
        page = ready(quiet.page(still=True), f"{address}/")
        page.get_by_role("alert").filter(has_text="folder is gone").wait_for()
        page.fill("#sentence", SAY)
        page.click("#go")
        over(page)
    finally:
        (run / "away").rename(manifest)


def test_a_drive_is_kept_and_rated(address, quiet):
    page = ready(quiet.page(still=True), f"{address}/")
    page.fill("#sentence", SAY)
    page.click("#go")
    over(page)
    for kind, head in (("png", b"\x89PNG"), ("svg", b"<svg"), ("gif", b"GIF8")):
        with page.expect_download() as download:
            page.click(f"#save a[data-kind={kind}]")
        path = download.value.path()
        assert path.read_bytes().startswith(head)
        assert download.value.suggested_filename == f"drive.{kind}"
    page.get_by_role("link", name="Rate drives").click()
    page.locator("body[data-number='0']").wait_for()
    page.keyboard.press("7")
    page.locator("body[data-number='1']").wait_for()
