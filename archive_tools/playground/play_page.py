"""The playground: type a sentence, click a place, watch it drive."""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from starlette.background import BackgroundTask
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import BaseRoute, Route

from archive_tools.annotations import NearRule, annotate
from archive_tools.evaluation import judge_rules
from archive_tools.files import read_json, read_table
from archive_tools.language import parse
from archive_tools.playground import pictures, understanding
from archive_tools.playground.commands import MOST_ROBOTS, Command, Text, read
from archive_tools.playground.drives import Drive, Shelf
from archive_tools.playground.fleet import Copies, Fleet, Floors, MakeGround, Rider, warm_up
from archive_tools.playground.robots import LoadPolicy, Robots
from archive_tools.playground.safety import said
from archive_tools.playground.scenery import Scenery
from archive_tools.rollouts import listener
from archive_tools.run import check_folder
from archive_tools.tasks import Measures, registry
from envs.errors import InputError

ENVIRONMENT = "wayword/Navigation-v0"


class Playground:
    """The page at "/", and what it asks of the server.

    Args:
        run: with archive/, annotations/, dataset/ and model/.
        scenery: the run's world.
        load: loads a model's folder.
        others: folders of further models to compare with.

    Raises:
        InputError: a stage is missing, or the world has no scene.
        ValueError: the model cannot be loaded.
    """

    path, name, template = "/", "Playground", "play.html.jinja"

    def __init__(
        self, run: Path, scenery: Scenery, load: LoadPolicy, others: Sequence[Path] = ()
    ) -> None:
        for stage in ("archive", "annotations", "dataset", "model"):
            check_folder(run / stage)
        info = read_json(run / "dataset" / "dataset.json")
        world = scenery.world
        if world.scene is None or not (world.scene.objects or world.scene.tiles):
            raise InputError(
                f"{run / 'archive' / 'world'}: the world has no scene, so no sentence can name a "
                "place; add [[object]] or [tiles] to its file and begin anew at stage 00"
            )
        if not Measures.of_dataset(info).are_positions(world.size):
            raise InputError(f"{run}: its BDs are no places of the world, so none can be clicked")
        self.movable = info["environment"]["id"].endswith(ENVIRONMENT)
        """Whether robots can be put elsewhere and walls in their way, as only our simulator can."""
        self.run, self.scenery, self.scene = run, scenery, world.scene
        table = read_table(
            run / "dataset" / "trajectories.parquet", ("trajectory_id", "split", "bd", "texts")
        )
        self.robots = Robots(run, table, load, others)
        self.rule = NearRule.of(run / "annotations")
        reader = run / "model" / listener.FOLDER
        self.reads = listener.load_listener(reader) if reader.is_dir() else None
        train = table.loc[table["split"] == "train", "texts"]
        words = understanding.words_of([text for texts in train for text in texts])
        self.known = words if self.reads is None else None
        self.examples = understanding.examples(table, self.scene)
        self.steps = int(info["steps"])
        self.fleet = Fleet(self.steps, self._ground(info))
        self.shelf = Shelf()
        self._warm_up()

    def _ground(self, info: dict[str, Any]) -> MakeGround:
        """What robots drive on; `info` is dataset.json."""
        if self.movable:
            decimals = info["environment"]["kwargs"].get("action_decimals")
            return lambda worlds, starts: Floors(worlds, starts, decimals)
        environment, seed = registry.run_environment(self.run, info), int(info.get("seed", 0))
        return lambda worlds, starts: Copies(environment, len(worlds), seed)

    def _warm_up(self) -> None:
        """Do once what is slow only the first time, so that nobody waits for a first frame."""
        world = self.scenery.world
        begin = self.robots.model(self.robots.choices["policy"])
        warm_up(begin, world, self.fleet.ground)
        pose = np.tile(np.array([self.scenery.start], np.float32), (9, 1))
        driven = annotate(self.scene, [pose], size=world.size, rule=self.rule)[0]
        judge_rules(self.examples[0]["text"] if self.examples else "", driven, None, self.scene)

    def close(self) -> None:
        """Stop driving."""
        self.fleet.close()

    def facts(self) -> dict[str, Any]:
        """For the template."""
        return {"robots": [*self.robots.choices.values()],
                "examples": self.examples, "most": MOST_ROBOTS,
                "movable": self.movable}  # fmt: skip

    def routes(self) -> list[BaseRoute]:
        """What the page asks for."""
        return [
            Route("/play.json", self._state),
            Route("/understand", self._understand, methods=["POST"]),
            Route("/drives", self._drive, methods=["POST"]),
            Route("/drives/{identity}/events", self._events),
            Route("/drives/{identity}/picture.{kind}", self._picture),
        ]

    async def _state(self, request: Request) -> Response:
        """Who can drive, and whether the model on disk is still there."""
        robots = [
            {key: value for key, value in asdict(robot).items() if key != "model"}
            for robot in self.robots.choices.values()
        ]
        gone = not (self.run / "model" / "manifest.json").exists()
        return JSONResponse({"robots": robots, "steps": self.steps, "model_gone": gone})

    async def _understand(self, request: Request) -> Response:
        text = read(Text, await request.body()).text
        found = await run_in_threadpool(understanding.understand, text, self.scene, self.known)
        return JSONResponse(found)

    async def _drive(self, request: Request) -> Response:
        command = read(Command, await request.body())
        text = command.text.strip()
        if not text and command.bd is None:
            raise InputError("say where to go, or click a place on the map")
        robots = self.robots.choose(command.robots)
        target = command.bd
        if target is None:
            target = understanding.named_target(parse(text, self.scene), self.reads)
        elif not all(0 <= value <= self.scenery.world.size for value in target):
            raise InputError("that place lies outside the world")
        if not self.movable and (command.start or command.walls):
            raise InputError(
                "this environment has a start and walls of its own; only a target can be set"
            )
        start = command.start or self.scenery.start
        world = await run_in_threadpool(self.scenery.built, command.walls, start)
        drive = Drive(text, target, world, robots, self.rule)
        riders, slow = [], []
        for number, robot in enumerate(robots):
            if robot.model != self.run / "model":
                slow.append(number)
                continue
            riders.append(self._rider(drive, number))
        self.fleet.submit(riders)
        self.shelf.put(drive)
        if (old := self.shelf.get(command.replaces)) is not None:
            old.unwanted = True
        answer = {
            "id": drive.identity,
            "target": target,
            "robots": [robot.name for robot in robots],
            "steps": self.steps,
        }
        # What has to be loaded or looked up first sets off after the others.
        return JSONResponse(answer, background=BackgroundTask(self._set_off_slow, drive, slow))

    def _rider(self, drive: Drive, number: int) -> Rider:
        robot = drive.tracks[number].robot
        return Rider(
            drive,
            number,
            self.robots.model(robot),
            None if robot.deaf or not drive.text else drive.text,
            None if robot.blind else drive.target,
        )

    def _set_off_slow(self, drive: Drive, numbers: Sequence[int]) -> None:
        for number in numbers:
            track = drive.tracks[number]
            try:
                if track.robot.model is not None:
                    self.fleet.submit([self._rider(drive, number)])
                    continue
                pose, bumps = self.robots.elite(drive.text, drive.target, drive.world, self.steps)
            except ValueError as error:
                drive.fail(number, str(error))
                continue
            track.poses = list(pose)
            drive.send_poses(number, bumps.nonzero()[0].tolist())
            drive.send_events(number, over=True)

    async def _events(self, request: Request) -> Response:
        drive = self.shelf.get(request.path_params["identity"])
        if drive is None or drive.unwanted:
            return said(404, "this drive is forgotten; drive it again")
        after = request.headers.get("last-event-id", "0")
        told = int(after) if after.isascii() and after.isdigit() else 0
        return StreamingResponse(drive.watch(told), media_type="text/event-stream")

    async def _picture(self, request: Request) -> Response:
        drive, kind = self.shelf.get(request.path_params["identity"]), request.path_params["kind"]
        if drive is None or kind not in pictures.KINDS:
            return said(404, "this drive is forgotten; drive it again")
        data = await run_in_threadpool(pictures.render, drive, kind)
        headers = {"Content-Disposition": f'attachment; filename="drive.{kind}"'}
        return Response(data, media_type=pictures.KINDS[kind], headers=headers)
