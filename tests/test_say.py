"""One sentence, one drive: events in the terminal, a picture in the run."""

import shutil
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from run_factory import Planted, make_run

import envs
from archive_tools.annotations.annotate import NearRule, annotate
from archive_tools.annotations.events import load_annotations
from archive_tools.files.tables import read_json, write_json
from archive_tools.rollouts.listener import write_listener
from archive_tools.rollouts.targets import Ends
from archive_tools.stages.say import hints, say
from envs.drawing.terminal import draw_text


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return make_run(tmp_path_factory.mktemp("say") / "run", n=12)


def test_drives_the_sentence_and_shows_it(made, capsys):
    row = pd.read_parquet(made / "dataset" / "trajectories.parquet").iloc[0]
    picture = say(made, row["texts"][0], row["bd"].tolist(), lambda model: Planted(made))
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert (made / "said.svg").read_text().startswith("<svg")
    shown = capsys.readouterr().out
    assert f"ended at ({', '.join(f'{v:.1f}' for v in row['bd'])})" in shown
    assert "0.0 % of the diagonal" in shown
    visited = pd.read_parquet(made / "annotations" / "routes.parquet").iloc[0]["visited"]
    assert all(name in shown for name in visited)
    lines = shown.splitlines()
    top = next(number for number, line in enumerate(lines) if line.startswith("█████"))
    plan = "".join(lines[top : top + 32])
    assert "E" in plan and len({char for char in plan if char.isdigit()}) > 4, "time as digits"
    assert "by its words: " in shown


def test_an_answer_is_told_though_its_picture_cannot_be_written(made, capsys):
    (made / "said.svg").unlink(missing_ok=True)
    (made / "said.svg").mkdir()
    with pytest.raises(envs.InputError, match=r"said\.svg: is a folder"):
        say(made, "Go anywhere.", [300.0, 300.0], lambda model: Planted(made))
    (made / "said.svg").rmdir()
    assert "ended at (" in capsys.readouterr().out


def listener(made):
    """What a policy is told, (text, bd) drive by drive, and the policy: it goes where it likes."""
    told = []
    planted = Planted(made)

    def drive(envs, text, bd, seed):
        told.append((text, bd))
        return planted(envs, None, np.array([[300, 300]], np.float32), seed)

    return told, drive


def test_place_may_be_left_to_the_text(made, capsys):
    told, spy = listener(made)
    say(made, "Go anywhere.", None, lambda model: spy)
    assert [bd for _, bd in told] == [None]
    assert "diagonal" not in capsys.readouterr().out


def test_a_model_with_a_reader_says_what_it_is_told_and_where_that_ends(made, capsys):
    """The end that a text names stands in for --bd, and any phrasing is told as a plan."""
    world = envs.load_world(made / "archive" / "world")
    annotations = load_annotations(made / "annotations")
    table = pd.read_parquet(made / "dataset" / "trajectories.parquet")
    ends = Ends.of([annotations[i] for i in table["trajectory_id"]], np.stack(table["bd"]))
    write_listener(made / "model", world, ends)
    try:
        told, spy = listener(made)
        say(made, "Kindly roll into the kitchen and stay there.", None, lambda model: spy)
        shown = capsys.readouterr().out
        assert "told: end pink" in shown and "read from the text: end at (" in shown
        assert "no training text has" not in shown
        [(_, bd)] = told
        assert (
            world.scene.tile_names[int(world.scene.tile_at((bd[0][0], 600 - bd[0][1])))] == "pink"
        )
    finally:
        shutil.rmtree(made / "model" / "reader")


def test_picture_of_characters_shows_walls_objects_and_the_way():
    world = envs.load_world("apartment")
    path = np.linspace([60, 450], [560, 450], 101)
    lines = draw_text(world, path, target=(560, 60), columns=60).plain.splitlines()
    assert len(lines) == 30 and {len(line) for line in lines} == {60}
    assert set(lines[0]) == {"█"} and lines[3][56] == "X"
    row = lines[22]
    assert row[6] == "S" and row[56] == "E"
    digits = [char for char in row if char.isdigit()]
    assert digits == sorted(digits) and set(digits) == set("0123456789")
    assert "sofa"[0] in lines[2]


@pytest.mark.parametrize(
    ("text", "bd", "words"),
    [
        ("Go to the lamp.", None, "the scene has no lamp; objects: bathtub, bed"),
        ("Please do as you like.", None, "no place is named"),
        ("Stop by the zorblax plant.", None, "no training text has the words: "),
        ("Stop at <DESCRIPTOR>.", None, "no --bd says where that is"),
        ("Stop by the plant.", (2.0, 2.0), "in a wall or out of reach"),
    ],
)
def test_hints_say_what_cannot_be_obeyed(made, text, bd, words):
    world = envs.load_world(made / "archive" / "world")
    found = hints(text, bd, world, made)
    assert any(words in line for line in found), found


def test_no_hint_for_a_command_like_those_in_training(made):
    world = envs.load_world(made / "archive" / "world")
    data = pd.read_parquet(made / "dataset" / "trajectories.parquet")
    row = data[data["split"] == "train"].iloc[0]
    assert hints(row["texts"][0], row["bd"].tolist(), world, made) == []


@pytest.mark.parametrize(
    ("text", "bd", "words"),
    [
        ("  ", None, "the sentence is empty"),
        ("Go.", (700.0, 20.0), "--bd: .* is 700, expected 0 to 600"),
        ("Go.", (70.0, float("nan")), "--bd: .* is nan, expected 0 to 600"),
    ],
)
def test_what_cannot_be_driven_is_refused_in_a_line(made, text, bd, words):
    with pytest.raises(envs.InputError, match=words) as caught:
        say(made, text, bd, lambda model: Planted(made))
    assert "\n" not in str(caught.value)


def test_wrong_place_and_missing_model_are_refused(made, tmp_path):
    with pytest.raises(ValueError, match="--bd: found 3 values, expected 2"):
        say(made, "Go.", (1, 2, 3), lambda model: Planted(made))
    with pytest.raises(ValueError, match="00_search_archive"):
        say(tmp_path, "Go.", None, lambda model: Planted(made))


def moved_start(folder):
    """A world of the apartment's floor in which the robot starts elsewhere, as a file."""
    world = envs.load_world("apartment")
    other = replace(world, robot=replace(world.robot, x=world.robot.x + 20, theta=0.0))
    envs.save_world(other, folder)
    return other


def test_drives_in_the_runs_own_world(tmp_path):
    """Whatever the bundled world of that name is by now."""
    other = moved_start(tmp_path / "world")
    run = make_run(tmp_path / "run", n=12, world=str(tmp_path / "world"))
    poses = []

    def spy(vector_env, text, bd, seed):
        poses.append(vector_env.reset(seed=seed)[1]["pose"][0])
        return Planted(run)(vector_env, text, bd, seed)

    say(run, "Go.", None, lambda model: spy)
    np.testing.assert_allclose(poses[0], [other.robot.x, other.robot.y, 0.0], atol=1e-3)


def test_drives_are_annotated_by_the_runs_own_rule(tmp_path, capsys):
    run = make_run(tmp_path / "run", n=12)
    path = run / "annotations" / "manifest.json"
    manifest = read_json(path)
    manifest["config"]["near"] = 150.0
    write_json(path, manifest)
    row = pd.read_parquet(run / "trajectories" / "trajectories.parquet").iloc[0]
    text = pd.read_parquet(run / "dataset" / "trajectories.parquet").iloc[0]["texts"][0]
    say(run, text, None, lambda model: Planted(run))
    table = "".join(line for line in capsys.readouterr().out.splitlines() if "│" in line)
    world = envs.load_world("apartment")
    pose = row["pose"].reshape(1, -1, 3)
    by_default, by_run = (
        set(annotate(world.scene, pose, size=world.size, rule=rule)[0].objects)
        for rule in (NearRule(), NearRule(near=150.0))
    )
    assert by_run - by_default
    assert all(name in table for name in by_run)
