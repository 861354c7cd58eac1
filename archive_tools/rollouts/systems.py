"""The systems that are driven: the policy, its controls, lookups in the archive, replay.

A record is all that a system needs to be driven, measured and shown: everything that lists systems
reads SYSTEMS. A further control is a record and the function that it names.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import pandas as pd
from numpy.typing import ArrayLike

from archive_tools.rollouts import instructions
from archive_tools.rollouts.baselines import Elites, Index
from archive_tools.rollouts.counterfactuals import GivenText

Kind = Literal["policy", "control", "baseline", "ceiling"]
Place = Literal["tiles", "runs", "curve", "results"]


@dataclass(frozen=True)
class System:
    """One system. Without any option it is the policy, given an item's text and BD."""

    name: str
    kind: Kind
    label: str
    """Its name for people."""
    deaf: bool = False
    """It is given no text."""
    blind: bool = False
    """It is given no BD."""
    one_set: bool = False
    """It drives the test items only, not the contrast pairs."""
    people: bool = False
    """It drives the commands of people and of files, too."""
    needs_bd: bool = False
    """It does not drive an item that has no BD."""
    instruct: Callable[[pd.DataFrame, instructions.Sources], list[GivenText | None]] | None = None
    """Its texts in place of those of the items (rows of one set); None for an item without one,
    which it then does not drive."""
    choose: Callable[[Elites, Sequence[str], ArrayLike, int], Index] | None = None
    """Of a lookup: for texts, BDs and a seed, which elites it drives."""

    shown_in: tuple[Place, ...] = ()
    """Where few systems have room, those that show it: beside the policy's headline figures
    (tiles), for each of several runs (runs, results), over the size of the training split."""

    @property
    def instructed(self) -> bool:
        """It is given other texts than those of the items."""
        return self.instruct is not None


_ALL = (
    System("nanodt", "policy", "policy", people=True, shown_in=("runs", "curve", "results")),
    System("nanodt/text_off", "control", "text off", deaf=True, people=True, needs_bd=True,
           shown_in=("runs",)),
    System("nanodt/bd_off", "control", "BD off", blind=True, people=True),
    System("nanodt/both_off", "control", "both off", deaf=True, blind=True),
    System("nanodt/text_shuffled", "control", "texts shuffled", instruct=instructions.shuffled),
    System("nanodt/counterfactual_object", "control", "other object", one_set=True,
           instruct=instructions.other_object),
    System("nanodt/counterfactual_direction", "control", "other direction", one_set=True,
           instruct=instructions.other_direction),
    System("nanodt/unseen_phrasing", "control", "unseen phrasing", one_set=True,
           instruct=instructions.unseen_phrasing),
    System("random_elite", "baseline", "random elite", people=True,
           choose=lambda elites, text, bd, seed: elites.random(len(text), seed),
           shown_in=("tiles",)),
    System("nearest_elite_bd", "baseline", "nearest by BD", people=True, needs_bd=True,
           choose=lambda elites, text, bd, seed: elites.nearest_bd(bd),
           shown_in=("runs", "curve")),
    System("nearest_elite_text", "baseline", "nearest by text",
           choose=lambda elites, text, bd, seed: elites.nearest_text(text),
           shown_in=("curve",)),
    System("nearest_elite_both", "baseline", "nearest by both", people=True, needs_bd=True,
           choose=lambda elites, text, bd, seed: elites.nearest_both(text, bd),
           shown_in=("tiles", "runs", "curve", "results")),
    System("replay", "ceiling", "replay", people=True, shown_in=("tiles",)),
)  # fmt: skip
SYSTEMS = {system.name: system for system in _ALL}
"""All systems by name, in the order in which they are driven and shown."""


def system_of(name: str) -> System:
    """The record of a name; of one that is not among SYSTEMS (an older run's) what it tells."""
    if name in SYSTEMS:
        return SYSTEMS[name]
    kind = "control" if name.startswith("nanodt/") else "baseline"
    return System(name, kind, name.removeprefix("nanodt/").replace("_", " "))
