"""`vdb tenants`: list, create, show, update, delete."""

import argparse

from vdb.cli.commands import Commands
from vdb.cli.confirm import add_yes, confirm
from vdb.cli.exit_codes import ExitCode, WrongUsage
from vdb.cli.output import Output
from vdb.cli.remote import add_server, connected
from vdb.cli.values import count_or_none, size_or_none

__all__ = ["add"]

_COLUMNS = ("name", "usage.points", "quota.points", "usage.bytes", "quota.bytes", "created_at")
_KEEP = object()
"""Stands for a cap that was not given."""


def add(commands: Commands) -> None:
    """Add the commands."""
    group = commands.group("tenants", "manage tenants, their quotas and usage")
    add_server(group.add("list", _list, "list tenants with usage and quota", examples=("vdb tenants list",)))
    create = group.add(
        "create", _create, "make a tenant", examples=("vdb tenants create acme --max-points 1000000 --max-bytes 10GiB",)
    )
    create.add_argument("name", metavar="NAME", help="[a-z0-9][a-z0-9_-]{0,63}")
    _add_quota(create)
    add_server(create)
    show = group.add("show", _show, "a tenant's quota and usage", examples=("vdb tenants show acme",))
    show.add_argument("name", metavar="NAME", help="the tenant")
    add_server(show, tenant=True)
    update = group.add(
        "update",
        _update,
        "change a tenant's quota",
        description="Change a tenant's quota; a cap that is not given stays.",
        examples=("vdb tenants update acme --max-bytes 20GiB", "vdb tenants update acme --max-points none"),
    )
    update.add_argument("name", metavar="NAME", help="the tenant")
    _add_quota(update)
    add_server(update)
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


def _add_quota(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--max-points", type=count_or_none, default=_KEEP, metavar="N", help="cap of points, or none")
    parser.add_argument(
        "--max-bytes", type=size_or_none, default=_KEEP, metavar="SIZE", help="cap of bytes, such as 10GiB, or none"
    )


def _list(given: argparse.Namespace, output: Output) -> int:
    with connected(given) as client:
        output.listing("tenants", client.tenants(), _COLUMNS)
    return ExitCode.OK


def _create(given: argparse.Namespace, output: Output) -> int:
    caps = (None if cap is _KEEP else cap for cap in (given.max_points, given.max_bytes))
    with connected(given) as client:
        output.record(client.create_tenant(given.name, *caps))
    return ExitCode.OK


def _show(given: argparse.Namespace, output: Output) -> int:
    with connected(given) as client:
        output.record(client.get_tenant(given.name))
    return ExitCode.OK


def _update(given: argparse.Namespace, output: Output) -> int:
    if given.max_points is _KEEP and given.max_bytes is _KEEP:
        raise WrongUsage("nothing to change: give --max-points or --max-bytes")
    with connected(given) as client:
        quota = client.get_tenant(given.name).quota
        max_points = quota.points if given.max_points is _KEEP else given.max_points
        max_bytes = quota.bytes if given.max_bytes is _KEEP else given.max_bytes
        output.record(client.update_tenant(given.name, max_points, max_bytes))
    return ExitCode.OK


def _delete(given: argparse.Namespace, output: Output) -> int:
    with connected(given) as client:
        confirm(given, output, f"Delete tenant {given.name}, its keys and all its points?")
        output.record(client.delete_tenant(given.name, wait=not given.no_wait))
    return ExitCode.OK
