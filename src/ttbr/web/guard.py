"""Who is answered: requests to a name of this server, from a page of this server.

Any page on the web can make a browser send requests to 127.0.0.1. Two things stop it: the Host
header names who was meant (a name that was rebound to 127.0.0.1 still stands there), and Origin and
Sec-Fetch-Site say whose page asks.
"""

import re
from collections.abc import Iterable

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

LOOPBACK = ("localhost", "127.0.0.1", "[::1]")
METHODS = ("GET", "HEAD")
OWN_SITE = (None, "same-origin", "none")
"""Of Sec-Fetch-Site: not sent, this server's page, or the user (an address typed, a bookmark)."""
_HOST = re.compile(r"(\[[0-9a-f:.]+\]|[a-z0-9._-]+)(?::[0-9]{1,5})?")
HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
}
"""In every answer, unless it has its own."""


class Guard:
    """Passes on what comes to one of ``names`` (hosts, without port), refuses the rest."""

    def __init__(self, app: ASGIApp, names: Iterable[str]) -> None:
        self._app = app
        self._names = frozenset(name.lower() for name in names)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request; anything but HTTP (a web socket) is closed unanswered."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if scope["type"] != "http":
            await send({"type": "websocket.close", "code": 1008})
            return

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        refused = self._refused(Headers(scope=scope), scope)
        await (refused or self._app)(scope, receive, with_headers)

    def _refused(self, headers: Headers, scope: Scope) -> Response | None:
        """Why a request is not answered; None where it is."""
        hosts = headers.getlist("host")
        match = _HOST.fullmatch(hosts[0].lower()) if len(hosts) == 1 else None
        if match is None or match[1] not in self._names:
            return _error(421, "this server is not the host that was asked for")
        own = {f"http://{hosts[0].lower()}", f"https://{hosts[0].lower()}"}
        if any(origin.lower() not in own for origin in headers.getlist("origin")):
            return _error(403, "requests from pages of others are refused")
        to_page = scope["path"] == "/" and headers.get("sec-fetch-mode") == "navigate"
        if headers.get("sec-fetch-site") not in OWN_SITE and not to_page:
            return _error(403, "requests from pages of others are refused")
        if scope["method"] not in METHODS:
            return _error(405, "only GET is answered")
        return None


def _error(status: int, text: str) -> Response:
    return JSONResponse({"error": text}, status)
