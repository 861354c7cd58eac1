"""People rate drives: a local page shows one drive at a time and takes a score of 0 to 10.

Raters are blind: drives of several systems come mixed, in an order fixed by the seed, and nothing
that reaches the browser says which system drove. Drives of one item that are one and the same path
are shown once, and the score counts for all the systems that drove it. All raters see the same
order, so that their ratings overlap. Every rating is on disk before the next drive is shown, in
`RUN/ratings/RATER.jsonl`, which `archive_tools.rating.ratings.read_ratings` reads.
"""

import json
import re
from collections.abc import Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from markupsafe import Markup

from archive_tools.files import template
from archive_tools.rating.drives import choose
from archive_tools.rating.ratings import RatingFile
from archive_tools.rating.session import Session
from archive_tools.report import DARK, LIGHT
from archive_tools.run import check_folder
from envs import World, load_world
from envs.drawing import scene_symbols
from envs.errors import InputError

HIGHEST = 10
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")


def _page(world: World, rater: str) -> dict[str, Any]:
    """The page, and the policy that lets its own script run and no other."""
    module = template(__package__, "rate.html.jinja").make_module({
        "light": LIGHT,
        "dark": DARK,
        "symbols": Markup(scene_symbols(world)),
        "rater": rater,
        "highest": HIGHEST,
    })  # fmt: skip
    return {"page": str(module).encode(), "policy": str(module.policy).strip()}  # type: ignore[attr-defined]


class Handler(BaseHTTPRequestHandler):
    """Answers the rating page: the page itself, what to show next, a score, and undo."""

    page: bytes
    policy: str
    session: Session
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
            ("Content-Security-Policy", self.policy),
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
            self._send(200, self.page, "text/html")
        elif self.path == "/state":
            self._answer(200, self.session.state())
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
            self._answer(200, self.session.undo())
        elif self.path == "/rate":
            self._rate(asked)
        else:
            self._answer(404, {"error": "no such page"})

    def _rate(self, asked: Any) -> None:
        number, score = (
            (asked.get("number"), asked.get("score")) if isinstance(asked, dict) else (None, None)
        )
        if type(number) is not int or type(score) is not int or not 0 <= score <= HIGHEST:
            self._answer(400, {"error": f"expected number and score, 0 to {HIGHEST}"})
            return
        state = self.session.rate(number, score)
        # Two windows, or a key pressed twice: the page catches up instead of rating blindly.
        self._answer(
            409 if state is None else 200, self.session.state() if state is None else state
        )


def make_server(session: Session, *, port: int = 0) -> ThreadingHTTPServer:
    """A server on 127.0.0.1 that is ready to run; `.server_port` says where it listens.

    It answers only requests that name it as their host (against DNS rebinding), and takes scores
    only as JSON from its own page (against requests forged by other pages).

    Raises:
        InputError: the port is taken.
    """
    served = {**_page(session.world, session.ratings.rater), "session": session}
    try:
        server = ThreadingHTTPServer(("127.0.0.1", port), type("Served", (Handler,), served))
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
