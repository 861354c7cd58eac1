"""SVG pictures of objects: a stranger's files, of which only what draws is kept.

The XML parser (expat, through the standard library) takes a file apart; what is put together again
are the elements, attributes and CSS properties listed here, and no other: nothing that runs, loads
or leads elsewhere. Lengths come out in pixels (96 to the inch), whatever their unit.
"""

import base64
import gzip
import io
import re
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from xml.etree import ElementTree

from envs.errors import InputError, require_file

LARGEST = 16 << 20
"""Bytes of a picture, unpacked."""
DEEPEST = 200
DRAWN = 100_000
"""Elements that are drawn, those that `use` draws again counted each time."""


def _words(text: str) -> set[str]:
    return set(text.split())


SHAPES = {"g", "path", "rect", "circle", "ellipse", "line", "polyline", "polygon"}
ELEMENTS = SHAPES | _words("""
    clipPath defs feBlend feColorMatrix feComponentTransfer feComposite feDropShadow feFlood feFuncA
    feFuncB feFuncG feFuncR feGaussianBlur feMerge feMergeNode feOffset filter image linearGradient
    marker mask pattern radialGradient stop style svg switch symbol text textPath tspan use""")
# Not among them: filters whose cost grows with their numbers (turbulence, convolution, morphology).
_UNWRAPPED = {"a"}  # their content stays, they themselves go
PROPERTIES = _words("""
    alignment-baseline baseline-shift clip-path clip-rule color color-interpolation
    color-interpolation-filters direction display dominant-baseline fill fill-opacity fill-rule
    filter flood-color flood-opacity font font-family font-size font-size-adjust font-stretch
    font-style font-variant font-weight image-rendering isolation letter-spacing lighting-color
    marker marker-end marker-mid marker-start mask mask-type mix-blend-mode opacity overflow
    paint-order shape-rendering stop-color stop-opacity stroke stroke-dasharray stroke-dashoffset
    stroke-linecap stroke-linejoin stroke-miterlimit stroke-opacity stroke-width text-anchor
    text-decoration text-rendering transform transform-origin unicode-bidi vector-effect visibility
    word-spacing writing-mode""")
LENGTHS = _words("""
    cx cy font-size fr fx fy height markerHeight markerWidth offset r refX refY rx ry startOffset
    stroke-dashoffset stroke-width textLength width x x1 x2 y y1 y2""")
ATTRIBUTES = (
    PROPERTIES
    | LENGTHS
    | _words("""
    amplitude class clipPathUnits d dx dy exponent filterUnits gradientTransform gradientUnits href
    id in in2 intercept k1 k2 k3 k4 lengthAdjust markerUnits maskContentUnits maskUnits method mode
    operator orient pathLength patternContentUnits patternTransform patternUnits points
    preserveAspectRatio primitiveUnits result rotate side slope spacing spreadMethod stdDeviation
    style tableValues type values viewBox""")
)

_SVG = "{http://www.w3.org/2000/svg}"
_LINKS = {"href", "{http://www.w3.org/1999/xlink}href"}
_INSIDE = re.compile(r"#[^\s/\\]*")
"""An element of the same picture."""
_RASTER = re.compile(r"data:image/(png|jpe?g|gif|webp);base64,[A-Za-z0-9+/=\s]*")
# No other function than these in a value: not url of an address, image-set, expression, env …
_FUNCTIONS = re.compile(
    r"(rgba?|hsla?|calc|translate[xy]?|scale[xy]?|rotate|skew[xy]|matrix|url)\s*$", re.I
)
# A name, a bracket, and whether # follows. A name is looked for at its first letter only: patterns
# here take time in proportion to a stranger's text.
_CALL = re.compile(r"(?:(?<![\w-])([\w-]+)|(?<![\w\s-]))\s*\((?=\s*['\"]?(#?))")
_PIXELS = {"": 1.0, "px": 1.0, "pt": 96 / 72, "pc": 16.0, "mm": 96 / 25.4, "cm": 96 / 2.54,
           "in": 96.0, "q": 96 / 101.6, "em": 16.0, "rem": 16.0, "ex": 8.0, "ch": 8.0}  # fmt: skip
_LENGTH = re.compile(r"\s*([+-]?(?:\d+(?:[.,]\d*)?|[.,]\d+)(?:e[+-]?\d+)?)\s*([a-z]*|%)\s*", re.I)


_OTHERS = {b"\x89PNG": "a PNG", b"\xff\xd8\xff": "a JPEG", b"GIF8": "a GIF", b"RIFF": "a WebP",
           b"%PDF": "a PDF", b"BM": "a BMP"}  # fmt: skip


@dataclass(frozen=True)
class Picture:
    """What is drawn of an SVG file, in pixels from (0, 0)."""

    width: float
    height: float
    markup: str
    """Elements to stand inside another picture: plain shapes, or an image of its own where styles
    and ids cannot meet those of another picture or of the page."""


def read_picture(path: Path) -> Picture:
    """Read and sanitise an SVG picture.

    Raises:
        InputError: no SVG, broken, without a size, or too large; the message names the file.
    """
    require_file(path)
    try:
        with open(path, "rb") as file:
            data = file.read(LARGEST + 1)
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror or error})") from None
    try:
        return _picture(data)
    except InputError as error:
        raise InputError(f"{path}: {error}; redraw or remove it") from None


@lru_cache(maxsize=256)
def _picture(data: bytes) -> Picture:
    root = _parsed(data)
    left, top, width, height = _view(root)
    _check_weight(root)
    _sanitise(root)
    number = lambda value: f"{value:.6g}"  # noqa: E731
    if all(_is_plain(element) for element in root.iter() if element is not root) and not (
        {"style", "class", "transform"} & set(root.attrib)
    ):
        kept = {k: v for k, v in root.attrib.items() if k in PROPERTIES}
        if (left, top) != (0, 0):
            kept["transform"] = f"translate({number(-left)} {number(-top)})"
        for element in root.iter():
            element.text = element.tail = None
        root.tag, root.attrib = "g", kept
        return Picture(width, height, _text(root))
    root.attrib |= {
        "xmlns": "http://www.w3.org/2000/svg",
        "viewBox": " ".join(number(v) for v in (left, top, width, height)),
        "width": number(width),
        "height": number(height),
    }
    image = base64.b64encode(_text(root).encode()).decode()
    return Picture(
        width,
        height,
        f'<image width="{number(width)}" height="{number(height)}" '
        f'href="data:image/svg+xml;base64,{image}"/>',
    )


def _text(root: ElementTree.Element) -> str:
    return ElementTree.tostring(root, encoding="unicode").replace(" />", "/>")


def _parsed(data: bytes) -> ElementTree.Element:
    if data[:2] == b"\x1f\x8b":
        try:
            with gzip.open(io.BytesIO(data)) as file:
                data = file.read(LARGEST + 1)
        except (OSError, EOFError, zlib.error) as error:
            raise InputError(f"not readable as SVG (packed, but broken: {error})") from None
    if len(data) > LARGEST:
        raise InputError(f"larger than {LARGEST >> 20} MiB")
    try:
        root = ElementTree.fromstring(data)
    except (ElementTree.ParseError, ValueError, LookupError) as error:
        found = next((kind for magic, kind in _OTHERS.items() if data.startswith(magic)), None)
        reason = f"it is {found}; expected an SVG picture" if found else str(error)
        raise InputError(f"not readable as SVG ({reason})") from None
    if root.tag.removeprefix(_SVG) != "svg":
        tag = root.tag[:60]  # with its namespace
        raise InputError(f"not readable as SVG (its root is <{tag}>; expected an SVG picture)")
    return root


def length(text: str, whole: float | None = None) -> float | None:
    """A length in pixels: any unit of SVG in any case, % of `whole`; None where it is none."""
    match = _LENGTH.fullmatch(text)
    if match is None:
        return None
    value, unit = float(match[1].replace(",", ".")), match[2].lower()
    if unit == "%":
        return None if whole is None else value / 100 * whole
    return value * _PIXELS[unit] if unit in _PIXELS else None


def _view(root: ElementTree.Element) -> tuple[float, float, float, float]:
    """left, top, width, height of what is seen."""
    stated = root.get("viewBox", "").strip()
    if stated:
        parts = re.split(r"[\s,]+", stated)
        if len(parts) != 4:  # decimal commas, between blanks
            parts = stated.replace(",", ".").split()
        try:
            left, top, width, height = (float(part) for part in parts)
        except ValueError:
            raise InputError(f'viewBox is {stated[:60]!r}; expected "0 0 width height"') from None
    else:
        left = top = 0.0
        # What a style says of a size goes before what attributes say.
        style = dict(part.split(":", 1) for part in root.get("style", "").split(";") if ":" in part)
        style = {name.strip().lower(): value.split("!")[0] for name, value in style.items()}
        stated = {side: style.get(side, root.get(side, "")) for side in ("width", "height")}
        sides = [length(value) for value in stated.values()]
        if None in sides:
            found = ", ".join(f"{k}={v.strip()[:40]!r}" for k, v in stated.items() if v) or "none"
            raise InputError(
                'no size of its own: neither viewBox="0 0 width height" nor lengths as width and '
                f"height in the <svg> element (found {found})"
            )
        width, height = (side or 0.0 for side in sides)
    # nan is neither
    if not (1e-3 < width < 1e6 and 1e-3 < height < 1e6 and abs(left) < 1e6 and abs(top) < 1e6):
        raise InputError(
            f"viewBox is {width:g} x {height:g} from ({left:g}, {top:g}); "
            "expected lengths above 0.001 and below a million"
        )
    return left, top, width, height


def _references(element: ElementTree.Element) -> Iterator[str]:
    """Ids that an element names."""
    for key, value in element.attrib.items():
        if key in _LINKS and value.strip().startswith("#"):
            yield value.strip()[1:]
        for match in re.finditer(r"url\(\s*['\"]?#([^'\")]*)", value):
            yield match[1].strip()


def _check_weight(root: ElementTree.Element) -> None:
    """Refuse what would take a renderer for ever: deep nesting, and references that multiply."""
    level, depth = [root], 0
    while level:
        level, depth = [child for element in level for child in element], depth + 1
        if depth > DEEPEST:
            raise InputError(f"nested deeper than {DEEPEST} elements")
    named = {e.get("id", ""): e for e in root.iter() if "id" in e.attrib}
    weights: dict[str, int] = {}

    def weight(element: ElementTree.Element, chain: tuple[str, ...]) -> int:
        total = 0
        for part in element.iter():
            total += 1
            for name in _references(part):
                if name in chain or len(chain) > DEEPEST:
                    raise InputError(f"#{name[:40]} refers to itself")
                if name in named and name not in weights:
                    weights[name] = weight(named[name], (*chain, name))
                total += weights.get(name, 0)
            if total > DRAWN:
                raise InputError(f"draws more than {DRAWN:,} elements")
        return total

    weight(root, ())


def _is_plain(element: ElementTree.Element) -> bool:
    return (
        element.tag in SHAPES
        and not {"id", "class", "style"} & set(element.attrib)
        and not any("url(" in value for value in element.attrib.values())
    )


def _sanitise(root: ElementTree.Element) -> None:
    """Keep what the lists of this module allow, with names without namespace."""
    named = {name for element in root.iter() for name in _references(element)}
    styled = any(element.tag == f"{_SVG}style" or element.tag == "style" for element in root.iter())
    if styled:
        named |= set(re.findall(r"#([\w-]+)", " ".join(e.text or "" for e in root.iter())))
    todo = [root]
    while todo:
        element = todo.pop()
        element.tag = element.tag.removeprefix(_SVG)
        element.attrib = _attributes(element, named, styled)
        if element.tag == "style":
            element.text = _sheet(element.text or "")
            element[:] = []
        children = []
        for child in list(element):
            tag = child.tag.removeprefix(_SVG) if isinstance(child.tag, str) else ""
            if tag in ELEMENTS:
                children.append(child)
            elif tag in _UNWRAPPED:
                inside = ElementTree.Element("g")
                inside.text, inside.tail, inside[:] = child.text, child.tail, list(child)
                children.append(inside)
            elif child.tail and children:
                children[-1].tail = (children[-1].tail or "") + child.tail
        element[:] = children
        todo += children


def _attributes(element: ElementTree.Element, named: set[str], styled: bool) -> dict[str, str]:
    kept: dict[str, str] = {}
    for key, value in element.attrib.items():
        if key in _LINKS:
            link = value.strip()
            if _INSIDE.fullmatch(link) or (element.tag == "image" and _RASTER.fullmatch(link)):
                kept["href"] = link
        elif key not in ATTRIBUTES:
            continue
        elif key == "style":
            if rules := _declarations(value):
                kept[key] = rules
        elif (key == "id" and value not in named) or (key == "class" and not styled):
            continue  # of no use here; without them more pictures are plain shapes
        elif key in ("id", "class") or _harmless(value):
            kept[key] = _tidy(value) if key in LENGTHS else value
    return kept


def _tidy(value: str) -> str:
    """A single length in pixels; relative ones and lists as they are."""
    match = _LENGTH.fullmatch(value)
    if match is None or (not match[2] and "," not in value):
        return value
    if match[2].lower() in ("%", "em", "rem", "ex", "ch"):
        return match[1].replace(",", ".") + match[2].lower()
    pixels = length(value)
    return value if pixels is None else f"{pixels:.6g}"


def _harmless(value: str) -> bool:
    """Whether a value only draws: no address but of a part of the picture, no escapes or markup."""
    if re.search(r"[\\<>{}@]|/\*", value):
        return False
    for match in _CALL.finditer(value) if "(" in value else ():
        name = match[1] or ""
        if not _FUNCTIONS.fullmatch(name) or (name.lower() == "url" and match[2] != "#"):
            return False
    return True


def _declarations(text: str) -> str:
    """CSS declarations "name: value; …", those that may stay."""
    kept = []
    for part in text.split(";"):
        name, _, value = part.partition(":")
        name, value = name.strip().lower(), value.strip()
        if name in PROPERTIES and value and _harmless(value):
            kept.append(f"{name}:{value}")
    return ";".join(kept)


def _sheet(text: str) -> str:
    """A style sheet of plain rules: what begins with @ goes, with its block."""
    text = re.sub(r"/\*.*?(?:\*/|\Z)|<!--|-->", "", text, flags=re.S)
    text = re.sub(r"@[^@{};]*;", "", text)
    rules = []
    for selector, block in re.findall(r"(?:(?<=[{}])|^)([^{}]*)\{([^{}]*)\}", text):
        declarations = _declarations(block)
        if declarations and re.fullmatch(r"[\w\s.#,*>+~:()-]+", selector):
            rules.append(f"{selector.strip()}{{{declarations}}}")
    return "".join(rules)
