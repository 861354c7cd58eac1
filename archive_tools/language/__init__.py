"""English about drives, read: places, roles and order of an instruction, and what contradicts a
drive.

Imports rooms below: llm, annotations and down. It takes every name from the scene.
"""

from archive_tools.language import contradictions, words
from archive_tools.language.checks import (
    MAX_WORDS,
    check_text,
    fill_descriptor,
    mend_form,
    route_told,
)
from archive_tools.language.instruction import Instruction, Place
from archive_tools.language.reader import PLACEHOLDER, parse
from archive_tools.language.reading.lexicon import lexicon

__all__ = [
    "MAX_WORDS",
    "PLACEHOLDER",
    "Instruction",
    "Place",
    "check_text",
    "contradictions",
    "fill_descriptor",
    "lexicon",
    "mend_form",
    "parse",
    "route_told",
    "words",
]
