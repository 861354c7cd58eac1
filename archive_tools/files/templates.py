"""Templates of pages and cards: in the folder `templates` of the room that fills them."""

import base64
import hashlib
from collections.abc import Callable
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined, Template


def _digest(code: str) -> str:
    """By which a page's Content-Security-Policy lets its own script run, and no other."""
    return "sha256-" + base64.b64encode(hashlib.sha256(code.encode()).digest()).decode()


def template(room: str | None, name: str, **filters: Callable[..., Any]) -> Template:
    """The template `name` of a room; text is escaped in HTML, and a missing fact is an error.

    Args:
        room: a package, `__package__` of who asks.
        name: of the file.
        filters: further filters for it, beside `sha256` (of a script, for the page's policy).

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
    environment.filters.update({"sha256": _digest, **filters})
    return environment.get_template(name)
