"""The sheet a picture is laid out on: texts, scenes, legend and colour bar from the top down."""

from collections.abc import Sequence
from dataclasses import dataclass

from envs.drawing.strokes import end_mark, start_mark, target_mark, time_colours
from envs.drawing.svg import FONTS, INK, PAPER, escape, num, text_width, wrap_text
from envs.errors import InputError


@dataclass(frozen=True)
class Look:
    """Sizes in SVG pixels that suit a scene of some width."""

    width: float

    @property
    def label(self) -> float:
        return min(max(6 + self.width / 120, 8.3), 13)

    @property
    def text(self) -> float:
        return min(max(8.5 + self.width / 115, 11), 15)

    @property
    def line(self) -> float:
        return min(max(1.2 + self.width / 300, 2), 3.8)


class Page:
    """Stacks its parts and knows how high it has become. Lengths are SVG pixels."""

    def __init__(self, width: float) -> None:
        if not 100 <= width <= 10_000:
            raise InputError(f"width is {width}; expected 100 to 10000 SVG pixels")
        self.width = width
        self.parts: list[str] = []
        self.x = 0.0
        self.y = 0.0

    def scene(self, markup: str, size: float, side: float) -> None:
        """Put a square scene of `size` world units at the current place, `side` pixels wide."""
        self.parts.append(
            f'<svg x="{num(self.x)}" y="{num(self.y)}" width="{num(side)}" height="{num(side)}" '
            f'viewBox="0 0 {num(size)} {num(size)}">{markup}</svg>'
        )
        self.y += side

    def text(
        self, text: str | None, size: float, *, width: float | None = None, bold: bool = False
    ) -> None:
        """Put wrapped text at the current place; nothing when there is none."""
        width = self.width if width is None else width
        lines = wrap_text(text, width - 0.4 * size, size, bold=bold) if text else []
        if not lines:
            return
        self.y += 0.45 * size if self.y else 0.1 * size
        spans = "".join(
            f'<tspan x="{num(self.x)}" y="{num(self.y + (1.02 + 1.38 * i) * size)}">'
            f"{escape(line)}</tspan>"
            for i, line in enumerate(lines)
        )
        weight = ' font-weight="bold"' if bold else ""
        self.parts.append(f'<text font-size="{num(size)}"{weight}>{spans}</text>')
        self.y += (1.38 * len(lines) + 0.15) * size
        if bold:
            self.y += 0.35 * size

    def legend(self, entries: Sequence[tuple[str, str]], look: Look) -> None:
        """Explain kinds of marks: "start", "target", "time", a colour, or "dashed COLOUR"."""
        if not entries:
            return
        size = look.text * 0.9
        sample = {"start": 1.6 * size, "target": 1.7 * size}
        self.y += 0.6 * size
        x, middle = self.x, self.y + 0.7 * size
        for kind, text in entries:
            wide = sample.get(kind, 3.2 * size)
            room = wide + 0.5 * size + text_width(text, size) + 1.5 * size
            if x > self.x and x + room - 1.5 * size > self.x + self.width:
                x, middle = self.x, middle + 1.6 * size
            self.parts.append(_sample(kind, x, middle, wide, size))
            self.parts.append(
                f'<text x="{num(x + wide + 0.5 * size)}" y="{num(middle + 0.36 * size)}" '
                f'font-size="{num(size)}">{escape(text)}</text>'
            )
            x += room
        self.y = middle + 0.8 * size

    def colour_bar(
        self, colours: Sequence[str], low: float, high: float, label: str, look: Look
    ) -> None:
        """A horizontal bar with values at its ends and middle, and what they mean below."""
        size = look.text * 0.9
        bar = self.width / len(colours)
        self.y += 0.6 * size
        self.parts += [
            f'<rect x="{num(i * bar)}" y="{num(self.y)}" width="{num(bar + 0.5)}" '
            f'height="{num(0.8 * size)}" fill="{colour}"/>'
            for i, colour in enumerate(colours)
        ]
        self.y += 0.8 * size
        for share, anchor in ((0, "start"), (0.5, "middle"), (1, "end")):
            value = f"{low + share * (high - low):.3g}"
            self.parts.append(
                f'<text x="{num(share * self.width)}" y="{num(self.y + 1.2 * size)}" '
                f'font-size="{num(size)}" text-anchor="{anchor}">{value}</text>'
            )
        self.y += 1.25 * size
        self.text(label, size)

    def svg(self, name: str) -> str:
        """The whole sheet as SVG text; `name` is read out by screen readers."""
        edge = 8.0
        width, height = self.width + 2 * edge, round(self.y + 2 * edge)
        return (
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{num(width)}" height="{height}" '
            f'viewBox="{num(-edge)} {num(-edge)} {num(width)} {height}" role="img" '
            f'aria-label="{escape(name)}" font-family="{FONTS}" fill="{INK}">'
            f'<rect x="{num(-edge)}" y="{num(-edge)}" width="{num(width)}" height="{height}" '
            f'fill="{PAPER}"/>' + "".join(self.parts) + "</svg>"
        )


def _sample(kind: str, x: float, y: float, wide: float, size: float) -> str:
    if kind == "start":
        return start_mark(x + 0.62 * size, y, 0.0, size * 0.55)
    if kind == "target":
        return target_mark(x + wide / 2, y, size * 0.5, 1.0)
    if kind == "time":
        colours = time_colours()[::2]
        part = (wide - 0.3 * size) / len(colours)
        bars = "".join(
            f'<rect x="{num(x + i * part)}" y="{num(y - 0.16 * size)}" '
            f'width="{num(part + 0.4)}" height="{num(0.32 * size)}" fill="{colour}"/>'
            for i, colour in enumerate(colours)
        )
        return bars + end_mark(x + wide - 0.3 * size, y, size * 0.36, colours[-1], 1.0)
    dashed = kind.startswith("dashed ")
    dash = f' stroke-dasharray="{num(size * 0.4)} {num(size * 0.3)}"' if dashed else ""
    return (
        f'<path d="M{num(x)} {num(y)}h{num(wide)}" fill="none" '
        f'stroke="{kind.removeprefix("dashed ")}" '
        f'stroke-width="{num(size * (0.14 if dashed else 0.26))}"{dash}/>'
    )
