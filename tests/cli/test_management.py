"""`vdb collections`, `tenants`, `keys`, `jobs`, `stats` on a server: what they change, their JSON, their tables."""

import json
from collections.abc import Iterator
from http.client import HTTPConnection
from typing import Any

import pytest

from tests.cli.conftest import Command
from vdb.cli.exit_codes import ExitCode
from vdb.testing import RunningServer

HOSTILE = "\x1b]0;owned\x07\x9b2J\u202ename"
SHOWN = "\\x1b]0;owned\\x07\\x9b2J\\u202ename"


def _over_rest(server: RunningServer, path: str) -> Any:
    """What the API answers."""
    connection = HTTPConnection("127.0.0.1", int(server.url.rpartition(":")[2]), timeout=30)
    connection.request("GET", path, headers={"Authorization": f"Bearer {server.admin_key}"})
    try:
        return json.loads(connection.getresponse().read())
    finally:
        connection.close()


@pytest.fixture(autouse=True)
def _emptied(server: RunningServer) -> Iterator[None]:
    yield
    client = server.admin()
    for collection in client.collections():
        client.delete_collection(collection.name)
    for tenant in client.tenants():
        client.delete_tenant(tenant.name)


def test_json_is_what_the_api_answers(admin: Command, server: RunningServer) -> None:
    made = admin("collections", "create", "docs", "--dimension", "3", "--field", "year=integer", "--json")
    assert made.document == _over_rest(server, "/v1/collections/docs")
    tenant = admin("tenants", "create", "acme", "--max-points", "5", "--json")
    assert tenant.document == _over_rest(server, "/v1/tenants/acme")
    key = admin("keys", "create", "--tenant", "acme", "--json").document
    assert key.pop("key").startswith("vdb_") and key == _over_rest(server, f"/v1/keys/{key['id']}")
    for group in ("collections", "tenants", "jobs"):
        assert admin(group, "list", "--json").document[group] == _over_rest(server, f"/v1/{group}")[group]
    for words in (("collections", "docs"), ("tenants", "acme"), ("keys", key["id"])):
        shown = admin(words[0], "show", words[1], "--json")
        assert shown.document == _over_rest(server, f"/v1/{words[0]}/{words[1]}")
    assert admin("collections", "delete", "docs", "--yes", "--json").document == {"deleted": True}
    job = admin("tenants", "delete", "acme", "--yes", "--json").document
    assert job == _over_rest(server, f"/v1/jobs/{job['id']}") and job["state"] == "done"


def test_a_collection_is_made_as_asked(admin: Command) -> None:
    admin("tenants", "create", "acme")
    words = ("--dimension", "4", "--metric", "ip", "--tenants", "acme", "--sharing", "tenants")
    made = admin("collections", "create", "docs", *words, "--field", "year=integer", "--field", "a=b=list", "--json")
    kept = {name: made.document[name] for name in ("dimension", "metric", "tenants", "sharing", "fields")}
    assert kept == {
        "dimension": 4,
        "metric": "ip",
        "tenants": ["acme"],
        "sharing": "tenants",
        "fields": {"year": "integer", "a=b": "list"},
    }


def test_indexes_are_made_and_dropped(admin: Command) -> None:
    fields = ("--field", "year=integer", "--field", "lang=string")
    made = admin("collections", "create", "docs", "--dimension", "3", *fields, "--index", "lang", "--json").document
    assert made["indexes"] == {"lang": "ready"}
    changed = admin("collections", "update", "docs", "--index", "lang", "--index", "year", "--json").document
    assert set(changed["indexes"]) == {"lang", "year"}
    assert admin("collections", "update", "docs", "--no-indexes", "--json").document["indexes"] == {}
    assert admin("collections", "update", "docs", "--no-indexes", "--index", "lang").code == ExitCode.USAGE


def test_a_text_index_is_made_changed_and_dropped(admin: Command) -> None:
    asked = ("--text", "text", "--text", "title=3", "--text-language", "german")
    made = admin("collections", "create", "docs", "--dimension", "3", *asked, "--json").document["text"]
    assert made == {
        "fields": {"text": 1, "title": 3}, "language": "german", "k1": 1.5, "b": 0.75, "state": "ready",
    }  # fmt: skip
    changed = admin("collections", "update", "docs", "--text", "body", "--json").document["text"]
    assert (changed["fields"], changed["language"]) == ({"body": 1}, "english")
    assert admin("collections", "update", "docs", "--no-text", "--json").document["text"] is None
    assert admin("collections", "update", "docs", "--no-text", "--text", "body").code == ExitCode.USAGE
    assert admin("collections", "update", "docs", "--text-language", "german").code == ExitCode.USAGE


def test_an_update_changes_what_is_given_and_no_more(admin: Command) -> None:
    admin("tenants", "create", "acme")
    admin("collections", "create", "docs", "--dimension", "3", "--tenants", "acme")
    shared = admin("collections", "update", "docs", "--sharing", "tenants", "--json").document
    assert (shared["sharing"], shared["tenants"]) == ("tenants", ["acme"])
    opened = admin("collections", "update", "docs", "--all-tenants", "--json").document
    assert (opened["sharing"], opened["tenants"]) == ("tenants", None)
    assert admin("collections", "update", "docs").code == ExitCode.USAGE
    assert admin("collections", "update", "docs", "--all-tenants", "--tenants", "acme").code == ExitCode.USAGE


def test_a_cap_that_is_not_given_stays(admin: Command) -> None:
    admin("tenants", "create", "acme", "--max-points", "7", "--max-bytes", "1GiB")
    assert admin("tenants", "update", "acme", "--max-points", "none", "--json").document["quota"] == {
        "points": None,
        "bytes": 1 << 30,
    }
    assert admin("tenants", "update", "acme", "--max-points", "9", "--max-bytes", "none", "--json").document[
        "quota"
    ] == {
        "points": 9,
        "bytes": None,
    }
    assert admin("tenants", "update", "acme").code == ExitCode.USAGE


def test_a_listing_is_a_table(admin: Command) -> None:
    assert admin("collections", "list").out == "no collections\n"
    admin("collections", "create", "docs", "--dimension", "384")
    heading, row = admin("collections", "list").out.splitlines()
    assert heading.split()[:3] == ["name", "aliases", "dimension"] and row.split()[:3] == ["docs", "–", "384"]
    assert heading.index("dimension") + len("dimension") == row.index("384") + len("384")


def test_a_listing_is_whole_beyond_one_page(admin: Command, server: RunningServer) -> None:
    for number in range(105):
        server.admin().create_tenant(f"t{number}")
    assert len(admin("tenants", "list", "--json").document["tenants"]) == 105
    assert len(admin("tenants", "list").rows) == 106


def test_names_and_payloads_cannot_steer_the_terminal(admin: Command, server: RunningServer) -> None:
    admin("collections", "create", "docs", "--dimension", "2")
    server.client("acme").collection("docs").upsert(["p\u202e"], [[1, 0]], payloads=[{HOSTILE: HOSTILE}])
    key = admin("keys", "create", "--tenant", "acme", "--name", HOSTILE)
    listed = admin("keys", "list")
    found = admin("search", "docs", "--tenant", "acme", "--vector", "[1, 0]")
    for ran in (key, listed, found):
        assert ran.code == 0 and all(line.isprintable() for line in ran.out.splitlines())
    assert SHOWN in key.out and SHOWN in listed.out and "p\\u202e" in found.out
    as_json = admin("search", "docs", "--tenant", "acme", "--vector", "[1, 0]", "--json")
    assert as_json.out[:-1].isprintable() and as_json.document["hits"][0]["payload"] == {HOSTILE: HOSTILE}


@pytest.mark.parametrize(
    "words",
    [
        ("collections", "show", "nothing"),
        ("collections", "show", "../keys"),
        ("collections", "delete", "nothing", "--yes"),
        ("tenants", "show", "nothing"),
        ("tenants", "update", "nothing", "--max-points", "1"),
        ("keys", "show", "key-nothing"),
        ("keys", "rotate", "key-nothing"),
        ("jobs", "show", "job-999"),
        ("backup", "show", "nothing"),
    ],
)
def test_what_is_not_there_ends_with_4(admin: Command, words: tuple[str, ...]) -> None:
    ran = admin(*words)
    assert (ran.code, ran.out, len(ran.err.splitlines())) == (ExitCode.NOT_FOUND, "", 1)


def test_what_is_refused_ends_with_1_and_its_problem(admin: Command) -> None:
    admin("tenants", "create", "acme")
    ran = admin("tenants", "create", "acme", "--json")
    assert (ran.code, ran.out) == (ExitCode.REFUSED, "")
    line, problem = ran.err.splitlines()
    assert line.startswith("vdb: ") and json.loads(problem)["code"] == "already_exists"


@pytest.mark.parametrize("words", [("--role", "write"), ("--role", "admin", "--tenant", "acme")])
def test_a_key_is_of_a_tenant_or_of_none(admin: Command, words: tuple[str, ...]) -> None:
    assert admin("keys", "create", *words).code == ExitCode.USAGE


def test_a_rotated_key_is_a_new_secret(admin: Command, server: RunningServer, monkeypatch: pytest.MonkeyPatch) -> None:
    made = admin("keys", "create", "--tenant", "acme", "--expires-at", "2127-01-31T00:00:00Z", "--json").document
    assert made["expires_at"] == "2127-01-31T00:00:00Z"
    rotated = admin("keys", "rotate", made["id"], "--grace-s", "60", "--json").document
    for secret in (made["key"], rotated["key"]):
        monkeypatch.setenv("VDB_API_KEY", secret)
        assert admin("collections", "list").code == ExitCode.OK
    monkeypatch.setenv("VDB_API_KEY", server.admin_key)
    assert admin("keys", "delete", made["id"], "--yes").out == f"deleted {made['id']}\n"
    monkeypatch.setenv("VDB_API_KEY", rotated["key"])
    assert admin("collections", "list").code == ExitCode.PERMISSION


def test_stats_counts(admin: Command, server: RunningServer) -> None:
    admin("collections", "create", "docs", "--dimension", "2")
    server.client("acme").collection("docs").upsert(["a", "b"], [[1, 0], [0, 1]])
    totals = admin("stats", "--json").document
    assert totals.pop("bytes") > 0
    assert totals == {"n_collections": 1, "n_tenants": 1, "n_points": 2, "n_unfinished_jobs": 0}
    assert ["n", "points", "2"] in admin("stats").rows


def test_a_job_can_be_waited_for(admin: Command) -> None:
    admin("tenants", "create", "acme")
    job = admin("tenants", "delete", "acme", "--yes", "--no-wait", "--json").document
    assert admin("jobs", "show", job["id"], "--wait", "--json").document["state"] == "done"
    assert job["id"] in [row[0] for row in admin("jobs", "list").rows]


def test_a_collection_is_renamed_and_led_to_by_aliases(admin: Command, server: RunningServer) -> None:
    for name in ("old", "new"):
        admin("collections", "create", name, "--dimension", "2")
    assert admin("collections", "alias", "current=old", "next=new").rows[0] == ["current", "leads", "to", "old"]
    moved = admin("collections", "alias", "current=new", "--remove", "next", "--json")
    assert moved.document == {"set": {"current": "new"}, "removed": ["next"]}
    assert admin("collections", "rename", "new", "newer", "--json").document["aliases"] == ["current"]
    listed = admin("collections", "aliases", "--json").document["aliases"]
    assert listed == _over_rest(server, "/v1/aliases")["aliases"] == [{"name": "current", "collection": "newer"}]
    assert admin("collections", "show", "new").code == ExitCode.NOT_FOUND
    assert admin("collections", "alias").code == ExitCode.USAGE
    assert admin("collections", "alias", "current").code == ExitCode.USAGE


def test_what_is_noted_of_a_collection_is_kept_and_cleared(admin: Command) -> None:
    words = ("--embedding", "mini=1=2", "--metadata", "team=search", "--metadata", "ticket=a=b")
    made = admin("collections", "create", "docs", "--dimension", "2", *words, "--json").document
    assert made["embedding"] == {"model": "mini", "version": "1=2"}
    assert made["metadata"] == {"team": "search", "ticket": "a=b"}
    cleared = admin("collections", "update", "docs", "--no-embedding", "--no-metadata", "--json").document
    assert (cleared["embedding"], cleared["metadata"]) == (None, {})
    for pair in (("--embedding", "a=b", "--no-embedding"), ("--metadata", "a=b", "--no-metadata")):
        assert admin("collections", "update", "docs", *pair).code == ExitCode.USAGE


def test_where_an_index_is_to_lie_and_what_it_may_take(admin: Command) -> None:
    words = ("--tier", "disk", "--memory-bytes", "2GiB")
    made = admin("collections", "create", "docs", "--dimension", "2", *words, "--json").document
    assert (made["tier"], made["memory_bytes"]) == ("disk", 2 << 30)
    kept = admin("collections", "update", "docs", "--tier", "auto", "--json").document
    assert (kept["tier"], kept["memory_bytes"]) == ("auto", 2 << 30)
    cleared = admin("collections", "update", "docs", "--memory-bytes", "none", "--json").document
    assert (cleared["tier"], cleared["memory_bytes"]) == ("auto", None)
    assert admin("collections", "update", "docs", "--tier", "ram").code == ExitCode.USAGE


def test_members_are_added_removed_and_listed(admin: Command, server: RunningServer) -> None:
    for name in ("acme", "globex"):
        admin("tenants", "create", name)
    admin("collections", "create", "docs", "--dimension", "2", "--tenants", "acme")
    admin("collections", "update", "docs", "--add-tenants", "globex")
    server.client("globex").collection("docs").upsert(["a"], [[1, 0]])
    members = admin("collections", "members", "docs", "--json").document["members"]
    assert members == _over_rest(server, "/v1/collections/docs/members")["members"]
    assert [row[:3] for row in admin("collections", "members", "docs").rows[1:]] == [
        ["acme", "yes", "0"],
        ["globex", "yes", "1"],
    ]
    left = admin("collections", "update", "docs", "--remove-tenants", "globex", "--json").document
    assert left["tenants"] == ["acme"]


def test_a_rate_that_is_not_given_stays(admin: Command) -> None:
    assert admin("tenants", "create", "acme", "--json").document["rate"]["is_default"]
    words = ("--reads-per-s", "50", "--bytes-per-s", "1MiB", "--burst-s", "10")
    rate = admin("tenants", "update", "acme", *words, "--json").document["rate"]
    assert (rate["reads_per_s"], rate["bytes_per_s"], rate["burst_s"]) == (50, 1 << 20, 10)
    admin("tenants", "update", "acme", "--max-points", "3")
    rate = admin("tenants", "update", "acme", "--reads-per-s", "none", "--json").document["rate"]
    assert (rate["reads_per_s"], rate["bytes_per_s"], rate["is_default"]) == (None, 1 << 20, False)
    shown = admin("tenants", "update", "acme", "--server-rates", "--json").document
    assert shown["rate"]["is_default"] and shown["quota"]["points"] == 3
    assert admin("tenants", "update", "acme", "--server-rates", "--burst-s", "1").code == ExitCode.USAGE
    made = admin("tenants", "create", "globex", "--writes-per-s", "5", "--json").document["rate"]
    assert (made["writes_per_s"], made["reads_per_s"], made["is_default"]) == (5, None, False)


def test_usage_is_shown_by_month(admin: Command, server: RunningServer) -> None:
    admin("collections", "create", "docs", "--dimension", "2")
    server.client("acme").collection("docs").upsert(["a", "b"], [[1, 0], [0, 1]])
    shown = admin("tenants", "usage", "acme", "--json").document
    assert shown | {"next_cursor": None} == _over_rest(server, "/v1/tenants/acme/usage")
    assert [month["writes"] for month in shown["months"]] == [2]
    assert admin("tenants", "usage", "acme").rows[1][0] == shown["months"][0]["month"]
    assert admin("tenants", "usage", "acme", "--month", "1999-01", "--json").document["months"] == []
    assert admin("tenants", "usage", "nothing").code == ExitCode.NOT_FOUND


def test_a_collection_is_counted_and_measured(admin: Command, server: RunningServer) -> None:
    admin("collections", "create", "docs", "--dimension", "2")
    server.client("acme").collection("docs").upsert(["a", "b"], [[1, 0], [0, 1]])
    whole = admin("collections", "stats", "docs", "--json").document
    assert whole["points"] == 2 and "file_bytes" in whole["stored"]
    assert set(whole) == set(_over_rest(server, "/v1/collections/docs/stats"))
    of_tenant = admin("collections", "stats", "docs", "--tenant", "acme", "--json").document
    assert of_tenant["points"] == 2 and "file_bytes" not in of_tenant["stored"]
    assert any(row[:3] == ["stored", "vector", "bytes"] for row in admin("collections", "stats", "docs").rows)
    assert admin("collections", "stats", "nothing").code == ExitCode.NOT_FOUND
