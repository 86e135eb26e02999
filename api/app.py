"""The application: FastAPI for routes and documents, `Edge` around it. `create` puts them together."""

import sys
from typing import Any

from fastapi import FastAPI, Request
from starlette.exceptions import HTTPException
from starlette.responses import Response

from vdb.config import Settings
from vdb.errors import MethodNotAllowed, RouteNotFound

from . import openapi
from .deps import Service
from .errors import problem, unexpected
from .exchange import KEY, Exchange, Receive, Scope, Send, send_reply
from .logs import AccessLog
from .middleware import Edge
from .routers import operations, system


def create(service: Service, settings: Settings) -> Edge:
    """The whole REST surface over `service`."""
    app = FastAPI(title=openapi.TITLE, docs_url=None, redoc_url=None, openapi_url=None, redirect_slashes=False)
    app.include_router(operations.build(service))
    app.include_router(system.build(service))
    app.add_exception_handler(HTTPException, _no_route)
    document = openapi.build(settings.limits)
    app.openapi = lambda: document  # type: ignore[method-assign]
    return Edge(app, service, AccessLog(sys.stderr.buffer) if settings.log_requests else None)


def create_metrics(service: Service) -> Any:
    """An application that serves /metrics without a key; for a loopback port of its own."""

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        exchange = Exchange(scope, receive)
        if scope["path"] == "/metrics" and scope["method"] == "GET":
            reply = service.scrape_freely()
        else:
            reply = problem(RouteNotFound("only /metrics is served here"), exchange.request_id)
        await send_reply(scope, send, reply)

    return application


async def _no_route(request: Request, exc: Exception) -> Response:
    """The answer where no route took the request: the path is unknown, or has other methods."""
    exchange: Exchange = request.scope[KEY]
    path = request.scope["path"]
    shape = operations.shape_of(path)
    methods = system.methods_of(path) if path in system.PATHS else operations.allowed_methods(path)
    if not methods:
        return operations.response_of(problem(RouteNotFound("no such route"), exchange.request_id, shape=shape))
    if request.method in methods:
        return operations.response_of(unexpected(exc, exchange.request_id, shape))
    allow = ", ".join(methods)
    error = MethodNotAllowed(f"this route has {allow}")
    return operations.response_of(problem(error, exchange.request_id, ((b"allow", allow.encode()),), shape))
