"""The narrator: descriptions without a language model, varied and true, from an annotation.

It decides what to mention (most visits, in the order of the drive), how to say each as a verb
phrase, where the drive ends, and how to join the phrases into sentences of one of three styles:
request ("Please go past the fan and stop by the bed."), instruction (step by step) and narrative
(past tense, about the robot). Every choice is drawn from the generator that is handed in.

What it mentions is always a subsequence of the annotation's visited sequence.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np

from archive_tools.annotate import Annotation
from archive_tools.narrator_clauses import Clauses, goal
from archive_tools.narrator_facts import Visit, visits_of
from archive_tools.phrases import conjugate
from envs.geometry import compass
from envs.scene import Scene

STYLES = ("request", "instruction", "narrative")
Style = Literal["request", "instruction", "narrative"]
MAX_MENTIONS = 14
"""Bounds the length of a text: its tokens share the context with the trajectory."""
DESCRIPTOR_SHARE = 0.3
"""How many texts name the last place by `<DESCRIPTOR>`."""


@dataclass
class Plan:
    """What a text will say, as verb phrases in base form."""

    phrases: list[str] = field(default_factory=list)
    """The way, and the last place unless that is `<DESCRIPTOR>`."""
    start: str = ""
    """The start as a verb phrase, or else"""
    prefix: str = ""
    """as an adverbial, or not at all."""
    way: list[Visit] = field(default_factory=list)
    """The visits on the way."""
    descriptor: bool = False
    """The drive ends at `<DESCRIPTOR>`."""


class Narrator(Clauses):
    """Writes one text."""

    # Choice of what to say

    def choose(self, visits: list[Visit]) -> list[Visit]:
        """An in-order part of `visits` that keeps most of it, and always its last element."""
        share = self.pick((1.0, 1.0, 0.85, 0.65))
        keep = [self.chance(share) for _ in visits]
        keep[-1] = True
        if len(visits) > 1 and visits[0].kind == "tile":
            keep[0] = self.chance(0.4)  # every drive of an archive may begin there
        if sum(keep) > MAX_MENTIONS:
            kept = np.flatnonzero(keep[:-1])
            dropped = self.rng.choice(kept, sum(keep) - MAX_MENTIONS, replace=False)
            for index in dropped:
                keep[int(index)] = False
        chosen: list[Visit] = []
        for visit in (v for v, kept in zip(visits, keep, strict=True) if kept):
            if chosen and chosen[-1].name == visit.name:
                chosen.pop()  # what lay between was left out
            told = visit.name in {visits[0].name, *(v.name for v in chosen)}
            chosen.append(visit if told or not visit.again else replace(visit, again=False))
        return chosen

    def plan(self, annotation: Annotation, style: Style) -> Plan:
        visits = visits_of(annotation)
        last = annotation.events[-1]
        to_descriptor = self.chance(DESCRIPTOR_SHARE)
        if not visits:
            return self.plan_nowhere(annotation)
        plan = Plan()
        if len(visits) == 1 and visits[0].kind == "tile" and visits[0].name == last.tile:
            home = self.at_home(visits[0], annotation)
            if not to_descriptor:
                return Plan(phrases=home)
            start = self.verb(self.words.start[:1]).format(t=self.the_tile(visits[0].name))
            if len(home) > 1 and self.chance(0.7):
                plan.phrases = home[:-1]
            else:
                plan.start = start
        else:
            way = self.choose(visits)
            end: list[str] = []
            if not to_descriptor:
                end, way = self.last_place(way, last)
            elif len(way) > 1 and self.chance(0.3):
                way.pop()
            if way and way[0] is visits[0] and way[0].kind == "tile":
                t = self.the_tile(way.pop(0).name)
                if style != "instruction" and self.chance(0.6):
                    plan.prefix = self.pick(self.words.start_prefix).format(t=t)
                else:
                    plan.start = self.verb(self.words.start).format(t=t)
            plan.phrases = [*self.phrases(way), *end]
            plan.way = way
        plan.descriptor = to_descriptor
        return plan

    def plan_nowhere(self, annotation: Annotation) -> Plan:
        """For a drive that meets neither a tile nor an object."""
        (x, y), (u, v) = annotation.events[0].position, annotation.events[-1].position
        if self.chance(0.5):
            return Plan(descriptor=True)
        distance = float(np.hypot(u - x, v - y))
        if distance < 0.04 * self.size:
            return Plan(phrases=[self.pick(self.words.stay)])
        move = self.pick(self.words.move).format(a=self.amount(distance), d=compass(u - x, v - y))
        return Plan(phrases=[move, self.stop()])

    # Sentences

    def chain(self, phrases: Sequence[str], form: str = "base") -> str:
        """ "vp, vp and vp" with a joining word here and there."""
        parts = [conjugate(p, form) for p in phrases]
        if len(parts) == 1:
            return parts[0]
        text = parts[0]
        for part in parts[1:-1]:
            text += (self.pick(self.words.then) if self.chance(0.25) else ", ") + part
        comma = "," if len(parts) > 2 and (self.oxford or len(parts) > 3) else ""
        last = self.pick(self.words.and_last) if self.chance(0.3) else f"{comma} and "
        return text + last + parts[-1]

    def opening(self, rest: Sequence[str]) -> str:
        """Opens a second sentence of `rest`."""
        return self.pick(self.words.final if len(rest) == 1 else self.words.next)

    def write(self, annotation: Annotation, style: Style) -> str:
        plan = self.plan(annotation, style)
        write = {
            "request": self.request,
            "instruction": self.instruction,
            "narrative": self.narrative,
        }[style]
        return _tidy(write(plan))

    def steps(self, plan: Plan) -> list[str]:
        """All verb phrases of a plan, from the start to the last place."""
        start = [plan.start] if plan.start else []
        return [*start, *plan.phrases, *([self.descriptor()] if plan.descriptor else [])]

    def request(self, plan: Plan) -> str:
        opener, mark = self.pick(self.words.openers)
        if plan.descriptor and plan.phrases and not plan.start and self.chance(0.45):
            return self.goal_first(plan, opener, mark)
        phrases = self.steps(plan)
        lead = ""
        if plan.prefix:
            # "Robot, please" and questions do not go well after an adverbial.
            lead = plan.prefix + ", "
            if opener and not opener.startswith(("please", "I ")):
                opener, mark = "", "."
        if len(phrases) > 2 and not plan.prefix and self.chance(0.15):
            return f"after {conjugate(phrases[0], 'ing')}, {self.chain(phrases[1:])}."
        if len(phrases) > 2 and self.chance(0.3):
            cut = int(self.rng.integers(1, len(phrases)))
            first = f"{lead}{opener}{self.chain(phrases[:cut])}{mark}"
            return f"{first} {self.opening(phrases[cut:])}{self.chain(phrases[cut:])}."
        return f"{lead}{opener}{self.chain(phrases)}{mark}"

    def goal_first(self, plan: Plan, opener: str, mark: str) -> str:
        """A request that names `<DESCRIPTOR>` first and then the way there."""
        place = goal(self.pick(self.words.goal))
        places = [self.place(v) for v in plan.way]
        if 1 <= len(places) <= 5 and self.chance(0.5):
            way = self.pick(self.words.by_way).format(g=place, xs=self.join(places))
            return f"{opener}{way}{mark}"
        if len(plan.phrases) <= 4 and self.chance(0.5):
            way = self.join([conjugate(p, "ing") for p in plan.phrases])
            return f"{opener}{place}, {way} on the way{mark}"
        lead = goal(self.pick(self.words.to_get_there))
        return f"{lead}{self.chain(plan.phrases)}."

    def instruction(self, plan: Plan) -> str:
        phrases = self.steps(plan)
        if len(phrases) == 1 or self.chance(0.34):
            return " ".join(f"{phrase}." for phrase in phrases)
        if self.chance(0.4):
            return "; ".join(phrases) + "."
        if self.kind == "held_out":
            verbs = ("begin by", *["continue by"] * (len(phrases) - 2), "conclude by")
            steps = [f"{v} {conjugate(p, 'ing')}." for v, p in zip(verbs, phrases, strict=True)]
            return " ".join(steps)
        first = "" if plan.start else self.pick(self.words.first)
        steps = [f"{first}{phrases[0]}."]
        steps += [
            f"{self.pick(self.words.next) if self.chance(0.6) else ''}{p}." for p in phrases[1:-1]
        ]
        steps.append(f"{self.pick(self.words.final)}{phrases[-1]}.")
        return " ".join(steps)

    def narrative(self, plan: Plan) -> str:
        phrases = self.steps(plan)
        subject = self.pick(self.words.subjects)
        lead = f"{plan.prefix}, " if plan.prefix else ""
        if len(phrases) > 2 and not plan.prefix and self.chance(0.2):
            first = f"after {conjugate(phrases[0], 'ing')}"
            return f"{first}, {subject} {self.chain(phrases[1:], 'past')}."
        if len(phrases) > 2 and self.chance(0.5):
            cut = int(self.rng.integers(1, len(phrases)))
            first = f"{lead}{subject} {self.chain(phrases[:cut], 'past')}."
            return f"{first} {self.opening(phrases[cut:])}it {self.chain(phrases[cut:], 'past')}."
        return f"{lead}{subject} {self.chain(phrases, 'past')}."


def describe(
    annotation: Annotation,
    scene: Scene,
    bd: Sequence[float] | None = None,
    *,
    style: Style,
    rng: np.random.Generator,
    vocabulary: Literal["train", "held_out"] = "train",
) -> str:
    """Write one description.

    Args:
        annotation: of the trajectory.
        scene: the objects and tiles that exist.
        bd: the reached BD; not written (a text says `<DESCRIPTOR>` instead), taken so that all
            sources of texts are called alike.
        style: request, instruction or narrative.
        rng: source of every choice.
        vocabulary: train, or held_out for wording that no training text has.
    """
    del bd
    return Narrator(scene, vocabulary, rng).write(annotation, style)


def _tidy(text: str) -> str:
    """Capital letters at the start of sentences, single blanks."""
    text = re.sub(r"\s+", " ", text).strip()
    return re.sub(r"(^|[.?!] )([a-z])", lambda m: m.group(1) + m.group(2).upper(), text)
