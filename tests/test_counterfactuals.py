"""Commands with a word exchanged, and whether a drive follows it: worked examples."""

import numpy as np
import pytest
from text_factory import APARTMENT, ODD, drives

from archive_tools.annotations.annotate import annotate
from archive_tools.annotations.events import Annotation, Event, Near
from archive_tools.evaluation.counterfactuals import FITS
from archive_tools.language.reader import parse
from archive_tools.narrator.narrator import describe
from archive_tools.rollouts.counterfactuals import opposite, replace_object, reverse_direction

RNG = np.random.default_rng


def route(*places, start="pink", end="purple"):
    """An annotation that starts and ends on tiles and meets (object, side) or tiles between."""
    events = [Event(0, (0.0, 0.0), (), start)]
    tile = start
    for step, place in enumerate(places, 1):
        near = ()
        if isinstance(place, tuple):
            near = (Near(place[0], place[1], 5.0),)
        else:
            tile = place
        events.append(Event(10 * step, (0.0, 0.0), near, tile))
    return Annotation((*events, Event(400, (0.0, 0.0), (), end)))


def test_every_mention_of_an_object_is_exchanged_and_nothing_else():
    text = "Starting on the pink tile, pass the stove, cross the gray tile and return to the stove."
    reference = route(("stove", "north"), "gray", ("stove", "south"))
    swap = replace_object(text, reference, APARTMENT, RNG(3))
    assert swap is not None and (swap.kind, swap.out) == ("object", "stove")
    assert swap.text == text.replace("stove", swap.into)
    assert swap.into not in reference.visited
    assert swap == replace_object(text, reference, APARTMENT, RNG(3))
    others = {replace_object(text, reference, APARTMENT, RNG(k)).into for k in range(30)}
    assert len(others) > 5


def test_a_tile_is_exchanged_where_no_object_can_be():
    text = "Go through the gray and orange tiles and stop by the bed."
    swap = replace_object(text, route("gray", "orange", ("bed", "west")), APARTMENT, RNG(0))
    assert swap is not None and swap.kind == "tile" and swap.out in ("gray", "orange")
    assert "stop by the bed" in swap.text


@pytest.mark.parametrize(
    "text",
    [
        "Stop by the bed.",  # the end is the BD's affair
        "Go to <DESCRIPTOR>.",
        "Begin on the pink tile and stop on the purple tile.",
        "Do not go near the bed.",
        "Pass the bed and finish some way to the north of it.",
        "Pass the bed on the white tile.",
    ],
)
def test_what_must_stay_is_not_exchanged(text):
    reference = route(("bed", "north"), start="pink", end="purple")
    swap = replace_object(text, reference, APARTMENT, RNG(0))
    assert swap is None or (swap.out != "bed" and swap.kind == "tile")


def test_articles_and_capitals_are_kept_right():
    reference = route(("red ball", "north"), start="kitchen", end="blue")
    seen = {
        replace_object("Pass a red ball. Red ball again!", reference, ODD, RNG(k)).text
        for k in range(40)
    }
    assert any(text.startswith("Pass an armchair. Armchair again!") for text in seen)
    assert not any(" a armchair" in text for text in seen)


@pytest.mark.parametrize(
    ("text", "kind", "place", "after"),
    [
        ("Pass the bed on its north side.", "side", "bed", "Pass the bed on its south side."),
        ("Keep to the north-east of the bed.", "side", "bed", "Keep to the south-west of the bed."),
        ("Northwest of the bed, go on.", "side", "bed", "South-east of the bed, go on."),
        ("Turn east onto the gray tile.", "heading", "gray", "Turn west onto the gray tile."),
        ("At the bed, turn left.", "turn", "bed", "At the bed, turn right."),
        ("Turn right at the bed, then pass the fan.", "turn", "bed",
         "Turn left at the bed, then pass the fan."),
    ],
)  # fmt: skip
def test_directions_become_their_opposites(text, kind, place, after):
    swap = reverse_direction(text, route(), APARTMENT, RNG(0))
    assert swap is not None and (swap.kind, swap.place, swap.text) == (kind, place, after)
    assert opposite(swap.out) == swap.into


@pytest.mark.parametrize(
    "text",
    [
        "Drive right over the bed.",
        "The robot left the pink tile.",
        "Stop in the north corner of the gray tile.",
        "Go east and stop at <DESCRIPTOR>.",
        "Stop just north of the bed.",
    ],
)
def test_words_that_are_no_direction_of_a_place_stay(text):
    assert reverse_direction(text, route(), APARTMENT, RNG(0)) is None


def test_narrated_texts_read_as_before_but_for_the_exchange():
    found = {"object": 0, "tile": 0, "side": 0, "heading": 0}
    for number, reference in enumerate(drives(APARTMENT, 400, seed=5)):
        text = describe(reference, APARTMENT, style="technical", rng=RNG(number))
        before = [m.names for m in parse(text, APARTMENT).places]
        swap = replace_object(text, reference, APARTMENT, RNG(number))
        if swap is not None:
            found[swap.kind] += 1
            after = [m.names for m in parse(swap.text, APARTMENT).places]
            assert after == [(swap.into,) if m == (swap.out,) else m for m in before]
        swap = reverse_direction(text, reference, APARTMENT, RNG(number))
        if swap is not None:
            found[swap.kind] += 1
            assert [m.names for m in parse(swap.text, APARTMENT).places] == before
            assert FITS[swap.kind](swap.place, swap.out, reference, None, APARTMENT)
    assert found["object"] > 50 and found["side"] > 15 and found["heading"] > 15


def test_places_and_sides_are_looked_up_in_the_drive():
    driven = route(("bed", "north-east"), "gray", ("fan", "on"))
    assert FITS["object"]("bed", "bed", driven, None, APARTMENT)
    assert not FITS["object"]("bed", "piano", driven, None, APARTMENT)
    assert FITS["tile"]("gray", "gray", driven, None, APARTMENT)
    assert FITS["side"]("bed", "north", driven, None, APARTMENT)  # within 45 degrees
    assert not FITS["side"]("bed", "south", driven, None, APARTMENT)
    assert not FITS["side"]("fan", "north", driven, None, APARTMENT)
    # In the apartment the gray tile lies east of the pink one.
    assert FITS["heading"]("gray", "east", driven, None, APARTMENT)
    assert not FITS["heading"]("gray", "west", driven, None, APARTMENT)


@pytest.mark.parametrize("turn", ["left", "right"])
def test_turns_are_looked_up_in_the_poses(turn):
    bed = next(o for o in APARTMENT.objects if o.name == "bed")
    x, y = (bed.box[0] + bed.box[2]) / 2, bed.box[1] - 10
    pose = np.zeros((81, 3), np.float32)
    pose[:, 0] = x + np.linspace(-120, 120, 81)
    pose[:, 1] = y
    sign = 1 if turn == "right" else -1  # y is down: positive angles turn right
    pose[:, 2] = np.mod(3.1 + sign * np.linspace(0, 1.5, 81) + np.pi, 2 * np.pi) - np.pi
    driven = annotate(APARTMENT, [pose], size=None)[0]
    assert "bed" in driven.objects
    assert FITS["turn"]("bed", turn, driven, pose, APARTMENT)
    assert not FITS["turn"]("bed", opposite(turn), driven, pose, APARTMENT)
    pose[:, 2] = 0
    assert not FITS["turn"]("bed", turn, driven, pose, APARTMENT)
