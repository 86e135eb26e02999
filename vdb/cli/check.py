"""`vdb check`: verify a data directory."""

import argparse
from dataclasses import asdict

from vdb.cli.commands import Commands, add_data_dir
from vdb.cli.exit_codes import ExitCode
from vdb.cli.output import Output
from vdb.config import Settings


def add(commands: Commands) -> None:
    """Add the command."""
    parser = commands.add(
        "check",
        _check,
        "verify every invariant of a data directory that no server uses",
        description="Verify every invariant of a data directory that no server uses; exit code 1 if it has faults.",
        examples=("vdb check --data-dir data",),
    )
    add_data_dir(parser)


def _check(given: argparse.Namespace, output: Output) -> int:
    from vdb.storage.check import examine  # LMDB is loaded by the commands that need it only
    from vdb.storage.check_report import report_of

    path = Settings.with_environment(data_dir=given.data_dir).data_dir
    findings = examine(path)
    output.lines(report_of(path, findings))
    output.document({"data_dir": str(path), "is_sound": not findings.n_faults, **asdict(findings)})
    return ExitCode.REFUSED if findings.n_faults else ExitCode.OK
