"""`vdb import` and `vdb export`: files in and out, over HTTP or on a directory that no server uses."""

import argparse
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from vdb.cli.commands import Commands, add_data_dir
from vdb.cli.exit_codes import ExitCode, WrongUsage
from vdb.cli.output import Output
from vdb.cli.remote import add_server, reached
from vdb.cli.values import json_value

if TYPE_CHECKING:
    from vdb.transfer import Progress

__all__ = ["add"]

_FORMATS = ("jsonl", "npy", "npz", "hdf5", "parquet")
_METRICS = ("cosine", "l2", "ip")
_TIMEOUT_S = 120.0
"""Of one chunk, retries included."""


def add(commands: Commands) -> None:
    """Add both commands."""
    _add_import(commands)
    _add_export(commands)


def _add_import(commands: Commands) -> None:
    parser = commands.add(
        "import",
        _import,
        "import points from a file",
        description="Import points from a jsonl, npy, npz, HDF5 or parquet file. Bad rows are put aside in "
        "SOURCE.rejected.jsonl; exit code 1 if there are any. A run that was stopped goes on where it was.",
        examples=(
            "vdb import rows.jsonl.gz --collection docs --tenant acme",
            "vdb import sift-128-euclidean.hdf5 --collection sift --create --tenant acme",
            "vdb import rows.parquet --collection docs --id key --vector embedding --payload title,year",
            "vdb import vectors.npy --collection docs --id-prefix row- --data-dir data --tenant acme",
        ),
    )
    parser.add_argument("source", type=Path, metavar="SOURCE", help="file to import")
    parser.add_argument("--collection", required=True, metavar="NAME", help="where to put the points")
    parser.add_argument("--format", choices=_FORMATS, help="format (default: by the file's name)")
    parser.add_argument("--id", metavar="FIELD", help="field, array or column of the ids (default: id, or ids)")
    parser.add_argument("--id-prefix", metavar="TEXT", help="make ids of the row numbers, with this before them")
    parser.add_argument("--vector", metavar="FIELD", help="of the vectors (default: vector, vectors, or train)")
    parser.add_argument("--payload", metavar="FIELDS", help="fields of the payload: all, none, or names with commas")
    parser.add_argument("--expires-at", metavar="FIELD", help="of the expiry (default: expires_at); none leaves it out")
    parser.add_argument(
        "--shared-with", metavar="FIELD", help="of the grants (default: shared_with); none leaves it out"
    )
    parser.add_argument("--create", action="store_true", help="make the collection if it is missing")
    parser.add_argument("--metric", choices=_METRICS, help="of a collection made (default: the file's, else cosine)")
    parser.add_argument(
        "--max-rejected",
        type=_natural,
        default=10_000,
        metavar="N",
        help="stop beyond so many bad rows (default: 10000)",
    )
    parser.add_argument("--rejected", type=Path, metavar="FILE", help="where bad rows go")
    parser.add_argument("--in-flight", type=_positive, default=4, metavar="N", help="chunks sent at once (default: 4)")
    _add_run(parser, "SOURCE.vdb-import.json")


def _add_export(commands: Commands) -> None:
    parser = commands.add(
        "export",
        _export,
        "export a tenant's own points to a file",
        description="Export a tenant's own points of a collection to a jsonl, npz, HDF5 or parquet file, which is "
        "there once it is complete. A run that was stopped goes on where it was.",
        examples=(
            "vdb export docs.jsonl.gz --collection docs --tenant acme",
            "vdb export 'docs-{tenant}.jsonl.gz' --collection docs --all-tenants",
            """vdb export english.parquet --collection docs --filter '{"field": "lang", "eq": "en"}'""",
        ),
    )
    parser.add_argument("target", type=Path, metavar="TARGET", help="file to make")
    parser.add_argument("--collection", required=True, metavar="NAME", help="whose points")
    parser.add_argument(
        "--format", choices=tuple(name for name in _FORMATS if name != "npy"), help="by the file's name if not given"
    )
    parser.add_argument("--filter", type=json_value, metavar="JSON", help="only points whose payload matches")
    parser.add_argument(
        "--all-tenants", action="store_true", help="every tenant to a file of its own: TARGET has {tenant} in its name"
    )
    parser.add_argument("--base64", action="store_true", help="vectors of a jsonl as base64 of float32, not as numbers")
    parser.add_argument("--force", action="store_true", help="replace the file if it is there")
    _add_run(parser, "TARGET.vdb-export.json")


def _add_run(parser: argparse.ArgumentParser, state: str) -> None:
    parser.add_argument(
        "--state", type=Path, metavar="FILE", help=f"where a run notes how far it is (default: {state})"
    )
    parser.add_argument("--restart", action="store_true", help="begin anew, whatever an earlier run has done")
    add_server(parser, tenant=True)
    add_data_dir(parser, text="work on this directory, which no server uses, instead of asking a server")


def _import(given: argparse.Namespace, output: Output) -> int:
    from vdb.transfer import Fields, ImportOptions, import_file

    fields = Fields(given.id, given.vector, given.payload, given.expires_at, given.shared_with, given.id_prefix)
    with reached(given, timeout_s=_TIMEOUT_S) as (client, place):
        options = ImportOptions(
            collection=given.collection,
            place=place,
            tenant=given.tenant,
            fields=fields,
            file_format=given.format,
            create=given.create,
            metric=given.metric,
            state_path=given.state,
            rejected_path=given.rejected,
            restart=given.restart,
            max_rejected=given.max_rejected,
            n_in_flight=given.in_flight,
        )
        report = import_file(client, given.source, options, _progress(output, "rows"))
    output.record(asdict(report))
    return ExitCode.REFUSED if report.n_rejected else ExitCode.OK


def _export(given: argparse.Namespace, output: Output) -> int:
    from vdb.transfer import ExportOptions, export_each_tenant, export_file

    if given.all_tenants and (given.tenant is not None or given.state is not None):
        raise WrongUsage("--all-tenants goes neither with --tenant nor with --state")
    with reached(given, timeout_s=_TIMEOUT_S) as (client, place):
        options = ExportOptions(
            collection=given.collection,
            place=place,
            tenant=given.tenant,
            filter=given.filter,
            file_format=given.format,
            base64=given.base64,
            state_path=given.state,
            restart=given.restart,
            force=given.force,
        )
        progress = _progress(output, "points")
        if given.all_tenants:
            made = export_each_tenant(client, given.target, options, progress)
            output.listing("exports", made, ("target", "n_points", "n_bytes"))
        else:
            output.record(asdict(export_file(client, given.target, options, progress)))
    return ExitCode.OK


def _progress(output: Output, unit: str) -> "Progress":
    from vdb.transfer import Progress

    return Progress(output.draw, is_terminal=output.is_drawn, unit=unit)


def _natural(text: str) -> int:
    if not text.isdecimal() or len(text) > 18:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of rows")
    return int(text)


def _positive(text: str) -> int:
    number = _natural(text)
    if not 1 <= number <= 16:
        raise argparse.ArgumentTypeError("1 to 16 chunks can be in flight")
    return number
