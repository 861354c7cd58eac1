"""What every request must pass and every answer carries: the rules of safety, in one place.

The server answers only requests that name it as their host (against DNS rebinding), and takes
nothing from other pages (against forged requests): a POST must be JSON of a bounded length, and an
Origin must be its own. Pages run no script, style or picture but those it serves. Where it listens
beyond this machine, a token opens it: once in the address, from then on in a cookie.
"""

import asyncio
import hmac
import ipaddress
import socket
import sys
from http.cookies import CookieError, SimpleCookie
from urllib.parse import parse_qsl, urlencode

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

LONGEST_BODY = 16_384
"""Bytes of a request's body."""
PATIENCE = 10.0
"""Seconds in which a body must have come."""
LOOPBACK = frozenset({"127.0.0.1", "localhost", "[::1]"})
HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
        "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "Cache-Control": "no-store",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


class Guard:
    """An ASGI application that lets through to another what passes the rules of this module.

    Args:
        app: the application.
        host: where the server listens.
        token: asked of every request; "" asks none.
        cookie: the name of the cookie that holds the token.
    """

    def __init__(
        self, app: ASGIApp, host: str = "127.0.0.1", token: str = "", cookie: str = "wayword"
    ) -> None:
        self.app, self.token, self.cookie = app, token, cookie
        self.names = LOOPBACK | ({host.lower(), socket.gethostname().lower()} if token else set())

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            return

        async def guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(HEADERS)
            await send(message)

        try:
            refusal = self._refusal(Request(scope))
            if refusal is None and scope["method"] not in ("GET", "HEAD"):
                body = await _body(receive)
                if isinstance(body, bytes):
                    receive = _replayed(body, receive)
                else:
                    refusal = body
            await (refusal or self.app)(scope, receive, guarded)
        except ConnectionError:
            return  # who asked has left
        except Exception as error:  # a fault of ours, answered by the application: on it goes
            print(f"{scope['path']!r}: {type(error).__name__}: {error}", file=sys.stderr)

    def _refusal(self, request: Request) -> Response | None:
        headers = request.headers
        host, origin = headers.get("host", ""), headers.get("origin")
        if not self._is_ours(host):
            return said(403, "this server is not called so")
        if origin is not None and origin.partition("://")[2] != host:
            return said(403, "not asked by a page of this server")
        if request.method not in ("GET", "HEAD") and not _is_json(headers):
            return said(415, "expected JSON")
        return self._locked(request) if self.token else None

    def _is_ours(self, host: str) -> bool:
        """Whether a Host header may name this server; any port, as tunnels change it."""
        name = host.rpartition(":")[0] if not host.endswith("]") and ":" in host else host
        if name.lower() in self.names:
            return True
        try:
            ipaddress.ip_address(name.strip("[]"))
        except ValueError:
            return False
        return bool(self.token)  # a number cannot be rebound

    def _locked(self, request: Request) -> Response | None:
        """None for who has the token; a redirection that stores it, or a refusal."""
        query = dict(parse_qsl(request.url.query))
        if self._opens(query.pop("token", "")):
            rest = f"?{urlencode(query)}" if query else ""
            entry = RedirectResponse(request.url.path + rest, 303)
            entry.set_cookie(self.cookie, self.token, httponly=True, samesite="strict")
            return entry
        try:
            held = SimpleCookie(request.headers.get("cookie", "")).get(self.cookie)
        except CookieError:
            held = None
        if held is not None and self._opens(held.value):
            return None
        return said(401, "open the address with its token, as the terminal shows it")

    def _opens(self, token: str) -> bool:
        return hmac.compare_digest(token.encode(), self.token.encode())


def said(status: int, words: str) -> JSONResponse:
    """An answer that is one sentence: {"error": words}."""
    return JSONResponse({"error": words}, status)


def _is_json(headers: Headers) -> bool:
    return headers.get("content-type", "").partition(";")[0].strip().lower() == "application/json"


async def _body(receive: Receive) -> bytes | Response:
    """The whole body, or why it is refused; ConnectionError where the client leaves before."""
    body = b""
    try:
        async with asyncio.timeout(PATIENCE):
            while True:
                message = await receive()
                if message["type"] == "http.disconnect":
                    raise ConnectionError
                body += message.get("body", b"")
                if len(body) > LONGEST_BODY:
                    return said(413, f"longer than {LONGEST_BODY} bytes")
                if not message.get("more_body"):
                    return body
    except TimeoutError:
        return said(408, f"the body did not come within {PATIENCE:.0f} s")


def _replayed(body: bytes, receive: Receive) -> Receive:
    """Gives a body that was read already, then whatever follows."""
    waiting = [{"type": "http.request", "body": body, "more_body": False}]

    async def replay() -> Message:
        return waiting.pop() if waiting else await receive()

    return replay
