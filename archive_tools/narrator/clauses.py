"""The narrator's clauses: how a place, what is done at it, and the end are said."""

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import TypeVar

import numpy as np

from archive_tools.language import PLACEHOLDER, lexicon, words
from archive_tools.narrator.conjugation import conjugate
from archive_tools.narrator.content import Content, Ending, Waypoint
from archive_tools.narrator.phrases import REGISTERS, Phrases
from envs.scene import Scene

T = TypeVar("T")


class _Slots(dict[str, Callable[[], str]]):
    """Slots of a phrase, worked out when they are asked for: each draws its words."""

    def __getitem__(self, key: str) -> str:  # type: ignore[override]
        return super().__getitem__(key)()


MAP_SIDES = {
    "north": ("top", "upper"), "south": ("bottom", "lower"), "east": ("right",), "west": ("left",),
    "north-east": ("top right", "upper right"), "north-west": ("top left", "upper left"),
    "south-east": ("bottom right", "lower right"), "south-west": ("bottom left", "lower left"),
}  # fmt: skip
MAP_NOUNS = {side: said[:1] for side, said in MAP_SIDES.items()}
MAP_RELATIONS = {
    "north": ("above", "north of"),
    "south": ("below", "under", "below", "beneath", "underneath", "south of"),
    "east": ("right of", "to the right of"), "west": ("left of", "to the left of"),
    "north-east": ("to the top right of", "to the upper right of"),
    "north-west": ("to the top left of", "to the upper left of"),
    "south-east": ("to the bottom right of", "to the lower right of"),
    "south-west": ("to the bottom left of", "to the lower left of"),
}  # fmt: skip
MAP_HEADINGS = {
    "north": ("up",), "south": ("down",), "east": ("right",), "west": ("left",),
    "north-east": ("up and right",), "north-west": ("up and left",),
    "south-east": ("down and right",), "south-west": ("down and left",),
}  # fmt: skip
COMPASS_SIDES = {
    side: (side, side + "ern") if "-" not in side else (side, side.replace("-", ""))
    for side in MAP_SIDES
}
COMPASS_RELATIONS = {side: (f"{side} of", f"to the {side} of") for side in MAP_SIDES}

SIDE_WORDS = (MAP_SIDES, MAP_RELATIONS, MAP_HEADINGS, COMPASS_SIDES, COMPASS_RELATIONS)


class Clauses:
    """Says the parts of one text; holds the choices that run through it."""

    def __init__(
        self, scene: Scene, content: Content, register: str, rng: np.random.Generator, *,
        person: str, map_words: bool, bare: bool,
    ) -> None:  # fmt: skip
        self.scene, self.content, self.rng = scene, content, rng
        self.withheld = register == "withheld"
        self.bare, self.person = bare, person
        self.phrases: Phrases = REGISTERS[register]
        self.map_words = map_words
        self.oxford = self.chance(0.4)
        self.rooms = self.chance(0.45)
        self.last_verb = ""
        self.nouns: dict[str, str] = {}
        self.table = name_table(scene)

    def pick(self, options: Sequence[T]) -> T:
        return options[int(self.rng.random() * len(options))]

    def chance(self, share: float) -> bool:
        return bool(self.rng.random() < share)

    def verb(self, options: Sequence[str]) -> str:
        """A verb phrase that does not begin with the verb just used, where there is another."""
        phrase = self.pick(options)
        if phrase.partition(" ")[0] == self.last_verb:
            phrase = self.pick(options)
        self.last_verb = phrase.partition(" ")[0]
        return phrase

    # Names

    def the(self, name: str, kind: str) -> str:
        """An object or tile, by the word that this text has for it."""
        if name not in self.nouns:
            self.nouns[name] = self.object(name) if kind == "object" else self.tile(name)
        return self.nouns[name]

    def object(self, name: str) -> str:
        own = not self.withheld and self.chance(0.65)
        options = self.table[name, "held_out" if self.withheld else "train"]
        return f"the {options[0] if own else self.pick(options)}"

    def tile(self, name: str) -> str:
        base = words.spoken(name)
        if self.withheld:
            options = words.COLOUR_SYNONYMS[base].held_out if base in words.COLOUR_SYNONYMS else ()
            known = lexicon(self.scene).senses
            options = [w for w in options if (s := known.get((w,))) and s.names == (name,)]
            return f"the {self.pick(options) if options else base} {self.noun_of_tiles(base)}"
        rooms = self.table.get((name, "room"), ())
        if rooms and self.rooms and self.chance(0.9):
            return f"the {rooms[0] if self.chance(0.6) else self.pick(rooms)}"
        colour = base.lower() in words.COLOURS
        if self.bare and colour and self.chance(0.6):
            return base
        if not words.is_look(base) and self.chance(0.7):
            return f"the {base}"
        return f"the {base} {self.noun_of_tiles(base)}"

    def noun_of_tiles(self, base: str) -> str:
        nouns = [n for n in self.phrases.tile_nouns if n not in base.lower().split()]
        return self.pick(nouns)

    def join(self, parts: Sequence[str]) -> str:
        """ "a, b and c" """
        if len(parts) < 2:
            return "".join(parts)
        comma = "," if self.oxford and len(parts) > 2 else ""
        return f"{', '.join(parts[:-1])}{comma} and {parts[-1]}"

    # Sides

    def side(self, compass: str) -> str:
        return self.pick((MAP_SIDES if self.map_words else COMPASS_SIDES)[compass])

    def side_noun(self, compass: str) -> str:
        return self.pick(MAP_NOUNS[compass]) if self.map_words else compass

    def relation(self, compass: str) -> str:
        return self.pick((MAP_RELATIONS if self.map_words else COMPASS_RELATIONS)[compass])

    def heading(self, compass: str) -> str:
        if self.map_words:
            return self.pick(MAP_HEADINGS[compass])
        return compass if "-" in compass or self.withheld or self.chance(0.7) else compass + "ward"

    def fill(self, phrase: str, name: str, kind: str, side: str = "", other: str = "",
             hand: str = "") -> str:  # fmt: skip
        """A phrase with its slots filled."""
        plural = kind == "object" and words.is_plural(name)
        return phrase.format_map(
            _Slots(
                x=lambda: self.the(name, kind) if name else "",
                its=lambda: "their" if plural else "its",
                it=lambda: "them" if plural else "it",
                your=lambda: self.person,
                h=lambda: hand,
                s=lambda: self.side(side),
                n=lambda: self.side_noun(side),
                r=lambda: self.relation(side),
                d=lambda: self.heading(side),
                e=lambda: self.side_noun(other),
                o=lambda: self.side(other),
                w=lambda: other,
            )
        )

    # The way

    def verb_phrase(self, w: Waypoint) -> str:
        """How one place is met, as a verb phrase."""
        phrase = self.verb(getattr(self.phrases, w.manner))
        return self.fill(phrase, w.name, w.kind, w.side, w.other_side, w.hand)

    def path(self, w: Waypoint) -> str:
        """The same without a verb."""
        if w.kind == "move":
            return self.heading(w.side)
        manner = {
            "peek": "path_tile", "circle": "path_around", "around": "path_around",
            "turn": "path_around", "hand": "path_past", "back": "path_back",
            "back_over": "path_over",
        }.get(w.manner, f"path_{w.manner}")  # fmt: skip
        path = self.fill(self.pick(getattr(self.phrases, manner)), w.name, w.kind, w.side)
        if w.manner == "hand" and self.chance(0.5) and not self.withheld:
            return f"with {self.the(w.name, w.kind)} on {self.person} {w.hand}"
        return f"back {path}" if w.manner == "back_over" else path

    def verb_phrases(self, way: Sequence[Waypoint]) -> list[str]:
        """Verb phrases in order; neighbours that are met alike may share a verb."""
        done: list[str] = []
        sharing, mixing = self.pick((0.0, 0.4, 0.7)), self.pick((0.0, 0.25, 0.6))
        k = 0
        while k < len(way):
            run = k + 1
            alike = ("over", "past", "tile")
            if way[k].manner in alike and self.chance(sharing):
                while run < min(len(way), k + 3) and way[run].manner == way[k].manner:
                    run += 1
            if run > k + 1:
                names = self.join([self.the(w.name, w.kind) for w in way[k:run]])
                both = run - k == 2 and not self.withheld and self.chance(0.25)
                names = f"both {names}" if both else names
                phrase = self.verb(getattr(self.phrases, way[k].manner))
                done.append(phrase.format(x=names))
            elif len(way) - k > 1 and self.chance(mixing):
                run = min(len(way), k + 2 + int(self.chance(0.4)))
                paths = self.join([self.path(w) for w in way[k:run]])
                done.append(f"{self.verb(self.phrases.one_verb)} {paths}")
            else:
                done.append(self.verb_phrase(way[k]))
            k = run
        return done

    def paths(self, way: Sequence[Waypoint]) -> str:
        """ "past the bed, through the hall and then over the desk" """
        parts = [self.path(w) for w in way]
        if len(parts) > 1 and self.chance(0.25):
            parts[-1] = f"then {parts[-1]}"
            return ", ".join(parts)
        return self.join(parts)

    def names(self, way: Sequence[Waypoint]) -> str:
        """ "the bed, the chair and the hall" """
        named = [self.the(w.name, w.kind) for w in way if w.name]
        again = [
            f"{n} again" if n in named[:k] and not self.withheld else n for k, n in enumerate(named)
        ]
        if self.bare or self.chance(0.3):
            return ", ".join(again)
        return self.join(again)

    def chain(self, phrases: Sequence[str], form: str = "base") -> str:
        """ "vp, vp and vp" """
        parts = [conjugate(p, form) for p in phrases]
        text = parts[0]
        used = False
        for part in parts[1:-1]:
            joint = self.pick(self.phrases.then) if not used and self.chance(0.4) else ""
            used = used or bool(joint)
            text += _joint(joint or ",") + part
        if len(parts) == 1:
            return text
        if not used and self.chance(0.5):
            return text + _joint(self.pick(self.phrases.last)) + parts[-1]
        return text + (", and " if self.oxford and len(parts) > 2 else " and ") + parts[-1]

    # The end

    def at(self, end: Ending, *, tile: bool = True) -> str:
        """Where the drive ends, with a preposition; "there" has been said before."""
        if not end.kind:
            return self.pick(self.phrases.descriptor).replace("D", PLACEHOLDER)
        phrase = self.pick(getattr(self.phrases, end.where))
        place = self.fill(phrase, end.name, end.kind, end.side)
        if tile and end.kind == "object" and end.tile and not end.pronoun and self.chance(0.12):
            return f"{place} in {self.the(end.tile, 'tile')}"
        return place

    def spot(self, end: Ending) -> str:
        """Where the drive ends, as people name a place on its own."""
        if not end.kind:
            return PLACEHOLDER
        x = self.the(end.name, end.kind)
        if end.where in ("on", "beside", "inside", "middle", "just_inside") or not end.side:
            if end.where == "middle":
                return f"{x}, {self.pick(('middle', 'in the middle', 'the middle of it'))}"
            return x
        side = self.side(end.side)
        if end.kind == "object":
            if end.where == "on_part":
                return f"{x}, {side} part" if self.chance(0.5) else f"the {side} part of {x}"
            its = "their" if words.is_plural(end.name) else "its"
            sides = (f"the {side} side of {x}", f"{x}, on {its} {side} side")
            return self.pick((f"{self.relation(end.side)} {x}", *sides))
        noun = "corner" if end.where == "corner" else self.pick(("side", "part", "edge", "end"))
        if self.withheld:
            return f"the {side} {noun} of {x}"
        return self.pick((f"{x}, {side} {noun}", f"the {side} {noun} of {x}", f"{x}, {side}"))


def _joint(said: str) -> str:
    return f"{said} " if said[:1] in (",", ";") else f" {said} "


NameTable = dict[tuple[str, str], tuple[str, ...]]


@lru_cache(maxsize=32)
def name_table(scene: Scene) -> NameTable:
    """The words that the narrator has for places, none of which the scene gives another meaning.

    Returns:
        (object, "train") and (object, "held_out") → its words, the scene's own first; (tile,
        "room") → names of the rooms that cover this tile alone.
    """
    senses = lexicon(scene).senses

    def clear(word: str, name: str, kind: str) -> bool:
        sense = senses.get(tuple(words.spoken(word).lower().replace("-", " ").split()))
        return sense is not None and sense.names == (name,) and sense.kind == kind

    table: NameTable = {}
    for item in scene.objects:
        base = words.spoken(item.name)
        withheld = [
            w for w in words.writable(item.name, "held_out") if clear(w, item.name, "object")
        ]
        usual = (*words.writable(item.name, "train"), *item.aliases)
        usual = [
            w
            for w in dict.fromkeys(usual)
            if clear(w, item.name, "object") and (w == base or w not in withheld)
        ]
        table[item.name, "train"] = tuple(usual) or (base,)
        table[item.name, "held_out"] = tuple(withheld) or (base,)
    for room in scene.rooms:
        tiles = scene.room_tiles(room)
        if len(tiles) == 1:
            said = [room.name, *(a for a in room.aliases if a not in room.name)]
            said = [w for w in said if clear(w, tiles[0], "room")]
            table[tiles[0], "room"] = (*table.get((tiles[0], "room"), ()), *map(words.spoken, said))
    return table
