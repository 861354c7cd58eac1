"""Worlds: the bundled apartment, files of this project and of libfastsim, and bad input."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import envs
from envs.geometry import compass, scene_to_world, world_to_pixel, world_to_scene
from envs.pbm import read_pbm, write_pbm
from envs.worldfile import WORLDS

REFERENCE = Path(__file__).parents[2] / "shared" / "reference"
APARTMENT = (WORLDS / "apartment.toml").read_text(encoding="utf-8")
SMALL = """
size = 64.0
width = 32
walls = [[0, 0, 32, 2]]
laser = []
[robot]
x = 30
y = 30
theta = 90
radius = 2
"""


def write(folder: Path, text: str, name: str = "small.toml") -> Path:
    (folder / name).write_text(text, encoding="utf-8")
    return folder / name


def test_apartment():
    world = envs.load_world("apartment")
    assert world.occupied.shape == (200, 200) and world.size == 600 and world.steps == 400
    assert world.robot.radius == 10 and world.radius_pixels == 3
    np.testing.assert_allclose(world.laser_angles, np.radians([45, 0, -45]), rtol=1e-6)
    assert world.scene is not None and len(world.scene.objects) == 14
    assert all(item.picture is not None for item in world.scene.objects)
    assert world.goal is not None and world.goal.radius == 42
    assert world.diagonal == pytest.approx(848.528, abs=1e-3)


@pytest.mark.skipif(not REFERENCE.exists(), reason="the reference map is not here")
def test_apartment_has_the_walls_of_the_reference_map():
    occupied = read_pbm(REFERENCE / "apartment.pbm")
    np.testing.assert_array_equal(envs.load_world("apartment").occupied, occupied)


def test_saved_copy_is_equal(tmp_path):
    world = envs.load_world("apartment")
    copy = envs.load_world(envs.save_world(world, tmp_path / "copy"))
    assert copy == world and copy.digest() == world.digest()
    assert sorted(path.name for path in (tmp_path / "copy").glob("*.svg"))[0] == "bathtub.svg"
    again = envs.load_world(envs.save_world(copy, tmp_path / "again"))
    assert (tmp_path / "again" / "world.toml").read_bytes() == (
        tmp_path / "copy" / "world.toml"
    ).read_bytes()
    assert again == world
    assert replace(world, steps=10) != world
    odd = replace(
        world,
        name='a "b"',
        scene=None,
        goal=None,
        robot=replace(world.robot, theta=1.2345678, x=61.3),
        laser_angles=np.array([0.123456, -2.2]),
        laser_ranges=np.array([99.7, 0.1]),
        size=500.5,
    )
    assert envs.load_world(envs.save_world(odd, tmp_path / "odd")) == odd


def test_saved_copy_of_the_small_world(tmp_path):
    world = envs.load_world(write(tmp_path, SMALL))
    assert len(world.laser_angles) == 0 and world.name == "small"
    assert envs.load_world(envs.save_world(world, tmp_path / "copy")) == world


def test_map_header_may_hold_comments_and_the_last_byte_is_free(tmp_path):
    body = bytes([0xFF] * 8)
    for header in (b"P4\n16 4\n", b"P4\n# made by hand\n16 4\n", b"P4 # a\n# b\n 16\n#c\n4\n"):
        (tmp_path / "map.pbm").write_bytes(header + body)
        occupied = read_pbm(tmp_path / "map.pbm")
        assert occupied.shape == (4, 16)
        assert occupied.sum() == 56 and not occupied[3, 8:].any()


BODY = bytes(range(40, 72))  # a map of 16 x 16


@pytest.mark.parametrize(
    "header",
    [
        b"P4\r\n16 16\r\n", b"P4\r16 16\r", b"P4\n16 16\r\n", b"P4 16 16 ", b"P4\n16\n16\n",
        b"P4\n# CREATOR: GIMP\r\n16\t16\r\n", b"P4\r# a\r16 16\r", b"P4\n16  16  \n",
        b"P4\n16 16\t# a comment\n", b"P4\n16 16# a comment\r\n", b"P4#a\n#b\n16#c\n16\n",
    ],
)  # fmt: skip
@pytest.mark.parametrize("body", [BODY, b"\n" + BODY[1:], b"#\r" + BODY[2:]])
@pytest.mark.parametrize("tail", [b"", b"\n", b"\r\n"])
def test_a_maps_header_may_be_written_by_any_tool(tmp_path, header, body, tail):
    if header[-1:] in b"\r " and body[:1] in b"\n#" and tail:
        pytest.skip("pixels that may be the rest of the header, in a file that is too long")
    (tmp_path / "map.pbm").write_bytes(header + body + tail)
    expected = np.unpackbits(np.frombuffer(body[:-1] + b"\0", np.uint8)).reshape(16, 16)
    np.testing.assert_array_equal(read_pbm(tmp_path / "map.pbm"), expected.astype(bool))


def test_line_ends_converted_among_the_pixels_are_told(tmp_path):
    body = (b"\n" + BODY)[:32]
    (tmp_path / "map.pbm").write_bytes((b"P4\n16 16\n" + body).replace(b"\n", b"\r\n"))
    with pytest.raises(envs.InputError, match="line ends were converted among the pixels"):
        read_pbm(tmp_path / "map.pbm")
    (tmp_path / "map.pbm").write_bytes(b"P4\n16 16\n" + BODY + b"abc")
    with pytest.warns(UserWarning, match="3 bytes more than its header asks for"):
        read_pbm(tmp_path / "map.pbm")


@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
def test_files_of_notepad_are_read_and_utf_16_gets_a_line(tmp_path, mark):
    path = tmp_path / "world.toml"
    path.write_bytes(mark + SMALL.replace("\n", "\r\n").encode())
    assert envs.load_world(path).width == 32
    for wide in ("utf-16", "utf-16-be", "latin-1"):
        path.write_bytes(("\ufeff" * (wide == "utf-16-be") + f"# ü\n{SMALL}").encode(wide))
        with pytest.raises(envs.InputError, match=r"world.toml: not a text file in UTF-8"):
            envs.load_world(path)


def test_of_several_goals_the_first_counts_and_a_line_says_so(tmp_path):
    path = fastsim(
        tmp_path, XML.replace("</fastsim>", '<goal x="9" y="9" diameter="3"/></fastsim>')
    )
    with pytest.warns(UserWarning, match="2 elements <goal>; only the first is the goal"):
        world = envs.load_world(path)
    assert world.goal == envs.Goal(300, 40, 15)


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "latin-1"])
def test_settings_in_other_encodings(tmp_path, encoding):
    name = {"latin-1": "ISO-8859-1"}.get(encoding, encoding.partition("-sig")[0])
    xml = XML.replace('version="1.0"', f'version="1.0" encoding="{name}"')
    path = fastsim(tmp_path, "")
    path.write_bytes(xml.replace("<map", "<!-- ü -->\r\n<map").encode(encoding))
    assert envs.load_world(path).size == 400
    path.write_bytes(xml.replace(name, "x-unknown").encode())
    with pytest.raises(envs.InputError, match="not valid XML"):
        envs.load_world(path)


def fastsim(folder: Path, xml: str, occupied: np.ndarray | None = None) -> Path:
    occupied = np.zeros((40, 40), dtype=bool) if occupied is None else occupied
    write_pbm(folder / "maze.pbm", occupied)
    return write(folder, xml, "maze.xml")


XML = """<?xml version="1.0"?>
<fastsim>
  <display enable="true"/>
  <map name="maze.pbm" size="400"/>
  <robot x="100" y="200" theta="-90" diameter="20"/>
  <goal x="300" y="40" diameter="30" color="0"/>
  <laser angle="45" range="100"/>
  <laser angle="-30" range="80"/>
</fastsim>
"""


def test_libfastsim_settings(tmp_path):
    world = envs.load_world(fastsim(tmp_path, XML))
    assert world.name == "maze" and world.size == 400
    assert world.robot.radius == 20, "what is called diameter is the radius"
    assert world.goal == envs.Goal(300, 40, 15)
    assert world.robot.theta == np.float32(-np.pi / 2)
    np.testing.assert_allclose(np.degrees(world.laser_angles), [45, -30], rtol=1e-6)
    assert world.scene is None


def test_angles_are_rounded_as_libfastsim_rounds_them(tmp_path):
    """Degrees are read as a float, halved turns are floats; see its settings' reader."""
    angles = (30, -60, 33.3, 100.1, 45)
    lasers = "".join(f'<laser angle="{angle}" range="9"/>' for angle in angles)
    world = envs.load_world(
        fastsim(tmp_path, XML.replace("</fastsim>", f"{lasers}</fastsim>"), None)
    )
    expected = [np.float32(np.float32(a) / np.float32(180) * np.float64(np.pi)) for a in angles]
    np.testing.assert_array_equal(world.laser_angles[2:], expected)
    # No number of degrees becomes some of the radians that a float32 can hold.
    odd = np.nextafter(np.linspace(-3, 3, 64, dtype=np.float32), np.float32(9))
    several = replace(world, laser_angles=odd, laser_ranges=np.full(64, 9.0))
    copy = envs.save_world(several, tmp_path / "copy")
    assert "radians = " in (copy / "world.toml").read_text()
    np.testing.assert_array_equal(envs.load_world(copy).laser_angles, odd)


def test_map_beside_settings_that_name_it_from_elsewhere(tmp_path):
    path = fastsim(tmp_path, XML.replace("maze.pbm", "worlds/maze.pbm"))
    assert envs.load_world(path).occupied.shape == (40, 40)


def test_scene_beside_libfastsim_settings(tmp_path):
    path = fastsim(tmp_path, XML)
    write(tmp_path, '[[object]]\nname = "lamp"\nbox = [0, 0, 4, 8]\n', "maze.scene.toml")
    scene = envs.load_world(path).scene
    assert scene is not None and scene.objects[0].box == (0, 320, 40, 400)
    write(tmp_path, '[[object]]\nname = "lamp"\nbox = [0, 0, 4, 80]\n', "maze.scene.toml")
    with pytest.raises(envs.InputError, match=r"maze\.scene\.toml: object 1 \('lamp'\): box"):
        envs.load_world(path)


@pytest.mark.parametrize(
    "old, new, words",
    [
        ("<map ", "<mop ", "unknown element <mop>"),
        ('size="400"', "", "'size' is missing"),
        ('size="400"', 'size="-4"', "size is -4"),
        ('x="100"', 'x="far"', "x is 'far'"),
        ('range="80"', 'range="-80"', "laser 2: range is -80"),
        ('range="80"', 'range="inf"', "range is 'inf'"),
        ('angle="-30"', 'angle="-3000"', "laser 2: angle is -3000"),
        ("maze.pbm", "gone.pbm", "gone.pbm: no such map"),
        ("</fastsim>", "", "not valid XML"),
        ('diameter="20"', 'diameter="0"', "radius is 0"),
        ('x="100"', 'x="1000"', "outside the world"),
    ],
)
def test_bad_settings_are_named(tmp_path, old, new, words):
    path = fastsim(tmp_path, XML.replace(old, new))
    with pytest.raises(envs.InputError, match=words) as error:
        envs.load_world(path)
    assert str(tmp_path) in str(error.value) and "\n" not in str(error.value)


def test_parts_that_are_not_simulated_are_announced(tmp_path):
    path = fastsim(tmp_path, XML.replace("</fastsim>", '<radar slices="4"/></fastsim>'))
    with pytest.warns(UserWarning, match="<radar> is not simulated"):
        envs.load_world(path)


@pytest.mark.parametrize(
    "data, words",
    [
        (b"P1\n8 8\n" + b"0 " * 64, "begins with 'P1', expected 'P4'"),
        (b"<html>", "not a binary PBM map"),
        (b"", "an empty file"),
        (b"P4\n16\n", "no width and height"),
        (b"P4\n20 20\n" + b"\0" * 60, "20 x 20 pixels.*multiple of 8"),
        (b"P4\n16 16\n" + b"\0" * 31, "truncated map: 31 bytes of pixels, expected 32"),
        (b"P4\n16 8\n" + b"\0" * 16, "16 x 8 pixels; expected a square"),
    ],
)
def test_bad_maps_are_named(tmp_path, data, words):
    (tmp_path / "map.pbm").write_bytes(data)
    text = SMALL.replace("width = 32\nwalls = [[0, 0, 32, 2]]", 'map = "map.pbm"')
    with pytest.raises(envs.InputError, match=words) as error:
        envs.load_world(write(tmp_path, text))
    assert str(tmp_path) in str(error.value) and "\n" not in str(error.value)


@pytest.mark.parametrize(
    "old, new, words",
    [
        ("size = 64.0", "size = ", r"not valid TOML.*line 2"),
        ("size = 64.0", "size = -1", "size is -1"),
        ("size = 64.0", 'size = "big"', "size is 'big'"),
        ("size = 64.0", "size = 64\ncolour = 1", "unknown key 'colour'"),
        ("size = 64.0", "size = 64\nsteps = 0", "steps is 0"),
        ("width = 32", "width = 36", "36 pixels wide; expected a multiple of 8"),
        ("width = 32", "width = 32\nheight = 40", "expected a square"),
        ("walls = [[0, 0, 32, 2]]", "", "either walls"),
        ("[0, 0, 32, 2]", "[0, 0, 33, 2]", r"wall 1 is \[0, 0, 33, 2\]: outside the map"),
        ("[0, 0, 32, 2]", "[8, 0, 2, 2]", "wall 1.*inverted"),
        ("x = 30", "", "robot: 'x' is missing"),
        ("x = 30", "x = nan", "robot: x is nan"),
        ("y = 30", "y = 1", "inside a wall"),
        ("32, 2]]", "32, 14], [0, 16, 32, 32]]", "leaves no room for a robot of radius 2"),
        ("radius = 2", "radius = -2", "radius is -2"),
        ("laser = []", "laser = [{angle = 0, range = 0}]", "laser 1: range is 0"),
        ("laser = []", "laser = [{angle = 0, range = 1e9}]", "laser 1: range is 1e"),
        ("laser = []", "laser = [{angle = 400, range = 9}]", "laser 1: angle is 400"),
        ("laser = []", "laser = [{angle = 0}]", "laser 1: 'range' is missing"),
        ("laser = []", "laser = 3", "double brackets"),
    ],
)
def test_bad_worlds_are_named(tmp_path, old, new, words):
    assert old in SMALL
    with pytest.raises(envs.InputError, match=words) as error:
        envs.load_world(write(tmp_path, SMALL.replace(old, new, 1)))
    assert str(error.value).startswith(str(tmp_path)) and "\n" not in str(error.value)


@pytest.mark.parametrize("name", ["flat", "gone/world.toml", "."])
def test_unknown_worlds_are_named(name):
    with pytest.raises(envs.InputError, match=r"apartment|no world\.toml"):
        envs.load_world(name)


def test_reachable_follows_the_doors():
    world = envs.load_world("apartment")
    reachable = world.reachable()
    assert reachable.dtype == bool and reachable.shape == (200, 200)
    assert reachable[150, 20] and reachable[20, 20] and reachable[180, 180]
    assert not reachable[150, 9], "the robot's disc would touch the wall"
    assert not (reachable & world.occupied).any()
    occupied = np.array(world.occupied)
    occupied[150:176, 64:69] = occupied[131:136, 24:52] = True
    shut = replace(world, occupied=occupied).reachable()
    assert shut[150, 20] and not shut[20, 20]


def test_reachable_without_outer_walls():
    """A map cut in two is still one floor for a robot that can leave it."""
    occupied = np.zeros((32, 32), dtype=bool)
    occupied[:, 14:17] = True
    robot = envs.Robot(5, 16, 0, 2)
    world = envs.World("cut", 32, occupied, robot, np.zeros(0), np.zeros(0))
    assert world.reachable()[16, 25]
    occupied[[0, -1]] = occupied[:, [0, -1]] = True
    closed = replace(world, occupied=occupied).reachable()
    assert closed[16, 5] and not closed[16, 25]


def test_drives_stay_on_reachable_pixels():
    world = envs.load_world("apartment")
    actions = np.random.default_rng(0).uniform(-2, 6, (64, 400, 2))
    column, row = world_to_pixel(envs.simulate(world, actions).pose[..., :2], world.scale).T
    assert world.reachable()[row, column].all()


def test_frames():
    np.testing.assert_array_equal(world_to_scene([[10.0, 20.0]], 100), [[10, 80]])
    points = np.random.default_rng(0).random((5, 3, 2))
    np.testing.assert_allclose(scene_to_world(world_to_scene(points, 7.0), 7.0), points)
    np.testing.assert_array_equal(world_to_pixel([0.5, -0.5], 1.0), [1, -1])
    assert world_to_pixel([0.49999997, 2.5], 1.0).tolist() == [0, 3]
    names = [compass(dx, dy) for dx, dy in ((0, 1), (1, 1), (1, 0), (1, -1), (0, -1), (-1, -1))]
    assert names == ["north", "north-east", "east", "south-east", "south", "south-west"]
    assert compass(-1, 0) == "west" and compass(-1, 1) == "north-west"
