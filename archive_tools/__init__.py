"""From a quality-diversity archive to a verified dataset, and from drives to a report."""

from archive_tools.archive.elites import Archive, load_archive
from envs.errors import InputError

__all__ = ["Archive", "InputError", "load_archive"]
