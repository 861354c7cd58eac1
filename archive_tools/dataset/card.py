"""What a dataset says of itself: dataset.json, and the card as people read it."""

from dataclasses import asdict
from typing import Any

from archive_tools.dataset.join import Joined
from archive_tools.dataset.subgoals import subgoal_names
from archive_tools.files import template
from archive_tools.tasks import registry


def dataset_info(joined: Joined, augmentation_rollouts: int, *, plans: bool) -> dict[str, Any]:
    """The content of dataset.json; `plans`: a policy reads those, and not the texts."""
    info = joined.trajectories.info
    plans = plans and bool(subgoal_names(joined.scene))
    return {
        **info,
        "environment": registry.portable_environment(info),
        **joined.facts(),
        "augmentation_rollouts": augmentation_rollouts,
        "text_columns": ["plans"] if plans else ["texts"],
        "subgoals": subgoal_names(joined.scene),
        "split": asdict(joined.rule),
        "verification": [
            {"rule": r.name, "checked": r.checked, "broken": len(r.offenders)} for r in joined.rules
        ],
    }


def render_card(joined: Joined, info: dict[str, Any]) -> str:
    """The dataset card, in Markdown with a YAML head; `info` is the content of dataset.json."""
    sample = [texts[0] for _, texts in sorted(joined.texts.items())[:5]]
    card = template(__package__, "dataset_card.md.jinja")
    return card.render(info=info, world=joined.world.name, sample=sample)
