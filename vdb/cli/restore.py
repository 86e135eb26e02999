"""`vdb restore`: make a new data directory from a backup."""

import argparse
from pathlib import Path

from vdb.cli.commands import Commands, add_data_dir
from vdb.cli.exit_codes import ExitCode
from vdb.cli.output import Output


def add(commands: Commands) -> None:
    """Add the command."""
    parser = commands.add(
        "restore",
        _restore,
        "make a new data directory from a backup",
        examples=("vdb restore --from backups/before-upgrade --data-dir data-restored",),
    )
    parser.add_argument("--from", dest="backup", type=Path, required=True, metavar="DIR", help="folder of the backup")
    add_data_dir(parser, is_required=True, text="directory to make: absent or empty")


def _restore(given: argparse.Namespace, output: Output) -> int:
    from vdb.storage.restore import restore

    manifest = restore(given.backup, given.data_dir)
    n_collections, n_caches = len(manifest.collections), len(manifest.caches)
    caches = f", {n_caches} caches" if n_caches else ""
    output.line(f"{given.data_dir}: {n_collections} collections{caches} restored")
    output.document({"data_dir": str(given.data_dir), "n_collections": n_collections, "n_caches": n_caches})
    return ExitCode.OK
