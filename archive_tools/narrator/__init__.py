"""Texts about drives without a language model: plans of sentences, clauses, phrases, styles.

Imports rooms below: language, annotations and down. It takes every name from the scene.
"""

from archive_tools.narrator.alternatives import Alternatives, distinguishing
from archive_tools.narrator.narrator import DESCRIPTOR_SHARE, describe
from archive_tools.narrator.styles import STYLE_SHARES, STYLES, UNFORMED, VOICES, Style, read_shares

__all__ = [
    "DESCRIPTOR_SHARE",
    "STYLES",
    "STYLE_SHARES",
    "UNFORMED",
    "VOICES",
    "Alternatives",
    "Style",
    "describe",
    "distinguishing",
    "read_shares",
]
