"""The words of one scene: which places each may mean, in full or with a slip of the keys."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Literal
from unicodedata import normalize

import numpy as np

from archive_tools.language.reading.cues import DIRECTIONS, FILLERS, LEMMAS, ORDINARY
from archive_tools.language.words import (
    COLOUR_SYNONYMS,
    COLOURS,
    KNOWN_THINGS,
    ROOM_SYNONYMS,
    alternatives,
    plural,
    spoken,
)
from envs.errors import InputError
from envs.scene import Scene

Kind = Literal["object", "tile", "room", "foreign thing", "foreign colour"]


LETTER = (
    "[a-z\u00c0-\u1fff\u2070-\u218f\u2200-\u2fff\u3040-\ud7ff\uf900-\uffef\U00010000-\U0010ffff]"
)
"""Regular expression of what words are made of: letters of all languages, pictographs."""
_NAME = re.compile(rf"{LETTER}+(?:'{LETTER}+)*|\d+|[.,;:!?()&]")


def name_words(name: str) -> Iterator[str]:
    """The words of a name in lower case, as `simplify` takes texts apart."""
    for word in _NAME.findall(name):
        base, mark, tail = word.rpartition("'")
        yield base.replace("'", "") if mark else word
        if mark:
            yield mark + tail


COMMANDING = frozenset(
    (
        *("a", "after", "and", "at", "avoid", "before", "begin", "by", "cross", "drive", "east"),
        *("end", "finish", "go", "left", "north", "not", "past", "reach", "right", "south"),
        *("start", "stop", "the", "then", "through", "to", "touch", "turn", "west", "you"),
    )
)
"""Words that commands are made of: as a place's name alone they could not be told from it."""


@dataclass(frozen=True, slots=True)
class Sense:
    """What a name means."""

    names: tuple[str, ...]
    """Objects or tiles of the scene; none for what the scene does not have."""
    kind: Kind


@dataclass
class Lexicon:
    """The names that a text about one scene may use."""

    senses: dict[tuple[str, ...], Sense] = field(default_factory=dict)
    """By the words of the name, in lower case."""
    longest: dict[str, int] = field(default_factory=dict)
    """Per first word, how many words the longest name has."""
    containing: dict[str, tuple[str, ...]] = field(default_factory=dict)
    """The tile on which each object stands."""
    correct: dict[str, str] = field(default_factory=dict)
    """Words read already that are no words of the lexicon, and what they were taken for."""
    single: tuple[str, ...] = ()
    """Words long enough to be recognised with a slip."""

    @property
    def objects(self) -> dict[str, tuple[str, ...]]:
        """Names for objects, as texts write them, and the objects that each may mean."""
        return self._of("object")

    @property
    def tiles(self) -> dict[str, tuple[str, ...]]:
        """Names for tiles, and the tiles that each may mean."""
        return self._of("tile")

    def _of(self, kind: Kind) -> dict[str, tuple[str, ...]]:
        return {
            " ".join(words): sense.names
            for words, sense in self.senses.items()
            if sense.kind == kind
        }

    def add(self, name: str, sense: Sense) -> None:
        """Let a name have a sense, unless it has one already; one of the same rank joins it."""
        plain = spoken(name).lower().replace("\u2019", "'")
        # Accents are typed as letters of their own, too.
        for form in dict.fromkeys((plain, *(normalize(f, plain) for f in ("NFC", "NFD")))):
            words = tuple(name_words(form))
            if words and words not in self.senses:
                self.senses[words] = sense
                self.longest[words[0]] = max(self.longest.get(words[0], 0), len(words))


def _merged(pairs: Iterable[tuple[str, str, Kind]]) -> dict[str, Sense]:
    grouped: dict[str, Sense] = {}
    for word, name, kind in pairs:
        key = word.lower()
        known = grouped.get(key)
        if known is None:
            grouped[key] = Sense((name,), kind)
        elif name not in known.names:
            grouped[key] = Sense((*known.names, name), known.kind)
    return grouped


@lru_cache(maxsize=32)
def lexicon(scene: Scene) -> Lexicon:
    """The names by which a text may mention what is in `scene`, and those of what is not.

    The scene's own names go first, then its aliases, then common synonyms, so that a synonym never
    takes another thing's name.

    Raises:
        InputError: a name is a word that commands are made of.
    """
    words = Lexicon()
    _add_own(words, scene)
    synonyms: list[tuple[str, str, Kind]] = []
    for name in scene.object_names:
        for word in alternatives(name):
            synonyms.append((word, name, "object"))
            synonyms.append((plural(word), name, "object"))
    for name in scene.tile_names:
        if entry := COLOUR_SYNONYMS.get(spoken(name).lower()):
            for word in entry.all:
                synonyms.append((word, name, "tile"))
    for room in scene.rooms:
        sense = Sense(scene.room_tiles(room), "room")
        for group in ROOM_SYNONYMS:
            if spoken(room.name).lower() in group:
                for word in group:
                    words.add(word, sense)
    for word, sense in _merged(synonyms).items():
        words.add(word, sense)
    for thing in KNOWN_THINGS:
        for form in (thing, plural(thing)):
            words.add(form, Sense((), "foreign thing"))
    for group in ROOM_SYNONYMS:
        for word in group:
            words.add(word, Sense((), "foreign thing"))
    for colour in COLOURS:
        words.add(colour, Sense((), "foreign colour"))
    known = {w for name, sense in words.senses.items() if sense.names for w in name}
    words.single = tuple(sorted(w for w in known if len(w) >= 4)) + CUES_WITH_SLIPS
    return words


def _add_own(words: Lexicon, scene: Scene) -> None:
    tile_aliases = dict(scene.tiles.aliases) if scene.tiles else {}
    own: list[tuple[str, tuple[str, ...], Sense]] = []
    for item in scene.objects:
        own.append((item.name, item.aliases, Sense((item.name,), "object")))
        under = int(np.asarray(scene.tile_at(item.centre)))
        words.containing[item.name] = (scene.tile_names[under],) if under >= 0 else ()
    for tile in scene.tile_names:
        own.append((tile, tile_aliases.get(tile, ()), Sense((tile,), "tile")))
    for room in scene.rooms:
        own.append((room.name, room.aliases, Sense(scene.room_tiles(room), "room")))
    for name, _, sense in own:
        if spoken(name).lower() in COMMANDING or "<descriptor>" in name.lower():
            raise InputError(
                f"{sense.kind} {name!r}: commands are made of this word; "
                f"give it another name, like {name + ' sign'!r}"
            )
        words.add(name, sense)
    for name, aliases, sense in own:
        for alias in aliases:
            words.add(alias, sense)
        if sense.kind == "object":
            for word in (name, *aliases):
                words.add(plural(spoken(word)), sense)


CUES_WITH_SLIPS = (
    *("right", "left", "again", "bottom", "corner", "through", "lower", "upper", "middle", "down"),
    *("finish", "before", "after", "without", "across", "around", "straight", "touch", "avoid"),
    *("except", "forbidden", "between", "visit", "cross", "enter", "entering", "passing", "then"),
)


def correct(word: str, words: Lexicon) -> str:
    """A word as it was meant: itself, or the only one of the lexicon that is a slip away.

    Ordinary English words are left alone, and so are words of fewer than four letters.
    """
    known = words.correct.get(word)
    if known is None:
        known = words.correct[word] = _correct(word, words)
    return known


def _correct(word: str, words: Lexicon) -> str:
    if (
        len(word) < 4
        or word in ORDINARY
        or word in LEMMAS
        or word in FILLERS
        or word in DIRECTIONS
        or word in words.single
        or (word,) in words.senses
        or word in words.longest
    ):
        return word
    near = {c for c in words.single if _slip(word, c)}
    alike = {words.senses.get((c,), c) for c in near}  # a name and its plural are one
    return min(near, key=lambda c: (len(c), c)) if len(alike) == 1 else word


def _slip(word: str, other: str) -> bool:
    """Whether `word` is `other` with one letter missing, doubled, wrong, or two turned round.

    Of words with fewer than five letters only two turned round count: too many are a letter apart.
    Eight letters and more may hold two slips.
    """
    if abs(len(word) - len(other)) > 1:
        return False
    if sorted(word) == sorted(other):
        differing = [k for k in range(len(word)) if word[k] != other[k]]
        if len(differing) == 2 and differing[1] - differing[0] == 1:
            return True
    if min(len(word), len(other)) < 5 or word[0] != other[0]:
        return False
    allowed = 2 if len(other) >= 8 else 1
    return _distance(word, other) <= allowed and word + "s" != other and other + "s" != word


def _distance(a: str, b: str) -> int:
    """Levenshtein distance."""
    row = list(range(len(b) + 1))
    for i, x in enumerate(a, 1):
        corner, row[0] = row[0], i
        for j, y in enumerate(b, 1):
            corner, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, corner + (x != y))
    return row[-1]
