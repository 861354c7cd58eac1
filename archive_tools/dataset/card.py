"""What a dataset says of itself: dataset.json, and the card as people read it."""

from dataclasses import asdict
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from archive_tools.dataset.join import Joined
from archive_tools.dataset.subgoals import subgoal_names
from archive_tools.tasks.registry import portable_environment


def dataset_info(joined: Joined, augmentation_rollouts: int) -> dict[str, Any]:
    """The content of dataset.json."""
    info = joined.trajectories.info
    return {
        **info,
        "environment": portable_environment(info),
        **joined.facts(),
        "augmentation_rollouts": augmentation_rollouts,
        "subgoals": subgoal_names(joined.scene),
        "split": asdict(joined.rule),
        "verification": [
            {"rule": r.name, "checked": r.checked, "broken": len(r.offenders)} for r in joined.rules
        ],
    }


def render_card(joined: Joined, info: dict[str, Any]) -> str:
    """The dataset card, in Markdown with a YAML head; `info` is the content of dataset.json."""
    sample = [texts[0] for _, texts in sorted(joined.texts.items())[:5]]
    environment = Environment(
        loader=PackageLoader("archive_tools"), undefined=StrictUndefined, keep_trailing_newline=True
    )
    template = environment.get_template("dataset_card.md.jinja")
    return template.render(info=info, world=joined.world.name, sample=sample)
