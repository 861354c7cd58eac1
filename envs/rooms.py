"""The words that people have for a place: rooms, and other names of rooms, objects and tiles.

They are read from a world file and change nothing that is simulated or annotated:

    [[room]]
    name = "kitchen"
    tiles = ["pink"]              # the tiles it covers, or box = [x0, y0, x1, y1] in pixels
    aliases = ["cook's corner"]   # optional

    [[object]]
    aliases = ["icebox"]          # optional, beside name and box

    [tiles.aliases]               # optional: other names of tiles
    pink = ["rosy"]
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from unicodedata import category, normalize

from envs.errors import InputError

Box = tuple[float, float, float, float]
UNSEEN = r"[\u034f\u115f\u1160\u180b-\u180f\u2800\u3164\ufe00-\ufe0f\uffa0\U000e0100-\U000e01ef]"
"""Letters and marks that show nothing, beside those that Unicode files as such."""
LOOK_ALIKE = str.maketrans(
    "авсԁеѕгнһіјкӏмпоԛртѵԝхузαβϲεηικνορτυχγωζı−0łøđħ",
    "abcdesrhhijklmnoqptvwxy3abcenikvoptuxywzi-olodh",
)
"""Small letters of Cyrillic and Greek, and signs, that are drawn like Latin ones."""
DRAWN_AS_1 = str.maketrans("Il|", "111")
PLURALS = {"mice": "mouse", "people": "person", "children": "child", "men": "man", "feet": "foot",
           "women": "woman", "teeth": "tooth", "geese": "goose", "oxen": "ox"}  # fmt: skip


@dataclass(frozen=True)
class Room:
    """A part of the floor as people call it. It covers tiles or a box."""

    name: str
    tiles: tuple[str, ...] = ()
    """Names of the tiles that it covers; none where `box` says where it is."""
    box: Box | None = None
    """x0, y0, x1, y1 in scene units (y up)."""
    aliases: tuple[str, ...] = ()


def parse_aliases(value: Any, where: str) -> tuple[str, ...]:
    """A list of names, each once, or an InputError that names `where`."""
    if not isinstance(value, list):
        raise InputError(f'{where} is {value!r}; expected a list of names, like ["couch"]')
    for alias in value:
        if not isinstance(alias, str) or not visible(alias):
            raise InputError(f"{where}: {alias!r} is no name; expected words")
    aliases = tuple(alias.strip() for alias in value)
    for index, alias in enumerate(aliases):
        if alias.lower() in (other.lower() for other in aliases[:index]):
            raise InputError(f"{where}: {alias!r} is listed twice; drop one")
    return aliases


def parse_tile_aliases(table: Any, tiles: Sequence[str]) -> tuple[tuple[str, tuple[str, ...]], ...]:
    """The section [tiles.aliases]: (tile, its aliases), or an InputError that names the entry."""
    if not isinstance(table, dict):
        raise InputError(f"tiles: aliases is {table!r}; expected a section [tiles.aliases]")
    for tile in table:
        if tile not in tiles:
            raise InputError(f"tiles: aliases: no tile {tile!r}; the tiles are {_listed(tiles)}")
    return tuple((t, parse_aliases(table[t], f"tiles: aliases: {t}")) for t in table)


def parse_room(
    entry: Mapping[str, Any], name: str, box: Box | None, tiles: Sequence[str], where: str
) -> Room:
    """One section [[room]] whose name and box are read already.

    Raises:
        InputError: neither tiles nor box, both, or a tile that is not there.
    """
    if ("tiles" in entry) == ("box" in entry):
        found = "both tiles and box" if "box" in entry else "neither tiles nor box"
        raise InputError(
            f'{where}: {found}; say where it is by one: tiles = ["red"] or box = [x0, y0, x1, y1]'
        )
    covered = parse_aliases(entry["tiles"], f"{where}: tiles") if "tiles" in entry else ()
    if "tiles" in entry and not covered:
        raise InputError(f"{where}: tiles is empty; name the tiles that it covers")
    for tile in covered:
        if tile not in tiles:
            raise InputError(f"{where}: no tile {tile!r}; the tiles are {_listed(tiles)}")
    return Room(name, covered, box, parse_aliases(entry.get("aliases", []), f"{where}: aliases"))


def check_words(names: Iterable[tuple[str, str, tuple[str, ...]]]) -> None:
    """Refuse words that two places share.

    Args:
        names: (kind, name, aliases) of each object, tile and room.

    Raises:
        InputError: names both places and the word.
    """
    owners: dict[str, str] = {}
    for kind, name, aliases in names:
        owner = f"{kind} {name!r}"
        for word in (name, *aliases):
            # A synonym as the name of another object is settled by the reader: names go first.
            for key in dict.fromkeys((_heard(word), _heard(word.translate(DRAWN_AS_1)))):
                other = owners.setdefault(key, owner)
                if other != owner:
                    raise InputError(
                        f"{word!r} names both {other} and {owner}; "
                        "give each a word of its own, or texts could not tell them apart"
                    )
            if word in aliases and _spelt(word) == _spelt(name):
                raise InputError(f"{owner}: the alias {word!r} is its name already; drop it")


def visible(name: str) -> str:
    """A name without characters that nobody sees, and accents joined to their letters."""
    plain = re.sub(UNSEEN, "", normalize("NFC", name))
    return "".join(c for c in plain if category(c) not in ("Cf", "Cc", "Cs", "Co", "Cn")).strip()


def _spelt(name: str) -> str:
    return " ".join(visible(re.sub(r"[_\s]+", " ", name)).casefold().split())


def _heard(name: str) -> str:
    """What is left of a name for a listener, or a hasty reader: no case, blanks, hyphens, article,
    plural, nor accents of Latin letters and what looks like those."""
    plain = re.sub(r"['’]", "", normalize("NFKC", _spelt(name)).translate(LOOK_ALIKE))
    plain = normalize("NFC", re.sub(r"(?<=[a-z])[\u0300-\u036f]+", "", normalize("NFD", plain)))
    plain = " ".join(re.sub(r"[^\w\s]", lambda m: m[0] if m[0] > "\u2100" else " ", plain).split())
    plain = re.sub(r"^((the|an?) )+(?=.)", "", plain) or name
    singular = re.sub(r"(?<=..)(?:(?:(?<=[sxz])|(?<=[cs]h))es|(?<![sui])s)$", "", plain)
    if singular != plain:
        singular = re.sub(r"ie$", "y", re.sub(r"oe$", "o", singular))
    singular = re.sub(r"\w+$", lambda last: PLURALS.get(last[0], last[0]), singular)
    return re.sub(r"(?<=[aeilor])[fv]e?$", "f", singular).replace(" ", "")


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names) if names else "none (there is no section [tiles])"
