"""Every operation × every role. The table here is the one that docs/tenancy.md prints."""

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import vdb.testing
from tests.api.live import Live
from vdb.protocol.operations import OPERATIONS

CALLERS = (
    "no key", "wrong key", "expired key", "read", "write", "service", "service +", "admin", "admin +",
)  # fmt: skip
"""`+`: with a `Vdb-Tenant` header. Read and write keys belong to that tenant."""

EXPECTED = {
    "create_collection": "401 401 401 403 403 403 403 201 201",
    "list_collections": "401 401 401 200 200 200 200 200 200",
    "get_collection": "401 401 401 200 200 200 200 200 200",
    "update_collection": "401 401 401 403 403 403 403 200 200",
    "delete_collection": "401 401 401 403 403 403 403 200 200",
    "collection_stats": "401 401 401 200 200 400 200 200 200",
    "list_members": "401 401 401 403 403 403 403 200 200",
    "tune": "401 401 401 403 403 403 403 409 409",
    "learn_fusion": "401 401 401 403 403 403 403 400 200",
    "list_aliases": "401 401 401 200 200 200 200 200 200",
    "set_aliases": "401 401 401 403 403 403 403 200 200",
    "upsert": "401 401 401 403 200 400 200 400 200",
    "get_points": "401 401 401 200 200 400 200 400 200",
    "delete_points": "401 401 401 403 200 400 200 400 200",
    "scroll": "401 401 401 200 200 400 200 400 200",
    "count": "401 401 401 200 200 400 200 400 200",
    "update_payload": "401 401 401 403 200 400 200 400 200",
    "share": "401 401 401 403 403 400 200 400 200",
    "search": "401 401 401 200 200 400 200 400 200",
    "create_tenant": "401 401 401 403 403 403 403 201 201",
    "list_tenants": "401 401 401 403 403 403 403 200 200",
    "get_tenant": "401 401 401 200 200 404 200 200 200",
    "update_tenant": "401 401 401 403 403 403 403 200 200",
    "tenant_usage": "401 401 401 200 200 404 200 200 200",
    "delete_tenant": "401 401 401 403 403 403 403 200 200",
    "create_key": "401 401 401 403 403 403 403 201 201",
    "list_keys": "401 401 401 403 403 403 403 200 200",
    "get_key": "401 401 401 403 403 403 403 200 200",
    "rotate_key": "401 401 401 403 403 403 403 200 200",
    "delete_key": "401 401 401 403 403 403 403 200 200",
    "get_job": "401 401 401 200 200 404 200 200 200",
    "list_jobs": "401 401 401 200 200 200 200 200 200",
    "create_backup": "401 401 401 403 403 403 403 201 201",
    "list_backups": "401 401 401 403 403 403 403 200 200",
    "get_backup": "401 401 401 403 403 403 403 200 200",
    "delete_backup": "401 401 401 403 403 403 403 200 200",
    "limits": "401 401 401 200 200 200 200 200 200",
    "put_documents": "401 401 401 403 200 400 200 400 200",
    "list_documents": "401 401 401 200 200 400 200 400 200",
    "get_documents": "401 401 401 200 200 400 200 400 200",
    "delete_documents": "401 401 401 403 200 400 200 400 200",
    "create_cache": "401 401 401 403 403 403 403 201 201",
    "list_caches": "401 401 401 200 200 200 200 200 200",
    "get_cache": "401 401 401 200 200 200 200 200 200",
    "update_cache": "401 401 401 403 403 403 403 200 200",
    "delete_cache": "401 401 401 403 403 403 403 200 200",
    "cache_lookup": "401 401 401 200 200 400 200 400 200",
    "cache_store": "401 401 401 403 200 400 200 400 200",
    "scroll_entries": "401 401 401 200 200 400 200 400 200",
    "get_entry": "401 401 401 200 200 400 200 400 200",
    "cache_feedback": "401 401 401 403 200 400 200 400 200",
    "cache_invalidate": "401 401 401 403 200 400 200 200 200",
    "cache_stats": "401 401 401 200 200 400 200 200 200",
    "list_policies": "401 401 401 200 200 200 200 200 200",
    "get_policy": "401 401 401 200 200 200 200 200 200",
    "put_policy": "401 401 401 403 403 403 403 200 200",
    "delete_policy": "401 401 401 403 403 403 403 200 200",
    "list_templates": "401 401 401 403 403 403 403 200 200",
    "get_template": "401 401 401 403 403 403 403 200 200",
    "put_template": "401 401 401 403 403 403 403 200 200",
    "delete_template": "401 401 401 403 403 403 403 200 200",
    "answer": "401 401 401 200 200 400 200 400 200",
    "calibrate_answers": "401 401 401 403 403 403 403 400 200",
    "chat": "401 401 401 200 200 400 200 400 200",
    "list_models": "401 401 401 200 200 200 200 200 200",
    "get_model": "401 401 401 200 200 200 200 200 200",
}

CODES = {400: {"tenant_required"}, 401: {"unauthenticated", "key_expired"}, 403: {"forbidden", "sharing_forbidden"},
         404: {"tenant_not_found", "job_not_found"}, 409: {"no_index"}}  # fmt: skip

Who = dict[str, Any]
Asked = tuple[tuple[str, ...], Any]
DOCUMENT = Path(__file__).parents[2] / "docs" / "tenancy.md"
POINT = {"id": "a", "vector": [1, 0, 0], "payload": {"lang": "en"}}

_numbers = itertools.count(1)


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    """A server with the collection `notes`, the cache `answers`, the tenants `acme` and `globex`, a point of acme's."""
    backups = tmp_path_factory.mktemp("backups")
    with vdb.testing.server(compile_kernels=False, backup_dir=backups) as server:
        live = Live(server)
        live.must("create_collection", (), {"name": "notes", "dimension": 3, "text": {"fields": {"text": 1}}})
        live.must("create_cache", (), {"name": "answers", "dimension": 3})
        live.must("create_tenant", (), {"name": "globex"})
        live.must("upsert", ("notes",), {"points": [POINT]}, tenant="acme")
        yield live


@pytest.fixture(scope="module")
def callers(live: Live) -> dict[str, Who]:
    """Key and tenant header of every caller."""
    service = live.key("service")
    return {
        "no key": {"key": ""},
        "wrong key": {"key": "vdb_" + "x" * 43},
        "expired key": {"key": live.key("write", "acme", expires_at="2020-01-01T00:00:00Z")},
        "read": {"key": live.key("read", "acme")},
        "write": {"key": live.key("write", "acme")},
        "service": {"key": service},
        "service +": {"key": service, "tenant": "acme"},
        "admin": {"key": None},
        "admin +": {"key": None, "tenant": "acme"},
    }


def _name(live: Live) -> str:
    return f"thing{next(_numbers)}"


def _collection(live: Live) -> str:
    return str(live.must("create_collection", (), {"name": _name(live), "dimension": 3})["name"])


def _tenant(live: Live) -> str:
    return str(live.must("create_tenant", (), {"name": _name(live)})["name"])


def _cache(live: Live) -> str:
    return str(live.must("create_cache", (), {"name": _name(live), "dimension": 3})["name"])


def _entry(live: Live) -> str:
    """A new entry of acme's in the cache `answers`."""
    body = {"text": f"What is {_name(live)}?", "answer": "A name."}
    return str(live.must("cache_store", ("answers",), body, tenant="acme")["entry_id"])


def _template(live: Live) -> str:
    return str(live.must("put_template", ("notes", _name(live)), {})["name"])


def _policy(live: Live) -> str:
    return str(live.must("put_policy", ("answers", _name(live)), {})["category"])


def _key(live: Live) -> str:
    return str(live.must("create_key", (), {"role": "read", "tenant": "globex"})["id"])


def _backup(live: Live) -> str:
    return str(live.must("create_backup", (), {"name": _name(live)})["name"])


def _job(live: Live) -> str:
    body = {"filter": {"field": "lang", "eq": "none"}}
    return str(live.must("delete_points", ("notes",), body, tenant="acme")["id"])


REQUESTS: dict[str, Callable[[Live], Asked]] = {
    "create_collection": lambda live: ((), {"name": _name(live), "dimension": 3}),
    "list_collections": lambda live: ((), None),
    "get_collection": lambda live: (("notes",), None),
    "update_collection": lambda live: ((_collection(live),), {"tenants": ["acme"]}),
    "delete_collection": lambda live: ((_collection(live),), None),
    "collection_stats": lambda live: (("notes",), None),
    "list_members": lambda live: (("notes",), None),
    "tune": lambda live: (("notes",), {}),
    "learn_fusion": lambda live: (("notes",), {"queries": [{"text": "a", "vector": [1, 0, 0], "relevant": {"a": 1}}]}),
    "list_aliases": lambda live: ((), None),
    "set_aliases": lambda live: ((), {"set": {"current": "notes"}}),
    "upsert": lambda live: (("notes",), {"points": [POINT]}),
    "get_points": lambda live: (("notes",), {"ids": ["a"]}),
    "delete_points": lambda live: (("notes",), {"ids": ["b"]}),
    "scroll": lambda live: (("notes",), {}),
    "count": lambda live: (("notes",), {}),
    "update_payload": lambda live: (("notes",), {"points": [{"id": "a", "payload": {"year": 2024}}]}),
    "share": lambda live: (("notes",), {"action": "grant", "ids": ["a"], "to": ["globex"]}),
    "search": lambda live: (("notes",), {"vector": [1, 0, 0]}),
    "create_tenant": lambda live: ((), {"name": _name(live)}),
    "list_tenants": lambda live: ((), None),
    "get_tenant": lambda live: (("acme",), None),
    "update_tenant": lambda live: ((_tenant(live),), {"quota": {"points": 5}}),
    "tenant_usage": lambda live: (("acme",), None),
    "delete_tenant": lambda live: ((_tenant(live),), None),
    "create_key": lambda live: ((), {"role": "read", "tenant": "globex"}),
    "list_keys": lambda live: ((), None),
    "get_key": lambda live: ((_key(live),), None),
    "rotate_key": lambda live: ((_key(live),), {}),
    "delete_key": lambda live: ((_key(live),), None),
    "get_job": lambda live: ((_job(live),), None),
    "list_jobs": lambda live: ((), None),
    "create_backup": lambda live: ((), {"name": _name(live)}),
    "list_backups": lambda live: ((), None),
    "get_backup": lambda live: ((_backup(live),), None),
    "delete_backup": lambda live: ((_backup(live),), None),
    "limits": lambda live: ((), None),
    "put_documents": lambda live: (("notes",), {"documents": [{"id": "guide", "text": "Print the label."}]}),
    "list_documents": lambda live: (("notes",), None),
    "get_documents": lambda live: (("notes",), {"ids": ["guide"]}),
    "delete_documents": lambda live: (("notes",), {"ids": ["guide"]}),
    "create_cache": lambda live: ((), {"name": _name(live), "dimension": 3}),
    "list_caches": lambda live: ((), None),
    "get_cache": lambda live: (("answers",), None),
    "update_cache": lambda live: ((_cache(live),), {"tenants": ["acme"]}),
    "delete_cache": lambda live: ((_cache(live),), None),
    "cache_lookup": lambda live: (("answers",), {"text": "Who?", "vector": [1, 0, 0]}),
    "cache_store": lambda live: (("answers",), {"text": "Who?", "answer": "I."}),
    "scroll_entries": lambda live: (("answers",), {}),
    "get_entry": lambda live: (("answers", _entry(live)), None),
    "cache_feedback": lambda live: (("answers",), {"entry_id": _entry(live), "verdict": "wrong"}),
    "cache_invalidate": lambda live: (("answers",), {"category": "unknown", "dry_run": True}),
    "cache_stats": lambda live: (("answers",), None),
    "list_policies": lambda live: (("answers",), None),
    "get_policy": lambda live: (("answers", "unknown"), None),
    "put_policy": lambda live: (("answers", "shipping"), {}),
    "delete_policy": lambda live: (("answers", _policy(live)), None),
    "list_templates": lambda live: (("notes",), None),
    "get_template": lambda live: (("notes", "default"), None),
    "put_template": lambda live: (("notes", "brief"), {}),
    "delete_template": lambda live: (("notes", _template(live)), None),
    "answer": lambda live: ((), {"collection": "notes", "question": "Which label?"}),
    "calibrate_answers": lambda live: (("notes",), {"questions": [{"text": "Which label?", "answerable": True}]}),
    "chat": lambda live: ((), {"model": "notes", "messages": [{"role": "user", "content": "Which label?"}]}),
    "list_models": lambda live: ((), None),
    "get_model": lambda live: (("notes/extractive",), None),
}


def test_the_tables_name_every_operation() -> None:
    names = [operation.name for operation in OPERATIONS]
    assert list(EXPECTED) == names
    assert list(REQUESTS) == names


@pytest.mark.parametrize("name", EXPECTED)
def test_every_role_gets_its_status(live: Live, callers: dict[str, Who], name: str) -> None:
    found = {}
    for caller in CALLERS:
        path, body = REQUESTS[name](live)
        reply = live.run(name, path, body, **callers[caller])
        found[caller] = str(reply.status)
        if reply.status >= 400:
            assert reply.code in CODES[reply.status], caller
    assert found == dict(zip(CALLERS, EXPECTED[name].split(), strict=True))


def test_a_refused_key_is_told_how_to_authenticate(live: Live, callers: dict[str, Who]) -> None:
    replies = {caller: live.run("limits", **callers[caller]) for caller in CALLERS[:3]}
    assert {reply.headers["www-authenticate"] for reply in replies.values()} == {"Bearer"}
    codes = {caller: reply.code for caller, reply in replies.items()}
    assert codes == {"no key": "unauthenticated", "wrong key": "unauthenticated", "expired key": "key_expired"}


def test_metrics_are_for_admins_and_health_for_everyone(live: Live, callers: dict[str, Who]) -> None:
    statuses = [live.ask("GET", "/metrics", **callers[caller]).status for caller in CALLERS]
    assert statuses == [401, 401, 401, 403, 403, 403, 403, 200, 200]
    assert {live.ask("GET", path, key="").status for path in ("/healthz", "/readyz", "/openapi.json")} == {200}


def test_the_document_prints_this_table() -> None:
    rows = [line for line in DOCUMENT.read_text(encoding="utf-8").splitlines() if line.startswith("| ")]
    cells = [[cell.strip() for cell in row.strip("|").split("|")] for row in rows]
    assert ["Operation", *CALLERS] in cells
    printed = {row[0].strip("`"): " ".join(row[1:]) for row in cells if len(row) == len(CALLERS) + 1}
    printed.pop("Operation")
    assert printed == EXPECTED
