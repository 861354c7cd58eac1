"""A real, headless Chromium for tests and recordings, steered by Playwright."""

import contextlib
import io
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest
from PIL import Image

try:
    from playwright.sync_api import Browser, ConsoleMessage, Page, Request, sync_playwright
except ImportError:
    sync_playwright = None

NAMES = ("chromium", "chromium-browser", "google-chrome")
PROGRAM = next((path for name in NAMES if (path := shutil.which(name))), None)
MISSING = (
    "needs Playwright (pip install '.[dev]')" if sync_playwright is None
    else "needs Chromium, and finds none in PATH" if PROGRAM is None else ""
)  # fmt: skip
needs_chromium = pytest.mark.skipif(bool(MISSING), reason=MISSING)


class Chromium:
    """A browser whose pages are strangers to each other; `complaints` gathers what goes wrong."""

    def __init__(self, browser: "Browser") -> None:
        self.browser = browser
        self.complaints: list[str] = []

    def page(
        self, width: int = 1280, height: int = 900, *, dark: bool = False, still: bool = False,
        scale: float = 1.0,
    ) -> "Page":  # fmt: skip
        """A page of its own profile: its size in CSS pixels, and what its reader prefers."""
        context = self.browser.new_context(
            viewport={"width": width, "height": height},
            color_scheme="dark" if dark else "light",
            reduced_motion="reduce" if still else "no-preference",
            has_touch=width < 500,
            device_scale_factor=scale,
        )
        context.set_default_timeout(20_000)
        return self.watch(context.new_page())

    def watch(self, page: "Page") -> "Page":
        """Note what a page's console says, and what it asks of anybody but this machine."""

        def heard(message: "ConsoleMessage") -> None:
            if message.type in ("error", "warning"):
                self.complaints.append(f"{message.text} {message.location.get('url')}")

        def asked(request: "Request") -> None:
            if not request.url.startswith(("file:", "data:", "blob:", "http://127.0.0.1:")):
                self.complaints.append(f"asks for {request.url}")

        page.on("console", heard)
        page.on("pageerror", lambda error: self.complaints.append(error.stack or str(error)))
        page.on("request", asked)
        return page


@contextlib.contextmanager
def chromium() -> Iterator[Chromium]:
    """Start Chromium; it ends with the block."""
    assert sync_playwright is not None and PROGRAM is not None, MISSING
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=PROGRAM, args=["--no-sandbox"])
        try:
            yield Chromium(browser)
        finally:
            browser.close()


def point(page: "Page", selector: str, x: float, y: float) -> tuple[float, float]:
    """The place at a share of an element's width and height, in CSS pixels of the window."""
    element = page.locator(selector)
    element.scroll_into_view_if_needed()
    box = element.bounding_box()
    assert box is not None
    return box["x"] + float(x) * box["width"], box["y"] + float(y) * box["height"]


def record(page: "Page", path: Path, play: Iterable[int], width: int) -> None:
    """A GIF of a page's window: a frame for each number of `play`, shown for so many milliseconds.

    `play` does what is to be seen between its numbers.
    """
    shots: list[Image.Image] = []
    durations: list[int] = []
    for milliseconds in play:
        shot = Image.open(io.BytesIO(page.screenshot())).convert("RGB")
        size = (width, round(shot.height * width / shot.width))
        shots.append(shot.resize(size, Image.Resampling.LANCZOS))
        durations.append(milliseconds)
    flat = [in_few_colours(shot, shots[-1]) for shot in shots]
    flat[0].save(path, save_all=True, append_images=flat[1:], loop=0, duration=durations,
                 optimize=True)  # fmt: skip


def in_few_colours(shot: Image.Image, like: Image.Image) -> Image.Image:
    """A screenshot in 256 colours: the 64 that another one has most, as they are, and some more."""
    often = sorted(like.getcolors(1 << 24) or [], reverse=True)[:64]
    exact = [channel for _, colour in often for channel in colour]
    rest = like.quantize(256 - len(often), Image.Quantize.MAXCOVERAGE).getpalette() or []
    palette = Image.new("P", (1, 1))
    palette.putpalette((exact + rest)[:768])
    return shot.quantize(palette=palette, dither=Image.Dither.NONE)
