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
        ("box =", "bax =", "unknown key 'bax'; known are box, name, picture"),
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
    (tmp_path / "bed.svg").write_text("<svg/>", encoding="utf-8")
    scene = load(tmp_path, SCENE + 'picture = "bed.svg"\n')
    assert scene is not None and scene.objects[0].picture == tmp_path / "bed.svg"
