"""Reading and writing: tables, JSON, whole files or none, templates. The ground floor; it imports
envs only.
"""

from archive_tools.files import user_tables
from archive_tools.files.tables import (
    atomic_path,
    atomic_write,
    file_digest,
    list_column,
    read_arrow,
    read_json,
    read_table,
    vector_column,
    write_json,
    write_table,
)
from archive_tools.files.templates import template

__all__ = [
    "atomic_path",
    "atomic_write",
    "file_digest",
    "list_column",
    "read_arrow",
    "read_json",
    "read_table",
    "template",
    "user_tables",
    "vector_column",
    "write_json",
    "write_table",
]
