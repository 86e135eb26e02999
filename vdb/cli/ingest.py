"""`vdb ingest`: files and folders as documents, over HTTP or into a directory that no server uses."""

import argparse
from dataclasses import asdict
from typing import TYPE_CHECKING

from vdb.cli.commands import Commands, add_data_dir
from vdb.cli.exit_codes import ExitCode, WrongUsage
from vdb.cli.output import Output
from vdb.cli.remote import add_server, reached
from vdb.cli.values import json_value

if TYPE_CHECKING:
    from vdb.transfer.ingest import IngestOptions

__all__ = ["add"]

_NO_EMBEDDING = "none"
_MOST_TOLD = 1_000
"""Documents that were refused, of which the answer for programs tells."""


def add(commands: Commands) -> None:
    """Add the command."""
    parser = commands.add(
        "ingest",
        _ingest,
        "put files and folders as documents",
        description="Put text, Markdown, HTML and PDF files, and lines of JSON Lines, as documents. The server cuts "
        "them into chunks; what it has already as it is, is not sent. A file that cannot be read or is refused is told "
        "and does not stop the others; exit code 1 if there is any. A run that was stopped goes on when started again.",
        examples=(
            "vdb ingest handbook --collection guides --create --tenant acme",
            "vdb ingest handbook --collection guides --tenant acme --glob '*.md' --delete-missing",
            "vdb ingest corpus.jsonl --collection guides --tenant acme",
            "cat rows.jsonl | vdb ingest - --collection guides --tenant acme",
        ),
    )
    parser.add_argument("paths", nargs="+", metavar="PATH", help="file, folder, pattern, or - for JSON Lines")
    parser.add_argument("--collection", required=True, metavar="NAME", help="where to put the documents")
    parser.add_argument(
        "--glob", action="append", default=[], metavar="PATTERN", help="of a folder only files that match; repeatable"
    )
    parser.add_argument("--id-prefix", default="", metavar="TEXT", help="before every id, which is the file's path")
    parser.add_argument("--payload", type=json_value, metavar="JSON", help="payload of every document")
    parser.add_argument("--chunk-size", type=_count, metavar="N", help="words of a chunk at most (default: 200)")
    parser.add_argument("--chunk-overlap", type=_count, metavar="N", help="words that chunks repeat (default: 0)")
    parser.add_argument("--create", action="store_true", help="make the collection if it is missing")
    parser.add_argument(
        "--embedding",
        default="lexical=1",
        metavar="NAME=VERSION",
        help="model of a collection made (default: lexical=1, which is built in); none: no vectors",
    )
    parser.add_argument("--dimension", type=_count, default=384, metavar="N", help="of its vectors (default: 384)")
    parser.add_argument("--language", default="english", metavar="NAME", help="of its text index (default: english)")
    parser.add_argument(
        "--delete-missing", action="store_true", help="delete the documents (with this id prefix) that are not there"
    )
    parser.add_argument("--dry-run", action="store_true", help="say what would be done, and do nothing")
    parser.add_argument("--batch", type=_count, default=128, metavar="N", help="documents of a request (default: 128)")
    parser.add_argument(
        "--concurrency", type=_few, default=4, metavar="N", help="requests at once, 1 to 16 (default: 4)"
    )
    parser.add_argument("--quiet", action="store_true", help="no progress, and only how many were refused")
    add_server(parser, tenant=True)
    add_data_dir(parser, text="work on this directory, which no server uses, instead of asking a server")


def _ingest(given: argparse.Namespace, output: Output) -> int:
    from vdb.transfer.ingest import ingest
    from vdb.transfer.progress import Progress

    options = _options(given)
    refused: list[dict[str, str]] = []

    def note(where: str, reason: str) -> None:
        if len(refused) < _MOST_TOLD:
            refused.append({"where": where, "reason": reason})
        if not given.quiet:
            output.note(f"{where}: {reason}")

    write = (lambda text: None) if given.quiet else output.draw
    progress = Progress(write, is_terminal=output.is_drawn, unit="documents")
    with reached(given) as (client, _):
        report = ingest(client, options, progress, note)
    if output.is_json:
        output.document({**asdict(report), "refused": refused})
    else:
        output.record(asdict(report))
    return ExitCode.REFUSED if report.failed else ExitCode.OK


def _options(given: argparse.Namespace) -> "IngestOptions":
    from vdb.transfer.ingest import IngestOptions

    if given.payload is not None and not isinstance(given.payload, dict):
        raise WrongUsage("--payload is a JSON object")
    name, mark, version = given.embedding.rpartition("=")
    if given.embedding != _NO_EMBEDDING and not (name and mark and version):
        raise WrongUsage("--embedding is a name and a version, such as lexical=1, or none")
    return IngestOptions(
        collection=given.collection,
        paths=given.paths,
        tenant=given.tenant,
        patterns=given.glob,
        id_prefix=given.id_prefix,
        fields={} if given.payload is None else {"payload": given.payload},
        chunk_size=given.chunk_size,
        chunk_overlap=given.chunk_overlap,
        create=given.create,
        embedding=None if given.embedding == _NO_EMBEDDING else (name, version),
        dimension=given.dimension,
        language=given.language,
        batch=given.batch,
        n_in_flight=given.concurrency,
        delete_missing=given.delete_missing,
        dry_run=given.dry_run,
    )


def _count(text: str) -> int:
    if not text.isdecimal() or len(text) > 9:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number")
    return int(text)


def _few(text: str) -> int:
    number = _count(text)
    if not 1 <= number <= 16:
        raise argparse.ArgumentTypeError("1 to 16 requests can be under way at once")
    return number
