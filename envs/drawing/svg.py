"""Small parts of SVG writing: numbers, escaped text, the width of text, and PNG.

Widths are those of DejaVu Sans, which matplotlib brings along: it is the font of every PNG, so
that pictures look alike on machines without fonts, and it is wider than the fonts that browsers
choose, so wrapped text never leaves its column there.
"""

import re
import unicodedata
from functools import cache
from itertools import pairwise
from pathlib import Path
from xml.sax.saxutils import escape as xml_escape

INK = "#413831"
PAPER = "#fffdf9"
FONTS = "Inter, 'Helvetica Neue', Arial, 'DejaVu Sans', Verdana, sans-serif"

# XML 1.0 knows no other control characters, surrogates or non-characters, escaped or not.
_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def escape(text: str) -> str:
    """Text made safe for XML content and for attributes in double quotes."""
    return xml_escape(_NOT_XML.sub("", text), {'"': "&quot;"})


def num(value: float, digits: int = 2) -> str:
    """The shortest decimal of `value` rounded to `digits` places."""
    text = f"{value:.{digits}f}"
    if "." in text:
        text = text.rstrip("0").rstrip(".")
    return "0" if text == "-0" else text.replace("0.", ".", 1) if text.startswith("0.") else text


def polyline(points: list[tuple[int, int]]) -> str:
    """SVG path data through whole-numbered points: the start, then relative steps."""
    data = f"m{points[0][0]} {points[0][1]}"
    for (x0, y0), (x1, y1) in pairwise(points):
        # A minus sign also parts two numbers.
        data += "".join(str(d) if d < 0 else f" {d}" for d in (x1 - x0, y1 - y0))
    return data


@cache
def _font_files() -> tuple[Path, Path]:
    import matplotlib

    folder = Path(matplotlib.get_data_path()) / "fonts" / "ttf"
    return folder / "DejaVuSans.ttf", folder / "DejaVuSans-Bold.ttf"


@cache
def _font(bold: bool):
    from matplotlib.ft2font import FT2Font

    font = FT2Font(str(_font_files()[bold]))
    font.set_size(100, 72)  # one em = 100 pixels
    return font


@cache
def _advance(char: str, bold: bool) -> float:
    font = _font(bold)
    if font.get_char_index(ord(char)) == 0:  # not in the font: full-width scripts take one em
        return 1.0 if unicodedata.east_asian_width(char) in "WF" else 0.65
    return font.load_char(ord(char)).linearHoriAdvance / 65536 / 100


def text_width(text: str, size: float, *, bold: bool = False) -> float:
    """Width of one line of text, in the unit of the font size."""
    return size * sum(_advance(char, bold) for char in text if char.isprintable())


def wrap_text(text: str, width: float, size: float, *, bold: bool = False) -> list[str]:
    """Break text into lines no wider than `width`; line ends in the text stay line ends.

    A word wider than a line is broken between letters.
    """
    lines = []
    for paragraph in _NOT_XML.sub("", text).strip().splitlines():
        line = ""
        for word in paragraph.split():
            longer = f"{line} {word}" if line else word
            if text_width(longer, size, bold=bold) <= width:
                line = longer
                continue
            if line:
                lines.append(line)
            while len(word) > 1 and text_width(word, size, bold=bold) > width:
                fits = 1
                while text_width(word[: fits + 1], size, bold=bold) <= width:
                    fits += 1
                lines.append(word[:fits])
                word = word[fits:]
            line = word
        lines.append(line)
    return lines


def svg_to_png(svg: str, path: Path | str | None = None, scale: float = 2.0) -> bytes:
    """Render an SVG picture to PNG.

    Args:
        svg: a self-contained picture (not one drawn with background="use").
        path: also write the PNG there.
        scale: pixels per SVG pixel.

    Returns:
        The PNG file's bytes.
    """
    import resvg_py

    png = bytes(
        resvg_py.svg_to_bytes(
            svg_string=svg,
            zoom=scale,
            dpi=96,  # else it cannot tell how long a millimetre is
            skip_system_fonts=True,
            font_files=[str(file) for file in _font_files()],
            font_family="DejaVu Sans",
            sans_serif_family="DejaVu Sans",
        )
    )
    if path is not None:
        Path(path).write_bytes(png)
    return png
