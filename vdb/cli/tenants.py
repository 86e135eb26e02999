"""`vdb tenants`: list, create, show, update, delete, usage."""

import argparse
from typing import Any

from vdb.cli.commands import Commands
from vdb.cli.confirm import add_yes, confirm
from vdb.cli.exit_codes import ExitCode, WrongUsage
from vdb.cli.output import Output
from vdb.cli.remote import add_server, connected
from vdb.cli.values import count_or_none, number_or_none, size_or_none

__all__ = ["add"]

_COLUMNS = ("name", "usage.points", "quota.points", "usage.bytes", "quota.bytes", "created_at")
_USAGE = ("month", "requests", "reads", "writes", "bytes_in", "bytes_out", "refused")
_RATES = ("reads_per_s", "writes_per_s", "bytes_per_s", "burst_s")
_KEEP = object()
"""Stands for what was not given, since None is `none`."""


def add(commands: Commands) -> None:
    """Add the commands."""
    group = commands.group("tenants", "manage tenants, their quotas, rates and usage")
    add_server(group.add("list", _list, "list tenants with usage and quota", examples=("vdb tenants list",)))
    create = group.add(
        "create",
        _create,
        "make a tenant",
        examples=(
            "vdb tenants create acme --max-points 1000000 --max-bytes 10GiB",
            "vdb tenants create acme --reads-per-s 50 --writes-per-s 1000 --burst-s 10",
        ),
    )
    create.add_argument("name", metavar="NAME", help="[a-z0-9][a-z0-9_-]{0,63}")
    _add_caps(create)
    add_server(create)
    show = group.add("show", _show, "a tenant's quota, rate and what it owns", examples=("vdb tenants show acme",))
    show.add_argument("name", metavar="NAME", help="the tenant")
    add_server(show, tenant=True)
    _add_update(group)
    delete = group.add(
        "delete",
        _delete,
        "delete a tenant, its keys and its points",
        description="Delete a tenant, its keys and its points; waits until the points are gone.",
        examples=("vdb tenants delete acme --yes",),
    )
    delete.add_argument("name", metavar="NAME", help="the tenant")
    delete.add_argument("--no-wait", action="store_true", help="answer with the job at once")
    add_yes(delete)
    add_server(delete)
    usage = group.add(
        "usage",
        _usage,
        "what a tenant asked for, by month",
        examples=("vdb tenants usage acme", "vdb tenants usage acme --month 2026-01 --json"),
    )
    usage.add_argument("name", metavar="NAME", help="the tenant")
    usage.add_argument("--month", metavar="YYYY-MM", help="this month (UTC) only")
    add_server(usage, tenant=True)


def _add_update(group: Commands) -> None:
    update = group.add(
        "update",
        _update,
        "change a tenant's quota and rate",
        description="Change a tenant's quota and rate; what is not given stays.",
        examples=(
            "vdb tenants update acme --max-bytes 20GiB",
            "vdb tenants update acme --max-points none --reads-per-s 100",
            "vdb tenants update acme --server-rates",
        ),
    )
    update.add_argument("name", metavar="NAME", help="the tenant")
    _add_caps(update)
    update.add_argument("--server-rates", action="store_true", help="no rate of its own: the server's hold")
    add_server(update)


def _add_caps(parser: argparse.ArgumentParser) -> None:
    caps: tuple[tuple[str, Any, str, str], ...] = (
        ("--max-points", count_or_none, "N", "cap of points, or none"),
        ("--max-bytes", size_or_none, "SIZE", "cap of bytes, such as 10GiB, or none"),
        ("--reads-per-s", number_or_none, "N", "queries per second, or none for no limit"),
        ("--writes-per-s", number_or_none, "N", "points written per second, or none for no limit"),
        ("--bytes-per-s", size_or_none, "SIZE", "bytes of bodies and answers per second, or none for no limit"),
        ("--burst-s", number_or_none, "SECONDS", "as much as so many seconds allow may come at once"),
    )
    for option, kind, metavar, text in caps:
        parser.add_argument(option, type=kind, default=_KEEP, metavar=metavar, help=text)


def _list(given: argparse.Namespace, output: Output) -> int:
    with connected(given) as client:
        output.listing("tenants", client.tenants(), _COLUMNS)
    return ExitCode.OK


def _create(given: argparse.Namespace, output: Output) -> int:
    max_points, max_bytes = (None if cap is _KEEP else cap for cap in (given.max_points, given.max_bytes))
    with connected(given) as client:
        output.record(client.create_tenant(given.name, max_points, max_bytes, _rates(given) or None))
    return ExitCode.OK


def _rates(given: argparse.Namespace) -> dict[str, float | None]:
    """The rates that were given."""
    return {name: getattr(given, name) for name in _RATES if getattr(given, name) is not _KEEP}


def _show(given: argparse.Namespace, output: Output) -> int:
    with connected(given) as client:
        output.record(client.get_tenant(given.name))
    return ExitCode.OK


def _update(given: argparse.Namespace, output: Output) -> int:
    rates = _rates(given)
    has_caps = given.max_points is not _KEEP or given.max_bytes is not _KEEP
    if rates and given.server_rates:
        raise WrongUsage("--server-rates and a rate exclude each other")
    if not rates and not given.server_rates and not has_caps:
        raise WrongUsage("nothing to change: see vdb tenants update --help")
    with connected(given) as client:
        now = client.get_tenant(given.name)
        changes: dict[str, Any] = {}
        if has_caps:
            changes["max_points"] = now.quota.points if given.max_points is _KEEP else given.max_points
            changes["max_bytes"] = now.quota.bytes if given.max_bytes is _KEEP else given.max_bytes
        if rates:
            changes["rate"] = {name: getattr(now.rate, name) for name in _RATES} | rates
        elif given.server_rates:
            changes["rate"] = None
        output.record(client.update_tenant(given.name, **changes))
    return ExitCode.OK


def _delete(given: argparse.Namespace, output: Output) -> int:
    with connected(given) as client:
        confirm(given, output, f"Delete tenant {given.name}, its keys and all its points?")
        output.record(client.delete_tenant(given.name, wait=not given.no_wait))
    return ExitCode.OK


def _usage(given: argparse.Namespace, output: Output) -> int:
    with connected(given) as client:
        output.listing("months", client.tenant_usage(given.name, given.month), _USAGE, tenant=given.name)
    return ExitCode.OK
