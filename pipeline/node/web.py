"""What a node says by HTTP: STOW-RS, a page of what it has done, and whether it is well."""

from __future__ import annotations

import logging
import uuid
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import HTMLResponse, JSONResponse, PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from pipeline.core.progress_bar import duration
from pipeline.node.addresses import is_among
from pipeline.node.gatherer import Gatherer
from pipeline.node.settings import MIB, Settings, Web
from pipeline.node.status import Status
from pipeline.node.stow import BadRequestError, answer_type, boundary_of, store

logger = logging.getLogger(__name__)
PAGE = Environment(
    loader=FileSystemLoader(Path(__file__).parent / "templates"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
).get_template("node.html")
# Nothing is asked of anybody, and nothing of it runs
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; img-src data:; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}


class KnownCallers:
    """Lets through whoever calls from a known address."""

    def __init__(self, app: ASGIApp, web: Web) -> None:
        self.app, self.web = app, web

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        client = scope.get("client")
        if scope["type"] == "http" and not (client and is_among(client[0], self.web.may_call)):
            logger.warning("refused a request from %s", client[0] if client else "nowhere")
            await PlainTextResponse("this address is not known here\n", 403)(scope, receive, send)
            return
        await self.app(scope, receive, send)


def application(settings: Settings, web: Web, gatherer: Gatherer, status: Callable[[], Status]) -> Starlette:
    """What a server of HTTP runs. `status` tells how the node is."""

    def page(request: Request) -> Response:
        return HTMLResponse(PAGE.render(status=status(), duration=duration), headers=HEADERS)

    def health(request: Request) -> Response:
        told = status()
        return JSONResponse(told.as_json(), 200 if told.is_well else 503, headers=HEADERS)

    async def stow(request: Request) -> Response:
        body = gatherer.spool.incoming / uuid.uuid4().hex
        try:
            media_type = answer_type(request.headers.get("accept", ""))
            boundary = boundary_of(request.headers.get("content-type", ""))
            await _received(request, body, settings.limits.object_mb * MIB)
            answer = await run_in_threadpool(store, gatherer, body, boundary, request.path_params.get("study", ""))
        except BadRequestError as error:
            return PlainTextResponse(f"{error}\n", error.status, headers=HEADERS)
        except ClientDisconnect:
            return Response(status_code=400)
        finally:
            body.unlink(missing_ok=True)
        return Response(answer.text(media_type), answer.http_status, headers=HEADERS, media_type=media_type)

    routes = [Route("/", page), Route("/health", health)]
    if web.may_store:
        routes += [Route(f"/dicom-web/studies{rest}", stow, methods=["POST"]) for rest in ("", "/{study}")]
    return Starlette(routes=routes, middleware=_middleware(web), exception_handlers={Exception: _failed})


def _middleware(web: Web) -> list[Middleware]:
    hosts = [*web.names] or ["*"]
    return [Middleware(KnownCallers, web=web), Middleware(TrustedHostMiddleware, allowed_hosts=hosts)]


async def _received(request: Request, body: Path, most_bytes: int) -> None:
    """The body of a request as a file; BadRequestError for one that is too long."""
    told = request.headers.get("content-length", "0")
    if told.isdecimal() and int(told) > most_bytes:
        raise BadRequestError(413, f"the request has more than {most_bytes // MIB} MB")
    size = 0
    with body.open("wb") as stream:
        async for block in request.stream():
            size += len(block)
            if size > most_bytes:
                raise BadRequestError(413, f"the request has more than {most_bytes // MIB} MB")
            stream.write(block)


_Handler = Callable[[Request, Exception], Awaitable[Response]]


async def _failed(request: Request, error: Exception) -> Response:
    # Not its message, which may hold what was sent
    logger.error("a request failed: %s", type(error).__name__)
    return PlainTextResponse("the node could not do this\n", 500)


def server_of(web: Web, app: Starlette, **tls: Any) -> Any:
    """A server of uvicorn, whose `run` serves until its `should_exit` is set."""
    import uvicorn

    # Its own log has addresses with UIDs in them
    configuration = uvicorn.Config(
        app, host=web.host, port=web.port, log_config=None, access_log=False, server_header=False, **tls
    )
    return uvicorn.Server(configuration)
