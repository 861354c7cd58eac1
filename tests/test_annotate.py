"""Annotations against a slow, plain reading of the rules, on hand-made and on random paths."""

import math
import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from archive_tools.annotations.annotate import NearRule, annotate, settle
from archive_tools.annotations.events import (
    Annotation,
    Event,
    Near,
    load_annotations,
    write_annotations,
)
from archive_tools.files.tables import read_arrow, write_table
from envs.scene import Scene, SceneObject, Tiles

SCENE = Scene(
    objects=(
        SceneObject("bed", (80.0, 80.0, 120.0, 100.0)),
        SceneObject("fan", (20.0, 20.0, 30.0, 30.0)),
    ),
    tiles=Tiles((("red", "green"), ("blue", "pink")), (0.0, 0.0, 200.0, 200.0)),
)
DIRECTIONS = ["east", "north-east", "north", "north-west", "west", "south-west", "south"]
DIRECTIONS += ["south-east"]


def path(*corners, step=4.0):
    """Points every `step` units along the straight lines between corners, scene units."""
    points = [np.array(corners[0], float)]
    for corner in corners[1:]:
        gap = np.array(corner, float) - points[-1]
        count = max(1, math.ceil(np.linalg.norm(gap) / step))
        points += list(points[-1] + gap * (np.arange(1, count + 1) / count)[:, None])
    return np.array(points, np.float32)


def annotate_one(points, **options):
    return annotate(SCENE, [points], size=None, rule=NearRule(**options))[0]


def test_events_only_where_something_changes():
    annotation = annotate_one(path((10, 150), (190, 150)))
    assert [event.tile for event in annotation.events] == ["red", "green", "green"]
    assert [event.timestep for event in annotation.events] == [0, 23, 45]
    assert annotation.visited == ["red", "green"]


def test_side_and_distance_of_an_object():
    annotation = annotate_one(path((100, 190), (100, 110)))
    last = annotation.events[-1]
    assert last.near == (Near("bed", "north", 10.0),)
    assert last.position == (100.0, 110.0)


def test_inside_the_box_is_on():
    assert annotate_one(path((100, 60), (100, 90))).events[-1].near[0] == Near("bed", "on", 0.0)


def test_near_is_measured_from_the_box_not_its_centre():
    # 15 units beside the long box, 55 from its centre.
    assert annotate_one(path((65, 90), (65, 91)), near=16).events[0].near[0].relation == "west"
    assert annotate_one(path((65, 90), (65, 91)), near=14).events[0].near == ()


def test_world_units_have_y_down():
    points = path((10, 190), (10, 180))
    annotation = annotate(SCENE, [points], size=200.0)[0]
    assert annotation.events[0].tile == "blue"
    assert annotation.events[0].position == (10.0, 10.0)


def test_walking_along_a_border_does_not_chatter():
    steps = np.arange(58)  # ends on the side it began on: the last state always counts
    points = np.stack([100 + np.where(steps % 4 < 2, 1.0, -1.0), 130 + steps], axis=1)
    assert len(annotate_one(points.astype(np.float32)).events) == 2


def test_leaving_and_coming_back_is_a_second_visit_only_with_something_between():
    def event(step, *names, tile="red"):
        return Event(step, (0.0, 0.0), tuple(Near(n, "north", 1.0) for n in names), tile)

    back = Annotation((event(0, "bed"), event(5), event(9, "bed")))
    assert back.objects == ["bed"]
    other = Annotation((event(0, "bed"), event(5, "fan"), event(9, "bed", tile="blue")))
    assert other.objects == ["bed", "fan", "bed"]
    assert other.tiles == ["red", "blue"]
    assert other.visited == ["red", "bed", "fan", "blue", "bed"]
    tile = Annotation((event(0, "bed"), event(5, tile="blue"), event(9, "bed", tile="blue")))
    assert tile.visited == ["red", "bed", "blue", "bed"]


def test_trajectories_of_different_lengths_keep_their_order():
    long, short = path((10, 150), (190, 150)), path((150, 50), (150, 60))
    both = annotate(SCENE, [long, short, long], size=None)
    assert both[0] == both[2] == annotate_one(long)
    assert both[1] == annotate_one(short)


def test_annotations_of_a_folder_are_those_written_and_are_held_as_columns(tmp_path):
    rng = np.random.default_rng(0)
    paths = list(rng.uniform(0, 200, (300, 40, 2)).repeat(4, axis=1).astype(np.float32))
    made = dict(zip(range(900, 600, -1), annotate(SCENE, paths, size=None), strict=True))
    write_annotations(tmp_path, [([i], [a]) for i, a in made.items()])
    table = read_arrow(tmp_path / "events.parquet")
    shuffled = table.take(np.random.default_rng(1).permutation(len(table)))
    tracemalloc.start()
    found = load_annotations(tmp_path)
    held, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert held < 150 * len(table)  # as objects they took 400 bytes each and more
    assert list(found) == list(made) and len(found) == 300
    write_table(tmp_path / "events.parquet", shuffled)
    again = load_annotations(tmp_path)
    for identity, annotation in made.items():
        assert found[identity].visited == annotation.visited
        assert [e.timestep for e in found[identity].events] == [
            e.timestep for e in annotation.events
        ]
        assert again[identity] == found[identity]
    joined = found | {7: made[900]}
    assert list(joined)[-1] == 7 and joined[7] is made[900] and 7 not in found


def test_scene_without_objects_or_without_tiles():
    bare = Scene(tiles=SCENE.tiles)
    assert annotate(bare, [path((10, 150), (20, 150))], size=None)[0].visited == ["red"]
    untiled = Scene(objects=SCENE.objects)
    found = annotate(untiled, [path((100, 120), (100, 110))], size=None)[0]
    assert found.visited == ["bed"]
    assert found.events[0].tile == ""


def settle_plainly(codes, persist):
    """The rule of `settle`, one step at a time: a value that lasts is taken, else the old kept."""
    settled = [codes[0]]
    for t in range(1, len(codes)):
        lasts = 0
        while t + lasts < len(codes) and codes[t + lasts] == codes[t]:
            lasts += 1
        to_the_end = t + lasts == len(codes)
        settled.append(codes[t] if lasts >= persist or to_the_end else settled[-1])
        if codes[t] == settled[t - 1]:
            settled[t] = codes[t]
    return settled


@given(st.lists(st.integers(0, 2), min_size=1, max_size=30), st.integers(1, 6))
def test_settle_agrees_with_the_plain_rule(codes, persist):
    assert settle(np.array([codes]), persist)[0].tolist() == settle_plainly(codes, persist)


def annotate_plainly(points, near, persist):
    """(timestep, near codes, tile) of each event, by loops over steps and objects."""
    sides, tiles = [], []
    for x, y in points.astype(float).tolist():
        codes = []
        for item in SCENE.objects:
            x0, y0, x1, y1 = item.box
            gap = math.hypot(max(x0 - x, 0, x - x1), max(y0 - y, 0, y - y1))
            if gap > near:
                codes.append("")
            elif gap == 0:
                codes.append("on")
            else:
                cx, cy = item.centre
                turn = round(math.degrees(math.atan2(y - cy, x - cx)) / 45) % 8
                codes.append(DIRECTIONS[turn])
        sides.append(codes)
        tiles.append(int(SCENE.tile_at((x, y))))
    settled = [settle_plainly([s[k] for s in sides], persist) for k in range(2)]
    tile = settle_plainly(tiles, persist)
    state = [(settled[0][t], settled[1][t], tile[t]) for t in range(len(points))]
    last = len(points) - 1
    return [(t, *s) for t, s in enumerate(state) if t in (0, last) or s != state[t - 1]]


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10_000), st.floats(1, 40), st.integers(1, 5))
def test_random_paths_agree_with_the_plain_rules(seed, near, persist):
    rng = np.random.default_rng(seed)
    points = np.clip(100 + np.cumsum(rng.normal(0, 5, (120, 2)), axis=0), 1, 199)
    points = points.astype(np.float32)
    found = annotate_one(points, near=near, persist=persist)
    tiles = [*SCENE.tile_names, ""]
    expected = annotate_plainly(points, near, persist)
    assert [event.timestep for event in found.events] == [row[0] for row in expected]
    for event, (_, bed, fan, tile) in zip(found.events, expected, strict=True):
        relations = {n.object: n.relation for n in event.near}
        assert relations == {k: v for k, v in (("bed", bed), ("fan", fan)) if v}
        assert event.tile == tiles[tile]


@pytest.mark.parametrize("number", [0, 1])
def test_none_and_one_trajectory(number):
    tracks = np.zeros((number, 5, 3), np.float32)
    assert len(annotate(SCENE, tracks, size=200.0)) == number
