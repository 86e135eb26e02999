"""`vdb compact`: shrink the files of a data directory."""

import argparse

from vdb.cli.commands import Commands, add_data_dir
from vdb.cli.exit_codes import ExitCode
from vdb.cli.output import Output
from vdb.config import Settings


def add(commands: Commands) -> None:
    """Add the command."""
    parser = commands.add(
        "compact",
        _compact,
        "shrink the files of a directory that no server uses",
        description="Write the files of a directory that no server uses anew, without what was deleted.",
        examples=("vdb compact --data-dir data",),
    )
    add_data_dir(parser)


def _compact(given: argparse.Namespace, output: Output) -> int:
    from vdb.storage.compact import compact

    made = compact(Settings.with_environment(data_dir=given.data_dir).data_dir)
    output.lines(f"{done.place}: {done.before_bytes} bytes, now {done.after_bytes}" for done in made)
    output.document({"environments": made})
    return ExitCode.OK
