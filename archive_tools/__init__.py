"""From a quality-diversity archive to a verified dataset, and from drives to a report.

The rooms from the top. A room imports only rooms below it (and `envs`, `prompts`); seven bear the
names of the folders of a run that they write.

    stages        one file per numbered script: its options and run()
    publishing    what goes out: datasets, the model, a bundle; the Hub
    playground    pages of a local server: type, click, watch; rate
    rating        people's scores: which are shown, the session, the file
    report        what people look at: pages, tables, figures, galleries
    evaluation    how good a drive is, and whether a judge can be trusted
    rollouts      what is driven, by whom, on which command
    dataset       what is learnt from: joining, splits, augmentation, rules
    descriptions  which texts a run needs, and who writes them: narrator, model or people
    narrator      texts about drives without a language model
    language      English about drives: read and checked
    llm           asking a server, and paying once
    annotations   what a path passes
    recordings    drives that others recorded, as files
    trajectories  recorded drives on disk
    archive       elites: searched, imported, replayed
    tasks         where a controller is tried
    run           a run directory: stages, manifests, options, siblings
    files         reading and writing: tables, JSON, templates

What notebooks use is offered here, and loaded on first use.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from archive_tools.annotations import annotate, lcs_ratio, load_annotations
    from archive_tools.archive import Archive, load_archive
    from archive_tools.descriptions import drive_facts
    from archive_tools.evaluation import judge_rules
    from archive_tools.files import read_table
    from archive_tools.language import check_text, parse
    from archive_tools.rollouts import contrast_pairs, contrast_score
    from envs import InputError

__all__ = [
    "Archive",
    "InputError",
    "annotate",
    "check_text",
    "contrast_pairs",
    "contrast_score",
    "drive_facts",
    "judge_rules",
    "lcs_ratio",
    "load_annotations",
    "load_archive",
    "parse",
    "read_table",
]

# Where each name comes from; the block above says the same to type checkers.
_SOURCES = {
    "Archive": "archive_tools.archive",
    "InputError": "envs",
    "annotate": "archive_tools.annotations",
    "check_text": "archive_tools.language",
    "contrast_pairs": "archive_tools.rollouts",
    "contrast_score": "archive_tools.rollouts",
    "drive_facts": "archive_tools.descriptions",
    "judge_rules": "archive_tools.evaluation",
    "lcs_ratio": "archive_tools.annotations",
    "load_annotations": "archive_tools.annotations",
    "load_archive": "archive_tools.archive",
    "parse": "archive_tools.language",
    "read_table": "archive_tools.files",
}


def __getattr__(name: str) -> Any:
    """Load an offered name from its room, once."""
    if name not in _SOURCES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(_SOURCES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """The offered names beside the module's own."""
    return sorted({*globals(), *__all__})
