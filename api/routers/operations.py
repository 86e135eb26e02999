"""A FastAPI route for every line of the table of operations, and the match of a path with the table.

Handlers take the raw request: shapes, checks and documents come from `vdb.protocol`, not from FastAPI's models.
"""

from collections.abc import Awaitable, Callable
from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import Response

from vdb.protocol.operations import OPERATIONS, Operation

from ..deps import Service
from ..encode import Reply
from ..errors import Shape
from ..exchange import KEY

_OPENAI = ("/v1/chat/", "/v1/models", "/v1/completions", "/v1/embeddings", "/v1/responses")
"""Where OpenAI's clients ask."""

Endpoint = Callable[[Request], Awaitable[Response]]


def response_of(reply: Reply) -> Response:
    """A reply as FastAPI wants it."""
    response = Response(reply.body, reply.status)
    response.raw_headers += [(b"content-type", reply.media_type), *reply.headers]
    return response


def build(service: Service) -> APIRouter:
    """The routes of all operations."""
    router = APIRouter()
    for operation in OPERATIONS:
        endpoint: Any = _endpoint(service, operation)
        # A model's name may have a slash, which is decoded before routes are matched.
        path = operation.path.replace("{model}", "{model:path}")
        router.add_api_route(path, endpoint, methods=[operation.method], name=operation.name, response_model=None)
    return router


def allowed_methods(path: str) -> list[str]:
    """The methods that some operation has at `path`."""
    return sorted({operation.method for operation in OPERATIONS if _matches(operation.path, path)})


def shape_of(path: str) -> Shape:
    """Whose errors whoever asks at `path` understands, whether or not there is a route."""
    return "openai" if path.startswith(_OPENAI) else "vdb"


def _endpoint(service: Service, operation: Operation) -> Endpoint:
    async def endpoint(request: Request) -> Response:
        exchange = request.scope[KEY]
        exchange.collection = request.path_params.get("collection")
        exchange.cache = request.path_params.get("cache")
        reply = await service.respond(exchange, operation, tuple(request.path_params.values()))
        assert isinstance(reply, Reply), "those that stream are answered at the edge"
        return response_of(reply)

    return endpoint


def _matches(template: str, path: str) -> bool:
    wanted, given = template.split("/"), path.split("/")
    if wanted[-1] == "{model}":
        given[len(wanted) - 1 :] = ["/".join(given[len(wanted) - 1 :])]
    return len(wanted) == len(given) and all(
        step == part or (step.startswith("{") and part) for step, part in zip(wanted, given, strict=True)
    )
