"""`vdb jobs`: list, show."""

import argparse

from vdb.cli.commands import Commands
from vdb.cli.exit_codes import ExitCode
from vdb.cli.output import Output
from vdb.cli.remote import add_server, connected

__all__ = ["add"]

_COLUMNS = ("id", "kind", "state", "collection", "tenant", "n_done", "created_at", "finished_at", "error")


def add(commands: Commands) -> None:
    """Add the commands."""
    group = commands.group("jobs", "look at background work: deletes by filter, of tenants")
    add_server(group.add("list", _list, "list jobs", examples=("vdb jobs list",)), tenant=True)
    show = group.add("show", _show, "a job's progress", examples=("vdb jobs show 12 --wait",))
    show.add_argument("id", metavar="ID", help="the job's id")
    show.add_argument("--wait", action="store_true", help="answer when the job is over")
    add_server(show, tenant=True)


def _list(given: argparse.Namespace, output: Output) -> int:
    with connected(given) as client:
        output.listing("jobs", client.jobs(), _COLUMNS)
    return ExitCode.OK


def _show(given: argparse.Namespace, output: Output) -> int:
    with connected(given) as client:
        output.record(client.wait_for_job(given.id) if given.wait else client.get_job(given.id))
    return ExitCode.OK
