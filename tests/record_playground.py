"""Record the README's animation of the playground, and its pictures in the docs, from a run.

    PYTHONPATH=. python tests/record_playground.py --run runs/demo

Writes docs/images/playground.gif, and playground-*.png and rating.png beside it.
"""

import argparse
import io
from collections.abc import Iterator
from pathlib import Path

from browser import Chromium, chromium, in_few_colours, point, record
from PIL import Image
from play_factory import load_model, playing
from playwright.sync_api import Page
from source_tree import ROOT

SAY = "Go past the stove and the table, then through the hall by the statue to the piano."
PLACE = (361, 67)
STILLS = {"light": (1280, False), "dark": (1280, True), "phone": (390, False),
          "phone-dark": (390, True)}  # fmt: skip


def ready(page: Page, address: str) -> Page:
    page.goto(address)
    page.locator("body[data-ready]").wait_for()
    return page


def drive(page: Page, frames: int = 44) -> Iterator[int]:
    """Drive, and show it evenly in time, however fast this machine is."""
    page.locator("#pace").select_option("300")
    page.click("#go")
    page.locator("body[data-state=over]").wait_for(timeout=60_000)
    for frame in range(frames + 1):
        page.locator("#step").evaluate(
            "(e, s) => { e.value = s; e.dispatchEvent(new Event('input')); }", 400 * frame / frames
        )
        yield 70
    yield 1800


def show(page: Page) -> Iterator[int]:
    """Type, click, watch; then the same with two others beside it and a crate in the way."""
    yield 500
    for end in range(3, len(SAY) + 3, 3):
        page.locator("#sentence").press_sequentially(SAY[end - 3 : end])
        yield 70
    page.locator(".end", has_text="piano").wait_for()
    yield 400
    page.mouse.click(*point(page, "#map", PLACE[0] / 600, PLACE[1] / 600))
    yield 500
    yield from drive(page)
    for name in ("text_off", "nearest_elite"):
        page.check(f"[value={name}]")
        yield 350
    page.locator("[value=crate]").check(force=True)
    page.mouse.click(*point(page, "#map", 300 / 600, 400 / 600))
    yield 600
    yield from drive(page)


def stills(browser: Chromium, address: str, folder: Path) -> None:
    """One picture for each width and light: a comparison that is over."""
    for name, (width, dark) in STILLS.items():
        height = 940 if width > 500 else 1300
        page = ready(browser.page(width, height, dark=dark, still=True), address)
        page.check("[value=nearest_elite]")
        page.fill("#sentence", SAY)
        page.locator(".end", has_text="piano").wait_for()
        page.mouse.click(*point(page, "#map", PLACE[0] / 600, PLACE[1] / 600))
        page.click("#go")
        page.locator("body[data-state=over]").wait_for(timeout=60_000)
        page.evaluate("scrollTo(0, 0); document.activeElement.blur()")
        keep(page, folder / f"playground-{name}.png")
    page = browser.page(1280, 860, still=True)
    page.goto(f"{address}rate")
    page.locator("body[data-number]").wait_for()
    keep(page, folder / "rating.png")


def keep(page: Page, path: Path) -> None:
    """A small PNG of what a page shows."""
    shot = Image.open(io.BytesIO(page.screenshot())).convert("RGB")
    in_few_colours(shot, shot).save(path, optimize=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--run", type=Path, default=Path("runs/demo"))
    parser.add_argument("--to", type=Path, default=ROOT / "docs" / "images")
    options = parser.parse_args()
    with playing(options.run, load_model) as (address, _), chromium() as browser:
        page = ready(browser.page(1280, 860), f"{address}/")
        record(page, options.to / "playground.gif", show(page), 880)
        stills(browser, f"{address}/", options.to)


if __name__ == "__main__":
    main()
