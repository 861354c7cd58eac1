"""The templates say what the scene holds, and nothing is left empty in them."""

import jinja2
import pytest
from text_factory import APARTMENT, BARE, drives

import prompts
from archive_tools.descriptions.prompt_facts import drive_facts, route_facts, scene_facts
from archive_tools.narrator.alternatives import Alternatives
from archive_tools.narrator.styles import STYLES, VOICES

RULES = {
    **{"descriptor": False, "max_words": 99, "variant": 1, "mistakes": [], "earlier": ""},
    **{"voice": "somebody", "example": "Go.", "apart": [], "elsewhere": []},
}


@pytest.mark.parametrize("style", STYLES)
def test_a_description_prompt_holds_scene_drive_and_rules(style):
    drive = max(drives(APARTMENT, 30), key=lambda a: len(a.visited))
    voice = VOICES[style]
    facts = {**scene_facts(APARTMENT), **drive_facts(drive, APARTMENT), **RULES}
    facts |= {"voice": voice.speaker, "example": voice.example}
    text = prompts.render("description", **facts)
    assert all(name in text for name in (*APARTMENT.object_names, *APARTMENT.tile_names))
    assert all(room.name in text for room in APARTMENT.rooms) and "icebox" in text
    assert voice.speaker in text and voice.example in text
    assert "at most 99" in text
    assert text.count("starts on the") == 1
    assert "\n".join(f"- {line}" for line in facts["drive"]) in text


def test_the_descriptor_is_asked_for_and_mistakes_are_told():
    drive = drives(APARTMENT, 1)[0]
    facts = {**scene_facts(APARTMENT), **drive_facts(drive, APARTMENT), **RULES}
    assert "<DESCRIPTOR>" not in prompts.render("description", **facts)
    facts |= {"descriptor": True, "mistakes": ["there is no lamp here"], "earlier": "Go to a lamp."}
    text = prompts.render("description", **facts)
    assert "<DESCRIPTOR>" in text and "there is no lamp here" in text and "Go to a lamp." in text


def test_scenes_without_tiles_render():
    drive = drives(BARE, 1)[0]
    text = prompts.render("description", **scene_facts(BARE), **drive_facts(drive, BARE), **RULES)
    assert "tiles, from" not in text and "Rooms" not in text and "- fan" in text


def test_a_prompt_says_what_sets_the_drive_apart():
    """Two drives end on the same tile by two ways: each prompt names the place only it passes."""
    found = drives(APARTMENT, 400, seed=4)
    others = Alternatives(found)
    checked = 0
    for drive in found[:100]:
        facts = route_facts(drive, APARTMENT, others)
        for named, met in ((facts["apart"], True), (facts["elsewhere"], False)):
            for place in named:
                name = place.removeprefix("the ").removesuffix(" tile")
                assert (name in drive.visited) is met
                checked += 1
        text = prompts.render(
            "description",
            **{**scene_facts(APARTMENT), **drive_facts(drive, APARTMENT), **RULES, **facts},
        )
        assert ("do not all pass" in text) is bool(facts["apart"])
    assert checked > 150
    assert route_facts(found[0], APARTMENT, None) == {"apart": [], "elsewhere": []}


def test_a_missing_fact_is_an_error():
    with pytest.raises(jinja2.UndefinedError):
        prompts.render("description", **scene_facts(BARE))
    with pytest.raises(jinja2.TemplateNotFound):
        prompts.render("poem")
