"""Texts about drives, written: by the narrator, by a language model, or taken from files; each
checked.

Imports rooms below: language, llm, annotations and down.
"""

from archive_tools.descriptions import given_drives, given_rows, refusals
from archive_tools.descriptions.jobs import (
    SCHEMA,
    Job,
    draw_style,
    held_out_wording,
    jobs_of,
    narrate,
)
from archive_tools.descriptions.llm_writer import LlmWriter
from archive_tools.descriptions.prompt_facts import drive_facts, scene_facts

__all__ = [
    "SCHEMA",
    "Job",
    "LlmWriter",
    "draw_style",
    "drive_facts",
    "given_drives",
    "given_rows",
    "held_out_wording",
    "jobs_of",
    "narrate",
    "refusals",
    "scene_facts",
]
