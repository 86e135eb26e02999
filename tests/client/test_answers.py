"""Answers become structs with dict payloads and float32 vectors; listings and scrolls are read to their end."""

import asyncio
import base64
import json
from typing import Any

import numpy as np
import pytest

from tests.client.scripted import Reply, Script, serving
from vdb.client import AsyncClient, Client, Hits
from vdb.errors import CollectionNotFound, InternalError, InvalidArgument, InvalidJson, JobNotFound, TransportTimeout
from vdb.protocol import columns
from vdb.protocol.answers import Deleted, Explain, Job

KEY = "key-of-sixteen-chars"
VECTOR = np.array([1.5, -2.0], np.float32)
TEXT = base64.b64encode(VECTOR.astype("<f4").tobytes()).decode()
HIT = {"id": "a", "owner": "acme", "distance": 0.5, "version": 3, "payload": {"n": 1}, "vector": TEXT}
JOB = {"id": "j1", "kind": "delete", "state": "running", "collection": "docs", "tenant": "acme", "n_done": 2}
JOB |= {"created_at": "2026-01-01T00:00:00Z", "finished_at": None, "error": None}
TIMES: dict[str, Any] = {"plan_us": 3.0, "scan_us": 20.5, "recheck_us": 4.0, "payloads_us": 2.5, "total_us": 30.0}


def _client(script: Script) -> Client:
    return Client(script.url, KEY)


def _head(script: Script) -> tuple[dict[str, Any], np.ndarray[Any, Any]]:
    head, vectors = columns.split_frame(script.asked[-1].body)
    return json.loads(head), vectors


def test_hits_carry_payload_vector_sequence_and_explanation() -> None:
    said: dict[str, Any] = {"path": "index", "reason": "of a later release", "rows": 5, "queries": 1, "kernels": "cpu"}
    answer = {"sequence": 9, "hits": [HIT], "explain": {**said, **TIMES, "reached": True, "later": 1}}
    with serving(Reply(body=answer)) as script, _client(script) as client:
        hits = client.collection("docs").search(VECTOR, limit=1, with_vector=True, explain=True)
    assert isinstance(hits, Hits)
    assert (hits.sequence, hits.explain, hits[0].id, hits[0].payload) == (
        9,
        Explain(**said, **TIMES, reached=True),
        "a",
        {"n": 1},
    )
    assert hits[0].vector.dtype == np.float32
    assert hits[0].vector.tolist() == VECTOR.tolist()


def test_a_search_sends_the_parameters_it_was_given() -> None:
    with serving(Reply(body={"sequence": 9, "hits": []})) as script, _client(script) as client:
        docs = client.collection("docs")
        docs.search(VECTOR)
        assert "params" not in _head(script)[0]
        docs.search(VECTOR, recall=0.75, budget=500, rerank=40)
        assert _head(script)[0]["params"] == {"recall": 0.75, "budget": 500, "rerank": 40}
        docs.search(VECTOR, exact=True)
        assert _head(script)[0]["params"] == {"exact": True}


def test_a_matrix_gets_hits_per_row() -> None:
    answer = {"sequence": 9, "results": [{"hits": [HIT]}, {"hits": []}]}
    with serving(Reply(body=answer)) as script, _client(script) as client:
        results = client.collection("docs").search(np.zeros((2, 2)))
    assert [[hit.id for hit in hits] for hits in results] == [["a"], []]
    assert results.sequence == results[1].sequence == 9
    assert _head(script)[0]["n_queries"] == 2


def test_a_search_sends_only_what_is_needed() -> None:
    with serving(Reply(body={"sequence": 1, "hits": []})) as script, _client(script) as client:
        client.collection("docs").search([1.5, -2], filter={"field": "n", "eq": np.float64(1.5)}, max_distance=2)
    head, vectors = _head(script)
    assert vectors.tolist() == [1.5, -2.0]
    assert head["filter"] == {"field": "n", "eq": 1.5}
    assert head["max_distance"] == 2
    assert not {"n_queries", "vector_encoding"} & set(head)


@pytest.mark.parametrize("vector", [np.zeros((1, 2, 2)), "abc", [[1], [1, 2]], [{}], None])
def test_what_is_no_query_is_refused(vector: Any) -> None:
    with pytest.raises(InvalidArgument):
        Client("http://127.0.0.1:1", KEY).collection("docs").search(vector)


def test_nan_in_a_filter_is_not_sent_as_null() -> None:
    with pytest.raises(InvalidJson):
        Client("http://127.0.0.1:1", KEY).collection("docs").count({"field": "n", "eq": float("nan")})


def _page(ids: str, cursor: str | None) -> Reply:
    points = [{"id": name, "owner": "acme", "version": 1, "payload": {}, "vector": TEXT} for name in ids]
    return Reply(body={"points": points, "next_cursor": cursor, "sequence": 1})


def test_a_scroll_follows_its_cursor_to_the_end() -> None:
    with serving(_page("ab", "next"), _page("c", None)) as script, _client(script) as client:
        points = list(client.collection("docs").scroll(page_size=2, with_vector=True))
    assert [point.id for point in points] == ["a", "b", "c"]
    assert points[0].vector.tolist() == VECTOR.tolist()
    assert [json.loads(asked.body).get("cursor") for asked in script.asked] == [None, "next"]


def test_an_asynchronous_scroll_does_too() -> None:
    async def ids(url: str) -> list[str]:
        async with AsyncClient(url, KEY) as client:
            return [point.id async for point in client.collection("docs").scroll()]

    with serving(_page("ab", "next"), _page("c", None)) as script:
        assert asyncio.run(ids(script.url)) == ["a", "b", "c"]


def test_a_listing_is_read_to_its_end() -> None:
    tenant = {"name": "acme", "id": 1, "created_at": "2026-01-01T00:00:00Z"}
    tenant |= {"quota": {"points": None, "bytes": 5}, "usage": {"points": 0, "bytes": 0}}
    tenant["rate"] = dict.fromkeys(("reads_per_s", "writes_per_s", "bytes_per_s")) | {
        "burst_s": 2.0,
        "is_default": True,
    }
    pages = [Reply(body={"tenants": [tenant], "next_cursor": cursor}) for cursor in ("a b", None)]
    with serving(*pages) as script, _client(script) as client:
        assert [(found.name, found.quota.bytes) for found in client.tenants()] == [("acme", 5)] * 2
    assert [asked.path for asked in script.asked] == ["/v1/tenants?limit=100", "/v1/tenants?limit=100&cursor=a+b"]


def test_deleting_by_ids_answers_at_once() -> None:
    with serving(Reply(body={"sequence": 4, "deleted": 2})) as script, _client(script) as client:
        assert client.collection("docs").delete(["a", "b"]) == Deleted(sequence=4, deleted=2)


def test_deleting_by_filter_waits_for_its_job() -> None:
    done = JOB | {"state": "done", "finished_at": "2026-01-01T00:00:01Z", "n_done": 5}
    with serving(Reply(body=JOB), Reply(body=JOB), Reply(body=done)) as script, _client(script) as client:
        job = client.collection("docs", tenant="acme").delete(filter={"field": "n", "eq": 1})
    assert isinstance(job, Job)
    assert (job.state, job.n_done) == ("done", 5)
    assert [asked.path for asked in script.asked[1:]] == ["/v1/jobs/j1"] * 2
    assert {asked.headers["Vdb-Tenant"] for asked in script.asked} == {"acme"}


def test_a_job_that_fails_or_lasts_is_an_error() -> None:
    failed = JOB | {"state": "failed", "error": "boom"}
    with serving(Reply(body=failed)) as script, _client(script) as client, pytest.raises(InternalError, match="boom"):
        client.wait_for_job("j1")
    with serving(Reply(body=JOB)) as script, _client(script) as client, pytest.raises(TransportTimeout, match="j1"):
        client.wait_for_job("j1", timeout_s=0.1)


@pytest.mark.parametrize("name", ["", "..", "a/b", "a?b", "a b", "é", 5])
def test_a_name_that_no_path_can_carry_does_not_exist(name: Any) -> None:
    client = Client("http://127.0.0.1:1", KEY)
    with pytest.raises(CollectionNotFound):
        client.collection(name).count()
    with pytest.raises(JobNotFound):
        client.get_job(name)


def test_a_tenant_that_no_header_can_carry_is_refused() -> None:
    with pytest.raises(InvalidArgument, match="tenant"):
        Client("http://127.0.0.1:1", KEY, tenant="a\r\nb: c").limits()


def test_one_string_is_not_a_list_of_ids() -> None:
    docs = Client("http://127.0.0.1:1", KEY).collection("docs")
    for act in (docs.get, docs.delete, lambda ids: docs.grant(ids, to=["x"]), lambda ids: docs.update_payload(ids, {})):
        with pytest.raises(InvalidArgument, match="list"):
            act("abc")


def test_one_payload_serves_all_ids_or_each_has_its_own() -> None:
    with serving(Reply(body={"sequence": 4})) as script, _client(script) as client:
        docs = client.collection("docs")
        docs.update_payload(["a", "b"], {"n": 1})
        docs.update_payload(["a", "b"], [{"n": 1}, {"n": 2}], mode="replace", if_version=[1, None])
    first, second = (json.loads(asked.body) for asked in script.asked)
    assert first == {"mode": "merge", "points": [{"id": name, "payload": {"n": 1}} for name in "ab"]}
    assert second["points"] == [{"id": "a", "payload": {"n": 1}, "if_version": 1}, {"id": "b", "payload": {"n": 2}}]
