"""The narrator: descriptions without a language model, varied and true, from an annotation.

It chooses what to say (`content`), says each part (`clauses`, in words from `phrases`) and joins
the parts by one of the plans of a style (`plans`). Every choice is drawn from the generator that is
handed in. What it says is true by construction; names, rooms and aliases are those of the scene.
"""

import re
from functools import lru_cache
from typing import Literal

import numpy as np

from archive_tools.annotations import Annotation
from archive_tools.narrator.alternatives import Alternatives, Group
from archive_tools.narrator.bans import BANS
from archive_tools.narrator.clauses import MAP_SIDES, SIDE_WORDS, Clauses
from archive_tools.narrator.conjugation import FORMS, conjugate
from archive_tools.narrator.content import MOST, Chooser, Content, Ending
from archive_tools.narrator.phrases import REGISTERS
from archive_tools.narrator.plans import (
    ADDED,
    LONG_WAY,
    PLANS,
    SHORT_WAY,
    WITHHELD_STYLE,
    Plans,
    needs,
    pieces,
)
from archive_tools.narrator.styles import Style
from envs.scene import Scene

DESCRIPTOR_SHARE = 0.1
"""How many texts name the last place by `<DESCRIPTOR>`."""
TYPING_ERRORS = 0.2
"""How many texts of the hasty style have one."""
START_SHARE = 0.4
"""How many texts whose plan names the start really do."""


class Narrator:
    """Writes one text."""

    def __init__(
        self,
        content: Content,
        scene: Scene,
        style: Style,
        rng: np.random.Generator,
        vocabulary: str,
    ) -> None:
        self.content, self.rng, self.style = content, rng, style
        self.plans: Plans = PLANS[style] if vocabulary == "train" else WITHHELD_STYLE
        self.train = vocabulary == "train"
        chance = float(rng.random())
        bare = self.plans.bare > float(rng.random())
        self.say = Clauses(
            scene,
            content,
            self.plans.register,
            rng,
            person=self.plans.person,
            map_words=chance < self.plans.map_words,
            bare=bare,
        )
        self.steps: list[str] | None = None

    def write(self) -> str:
        """The text."""
        plan = self.choose_plan()
        text = self.filled(plan)
        text = self.with_bans(text)
        if self.train and self.content.nothing_else and self.say.chance(0.06):
            text = f"{_closed(text)} {self.say.pick(ADDED['all'])}"
        text = re.sub(r"\s+", " ", text).strip()
        if self.train and self.style == "hasty":
            return self.hasty(text)
        if self.say.bare:
            text = _without_articles(text)
        return _capitals(_closed(text))

    def choose_plan(self) -> str:
        """One of the plans that this content fills."""
        content = self.content
        if not content.way:
            return self.say.pick(self.plans.alone)
        if self.train and content.end.kind and self.style not in ("prose", "past", "constraints"):
            if content.long_way > 0 and self.say.chance(0.3):
                return self.say.pick(LONG_WAY)
            if content.long_way < 0 and self.say.chance(0.12):
                return self.say.pick(SHORT_WAY)
        while True:
            plan = self.say.pick(self.plans.texts)
            least, most, slots = needs(plan)
            if least <= len(content.way) <= most and self.fits(slots):
                return plan

    def fits(self, slots: frozenset[str]) -> bool:
        """Whether slots that only some contents fill are filled by this one."""
        content = self.content
        if "crossed" in slots and not any(w.over for w in content.way):
            return False
        if "start" in slots and (not content.start or not self.say.chance(START_SHARE)):
            return False
        if "goal" in slots and not content.end.kind:
            return False
        if slots & {"spot", "goal"} and content.end.pronoun:
            return False
        if slots & {"names", "pair"} and any(w.kind == "move" for w in content.way):
            return False
        # "it" needs its object just before it
        return not content.end.pronoun or bool(slots & {"go", "rest", "b"})

    # Slots

    def filled(self, plan: str) -> str:
        """A plan with its slots filled, from left to right."""
        return "".join(
            piece if isinstance(piece, str) else self.slot(*piece) for piece in pieces(plan)
        )

    def slot(self, name: str, form: str) -> str:
        """What stands for one slot."""
        content, say = self.content, self.say
        if name in ("first", "rest", "a", "b"):
            return self.cut(name, form)
        if name == "go":
            return say.chain([*say.verb_phrases(content.way), self.end()], form)
        if name == "way":
            return say.chain(say.verb_phrases(content.way), form)
        if name == "end":
            return conjugate(self.end(), form)
        if name == "at":
            return say.at(content.end)
        if name == "spot":
            return say.spot(content.end)
        if name == "goal":
            return say.the(content.end.name, content.end.kind)
        if name == "paths":
            return say.paths(content.way)
        if name == "one":
            return conjugate(say.verb_phrase(content.way[0]), form)
        if name == "names":
            return say.names(content.way)
        if name == "pair":
            return " and ".join(say.the(w.name, w.kind) for w in content.way)
        if name == "crossed":
            crossed = [w for w in content.way if w.over]
            return say.join(list(dict.fromkeys(say.the(w.name, w.kind) for w in crossed)))
        return say.the(content.start, "tile")

    def cut(self, name: str, form: str) -> str:
        """The way and the end cut in two, the same for both halves."""
        if self.steps is None:
            self.steps = [*self.say.verb_phrases(self.content.way), self.end()]
            length = len(self.steps)
            self.at = 1 if name == "first" or length < 3 else 1 + int(self.rng.integers(length - 1))
        steps = self.steps[: self.at] if name in ("first", "a") else self.steps[self.at :]
        return self.say.chain(steps, form)

    def end(self) -> str:
        """The end as a verb phrase."""
        return f"{self.say.verb(self.say.phrases.stop)} {self.say.at(self.content.end)}"

    # After the plan

    def with_bans(self, text: str) -> str:
        """The text with what it forbids, in sentences of its own or added to the last one."""
        bans = self.content.bans
        if not bans or not self.say.chance(self.plans.bans):
            return text
        if len(bans) > 1 and not self.say.chance(0.35):
            bans = bans[:1]
        kinds = BANS[self.plans.ban]
        for name, kind, touch in bans:
            phrases = kinds["touch" if touch else kind]
            if text.endswith("?"):  # nothing is added to a question
                phrases = [p for p in phrases if not p.startswith(",")] or phrases
            phrase = self.say.pick(phrases).format(x=self.say.the(name, kind))
            if phrase.startswith(","):
                text = text.rstrip(".?") + phrase + "."
            else:
                text = f"{_closed(text)} {phrase}"
        return text

    def hasty(self, text: str) -> str:
        """Lower case, short forms, and now and then a typing error."""
        text = text.rstrip(".") if self.say.chance(0.8) else text
        if self.say.bare:
            text = _without_articles(text)
        if not text.count("<"):
            text = text.lower()
        for long, short in SHORT_FORMS:
            if self.say.chance(0.3):
                text = text.replace(long, short)
        if self.say.chance(TYPING_ERRORS):
            words = [m for m in re.finditer(r"(?<![<\w])[a-z]{6,}(?![\w>])", text)]
            if words:
                word = self.say.pick(words)
                k = word.start() + 2 + int(self.rng.integers(len(word.group()) - 4))
                text = text[:k] + text[k + 1] + text[k] + text[k + 2 :]
        return text


SHORT_FORMS = ((" through ", " thru "), (" and ", " n "), ("please", "pls"), (" you are ", " ur "))


def describe(
    annotation: Annotation,
    scene: Scene,
    *,
    style: Style,
    rng: np.random.Generator,
    alternatives: Alternatives | None = None,
    vocabulary: Literal["train", "held_out"] = "train",
) -> str:
    """Write one description.

    Args:
        annotation: of the trajectory.
        scene: the objects, tiles and rooms that exist.
        style: one of `styles.STYLES`.
        rng: source of every choice.
        alternatives: the drives among which this one is to be told apart; none: nothing is known
            of others.
        vocabulary: train, or held_out for words and plans that no training text has.
    """
    group = alternatives.to(annotation) if alternatives is not None else Group()
    most = MOST if vocabulary == "train" else MOST - 2
    content = Chooser(scene, rng).content(annotation, group, most)
    if content.end.kind and rng.random() < DESCRIPTOR_SHARE:
        content.end = Ending()
    return Narrator(content, scene, style, rng, vocabulary).write()


def _closed(text: str) -> str:
    """With an end mark."""
    return text if text[-1:] in ".?!" else text + "."


def _without_articles(text: str) -> str:
    return re.sub(r"\bthe (?!(?:top|bottom|left|right|way|middle|upper|lower) of\b)", "", text)


def _capitals(text: str) -> str:
    """Capital letters at the start of sentences."""
    return re.sub(r"(^|[.?!] )([a-z])", lambda m: m.group(1) + m.group(2).upper(), text)


@lru_cache(maxsize=2)
def vocabulary_of(kind: Literal["train", "held_out"]) -> frozenset[str]:
    """Every word, in lower case, that texts of a vocabulary may have, names of places aside."""
    styles = list(PLANS.values()) if kind == "train" else [WITHHELD_STYLE]
    phrases: list[str] = []
    for plans in styles:
        for options in vars(REGISTERS[plans.register]).values():
            phrases += [conjugate(p, form) for p in options for form in FORMS if p]
        phrases += [*plans.texts, *plans.alone]
        phrases += [p for options in BANS[plans.ban].values() for p in options]
    if kind == "train":
        phrases += [*LONG_WAY, *SHORT_WAY, *ADDED["all"], *(s for _, s in SHORT_FORMS)]
    phrases += [w for table in SIDE_WORDS for words in table.values() for w in words]
    phrases += [
        "it",
        "its",
        "on",
        "in",
        "of",
        "the",
        "side",
        "part",
        "corner",
        "and",
        "then",
        "both",
    ]
    phrases += ["clockwise", "counterclockwise", *(f"{d}ward" for d in MAP_SIDES if "-" not in d)]
    return frozenset(
        word
        for p in phrases
        for word in re.findall(r"[a-z']+", re.sub(r"\{[^}]*\}", " ", p.lower()))
    )
