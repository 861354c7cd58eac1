"""The playground's server: drives in one loop, step by step, through what is in their way."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import httpx
import numpy as np
import pytest
from play_factory import (
    Homing,
    drive,
    load_model,
    make_playable,
    messages,
    path_of,
    playing,
    renew,
)
from source_tree import ROOT

import envs
import nanodt
from archive_tools.annotations.annotate import NearRule, annotate
from archive_tools.evaluation.judge_rules import judge_rules
from archive_tools.playground.opening import play
from archive_tools.playground.safety import LONGEST_BODY
from archive_tools.playground.scenery import Scenery
from archive_tools.rollouts.driving import make_envs
from envs import InputError

SAY = "Go past the fan, then by the piano, and stop at the sofa."


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return make_playable(tmp_path_factory.mktemp("play") / "run")


@pytest.fixture(scope="module")
def homing(run):
    """(address, playground) of a server whose every model is a `Homing`."""
    with playing(run, lambda model: Homing) as served:
        yield served


def told(heard, kind, robot=0):
    return [data for name, data in heard if name == kind and data["robot"] == robot]


# Driving


def test_the_models_own_drive_is_told_whole(run):
    """The same poses as nanodt drives alone, the events of its annotation, the rules' verdict."""
    policy = load_model(run / "model")()
    world = envs.load_world(run / "archive" / "world")
    environment = {"id": "envs:wayword/Navigation-v0", "kwargs": {"world": world}}
    alone = nanodt.drive(policy, make_envs(environment, 1), [SAY], np.array([[500.0, 90.0]]))
    with playing(run) as (address, _):
        answer, heard = drive(address, text=SAY, bd=[500, 90])
    assert (answer["robots"], answer["target"], answer["steps"]) == (["policy"], [500, 90], 400)
    pose = alone.info["pose"][0]
    path = path_of(heard)
    assert np.ptp(path[:, 0]) > 20, "it drives"
    np.testing.assert_allclose(path[:, :2], pose[:, :2], atol=0.051)
    driven = annotate(world.scene, [pose], size=world.size, rule=NearRule())[0]
    assert [d["step"] for d in told(heard, "event")] == [e.timestep for e in driven.events]
    (verdict,) = told(heard, "verdict")
    assert verdict["score"] == judge_rules(SAY, driven, None, world.scene).score
    away = float(np.hypot(pose[-1, 0] - 500, pose[-1, 1] - 90))
    assert verdict["distance"]["units"] == pytest.approx(away, abs=0.06)
    assert heard[-1][0] == "over" and len(told(heard, "poses")) > 40


def test_one_batch_holds_what_each_robot_was_told(homing):
    address, _ = homing
    names = ["policy", "text_off", "bd_off", "nearest_elite"]
    answer, heard = drive(address, text=SAY, bd=[150, 500], robots=names)
    assert answer["robots"] == names
    ends = [path_of(heard, k)[-1, :2] for k in range(4)]
    assert all(len(path_of(heard, k)) == 401 for k in range(4))
    assert np.hypot(*(ends[0] - (150, 500))) < 5, "hears all and arrives"
    circle = path_of(heard, 1)[100:, :2]
    assert np.ptp(circle, axis=0).max() < 60, "without a text it goes round"
    assert np.hypot(*(ends[2] - (150, 500))) > 50, "without a place it drives straight on"
    assert [v["distance"]["units"] < 6 for v in (told(heard, "verdict", k)[0] for k in range(2))] \
        == [True, False]  # fmt: skip


def test_without_a_click_the_distance_is_left_open(homing):
    _, heard = drive(homing[0], text=SAY)
    assert told(heard, "verdict")[0]["distance"] is None


def test_robots_bump_into_what_is_put_in_their_way(homing):
    address, _ = homing
    free, walled, crated = (
        drive(address, text="Go.", bd=[200, 500], walls=walls)[1]
        for walls in ([], [[120, 380, 120, 560]], [[120, 473, 120, 473]])
    )
    assert np.hypot(*(path_of(free)[-1, :2] - (200, 500))) < 5
    assert not any(d["bumps"] for d in told(free, "poses"))
    for heard in (walled, crated):
        assert path_of(heard)[-1, 0] < 125 and any(d["bumps"] for d in told(heard, "poses"))


def test_the_elites_controller_feels_the_wall_too(homing):
    free, walled = (
        path_of(drive(homing[0], text=SAY, robots=["nearest_elite"], walls=walls)[1])
        for walls in ([], [[95, 400, 95, 540]])
    )
    assert (free[0] == walled[0]).all() and np.abs(free - walled).max() > 5


def test_robots_start_where_they_are_put(run, homing):
    _, heard = drive(homing[0], text="Go.", bd=[500, 300], start=[450, 300, 0])
    path = path_of(heard)
    assert path[0].tolist() == [450, 300, 0] and np.hypot(*(path[-1, :2] - (500, 300))) < 5
    with playing(run) as (address, _):  # a policy that reckons its pose is told of its start
        here, there = (path_of(drive(address, text=SAY, bd=[300, 300], start=start)[1])
                       for start in (None, [450, 300, 1.0]))  # fmt: skip
    assert there[0].tolist() == [450, 300, 57.3]
    assert np.abs((here - here[0]) - (there - there[0])).max() > 1


def test_a_stream_goes_on_where_it_broke(homing):
    answer, heard = drive(homing[0], text="Go.", bd=[200, 500])
    events = f"{homing[0]}/drives/{answer['id']}/events"
    assert messages(events) == heard
    assert messages(events, after=30) == heard[30:]
    assert httpx.get(f"{homing[0]}/drives/elsewhere/events").status_code == 404


def test_a_drive_that_is_replaced_is_given_up(run):
    with playing(run, lambda model: lambda: Homing(0.02)) as (address, playground):
        first = httpx.post(f"{address}/drives", json={"text": "Go.", "bd": [100, 500]}).json()
        time.sleep(0.3)
        begun = time.monotonic()
        second = {"text": "Go.", "bd": [100, 480], "replaces": first["id"]}
        httpx.post(f"{address}/drives", json=second)
        assert httpx.get(f"{address}/drives/{first['id']}/events").status_code == 404
        time.sleep(0.5)
        assert playground.fleet._count == 1 and time.monotonic() - begun < 3


def test_twenty_pages_drive_at_once(run):
    """Nobody waits 3 s for a first frame, whatever each is told; all see their own drive."""
    waits: list[float] = []
    with playing(run) as (address, playground), ThreadPoolExecutor(20) as pool:

        def first(number):
            begun = time.monotonic()
            command = {"text": SAY if number % 3 else "", "bd": [100 + number, 500]}
            answer = httpx.post(f"{address}/drives", json=command, timeout=30).json()
            with httpx.stream("GET", f"{address}/drives/{answer['id']}/events", timeout=60) as it:
                for line in it.iter_lines():
                    if line.startswith("event: poses"):
                        waits.append(time.monotonic() - begun)
                        break
            return path_of(messages(f"{address}/drives/{answer['id']}/events"))

        found = list(pool.map(first, range(20)))
    assert len(waits) == 20 and max(waits) < 3
    assert all(len(path) == 401 for path in found)
    assert playground.fleet._count == 0


# Understanding


def test_what_is_understood_is_told_while_one_types(homing):
    address, _ = homing
    text = "Go past the fan, past the fountain, avoid the bed, then stop at the sofa, ergo."
    found = httpx.post(f"{address}/understand", json={"text": text}).json()
    assert found["end"] == ["sofa"] and found["avoid"] == ["bed"] and found["must"] == ["fan"]
    assert found["order"] == ["fan", "sofa"] and found["not understood"] == ["fountain"]
    assert "ergo" in found["never read"] and "stop" not in found["never read"]
    assert httpx.post(f"{address}/understand", json={"text": ""}).status_code == 200


# Pictures


def test_a_drive_can_be_kept(homing):
    address, _ = homing
    command = {"text": SAY, "bd": [200, 500], "robots": ["policy", "text_off"]}
    answer, _ = drive(address, **command, walls=[[120, 300, 200, 300]])
    kept = {kind: httpx.get(f"{address}/drives/{answer['id']}/picture.{kind}", timeout=60)
            for kind in ("svg", "png", "gif")}  # fmt: skip
    assert kept["png"].content.startswith(b"\x89PNG") and kept["gif"].content.startswith(b"GIF8")
    assert SAY[:20] in kept["svg"].text and "text off" in kept["svg"].text
    assert "drive.svg" in kept["svg"].headers["content-disposition"]
    assert len(kept["gif"].content) < 1_000_000
    assert httpx.get(f"{address}/drives/{answer['id']}/picture.exe").status_code == 404


# What is sent wrongly


@pytest.mark.parametrize(
    ("command", "message"),
    [
        ({}, "say where to go, or click a place on the map"),
        ({"bd": [700, 10]}, "that place lies outside the world"),
        ({"bd": ["x", 10]}, "bd.0: Input should be a valid number"),
        ({"bd": [1e999, 10]}, "bd.0: "),
        ({"text": "x" * 401}, "text: String should have at most 400"),
        ({"text": SAY, "robots": ["nobody"]}, "robots: no 'nobody'; known are policy"),
        ({"text": SAY, "robots": []}, "robots: Tuple should have at least 1"),
        ({"text": SAY, "start": [5, 5, 0]}, "the start (5, 5) lies inside a wall"),
        ({"text": SAY, "walls": [[60, 430, 60, 470]]}, "the start (60, 450) lies inside a wall"),
        ({"text": SAY, "walls": [[0, 0, 1, 1]] * 25}, "walls: Tuple should have at most 24"),
        ({"text": SAY, "bd": None, "speed": 3}, "speed: Extra inputs are not permitted"),
    ],
)
def test_wrong_commands_are_refused_in_a_line(homing, command, message):
    body = json.dumps({"text": "", **command})
    reply = httpx.post(f"{homing[0]}/drives", content=body,
                       headers={"Content-Type": "application/json"})  # fmt: skip
    assert reply.status_code == 400
    assert message in reply.json()["error"] and "\n" not in reply.json()["error"]


def test_one_robots_fault_is_its_own(run):
    """A model that is gone or breaks is told beside the drive of the others, which go on."""

    class Broken(Homing):
        def act(self, obs, text, bd):
            raise ValueError("text 0 takes 900 tokens")

    def load(folder):
        if folder.name == "broken":
            return Broken
        return Homing if folder == run / "model" else load_model(folder)

    others = [run / "gone", run / "broken"]
    with playing(run, load, others=others) as (address, playground):
        names = ["policy", *list(playground.robots.choices)[4:6]]
        _, heard = drive(address, text=SAY, bd=[200, 500], robots=names)
    assert len(path_of(heard)) == 401 and told(heard, "verdict")
    assert "gone" in told(heard, "failure", 1)[0]["reason"]
    assert told(heard, "failure", 2)[0]["reason"] == "text 0 takes 900 tokens"


def test_siblings_models_are_offered(run, tmp_path):
    beside = run.with_name("run-seed1") / "model"
    beside.parent.mkdir()
    beside.symlink_to(run / "model")
    with playing(run) as (address, _):
        robots = httpx.get(f"{address}/play.json").json()["robots"]
        assert [r["label"] for r in robots][-1] == "seed1"
        _, heard = drive(address, text=SAY, robots=["policy", robots[-1]["name"]])
    assert path_of(heard, 0).tolist() == path_of(heard, 1).tolist()


def test_a_model_folder_may_vanish(run, homing):
    address, _ = homing
    manifest = run / "model" / "manifest.json"
    manifest.rename(run / "away")
    try:
        assert httpx.get(f"{address}/play.json").json()["model_gone"]
        assert len(path_of(drive(address, text="Go.", bd=[200, 500])[1])) == 401
    finally:
        (run / "away").rename(manifest)
    assert not httpx.get(f"{address}/play.json").json()["model_gone"]


def test_clients_that_leave_early_leave_no_trace(homing, capfd):
    """In the middle of a request, of an answer, of a stream."""
    address, playground = homing
    port = int(address.rpartition(":")[2])
    head = f"Host: 127.0.0.1:{port}\r\nContent-Type: application/json\r\n"
    answer = httpx.post(f"{address}/drives", json={"text": SAY}).json()
    for request in (
        "POST /drives HTTP/1.1\r\n" + head[:30],
        f"POST /drives HTTP/1.1\r\n{head}Content-Length: 500\r\n\r\n{{",
        f"GET /scene.svg HTTP/1.1\r\n{head}\r\n",
        f"GET /drives/{answer['id']}/events HTTP/1.1\r\n{head}\r\n",
        "\x00\x01 nonsense\r\n\r\n",
    ):
        with socket.create_connection(("127.0.0.1", port)) as line:
            line.sendall(request.encode())
    time.sleep(0.3)
    assert drive(address, text="Go.", bd=[200, 500])[1][-1][0] == "over"
    assert playground.fleet._count == 0
    assert capfd.readouterr().err == ""


# The command


def worlds_without_names(run):
    world = envs.load_world(run / "archive" / "world")
    envs.save_world(envs.World(
        world.name, world.size, world.occupied, world.robot, world.laser_angles,
        world.laser_ranges,
    ), run / "archive" / "world")  # fmt: skip
    renew(run / "archive")


def test_what_cannot_be_played_is_said_in_a_line(tmp_path, run):
    with pytest.raises(InputError, match="no such run; `make demo` makes runs/demo"):
        play(tmp_path / "nowhere", load_model)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(InputError, match=f"--port {port}: cannot be used on 127.0.0.1"):
            play(run, load_model, port=port)
    for other in (run / "archive", tmp_path / "nowhere"):
        with pytest.raises(InputError, match=r"--others .*: expected the folder of a model"):
            play(run, load_model, others=(other,))
    with pytest.raises(InputError, match="--host nosuchhost: no address"):
        play(run, load_model, host="nosuchhost")
    with pytest.raises(InputError, match="--port 70000: expected 0 to 65535"):
        play(run, load_model, port=70000)
    other = make_playable(tmp_path / "run")
    (other / "model" / "config.json").unlink()
    with pytest.raises(InputError, match=r"config.json: missing.*07_train"):
        play(other, load_model)
    (other / "model" / "manifest.json").unlink()
    with pytest.raises(InputError, match="07_train"):
        play(other, load_model)
    worlds_without_names(other)
    make_playable_again = run / "model"
    (other / "model").rename(other / "old")
    (other / "model").symlink_to(make_playable_again)
    with pytest.raises(InputError, match="the world has no scene, so no sentence can name"):
        play(other, load_model)


def test_the_script_prints_its_address_and_ends_with_ctrl_c(run):
    command = [sys.executable, "scripts/play.py", "--run", str(run), "--port", "0"]
    program = subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    try:
        assert program.stdout is not None and program.stderr is not None
        line = program.stdout.readline()
        (address,) = re.findall(r"http://127.0.0.1:\d+/", line)
        answer = httpx.post(f"{address}drives", json={"text": SAY}).json()
        stream = threading.Thread(target=lambda: messages_quietly(address, answer["id"]))
        stream.start()
        time.sleep(0.2)
        begun = time.monotonic()
        program.send_signal(signal.SIGINT)
        assert program.wait(10) == 0
        assert time.monotonic() - begun < 3, "within a second, on a machine with nothing else to do"
        assert program.stderr.read() == ""
        stream.join(5)
    finally:
        program.kill()
        program.wait()


def messages_quietly(address, identity):
    try:
        messages(f"{address}drives/{identity}/events")
    except httpx.HTTPError:
        return


def test_bodies_are_bounded_and_scenery_is_built_once(run):
    scenery = Scenery(run)
    wall = ((120.0, 380.0, 120.0, 560.0),)
    world = scenery.built(wall, scenery.start)
    assert scenery.built(wall, scenery.start) is world
    added = world.occupied & ~scenery.world.occupied
    assert 150 < added.sum() < 400 and (scenery.world.occupied <= world.occupied).all()
    assert LONGEST_BODY < 100_000
