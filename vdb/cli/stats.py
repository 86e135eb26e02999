"""`vdb stats`: how much a server holds, at one glance."""

import argparse

from vdb.cli.commands import Commands
from vdb.cli.exit_codes import ExitCode
from vdb.cli.output import Output
from vdb.cli.remote import add_server, connected

__all__ = ["add"]


def add(commands: Commands) -> None:
    """Add the command."""
    parser = commands.add(
        "stats",
        _stats,
        "count what a server holds",
        description="Count the collections, tenants, points and jobs of a server; needs an admin key.",
        examples=("vdb stats", "vdb stats --json | jq .n_points"),
    )
    add_server(parser)


def _stats(given: argparse.Namespace, output: Output) -> int:
    with connected(given) as client:
        tenants, collections, jobs = client.tenants(), client.collections(), client.jobs()
    totals = {
        "n_collections": len(collections),
        "n_tenants": len(tenants),
        "n_points": sum(collection.n_points for collection in collections),
        "bytes": sum(tenant.usage.bytes for tenant in tenants),
        "n_unfinished_jobs": sum(job.finished_at is None for job in jobs),
    }
    output.record(totals)
    return ExitCode.OK
