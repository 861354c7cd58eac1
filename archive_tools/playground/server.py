"""The server: its address, its pages as one application, and its end by Ctrl-C."""

import os
import secrets
import socket
import sys
import threading
import webbrowser
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute, Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp

from archive_tools.files import template
from archive_tools.playground.safety import Guard, said
from archive_tools.playground.scenery import Scenery
from archive_tools.report import DARK, LIGHT
from envs.errors import InputError

STATIC = Path(__file__).parent / "static"


class Page(Protocol):
    """One page of the server."""

    path: str
    """Its address: "/", "/rate"."""
    name: str
    """In the menu of the pages."""
    template: str

    def facts(self) -> dict[str, Any]:
        """What the template needs besides."""
        ...

    def routes(self) -> list[BaseRoute]:
        """Everything below its path that it answers."""
        ...


class BoundSocket:
    """A place on the network, taken before anything slow is begun.

    Args:
        host: a name or number of this machine; beyond loopback, requests must know `token`.
        port: 0 takes a free one.

    Raises:
        InputError: the host or the port cannot be used.
    """

    def __init__(self, host: str, port: int, option: str = "--port") -> None:
        if not 0 <= port <= 65535:
            raise InputError(f"{option} {port}: expected 0 to 65535")
        try:
            family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
            self.socket = socket.create_server((host, port), family=family)
        except socket.gaierror as error:
            raise InputError(f"--host {host}: no address of this machine ({error})") from None
        except OSError as error:
            raise InputError(
                f"{option} {port}: cannot be used on {host} ({error.strerror}); 0 takes a free one"
            ) from None
        self.host, self.port = host, self.socket.getsockname()[1]
        number = self.socket.getsockname()[0]
        self.local = number.startswith("127.") or number == "::1"
        self.token = "" if self.local else secrets.token_urlsafe(16)

    def address(self, path: str = "/") -> str:
        """What to open in a browser; with the token where one is needed."""
        name = f"[{self.host}]" if ":" in self.host else self.host
        if self.host in ("0.0.0.0", "::"):
            name = socket.gethostname()
        return f"http://{name}:{self.port}{path}" + (f"?token={self.token}" if self.token else "")

    def close(self) -> None:
        """Give the place back."""
        self.socket.close()


def make_app(
    scenery: Scenery, pages: Sequence[Page], listener: BoundSocket | None = None
) -> ASGIApp:
    """The application: the pages, what they share, and the rules of safety around all of it.

    Args:
        scenery: the world that all pages show.
        pages: the first is where "/" leads.
        listener: where it is to be reached; this machine where None.
    """
    menu = [{"path": page.path, "name": page.name} for page in pages]

    def shown(page: Page) -> BaseRoute:
        def show(request: Request) -> Response:
            html = template(__package__, page.template).render(
                menu=menu, here=page.path, run=scenery.name, **page.facts()
            )
            return Response(html, media_type="text/html")

        return Route(page.path, show)

    def palette(request: Request) -> Response:
        css = template(__package__, "palette.css.jinja").render(light=LIGHT, dark=DARK)
        return Response(css, media_type="text/css")

    routes: list[BaseRoute] = [
        Route("/palette.css", palette),
        Route("/favicon.ico", lambda request: RedirectResponse("/static/icon.svg")),
        *scenery.routes(),
        Mount("/static", StaticFiles(directory=STATIC)),
    ]
    for page in pages:
        routes += [shown(page), *page.routes()]
    if all(page.path != "/" for page in pages):
        routes.append(Route("/", lambda request: RedirectResponse(pages[0].path)))
    app = Starlette(
        routes=routes,
        exception_handlers={
            404: lambda request, error: said(404, "no such page"),
            405: lambda request, error: said(405, "not asked so"),
            Exception: lambda request, error: said(
                500, "a mistake of the server; see its terminal"
            ),
            InputError: lambda request, error: said(400, str(error)),
        },
    )
    if listener is None:
        return Guard(app)
    return Guard(app, listener.host, listener.token, f"wayword-{listener.port}")


class _Server(uvicorn.Server):
    """uvicorn, ending at once: who still listens to a drive is not waited for."""

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self.force_exit = True
        await super().shutdown(sockets)


def make_server(app: ASGIApp) -> uvicorn.Server:
    """uvicorn as both pages need it; quiet, as the terminal is for people."""
    config = uvicorn.Config(
        app, loop="asyncio", http="h11", ws="none", lifespan="off", interface="asgi3",
        log_level="critical", access_log=False, server_header=False, timeout_keep_alive=30,
    )  # fmt: skip
    return _Server(config)


def serve(app: ASGIApp, listener: BoundSocket, path: str = "/", *, browser: bool = False) -> None:
    """Serve until Ctrl-C.

    Args:
        app: of `make_app`.
        listener: where.
        path: of the page that the printed address opens.
        browser: also open it in the desktop's browser, where there is a desktop.
    """
    try:
        print(f"open {listener.address(path)} and end with Ctrl-C", flush=True)
        if browser and _on_a_desktop():
            opening = threading.Thread(target=webbrowser.open, args=(listener.address(path),))
            opening.daemon = True
            opening.start()
        make_server(app).run(sockets=[listener.socket])
    except KeyboardInterrupt:
        print()
    finally:
        listener.close()


def _on_a_desktop() -> bool:
    """Whether a browser would open in a window; without, one may take the terminal."""
    return sys.platform in ("darwin", "win32") or any(
        os.environ.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY")
    )
