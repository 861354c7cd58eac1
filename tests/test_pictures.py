"""Pictures of strangers: every unit, nothing that runs, nothing from elsewhere, refused at once."""

import base64
import gzip
import io
import os
import re
import time
from dataclasses import replace
from xml.etree import ElementTree

import numpy as np
import pytest
from matplotlib import image
from payloads import PAYLOADS, picture

import envs
from envs.drawing import draw_scene, svg_to_png
from envs.pictures.svg import ATTRIBUTES, ELEMENTS, read_picture
from envs.scene import Scene, SceneObject

BOX = (200, 200, 320, 320)
STYLED = (
    '<defs><linearGradient id="g"><stop stop-color="#820"/></linearGradient></defs>'
    '<rect width="100%" height="100%" style="fill:url(#g);stroke:#410"/>'
)
PLAIN = '<rect width="100%" height="100%" fill="#820"/>'
WORLD = """size = 600
width = 200
walls = [[0, 0, 200, 8]]
laser = []
[robot]
x = 100
y = 100
theta = 0
radius = 10
[[object]]
name = "crate"
box = [50, 50, 90, 90]
picture = %r
"""


def drawn(folder, svg: str | bytes, name: str = "crate.svg"):
    """RGB of the scene where the object stands."""
    path = folder / name
    path.write_bytes(svg if isinstance(svg, bytes) else svg.encode())
    world = replace(envs.load_world("apartment"), scene=Scene((SceneObject("crate", BOX, path),)))
    png = image.imread(io.BytesIO(svg_to_png(draw_scene(world, labels=False), scale=1.0)))
    inset = (png.shape[0] - 600) // 2
    x0, y0, x1, y1 = BOX
    return png[inset + 600 - y1 + 6 : inset + 600 - y0 - 6, inset + x0 + 6 : inset + x1 - 6, :3]


SIZES = [
    *[f'width="{w}" height="{w}"' for w in (
        "30mm", "3cm", "1in", "80pt", "7pc", "90px", "90", "120Q", "6em", "12ex", "6rem",
        "30MM", "1IN", "90Px", "10,5mm", "30 mm", "3.5e1", " 30mm ", "+30mm", ".5in",
    )],
    *[f'width="{w}" height="{w}" viewBox="0 0 30 30"' for w in ("30mm", "100%", "auto", "")],
    'viewBox="0 0 30 30"', 'viewBox="0,0,30,30"', 'viewBox=" 0 0  30, 30 "',
    'viewBox="-5 -5 30 30"', 'viewBox="0 0 30,5 30,5"', 'viewBox="0 0 3e1 3e1"',
]  # fmt: skip


@pytest.mark.parametrize("inside", [PLAIN, STYLED], ids=["plain", "styled"])
@pytest.mark.parametrize("size", SIZES)
def test_a_picture_shows_in_pngs_in_every_unit(tmp_path, size, inside):
    moved = inside.replace("<rect", '<rect x="-5" y="-5"') if "-5" in size else inside
    svg = f'<svg xmlns="http://www.w3.org/2000/svg" {size}>{moved}</svg>'
    red = np.array([0x88, 0x22, 0x00]) / 255
    covered = np.abs(drawn(tmp_path, svg) - red).max(axis=2) < 0.1
    assert covered.mean() > 0.97


@pytest.mark.parametrize("side", ["30mm", "3CM", "1,5in", "90pt", "120px", "120", "8PC"])
def test_lengths_inside_a_picture_have_units_too(tmp_path, side):
    """A shape in pixels and one in the unit, as long."""
    pixels = {"30mm": 113.386, "3CM": 113.386, "1,5in": 144, "8PC": 128}.get(side, 120)
    svg = '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 200 200">' + "{}" + "</svg>"
    shape = '<rect id="a" style="fill:#00f" width="{0}" height="{0}"/>'
    ours = drawn(tmp_path, svg.format(shape.format(side)), "a.svg")
    theirs = drawn(tmp_path, svg.format(shape.format(pixels)), "b.svg")
    np.testing.assert_allclose(ours, theirs, atol=0.02)
    assert ours[5, 5, 2] > 0.9 > ours[5, 5, 0]


@pytest.mark.parametrize("packed", [False, True])
def test_pictures_of_editors_are_read(tmp_path, packed):
    """As Inkscape and Illustrator write them: a declaration, entities, namespaces, packed."""
    svg = (
        '<?xml version="1.0" encoding="UTF-16"?><!DOCTYPE svg PUBLIC "-//W3C//DTD SVG 1.1//EN" '
        '"http://www.w3.org/Graphics/SVG/1.1/DTD/svg11.dtd" [<!ENTITY ns "http://a/">]>'
        '<svg xmlns="http://www.w3.org/2000/svg" xmlns:inkscape="&ns;" width="3cm" height="3cm" '
        'id="svg1"><sodipodi:namedview xmlns:sodipodi="s"/><metadata><a/></metadata>'
        '<g inkscape:label="1" id="layer1"><title>a box</title>'
        '<a href="http://x"><rect id="r" width="100%" height="100%" fill="#820"/></a></g></svg>'
    ).encode("utf-16")
    found = drawn(tmp_path, gzip.compress(svg) if packed else svg)
    assert np.abs(found - np.array([0x88, 0x22, 0]) / 255).max() < 0.1
    # Without what no one sees and ids that nothing refers to, it is plain shapes.
    assert "<image" not in read_picture(tmp_path / "crate.svg").markup


def inner(markup: str) -> str:
    """The markup of a picture, also where it is an image of its own."""
    data = re.search(r"data:image/svg\+xml;base64,([^\"]*)", markup)
    return base64.b64decode(data[1]).decode() if data else markup


@pytest.mark.parametrize("payload", PAYLOADS)
def test_only_what_draws_is_kept(tmp_path, payload):
    path = tmp_path / "a.svg"
    path.write_text(PAYLOADS[payload], encoding="utf-8")
    try:
        markup = read_picture(path).markup
    except envs.InputError as error:
        assert "not readable as SVG" in str(error) and "\n" not in str(error)
        return
    kept = ElementTree.fromstring(inner(markup))
    for element in kept.iter():
        assert element.tag.rpartition("}")[2] in ELEMENTS
        assert set(element.attrib) <= ATTRIBUTES
        for value in (*element.attrib.values(), element.text or ""):
            assert not re.search(r"a\.invalid|script:|data:text|file:|import|\\", value)
    assert any(element.get("fill") == "#c00" for element in kept.iter())


REFUSED = {
    "PNG": (b"\x89PNG\r\n\x1a\n", "it is a PNG; expected an SVG picture"),
    "JPEG": (b"\xff\xd8\xff\xe0", "it is a JPEG"),
    "GIF": (b"GIF89a", "it is a GIF"),
    "PDF": (b"%PDF-1.4", "it is a PDF"),
    "HTML": (b"<html><body/></html>", "its root is <html>"),
    "half": (b"<svg viewBox='0 0 1 1'>", "not readable as SVG"),
    "nothing": (b"", "not readable as SVG"),
    "no size": (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "no size"),
    "in per cent only": (b"<svg width='100%' height='100%'/>", "found width='100%', height='100%'"),
    "of the window": (b"<svg width='10vw' height='1e1vh'/>", "found width='10vw'"),
    "reckoned": (b"<svg width='calc(1px + 1mm)' height='9'/>", "found width='calc"),
    "next to nothing": (b"<svg viewBox='0 0 1e-300 5'/>", "expected lengths above 0"),
    "of another language": (b"<svg xmlns='http://a.example/' width='9' height='9'/>", "a.example"),
    "of no width": (b"<svg viewBox='0 0 0 5'/>", "expected lengths above 0"),
    "of endless width": (b"<svg viewBox='0 0 inf 5'/>", "expected lengths above 0"),
    "words for numbers": (b"<svg viewBox='a b c d'/>", "viewBox is 'a b c d'"),
    "billion laughs": (
        b"<!DOCTYPE svg [<!ENTITY a 'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa'>"
        + b"".join(b"<!ENTITY a%d '%s'>" % (i, b"&a%s;" % (b"%d" % (i - 1) if i else b"") * 20)
                   for i in range(8)) + b"]><svg viewBox='0 0 1 1'>&a7;</svg>",
        "not readable as SVG",
    ),
    "uses of uses": (
        picture("".join(f'<g id="a{i}">' + f'<use href="#a{i - 1}"/>' * 10 + "</g>"
                        for i in range(20))).encode(),
        "draws more than",
    ),
    "a use of itself": (picture('<g id="a"><use href="#a"/></g>').encode(), "refers to itself"),
    "a deep one": (picture("<g>" * 5000 + "</g>" * 5000).encode(), "nested deeper"),
    "an encoding of no one": (b"<?xml version='1.0' encoding='x'?><svg/>", "not readable as SVG"),
}  # fmt: skip


@pytest.mark.parametrize("kind", REFUSED)
def test_what_is_no_picture_is_refused_when_the_world_is_read(tmp_path, kind):
    data, words = REFUSED[kind]
    (tmp_path / "a.svg").write_bytes(data)
    (tmp_path / "world.toml").write_text(WORLD % "a.svg")
    begin = time.monotonic()
    with pytest.raises(envs.InputError) as caught:
        envs.load_world(tmp_path / "world.toml")
    text = str(caught.value)
    assert words in text and "object 1 ('crate'): picture" in text and "a.svg" in text
    assert "\n" not in text and len(text) < 500 and time.monotonic() - begin < 5


@pytest.mark.parametrize(
    "name", ["../secret.svg", "/etc/passwd", "sub/../../secret.svg", "link.svg", "sofa/../../x.svg"]
)
def test_a_picture_stays_in_the_scenes_folder(tmp_path, name):
    folder = tmp_path / "scene"
    folder.mkdir()
    (tmp_path / "secret.svg").write_text(picture(""))
    (folder / "link.svg").symlink_to(tmp_path / "secret.svg")
    (folder / "world.toml").write_text(WORLD % name)
    with pytest.raises(envs.InputError, match="outside the scene's folder") as caught:
        envs.load_world(folder / "world.toml")
    assert "\n" not in str(caught.value)


def test_pictures_in_a_folder_below_and_names_with_slashes_are_kept_apart(tmp_path):
    """The copy in a run writes nothing beside its folder, whatever objects are called."""
    scene = tmp_path / "scene"
    for part in ("a", "b"):
        (scene / part).mkdir(parents=True)
        (scene / part / "map.pbm").write_text(picture(f"<path d='M0 0h{len(part)}'/>"))
    text = WORLD % "a/map.pbm" + '[[object]]\nname = "../../x"\nbox = [5, 50, 45, 90]\n'
    (scene / "world.toml").write_text(text + 'picture = "b/map.pbm"\n')
    world = envs.load_world(scene / "world.toml")
    (tmp_path / "run").mkdir()
    envs.save_world(world, tmp_path / "run" / "copy")
    assert envs.load_world(tmp_path / "run" / "copy") == world
    assert {p.name for p in tmp_path.iterdir()} == {"scene", "run"}
    assert len(list((tmp_path / "run").iterdir())) == 1


@pytest.mark.parametrize(
    "inside",
    [
        f'<rect width="{"1" * 400_000}x!"/>',
        f'<rect fill="{"a" * 400_000}"/>',
        f'<rect fill="a{" " * 400_000}b()"/>',
        f"<style>{'a ' * 200_000}</style>",
        f"<style>{'/*' * 200_000}</style>",
        f"<style>{'@a' * 200_000}</style>",
    ],
    ids=["length", "word", "blanks", "selector", "comments", "rules"],
)
def test_a_long_text_takes_no_longer_than_its_length_asks(tmp_path, inside):
    path, start = tmp_path / "a.svg", time.process_time()
    path.write_text(picture(inside), encoding="utf-8")
    read_picture(path)
    assert time.process_time() - start < 5


def test_a_pipe_is_no_picture(tmp_path):
    os.mkfifo(tmp_path / "a.svg")
    with pytest.raises(envs.InputError, match=r"a\.svg: is a device or pipe; expected a file"):
        read_picture(tmp_path / "a.svg")


@pytest.mark.parametrize("name", ["circle.svg", r"a\u0000b"])
def test_a_path_that_leads_nowhere_is_told_in_a_line(tmp_path, name):
    (tmp_path / "circle.svg").symlink_to(tmp_path / "circle.svg")
    (tmp_path / "world.toml").write_text(WORLD.replace("%r", f'"{name}"'))
    with pytest.raises(envs.InputError, match=r"picture is .*: no path of a file"):
        envs.load_world(str(tmp_path / "world.toml"))
