"""`vdb collections`: list, create, show, update, delete."""

import argparse

from vdb.cli.commands import Commands
from vdb.cli.confirm import add_yes, confirm
from vdb.cli.exit_codes import ExitCode, WrongUsage
from vdb.cli.output import Output
from vdb.cli.remote import add_server, connected
from vdb.cli.values import field_type, names
from vdb.types import Metric, Sharing

__all__ = ["add"]

_COLUMNS = ("name", "dimension", "metric", "n_points", "sequence", "created_at")


def add(commands: Commands) -> None:
    """Add the commands."""
    group = commands.group("collections", "manage collections")
    listing = group.add("list", _list, "list the collections the key may use", examples=("vdb collections list",))
    add_server(listing, tenant=True)
    _add_create(group)
    show = group.add("show", _show, "describe a collection", examples=("vdb collections show docs --json",))
    show.add_argument("name", metavar="NAME", help="the collection")
    add_server(show, tenant=True)
    update = group.add(
        "update",
        _update,
        "change who may use a collection, and who may share",
        examples=("vdb collections update docs --tenants acme,globex", "vdb collections update docs --all-tenants"),
    )
    update.add_argument("name", metavar="NAME", help="the collection")
    _add_access(update)
    update.add_argument("--all-tenants", action="store_true", help="let every tenant use it")
    add_server(update)
    delete = group.add(
        "delete", _delete, "delete a collection and all its points", examples=("vdb collections delete docs --yes",)
    )
    delete.add_argument("name", metavar="NAME", help="the collection")
    add_yes(delete)
    add_server(delete)


def _add_create(group: Commands) -> None:
    create = group.add(
        "create",
        _create,
        "make a collection",
        examples=(
            "vdb collections create docs --dimension 384",
            "vdb collections create docs --dimension 384 --metric l2 --tenants acme,globex --field year=integer",
        ),
    )
    create.add_argument("name", metavar="NAME", help="[a-z0-9][a-z0-9_-]{0,63}")
    create.add_argument("--dimension", type=int, required=True, metavar="N", help="numbers in a vector")
    create.add_argument(
        "--metric", choices=[str(metric) for metric in Metric], default="cosine", help="default: cosine"
    )
    _add_access(create)
    create.add_argument(
        "--field",
        type=field_type,
        action="append",
        metavar="NAME=TYPE",
        help="declare the type of a payload field: number, integer, string, boolean, datetime or list; may be repeated",
    )
    add_server(create)


def _add_access(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--tenants", type=names, metavar="NAMES", help="tenants that may use it, separated by commas")
    parser.add_argument("--sharing", choices=[str(sharing) for sharing in Sharing], help="who may grant points")


def _list(given: argparse.Namespace, output: Output) -> int:
    with connected(given) as client:
        output.listing("collections", client.collections(), _COLUMNS)
    return ExitCode.OK


def _create(given: argparse.Namespace, output: Output) -> int:
    fields = dict(given.field) if given.field else None
    with connected(given) as client:
        output.record(
            client.create_collection(
                given.name, given.dimension, given.metric, given.tenants, given.sharing or "managed", fields
            )
        )
    return ExitCode.OK


def _show(given: argparse.Namespace, output: Output) -> int:
    with connected(given) as client:
        output.record(client.get_collection(given.name))
    return ExitCode.OK


def _update(given: argparse.Namespace, output: Output) -> int:
    from msgspec import UNSET

    if given.all_tenants and given.tenants is not None:
        raise WrongUsage("--tenants and --all-tenants exclude each other")
    if not given.all_tenants and given.tenants is None and given.sharing is None:
        raise WrongUsage("nothing to change: give --tenants, --all-tenants or --sharing")
    tenants = None if given.all_tenants else UNSET if given.tenants is None else given.tenants
    with connected(given) as client:
        sharing = UNSET if given.sharing is None else given.sharing
        output.record(client.update_collection(given.name, tenants=tenants, sharing=sharing))
    return ExitCode.OK


def _delete(given: argparse.Namespace, output: Output) -> int:
    with connected(given) as client:
        confirm(given, output, f"Delete collection {given.name} and all its points?")
        output.document(client.delete_collection(given.name))
    output.line(f"deleted {given.name}")
    return ExitCode.OK
