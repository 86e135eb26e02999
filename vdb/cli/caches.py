"""`vdb caches`: list, create, show, delete, stats, policies, policy."""

import argparse
import json
from typing import Any

from vdb.cli.commands import Commands
from vdb.cli.confirm import add_yes, confirm
from vdb.cli.exit_codes import ExitCode, WrongUsage
from vdb.cli.output import Output
from vdb.cli.remote import add_server, connected
from vdb.cli.values import names, pair, size_or_none

__all__ = ["add"]

_COLUMNS = ("name", "dimension", "embedding_version", "max_entries", "max_bytes", "created_at")
_COUNTED = (
    "category", "mode", "n_entries", "requests", "exact_hits", "semantic_hits", "misses", "explored", "stale_prevented",
    "labels_right", "labels_wrong", "threshold", "false_per_request", "false_per_request_bound",
)  # fmt: skip
_RULES = ("category", "mode", "threshold", "max_false_per_request", "max_false_per_hit", "explore", "ttl_s", "guard")


def add(commands: Commands) -> None:
    """Add the commands."""
    group = commands.group("caches", "manage semantic caches and their policies")
    listing = group.add("list", _list, "list the caches the key may use", examples=("vdb caches list",))
    add_server(listing, tenant=True)
    _add_create(group)
    show = group.add("show", _show, "describe a cache", examples=("vdb caches show answers --json",))
    show.add_argument("name", metavar="NAME", help="the cache")
    add_server(show, tenant=True)
    delete = group.add(
        "delete", _delete, "delete a cache and all its entries", examples=("vdb caches delete answers --yes",)
    )
    delete.add_argument("name", metavar="NAME", help="the cache")
    add_yes(delete)
    add_server(delete)
    stats = group.add(
        "stats",
        _stats,
        "count a cache's hits, misses and labels by category",
        description="Figures of a cache by category: of all tenants, or of one. Sizes are in --json.",
        examples=("vdb caches stats answers", "vdb caches stats answers --tenant acme --json"),
    )
    stats.add_argument("name", metavar="NAME", help="the cache")
    add_server(stats, tenant=True)
    policies = group.add(
        "policies", _policies, "list the policies of a cache", examples=("vdb caches policies answers",)
    )
    policies.add_argument("name", metavar="NAME", help="the cache")
    add_server(policies, tenant=True)
    _add_policy(group)


def _add_create(group: Commands) -> None:
    create = group.add(
        "create",
        _create,
        "make a cache",
        examples=(
            "vdb caches create answers --dimension 384",
            "vdb caches create answers --dimension 384 --embedding-version e5-small-2 --max-bytes 2GiB",
        ),
    )
    create.add_argument("name", metavar="NAME", help="[a-z0-9][a-z0-9_-]{0,63}")
    create.add_argument("--dimension", type=int, required=True, metavar="N", help="numbers in a question's vector")
    create.add_argument("--embedding-version", default="", metavar="TEXT", help="what the vectors come from")
    create.add_argument("--tenants", type=names, metavar="NAMES", help="tenants that may use it, separated by commas")
    create.add_argument("--max-entries", type=int, default=100_000, metavar="N", help="default: 100000")
    create.add_argument("--max-bytes", type=size_or_none, default=1 << 30, metavar="SIZE", help="default: 1GiB")
    create.add_argument("--metadata", type=pair, action="append", metavar="KEY=VALUE", help="a note; may be repeated")
    add_server(create)


def _add_policy(group: Commands) -> None:
    policy = group.add(
        "policy",
        _policy,
        "show, put or remove the policy of a category",
        description="Without --put and --remove, show it. A policy is put whole: what is not set takes its default.",
        examples=(
            "vdb caches policy answers shipping",
            "vdb caches policy answers shipping --put --set mode=shadow --set ttl_s=3600",
            "vdb caches policy answers shipping --remove",
        ),
    )
    policy.add_argument("name", metavar="NAME", help="the cache")
    policy.add_argument("category", metavar="CATEGORY", help="the category")
    policy.add_argument("--put", action="store_true", help="put the policy, of what --set says")
    policy.add_argument(
        "--set", type=pair, action="append", default=[], metavar="FIELD=VALUE", help="with --put; may be repeated"
    )
    policy.add_argument("--remove", action="store_true", help="remove the category")
    add_server(policy, tenant=True)


def _list(given: argparse.Namespace, output: Output) -> int:
    with connected(given) as client:
        output.listing("caches", client.caches(), _COLUMNS)
    return ExitCode.OK


def _create(given: argparse.Namespace, output: Output) -> int:
    if given.max_bytes is None:
        raise WrongUsage("--max-bytes of a cache is a size")
    with connected(given) as client:
        made = client.create_cache(
            given.name,
            given.dimension,
            given.embedding_version,
            given.tenants,
            given.max_entries,
            given.max_bytes,
            metadata=dict(given.metadata) if given.metadata else None,
        )
    output.record(made)
    return ExitCode.OK


def _show(given: argparse.Namespace, output: Output) -> int:
    with connected(given) as client:
        output.record(client.get_cache(given.name))
    return ExitCode.OK


def _delete(given: argparse.Namespace, output: Output) -> int:
    with connected(given) as client:
        confirm(given, output, f"Delete cache {given.name} and all its entries?")
        output.document(client.delete_cache(given.name))
    output.line(f"deleted {given.name}")
    return ExitCode.OK


def _stats(given: argparse.Namespace, output: Output) -> int:
    with connected(given) as client:
        found = client.cache(given.name).stats()
    if output.is_json:
        output.document(found)
    else:
        output.listing("categories", found.categories, _COUNTED)
    return ExitCode.OK


def _policies(given: argparse.Namespace, output: Output) -> int:
    with connected(given) as client:
        found = client.cache(given.name).policies()
    if output.is_json:
        output.document(found)
    else:
        is_put = any(policy.category == found.unknown.category for policy in found.policies)
        output.listing("policies", found.policies if is_put else [*found.policies, found.unknown], _RULES)
    return ExitCode.OK


def _policy(given: argparse.Namespace, output: Output) -> int:
    if given.put and given.remove:
        raise WrongUsage("--put and --remove exclude each other")
    if given.set and not given.put:
        raise WrongUsage("--set goes with --put: a policy is put whole")
    with connected(given) as client:
        cache = client.cache(given.name)
        if given.remove:
            output.document(cache.delete_policy(given.category))
            output.line(f"removed {given.category}")
            return ExitCode.OK
        fields = {field: _value(text) for field, text in given.set}
        output.record(cache.put_policy(given.category, **fields) if given.put else cache.policy(given.category))
    return ExitCode.OK


def _value(text: str) -> Any:
    """A number, true, false, null or a list as JSON has them; anything else is a text."""
    try:
        return json.loads(text)
    except ValueError:
        return text
