"""Templates of pages and cards: in the folder `templates` of the room that fills them."""

import base64
import hashlib
import re
from collections.abc import Callable
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined, Template


def _digest(code: str) -> str:
    """By which a page's Content-Security-Policy knows its own script and sheet from all others."""
    return "sha256-" + base64.b64encode(hashlib.sha256(code.encode()).digest()).decode()


def _shown(text: object) -> str:
    """A text that Markdown shows as it is: no markup, link or picture, no cell of its own."""
    plain = re.sub(r"([\\`*\[\]|~]|(?<!\w)_|_(?!\w))", r"\\\1", " ".join(str(text).split()))
    plain = plain.replace("&", "&amp;").replace("<", "&lt;").replace("://", "&#58;//")
    return re.sub(r"(?i)\bwww\.", lambda found: found[0][:-1] + "&#46;", plain)


def _code(text: object) -> str:
    """A text as Markdown's code, whatever it holds."""
    line = " ".join(str(text).split()).replace("|", "\\|")
    fence = "`" * (1 + max((len(run) for run in re.findall("`+", line)), default=0))
    return f"{fence} {line} {fence}" if "`" in line else f"`{line}`"


def template(room: str | None, name: str, **filters: Callable[..., Any]) -> Template:
    """The template `name` of a room; text is escaped in HTML, and a missing fact is an error.

    Args:
        room: a package, `__package__` of who asks.
        name: of the file.
        filters: further filters for it, beside `sha256` (of a script or sheet, for the page's
            policy), and `md` and `code`, which make text and code of Markdown from a stranger's.

    Raises:
        jinja2.TemplateNotFound: there is no such template.
    """
    environment = Environment(
        loader=PackageLoader(room or __name__),
        autoescape=lambda name: name is not None and ".html" in name,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters.update({"sha256": _digest, "md": _shown, "code": _code, **filters})
    return environment.get_template(name)
