"""The narrator's clauses: how a visit or the last place is said as a verb phrase."""

import re
from collections.abc import Sequence
from typing import TypeVar

import numpy as np

from archive_tools.annotations.events import Annotation, Event
from archive_tools.annotations.visits import (
    Visit,
    alike,
    alternation,
    bounds,
    part,
    tile_centres,
    turn,
)
from archive_tools.language.phrases import HELD_OUT, TRAIN, Vocabulary
from archive_tools.language.reader import PLACEHOLDER
from archive_tools.language.reading.lexicon import lexicon
from archive_tools.language.words import (
    COLOUR_SYNONYMS,
    COLOURS,
    is_plural,
    plural,
    spoken,
    writable,
)
from envs.geometry import compass
from envs.scene import Scene

T = TypeVar("T")


class Clauses:
    """Writes one text; holds the choices that run through it, such as the word for a tile."""

    def __init__(self, scene: Scene, vocabulary: str, rng: np.random.Generator) -> None:
        self.scene, self.rng, self.kind = scene, rng, vocabulary
        self.words: Vocabulary = HELD_OUT if vocabulary == "held_out" else TRAIN
        words = lexicon(scene)
        self.object_words, self.tile_words = words.objects, words.tiles
        self.tile_noun = self.pick(self.words.tile_nouns)
        self.oxford = self.chance(0.3)
        self.framing = 0.5 if vocabulary == "held_out" else 0.25
        self.last_verb = ""
        x0, y0, x1, y1 = bounds(scene)
        self.size = max(x1 - x0, y1 - y0, 1e-9)

    def pick(self, options: Sequence[T]) -> T:
        return options[int(self.rng.integers(len(options)))]

    def chance(self, share: float) -> bool:
        return bool(self.rng.random() < share)

    def verb(self, options: Sequence[str]) -> str:
        """A verb phrase that does not begin with the verb just used, where there is another."""
        fresh = [o for o in options if o.partition(" ")[0] != self.last_verb]
        phrase = self.pick(fresh or options)
        self.last_verb = phrase.partition(" ")[0]
        return phrase

    # Names

    def noun(self, name: str) -> str:
        """A word for an object that the scene gives no other meaning."""
        options = [
            w for w in writable(name, self.kind) if self.object_words.get(w.lower()) == (name,)
        ]
        if not options:
            return spoken(name)
        own = self.kind == "train" and self.chance(0.6)
        return options[0] if own else self.pick(options)

    def the(self, name: str) -> str:
        return f"the {self.noun(name)}"

    def colour(self, name: str) -> str:
        base = spoken(name)
        if self.kind == "held_out" and base in COLOUR_SYNONYMS:
            options = COLOUR_SYNONYMS[base].held_out
            options = [w for w in options if self.tile_words.get(w) == (name,)]
            return self.pick(options) if options else base
        return base

    def the_tile(self, name: str) -> str:
        base = spoken(name)
        noun = self.tile_noun if self.chance(0.85) else self.pick(self.words.tile_nouns)
        # A tile may be named after a room; "the kitchen" needs no noun, "the red" does.
        bare = base.lower() not in COLOURS and self.chance(0.5)
        return f"the {base}" if bare else f"the {self.colour(name)} {noun}"

    def tiles(self, names: Sequence[str]) -> str:
        if len(names) == 1:
            return self.the_tile(names[0])
        return f"the {self.join([self.colour(n) for n in names])} {plural(self.tile_noun)}"

    def join(self, parts: Sequence[str]) -> str:
        """ "a, b and c" """
        if len(parts) < 2:
            return "".join(parts)
        comma = "," if self.oxford and len(parts) > 2 else ""
        return f"{', '.join(parts[:-1])}{comma} and {parts[-1]}"

    # Verb phrases

    def object_phrase(self, visit: Visit, *, alone: bool) -> str:
        """How one object is met; `alone` asks for a plain phrase."""
        x, words = self.the(visit.name), self.words
        its = "their" if is_plural(visit.name) else "its"
        if visit.again:
            return self.verb(words.back).format(x=x)
        compass_sides = [side for side, _ in visit.sides if side != "on"]
        if not alone and len(set(compass_sides)) >= 7:
            return self.verb(words.circle).format(x=x)
        if not alone and self.chance(0.5):
            if len(compass_sides) < len(visit.sides) and self.chance(0.7):
                return self.verb(words.over).format(x=x)
            if compass_sides and turn(compass_sides[0], compass_sides[-1]) >= 2:
                d, e = compass_sides[0], compass_sides[-1]
                return self.verb(words.around).format(x=x, d=d, e=e)
            if compass_sides:
                closest = min((s for s in visit.sides if s[0] != "on"), key=lambda s: s[1])
                return self.verb(words.side).format(x=x, d=closest[0], its=its)
        return self.verb(words.past).format(x=x)

    def tile_phrase(self, visit: Visit) -> str:
        t = self.the_tile(visit.name)
        if visit.again:
            return self.verb(self.words.tile_back).format(t=t)
        heading = self.heading(visit)
        if heading and self.chance(0.45):
            return self.verb(self.words.tile_heading).format(t=t, d=heading)
        return self.verb(self.words.tile).format(t=t)

    def heading(self, visit: Visit) -> str:
        """Compass direction from the tile before to this one; "" where a name is used twice."""
        places = tile_centres(self.scene)
        before, after = places.get(visit.came_from, []), places.get(visit.name, [])
        if len(before) != 1 or len(after) != 1:
            return ""
        return compass(after[0][0] - before[0][0], after[0][1] - before[0][1])

    def phrases(self, visits: Sequence[Visit]) -> list[str]:
        """Verb phrases for `visits` in order; neighbours may share a verb."""
        done: list[str] = []
        merging, mixing = self.pick((0.0, 0.4, 0.8)), self.pick((0.0, 0.3, 0.7))
        k = 0
        while k < len(visits):
            turns = alternation(visits, k)
            if turns >= 4:
                x, y = (self.place(v) for v in visits[k : k + 2])
                done.append(self.verb(self.words.forth).format(x=x, y=y))
                k += turns
                continue
            run = k + 1
            mixed = self.chance(mixing)
            while run < min(len(visits), k + 4) and self.chance(0.8 if mixed else merging):
                if not mixed and not alike(visits[k : run + 1]):
                    break
                run += 1
            group = visits[k:run]
            if len(group) == 1:
                done.append(self.visit_phrase(group[0]))
            elif mixed:
                ways = self.join([self.way(v) for v in group])
                done.append(f"{self.verb(self.words.one_verb)} {ways}")
            elif group[0].kind == "object":
                names = self.join([self.the(v.name) for v in group])
                done.append(self.verb(self.words.past).format(x=names))
            else:
                names = self.tiles([v.name for v in group])
                done.append(self.verb(self.words.tile).format(t=names))
            k = run
        return done

    def visit_phrase(self, visit: Visit) -> str:
        if visit.kind == "tile":
            return self.tile_phrase(visit)
        return self.object_phrase(visit, alone=False)

    def place(self, visit: Visit) -> str:
        return self.the_tile(visit.name) if visit.kind == "tile" else self.the(visit.name)

    def way(self, visit: Visit) -> str:
        """ "past the fan", "through the red tile", "back past the fan" """
        back = "back " if visit.again else ""
        if visit.kind == "tile":
            return back + self.pick(self.words.over_tile).format(t=self.the_tile(visit.name))
        return back + self.pick(self.words.past_object).format(x=self.the(visit.name))

    # The last place

    def last_place(self, visits: list[Visit], last: Event) -> tuple[list[str], list[Visit]]:
        """Verb phrases for the end, and the visits that are left for the way there."""
        end = visits[-1]
        before = visits[-2] if len(visits) > 1 else None
        near = {n.object: n.relation for n in last.near}
        if end.kind == "object" and end.name in near:
            place = self.beside(end.name, near[end.name])
            if before and before.kind == "tile" and before.name == last.tile and self.chance(0.35):
                return [f"{self.stop()} on {self.the_tile(before.name)}, {place}"], visits[:-2]
            return [f"{self.stop()} {place}"], visits[:-1]
        if end.kind == "tile" and end.name == last.tile:
            if before and before.kind == "object" and before.name in near and self.chance(0.35):
                place = self.beside(before.name, near[before.name])
                return [f"{self.stop()} {place} on {self.the_tile(end.name)}"], visits[:-2]
            return [f"{self.stop()} {self.in_tile(end.name, last.position)}"], visits[:-1]
        if end.kind == "object":
            return self.beyond(end, last.position), visits[:-1]
        return [self.tile_phrase(end), f"{self.stop()} just beyond it"], visits[:-1]

    def stop(self) -> str:
        return self.verb(self.words.stop)

    def beside(self, name: str, relation: str) -> str:
        x = self.the(name)
        if relation == "on":
            return self.pick(self.words.onto).format(x=x)
        if self.chance(0.4):
            return self.pick(self.words.beside_side).format(x=x, d=relation)
        return f"{self.pick(self.words.beside)} {x}"

    def in_tile(self, name: str, position: tuple[float, float]) -> str:
        t = self.the_tile(name)
        third = part(self.scene, name, position)
        if third is None or self.chance(0.35):
            return f"on {t}"
        if not third:
            return self.pick(self.words.middle).format(t=t)
        return self.pick(self.words.corner if "-" in third else self.words.edge).format(
            t=t, d=third
        )

    def beyond(self, visit: Visit, position: tuple[float, float]) -> list[str]:
        """Meets the object, and stops where it is no longer near."""
        x, y = next(o.centre for o in self.scene.objects if o.name == visit.name)
        dx, dy = position[0] - x, position[1] - y
        where = self.pick(self.words.beyond).format(
            a=self.amount(float(np.hypot(dx, dy))),
            d=compass(dx, dy),
            it="them" if is_plural(visit.name) else "it",
        )
        return [self.object_phrase(visit, alone=True), f"{self.stop()} {where}"]

    def amount(self, distance: float) -> str:
        share = distance / self.size
        return self.pick(self.words.amounts[0 if share < 0.13 else 1 if share < 0.3 else 2])

    def at_home(self, visit: Visit, annotation: Annotation) -> list[str]:
        """Phrases for a drive that never leaves its first tile and meets nothing."""
        (x, y), last = annotation.events[0].position, annotation.events[-1]
        dx, dy = last.position[0] - x, last.position[1] - y
        distance = float(np.hypot(dx, dy))
        place = self.in_tile(visit.name, last.position)
        if distance < 0.04 * self.size:
            return [f"{self.pick(self.words.stay)}, {place}"]
        phrase = self.pick(self.words.move).format(a=self.amount(distance), d=compass(dx, dy))
        return [phrase, f"{self.stop()} {place}"]

    def descriptor(self) -> str:
        return goal(self.verb(self.words.at))


def goal(phrase: str) -> str:
    """A phrase for the last place, with its D replaced by the placeholder."""
    return re.sub(r"\bD\b", PLACEHOLDER, phrase)
