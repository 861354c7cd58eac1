"""The styles of descriptions and how many texts have each; `prompts` has a template for each."""

from typing import Literal

Style = Literal["request", "instruction", "narrative"]
STYLE_SHARES: dict[Style, float] = {"request": 0.8, "instruction": 0.1, "narrative": 0.1}
"""Share of the texts that are written in each style, unless options say otherwise."""
STYLES: tuple[Style, ...] = tuple(STYLE_SHARES)
