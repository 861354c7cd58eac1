"""People rate drives: a local page shows one drive at a time and takes a score of 0 to 10.

Raters are blind: drives of several systems come mixed, in an order fixed by the seed, and nothing
that reaches the browser says which system drove. Drives of one item that are one and the same path
are shown once, and the score counts for all the systems that drove it. All raters see the same
order, so that their ratings overlap. Every rating is on disk before the next drive is shown, in
`RUN/ratings/RATER.jsonl`, which `archive_tools.agreement.read_ratings` reads.
"""

import json
import os
import re
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from numpy.typing import NDArray

from archive_tools import charts
from archive_tools.explorer import are_positions
from archive_tools.packing import kept
from archive_tools.stage import check_folder
from archive_tools.tables import read_json, read_table
from envs import World, load_world
from envs.drawing import Drive, draw_scene, scene_symbols
from envs.errors import InputError

HIGHEST = 10
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
POLICY = (
    "default-src 'none'; connect-src 'self'; img-src data:; style-src 'unsafe-inline'; "
    "script-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


@dataclass(frozen=True)
class Shown:
    """A drive to be rated."""

    item: int
    seed: int
    systems: tuple[str, ...]
    """All systems that drove this path for this item."""
    text: str
    target: tuple[float, float] | None
    """World units; None where BDs are not positions in the world."""
    pose: NDArray[np.float32]
    """[T+1, 3], world units."""


def choose(
    run: Path, *, items: int = 32, systems: Sequence[str] = (), seed: int = 0
) -> list[Shown]:
    """The drives to be rated, in the order in which they are shown.

    Args:
        run: with archive/, dataset/ and rollouts/.
        items: the first so many test items; 0 means all.
        systems: whose drives; all when none are named.
        seed: of the order.

    Raises:
        InputError: a stage is missing or damaged, or rollouts/ has no such drive with a path.
    """
    for name in ("archive", "dataset", "rollouts"):
        check_folder(run / name)
    table = read_table(run / "rollouts" / "items.parquet", ("item", "set", "text", "bd"))
    tests = table.loc[table["set"] == "test"].set_index("item").sort_index()
    wanted = tests.index[: items or len(tests)].tolist()
    drives = read_table(run / "rollouts" / "rollouts.parquet", ("system", "item", "seed", "pose"))
    known = list(dict.fromkeys(drives["system"]))
    for name in systems:
        if name not in known:
            raise InputError(f"--judge-systems: no drives of {name}; found {', '.join(known)}")
    drives = drives.loc[drives["item"].isin(wanted) & drives["pose"].notna()]
    drives = drives.loc[drives["seed"] == drives["seed"].min()]
    if systems:
        drives = drives.loc[drives["system"].isin(list(systems))]
    marked = are_positions(
        read_json(run / "dataset" / "dataset.json"), load_world(run / "archive" / "world")
    )
    paths: dict[tuple[int, bytes], list[str]] = {}
    for name, item, pose in zip(drives["system"], drives["item"], drives["pose"], strict=True):
        paths.setdefault((int(item), np.asarray(pose, np.float32).tobytes()), []).append(name)
    if not paths:
        raise InputError(f"{run / 'rollouts'}: no test drive with a path, so nothing to rate")
    first = int(drives["seed"].iloc[0])
    found = [
        Shown(
            item,
            first,
            tuple(sorted(names)),
            str(tests["text"].loc[item]),
            (float(tests["bd"].loc[item][0]), float(tests["bd"].loc[item][1])) if marked else None,
            np.frombuffer(path, np.float32).reshape(-1, 3),
        )
        for (item, path), names in sorted(paths.items())
    ]
    return [found[i] for i in np.random.default_rng(seed).permutation(len(found))]


class RatingFile:
    """The ratings of one rater: lines of JSON, appended and flushed to disk one by one.

    Args:
        path: the file; made with its folder when the first rating comes.
        rater: the rater's name.
        rollouts: digest of the run's rollouts/, kept with each rating.

    Raises:
        InputError: a line of the file is not a rating.
    """

    def __init__(self, path: Path, rater: str, rollouts: str) -> None:
        self.path, self.rater, self.rollouts = path, rater, rollouts
        self._lines: list[dict[str, Any]] = []
        self._ends = [0]  # offset in the file after each line
        whole = path.read_bytes() if path.exists() else b""
        for number, line in enumerate(whole.splitlines(keepends=True), 1):
            if not line.endswith(b"\n"):
                break  # cut off by a crash: written over by the next rating
            self._lines.append(self._parse(line, number))
            self._ends.append(self._ends[-1] + len(line))

    def _parse(self, line: bytes, number: int) -> dict[str, Any]:
        try:
            rating = json.loads(line)
            return {key: rating[key] for key in ("item", "system", "seed", "score")} | rating
        except (ValueError, TypeError, KeyError) as error:
            raise InputError(
                f"{self.path}:{number}: not a rating ({error!r}); mend or remove the line"
            ) from None

    def scores(self) -> dict[tuple[str, int, int], int]:
        """(system, item, seed) → the score given last, of the present rollouts."""
        return {
            (row["system"], row["item"], row["seed"]): row["score"]
            for row in self._lines
            if row.get("rollouts", self.rollouts) == self.rollouts
        }

    def add(self, drive: Shown, score: int) -> None:
        """Append a line for each system that drove this path, and wait until the disk has them."""
        time = datetime.now(UTC).isoformat(timespec="microseconds")
        rows = [
            {"item": drive.item, "system": name, "seed": drive.seed, "rater": self.rater,
             "score": score, "time": time, "rollouts": self.rollouts}
            for name in drive.systems
        ]  # fmt: skip
        self.path.parent.mkdir(parents=True, exist_ok=True)
        lines = [(json.dumps(row, ensure_ascii=False) + "\n").encode() for row in rows]
        self._write(self._ends[-1], b"".join(lines))
        for row, line in zip(rows, lines, strict=True):
            self._lines.append(row)
            self._ends.append(self._ends[-1] + len(line))

    def undo(self) -> None:
        """Take the last rating back: its lines are cut off the file."""
        last = self._lines[-1]
        while self._lines and all(self._lines[-1].get(k) == last.get(k) for k in ("item", "time")):
            self._lines.pop()
            self._ends.pop()
        self._write(self._ends[-1], b"")

    def _write(self, offset: int, data: bytes) -> None:
        descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            os.ftruncate(descriptor, offset)
            os.pwrite(descriptor, data, offset)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


class Session:
    """One rater's way through the drives; safe to be used by several threads."""

    def __init__(self, drives: Sequence[Shown], world: World, ratings: RatingFile) -> None:
        self.drives, self.world, self.ratings = list(drives), world, ratings
        self._lock = threading.Lock()
        self._place = {
            (name, drive.item, drive.seed): number
            for number, drive in enumerate(self.drives)
            for name in drive.systems
        }
        self._picture = lru_cache(maxsize=4)(self._draw)

    def _rated(self) -> dict[int, int]:
        """Number of a drive → its score, in the order of the ratings."""
        return {
            self._place[key]: score
            for key, score in self.ratings.scores().items()
            if key in self._place
        }

    def _draw(self, number: int) -> str:
        drive = self.drives[number]
        return draw_scene(
            self.world,
            [Drive(drive.pose, None, "time", "solid", drive.target)],
            width=360,
            legend=False,
            background="use",
        )

    def state(self) -> dict[str, Any]:
        """What the page shows: progress, and the next drive unless all are rated."""
        rated = self._rated()
        found: dict[str, Any] = {"rated": len(rated), "total": len(self.drives)}
        found["last"] = list(rated.values())[-1] if rated else None
        number = next((n for n in range(len(self.drives)) if n not in rated), None)
        found["number"] = number
        if number is not None:
            drive = self.drives[number]
            found["picture"] = self._picture(number)
            found["words"] = drive.text.split("<DESCRIPTOR>")
            found["path"] = [
                [round(float(x), 1), round(float(y), 1), round(float(np.degrees(angle)))]
                for x, y, angle in drive.pose[kept(len(drive.pose) - 1)]
            ]
        return found

    def rate(self, number: int, score: int) -> dict[str, Any] | None:
        """Keep a score for the drive that is shown; None where another one is."""
        with self._lock:
            if number != self.state()["number"]:
                return None
            self.ratings.add(self.drives[number], score)
            return self.state()

    def undo(self) -> dict[str, Any]:
        """Take the last rating back, if there is one."""
        with self._lock:
            if self._rated():
                self.ratings.undo()
            return self.state()


def _page(world: World, rater: str) -> bytes:
    environment = Environment(
        loader=PackageLoader("archive_tools"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    page = environment.get_template("rate.html.jinja").render(
        light=charts.LIGHT,
        dark=charts.DARK,
        symbols=Markup(scene_symbols(world)),
        rater=rater,
        highest=HIGHEST,
    )
    return page.encode()


def make_server(session: Session, *, port: int = 0) -> ThreadingHTTPServer:
    """A server on 127.0.0.1 that is ready to run; `.server_port` says where it listens.

    It answers only requests that name it as their host (against DNS rebinding), and takes scores
    only as JSON from its own page (against requests forged by other pages).

    Raises:
        InputError: the port is taken.
    """
    page = _page(session.world, session.ratings.rater)

    class Handler(BaseHTTPRequestHandler):
        server_version, sys_version, protocol_version = "Wayword", "", "HTTP/1.1"
        timeout = 60

        def log_message(self, format: str, *args: Any) -> None:
            """Say nothing: the terminal is for the rater."""

        def _send(self, status: int, body: bytes, kind: str = "application/json") -> None:
            self.send_response(status)
            for key, value in (
                ("Content-Type", f"{kind}; charset=utf-8"),
                ("Content-Length", str(len(body))),
                ("Cache-Control", "no-store"),
                ("X-Content-Type-Options", "nosniff"),
                ("Content-Security-Policy", POLICY),
            ):
                self.send_header(key, value)
            if status >= 400:
                self.close_connection = True
                self.send_header("Connection", "close")
            self.end_headers()
            self.wfile.write(body)

        def _answer(self, status: int, value: Any) -> None:
            self._send(status, json.dumps(value, ensure_ascii=False).encode())

        def _refused(self) -> bool:
            host = self.headers.get("Host", "")
            ours = {f"{name}:{self.server.server_port}" for name in ("127.0.0.1", "localhost")}  # type: ignore[attr-defined]
            origin = self.headers.get("Origin")
            if host not in ours or (origin is not None and origin != f"http://{host}"):
                self._answer(403, {"error": "not asked by the rating page"})
                return True
            return False

        def do_GET(self) -> None:
            if self._refused():
                return
            if self.path == "/":
                self._send(200, page, "text/html")
            elif self.path == "/state":
                self._answer(200, session.state())
            else:
                self._answer(404, {"error": "no such page"})

        def do_POST(self) -> None:
            if self._refused():
                return
            if self.headers.get_content_type() != "application/json":
                self._answer(415, {"error": "expected JSON"})
                return
            try:
                length = int(self.headers.get("Content-Length", ""))
                asked = json.loads(self.rfile.read(length)) if 0 < length <= 1000 else None
            except ValueError:
                asked = None
            if self.path == "/undo":
                self._answer(200, session.undo())
            elif self.path == "/rate":
                self._rate(asked)
            else:
                self._answer(404, {"error": "no such page"})

        def _rate(self, asked: Any) -> None:
            number, score = (
                (asked.get("number"), asked.get("score"))
                if isinstance(asked, dict)
                else (None, None)
            )
            if type(number) is not int or type(score) is not int or not 0 <= score <= HIGHEST:
                self._answer(400, {"error": f"expected number and score, 0 to {HIGHEST}"})
                return
            state = session.rate(number, score)
            # Two windows, or a key pressed twice: the page catches up instead of rating blindly.
            self._answer(409 if state is None else 200, session.state() if state is None else state)

    try:
        server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
    except OSError as error:
        raise InputError(
            f"--port {port}: cannot be used ({error.strerror}); 0 takes a free one"
        ) from None
    server.daemon_threads = True
    return server


def rate(
    run: Path,
    rater: str,
    *,
    items: int = 32,
    systems: Sequence[str] = (),
    seed: int = 0,
    port: int = 0,
) -> Path:
    """Serve the rating page until Ctrl-C; returns the file that holds the ratings.

    Args:
        run: with archive/, dataset/ and rollouts/.
        rater: a name of letters, digits, - and _.
        items, systems, seed: see `choose`.
        port: on 127.0.0.1; 0 takes a free one.

    Raises:
        InputError: a stage is missing, the name or the port cannot be used, or the file of
            ratings is damaged.
    """
    if not NAME.fullmatch(rater):
        raise InputError(f"--rater {rater!r}: expected letters, digits, - and _, at most 64")
    if not 0 <= port <= 65535:
        raise InputError(f"--port {port}: expected 0 to 65535")
    drives = choose(run, items=items, systems=systems, seed=seed)
    path = run / "ratings" / f"{rater}.jsonl"
    ratings = RatingFile(path, rater, check_folder(run / "rollouts")["digest"])
    session = Session(drives, load_world(run / "archive" / "world"), ratings)
    with make_server(session, port=port) as server:
        state = session.state()
        print(f"{state['rated']} of {state['total']} drives are rated; scores go to {path}")
        print(f"rate at http://127.0.0.1:{server.server_port}/ and end with Ctrl-C", flush=True)
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            state = session.state()
            print(f"\n{state['rated']} of {state['total']} drives are rated; kept in {path}")
            print(f"the table of agreement: python scripts/09_evaluate.py --run {run} --redo")
    return path
