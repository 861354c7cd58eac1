"""Scenes: boxes and tiles in scene units, and bad scene files."""

from pathlib import Path

import numpy as np
import pytest

import envs

HEAD = """
size = 400.0
width = 200
walls = []
laser = []
[robot]
x = 200
y = 200
theta = 0
radius = 4
"""
SCENE = """
[tiles]
rows = [["red", "green"], ["blue", "red"]]
inset = 20
[[object]]
name = "sofa"
box = [10, 20, 30, 60]
"""


def load(folder: Path, scene: str) -> envs.Scene | None:
    (folder / "world.toml").write_text(HEAD + scene, encoding="utf-8")
    return envs.load_world(folder / "world.toml").scene


def test_boxes_are_in_scene_units_with_y_up(tmp_path):
    scene = load(tmp_path, SCENE)
    assert scene is not None
    assert scene.objects[0].box == (20, 280, 60, 360)
    assert scene.objects[0].centre == (40, 320)
    assert scene.object_names == ("sofa",) and scene.boxes.shape == (1, 4)
    assert load(tmp_path, "") is None


def test_tiles(tmp_path):
    scene = load(tmp_path, SCENE)
    assert scene is not None and scene.tiles is not None
    assert scene.tile_names == ("red", "green", "blue")
    assert scene.tiles.bounds == (40, 40, 360, 360)
    assert scene.tiles.box(0, 1) == (200, 200, 360, 360)
    points = [[[50, 350], [350, 350]], [[50, 50], [350, 50]], [[0, 0], [200, 399]]]
    assert scene.tile_at(points).tolist() == [[0, 1], [2, 0], [-1, -1]]
    apartment = envs.load_world("apartment").scene
    assert apartment is not None
    names = [
        apartment.tile_names[i] for i in apartment.tile_at([[60, 150], [300, 300], [570, 570]])
    ]
    assert names == ["pink", "orange", "blue"]


def test_without_tiles_no_point_is_on_one(tmp_path):
    scene = load(tmp_path, SCENE[SCENE.index("[[object]]") :])
    assert scene is not None and scene.tiles is None and scene.tile_names == ()
    assert scene.tile_at(np.zeros((4, 2))).tolist() == [-1] * 4


@pytest.mark.parametrize(
    "old, new, words",
    [
        ("[10, 20, 30, 60]", "[10, 20, 300, 60]", r"object 1 \('sofa'\): box .*outside the map"),
        ("[10, 20, 30, 60]", "[30, 20, 10, 60]", "inverted"),
        ("[10, 20, 30, 60]", "[10, 20, 30]", "expected a list of 4 numbers"),
        ("[10, 20, 30, 60]", '[10, 20, 30, "x"]', "expected a number"),
        ("box =", "bax =", "unknown key 'bax'; known are aliases, box, name, picture"),
        ('name = "sofa"\n', "", "object 1: 'name' is missing"),
        ('"sofa"', '"  "', "expected a word"),
        ('"sofa"', '"red"', "'red' has the name of a tile"),
        ("box =", 'picture = "sofa.png"\nbox =', r"picture: no file 'sofa.png'"),
        ("[[object]]", "[object]", "double brackets"),
        ('["blue", "red"]', '["blue"]', "rows of equal length"),
        ("inset = 20", "inset = 120", "inset is 120"),
        ("inset = 20", "insert = 20", "unknown key 'insert'"),
        ("inset = 20", "inset = 20\nbounds = [0, 0, 9, 9]", "either inset or bounds"),
    ],
)
def test_bad_scenes_are_named(tmp_path, old, new, words):
    assert old in SCENE
    with pytest.raises(envs.InputError, match=words) as error:
        load(tmp_path, SCENE.replace(old, new))
    assert str(error.value).startswith(str(tmp_path / "world.toml"))
    assert "\n" not in str(error.value)


def test_a_name_is_used_once(tmp_path):
    with pytest.raises(envs.InputError, match="'sofa' is defined twice"):
        load(tmp_path, SCENE + SCENE[SCENE.index("[[object]]") :])


def test_a_picture_beside_the_world_comes_first(tmp_path):
    (tmp_path / "bed.svg").write_text('<svg viewBox="0 0 2 1"/>', encoding="utf-8")
    scene = load(tmp_path, SCENE + 'picture = "bed.svg"\n')
    assert scene is not None and scene.objects[0].picture == tmp_path / "bed.svg"


ROOMS = (
    SCENE
    + """
aliases = ["couch", "settee"]
[tiles.aliases]
red = ["crimson"]
[[room]]
name = "lounge"
tiles = ["red"]
aliases = ["parlour"]
[[room]]
name = "corner"
box = [110, 20, 180, 100]
"""
)


def test_rooms_and_aliases_load_and_come_back(tmp_path):
    scene = load(tmp_path, ROOMS)
    assert scene is not None and scene.tiles is not None
    assert scene.objects[0].aliases == ("couch", "settee")
    assert scene.tiles.aliases == (("red", ("crimson",)),)
    assert [room.name for room in scene.rooms] == ["lounge", "corner"]
    assert scene.room_tiles(scene.rooms[0]) == ("red",)
    assert scene.room_tiles(scene.rooms[1]) == ("green",)
    world = envs.load_world(tmp_path / "world.toml")
    again = envs.load_world(envs.save_world(world, tmp_path / "copy"))
    assert again.scene == scene and again == world


def test_words_do_not_change_the_world(tmp_path):
    load(tmp_path, SCENE)
    bare = envs.load_world(tmp_path / "world.toml")
    load(tmp_path, ROOMS)
    told = envs.load_world(tmp_path / "world.toml")
    assert told == bare and told.scene != bare.scene


@pytest.mark.parametrize(
    ("old", "new", "part"),
    [
        ('tiles = ["red"]', 'tiles = ["pink"]', "room 1 ('lounge'): no tile 'pink'"),
        ('tiles = ["red"]', "", "neither tiles nor box"),
        ('tiles = ["red"]', 'tiles = ["red"]\nbox = [0, 0, 9, 9]', "both tiles and box"),
        ('tiles = ["red"]', "tiles = []", "tiles is empty"),
        ('name = "corner"', 'name = "lounge"', "room 'lounge' is defined twice"),
        ('name = "corner"', 'name = " "', "expected a word"),
        ('["parlour"]', '["couch"]', "names both object 'sofa' and room 'lounge'"),
        ('["parlour"]', '[""]', "is no name"),
        ('["parlour"]', '["den", "Den"]', "listed twice"),
        ('["parlour"]', '"parlour"', "expected a list of names"),
        ('red = ["crimson"]', 'pink = ["rosy"]', "no tile 'pink'"),
        ('["couch", "settee"]', '["sofa"]', "is its name already"),
    ],
)
def test_bad_words_are_named(tmp_path, old, new, part):
    with pytest.raises(envs.InputError) as error:
        load(tmp_path, ROOMS.replace(old, new))
    assert part in str(error.value) and "\n" not in str(error.value)
