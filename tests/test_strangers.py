"""A stranger's world on every page: its pictures, names and texts run, load and lead nowhere."""

import re
import shutil
import time
from pathlib import Path
from urllib.parse import quote

import httpx
import pytest
from browser import chromium, needs_chromium
from markdown_it import MarkdownIt
from payloads import EVENTS, PAYLOADS, packed
from play_factory import Homing, make_playable, playing, renew
from run_factory import Planted

import envs
import nanodt
from archive_tools.files.tables import read_arrow, read_json, write_json, write_table
from archive_tools.report import write_results
from archive_tools.stages import s08_rollout as rollouts
from archive_tools.stages import s09_evaluate as evaluate
from archive_tools.stages import s10_publish as publishing
from envs.pictures.svg import read_picture
from envs.worldfile import WORLDS

NAMES = {
    "cabinet": "<img src=x onerror=top.pwned=1>",
    "fan": "</script><script>top.pwned=1</script>",
    "piano": "\"><svg onload=top.pwned=1>",
    "sofa": "' onmouseover='top.pwned=1' x='",
    "plant": "[plant](javascript:top.pwned=1)",
    "bathtub": "![tub](http://a.invalid/tub)",
    "statue": "</style><link rel=stylesheet href=//a.invalid/s>",
    "desk": "<a href=http://a.invalid/>desk</a>",
    "bookshelf": "{{ 7 * 7 }}${top.pwned=1}",
    "fridge": "`<b onclick=top.pwned=1>fridge</b>`",
    "stove": "--><iframe srcdoc=stove>",
    "table": "</title><script src=//a.invalid/table></script>",
    "chair": "http://a.invalid/chair",
    "bed": "]]><meta http-equiv=refresh content=0;url=http://a.invalid/bed>",
    "red": "<base href=//a.invalid/red>",
    "gray": "a | <video src=//a.invalid/gray onerror=top.pwned=1>",
    "hall": "<form action=//a.invalid/hall><button autofocus onfocus=top.pwned=1>",
    "ventilator": "<math href=javascript:top.pwned=1>ventilator</math>",
}  # fmt: skip
TEXT = "<img src=x onerror=top.pwned=1>[go](javascript:top.pwned=1) </script><script>top.pwned=1//"
RUN = '"><img src=x onerror=top.pwned=1>[a](javascript:top.pwned=1)`'
PAGES = ["alone", "report", "report.md", "results.md", "/", "/rate", "/scene.svg"]
FOREIGN = """[...document.querySelectorAll('*')].filter((e) =>
  [...e.attributes].some((a) => a.name.startsWith('on') || /javascript:|a\\.invalid/.test(
    ['href', 'src', 'xlink:href', 'action', 'srcdoc', 'content'].includes(a.name) ? a.value : ''))
  || e.matches('iframe, object, embed, base, foreignObject, svg a, svg script, a img'
               + ', meta[http-equiv=refresh], form[action]')).map(e => e.outerHTML.slice(0, 99))"""


def strange_world(folder: Path) -> Path:
    """The apartment with payloads for its pictures, and in its names."""
    folder.mkdir()
    text = (WORLDS / "apartment.toml").read_text(encoding="utf-8")
    names = re.findall(r'picture = "(.*)"', text)
    for name, svg in zip(names, packed(len(names)), strict=True):
        (folder / name).write_text(svg, encoding="utf-8")
    for name, other in NAMES.items():
        text = text.replace(f'"{name}"', f'"""{other}"""')
    text = text.replace('"apartment"', f"'''{TEXT}'''")
    (folder / "world.toml").write_text(text, encoding="utf-8")
    return folder / "world.toml"


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run with a report in such a world, with such texts, called so."""
    folder = tmp_path_factory.mktemp("strange")
    world = str(strange_world(folder / "scene"))
    run = make_playable(folder / RUN, 24, world)
    table = read_arrow(run / "dataset" / "trajectories.parquet")
    texts = [[f"{TEXT} {text}" for text in row] for row in table["texts"].to_pylist()]
    at = table.schema.get_field_index("texts")
    write_table(run / "dataset" / "trajectories.parquet", table.set_column(at, "texts", [texts]))
    renew(run / "dataset")
    driven = rollouts.RolloutConfig(run=run, items=6, systems=("nanodt", "replay"))
    rollouts.run(driven, lambda model: Planted(run, noise=0.05))
    with pytest.MonkeyPatch.context() as patch:  # pixels run nothing, and take long to draw
        patch.setattr("archive_tools.report.page.svg_to_png", lambda svg, path: path.touch())
        evaluate.run(evaluate.EvaluateConfig(run=run, resamples=20, gallery=2))
    write_results(run, run / "results.md", f"make {TEXT}", TEXT, "")
    return run


@pytest.fixture(scope="module")
def address(run):
    with playing(run, lambda model: Homing) as (address, _):
        yield address


@pytest.fixture(scope="module")
def browser():
    with chromium() as browser:
        yield browser


def alone(folder: Path) -> str:
    """All pictures on a page without any policy."""
    parts = []
    for number, svg in enumerate([*packed(3), *(p for p in PAYLOADS.values() if p[:4] != "<svg")]):
        (folder / f"{number}.svg").write_text(svg, encoding="utf-8")
        try:
            markup = read_picture(folder / f"{number}.svg").markup
        except envs.InputError:
            assert svg.startswith("<!DOCTYPE")
            continue
        parts.append(f'<svg viewBox="0 0 10 10" width="40">{markup}</svg>')
    bad = '<svg viewBox="0 0 9 9"><rect width="9" height="9" onmouseover="window.seen=1"/></svg>'
    return "<!doctype html><meta charset=utf-8><body>" + "\n".join([*parts, bad])


@pytest.fixture(scope="module")
def cards(run, tmp_path_factory):
    """What is published of that run, its manifests and its trajectories.json a stranger's, too."""
    folder = tmp_path_factory.mktemp("cards")
    shutil.copytree(run, folder / "run")
    for path in folder.glob("run/*/manifest.json"):
        manifest = read_json(path)
        versions = {name: f"1`{TEXT}" for name in manifest.get("versions", {})}
        sources = {"sources": {f"model `{TEXT}": {"accepted": 3}}}
        manifest |= {"command": f"python scripts/x.py --run '`` {TEXT} |`'", "versions": versions}
        manifest["facts"] |= sources if path.parent.name == "descriptions" else {}
        write_json(path, manifest)
    path = folder / "run" / "trajectories" / "trajectories.json"
    info = read_json(path)
    environment = {**info["environment"], "id": f"a`|{TEXT}"}
    write_json(path, info | {"environment": environment, "bd_names": [TEXT, f"`{TEXT}`"]})
    renew(path.parent)
    config = publishing.PublishConfig(
        run=folder / "run",
        to=str(folder / "out"),
        name="x",
        what=("hf-dataset", "hf-model", "bundle"),
    )
    publishing.run(config, nanodt.load)
    return sorted(folder.glob("out/*/README.md"))


@needs_chromium
def test_nothing_in_a_published_card_runs_loads_or_leads_elsewhere(cards, browser, tmp_path):
    """Rendered as the Hub does: CommonMark with tables, HTML let through, addresses made links."""
    assert len(cards) == 3
    markdown = MarkdownIt("commonmark").enable("table")
    for card in cards:
        browser.complaints.clear()
        text = card.read_text(encoding="utf-8").partition("\n---\n")[2]
        shown = markdown.render(text)
        assert "top.pwned" in shown, "the payloads are there, as text"
        where = tmp_path / "a.html"
        where.write_text(f"<!doctype html><meta charset=utf-8>{shown}", encoding="utf-8")
        page = browser.page()
        page.goto(where.as_uri())
        assert page.evaluate(FOREIGN) == [] and page.locator("img, script, svg").count() == 0
        page.evaluate(EVENTS)
        assert browser.complaints == [] and page.evaluate("window.pwned === undefined")
        page.context.close()


@needs_chromium
@pytest.mark.parametrize("name", PAGES)
def test_nothing_of_a_strangers_world_runs_loads_or_leads_elsewhere(
    name, run, address, browser, tmp_path
):
    browser.complaints.clear()
    where = {"report": run / "evaluation" / "report" / "index.html"}.get(name, tmp_path / "a.html")
    if name == "alone":
        where.write_text(alone(tmp_path), encoding="utf-8")
    elif name.endswith(".md"):  # as a renderer shows it that lets HTML through
        folder = run if name == "results.md" else run / "evaluation" / "report"
        text = (folder / name).read_text(encoding="utf-8")
        shown = MarkdownIt("commonmark").enable("table").render(text)
        shown = re.sub(r'<img src="(figures|images)/[\w/.-]*"', "<img", shown)
        assert "top.pwned" in shown, "the payloads are there, as text"
        where.write_text(f"<!doctype html><meta charset=utf-8>{shown}", encoding="utf-8")
    url = address + name if name[0] == "/" else where.as_uri()
    page = browser.page()
    page.goto(url + (f"#say={quote(TEXT)}&who=policy,%3Cscript%3E" if name == "/" else ""))
    if name in ("/", "/rate"):
        page.locator("body[data-ready], body[data-number]").first.wait_for()
    elif name == "report":
        page.evaluate("Promise.all(Object.values(Wayword.ready)).then(() => 1)")
        for text in ("obeyed-more", "disobeyed-more"):
            page.evaluate(f"document.getElementById('{text}').click()")
    foreign = page.evaluate(FOREIGN)
    assert [f for f in foreign if name != "alone" or "window.seen=1" not in f] == []
    assert browser.complaints == []
    page.evaluate(EVENTS)
    time.sleep(0.1)
    assert page.evaluate("window.pwned === undefined") and page.url.split("#")[0] == url
    # The page's own code may wonder about a made-up event; nobody else's asks or is stopped.
    assert not re.search("Security Policy|asks for|invalid", " ".join(browser.complaints))
    browser.complaints.clear()
    if name == "alone":
        assert page.evaluate("window.seen") == 1, "the test itself can see a handler run"
    elif name == "report" or name[0] == "/":
        policy = (
            re.search(r'Security-Policy" content="([^"]*)"', where.read_text(encoding="utf-8"))[1]
            if name == "report" else httpx.get(url).headers["content-security-policy"]
        )  # fmt: skip
        assert policy.startswith("default-src 'none'") and "unsafe" not in policy
        assert re.search(r"script-src '(self|sha256-[^']*)';", policy)
        page.evaluate("""(name) => {
          const i = document.createElementNS('http://www.w3.org/2000/svg', 'g');
          i.setAttribute('onclick', 'top.pwned=1');
          document.documentElement.append(i);
          i.dispatchEvent(new MouseEvent('click'));
        }""")
        assert page.evaluate("window.pwned === undefined")
        assert "Content Security Policy" in browser.complaints[0]
    page.context.close()
