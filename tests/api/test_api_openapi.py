"""The OpenAPI document is whole: every route, every reference, every example."""

import json
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
import schemathesis
from schemathesis.core.result import Ok

from tests.api.stub_engine import StubEngine, ask
from vdb.config import Limits
from vdb.protocol.operations import OPERATIONS, Operation
from vdb_api import openapi
from vdb_api.errors import declared_statuses

DOCUMENT = openapi.build(Limits())


def references(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        if isinstance(value.get("$ref"), str):
            yield value["$ref"]
        for item in value.values():
            yield from references(item)
    elif isinstance(value, list):
        for item in value:
            yield from references(item)


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation.name)
def test_every_operation_is_described(operation: Operation) -> None:
    described = DOCUMENT["paths"][operation.path][operation.method.lower()]
    assert described["operationId"] == operation.name
    assert {str(status) for status in declared_statuses()} < set(described["responses"])
    if operation.request.__struct_fields__ and operation.method != "GET":
        example = described["requestBody"]["content"]["application/json"]["example"]
        msgspec.json.decode(json.dumps(example), type=operation.request)


def test_every_reference_leads_somewhere() -> None:
    for reference in references(DOCUMENT):
        found: Any = DOCUMENT
        for step in reference.removeprefix("#/").split("/"):
            found = found[step]
        assert isinstance(found, dict), reference


def test_the_document_loads_in_a_fuzzer() -> None:
    schema = schemathesis.openapi.from_dict(DOCUMENT)
    schema.validate()
    loaded = {operation.ok().label for operation in schema.get_all_operations() if isinstance(operation, Ok)}
    assert {f"{operation.method} {operation.path}" for operation in OPERATIONS} < loaded


def test_the_served_document_is_this_one() -> None:
    assert ask(StubEngine(), "GET", "/openapi.json").json == json.loads(json.dumps(DOCUMENT))


def test_the_bounds_of_what_a_search_may_cost_are_described() -> None:
    described = DOCUMENT["components"]["schemas"]["SearchParams"]["properties"]
    bounds = {
        name: {key: kept for key, kept in schema.items() if "imum" in key.lower()} for name, schema in described.items()
    }
    assert bounds == {
        "exact": {},
        "recall": {"minimum": 0.5, "exclusiveMaximum": 1},
        "budget": {"minimum": 1, "maximum": 2**31 - 1},
        "rerank": {"minimum": 1, "maximum": 10_000},
        "backend": {},
    }
    assert "gpu" in json.dumps(described["backend"])
    assert "path" in DOCUMENT["components"]["schemas"]["Explain"]["required"]


def test_a_point_without_a_vector_is_described() -> None:
    assert {"type": "null"} in DOCUMENT["components"]["schemas"]["Point"]["properties"]["vector"]["anyOf"]


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation.name)
def test_errors_are_described_in_the_shape_of_the_operation(operation: Operation) -> None:
    reference = DOCUMENT["paths"][operation.path][operation.method.lower()]["responses"]["404"]["$ref"]
    (media_type, content), *_ = DOCUMENT["components"]["responses"][reference.rpartition("/")[2]]["content"].items()
    shape = (
        ("application/json", "OpenAIError") if operation.shape == "openai" else ("application/problem+json", "Problem")
    )
    assert (media_type, content["schema"]["$ref"].rpartition("/")[2]) == shape


def test_answers_that_stream_are_described_with_their_events() -> None:
    for operation in OPERATIONS:
        content = DOCUMENT["paths"][operation.path][operation.method.lower()]["responses"]
        events = content["201" if operation.created else "200"]["content"].get("text/event-stream")
        assert (events is not None) is operation.streams
        if events is not None:
            assert events["x-event-data"]["anyOf"]


def test_fields_that_nobody_knows_are_allowed_in_chats_alone() -> None:
    schemas = DOCUMENT["components"]["schemas"]
    assert schemas["Answer"]["additionalProperties"] is False
    assert schemas["AnswerOptions"]["additionalProperties"] is False
    assert "additionalProperties" not in schemas["Chat"]


def test_tokens_and_quotas_are_described_apart() -> None:
    schemas = DOCUMENT["components"]["schemas"]
    assert "prompt_tokens" in schemas["TokenUsage"]["properties"]
    assert "points" in schemas["Usage"]["properties"]
