"""Routes beside the operations: liveness, readiness, metrics and the OpenAPI document."""

from collections.abc import Awaitable, Callable

from fastapi import APIRouter, Request
from starlette.responses import Response

from vdb.errors import Unavailable, VdbError

from .. import openapi
from ..deps import Service
from ..encode import JSON, Reply, encode
from ..errors import OK, problem, unexpected
from ..exchange import KEY, Exchange
from .operations import response_of

PATHS = ("/healthz", "/readyz", "/metrics", "/openapi.json")
_PROBES = ("/healthz", "/readyz")

Answer = Callable[[Exchange], Reply]


def build(service: Service) -> APIRouter:
    """The routes of `PATHS`."""
    document = encode(openapi.build(service.engine.settings.limits))

    def alive(_: Exchange) -> Reply:
        return Reply(OK, JSON, b'{"status":"alive"}')

    def ready(_: Exchange) -> Reply:
        health = service.engine.health()
        if health["status"] != "ready":
            raise Unavailable(f"not ready: {health['status']}")
        return Reply(OK, JSON, encode(health))

    def described(_: Exchange) -> Reply:
        return Reply(OK, JSON, document)

    router = APIRouter()
    for path, answer in zip(PATHS, (alive, ready, service.scrape, described), strict=True):
        router.add_api_route(path, _endpoint(path, answer), methods=methods_of(path), response_model=None)
    return router


def methods_of(path: str) -> list[str]:
    """The methods of one of `PATHS`. Load balancers probe with HEAD; the server below leaves the body out."""
    return ["GET", "HEAD"] if path in _PROBES else ["GET"]


def _endpoint(path: str, answer: Answer) -> Callable[[Request], Awaitable[Response]]:
    async def endpoint(request: Request) -> Response:
        exchange: Exchange = request.scope[KEY]
        exchange.operation = path.strip("/")
        exchange.route = path
        try:
            return response_of(answer(exchange))
        except VdbError as error:
            return response_of(problem(error, exchange.request_id))
        except Exception as exc:
            return response_of(unexpected(exc, exchange.request_id))

    return endpoint
