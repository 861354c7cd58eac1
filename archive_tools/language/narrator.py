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

from archive_tools.annotations.events import Annotation
from archive_tools.annotations.visits import Visit, visits_of
from archive_tools.language.clauses import Clauses, goal
from archive_tools.language.phrases import conjugate
from archive_tools.language.styles import Style
from envs.geometry import compass
from envs.scene import Scene

MAX_MENTIONS = {"train": 14, "held_out": 9}
"""Bounds the length of a text: its tokens share the context with the trajectory, and words that a
tokenizer never met take several each."""
END = re.compile(r"(?:finish|end(?: up)?)(?=ed\b|\b)")
"""Verbs of stopping that do not go with LAST words."""
LAST = re.compile(r"final|end\b")
STARTS = re.compile(r"(?:start|begin|commence) on\b")
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
        share = self.pick((1.0, 1.0, 0.9, 0.7))
        keep = [self.chance(share) for _ in visits]
        keep[-1] = True
        if len(visits) > 1 and visits[0].kind == "tile":
            keep[0] = self.chance(0.4)  # every drive of an archive may begin there
        if (surplus := sum(keep) - MAX_MENTIONS[self.kind]) > 0:
            kept = np.flatnonzero(keep[:-1])
            dropped = self.rng.choice(kept, surplus, replace=False)
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
            elif len(way) > 1 and self.chance(0.2):
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

    def chain(self, phrases: Sequence[str], form: str = "base", *, then: bool = True) -> str:
        """ "vp, vp and vp", where `then` allows with one "then" somewhere."""
        parts = [conjugate(p, form) for p in phrases]
        text = parts[0]
        for part in parts[1:-1]:
            joint = ", "
            if then and self.chance(0.25):
                joint, then = self.pick(self.words.then), False
                if joint.startswith(";") and form == "past":
                    joint += "it "  # a clause of its own
            text += joint + part
        if len(parts) == 1:
            return text
        long = len(parts) > 3 or " and " in parts[-2] or ", " in parts[-2]
        comma = "," if long or (len(parts) > 2 and self.oxford) else ""
        joints = [j for j in self.words.and_last if self.goes_with(j, parts[-1])]
        last = self.pick(joints) if then and joints and self.chance(0.3) else " and "
        return text + (last if last.startswith(",") else comma + last) + parts[-1]

    def goes_with(self, word: str, phrase: str) -> bool:
        """Not "finally, finish" and not "at the end, end up"."""
        return not (LAST.search(word) and END.match(phrase))

    def next_sentence(self, subject: str, phrases: Sequence[str], form: str) -> str:
        """A sentence that goes on from the one before."""
        told = self.words.next_told if form == "past" else self.words.next
        options = self.words.final if len(phrases) == 1 else told
        opening = self.pick([o for o in options if self.goes_with(o, phrases[0])])
        then = not opening.startswith("then")
        return f"{opening}{subject}{self.chain(phrases, form, then=then)}."

    def framed(self, plan: Plan, phrases: Sequence[str], lead: str, who: str, form: str) -> str:
        """A sentence of two halves, without its end mark; "" where none fits.

        Args:
            plan: what is said.
            phrases: its verb phrases.
            lead: the start as an adverbial, or nothing.
            who: what comes before the verbs: who drives, or what opens a request.
            form: of the verbs, base or past.
        """
        options = list(self.words.frames)
        if lead or STARTS.match(plan.start):  # no "after starting on"
            options = [f for f in options if f.text.startswith("{s}")]
        if len(phrases) < 3 or not options:
            return ""
        frame = self.pick(options)
        if form == "base" and not frame.text.startswith("{s}"):
            who = ""  # no "after passing the fan, I want you to"
        return lead + frame.text.format(
            a=self.chain(phrases[: frame.cut], frame.first or form, then=False),
            b=self.chain(phrases[frame.cut :], frame.second or form, then=False),
            s=who,
            h="you have" if form == "base" else "it had",
        )

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
        steps = [*start, *plan.phrases, *([self.descriptor()] if plan.descriptor else [])]
        # "Please finish by the bed" asks what a robot that goes nowhere could finish.
        return [END.sub("stop", steps[0])] if len(steps) == 1 else steps

    def request(self, plan: Plan) -> str:
        opener, mark = self.pick(self.words.openers)
        if plan.descriptor and plan.phrases and not plan.start and self.chance(0.45):
            return self.goal_first(plan, opener, mark)
        phrases = self.steps(plan)
        lead = ""
        if plan.prefix:
            # "Robot, please", questions and "I want" do not go well after an adverbial.
            lead = plan.prefix + ", "
            if opener and not opener.startswith("please"):
                opener, mark = "", "."
        if self.chance(self.framing) and (
            sentence := self.framed(plan, phrases, lead, opener, "base")
        ):
            return sentence + (mark if sentence.startswith(lead + opener) else ".")
        if len(phrases) > 2 and self.chance(0.3):
            cut = int(self.rng.integers(1, len(phrases)))
            first = f"{lead}{opener}{self.chain(phrases[:cut])}{mark}"
            return f"{first} {self.next_sentence('', phrases[cut:], 'base')}"
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
        if self.kind == "held_out" and len(phrases) <= 7:
            phrases = [STARTS.sub("depart from", phrases[0]), *phrases[1:]]
            verbs = ("begin by", *["continue by"] * (len(phrases) - 2), "conclude by")
            steps = [f"{v} {conjugate(p, 'ing')}." for v, p in zip(verbs, phrases, strict=True)]
            return " ".join(steps)
        first = "" if plan.start else self.pick(self.words.first)
        steps = [f"{first}{phrases[0]}."]
        before = first
        for phrase in phrases[1:-1]:
            opening = ""
            if self.chance(0.5):
                opening = before = self.pick([o for o in self.words.next if o != before])
            steps.append(f"{opening}{phrase}.")
        return f"{' '.join(steps)} {self.next_sentence('', phrases[-1:], 'base')}"

    def narrative(self, plan: Plan) -> str:
        phrases = self.steps(plan)
        subject = self.pick(self.words.subjects) + " "
        lead = f"{plan.prefix}, " if plan.prefix else ""
        if self.chance(self.framing) and (
            sentence := self.framed(plan, phrases, lead, subject, "past")
        ):
            return sentence + "."
        if len(phrases) > 2 and self.chance(0.5):
            cut = int(self.rng.integers(1, len(phrases)))
            first = f"{lead}{subject}{self.chain(phrases[:cut], 'past')}."
            return f"{first} {self.next_sentence('it ', phrases[cut:], 'past')}"
        return f"{lead}{subject}{self.chain(phrases, 'past')}."


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
