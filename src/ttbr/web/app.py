"""The application: the page at ``/``, and what it asks for at ``/api/``."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from typing import Any

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from ttbr.errors import TtbrError
from ttbr.report.hostile import visible
from ttbr.web.answers import MOST_ROWS, Answers
from ttbr.web.guard import Guard
from ttbr.web.index import POLICY, index
from ttbr.web.library import Library, NoSuchImage
from ttbr.web.query import LARGEST, BadRequest, number, parameters
from ttbr.web.shelf import Busy, Shelf

BINARY = "application/octet-stream"
_FRESH = {"Cache-Control": "no-store"}
Handler = Callable[[Request], Awaitable[Response]]


def application(library: Library, page: bytes, policy: str, names: Iterable[str]) -> Starlette:
    """The server's application.

    ``page``: the HTML without a document, ``policy``: its Content-Security-Policy; ``names``:
    hosts that requests may be addressed to. ``/?image=NAME`` is the page, ``/`` a list of images.
    """
    shelf = Shelf(library)

    async def front(request: Request) -> Response:
        if "image" in request.query_params:
            headers = {"Content-Security-Policy": policy, **_FRESH}
            return Response(page, media_type="text/html", headers=headers)
        listed = await asyncio.to_thread(library.images)
        text = index([entry.name for entry in listed])
        headers = {"Content-Security-Policy": POLICY, **_FRESH}
        return Response(text, media_type="text/html", headers=headers)

    async def images(request: Request) -> Response:
        parameters(request.query_params, {})
        found = await asyncio.to_thread(library.images)
        rows = [{"name": e.name, "kind": "board" if e.board else "image"} for e in found]
        return _json({"images": rows})

    async def document(request: Request) -> Response:
        given = parameters(request.query_params, {"image": True})
        packed = await shelf.ask(given["image"], lambda answers: answers.document)
        return Response(packed, media_type=BINARY, headers=_FRESH)

    async def translate(request: Request) -> Response:
        known = {"image": True, "machine": False, "va": True, "root": False}
        given = parameters(request.query_params, known)
        machine, va, root = number(given, "machine"), number(given, "va"), given.get("root")

        def question(answers: Answers) -> dict[str, Any]:
            return answers.translate(machine, va, root)

        return _json(await shelf.ask(given["image"], question))

    async def mappings(request: Request) -> Response:
        optional = dict.fromkeys(("machine", "root", "from", "to", "limit"), False)
        given = parameters(request.query_params, {"image": True, **optional})
        machine, root = number(given, "machine"), given.get("root", "kernel")
        start, last = number(given, "from"), number(given, "to", LARGEST)
        limit = number(given, "limit", MOST_ROWS)

        def question(answers: Answers) -> dict[str, Any]:
            return answers.mappings(machine, root, start, last, limit)

        return _json(await shelf.ask(given["image"], question))

    def answered(handler: Handler) -> Handler:
        """The handler, with every error as one line of JSON."""

        async def answer(request: Request) -> Response:
            try:
                return await handler(request)
            except BadRequest as error:
                return _json({"error": visible(str(error))}, 400)
            except NoSuchImage:
                return _json({"error": "there is no such image"}, 404)
            except Busy:
                return _json({"error": "too many requests wait for this image"}, 503)
            except OSError as error:
                return _json({"error": error.strerror or "the file cannot be read"}, 422)
            except (TtbrError, MemoryError) as error:
                text = library.without_paths(str(error)) or "out of memory"
                return _json({"error": visible(text)}, 422)

        return answer

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        yield
        shelf.close()

    return Starlette(
        routes=[
            Route("/", front),
            Route("/api/images", answered(images)),
            Route("/api/document", answered(document)),
            Route("/api/translate", answered(translate)),
            Route("/api/mappings", answered(mappings)),
        ],
        middleware=[Middleware(Guard, names=tuple(names))],
        lifespan=lifespan,
    )


def _json(value: Any, status: int = 200) -> Response:
    text = json.dumps(value, allow_nan=False)
    return Response(text, status, media_type="application/json", headers=_FRESH)
