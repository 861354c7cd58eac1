"""The templates say what the scene holds, and nothing is left empty in them."""

import jinja2
import pytest
from text_factory import APARTMENT, BARE, drives

import prompts
from archive_tools.language.prompt_facts import drive_facts, scene_facts
from archive_tools.language.styles import STYLES

RULES = {"descriptor": False, "max_words": 99, "variant": 1, "mistakes": [], "earlier": ""}


@pytest.mark.parametrize("style", STYLES)
def test_a_description_prompt_holds_scene_drive_and_rules(style):
    drive = max(drives(APARTMENT, 30), key=lambda a: len(a.visited))
    facts = {**scene_facts(APARTMENT), **drive_facts(drive, APARTMENT), **RULES}
    text = prompts.render(style, **facts)
    assert all(name in text for name in (*APARTMENT.object_names, *APARTMENT.tile_names))
    assert "99 words" in text
    assert text.count("starts on the") == 1
    assert "\n".join(f"- {line}" for line in facts["drive"]) in text


def test_the_descriptor_is_asked_for_and_mistakes_are_told():
    drive = drives(APARTMENT, 1)[0]
    facts = {**scene_facts(APARTMENT), **drive_facts(drive, APARTMENT), **RULES}
    assert "<DESCRIPTOR>" not in prompts.render("request", **facts)
    facts |= {"descriptor": True, "mistakes": ["there is no lamp here"], "earlier": "Go to a lamp."}
    text = prompts.render("request", **facts)
    assert "<DESCRIPTOR>" in text and "there is no lamp here" in text and "Go to a lamp." in text


def test_scenes_without_tiles_render():
    drive = drives(BARE, 1)[0]
    text = prompts.render("narrative", **scene_facts(BARE), **drive_facts(drive, BARE), **RULES)
    assert "tiles, from" not in text and "- fan" in text


def test_a_missing_fact_is_an_error():
    with pytest.raises(jinja2.UndefinedError):
        prompts.render("request", **scene_facts(BARE))
    with pytest.raises(jinja2.TemplateNotFound):
        prompts.render("poem")
