"""`vdb check`: verify a data directory, or repair it."""

import argparse
from dataclasses import asdict
from pathlib import Path

from vdb.cli.commands import Commands, add_data_dir
from vdb.cli.exit_codes import ExitCode, WrongUsage
from vdb.cli.output import Output
from vdb.config import Settings


def add(commands: Commands) -> None:
    """Add the command."""
    parser = commands.add(
        "check",
        _check,
        "verify every invariant of a data directory that no server uses",
        description="Verify every invariant of a data directory that no server uses; exit code 1 if it has faults.",
        examples=("vdb check --data-dir data", "vdb check --data-dir data --repair"),
    )
    add_data_dir(parser)
    parser.add_argument(
        "--repair", action="store_true", help="first rebuild what follows from the data: indexes, counts"
    )
    parser.add_argument(
        "--drop-damaged", action="store_true", help="with --repair: set aside and remove what cannot be read"
    )
    parser.add_argument(
        "--aside-dir",
        type=Path,
        metavar="DIR",
        help="folder of what --drop-damaged sets aside (default: <data-dir>.damaged)",
    )


def _check(given: argparse.Namespace, output: Output) -> int:
    if given.drop_damaged and not given.repair:
        raise WrongUsage("--drop-damaged goes with --repair")
    path = Settings.with_environment(data_dir=given.data_dir).data_dir
    if given.repair:
        return _repair(path, given, output)
    from vdb.rag.analysis import analyser_of
    from vdb.storage.check import examine  # LMDB is loaded by the commands that need it only
    from vdb.storage.check_report import report_of

    findings = examine(path, analyser_of)
    output.lines(report_of(path, findings))
    output.document({"data_dir": str(path), "is_sound": not findings.n_faults, **asdict(findings)})
    return ExitCode.REFUSED if findings.n_faults else ExitCode.OK


def _repair(path: Path, given: argparse.Namespace, output: Output) -> int:
    from vdb.rag.analysis import analyser_of
    from vdb.storage.check_report import repairs_of
    from vdb.storage.repair import repair

    done = repair(path, drop_damaged=given.drop_damaged, aside_dir=given.aside_dir, analysers=analyser_of)
    n_faults = done.findings.n_faults
    output.lines(repairs_of(path, done))
    output.document({"data_dir": str(path), "is_sound": not n_faults, **asdict(done)})
    return ExitCode.REFUSED if n_faults else ExitCode.OK
