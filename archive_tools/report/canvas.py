"""Matplotlib figures as SVGs for a page that is light or dark, the same bytes each time.

Figures are drawn in the colours of LIGHT. `to_svg` puts CSS variables (`var(--ink)`) in their
place, so that a page shows a chart light or dark; `resolve` puts colours back, for a PNG. Text
stays text, sizes are CSS pixels, and a chart is as wide as its place on the page allows. The
colours of marks are of Okabe and Ito's palette, which colour-blind people can tell apart.
"""

import io
import re
from html import escape
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure

FONT = "-apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, 'DejaVu Sans', sans-serif"
# Within a palette no two colours are the same: they are what is found again in the SVG.
LIGHT = {
    "paper": "#ffffff", "panel": "#f6f4ef", "ink": "#1c1b19", "muted": "#6b675f",
    "faint": "#e3dfd6", "policy": "#0072b2", "control": "#c65102", "baseline": "#6b6760",
    "ceiling": "#00795c",
    "seq0": "#fde9a9", "seq1": "#f5b557", "seq2": "#d9743f", "seq3": "#a13d4f", "seq4": "#50205a",
}  # fmt: skip
DARK = {
    "paper": "#161514", "panel": "#1f1e1c", "ink": "#ece8df", "muted": "#a19c91",
    "faint": "#35332f", "policy": "#56b4e9", "control": "#f0944d", "baseline": "#a8a399",
    "ceiling": "#35c79f",
    "seq0": "#5b4a78", "seq1": "#9a4f80", "seq2": "#d9685f", "seq3": "#f5a04f", "seq4": "#fde48f",
}  # fmt: skip


def resolve(picture: str, palette: dict[str, str] = LIGHT) -> str:
    """The SVG with the colours of `palette` in place of the variables, on the paper's colour."""
    for name, colour in palette.items():
        picture = picture.replace(f"var(--{name})", colour)
    head, _, body = picture.partition(">")
    return f'{head}><rect width="100%" height="100%" fill="{palette["paper"]}"/>{body}'


class Canvas:
    """A figure of `width` x `height` pixels with a title and a note above; y runs down.

    Attributes:
        figure: matplotlib's, with one point per pixel.
        width, height: in pixels.
    """

    def __init__(self, title: str, note: str, width: float, height: float) -> None:
        self.figure = Figure(figsize=(width / 72, height / 72), dpi=72)
        self.width, self.height, self.label = width, height, f"{title}: {note}"
        self.text(0, 14, title, bold=True, size=13.5)
        self.text(0, 31, note, colour="muted", size=11.5)

    def text(
        self,
        x: float,
        y: float,
        words: str,
        *,
        anchor: str = "left",
        colour: str = "ink",
        size: float = 12,
        bold: bool = False,
    ) -> None:
        """Words with their base line at y; `anchor` is left, center or right."""
        self.figure.text(
            x / self.width, 1 - y / self.height, words.replace("$", r"\$"), ha=anchor,
            va="baseline", color=LIGHT[colour], size=size,
            weight="bold" if bold else "normal",
        )  # fmt: skip

    def axes(self, left: float, top: float, right: float, bottom: float) -> Axes:
        """Axes between these edges (in pixels), without a frame."""
        axes = self.figure.add_axes(
            (left / self.width, 1 - bottom / self.height, (right - left) / self.width,
             (bottom - top) / self.height)
        )  # fmt: skip
        axes.set_frame_on(False)
        axes.tick_params(length=0, labelsize=11, labelcolor=LIGHT["muted"], pad=6)
        axes.set_axisbelow(True)
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_major_formatter(lambda value, _: f"{value:g}".replace("-", "−"))
        return axes

    def down(self, axes: Axes, x: float, y: float) -> float:
        """Pixels from the top of a point of the axes."""
        return self.height - float(axes.transData.transform((x, y))[1])

    def to_svg(self) -> str:
        """The picture for a page: colours are variables, ids are its own, no network, no date."""
        options: dict[Any, Any] = {"svg.hashsalt": self.label, "svg.fonttype": "none"}
        buffer = io.StringIO()
        with matplotlib.rc_context(options):
            self.figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None})
        whole = buffer.getvalue()
        body = whole[whole.index(">", whole.index("<svg")) + 1 :]
        # Its rules for all elements would hold for all of the page, and its groups' names are
        # those of every other figure.
        rest = r"<metadata>.*?</metadata>|<style.*?</style>|<!--.*?-->"
        body = re.sub(rest, "", body, flags=re.DOTALL)
        body = re.sub(r"\s*\n\s*", " ", body).replace("> <", "><").strip()
        body = re.sub(r' transform="rotate\(-0 [^"]*"', "", body)
        body = re.sub(r'<g id="[^"]*"', "<g", body)
        body = re.sub(r"('DejaVu Sans'|DejaVu Sans)[^;\"]*", FONT, body)
        for name, colour in LIGHT.items():
            body = body.replace(colour, f"var(--{name})")
        body = re.sub(r"<[a-zA-Z][^<>]*>", _without_style, body)
        return (
            f'<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" '
            f'viewBox="0 0 {self.width:g} {self.height:g}" width="{self.width:g}" '
            f'height="{self.height:g}" role="img" aria-label="{escape(self.label)}" '
            f'stroke-linejoin="round">{body}'
        )


def _without_style(tag: re.Match[str]) -> str:
    """A tag whose style is told by attributes, which a page needs no leave for."""

    def attributes(style: re.Match[str]) -> str:
        pairs = (part.split(":", 1) for part in style[1].split(";") if part.strip())
        return "".join(f' {name.strip()}="{value.strip()}"' for name, value in pairs)

    return re.sub(r' style="([^"]*)"', attributes, tag[0])
