"""Exports of every tenant of a collection, each a file of its own: no file mixes what tenants keep apart."""

from dataclasses import replace
from pathlib import Path

from vdb.client.sync import Operations
from vdb.errors import InvalidArgument
from vdb.transfer.exporter import ExportOptions, ExportReport, export_file
from vdb.transfer.progress import Progress

TENANT_MARK = "{tenant}"
"""Stands in the name of the target for the tenant's."""


def export_each_tenant(
    client: Operations, target: Path, options: ExportOptions, progress: Progress
) -> list[ExportReport]:
    """Export every tenant that owns points in the collection, by name; needs an admin.

    A file that is there is complete, so it is left as it is (but with `force`): after a kill the same call goes on.
    Raises what `export_file` raises, and InvalidArgument for a target without the mark in its name.
    """
    if TENANT_MARK not in target.name:
        raise InvalidArgument(f"{target.name}: the name of the file must have {TENANT_MARK} in it")
    reports = []
    for member in client.members(options.collection):
        own = target.with_name(target.name.replace(TENANT_MARK, member.tenant))
        if member.points and (options.force or not own.exists()):
            reports.append(export_file(client, own, replace(options, tenant=member.tenant), progress))
    return reports
