"""`vdb caches` against a server: what is made, shown, changed and removed."""

import json

from tests.cli.conftest import Command
from vdb.cli.exit_codes import ExitCode


def test_a_cache_is_made_listed_shown_and_deleted(admin: Command) -> None:
    made = admin(
        "caches", "create", "answers", "--dimension", "3", "--max-bytes", "2MiB", "--metadata", "a=b", "--json"
    )
    assert (made.document["max_bytes"], made.document["metadata"], made.document["tenants"]) == (
        1 << 21,
        {"a": "b"},
        None,
    )
    assert [row[0] for row in admin("caches", "list").rows] == ["name", "answers"]
    assert admin("caches", "show", "answers", "--json").document["dimension"] == 3
    assert admin("caches", "delete", "answers", "--yes").out == "deleted answers\n"
    assert admin("caches", "show", "answers").code != ExitCode.OK
    assert admin("caches", "create", "answers", "--dimension", "3", "--max-bytes", "none").code == ExitCode.USAGE


def test_policies_are_put_shown_and_removed(admin: Command) -> None:
    admin("caches", "create", "rules", "--dimension", "3")
    put = admin("caches", "policy", "rules", "faq", "--put", "--set", "mode=exact", "--set", "guard=false", "--json")
    assert (put.document["mode"], put.document["guard"], put.document["ttl_s"]) == ("exact", False, 86_400.0)
    assert admin("caches", "policy", "rules", "faq", "--json").document == put.document
    assert [row[:2] for row in admin("caches", "policies", "rules").rows[1:]] == [
        ["faq", "exact"],
        ["unknown", "exact"],
    ]
    assert json.loads(admin("caches", "policies", "rules", "--json").out)["unknown"]["category"] == "unknown"
    assert admin("caches", "policy", "rules", "faq", "--remove").out == "removed faq\n"
    for words in (("--put", "--remove"), ("--set", "mode=exact")):
        assert admin("caches", "policy", "rules", "faq", *words).code == ExitCode.USAGE


def test_figures_are_those_of_all_or_of_a_tenant(admin: Command) -> None:
    admin("caches", "create", "counted", "--dimension", "3")
    admin("caches", "policy", "counted", "faq", "--put")
    admin("tenants", "create", "acme")
    assert admin("caches", "stats", "counted").rows[1][:3] == ["faq", "semantic", "0"]
    assert admin("caches", "stats", "counted", "--json").document["n_entries"] == 0
    assert admin("caches", "stats", "counted", "--tenant", "acme", "--json").document["categories"] == []
