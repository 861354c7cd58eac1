"""The report: one file, no network, what the run has; explored in a real browser."""

import csv
import re
from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest
from browser import chromium, needs_chromium, point
from run_factory import Planted, make_run
from test_report_parts import check_latex

from archive_tools.stages import s08_rollout as rollouts
from archive_tools.stages import s09_evaluate as evaluate


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    folder = tmp_path_factory.mktemp("report")
    run = make_run(folder / "run", n=160)
    dataset = run / "dataset" / "trajectories.parquet"
    assert dataset.exists()
    rollouts.run(rollouts.RolloutConfig(run=run, items=24), lambda model: Planted(run, noise=0.05))
    return evaluate.run(evaluate.EvaluateConfig(run=run, resamples=200, gallery=3)) / "report"


class Page(HTMLParser):
    """Checks nesting, collects links, ids and text."""

    EMPTY = frozenset(("meta", "link", "br", "img", "rect", "circle", "path", "line", "use",
                       "polyline", "ellipse", "polygon", "stop", "input"))  # fmt: skip

    def __init__(self):
        super().__init__()
        self.open, self.links, self.ids, self.text = [], [], set(), []

    def handle_starttag(self, tag, attrs):
        if tag not in self.EMPTY:
            self.open.append(tag)
        for key, value in attrs:
            if key in ("href", "src", "xlink:href"):
                self.links.append(value)
            elif key == "id":
                self.ids.add(value)

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)
        if tag not in self.EMPTY:
            self.open.pop()

    def handle_endtag(self, tag):
        if tag not in self.EMPTY:
            assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open[-1:] not in (["script"], ["style"]):
            self.text.append(data)


def test_page_is_whole_self_contained_and_small(report):
    html = (report / "index.html").read_text()
    assert len(html) < 10_000_000
    page = Page()
    page.feed(html)
    assert page.open == []
    outside = [x for x in page.links if not x.startswith(("#", "data:"))]
    assert outside == [], "no link leads out of the file"
    assert {x[1:] for x in page.links if x.startswith("#")} <= page.ids
    assert not re.search(r"<script[^>]+src|url\(['\"]?http|@import|https?://(?!www.w3.org/)", html)
    assert "default-src 'none'" in html, "the page forbids itself the network"
    text = " ".join(page.text)
    for word in (
        "Obeyed",
        "Disobeyed",
        "byte-level BPE",
        "nearest by both",
        "largest error",
        "numba",
    ):
        assert word in text
    assert "var(--" in html and "undefined" not in text.lower() and "nan" not in text.split()


def test_markdown_shows_pictures_that_exist(report):
    text = (report / "report.md").read_text()
    pictures = re.findall(r"!\[[^]]*\]\(([^)]+)\)", text)
    assert len(pictures) > 8
    for name in pictures:
        assert (report / name).read_bytes().startswith(b"\x89PNG")
    rows = [line for line in text.splitlines() if line.startswith("|")]
    assert all(line.endswith("|") for line in rows)
    assert "<DESCRIPTOR>" not in text


def test_tables_for_papers_are_plain_latex_and_csv(report):
    folder = report / "tables"
    names = {path.stem for path in folder.glob("*.tex")}
    assert {"metrics", "differences", "tokenizers"} <= names
    for name in names:
        text = (folder / f"{name}.tex").read_text()
        rows = list(csv.reader((folder / f"{name}.csv").read_text().splitlines()))
        check_latex(text, len(rows[0]), len(rows))


def pick(page, name, value):
    """Choose an option, by what it says or stands for."""
    page.evaluate(
        f"(() => {{ const s = document.getElementById('{name}');"
        f"s.value = [...s.options].find((o) => [o.text, o.value].includes('{value}')).value;"
        "s.dispatchEvent(new Event('change')); })()"
    )


def run_of(report):
    return report.parent.parent


@pytest.fixture(scope="module")
def browser():
    with chromium() as browser:
        yield browser


def opened(report, page):
    """The report, loaded from disk."""
    page.goto((report / "index.html").as_uri())
    page.evaluate("Promise.all(Object.values(Wayword.ready)).then(() => 1)")
    return page


@pytest.fixture(params=[(1200, 900), (390, 844)], ids=["desktop", "phone"])
def page(request, report, browser):
    browser.complaints.clear()
    page = opened(report, browser.page(*request.param))
    yield page
    assert browser.complaints == [], "the console stays quiet and nothing is fetched"
    page.context.close()


def chosen(page):
    return page.evaluate("document.querySelector('#archive-about h3').textContent")


@needs_chromium
def test_explorer_answers_clicks_keys_and_searches(page, report):
    data = pd.read_parquet(run_of(report) / "dataset" / "trajectories.parquet")
    width = page.evaluate("innerWidth")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert "160 elites in" in page.evaluate("document.getElementById('archive-count').textContent")
    row = data.iloc[int(np.argmax([bd[0] for bd in data["bd"]]))]  # the one furthest east
    x, y = row["bd"] / 600
    page.mouse.click(*point(page, "#archive-map", x, y))
    assert chosen(page).startswith(f"Elite {row['trajectory_id']} ")
    assert row["split"] in chosen(page)
    about = page.evaluate("document.querySelector('#archive-about').textContent")
    assert row["texts"][0].split("<DESCRIPTOR>")[0] in about
    events = pd.read_parquet(run_of(report) / "annotations" / "events.parquet")
    steps = events[events["trajectory_id"] == row["trajectory_id"]]["timestep"].astype(str)
    shown = "[...document.querySelectorAll('#archive-about tbody td:first-child')]"
    assert page.evaluate(f"{shown}.map((e) => e.textContent)") == steps.tolist()
    drawn = "[...new Set([...document.querySelectorAll('#archive-scene path[stroke]')]"
    strokes = page.evaluate(f"{drawn}.map((e) => e.getAttribute('stroke')))]")
    assert len(strokes) > 15, "time as colour"
    page.evaluate("document.getElementById('archive-map').focus()")
    before = chosen(page)
    page.keyboard.press("ArrowLeft")
    assert chosen(page) != before
    page.click("#archive-about tbody tr:last-child button")
    assert page.evaluate("document.getElementById('archive-step').value") == "400"
    assert page.evaluate("document.querySelectorAll('#archive-scene .now').length") == 1
    text = data.iloc[7]["texts"][0]
    page.evaluate("document.getElementById('archive-search').focus()")
    page.keyboard.insert_text('"(drive 7)" stop')
    found = "[...document.querySelectorAll('#archive-results button')]"
    assert page.evaluate(f"{found}.map((b) => Number(b.querySelector('b').textContent))") == [107]
    assert "1 of 160" in page.evaluate("document.getElementById('archive-count').textContent")
    assert chosen(page).startswith("Elite 107 ")
    assert page.evaluate("document.querySelector('#archive-results mark').textContent") == "stop"
    assert text.split("<DESCRIPTOR>")[0] in page.evaluate(
        "document.querySelector('#archive-results').textContent"
    )
    page.fill("#archive-search", "")
    for kind in ("split", "objective", "places"):
        pick(page, "archive-colour", kind)
        assert page.evaluate("document.querySelectorAll('#archive-legend span').length") >= 1
    inks = page.evaluate(
        "(() => { const c = document.querySelector('#archive-map canvas');"
        "const d = c.getContext('2d').getImageData(0, 0, c.width, c.height).data;"
        "let n = 0; for (let i = 3; i < d.length; i += 4) n += d[i] > 0; return n; })()"
    )
    assert inks > 150, "the map's cells are painted"


@needs_chromium
def test_galleries_sort_by_any_metric_for_any_system(page, report):
    items = pd.read_parquet(run_of(report) / "evaluation" / "items.parquet")
    items = items.loc[(items["set"] == "test") & (items["seed"] == 0)]

    def cards(name):
        found = f"[...document.querySelectorAll('#{name}-cards article')]"
        return page.evaluate(f"{found}.map((a) => Number(a.dataset.item))")

    for system, name in (("nanodt", "policy"), ("random_elite", "random elite")):
        values = items.loc[items["system"] == system].set_index("item")
        pick(page, "drives-who", name)
        for metric, low in (("bd_error", True), ("route_lcs", False)):
            pick(page, "drives-by", metric)
            best, worst = (values.loc[cards(n), metric].tolist() for n in ("obeyed", "disobeyed"))
            order = sorted(values[metric], reverse=not low)
            assert best == order[:3] and worst == order[::-1][:3]
    page.click("#obeyed-more")
    assert len(cards("obeyed")) == 6
    page.click("#obeyed-cards summary")
    first = page.evaluate("document.querySelector('#obeyed-cards article').textContent")
    for word in ("Verdict:", "asked", "driven", "Driven", "Reference", "% off the target"):
        assert word in first
    assert page.locator("#obeyed-cards article:first-child .scene path").count() > 20
    reference = int(items.loc[items["item"] == cards("obeyed")[0], "trajectory_id"].iloc[0])
    page.click("#obeyed-cards details a")
    page.get_by_role("heading", name=f"Elite {reference} ").wait_for()


@needs_chromium
def test_labels_do_not_overlap_and_the_page_prints(report, browser):
    browser.complaints.clear()
    page = opened(report, browser.page(1200, 900))
    overlaps = page.evaluate(
        "[...document.querySelectorAll('figure svg')].flatMap((s) => {"
        "const boxes = [...s.querySelectorAll('text')].filter((t) => t.textContent.trim())"
        ".map((t) => [t.textContent, t.getBoundingClientRect()]);"
        "return boxes.flatMap(([a, p], i) => boxes.slice(i + 1).filter(([b, q]) =>"
        "Math.min(p.right, q.right) - Math.max(p.left, q.left) > -2 &&"
        "Math.min(p.bottom, q.bottom) - Math.max(p.top, q.top) > 3)"
        ".map(([b]) => `${a} / ${b}`)); })"
    )
    assert overlaps == []
    assert page.pdf().startswith(b"%PDF")
    dark = opened(report, browser.page(1200, 900, dark=True))
    assert dark.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(22, 21, 20)"
    assert browser.complaints == []
