"""Pictures: well-formed, small, the same each time, and with names that can be read."""

import struct
import subprocess
import sys
from dataclasses import replace
from io import BytesIO
from itertools import combinations
from xml.etree import ElementTree

import numpy as np
import pytest
from matplotlib.image import imread

from envs.drawing import Route, draw_cells, draw_scene, draw_scenes, scene_symbols, svg_to_png
from envs.drawing.floorplan import drawn_walls, wall_path
from envs.drawing.labels import place_labels
from envs.drawing.strokes import simplify
from envs.drawing.svg import text_width, wrap_text
from envs.errors import InputError
from envs.scene import PICTURES, Scene, SceneObject
from envs.worldfile import load_world

SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture(scope="module")
def apartment():
    return load_world("apartment")


def wandering(seed: int, steps: int = 400) -> np.ndarray:
    """A smooth path [steps + 1, 3] that turns a lot and stays on the map."""
    rng = np.random.default_rng(seed)
    theta = np.cumsum(rng.normal(0, 0.12, steps + 1))
    step = np.stack([np.cos(theta), np.sin(theta)], axis=1) * 3.5
    xy = np.clip(np.cumsum(step, axis=0) + np.array([60, 450]), 40, 560)
    return np.column_stack([xy, theta])


def texts(svg: str) -> str:
    return " ".join(t for e in ElementTree.fromstring(svg).iter(f"{SVG}text") for t in e.itertext())


def test_scene_is_complete_and_the_same_each_time(apartment):
    routes = [Route(wandering(0), "driven", target=(300, 300)), Route(wandering(1), "asked",
                                                                     style="dashed")]  # fmt: skip
    svg = draw_scene(apartment, routes, title="A title", caption="Go to the sofa.")
    words = texts(svg).split()
    for name in (*apartment.scene.object_names, *apartment.scene.tile_names):
        assert name in words
    for word in ("title", "sofa.", "driven", "asked", "start", "target"):
        assert word in words
    assert svg == draw_scene(load_world("apartment"), routes, title="A title",
                             caption="Go to the sofa.")  # fmt: skip


def test_png_has_the_size_asked_for(apartment, tmp_path):
    svg = draw_scene(apartment, [Route(wandering(0))], width=300, caption="word " * 40)
    root = ElementTree.fromstring(svg)
    png = svg_to_png(svg, tmp_path / "scene.png", scale=1.5)
    assert (tmp_path / "scene.png").read_bytes() == png
    width, height = struct.unpack(">II", png[16:24])
    assert width == pytest.approx(float(root.get("width", 0)) * 1.5, abs=1)
    assert height == pytest.approx(float(root.get("height", 0)) * 1.5, abs=1)


def test_every_bundled_picture_fits_its_object_and_is_inlined(apartment):
    pictures = {item.picture for item in apartment.scene.objects}
    assert pictures == set(PICTURES.glob("*.svg"))
    svg = draw_scene(apartment)
    assert "<image" not in svg and 'id="' not in svg and "scale(1" not in svg


@pytest.mark.parametrize("width", [300, 600, 900])
@pytest.mark.parametrize("seed", range(4))
def test_names_cover_neither_walls_nor_each_other(apartment, width, seed):
    font = {300: 17.0, 600: 11.0, 900: 8.7}[width]
    objects, tiles = place_labels(apartment, font, [wandering(seed)[:, :2]])
    assert len(objects) == 14 and len(tiles) == 9
    for a, b in combinations([label.rect for label in objects + tiles], 2):
        across, down = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
        assert across <= 1e-6 or down <= 1e-6
    for label in objects + tiles:
        x0, y0, x1, y1 = (round(edge / 3) for edge in label.rect)
        assert not apartment.occupied[y0:y1, x0:x1].any()


def test_names_and_words_are_escaped(apartment):
    nasty = 'a<b> & "c"'
    scene = Scene((SceneObject(nasty, (100, 100, 300, 200)),))
    world = replace(apartment, scene=scene)
    svg = draw_scene(world, [Route(wandering(0), nasty)], title=nasty, caption=nasty + "\x00\x1b")
    assert texts(svg).count(nasty) == 4
    assert ElementTree.fromstring(svg).get("aria-label") == nasty


def test_a_world_without_scene_or_goal_draws(apartment):
    world = replace(apartment, scene=None, goal=None)
    svg = draw_scene(world, [Route(wandering(0)[:, :2])])
    assert texts(svg) == ""
    assert svg_to_png(svg, scale=0.5).startswith(b"\x89PNG")
    assert svg_to_png(draw_cells(world, np.eye(8), label="steps"), scale=0.5)


def test_pictures_of_others_keep_to_themselves(apartment, tmp_path):
    picture = tmp_path / "lamp.svg"
    picture.write_text(
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 10 20"><style>text{fill:red}</style>'
        '<circle id="a" cx="5" cy="5" r="5" fill="#ff0000"/></svg>'
    )
    scene = Scene((SceneObject("lamp", (200, 200, 320, 260), picture),))
    world = replace(apartment, scene=scene)
    svg = draw_scene(world, labels=False)
    assert "<style" not in svg and 'id="a"' not in svg and "data:image/svg+xml" in svg
    assert "rotate(" in svg  # a tall picture in a wide box is turned
    assert svg_to_png(svg) != svg_to_png(draw_scene(replace(world, scene=None)))


def test_a_broken_picture_is_named(apartment, tmp_path):
    picture = tmp_path / "lamp.svg"
    picture.write_text("<svg")
    scene = Scene((SceneObject("lamp", (200, 200, 320, 260), picture),))
    with pytest.raises(InputError, match=r"lamp\.svg: not readable as SVG"):
        draw_scene(replace(apartment, scene=scene))


def test_paths_cost_less_than_3_kb(apartment):
    empty = len(draw_scene(apartment, labels=False, background="use"))
    for seed in range(8):
        route = Route(wandering(seed), colour="time")
        full = draw_scene(apartment, [route], labels=False, background="use")
        assert len(full) - empty < 3000


def test_simplified_paths_stay_within_tolerance():
    xy = wandering(3)[:, :2]
    short = simplify(xy, 0.3)
    assert len(short) < len(xy) / 2
    start, line = short[:-1], np.diff(short, axis=0)
    offset = xy[:, None] - start[None]
    along = np.clip((offset * line).sum(-1) / (line**2).sum(-1), 0, 1)
    assert np.hypot(*(offset - along[..., None] * line).T).min(axis=0).max() <= 0.3 + 1e-9


@pytest.mark.parametrize("steps", [0, 1, 2])
def test_robots_that_hardly_move_draw(apartment, steps):
    still = np.tile([60.0, 450.0, 0.0], (steps + 1, 1))
    for style in ("solid", "dashed"):
        ElementTree.fromstring(draw_scene(apartment, [Route(still, style=style)]))


def test_page_with_symbols_refers_to_them(apartment):
    symbols = scene_symbols(apartment)
    name = next(ElementTree.fromstring(symbols).iter(f"{SVG}symbol")).get("id")
    svg = draw_scene(apartment, [Route(wandering(0))], background="use")
    assert f'<use href="#{name}"' in svg and len(svg) < 6000


def test_scenes_side_by_side(apartment):
    panels = [([Route(wandering(seed), "driven")], f"sentence {seed}") for seed in range(5)]
    svg = draw_scenes(apartment, panels, columns=3, width=900, title="Five")
    root = ElementTree.fromstring(svg)
    scenes = root.findall(f"{SVG}svg")
    assert len(scenes) == 5 and len({scene.get("y") for scene in scenes}) == 2
    assert len(list(root.iter(f"{SVG}symbol"))) == 1
    assert texts(svg).split().count("driven") == 1
    assert all(f"sentence {seed}" in texts(svg) for seed in range(5))


def test_cells_show_values_and_leave_nan_out(apartment):
    values = np.full((20, 20), np.nan)
    values[4, 10] = 1.0
    values[15, 10] = 3.0
    svg = draw_cells(apartment, values, label="error, %", colourmap="cividis", limits=(0, 4))
    assert svg.count('d="M10 4h1v1h-1z"') == 1 and svg.count('d="M10 15h1v1h-1z"') == 1
    assert "error, %" in texts(svg)
    with pytest.raises(InputError, match="colour map 'nope' is unknown"):
        draw_cells(apartment, values, label="x", colourmap="nope")


def test_walls_are_drawn_as_they_are():
    rng = np.random.default_rng(0)
    walls = rng.random((24, 24)) < 0.4
    svg = (
        '<svg xmlns="http://www.w3.org/2000/svg" width="24" height="24"><path fill="#fff" '
        f'fill-rule="evenodd" d="{wall_path(walls)}"/></svg>'
    )
    image = imread(BytesIO(svg_to_png(svg, scale=1.0)))
    np.testing.assert_array_equal(image[..., 3] > 0.5, walls)


def test_unread_pixels_of_the_map_make_no_dent(apartment):
    assert not apartment.occupied[-1, -8:].any() and drawn_walls(apartment)[-1].all()


def test_wrapped_text_keeps_to_the_width_and_loses_nothing():
    text = "Drive past the bathtub, then antidisestablishmentarianism and 日本語 to the sofa."
    for width in (60, 120, 400):
        lines = wrap_text(text, width, 12)
        assert all(text_width(line, 12) <= width for line in lines)
        assert "".join(lines).replace(" ", "") == text.replace(" ", "")


@pytest.mark.parametrize(
    ("route", "message"),
    [
        (Route(np.zeros((3, 4)), "x"), r"route 1 \('x'\): path has shape \(3, 4\)"),
        (Route(np.full((3, 2), np.nan)), "not finite"),
        (Route(np.zeros((3, 2)), style="dotted"), "style is 'dotted'"),
    ],
)
def test_wrong_routes_are_refused(apartment, route, message):
    with pytest.raises(InputError, match=message):
        draw_scene(apartment, [route])


def test_worlds_load_without_what_draws_them():
    slow = ("matplotlib", "rich", "envs.drawing")
    code = f"import sys, envs; print([name for name in {slow} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.strip() == "[]", done.stdout + done.stderr
