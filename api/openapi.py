"""The OpenAPI 3.1 document, built from the table of operations and the shapes of `vdb.protocol`.

What a shape cannot say (bounds, patterns) is added here per property from the server's limits.
"""

import typing
from typing import Any

import msgspec

from vdb.config import Limits
from vdb.protocol import answer_answers, answers, chat_answers, columns
from vdb.protocol.operations import OPERATIONS, Operation
from vdb.protocol.requests import LEAST_RECALL, MAX_BUDGET, MAX_K1, MAX_MEMORY_BYTES, TenantRate
from vdb.protocol.strict_json import INT64_MAX

from .errors import OK, Shape, declared_statuses, success_of
from .openapi_answers import ANSWER_EXAMPLES, refine_answers
from .openapi_caches import CACHE_EXAMPLES, refine_caches
from .openapi_chat import (
    CHAT_EXAMPLES,
    ERROR_NAME,
    MODEL,
    event_stream,
    openai_error_schema,
    openai_response,
    openai_responses,
    refine_chat,
)
from .openapi_documents import DOCUMENT_EXAMPLES, refine_documents

TITLE = "vdb"
VERSION = "1"

Schema = dict[str, Any]

_REF = "#/components/schemas/{name}"
_NAME_PATTERN = "^[a-z0-9][a-z0-9_-]{0,63}$"
_NAME: Schema = {"type": "string", "pattern": _NAME_PATTERN}
_MONTH: Schema = {"type": "string", "pattern": "^[0-9]{4}-(0[1-9]|1[0-2])$"}
_IDENTIFIER: Schema = {"type": "string", "pattern": "^[A-Za-z0-9_-]{1,64}$"}
_VECTOR: Schema = {
    "anyOf": [
        {"type": "array", "items": {"type": "number"}, "minItems": 1},
        {"type": "string", "contentEncoding": "base64", "description": "little-endian float32"},
    ]
}
_FILTER: Schema = {"type": ["object", "null"], "description": "A filter; see the documentation of the HTTP API."}
_PATHS: dict[str, Schema] = {
    "collection": _NAME,
    "tenant": _NAME,
    "key": _IDENTIFIER,
    "job": _IDENTIFIER,
    "backup": _NAME,
    "cache": _NAME,
    "model": MODEL,
    "category": _NAME,
    "entry": {"type": "string", "pattern": "^[0-9a-f]{16}$"},
}

_EXAMPLES: dict[str, Any] = {
    "create_collection": {
        "name": "notes",
        "dimension": 3,
        "fields": {"lang": "string"},
        "indexes": ["lang"],
        "text": {"fields": {"text": 1, "title": 3}, "language": "english"},
    },
    "update_collection": {"tenants": ["acme", "globex"], "metadata": {"owner": "search-team"}},
    "learn_fusion": {
        "queries": [{"text": "leaking pump", "relevant": {"pumps": 1}}],
        "field": "document",
        "metric": "recall",
        "at": 5,
        "dry_run": True,
    },
    "tune": {"queries": "rows", "encoding": {"form": "lvq8", "dimension": 160}},
    "set_aliases": {"set": {"docs": "docs-v2"}, "remove": ["docs-old"]},
    "upsert": {"points": [{"id": "a", "vector": [1, 0, 0], "payload": {"lang": "en"}}]},
    "get_points": {"ids": ["a"], "with_vector": True},
    "delete_points": {"ids": ["a"]},
    "scroll": {"limit": 100, "filter": {"field": "lang", "eq": "en"}},
    "count": {"filter": {"field": "lang", "eq": "en"}},
    "update_payload": {"points": [{"id": "a", "payload": {"lang": "de"}}], "mode": "merge"},
    "share": {"action": "grant", "ids": ["a"], "to": ["globex"]},
    "search": {
        "vector": [1, 0, 0],
        "limit": 5,
        "filter": {"field": "lang", "eq": "en"},
        "params": {"recall": 0.95},
        "explain": True,
        "mode": "dense",
        "group": {"field": "lang"},
    },
    "create_tenant": {"name": "acme", "quota": {"points": 1000000}, "rate": {"reads_per_s": 100}},
    "update_tenant": {"quota": {"points": 2000000, "bytes": None}, "rate": None},
    "create_key": {"role": "write", "tenant": "acme", "name": "application"},
    "rotate_key": {"grace_s": 60},
    "create_backup": {"name": "before-upgrade"},
    **DOCUMENT_EXAMPLES,
    **CACHE_EXAMPLES,
    **ANSWER_EXAMPLES,
    **CHAT_EXAMPLES,
}

_EVENTS: dict[str, tuple[Any, ...]] = {
    "answer": typing.get_args(answer_answers.Event),
    "chat": (chat_answers.ChatChunk,),
}
"""What the events of an answer hold, where it is streamed."""


def build(limits: Limits) -> Schema:
    """The document, as an object to be encoded."""
    paths: dict[str, Schema] = {}
    for operation in OPERATIONS:
        paths.setdefault(operation.path, {})[operation.method.lower()] = _operation(operation, limits)
    paths.update(_system_paths())
    return {
        "openapi": "3.1.0",
        "info": {"title": TITLE, "version": VERSION, "description": "A multi-tenant vector database."},
        "servers": [{"url": "/"}],
        "security": [{"key": []}],
        "paths": paths,
        "components": {
            "schemas": _schemas(limits),
            "responses": {str(status): _problem_response(title) for status, title in declared_statuses().items()}
            | openai_responses(declared_statuses()),
            "parameters": {"Tenant": _tenant_header()},
            "securitySchemes": {"key": {"type": "http", "scheme": "bearer", "description": "An API key."}},
        },
    }


def _operation(operation: Operation, limits: Limits) -> Schema:
    described: Schema = {
        "operationId": operation.name,
        "summary": operation.summary,
        "tags": [operation.path.split("/")[2]],
        "x-access": operation.access,
        "parameters": _parameters(operation, limits),
        "responses": {str(success_of(operation)): _answer(operation), **_problems(operation.shape)},
    }
    if operation.method != "GET" and operation.request.__struct_fields__:
        described["requestBody"] = {"required": True, "content": _body(operation)}
    return described


def _body(operation: Operation) -> Schema:
    content: Schema = {
        "application/json": {"schema": _ref(operation.request.__name__), "example": _EXAMPLES[operation.name]}
    }
    if operation.name in ("search", "upsert"):
        head = columns.SearchHead if operation.name == "search" else columns.UpsertHead
        content[columns.MEDIA_TYPE] = {
            "schema": {"type": "string", "format": "binary"},
            "x-head": _ref(head.__name__),
        }
    return content


def _answer(operation: Operation) -> Schema:
    shapes = typing.get_args(operation.answer) or (operation.answer,)
    refs = [_ref(shape.__name__) for shape in shapes]
    schema = refs[0] if len(refs) == 1 else {"anyOf": refs}
    content: Schema = {"application/json": {"schema": schema}}
    if operation.name in _EVENTS:
        content["text/event-stream"] = event_stream([_ref(shape.__name__) for shape in _EVENTS[operation.name]])
    return {
        "description": operation.summary,
        "headers": {"X-Request-Id": {"schema": {"type": "string"}}},
        "content": content,
    }


def _parameters(operation: Operation, limits: Limits) -> list[Schema]:
    found: list[Schema] = [{"$ref": "#/components/parameters/Tenant"}]
    for name, schema in _PATHS.items():
        if f"{{{name}}}" in operation.path:
            found.append({"name": name, "in": "path", "required": True, "schema": schema})
    if operation.method == "GET":
        limit = {"type": "integer", "minimum": 1, "maximum": limits.max_scroll_limit, "default": 100}
        shapes = {"limit": limit, "cursor": {"type": "string"}, "month": _MONTH, "prefix": {"type": "string"}}
        shapes["version"] = {"type": "integer", "minimum": 1}
        for name in operation.request.__struct_fields__:
            found.append({"name": name, "in": "query", "required": False, "schema": shapes[name]})
    return found


def _tenant_header() -> Schema:
    return {
        "name": "Vdb-Tenant",
        "in": "header",
        "required": False,
        "description": "The tenant that a service or admin key acts for.",
        "schema": _NAME,
    }


def _problems(shape: Shape = "vdb") -> Schema:
    names = {status: openai_response(status) if shape == "openai" else str(status) for status in declared_statuses()}
    return {str(status): {"$ref": f"#/components/responses/{name}"} for status, name in names.items()}


def _problem_response(title: str) -> Schema:
    return {"description": title, "content": {"application/problem+json": {"schema": _ref("Problem")}}}


def _ref(name: str) -> Schema:
    return {"$ref": _REF.format(name=name)}


def _schemas(limits: Limits) -> dict[str, Schema]:
    requests = [operation.request for operation in OPERATIONS]
    shapes: list[Any] = [*requests, columns.UpsertHead, columns.SearchHead]
    _, asked = msgspec.json.schema_components(shapes, ref_template=_REF)
    _refine(asked, _request_refinements(limits))
    asked["CreateCollection"]["properties"]["name"] = _NAME
    asked["CreateTenant"]["properties"]["name"] = _NAME
    asked["UpdateCollection"]["properties"]["name"] = _NAME
    asked["SetAliases"]["properties"]["set"] |= {"propertyNames": _NAME, "maxProperties": limits.max_aliases}
    refine_caches(asked, limits)
    refine_documents(asked, limits)
    refine_answers(asked, limits)
    refine_chat(asked)
    told: dict[str, Schema] = {}
    for operation in OPERATIONS:  # one by one: msgspec has no union of untagged shapes
        answered = typing.get_args(operation.answer) or (operation.answer,)
        for shape in (*answered, *_EVENTS.get(operation.name, ())):
            told.update(msgspec.json.schema_components([shape], ref_template=_REF)[1])
    _refine(told, {"payload": {"type": "object"}, "vector": _VECTOR})
    told[answers.Point.__name__]["properties"]["vector"] = {"anyOf": [*_VECTOR["anyOf"], {"type": "null"}]}
    return {**asked, **told, "Problem": _problem_schema(), ERROR_NAME: openai_error_schema()}


def _refine(schemas: dict[str, Schema], refinements: dict[str, Schema]) -> None:
    """Lay the constraints of `refinements`, by property name, over what the shapes say."""
    for schema in schemas.values():
        for name, found in schema.get("properties", {}).items():
            _merge(found, refinements.get(name, {}))


def _merge(schema: Schema, refinement: Schema) -> None:
    if not refinement:
        return
    nullable = [choice for choice in schema.get("anyOf", ()) if choice.get("type") != "null"]
    if "type" in refinement or "anyOf" in refinement:
        schema.pop("anyOf", None)
        schema.update(refinement)
    elif len(nullable) == 1:
        nullable[0].update(refinement)
    else:
        schema.update(refinement)


def _request_refinements(limits: Limits) -> dict[str, Schema]:
    count = {"minimum": 0, "maximum": INT64_MAX}
    ids = {"minItems": 1, "maxItems": limits.max_ids_per_request, "items": _point_id(limits)}
    return {
        "id": _point_id(limits),
        "ids": ids,
        "vectors": {"type": "array", "minItems": 1, "maxItems": limits.max_queries_per_request, "items": _VECTOR},
        "points": {"minItems": 1, "maxItems": limits.max_points_per_request},
        "payload": {"type": "object"},
        "filter": _FILTER,
        "dimension": {"minimum": 1, "maximum": limits.max_dimension},
        "limit": {"minimum": 1, "maximum": limits.max_limit},
        "recall": {"minimum": LEAST_RECALL, "exclusiveMaximum": 1},
        "budget": {"minimum": 1, "maximum": MAX_BUDGET},
        "rerank": {"minimum": 1, "maximum": limits.max_rerank},
        "n_queries": {"minimum": 1, "maximum": limits.max_queries_per_request},
        "owner": {"pattern": _NAME_PATTERN},
        "tenant": {"pattern": _NAME_PATTERN},
        "min_sequence": count,
        "if_version": count,
        "timeout_s": {"minimum": 0, "maximum": limits.max_timeout_s},
        "grace_s": {"minimum": 0},
        "metadata": {"maxProperties": limits.max_metadata_entries},
        "memory_bytes": {"minimum": 1, "maximum": MAX_MEMORY_BYTES},
        "k1": {"minimum": 0, "maximum": MAX_K1},
        "b": {"minimum": 0, "maximum": 1},
        **{field: {"exclusiveMinimum": 0} for field in TenantRate.__struct_fields__},
    }


def _point_id(limits: Limits) -> Schema:
    return {"type": "string", "minLength": 1, "maxLength": limits.max_id_bytes}


def _problem_schema() -> Schema:
    text = {"type": "string"}
    fault = {"type": "object", "properties": {"pointer": text, "detail": text}, "required": ["pointer", "detail"]}
    properties: Schema = {
        "type": text,
        "title": text,
        "status": {"type": "integer"},
        "detail": text,
        "code": {"type": "string", "description": "Stable; the name to act upon."},
        "errors": {"type": "array", "items": fault},
        "request_id": text,
    }
    return {"type": "object", "properties": properties, "required": list(properties)}


def _system_paths() -> dict[str, Schema]:
    described: dict[str, tuple[str, str, str, list[Schema]]] = {
        "/healthz": ("healthz", "Whether the process lives", "application/json", []),
        "/readyz": ("readyz", "Whether requests are served", "application/json", []),
        "/metrics": ("metrics", "Prometheus metrics", "text/plain", [{"key": []}]),
        "/openapi.json": ("openapi", "This document", "application/json", []),
    }
    paths = {path: {"get": _system_operation(*parts)} for path, parts in described.items()}
    for path in ("/healthz", "/readyz"):
        answers = {status: {"description": title} for status, title in ((str(OK), "as GET"), ("default", "as GET"))}
        paths[path]["head"] = paths[path]["get"] | {"operationId": f"head_{path[1:]}", "responses": answers}
    return paths


def _system_operation(name: str, summary: str, media_type: str, security: list[Schema]) -> Schema:
    schema = {"type": "object" if media_type == "application/json" else "string"}
    answer = {"description": summary, "content": {media_type: {"schema": schema}}}
    return {
        "operationId": name,
        "summary": summary,
        "tags": ["system"],
        "security": security,
        "responses": {str(OK): answer, **_problems()},
    }
