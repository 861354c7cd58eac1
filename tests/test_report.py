"""The report: one file, no network, what the run has, in words that the data bear out."""

import json
import re
import shutil
import subprocess
from html.parser import HTMLParser

import pytest
from run_factory import Planted, make_run

from archive_tools import charts, evaluate, rollouts
from archive_tools.gallery import common, sentence
from archive_tools.report import Figures, lede


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    run = make_run(tmp_path_factory.mktemp("report") / "run", n=160)
    dataset = run / "dataset" / "trajectories.parquet"
    assert dataset.exists()
    rollouts.run(rollouts.RolloutConfig(run=run, items=24), lambda model: Planted(run, noise=0.05))
    return evaluate.run(evaluate.EvaluateConfig(run=run, resamples=200, gallery=3)) / "report"


class Page(HTMLParser):
    """Checks nesting, collects links, ids and text."""

    EMPTY = frozenset(("meta", "link", "br", "img", "rect", "circle", "path", "line", "use",
                       "polyline", "ellipse", "polygon", "stop"))  # fmt: skip

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
    assert not re.search(r"<script|url\(['\"]?http|@import", html)
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


def test_markup_in_a_text_stays_text():
    parts = sentence("Stop at <DESCRIPTOR>, <b>now</b>.", [10.2, 20.0])
    assert parts == [("Stop at ", False), ("(10, 20)", True), (", <b>now</b>.", False)]


@pytest.mark.parametrize(
    ("low", "high", "words"),
    [(0.1, 0.2, "It reads the text"), (-0.1, 0.2, "no sign"), (-0.2, -0.1, "misleads")],
)
def test_lede_says_what_the_interval_says(low, high, words):
    def record(system, metric, mean, low, high, **more):
        return {"system": system, "metric": metric, "mean": mean, "ci_low": low, "ci_high": high,
                "n": 9, **more}  # fmt: skip

    records = [
        record("nanodt", "bd_error_median", 7.3, 6, 8),
        record("nanodt", "bd_success", 0.4, 0.3, 0.5),
        record("nanodt", "contrast", 0.55, 0.45, 0.65),
    ]
    paired = [record("nanodt", "route_lcs", (low + high) / 2, low, high, minus="nanodt/text_off")]
    text = " ".join(lede(Figures(records, paired)))
    assert words in text and "7.3 % [6.0, 8.0]" in text and "no better than guessing" in text
    assert "only baselines" in lede(Figures([], []))[0]


def test_common_marks_the_longest_common_subsequence():
    marks = common(["red", "sofa", "blue"], ["red", "blue", "bed"])
    assert marks == ([True, False, True], [True, True, False])
    assert common([], ["a"]) == ([], [False])


def test_charts_keep_marks_and_labels_inside():
    rows = [charts.Dot("policy", 0.5, 0.4, 0.6, "policy"), charts.Dot("x", 2.0, 1.5, 3, "control")]
    picture = charts.dot_chart("T", "n", rows, limits=(0, 1))
    xs = [float(x) for x in re.findall(r'c?x[12]?="([\d.]+)"', picture)]
    assert max(xs) <= 340
    assert charts.ticks(0, 1) == [0, 0.25, 0.5, 0.75, 1]
    assert charts.fixed(-0.001, 2, signed=True) == "0.00" and charts.fixed(-1.5, 1) == "−1.5"
    assert charts.figure(0.12345) == "0.123" and charts.figure(float("nan")) == "–"
    spread = charts._spread([10, 11, 50], 14)
    assert spread[1] - spread[0] >= 14 and spread[2] - spread[1] >= 14
    assert "#0072b2" in charts.resolve(picture) and "var(" not in charts.resolve(picture)


def test_curves_survive_odd_logs(tmp_path):
    from archive_tools.figures import read_log, training_panels

    log = tmp_path / "log.jsonl"
    assert training_panels(log) == []
    log.write_text('{"step": 1, "loss": 2.0}\n[1]\n{"loss": 1}\n{"step": 2, "loss": null}\n{"st')
    assert len(read_log(log)) == 2
    assert len(training_panels(log)) == 1


@pytest.mark.skipif(not shutil.which("chromium"), reason="needs chromium")
def test_page_renders_without_console_errors_and_fits_a_phone(report, tmp_path):
    probe = tmp_path / "probe.html"
    probe.write_text(
        f'<iframe id="f" src="{(report / "index.html").as_uri()}" width="390"></iframe>'
        "<script>f.onload = () => { const d = f.contentDocument.documentElement;"
        "document.title = JSON.stringify([d.scrollWidth, d.querySelectorAll('svg').length]);"
        "document.body.innerHTML = '<p id=out>' + document.title + '</p>'; };</script>"
    )
    done = subprocess.run(
        ["chromium", "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic",
         "--no-first-run", "--disable-background-networking", "--disable-component-update",
         "--disable-sync", "--allow-file-access-from-files", "--enable-logging=stderr",
         f"--user-data-dir={tmp_path / 'profile'}", "--virtual-time-budget=5000", "--dump-dom",
         probe.as_uri()],
        capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert "CONSOLE" not in done.stderr
    width, pictures = json.loads(re.search(r"<p id=\"?out\"?>(\[.*?\])", done.stdout)[1])
    assert width <= 390, "nothing makes the page scroll sideways on a phone"
    assert pictures > 15
