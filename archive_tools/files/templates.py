"""Templates of pages and cards: in the folder `templates` of the room that fills them."""

from collections.abc import Callable
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined, Template


def template(room: str | None, name: str, **filters: Callable[..., Any]) -> Template:
    """The template `name` of a room; text is escaped in HTML, and a missing fact is an error.

    Args:
        room: a package, `__package__` of who asks.
        name: of the file.
        filters: further filters for it.

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
    environment.filters.update(filters)
    return environment.get_template(name)
