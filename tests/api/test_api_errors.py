"""Every error has a status and one body."""

import pytest

from tests.api.stub_engine import StubEngine, ask
from vdb import errors
from vdb_api.errors import declared_statuses, status_of

SDK_ONLY = {"transport_error", "transport_timeout"}

EXPECTED = {
    "invalid_json": 400, "unknown_field": 400, "duplicate_id": 400, "tenant_required": 400, "unauthenticated": 401,
    "key_expired": 401, "not_owner": 403, "sharing_forbidden": 403, "collection_not_found": 404, "point_not_found": 404,
    "route_not_found": 404, "method_not_allowed": 405, "already_exists": 409, "quota_exceeded": 409,
    "body_too_large": 413, "payload_too_large": 413, "unsupported_media_type": 415, "rate_limited": 429,
    "internal_error": 500, "queue_full": 503, "sequence_timeout": 503, "shutting_down": 503, "disk_full": 507,
}  # fmt: skip


@pytest.mark.parametrize("code", sorted(errors.BY_CODE))
def test_every_error_has_a_declared_status_and_a_problem_body(code: str) -> None:
    def fail(*_: object) -> object:
        raise errors.BY_CODE[code].at("/ids/0", "what is wrong")

    answer = ask(StubEngine(fail), "GET", "/v1/limits")
    assert answer.status == answer.json["status"] == status_of(errors.BY_CODE[code])
    assert answer.code == code
    assert answer.json["type"] == f"urn:vdb:error:{code}"
    assert answer.json["errors"] == [{"pointer": "/ids/0", "detail": "what is wrong"}]
    assert answer.json["request_id"] == answer.headers["x-request-id"]
    if code not in SDK_ONLY:
        assert answer.status in declared_statuses()


def test_statuses_are_those_of_the_documentation() -> None:
    assert {code: status_of(errors.BY_CODE[code]) for code in EXPECTED} == EXPECTED
    assert 422 not in {status_of(error) for error in errors.BY_CODE.values()}


def test_a_missing_key_is_challenged() -> None:
    answer = ask(StubEngine(), "GET", "/v1/limits", key=None)
    assert (answer.status, answer.headers["www-authenticate"]) == (401, "Bearer")


@pytest.mark.parametrize(("given_s", "told"), [(None, "1"), (0.01, "1"), (2.2, "3")])
def test_retry_after_is_whole_seconds_and_at_least_one(given_s: float | None, told: str) -> None:
    def fail(*_: object) -> object:
        raise errors.QueueFull("full", retry_after_s=given_s)

    answer = ask(StubEngine(fail), "GET", "/v1/limits")
    assert (answer.status, answer.headers["retry-after"]) == (503, told)


def test_a_bug_tells_nothing_of_itself(caplog: pytest.LogCaptureFixture) -> None:
    def fail(*_: object) -> object:
        raise RuntimeError("inner text")

    answer = ask(StubEngine(fail), "GET", "/v1/limits")
    assert (answer.status, answer.code) == (500, "internal_error")
    assert b"inner text" not in answer.body
    (record,) = [record for record in caplog.records if record.name == "vdb_api.errors"]
    assert record.exc_info is not None
    assert record.__dict__["fields"] == {"request_id": answer.json["request_id"]}
