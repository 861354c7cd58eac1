"""Asking an OpenAI-compatible server, and paying once: options, client, ledger, Batch API.

Imports run and files. It knows prompts as texts, and nothing of drives.
"""

from archive_tools.llm import batch_api
from archive_tools.llm.asking import ask_all
from archive_tools.llm.client import Asker, remedy_for
from archive_tools.llm.config import LlmConfig
from archive_tools.llm.ledger import Ledger
from archive_tools.llm.replies import Price, count_tokens, counts_exactly

__all__ = [
    "Asker",
    "Ledger",
    "LlmConfig",
    "Price",
    "ask_all",
    "batch_api",
    "count_tokens",
    "counts_exactly",
    "remedy_for",
]
