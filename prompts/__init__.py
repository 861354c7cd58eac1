"""Templates of what is asked of a language model. Every fact in them is handed in, none is typed.

`render("request", **facts)` fills `request.jinja`. A fact that a template needs and does not get is
an error, never an empty string.
"""

from functools import cache
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined


@cache
def _environment() -> Environment:
    return Environment(
        loader=PackageLoader("prompts", package_path="."),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        autoescape=False,  # the result is read by a model, not by a browser
    )


def render(name: str, **facts: Any) -> str:
    """Fill the template `name` (without its ending) with `facts`.

    Raises:
        jinja2.TemplateNotFound: there is no such template.
        jinja2.UndefinedError: a fact is missing.
    """
    return _environment().get_template(f"{name}.jinja").render(**facts).strip() + "\n"
