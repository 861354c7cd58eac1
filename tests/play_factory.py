"""A run to play in, a policy that can be foretold, and a server that runs beside the test."""

import contextlib
import json
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import numpy as np
import pyarrow as pa
import torch
from run_factory import Plan, make_run
from starlette.types import ASGIApp

import envs
import nanodt
from archive_tools.archive.elites import Archive
from archive_tools.files import file_digest
from archive_tools.files.tables import read_json, read_table, write_json, write_table
from archive_tools.playground.play_page import Playground
from archive_tools.playground.rate_page import RatingPage
from archive_tools.playground.scenery import Scenery
from archive_tools.playground.server import BoundSocket, make_app, make_server
from archive_tools.run.stage import Stage
from archive_tools.tasks.controllers import ControllerSpec
from nanodt.model.heads import HeadConfig
from nanodt.model.layout import policy_layout
from nanodt.model.network import Network, NetworkConfig
from nanodt.model.trunk import TrunkConfig
from nanodt.place.odometry import OdometryConfig
from nanodt.text.encoders import TextConfig

SYSTEMS = ("nanodt", "nanodt/text_off", "nearest_elite_bd", "replay")


def make_playable(run: Path, n: int = 24, world: str = "apartment") -> Path:
    """A run of `make_run` whose elites have controllers, and whose model has weights, if random."""
    make_run(run, n=n, world=world)
    spec = ControllerSpec((envs.load_world(world).n_obs, 10, 2))
    table = read_table(run / "archive" / "elites.parquet")
    rng = np.random.default_rng(0)
    solutions = rng.normal(0, 1, (n, spec.n_params)).astype(np.float32)
    info = {**read_json(run / "archive" / "archive.json"), "controller": spec.to_json()}
    ids, bd = table["policy_id"].to_numpy(), np.stack(table["measures"].tolist())
    Archive(ids, np.zeros(n), bd, solutions, info).save(run / "archive")
    texts = read_table(run / "dataset" / "trajectories.parquet")["texts"]
    save_model(run / "model", [text for row in texts for text in row])
    renew(run / "archive")
    renew(run / "model")
    return run


def renew(folder: Path) -> None:
    """Let the manifest of a finished stage's folder list its files as they are by now."""
    files = [p for p in folder.rglob("*") if p.is_file() and p.name != "manifest.json"]
    outputs = {
        path.relative_to(folder).as_posix(): {
            "bytes": path.stat().st_size, "sha256": file_digest(path)
        } for path in files
    }  # fmt: skip
    manifest = read_json(folder / "manifest.json")
    write_json(folder / "manifest.json", {**manifest, "outputs": outputs})


def save_model(folder: Path, texts: list[str]) -> None:
    """A small network with random weights, and its tokenizer."""
    torch.manual_seed(0)
    sizes = {"n_obs": 5, "n_act": 2, "n_bd": 2, "action_low": (-4.0,) * 2,
             "action_high": (4.0,) * 2, "action_decimals": 1}  # fmt: skip
    tokenizer = nanodt.train_tokenizer(texts, 400)
    text = TextConfig(vocabulary=tokenizer.vocabulary)
    layout = policy_layout(sizes, 400, 200, text, HeadConfig(), odometry=True)
    odometry = OdometryConfig(20.0, (60.0, 450.0, np.pi / 4), (3, 4))
    bounds = {"bd_low": (0.0, 0.0), "bd_high": (600.0, 600.0)}
    network = Network(
        NetworkConfig(layout, TrunkConfig(1, 2, 32), block_size=200, odometry=odometry, **bounds)
    )
    with torch.no_grad():
        for weights in network.parameters():
            weights.add_(0.3 * torch.randn_like(weights))
    network.save(folder)
    tokenizer.save(folder / "tokenizer.json")


def load_model(folder: Path):
    """As scripts/play.py does."""
    torch.set_num_threads(1)
    network = nanodt.load(folder).network
    return lambda: nanodt.Policy(network)


class Homing:
    """Drives straight to its BD through whatever is there; without one, straight on, and without a
    text in a circle. Slow: so many seconds a step."""

    def __init__(self, slow: float = 0.0) -> None:
        self.slow = slow

    def reset(self, seed, start):
        self.pose = np.array(start, np.float64)

    def act(self, obs, text, bd):
        time.sleep(self.slow)
        away = np.asarray(bd, np.float64) - self.pose[:, :2]
        turn = np.arctan2(away[:, 1], away[:, 0]) - self.pose[:, 2]
        turn = np.where(np.isnan(turn), 0.0, (turn + np.pi) % (2 * np.pi) - np.pi)
        turn[[i for i, words in enumerate(text) if words is None]] = 0.1
        turn = np.clip(turn, -0.2, 0.2)
        far = np.where(np.isnan(away).any(axis=1), 9.0, np.hypot(*away.T))
        ahead = np.where(far < 3, 0.0, 2.0) * (np.abs(turn) < 0.2)
        action = np.round(np.stack([ahead - 10 * turn, ahead + 10 * turn], axis=1), 1)
        bumped = obs[:, 3:5].max(axis=1) > 0
        self.pose[:, 2] += (action[:, 1] - action[:, 0]) / 20
        step = np.where(bumped, 0.0, action.mean(axis=1))
        self.pose[:, 0] += step * np.cos(self.pose[:, 2])
        self.pose[:, 1] += step * np.sin(self.pose[:, 2])
        return action.astype(np.float32)


def add_rollouts(run: Path, items: int = 6) -> Path:
    """rollouts/ of a run: four systems of which two drove the same paths."""
    recorded = read_table(run / "trajectories" / "trajectories.parquet")
    data = read_table(run / "dataset" / "trajectories.parquet")
    commands, drives = [], []
    for item in range(items):
        row = recorded.iloc[item]
        text = f"Stop at <DESCRIPTOR>, {item}." if item % 2 else data["texts"].iloc[item][0]
        commands.append({"item": item, "set": "test", "text": text, "bd": row["bd"].tolist()})
        for number, system in enumerate(SYSTEMS):
            pose = recorded["pose"].iloc[item if number in (0, 3) else (item + number) % 24]
            drives.append({"system": system, "item": item, "seed": 0, "pose": pose.tolist()})
    with Stage(Plan(run=run), "rollouts") as stage:
        write_table(stage.path("items.parquet"), pa.Table.from_pylist(commands))
        write_table(stage.path("rollouts.parquet"), pa.Table.from_pylist(drives))
    return run


@contextlib.contextmanager
def serving(app: ASGIApp, listener: BoundSocket) -> Iterator[str]:
    """The address of an application that is served as long as the block lasts."""
    server = make_server(app)
    thread = threading.Thread(target=server.run, args=([listener.socket],), daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.005)
    try:
        yield listener.address().rstrip("/")
    finally:
        server.should_exit = True
        thread.join(5)


@contextlib.contextmanager
def playing(run: Path, load=load_model, port: int = 0, rater: str = "ada", **options):
    """(address, playground) of a run's pages."""
    listener = BoundSocket("127.0.0.1", port)
    scenery = Scenery(run)
    playground = Playground(run, scenery, load, **options)
    pages = [playground, RatingPage(run, rater)]
    with serving(make_app(scenery, pages, listener), listener) as address:
        yield address, playground
    playground.close()


def drive(address: str, **command) -> tuple[dict, list[tuple[str, dict]]]:
    """The answer to a command, and all messages of its drive in order."""
    reply = httpx.post(f"{address}/drives", json={"text": "", **command})
    assert reply.status_code == 200, reply.text
    return reply.json(), messages(f"{address}/drives/{reply.json()['id']}/events")


def messages(address: str, after: int = 0) -> list[tuple[str, dict]]:
    """Server-sent events until the stream ends: (kind, data)."""
    reply = httpx.get(address, headers={"Last-Event-ID": str(after)} if after else {}, timeout=60)
    assert reply.status_code == 200, reply.text
    found = []
    for block in reply.text.split("\n\n"):
        fields = dict(line.split(": ", 1) for line in block.splitlines() if ": " in line)
        if "event" in fields:
            found.append((fields["event"], json.loads(fields["data"])))
    return found


def path_of(heard: list[tuple[str, dict]], robot: int = 0) -> np.ndarray:
    """Poses [T+1, 3] of one robot: x, y, degrees."""
    parts = [d["pose"] for kind, d in heard if kind == "poses" and d["robot"] == robot]
    return np.array([pose for part in parts for pose in part])
