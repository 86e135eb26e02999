"""`vdb collections`: list, create, show, stats, tune, update, rename, delete, members, aliases, alias."""

import argparse
from typing import Any

from vdb.cli.commands import Commands
from vdb.cli.confirm import add_yes, confirm
from vdb.cli.exit_codes import ExitCode, WrongUsage
from vdb.cli.output import Output
from vdb.cli.remote import add_server, connected
from vdb.cli.values import field_type, names, pair, size_or_none, text_field
from vdb.types import Metric, Sharing, Tier

__all__ = ["add"]

_KEEP = object()
"""Stands for an option that was not given, where none is a value."""
_COLUMNS = ("name", "aliases", "dimension", "metric", "n_points", "sequence", "created_at")


def add(commands: Commands) -> None:
    """Add the commands."""
    group = commands.group("collections", "manage collections and their aliases")
    listing = group.add("list", _list, "list the collections the key may use", examples=("vdb collections list",))
    add_server(listing, tenant=True)
    _add_create(group)
    show = group.add("show", _show, "describe a collection", examples=("vdb collections show docs --json",))
    show.add_argument("name", metavar="NAME", help="the collection, or an alias of it")
    add_server(show, tenant=True)
    stats = group.add(
        "stats",
        _stats,
        "count and measure a collection",
        description="Counts and sizes of a collection, on disk and in memory: of the whole, or of a tenant's part.",
        examples=("vdb collections stats docs", "vdb collections stats docs --tenant acme --json"),
    )
    stats.add_argument("name", metavar="NAME", help="the collection, or an alias of it")
    add_server(stats, tenant=True)
    _add_tune(group)
    _add_update(group)
    rename = group.add(
        "rename", _rename, "give a collection another name", examples=("vdb collections rename docs docs-2025",)
    )
    rename.add_argument("name", metavar="NAME", help="the collection")
    rename.add_argument("new_name", metavar="NEW", help="its new name: [a-z0-9][a-z0-9_-]{0,63}")
    add_server(rename)
    delete = group.add(
        "delete", _delete, "delete a collection and all its points", examples=("vdb collections delete docs --yes",)
    )
    delete.add_argument("name", metavar="NAME", help="the collection")
    add_yes(delete)
    add_server(delete)
    members = group.add(
        "members", _members, "list the tenants of a collection", examples=("vdb collections members docs",)
    )
    members.add_argument("name", metavar="NAME", help="the collection")
    add_server(members)
    _add_aliases(group)


def _add_create(group: Commands) -> None:
    create = group.add(
        "create",
        _create,
        "make a collection",
        examples=(
            "vdb collections create docs --dimension 384",
            "vdb collections create docs --dimension 384 --metric l2 --tenants acme,globex --field year=integer",
            "vdb collections create docs --dimension 384 --field lang=string --index lang",
            "vdb collections create docs --dimension 384 --text text --text title=3 --text-language german",
        ),
    )
    create.add_argument("name", metavar="NAME", help="[a-z0-9][a-z0-9_-]{0,63}")
    create.add_argument("--dimension", type=int, required=True, metavar="N", help="numbers in a vector")
    create.add_argument(
        "--metric", choices=[str(metric) for metric in Metric], default="cosine", help="default: cosine"
    )
    create.add_argument(
        "--field",
        type=field_type,
        action="append",
        metavar="FIELD=TYPE",
        help="declare the type of a payload field: number, integer, string, boolean, datetime or list; may be repeated",
    )
    create.add_argument(
        "--index", action="append", metavar="FIELD", help="make filters on a declared field fast; may be repeated"
    )
    _add_properties(create)
    add_server(create)


def _add_tune(group: Commands) -> None:
    tune = group.add(
        "tune",
        _tune,
        "train a collection's index anew",
        description="Train, code and measure the index of a collection anew, while it goes on answering.",
        examples=(
            "vdb collections tune docs",
            "vdb collections tune docs --queries recorded --form lvq8 --dimension 160 --for-queries",
        ),
    )
    tune.add_argument("name", metavar="NAME", help="the collection, or an alias of it")
    tune.add_argument("--queries", choices=("recorded", "rows"), help="default: recorded, where there are enough")
    tune.add_argument(
        "--form",
        choices=("lvq8", "lvq4", "float32", "float16"),
        help="code rows in this form; default: what measures best",
    )
    tune.add_argument("--dimension", type=int, metavar="N", help="components kept of a row; needs --form")
    tune.add_argument("--for-queries", action="store_true", help="those that recorded queries need; needs --form")
    tune.add_argument("--no-wait", action="store_true", help="return the job at once")
    add_server(tune)


def _add_update(group: Commands) -> None:
    update = group.add(
        "update",
        _update,
        "change who may use a collection, who may share, what is noted of it, where its index lies",
        description="Change what is given, all of it at once; the rest stays.",
        examples=("vdb collections update docs --add-tenants initech", "vdb collections update docs --all-tenants"),
    )
    update.add_argument("name", metavar="NAME", help="the collection")
    _add_properties(update)
    update.add_argument("--all-tenants", action="store_true", help="let every tenant use it")
    update.add_argument("--add-tenants", type=names, metavar="NAMES", help="let these use it too")
    update.add_argument("--remove-tenants", type=names, metavar="NAMES", help="let these not use it any more")
    update.add_argument(
        "--index", action="append", metavar="FIELD", help="index these declared fields and no others; may be repeated"
    )
    update.add_argument("--no-indexes", action="store_true", help="drop all indexes")
    update.add_argument("--no-embedding", action="store_true", help="forget the embedding model")
    update.add_argument("--no-text", action="store_true", help="drop the text index")
    update.add_argument("--no-metadata", action="store_true", help="forget all metadata")
    add_server(update)


def _add_properties(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--tenants", type=names, metavar="NAMES", help="tenants that may use it, separated by commas")
    parser.add_argument("--sharing", choices=[str(sharing) for sharing in Sharing], help="who may grant points")
    parser.add_argument(
        "--embedding", type=pair, metavar="MODEL=VERSION", help="the model that the vectors come from, to be shown"
    )
    parser.add_argument(
        "--metadata", type=pair, action="append", metavar="KEY=VALUE", help="a note, to be shown; may be repeated"
    )
    parser.add_argument(
        "--text",
        type=text_field,
        action="append",
        metavar="FIELD[=WEIGHT]",
        help="search this payload field by words; the first one is the main one; may be repeated",
    )
    parser.add_argument("--text-language", metavar="NAME", help="their language, or none; default: english")
    parser.add_argument(
        "--tier", choices=[str(tier) for tier in Tier], help="where the index is to lie; auto: what fits the memory"
    )
    parser.add_argument(
        "--memory-bytes",
        type=size_or_none,
        default=_KEEP,
        metavar="SIZE",
        help="what the index may take of memory, such as 2GiB, or none for no cap but the server's",
    )


def _add_aliases(group: Commands) -> None:
    listing = group.add(
        "aliases",
        _aliases,
        "list the aliases of the collections the key may use",
        examples=("vdb collections aliases",),
    )
    add_server(listing, tenant=True)
    alias = group.add(
        "alias",
        _alias,
        "let aliases lead to collections, all at once",
        description="Set aliases and remove others: all at once, or nothing. An alias that is there is moved.",
        examples=("vdb collections alias current=docs-2025", "vdb collections alias current=docs-2026 --remove next"),
    )
    alias.add_argument("set", nargs="*", type=pair, metavar="ALIAS=COLLECTION", help="alias, and where it leads")
    alias.add_argument(
        "--remove", type=names, default=[], metavar="NAMES", help="aliases to remove, separated by commas"
    )
    add_server(alias)


def _list(given: argparse.Namespace, output: Output) -> int:
    with connected(given) as client:
        output.listing("collections", client.collections(), _COLUMNS)
    return ExitCode.OK


def _create(given: argparse.Namespace, output: Output) -> int:
    with connected(given) as client:
        made = client.create_collection(
            given.name,
            given.dimension,
            given.metric,
            given.tenants,
            given.sharing or "managed",
            dict(given.field) if given.field else None,
            _embedding(given),
            dict(given.metadata) if given.metadata else None,
            given.index,
            given.tier or "auto",
            None if given.memory_bytes is _KEEP else given.memory_bytes,
            _text(given),
        )
    output.record(made)
    return ExitCode.OK


def _show(given: argparse.Namespace, output: Output) -> int:
    with connected(given) as client:
        output.record(client.get_collection(given.name))
    return ExitCode.OK


def _stats(given: argparse.Namespace, output: Output) -> int:
    with connected(given) as client:
        output.record(client.collection_stats(given.name))
    return ExitCode.OK


def _tune(given: argparse.Namespace, output: Output) -> int:
    if given.form is None and (given.dimension is not None or given.for_queries):
        raise WrongUsage("--dimension and --for-queries belong to a --form")
    encoding = (given.form, given.dimension, given.for_queries)
    with connected(given) as client:
        output.record(client.tune(given.name, given.queries, *encoding, wait=not given.no_wait))
    return ExitCode.OK


def _update(given: argparse.Namespace, output: Output) -> int:
    changes = _changes(given)
    if not changes:
        raise WrongUsage("nothing to change: see vdb collections update --help")
    with connected(given) as client:
        output.record(client.update_collection(given.name, **changes))
    return ExitCode.OK


def _changes(given: argparse.Namespace) -> dict[str, Any]:
    """What an update names; raises WrongUsage for options that exclude each other."""
    if given.all_tenants + (given.tenants is not None) + bool(given.add_tenants or given.remove_tenants) > 1:
        raise WrongUsage("--tenants, --all-tenants, and --add-tenants or --remove-tenants exclude each other")
    forms = [(given.no_embedding, given.embedding), (given.no_metadata, given.metadata)]
    forms += [(given.no_indexes, given.index), (given.no_text, given.text)]
    if any(is_off and value for is_off, value in forms):
        raise WrongUsage("an option and its --no- form exclude each other")
    changes: dict[str, Any] = {
        "tenants": given.tenants,
        "add_tenants": given.add_tenants,
        "remove_tenants": given.remove_tenants,
        "sharing": given.sharing,
        "embedding": _embedding(given),
        "metadata": dict(given.metadata) if given.metadata else None,
        "indexes": [] if given.no_indexes else given.index,
        "tier": given.tier,
        "text": _text(given),
    }
    changes = {name: value for name, value in changes.items() if value is not None}
    cleared = {"tenants": given.all_tenants, "embedding": given.no_embedding, "metadata": given.no_metadata}
    cleared["text"] = given.no_text
    changes |= {name: None for name, is_cleared in cleared.items() if is_cleared}
    return changes if given.memory_bytes is _KEEP else changes | {"memory_bytes": given.memory_bytes}


def _embedding(given: argparse.Namespace) -> dict[str, str] | None:
    return None if given.embedding is None else dict(zip(("model", "version"), given.embedding, strict=True))


def _text(given: argparse.Namespace) -> dict[str, Any] | None:
    if given.text is None:
        if given.text_language is not None:
            raise WrongUsage("--text-language goes with --text")
        return None
    language = {} if given.text_language is None else {"language": given.text_language}
    return {"fields": dict(given.text), **language}


def _rename(given: argparse.Namespace, output: Output) -> int:
    with connected(given) as client:
        output.record(client.rename_collection(given.name, given.new_name))
    return ExitCode.OK


def _delete(given: argparse.Namespace, output: Output) -> int:
    with connected(given) as client:
        confirm(given, output, f"Delete collection {given.name} and all its points?")
        output.document(client.delete_collection(given.name))
    output.line(f"deleted {given.name}")
    return ExitCode.OK


def _members(given: argparse.Namespace, output: Output) -> int:
    with connected(given) as client:
        output.listing("members", client.members(given.name), ("tenant", "listed", "points", "bytes"))
    return ExitCode.OK


def _aliases(given: argparse.Namespace, output: Output) -> int:
    with connected(given) as client:
        output.listing("aliases", client.aliases(), ("name", "collection"))
    return ExitCode.OK


def _alias(given: argparse.Namespace, output: Output) -> int:
    if not given.set and not given.remove:
        raise WrongUsage("nothing to change: give ALIAS=COLLECTION or --remove")
    with connected(given) as client:
        changed = client.set_aliases(dict(given.set), given.remove)
    output.document(changed)
    output.lines(f"{alias} leads to {collection}" for alias, collection in changed.set.items())
    output.lines(f"removed {alias}" for alias in changed.removed)
    return ExitCode.OK
