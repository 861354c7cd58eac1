"""What people call things: every name is read as itself, or refused before anything is searched."""

from dataclasses import replace

import pytest
from text_factory import APARTMENT, drives

from archive_tools.descriptions.jobs import jobs_of, narrate
from archive_tools.language.checks import check_text
from archive_tools.language.reader import parse
from archive_tools.narrator.alternatives import Alternatives
from archive_tools.stages.s00_search import SearchConfig, run
from envs import InputError
from envs.scene import Scene, parse_scene

assert APARTMENT is not None


def called(objects=(), tiles=(), rooms=False) -> Scene:
    """The apartment with some names changed, without its rooms unless they are asked for."""
    objects, tiles = dict(objects), dict(tiles)
    assert APARTMENT is not None and APARTMENT.tiles is not None
    things = tuple(
        replace(o, name=objects.get(o.name, o.name), aliases=()) for o in APARTMENT.objects
    )
    names = tuple(tuple(tiles.get(n, n) for n in row) for row in APARTMENT.tiles.names)
    return Scene(things, replace(APARTMENT.tiles, names=names, aliases=()),
                 APARTMENT.rooms if rooms else ())  # fmt: skip


ROOMS = ["kitchen", "living room", "study", "hall", "workshop", "store-room", "bath", "office"]
SCENES = {
    "rooms like synonyms": called(tiles=zip(APARTMENT.tile_names, ROOMS, strict=False)),
    "rooms that are one": called(
        tiles={"red": "bathroom", "blue": "restroom", "green": "lounge", "pink": "living room",
               "gray": "WC", "white": "toilet"}
    ),
    "things that are one": called({"sofa": "couch", "bed": "settee", "fan": "ventilator"}),
    "other scripts": called({"sofa": "沙发", "fan": "مروحة", "bed": "אריכה", "desk": "ふとん"}),
    "accents": called({"sofa": "café", "fan": "bistro", "bed": "Küche", "desk": "cafe\u0301 noir"}),
    "pictographs": called({"sofa": "🛋️", "fan": "fan 🪭", "bed": "👨‍💻"}),
    "signs": called({"sofa": 'R&D <lab> "x"', "fan": "c.d/e", "bed": "O'Brien's desk",
                     "desk": "table, large", "chair": "20% off sign"}),
    "numbers": called({"sofa": "1", "fan": "2", "bed": "chair 3", "desk": "room 101"}),
    "words of directions": called({"sofa": "left shelf", "fan": "north door", "bed": "stop sign",
                                   "desk": "fire exit", "chair": "upper bunk"}),
    "long": called({"sofa": "very " * 18 + "long"}),
}  # fmt: skip
SENTENCES = (
    "Go past the {}, then stop at the statue.", "Stop at the {}.", "go to {}",
    "Do not touch the {}; end by the statue.", "THE {}, THEN THE STATUE.",
)  # fmt: skip


@pytest.mark.parametrize("kind", SCENES)
def test_every_name_is_read_as_itself(kind):
    scene = SCENES[kind]
    for name in (*scene.object_names, *scene.tile_names):
        for sentence in SENTENCES if name != "statue" else ():
            places = parse(sentence.replace("{}", name), scene).places
            assert [p.names for p in places if p.names != ("statue",)] == [(name,)], sentence


@pytest.mark.parametrize("kind", SCENES)
def test_every_text_of_the_narrator_passes(kind):
    scene, found = SCENES[kind], drives(SCENES[kind], 60)
    rows = narrate(jobs_of(dict(enumerate(found)), 1), scene, 1, alternatives=Alternatives(found))
    for row in rows:
        assert row["status"] == "accepted", row
        assert check_text(row["text"], found[row["trajectory_id"]], scene) == []


@pytest.mark.parametrize(
    "one, other",
    [
        ("fan", "Fan"), ("fan", "the fan"), ("chair", "chairs"), ("box", "boxes"),
        ("shelf", "shelves"), ("store room", "store-room"), ("storeroom", "store room"),
        ("store_room", "Store room"), ("Ann's desk", "Ann’s desk"), ("fan", "fan\u200b"),
        ("caf\u00e9", "cafe\u0301"), ("fan", "ｆａｎ"), ("sofa  bed", "sofa bed"),
        ("fаn", "fan"), ("ѕоfа", "sofa"), ("Τable", "table"), ("sofа", "sоfa"),
        ("fan\ufe0f", "fan"), ("fan−1", "fan-1"), ("the the fan", "fan"),
        ("lamp", "Iamp"), ("room 1", "room I"), ("ball", "baIl"), ("Oven", "0ven"),
        ("café", "cafe"), ("Küche", "kuche"), ("łamp", "lamp"),
        ("mouse", "mice"), ("person", "people"),
        ("knife", "knives"), ("leaf", "leaves"), ("potato", "potatoes"), ("tooth", "teeth"),
    ],
)  # fmt: skip
def test_names_that_cannot_be_told_apart_are_refused(tmp_path, one, other):
    table = {"object": [{"name": n, "box": [5 * k, 0, 5 * k + 4, 4]}
                        for k, n in enumerate((one, other), 1)]}  # fmt: skip
    with pytest.raises(InputError, match=r"names both object .* and object .* a word of its own"):
        parse_scene(table, width=40, height=40, size=40.0, folder=tmp_path)
    table["object"][1:] = []
    table["tiles"] = {"rows": [[other, "x"]]}
    with pytest.raises(InputError, match=r"of its own|tell them apart"):
        parse_scene(table, width=40, height=40, size=40.0, folder=tmp_path)


@pytest.mark.parametrize(
    "name, words",
    [("", "expected a word"), ("  ", "expected a word"), ("\u200b\u200f", "expected a word"),
     ("\u3164", "expected a word"), ("\u2800 \ufe0f", "expected a word"),
     ("x" * 101, "at most 100"), (7, "expected a word")],
)  # fmt: skip
def test_names_of_nothing_are_refused(tmp_path, name, words):
    with pytest.raises(InputError, match=words):
        parse_scene({"object": [{"name": name, "box": [0, 0, 4, 4]}]},
                    width=40, height=40, size=40.0, folder=tmp_path)  # fmt: skip


@pytest.mark.parametrize("name", ["stop", "The", "left", "end", "cross", "<DESCRIPTOR>"])
def test_a_word_that_commands_are_made_of_is_refused_before_the_search(tmp_path, name):
    (tmp_path / "world.toml").write_text(
        "size = 600\nwidth = 200\nwalls = [[0, 0, 200, 8]]\nlaser = []\n"
        "[robot]\nx = 100\ny = 100\ntheta = 0\nradius = 10\n"
        f'[[object]]\nname = "{name}"\nbox = [50, 50, 90, 90]\n'
    )
    config = SearchConfig(run=tmp_path / "run", world=str(tmp_path / "world.toml"))
    with pytest.raises(InputError, match="commands are made of this word") as caught:
        run(config)
    assert "\n" not in str(caught.value) and not list((tmp_path / "run").glob("*"))
