"""Planted untruths are found, every one; true sentences in many forms pass."""

from itertools import pairwise

import numpy as np
import pytest
from text_factory import APARTMENT, ODD, drives

from archive_tools.annotations.events import Annotation, Event, Near
from archive_tools.language.checks import check_text, fill_descriptor, route_told
from archive_tools.language.reader import parse
from archive_tools.narrator.narrator import describe
from archive_tools.narrator.styles import STYLES


def is_part(names, visited):
    remaining = iter(visited)
    return all(name in remaining for name in names)


def drive(*places, end=None):
    """An annotation that meets `places` in order; tiles are written with a capital letter."""
    events, tile = [], ""
    for step, place in enumerate(places):
        if place[0].isupper():
            tile, near = place.lower(), ()
        else:
            near = (Near(place, "north", 5.0),)
        events.append(Event(step * 10, (step * 50.0, 100.0), near, tile))
    if end == "away":
        events.append(Event(len(places) * 10, (0.0, 0.0), (), tile))
    return Annotation(tuple(events))


# starts on pink, by the fridge, yellow, bathtub, red, cabinet, ends by the fan on red
DRIVE = drive("Pink", "fridge", "Yellow", "bathtub", "Red", "cabinet", "fan")


def reasons(text, annotation=DRIVE, **options):
    return check_text(text, annotation, APARTMENT, **options)


@pytest.mark.parametrize(
    "text",
    [
        "Please go past the fridge, through the yellow tile, and stop by the fan.",
        "Drive to the fan.",
        "Go to <DESCRIPTOR>.",
        "Go past the tub and the cupboard and stop at <DESCRIPTOR>.",
        "Pass the refrigerator. Then cross the yellow and the red tile. Stop by the electric fan.",
        "From pink, pass the bathtub on the yellow tile and stop next to the fan.",
        "Stop by the fan in the red area.",
        "Before the bathtub, pass the fridge; then stop by the fan.",
        "Before reaching the red tile, pass the bathtub, then stop at the fan.",
        "On your way to the fan, pass the fridge and the bathtub.",
        "Go to the fan via the yellow tile and the bathtub.",
        "Go to the fan by way of the bathtub and the cabinet.",
        "Stop by the fan, having passed the fridge and the cabinet.",
        "Go to the fan, but first pass the bathtub.",
        "Pass the cabinet after the bathtub.",
        "After the fridge, go past the bathtub.",
        "After passing the fridge and the bathtub, go to the cabinet and then to the fan.",
        "Go to the fan, passing the fridge and the bathtub on the way.",
        "Pass the fridge before the bathtub.",
        "Avoid the sofa and go to the fan.",
        "Go to the fan without passing the piano.",
        "Pass north of the fridge.",
        "Keep to the northern side of the bathtub and pass the cabinet on its north side.",
        "The robot left the pink tile, passed the fridge and came to rest by the fan.",
        "Where to? Go on to the fan!",
        "Pass the fridge, keep north of it and go to the fan.",
        "Go past the Fridge, the BATHTUB and the cabinets.",
        "Once more: please head over the red tile to the fan.",
        # Form is mended, not refused; a tile and what stands on it are met together.
        "yellow, stop by the fan",
        "go past the fridge.",
        "Go past the fridge and",
        "Pass the bathtub, then cross the yellow tile.",
        "From the kitchen through the bathroom to the fan.",
    ],
)
def test_true_sentences_pass(text):
    assert reasons(text) == []


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("", "empty"),
        ("   ", "empty"),
        ("Drive about a little.", "names neither"),
        ("Go past the lamp to the fan.", "no lamp"),
        ("Go past the armchair.", "no armchair"),
        ("Enter the garage and stop by the fan.", "no garage"),
        ("Go past the sofa and stop by the fan.", "the sofa is never met"),
        ("Go past the couch and stop by the fan.", "the couch is never met"),
        ("Cross the blue tile.", "the blue tile is never met"),
        ("Cross the brown tile.", "no brown tile"),
        ("Go past the white fridge.", "the white tile is never met"),
        ("Go past the fan, then the fridge.", "wrong order"),
        ("Pass the bathtub, then cross the pink tile.", "wrong order"),
        ("Cross the red tile and then the yellow one.", "wrong order"),
        ("Before the fridge, pass the bathtub.", "wrong order"),
        ("Go to the fridge via the bathtub.", "wrong order"),
        ("Stop by the fridge, having passed the cabinet.", "ends elsewhere"),
        ("Pass the bathtub after the cabinet.", "wrong order"),
        ("After the bathtub, go past the fridge.", "wrong order"),
        ("On your way to the bathtub, pass the cabinet.", "wrong order"),
        ("Pass the cabinet before the bathtub.", "wrong order"),
        ("Go to the fridge, passing the bathtub on the way.", "ends elsewhere"),
        ("Pass the fan and go back to the fridge.", "wrong order"),
        ("Pass the fan on the yellow tile.", "not met on"),
        ("Go past the fridge and stop by the bathtub.", "ends elsewhere"),
        ("Avoid the bathtub and go to the fan.", "is not met, but it is"),
        ("Go to the fan without passing the fridge.", "is not met, but it is"),
        ("Pass south of the fridge.", "south side"),
        ("Pass the fridge on its southern side.", "south side"),
        ("Go 3 steps to the fan.", "number"),
        ("At step 12 pass the fridge.", "number"),
        ("Go to (312, 45).", "number"),
        ("Go five steps to the fan.", "measurement"),
        ("Turn ninety degrees at the fridge.", "measurement"),
        ("Of all trajectories this one passes the fridge.", "data"),
        ("According to the annotation, pass the fridge.", "data"),
        ("Move to the coordinates of the fan.", "data"),
        ('{"text": "pass the fridge"}', "data"),
        ("As an AI model I pass the fridge.", "data"),
        ("Pass the fridge at every time step.", "data"),
        ("Go to <PLACE>.", "placeholder"),
        ("Go to <DESCRIPTOR> and <DESCRIPTOR>.", "more than once"),
        ("Go past the fridge " + "on and on " * 60, "too long"),
    ],
)
def test_untrue_or_unfit_sentences_are_found(text, part):
    assert any(part in reason for reason in reasons(text)), (text, reasons(text))


def test_visiting_again_needs_a_second_visit():
    loop = drive("Pink", "fridge", "stove", "fridge")
    once = drive("Pink", "stove", "fridge")
    for text in (
        "Pass the fridge and the stove, and return to the fridge.",
        "Pass the fridge, then pass the fridge again.",
        "Pass the fridge and go back to the fridge.",
    ):
        assert reasons(text, loop) == []
        assert reasons(text, once)


def test_stopping_where_it_is_no_longer_near():
    left = drive("Pink", "fridge", end="away")
    assert reasons("Pass the fridge and stop some way north of it.", left) == []
    assert reasons("Stop by the fridge.", left)


def test_words_for_two_things_may_be_either():
    sofa = Annotation((Event(0, (0.0, 0.0), (Near("sofa", "north", 1.0),), "red"),))
    assert check_text("Go to the settee.", sofa, ODD) == []
    assert check_text("Go to the sofa.", sofa, ODD) == []
    assert check_text("Go to the couch.", sofa, ODD) == ["the couch is never met"]
    ball = Annotation((Event(0, (0.0, 0.0), (Near("red ball", "north", 1.0),), "blue"),))
    assert check_text("Go to the red ball on the blue tile.", ball, ODD) == []
    assert check_text("Go to the red tile.", ball, ODD) == ["the red tile is never met"]


def test_a_number_in_a_name_is_no_number():
    chair = Annotation((Event(0, (0.0, 0.0), (Near("chair 2", "north", 1.0),), "blue"),))
    assert check_text("Go to the chair 2.", chair, ODD) == []
    assert check_text("Go to the chair 3.", chair, ODD)


def test_nothing_visited_needs_no_mention():
    nowhere = Annotation((Event(0, (0.0, 0.0), (), ""),))
    assert reasons("Stay where you are.", nowhere) == []


def test_longest_text_is_an_option():
    assert reasons("Go past the fridge to the fan.", max_words=6)
    assert not reasons("Go past the fridge to the fan.", max_words=7)


@pytest.mark.parametrize(
    ("text", "share", "end"),
    [
        ("Go past the fridge, cross the red tile and stop by the fan.", 3 / 7, True),
        ("Go to the fan via the bathtub.", 2 / 7, True),
        ("Go past the fridge and go to <DESCRIPTOR>.", 1 / 7, True),
        ("Go past the fridge.", 1 / 7, False),
    ],
)
def test_how_much_a_text_tells_of_its_route(text, share, end):
    assert route_told(text, DRIVE, APARTMENT) == (pytest.approx(share), end)


def test_fill_descriptor():
    assert fill_descriptor("Stop at <DESCRIPTOR>.", [311.6, 44.2]) == "Stop at (312, 44)."
    assert fill_descriptor("Stop.", [1.0, 2.0]) == "Stop."


@pytest.fixture(scope="module")
def told():
    """(text, drive, scene) written by the narrator, in all styles."""
    found = []
    for scene, size in ((APARTMENT, 600.0), (ODD, 360.0)):
        for k, annotation in enumerate(drives(scene, 90, seed=7, size=size)):
            style = STYLES[k % len(STYLES)]
            text = describe(annotation, scene, style=style, rng=np.random.default_rng(k))
            if not check_text(text, annotation, scene):
                found.append((text, annotation, scene))
    assert len(found) > 150
    return found


def put(text, mention, word):
    return text[: mention.start] + word + text[mention.end :]


def test_planted_wrong_objects_are_found(told):
    planted = found = 0
    for text, annotation, scene in told:
        absent = [n for n in scene.object_names if n not in annotation.visited]
        for mention in parse(text, scene).places:
            if mention.kind == "object" and mention.role not in ("avoid", "mark"):
                for word in [n.replace("_", " ") for n in absent[:2]] + ["lamp"]:
                    planted += 1
                    found += bool(check_text(put(text, mention, word), annotation, scene))
    assert planted > 200 and found >= 0.94 * planted


def test_planted_wrong_colours_are_found(told):
    planted = found = 0
    for text, annotation, scene in told:
        absent = [n for n in scene.tile_names if n not in annotation.visited]
        for mention in parse(text, scene).places:
            if mention.kind == "tile" and mention.role not in ("avoid", "mark"):
                for word in [*absent[:2], "brown"]:
                    planted += 1
                    found += bool(check_text(put(text, mention, word), annotation, scene))
    assert planted > 200 and found >= 0.94 * planted


def test_planted_swaps_are_found(told):
    """Any two mentions change places: found where the drive does not go that way as well."""
    planted = found = 0
    for text, annotation, scene in told:
        mentions = parse(text, scene).places
        for i in range(len(mentions)):
            for j in range(i + 1, len(mentions)):
                a, b = mentions[i], mentions[j]
                names = [m.names[0] for m in mentions]
                names[i], names[j] = names[j], names[i]
                if a.kind != b.kind or is_part(names, annotation.visited):
                    continue
                if any(x == y for x, y in pairwise(names)):  # one visit, said twice
                    continue
                first, second = sorted((a, b), key=lambda m: m.start)
                swapped = put(put(text, second, first.words), first, second.words)
                planted += 1
                found += bool(check_text(swapped, annotation, scene))
    # A thing and its tile are met in either order, and a new sentence says nothing of when.
    assert planted > 200 and found >= 0.88 * planted
